//! Stations: who may make which serials, and what their journals bring back.

use super::{Device, Ledger, Refusal, Whereabouts};
use crate::{
    name::{LineName, StationName},
    record::{Made, Record, Sha256},
    serial::{DeviceSerial, Numbering, SerialRange},
};
use gatehouse_pki::Serial;
use gatehouse_types::UnixTime;
use serde::Serialize;
use std::fmt;

/// A serial or a key that two journals claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "twice")]
pub enum Duplicate {
    /// Two devices have this serial.
    Serial {
        /// The serial.
        device: DeviceSerial,
        /// The certificate that was known, and the line that signed it.
        known: (Serial, LineName),
        /// The certificate that the merged journal brings.
        brought: Serial,
    },
    /// Two devices have the same key.
    Key {
        /// The device that was known.
        known: DeviceSerial,
        /// The device that the merged journal brings.
        brought: DeviceSerial,
        /// SHA-256 over the key.
        key: Sha256,
    },
    /// The station made a serial that is not its own.
    NotAllotted {
        /// The serial.
        device: DeviceSerial,
        /// The certificate that the merged journal brings.
        brought: Serial,
    },
}

impl Duplicate {
    /// The device that the merged journal brings.
    pub fn brought(&self) -> &DeviceSerial {
        match self {
            Self::Serial { device, .. } | Self::NotAllotted { device, .. } => device,
            Self::Key { brought, .. } => brought,
        }
    }
}

impl fmt::Display for Duplicate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { device, known, brought } => {
                write!(out, "serial {device} is used twice: certificate {} of {}, and certificate {brought}", known.0, known.1)
            }
            Self::Key { known, brought, key } => write!(out, "key {key} is used twice: by {known} and by {brought}"),
            Self::NotAllotted { device, brought } => {
                write!(out, "serial {device} was not allotted to this station (certificate {brought})")
            }
        }
    }
}

impl Ledger {
    /// Gives a station serials that nobody else has: the next ones, or those that are named.
    pub(crate) fn allot(
        &self,
        station: StationName,
        wanted: Result<u64, SerialRange>,
        numbering: Option<&Numbering>,
        at: UnixTime,
    ) -> Result<Record, Refusal> {
        let range = match wanted {
            Ok(count) => self.count_off(count, numbering)?.into_iter().next().ok_or(Refusal::NumberingUsedUp { wanted: count })?,
            Err(range) => self.free(range, numbering)?,
        };
        let sequence = self.allotments(&station).map(|(sequence, _)| sequence).max().unwrap_or(0) + 1;
        Ok(Record::Allotted { station, sequence, range, at })
    }

    /// The allotments of a station, with their numbers.
    pub(crate) fn allotments(&self, station: &StationName) -> impl Iterator<Item = (u64, &SerialRange)> {
        self.allotted.iter().filter(move |(other, ..)| other == station).map(|(_, sequence, range)| (*sequence, range))
    }

    /// Every station that was ever allotted serials.
    pub(crate) fn stations(&self) -> std::collections::BTreeSet<&StationName> {
        self.allotted.iter().map(|(station, ..)| station).collect()
    }

    /// At a station: the serials that it was allotted.
    pub(crate) fn accepted(&self) -> &[SerialRange] {
        &self.accepted
    }

    /// At a station: whether the allotment with this number was accepted before.
    pub(crate) fn has_accepted(&self, sequence: u64) -> bool {
        self.accepted_sequences.contains(&sequence)
    }

    /// Up to where a station's journal was taken in.
    pub(crate) fn merged(&self, station: &StationName) -> Option<(u64, &str)> {
        self.merged.get(station).map(|(lines, head)| (*lines, head.as_str()))
    }

    /// Whether a device of a station's journal may be taken in.
    pub(crate) fn may_take(&self, station: &StationName, made: &Made) -> Result<(), Duplicate> {
        self.is_new(made)?;
        let Made { device, certificate, .. } = made;
        if !self.allotments(station).any(|(_, range)| range.contains(device)) {
            return Err(Duplicate::NotAllotted { device: device.clone(), brought: certificate.clone() });
        }
        Ok(())
    }

    /// Whether neither the serial nor the key of the device is here, whoever made it.
    pub(crate) fn is_new(&self, made: &Made) -> Result<(), Duplicate> {
        let Made { device, certificate, key, .. } = made;
        if let (Some(known), None) = (self.devices.get(device), &made.replaces) {
            let known = (known.certificate.clone(), known.line.clone());
            return Err(Duplicate::Serial { device: device.clone(), known, brought: certificate.clone() });
        }
        match self.keys.get(key) {
            Some(known) => Err(Duplicate::Key { known: known.clone(), brought: device.clone(), key: *key }),
            None => Ok(()),
        }
    }

    /// The device with this serial, when its certificate is none of those that are known.
    pub(crate) fn made_elsewhere(&self, made: &Made) -> Option<Duplicate> {
        let known = self.devices.get(&made.device)?;
        let is_other = !self.certificates.contains_key(&made.certificate);
        let known = (known.certificate.clone(), known.line.clone());
        is_other.then(|| Duplicate::Serial { device: made.device.clone(), known, brought: made.certificate.clone() })
    }

    /// Remembers a device only so that another one cannot have its serial or key.
    pub(crate) fn note(&mut self, made: &Made, line: &LineName) {
        let Made { device: serial, certificate, key, fingerprint, .. } = made.clone();
        self.keys.insert(key, serial.clone());
        self.certificates.insert(certificate.clone(), (serial.clone(), line.clone()));
        let device =
            Device { certificate, key, fingerprint, line: line.clone(), order: None, batch: None, whereabouts: Whereabouts::InHand };
        self.devices.insert(serial, device);
    }

    pub(super) fn count_off_allotments(&self, wanted: u64) -> Result<Vec<SerialRange>, Refusal> {
        let used = |serial: &DeviceSerial| self.devices.contains_key(serial) || self.planned().any(|range| range.contains(serial));
        let mut ranges: Vec<SerialRange> = Vec::new();
        let mut left = wanted;
        let mut free = 0;
        for serial in self.accepted.iter().flat_map(SerialRange::iter).filter(|serial| !used(serial)) {
            free += 1;
            if left > 0 {
                left -= 1;
                match ranges.last().and_then(|range| range.followed_by(&serial)) {
                    Some(longer) => *ranges.last_mut().expect("just looked at") = longer,
                    None => ranges.extend(SerialRange::new(&serial, &serial)),
                }
            }
        }
        if left > 0 || wanted == 0 { Err(Refusal::AllotmentsUsedUp { wanted, left: free }) } else { Ok(ranges) }
    }

    /// The range, if nothing in it was made or given away.
    fn free(&self, range: SerialRange, numbering: Option<&Numbering>) -> Result<SerialRange, Refusal> {
        let overlap = |other: SerialRange, keeper: String| Refusal::Overlap { range: range.clone(), other, keeper };
        if let Some((station, _, other)) = self.allotted.iter().find(|(.., other)| other.overlaps(&range)) {
            return Err(overlap(other.clone(), format!("station {station}")));
        }
        if let Some(other) = numbering.and_then(Numbering::all).filter(|all| all.overlaps(&range)) {
            return Err(overlap(other, "--count by [numbering] in factory.toml".into()));
        }
        match self.devices.keys().find(|serial| range.contains(serial)) {
            Some(device) => Err(Refusal::Made { device: device.clone() }),
            None => Ok(range),
        }
    }
}
