//! Stations: machines that make devices away from the factory, offline.
//!
//! A station has a line of its own, whose key never leaves it. The factory signs the line's certificate and hands out
//! *allotments*: signed files that name the station and a range of serials which nobody else has. What a station made
//! comes back as its journal, and [`Factory::merge`] reports every serial and key that is used twice.
//!
//! | at the station | at the factory |
//! |---|---|
//! | [`Factory::init_station`] makes the key and a request | |
//! | | [`Factory::allot`] signs the line and the range |
//! | [`Factory::accept`] checks the allotment and takes it | |
//! | [`Factory::batch`] makes devices | |
//! | | [`Factory::merge`] takes the journal in |

use crate::{
    cms::signed::{self, SignedError},
    custody,
    error::FactoryError,
    files,
    home::{Books, Factory, Surroundings, facts},
    input,
    journal::{Head, Journal, JournalError},
    ledger::{Duplicate, Ledger},
    name::{LineName, StationName},
    record::{FORM, Maker, Record},
    serial::SerialRange,
    settings::{LineSettings, Settings},
};
use gatehouse_ca::{StretchCost, unlock::Unlock};
use gatehouse_pki::{Builtin, Certificate, Csr, KeyAlgorithm, OrganisationName, Profile, SoftwareKey};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The version of the allotment's form.
const ALLOTMENT_FORM: u32 = 1;

/// An allotment is much smaller.
const MAX_ALLOTMENT: u64 = 256 * 1024;

/// Why an allotment is refused.
#[derive(Debug, thiserror::Error)]
pub enum AllotmentError {
    /// Its signature, its signer or its shape is wrong.
    #[error("the allotment is refused")]
    Signed(#[from] SignedError),
    /// What was signed is not an allotment.
    #[error("what was signed is not an allotment: {0}")]
    Content(String),
    /// It is for another station, or from another manufacturer.
    #[error("the allotment is for {found} and this is {here}")]
    Other {
        /// For whom it is.
        found: String,
        /// Who reads it.
        here: String,
    },
    /// It was accepted before.
    #[error("allotment {found} was accepted before")]
    Repeated {
        /// Its number.
        found: u64,
    },
    /// It names another key than this station's.
    #[error("the allotment's line certificate is for another key than this station's")]
    OtherKey,
    /// The factory knows the station's line already, with another key.
    #[error("station {station} has a line already, with another key")]
    OtherRequest {
        /// Which station.
        station: StationName,
    },
    /// The first allotment of a station needs its request.
    #[error("station {station} has no line yet; give the request that `gatehouse factory station init` wrote with --request")]
    NeedsRequest {
        /// Which station.
        station: StationName,
    },
}

/// What the factory tells a station.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allotment {
    form: u32,
    /// From whom.
    pub manufacturer: OrganisationName,
    /// For whom.
    pub station: StationName,
    /// Counts the station's allotments from one.
    pub sequence: u64,
    /// The serials.
    pub range: SerialRange,
    /// The station's line signs nothing from this time on.
    pub until: UnixTime,
    /// When it was signed.
    pub signed: UnixTime,
    /// The settings that every bundle of the manufacturer has in common, as in `factory.toml`.
    settings: String,
    /// The line's certificate.
    line: String,
    /// Whom devices trust as provisioning service.
    service_anchors: String,
}

/// How serials for a station are chosen.
#[derive(Clone, Debug)]
pub enum Share {
    /// The next so many of the factory's numbering.
    Count(u64),
    /// These, which are outside of the factory's numbering.
    Range(SerialRange),
}

impl Factory {
    /// Makes a station in a folder that must not exist: its line's key, and a request for the factory in `station.csr`. It
    /// can make devices once it has accepted an allotment.
    ///
    /// # Errors
    /// The folder exists, or something in it cannot be made.
    pub fn init_station(
        folder: &Path,
        station: &StationName,
        device_root: &Certificate,
        unlock: &Unlock,
        cost: StretchCost,
        around: &Surroundings,
    ) -> Result<(), FactoryError> {
        let manufacturer = manufacturer(device_root)?;
        files::make_folder(folder)?;
        for name in ["certificates", "keys", "manifests"] {
            files::make_folder(&folder.join(name))?;
        }
        files::write_new(&folder.join("certificates/device-root.pem"), device_root.pem().as_bytes())?;
        let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
        custody::seal(&key_path(folder, station), &key, unlock, cost, around.random.as_ref())?;
        files::write_new(&folder.join("station.csr"), Csr::write_pem(None, station.as_str(), &key)?.as_bytes())?;
        let mut journal = Journal::create(&folder.join("journal"))?;
        journal.append(&[Record::Opened { form: FORM, manufacturer, station: Some(station.clone()), at: around.clock.now() }])?;
        Ok(())
    }

