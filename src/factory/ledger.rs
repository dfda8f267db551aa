//! What the records add up to, and what may come next.
//!
//! Deciding changes nothing and may refuse; what was decided becomes a [`Record`], and applying it is the only way
//! in which the ledger changes. Nothing here reads a file or a clock.

mod orders;
mod stations;

pub use orders::OrderReport;
pub use stations::Duplicate;

use crate::{
    batch::part_name,
    name::{CustomerName, LineName, OrderName, StationName},
    record::{FORM, Made, Maker, Plan, Reason, Record, Replaced, Sha256},
    serial::{DeviceSerial, Numbering, SerialRange},
};
use gatehouse_pki::{OrganisationName, Serial};
use gatehouse_types::UnixTime;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

/// Why the ledger does not allow something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A serial is given once.
    #[error("device {device} was made already; use --replaces {device} --reason … to give it another certificate")]
    Made {
        /// Which device.
        device: DeviceSerial,
    },
    /// Only what was made can be replaced, shipped, scrapped or revoked.
    #[error("device {device} was never made here")]
    NotMade {
        /// Which device.
        device: DeviceSerial,
    },
    /// A certificate that the journal does not know.
    #[error("no device was given a certificate with the serial number {certificate}")]
    UnknownCertificate {
        /// Its serial number.
        certificate: Serial,
    },
    /// A key belongs to one device.
    #[error("the key of device {device} is the key of device {other} already")]
    KeyUsed {
        /// Which device asks.
        device: DeviceSerial,
        /// Which device has the key.
        other: DeviceSerial,
    },
    /// The serial belongs to a station or to the counter.
    #[error("serial {device} is kept for {keeper}")]
    Reserved {
        /// Which serial.
        device: DeviceSerial,
        /// For whom.
        keeper: String,
    },
    /// A station makes only what it was allotted.
    #[error("serial {device} is in none of this station's allotments")]
    NotAllotted {
        /// Which serial.
        device: DeviceSerial,
    },
    /// A station has no more serials.
    #[error("{wanted} serials are wanted and the allotments of this station still hold {left}")]
    AllotmentsUsedUp {
        /// How many are wanted.
        wanted: u64,
        /// How many there are.
        left: u64,
    },
    /// Serials can be counted only when the settings say how.
    #[error("the settings have no [numbering], so that serials cannot be counted; name them with --csv, --csr-dir or --serial")]
    NoNumbering,
    /// The digits do not suffice.
    #[error("the numbering has fewer than {wanted} serials left")]
    NumberingUsedUp {
        /// How many are wanted.
        wanted: u64,
    },
    /// Ranges of stations are disjoint.
    #[error("the serials {range} overlap {other}, which are kept for {keeper}")]
    Overlap {
        /// What is wanted.
        range: SerialRange,
        /// What is given away.
        other: SerialRange,
        /// To whom.
        keeper: String,
    },
    /// The line has signed as many certificates as it may.
    #[error(
        "{wanted} certificates are wanted and the budget of {line} allows {left} more; raise `budget` in factory.toml or use another line"
    )]
    Budget {
        /// Which line.
        line: LineName,
        /// How many are wanted.
        wanted: u64,
        /// How many are left.
        left: u64,
    },
    /// The line's time is over.
    #[error("{line} may sign until {until}; change `until` in factory.toml or use another line")]
    Date {
        /// Which line.
        line: LineName,
        /// Its date limit.
        until: UnixTime,
    },
    /// The order does not exist.
    #[error("there is no order {order}; open it with `gatehouse factory order`")]
    UnknownOrder {
        /// Which order.
        order: OrderName,
    },
    /// The order is for somebody else.
    #[error("order {order} is for {customer}")]
    OtherCustomer {
        /// Which order.
        order: OrderName,
        /// Whose it is.
        customer: CustomerName,
    },
    /// The order is closed.
    #[error("order {order} is closed")]
    Closed {
        /// Which order.
        order: OrderName,
    },
    /// More devices than the order plans.
    #[error("order {order} plans {planned} devices; {made} were made and {wanted} more are wanted")]
    Planned {
        /// Which order.
        order: OrderName,
        /// How many it plans.
        planned: u64,
        /// How many were made.
        made: u64,
        /// How many more are wanted.
        wanted: u64,
    },
    /// An order is closed when nothing of it is open.
    #[error("order {order} still has {open} devices open: ship them, scrap them, or change what is planned")]
    Open {
        /// Which order.
        order: OrderName,
        /// How many.
        open: u64,
    },
    /// The device is for another order.
    #[error("device {device} was made for order {order}")]
    OtherOrder {
        /// Which device.
        device: DeviceSerial,
        /// Which order.
        order: OrderName,
    },
    /// The device has left.
    #[error("device {device} was shipped already")]
    Shipped {
        /// Which device.
        device: DeviceSerial,
    },
    /// The device was thrown away.
    #[error("device {device} was scrapped")]
    Scrapped {
        /// Which device.
        device: DeviceSerial,
    },
    /// The device's certificate is revoked.
    #[error("the certificate of device {device} is revoked")]
    Revoked {
        /// Which device.
        device: DeviceSerial,
    },
    /// There is nothing to ship.
    #[error("order {order} has no devices in hand")]
    Nothing {
        /// Which order.
        order: OrderName,
    },
    /// A folder holds one batch, so that the command that began it can always be given again.
    #[error("{out} holds another batch; use another folder, or give the command that began it", out = out.display())]
    OtherBatch {
        /// The folder.
        out: PathBuf,
    },
}

