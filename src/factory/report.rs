//! What the books say, for people and programs.

use crate::{
    home::Books,
    ledger::{OrderReport, Whereabouts},
    name::{LineName, OrderName, StationName},
    serial::SerialRange,
};
use gatehouse_types::UnixTime;
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// How a factory stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Who makes the devices.
    pub manufacturer: String,
    /// The station, when this is one.
    pub station: Option<StationName>,
    /// How many records the journal has.
    pub records: u64,
    /// The journal's last hash; whoever kept it can tell that nothing before was changed.
    pub journal: String,
    /// Devices that were made.
    pub devices: u64,
    /// Devices that are neither shipped nor scrapped.
    pub in_hand: u64,
    /// Every line of the settings.
    pub lines: Vec<LineStatus>,
    /// Every order.
    pub orders: Vec<OrderReport>,
    /// Whether every order adds up.
    pub balanced: bool,
    /// Batches that were cut short.
    pub unfinished: Vec<UnfinishedBatch>,
    /// Every station that was allotted serials.
    pub stations: Vec<StationStatus>,
    /// At a station: the serials that it was allotted.
    pub allotted_here: Vec<SerialRange>,
}

/// How a line stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineStatus {
    /// The line.
    pub line: LineName,
    /// Certificates that it signed.
    pub issued: u64,
    /// How many it may sign in all.
    pub budget: u64,
    /// Until when it may sign.
    pub until: UnixTime,
    /// Certificates of it that are revoked.
    pub revoked: usize,
    /// The number of its last revocation list.
    pub list_number: u64,
}

/// A batch that was cut short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnfinishedBatch {
    /// Its number.
    pub batch: u32,
    /// Where its bundles go; the command that began it goes on.
    pub out: PathBuf,
    /// For which order.
    pub order: Option<OrderName>,
    /// How many devices are made.
    pub done: u64,
}

/// What is known about a station.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StationStatus {
    /// The station.
    pub station: StationName,
    /// The serials that it was allotted.
    pub allotted: Vec<SerialRange>,
    /// How many of its devices were merged.
    pub merged: u64,
}

impl Books {
    /// How everything stands.
    pub fn status(&self) -> Status {
        let ledger = &self.ledger;
        let line = |(name, settings): (&LineName, &crate::LineSettings)| {
            let tally = ledger.line(name).cloned().unwrap_or_default();
            let (line, budget, until) = (name.clone(), settings.budget, settings.until);
            LineStatus { line, issued: tally.issued, budget, until, revoked: tally.revoked.len(), list_number: tally.list_number }
        };
        let station = |name: &StationName| {
            let allotted = ledger.allotments(name).map(|(_, range)| range.clone()).collect();
            let merged = ledger.line(&name.clone().into()).map_or(0, |tally| tally.issued);
            StationStatus { station: name.clone(), allotted, merged }
        };
        let orders = ledger.orders();
        let unfinished = ledger.batches().filter(|(_, batch)| !batch.finished).map(|(number, batch)| UnfinishedBatch {
            batch: number,
            out: batch.out.clone(),
            order: batch.order.clone(),
            done: batch.done,
        });
        Status {
            manufacturer: self.settings.manufacturer.as_str().to_owned(),
            station: self.settings.station.clone(),
            records: self.head().lines,
            journal: self.head().to_string(),
            devices: ledger.devices().count() as u64,
            in_hand: ledger.devices().filter(|(_, device)| device.whereabouts == Whereabouts::InHand).count() as u64,
            lines: self.settings.lines.iter().map(line).collect(),
            balanced: orders.iter().all(OrderReport::balances),
            orders,
            unfinished: unfinished.collect(),
            stations: ledger.stations().into_iter().map(station).collect(),
            allotted_here: ledger.accepted().to_vec(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let station = self.station.as_ref().map(|station| format!(", station {station}")).unwrap_or_default();
        writeln!(out, "{}{station}: {} devices made, {} in hand", self.manufacturer, self.devices, self.in_hand)?;
        for LineStatus { line, issued, budget, until, revoked, list_number } in &self.lines {
            writeln!(out, "line {line}: {issued} of {budget} signed, until {until}, {revoked} revoked, last list number {list_number}")?;
        }
        for range in &self.allotted_here {
            writeln!(out, "allotted {range}")?;
        }
        for order in &self.orders {
            writeln!(out, "order {order}")?;
        }
        for UnfinishedBatch { batch, out: folder, done, .. } in &self.unfinished {
            writeln!(out, "batch {batch} was cut short after {done} devices; its bundles go to {}", folder.display())?;
        }
        for StationStatus { station, allotted, merged } in &self.stations {
            let ranges: Vec<_> = allotted.iter().map(ToString::to_string).collect();
            writeln!(out, "station {station}: allotted {}, {merged} merged", ranges.join(", "))?;
        }
        write!(out, "journal {} after {} records", self.journal, self.records)
    }
}