    /// Gives a station serials that nobody else has; signs its line when it has none yet, for which the device root's key
    /// must be here. Returns the signed allotment.
    ///
    /// # Errors
    /// The serials are not free, the station has another key, or a key of the factory cannot be used.
    pub fn allot(
        &mut self,
        station: &StationName,
        share: Share,
        until: UnixTime,
        request: Option<&Path>,
        unlock: &Unlock,
    ) -> Result<(Allotment, Vec<u8>), FactoryError> {
        self.books.at_factory()?;
        let numbering = self.books.settings.numbering.as_ref();
        let wanted = match share {
            Share::Count(count) => Ok(count),
            Share::Range(range) => Err(range),
        };
        let at = self.now();
        let record = self.books.ledger.allot(station.clone(), wanted, numbering, at)?;
        let Record::Allotted { sequence, range, .. } = &record else { unreachable!("allotting decides an allotment") };
        let line = self.station_line(station, request, unlock)?;
        let anchors: String = self.books.service_anchors()?.iter().map(Certificate::pem).collect();
        let settings = &self.books.settings;
        let allotment = Allotment {
            form: ALLOTMENT_FORM,
            manufacturer: settings.manufacturer.clone(),
            station: station.clone(),
            sequence: *sequence,
            range: range.clone(),
            until,
            signed: at,
            settings: Settings { lines: BTreeMap::new(), numbering: None, ..settings.clone() }.to_toml(),
            line: line.pem(),
            service_anchors: anchors,
        };
        let (certificate, key) = self.books.records(unlock)?;
        let content = serde_json::to_vec(&allotment).expect("names, texts and numbers are JSON");
        let message = signed::sign(&content, &certificate, &key, at)?;
        self.write(vec![record])?;
        Ok((allotment, message))
    }

    fn station_line(&self, station: &StationName, request: Option<&Path>, unlock: &Unlock) -> Result<Certificate, FactoryError> {
        let path = self.books.folder.join("certificates").join(format!("line-{station}.pem"));
        let request = match request {
            Some(path) => Some(input::request(path)?),
            None => None,
        };
        if path.exists() {
            let line = self.books.certificate(&format!("line-{station}"))?;
            let other = request.is_some_and(|request| request.key() != line.public_key());
            let refused = AllotmentError::OtherRequest { station: station.clone() };
            return if other { Err(refused.into()) } else { Ok(line) };
        }
        let request = request.ok_or_else(|| AllotmentError::NeedsRequest { station: station.clone() })?;
        let root = self.books.root_issuer(unlock)?;
        let profile = Profile::builtin(Builtin::ManufacturerIntermediate);
        let approved = profile.approve(request, &facts(&self.books.settings.manufacturer, station.as_str())?, self.now())?;
        let line = root.issue(approved, self.surroundings.random.as_ref())?;
        files::write_new(&path, line.pem().as_bytes())?;
        Ok(line)
    }