/// A device as the journal knows it.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) certificate: Serial,
    pub(crate) key: Sha256,
    pub(crate) fingerprint: Sha256,
    pub(crate) line: LineName,
    pub(crate) order: Option<OrderName>,
    pub(crate) batch: Option<u32>,
    pub(crate) whereabouts: Whereabouts,
}

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    InHand,
    Shipped,
    Scrapped,
}

/// A batch and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) line: LineName,
    pub(crate) order: Option<OrderName>,
    pub(crate) out: PathBuf,
    pub(crate) plan: Plan,
    pub(crate) done: u64,
    /// The names of the parts that are in the journal.
    pub(crate) parts: BTreeMap<u32, String>,
    pub(crate) finished: bool,
}

/// A revoked certificate.
#[derive(Clone, Debug)]
pub(crate) struct Revocation {
    pub(crate) reason: Reason,
    pub(crate) at: UnixTime,
}

/// What a line has done.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineTally {
    pub(crate) issued: u64,
    pub(crate) list_number: u64,
    pub(crate) revoked: BTreeMap<Serial, Revocation>,
}

/// What a line may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineLimits {
    pub(crate) until: UnixTime,
    pub(crate) budget: u64,
}

#[derive(Clone, Debug)]
struct Order {
    customer: CustomerName,
    planned: u64,
    closed: bool,
}

/// The manifests that a customer was sent: the number and the hash of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) sequence: u64,
    pub(crate) manifest: Sha256,
}

/// Everything that the journal says.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    manufacturer: Option<OrganisationName>,
    station: Option<StationName>,
    devices: HashMap<DeviceSerial, Device>,
    keys: HashMap<Sha256, DeviceSerial>,
    /// Every certificate that was ever made, with its device and the line that signed it.
    certificates: HashMap<Serial, (DeviceSerial, LineName)>,
    lines: BTreeMap<LineName, LineTally>,
    orders: BTreeMap<OrderName, Order>,
    sent: BTreeMap<CustomerName, Sent>,
    batches: BTreeMap<u32, Batch>,
    allotted: Vec<(StationName, u64, SerialRange)>,
    accepted: Vec<SerialRange>,
    accepted_sequences: BTreeSet<u64>,
    merged: BTreeMap<StationName, (u64, String)>,
}