    /// Takes an allotment at the station that it is for.
    ///
    /// # Errors
    /// It was altered, is for another station, was accepted before, or names another key.
    pub fn accept(folder: &Path, message: &[u8], unlock: &Unlock, around: Surroundings) -> Result<Allotment, FactoryError> {
        files::check_folder(folder)?;
        let mut ledger = Ledger::default();
        let mut journal = Journal::open(&folder.join("journal"), |record: Record| ledger.apply(record))?;
        let root = crate::home::read_certificate(&folder.join("certificates/device-root.pem"))?;
        let now = around.clock.now();
        let allotment = Allotment::verify(message, &root, now)?;
        let (Some(station), Some(manufacturer)) = (ledger.station(), ledger.manufacturer()) else { return Err(FactoryError::NotStation) };
        if allotment.station != *station || allotment.manufacturer != *manufacturer {
            let named = |station: &StationName, manufacturer: &OrganisationName| format!("station {station} of {}", manufacturer.as_str());
            let (found, here) = (named(&allotment.station, &allotment.manufacturer), named(station, manufacturer));
            return Err(AllotmentError::Other { found, here }.into());
        }
        // One that was lost on the way is missed by nobody: its serials stay unused.
        if ledger.has_accepted(allotment.sequence) {
            return Err(AllotmentError::Repeated { found: allotment.sequence }.into());
        }
        let line = single(&allotment.line)?;
        custody::open(&key_path(folder, station), unlock, line.public_key()).map_err(|error| match error {
            custody::CustodyError::OtherKey { .. } => FactoryError::from(AllotmentError::OtherKey),
            error => error.into(),
        })?;
        let anchors = Certificate::chain_from_pem(allotment.service_anchors.as_bytes())?;
        let [service, spare] = anchors.as_slice() else {
            return Err(AllotmentError::Content("it does not have two service anchors".into()).into());
        };
        let certificate = |name: String| folder.join("certificates").join(format!("{name}.pem"));
        files::replace(&certificate(format!("line-{station}")), line.pem().as_bytes())?;
        files::replace(&certificate("service-root".into()), service.pem().as_bytes())?;
        files::replace(&certificate("service-spare".into()), spare.pem().as_bytes())?;
        let settings = Settings::from_toml(&allotment.settings).map_err(FactoryError::Settings)?;
        let budget = ledger.accepted().iter().chain([&allotment.range]).map(SerialRange::count).sum();
        let lines = BTreeMap::from([(LineName::from(station.clone()), LineSettings { until: allotment.until, budget, token: None })]);
        let settings = Settings { station: Some(station.clone()), lines, ..settings };
        files::replace(&folder.join("factory.toml"), settings.to_toml().as_bytes())?;
        let ranges = vec![allotment.range.clone()];
        journal.append(&[Record::Accepted { sequence: allotment.sequence, ranges, at: now }])?;
        Ok(allotment)
    }

    /// Takes in what a station made since its journal was taken in last.
    ///
    /// # Errors
    /// Every serial and key that is used twice, or that the station was not allotted: then nothing is taken in, unless
    /// `leave_out` says to take the rest. Also that the journal is another one than before.
    pub fn merge(&mut self, path: &Path, leave_out: bool) -> Result<MergeReport, FactoryError> {
        self.books.at_factory()?;
        let brought = Brought::read(path, &self.books)?;
        let mut report = MergeReport { station: brought.station.clone(), taken: 0, left_out: Vec::new() };
        let mut records = Vec::new();
        let mut seen = Ledger::default();
        for record in brought.records {
            match record {
                Record::Made { line, order, devices, at, .. } => {
                    let mut taken = Vec::new();
                    for made in devices {
                        // What the station itself used twice shows against the records that come before.
                        let fits = self.books.ledger.may_take(&brought.station, &made).and_then(|()| seen.is_new(&made));
                        match fits {
                            Ok(()) => {
                                seen.note(&made, &line);
                                taken.push(made);
                            }
                            Err(duplicate) => report.left_out.push(duplicate),
                        }
                    }
                    report.taken += taken.len() as u64;
                    let by = Maker::Station { station: brought.station.clone() };
                    records.push(Record::Made { by, line, order, devices: taken, at });
                }
                // What concerns devices that are left out stays out with them.
                Record::Revoked { ref certificate, .. }
                    if self.books.ledger.line_of(certificate).or(seen.line_of(certificate)).is_some() =>
                {
                    records.push(record);
                }
                Record::Scrapped { ref devices, .. }
                    if devices.iter().all(|serial| self.books.ledger.device(serial).or(seen.device(serial)).is_some()) =>
                {
                    records.push(record);
                }
                _ => {}
            }
        }
        if !report.left_out.is_empty() && !leave_out {
            return Err(FactoryError::Duplicates(report.left_out));
        }
        let (lines, head) = (brought.head.lines, brought.head.to_string());
        records.push(Record::Merged { station: brought.station, lines, head, at: self.now() });
        self.write(records)?;
        Ok(report)
    }
}

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergeReport {
    /// Whose journal it was.
    pub station: StationName,
    /// How many devices were taken in.
    pub taken: u64,
    /// What was left out because it is used twice.
    pub left_out: Vec<Duplicate>,
}