impl Ledger {
    /// Adds what a record says. Fails only when the record does not follow from those before it.
    pub(crate) fn apply(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Opened { form, .. } if form != FORM => return Err(format!("form {form} is newer than this program")),
            Record::Opened { manufacturer, station, .. } => (self.manufacturer, self.station) = (Some(manufacturer), station),
            Record::Order { order, customer, planned, .. } => {
                self.orders.insert(order, Order { customer, planned, closed: false });
            }
            Record::Closed { order, .. } => self.orders.get_mut(&order).ok_or("the order is not open")?.closed = true,
            Record::Batch { batch, line, order, out, plan, .. } => {
                let begun = Batch { line, order, out, plan, done: 0, parts: BTreeMap::new(), finished: false };
                if self.batches.insert(batch, begun).is_some() {
                    return Err(format!("batch {batch} begins twice"));
                }
            }
            Record::Made { by, line, order, devices, at } => self.made(&by, &line, order.as_ref(), devices, at)?,
            Record::Finished { batch, .. } => self.batches.get_mut(&batch).ok_or("the batch never began")?.finished = true,
            Record::Revoked { certificate, reason, at } => self.revoked(certificate, reason, at)?,
            Record::Shipped { order, sequence, manifest, devices, .. } => {
                let customer = self.orders.get(&order).ok_or("the order is not open")?.customer.clone();
                self.sent.insert(customer, Sent { sequence, manifest });
                for device in devices {
                    let device = self.devices.get_mut(&device).ok_or("a device that was never made is shipped")?;
                    (device.whereabouts, device.order) = (Whereabouts::Shipped, Some(order.clone()));
                }
            }
            Record::Scrapped { devices, at, .. } => {
                for serial in devices {
                    let device = self.devices.get_mut(&serial).ok_or("a device that was never made is scrapped")?;
                    device.whereabouts = Whereabouts::Scrapped;
                    let certificate = device.certificate.clone();
                    self.revoked(certificate, Reason::CessationOfOperation, at)?;
                }
            }
            Record::Allotted { station, sequence, range, .. } => self.allotted.push((station, sequence, range)),
            Record::Accepted { sequence, ranges, .. } => {
                self.accepted_sequences.insert(sequence);
                self.accepted.extend(ranges);
            }
            Record::Merged { station, lines, head, .. } => {
                self.merged.insert(station, (lines, head));
            }
            Record::Listed { line, number, .. } => self.lines.entry(line).or_default().list_number = number,
            Record::Server { .. } => {}
        }
        Ok(())
    }

    fn made(&mut self, by: &Maker, line: &LineName, order: Option<&OrderName>, devices: Vec<Made>, at: UnixTime) -> Result<(), String> {
        let batch = match by {
            Maker::Batch { batch, part } => {
                let begun = self.batches.get_mut(batch).ok_or("a part belongs to no batch")?;
                begun.done += devices.len() as u64;
                begun.parts.insert(*part, part_name(&devices));
                Some(*batch)
            }
            Maker::Single | Maker::Station { .. } => None,
        };
        self.lines.entry(line.clone()).or_default().issued += devices.len() as u64;
        for Made { device: serial, certificate, key, fingerprint, replaces } in devices {
            let whereabouts = match (self.devices.get(&serial), &replaces) {
                (Some(_), None) => return Err(format!("device {serial} is made twice")),
                (None, Some(_)) => return Err(format!("device {serial} is replaced and was never made")),
                (Some(before), Some(_)) => before.whereabouts,
                (None, None) => Whereabouts::InHand,
            };
            if let Some(Replaced { certificate, reason }) = replaces {
                self.revoked(certificate, reason, at)?;
            }
            self.keys.insert(key, serial.clone());
            self.certificates.insert(certificate.clone(), (serial.clone(), line.clone()));
            let kept = order.cloned().or_else(|| self.devices.get(&serial)?.order.clone());
            let device = Device { certificate, key, fingerprint, line: line.clone(), order: kept, batch, whereabouts };
            self.devices.insert(serial, device);
        }
        Ok(())
    }

    fn revoked(&mut self, certificate: Serial, reason: Reason, at: UnixTime) -> Result<(), String> {
        let (_, line) = self.certificates.get(&certificate).ok_or("a certificate that was never made is revoked")?;
        self.lines.entry(line.clone()).or_default().revoked.entry(certificate).or_insert(Revocation { reason, at });
        Ok(())
    }

    pub(crate) fn manufacturer(&self) -> Option<&OrganisationName> {
        self.manufacturer.as_ref()
    }

    pub(crate) fn station(&self) -> Option<&StationName> {
        self.station.as_ref()
    }

    pub(crate) fn device(&self, serial: &DeviceSerial) -> Option<&Device> {
        self.devices.get(serial)
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = (&DeviceSerial, &Device)> {
        self.devices.iter()
    }

    pub(crate) fn line(&self, line: &LineName) -> Option<&LineTally> {
        self.lines.get(line)
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = (u32, &Batch)> {
        self.batches.iter().map(|(number, batch)| (*number, batch))
    }

    pub(crate) fn is_revoked(&self, device: &Device) -> bool {
        self.lines.get(&device.line).is_some_and(|line| line.revoked.contains_key(&device.certificate))
    }

    /// The batch in this folder.
    pub(crate) fn batch_in(&self, out: &Path) -> Option<(u32, &Batch)> {
        self.batches().find(|(_, batch)| batch.out == out)
    }

    /// The parts of a batch that are in the journal.
    pub(crate) fn parts(&self, batch: u32) -> BTreeMap<u32, String> {
        self.batches.get(&batch).map(|batch| batch.parts.clone()).unwrap_or_default()
    }

    /// How many devices of a batch are made.
    pub(crate) fn done(&self, batch: u32) -> u64 {
        self.batches.get(&batch).map_or(0, |batch| batch.done)
    }

    /// Whether every device of a batch is made and the batch is closed.
    pub(crate) fn is_finished(&self, batch: u32) -> bool {
        self.batches.get(&batch).is_some_and(|batch| batch.finished)
    }

    pub(crate) fn next_batch(&self) -> u32 {
        self.batches.keys().next_back().map_or(1, |last| last + 1)
    }

    /// Whether the line may sign so many certificates now.
    pub(crate) fn may_sign(&self, line: &LineName, limits: LineLimits, wanted: u64, now: UnixTime) -> Result<(), Refusal> {
        if now >= limits.until {
            return Err(Refusal::Date { line: line.clone(), until: limits.until });
        }
        let issued = self.lines.get(line).map_or(0, |tally| tally.issued);
        let left = limits.budget.saturating_sub(issued);
        if wanted > left { Err(Refusal::Budget { line: line.clone(), wanted, left }) } else { Ok(()) }
    }

    /// Whether this serial, which somebody named, is free.
    pub(crate) fn may_name(&self, serial: &DeviceSerial, numbering: Option<&Numbering>) -> Result<(), Refusal> {
        if self.devices.contains_key(serial) {
            return Err(Refusal::Made { device: serial.clone() });
        }
        let reserved = |keeper: String| Err(Refusal::Reserved { device: serial.clone(), keeper });
        if self.station.is_some() {
            let allotted = self.accepted.iter().any(|range| range.contains(serial));
            return if allotted { Ok(()) } else { Err(Refusal::NotAllotted { device: serial.clone() }) };
        }
        if let Some((station, ..)) = self.allotted.iter().find(|(.., range)| range.contains(serial)) {
            return reserved(format!("station {station}"));
        }
        if numbering.is_some_and(|numbering| numbering.number(serial).is_some()) {
            return reserved("--count by [numbering] in factory.toml".into());
        }
        Ok(())
    }

    /// The next serials in order: of the factory's numbering, or of a station's allotments.
    pub(crate) fn count_off(&self, wanted: u64, numbering: Option<&Numbering>) -> Result<Vec<SerialRange>, Refusal> {
        if self.station.is_some() {
            return self.count_off_allotments(wanted);
        }
        let numbering = numbering.ok_or(Refusal::NoNumbering)?;
        self.next_number(numbering)
            .and_then(|next| numbering.range(next, wanted))
            .map(|range| vec![range])
            .ok_or(Refusal::NumberingUsedUp { wanted })
    }

    /// The serials that batches counted off, made or not.
    fn planned(&self) -> impl Iterator<Item = &SerialRange> {
        let counted = self.batches.values().filter_map(|batch| if let Plan::Count { ranges } = &batch.plan { Some(ranges) } else { None });
        counted.flatten()
    }

    /// The number after every one that was used or given away.
    fn next_number(&self, numbering: &Numbering) -> Option<u64> {
        let ranges = self.planned().chain(self.allotted.iter().map(|(.., range)| range)).map(SerialRange::last);
        let last = ranges.chain(self.devices.keys().cloned()).filter_map(|serial| numbering.number(&serial)).max();
        last.unwrap_or(0).checked_add(1)
    }

    /// Whether the key may be this device's.
    pub(crate) fn may_have_key(&self, serial: &DeviceSerial, key: &Sha256) -> Result<(), Refusal> {
        match self.keys.get(key) {
            Some(other) => Err(Refusal::KeyUsed { device: serial.clone(), other: other.clone() }),
            None => Ok(()),
        }
    }

    /// What is replaced when the device gets another certificate.
    pub(crate) fn replace(&self, serial: &DeviceSerial, reason: Reason) -> Result<Replaced, Refusal> {
        let device = self.devices.get(serial).ok_or_else(|| Refusal::NotMade { device: serial.clone() })?;
        if device.whereabouts == Whereabouts::Scrapped {
            return Err(Refusal::Scrapped { device: serial.clone() });
        }
        Ok(Replaced { certificate: device.certificate.clone(), reason })
    }

    /// The certificate of a device, to be revoked.
    pub(crate) fn revoke_device(&self, serial: &DeviceSerial) -> Result<Serial, Refusal> {
        let device = self.devices.get(serial).ok_or_else(|| Refusal::NotMade { device: serial.clone() })?;
        if self.is_revoked(device) { Err(Refusal::Revoked { device: serial.clone() }) } else { Ok(device.certificate.clone()) }
    }

    /// Whether a certificate was made here and is good.
    pub(crate) fn revoke_certificate(&self, certificate: &Serial) -> Result<(), Refusal> {
        let unknown = || Refusal::UnknownCertificate { certificate: certificate.clone() };
        let (device, line) = self.certificates.get(certificate).ok_or_else(unknown)?;
        let revoked = self.lines.get(line).is_some_and(|line| line.revoked.contains_key(certificate));
        if revoked { Err(Refusal::Revoked { device: device.clone() }) } else { Ok(()) }
    }

    /// The line that signed a certificate.
    pub(crate) fn line_of(&self, certificate: &Serial) -> Option<&LineName> {
        self.certificates.get(certificate).map(|(_, line)| line)
    }
}