/// What a station's journal says beyond what was taken in before.
struct Brought {
    station: StationName,
    records: Vec<Record>,
    head: Head,
}

impl Brought {
    fn read(path: &Path, books: &Books) -> Result<Self, FactoryError> {
        let mut station = None;
        let mut known: Option<(u64, String)> = None;
        let mut other = None;
        let mut records = Vec::new();
        let mut twice = Vec::new();
        let manufacturer = &books.settings.manufacturer;
        let head = Journal::scan(path, |head, record: Record| {
            if let Record::Opened { manufacturer: theirs, station: named, .. } = &record {
                if theirs != manufacturer {
                    return Err(format!("it is the journal of {}", theirs.as_str()));
                }
                let named = named.clone().ok_or("it is the journal of a factory and not of a station")?;
                known = books.ledger.merged(&named).map(|(lines, head)| (lines, head.to_owned()));
                station = Some(named);
            }
            if let Record::Made { devices, .. } = &record {
                twice.extend(devices.iter().filter_map(|made| books.ledger.made_elsewhere(made)));
            }
            match &known {
                Some((lines, hash)) if head.lines == *lines && head.to_string() != *hash => other = Some(head.lines),
                Some((lines, _)) if head.lines <= *lines => {}
                _ => records.push(record),
            }
            Ok(())
        })?;
        let unnamed = || JournalError::Record { path: PathBuf::from(path), line: 1, reason: "a journal begins with whose it is".into() };
        let station = station.ok_or_else(unnamed)?;
        let shorter = known.filter(|(lines, _)| *lines > head.lines).map(|(lines, _)| lines);
        match other.or(shorter) {
            // A copy of a station that went to work as well: what both made is the news.
            Some(_) if !twice.is_empty() => Err(FactoryError::Duplicates(twice)),
            Some(line) => Err(FactoryError::OtherHistory { station, line }),
            None => Ok(Self { station, records, head }),
        }
    }
}

impl Allotment {
    /// Checks the signature and who signed.
    ///
    /// # Errors
    /// The message was altered, or the anchor does not vouch for its signer, or it is no allotment.
    pub fn verify(message: &[u8], anchor: &Certificate, now: UnixTime) -> Result<Self, AllotmentError> {
        if message.len() as u64 > MAX_ALLOTMENT {
            return Err(AllotmentError::Content(format!("it is larger than {MAX_ALLOTMENT} bytes")));
        }
        let allotment: Self =
            serde_json::from_slice(signed::verify(message, anchor, now)?).map_err(|error| AllotmentError::Content(error.to_string()))?;
        if allotment.form != ALLOTMENT_FORM {
            return Err(AllotmentError::Content(format!("form {} is not known to this program", allotment.form)));
        }
        Ok(allotment)
    }
}

fn key_path(folder: &Path, station: &StationName) -> PathBuf {
    folder.join("keys").join(format!("line-{station}.key"))
}

fn single(pem: &str) -> Result<Certificate, FactoryError> {
    Ok(Certificate::chain_from_pem(pem.as_bytes())?.swap_remove(0))
}

/// Whose devices a root vouches for: the organisation in its subject.
fn manufacturer(root: &Certificate) -> Result<OrganisationName, FactoryError> {
    let organisation = root.subject().attributes().find(|attribute| attribute.short_name() == Some("O"));
    let name = organisation.ok_or_else(|| FactoryError::Names("the root does not name its manufacturer".into()))?;
    name.value().parse().map_err(|error: gatehouse_pki::NameError| FactoryError::Names(error.to_string()))
}

/// Whether a folder is a station that waits for its first allotment.
pub fn awaits_allotment(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join("station.csr")).is_ok() && fs::symlink_metadata(folder.join("factory.toml")).is_err()
}
