//! The factory's folder, and everything that happens in it.
//!
//! | path | content |
//! |---|---|
//! | `factory.toml` | the settings |
//! | `journal` | every decision, in order; the truth |
//! | `certificates/` | `device-root`, `service-root`, `service-spare`, `records` and one `line-…` a line, as PEM |
//! | `keys/` | their private keys, sealed |
//! | `offline/` | what belongs into a safe: the spare anchor's key |
//! | `manifests/` | every manifest that was signed |
//!
//! A station's folder has the same shape and only its own line's key.

use crate::{
    custody,
    error::FactoryError,
    files,
    journal::{Head, Journal, JournalError},
    ledger::{Ledger, LineLimits, OrderReport},
    name::{CustomerName, LineName, OrderName},
    record::{FORM, Reason, Record},
    serial::DeviceSerial,
    settings::{LineSettings, Settings},
};
use gatehouse_base::Clock;
use gatehouse_ca::{StretchCost, unlock::Unlock};
use gatehouse_pki::{
    Builtin, Certificate, CommonName, Facts, Issuer, KeyAlgorithm, OrganisationName, Profile, Serial, SignedCsr, Signer, SoftwareKey,
};
use gatehouse_types::{Random, UnixTime};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

const SETTINGS: &str = "factory.toml";
const JOURNAL: &str = "journal";
const CERTIFICATES: &str = "certificates";
const KEYS: &str = "keys";
const OFFLINE: &str = "offline";
pub(crate) const MANIFESTS: &str = "manifests";

const DEVICE_ROOT: &str = "device-root";
const SERVICE_ROOT: &str = "service-root";
const SERVICE_SPARE: &str = "service-spare";
const RECORDS: &str = "records";

/// A file of certificates is much smaller.
const MAX_CERTIFICATES: u64 = 256 * 1024;

/// The certificate that signs manifests and allotments. Its purpose is the one that `openssl cms -verify` asks for, and
/// neither that of a device nor that of a server.
const RECORDS_PROFILE: &str = r#"
name = "manufacturer-records"
about = "What a manufacturer signs manifests and allotments with."
kind = "leaf"
keys = ["P-256"]
key-usage = ["digital-signature"]
extended-key-usage = ["1.3.6.1.5.5.7.3.4"]

[subject]
organisation = "required"
common-name = "common-name"

[validity]
lifetime = "no-end"
"#;

/// Where time and randomness come from.
#[derive(Clone)]
pub struct Surroundings {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Serial numbers, nonces, sealing.
    pub random: Arc<dyn Random>,
}

/// The factory as its files say, without the right to change it: reading it needs no key and hinders nobody.
pub struct Books {
    pub(crate) folder: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) ledger: Ledger,
    head: Head,
}

/// A factory, open for work. No other process has it open so.
pub struct Factory {
    pub(crate) books: Books,
    journal: Journal,
    pub(crate) surroundings: Surroundings,
}

impl Books {
    /// Reads what is written so far, also while another process works.
    ///
    /// # Errors
    /// There is no factory, or its settings or journal cannot be read.
    pub fn read(folder: &Path) -> Result<Self, FactoryError> {
        let settings = settings(folder)?;
        let mut ledger = Ledger::default();
        let head = Journal::read(&folder.join(JOURNAL), |record: Record| ledger.apply(record))?;
        let books = Self { folder: folder.to_owned(), settings, ledger, head };
        books.check()?;
        Ok(books)
    }

    fn check(&self) -> Result<(), FactoryError> {
        let (settings, journal) = (&self.settings, &self.ledger);
        let is_ours = journal.manufacturer() == Some(&settings.manufacturer) && journal.station() == settings.station.as_ref();
        if is_ours {
            return Ok(());
        }
        let named = |manufacturer: Option<&OrganisationName>, station: Option<&crate::StationName>| {
            let station = station.map(|station| format!(", station {station}")).unwrap_or_default();
            format!("{}{station}", manufacturer.map_or("nobody", OrganisationName::as_str))
        };
        let settings = named(Some(&settings.manufacturer), settings.station.as_ref());
        Err(FactoryError::OtherFactory { settings, journal: named(journal.manufacturer(), journal.station()) })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How every order stands.
    pub fn orders(&self) -> Vec<OrderReport> {
        self.ledger.orders()
    }

    /// The journal's end.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The certificate at the top of every device's chain.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn device_root(&self) -> Result<Certificate, FactoryError> {
        self.certificate(DEVICE_ROOT)
    }

    /// Whom devices trust as provisioning service: the anchor in use, then the spare.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn service_anchors(&self) -> Result<Vec<Certificate>, FactoryError> {
        Ok(vec![self.certificate(SERVICE_ROOT)?, self.certificate(SERVICE_SPARE)?])
    }

    /// A line's certificate, and the device root that signed it.
    ///
    /// # Errors
    /// There is no such line, or a file cannot be read.
    pub fn line_chain(&self, line: &LineName) -> Result<Vec<Certificate>, FactoryError> {
        self.line_settings(line)?;
        Ok(vec![self.certificate(&format!("line-{line}"))?, self.device_root()?])
    }

    /// The line that is meant when none is named.
    ///
    /// # Errors
    /// There are several, or the named one does not exist.
    pub fn line(&self, named: Option<&LineName>) -> Result<LineName, FactoryError> {
        match (named, self.settings.lines.len()) {
            (Some(line), _) => self.line_settings(line).map(|_| line.clone()),
            (None, 1) => Ok(self.settings.lines.keys().next().expect("there is one").clone()),
            (None, _) => Err(FactoryError::WhichLine),
        }
    }

    pub(crate) fn line_settings(&self, line: &LineName) -> Result<&LineSettings, FactoryError> {
        self.settings.lines.get(line).ok_or_else(|| FactoryError::UnknownLine { line: line.clone() })
    }

    pub(crate) fn limits(&self, line: &LineName) -> Result<LineLimits, FactoryError> {
        self.line_settings(line).map(|settings| LineLimits { until: settings.until, budget: settings.budget })
    }

    pub(crate) fn certificate(&self, name: &str) -> Result<Certificate, FactoryError> {
        read_certificate(&self.folder.join(CERTIFICATES).join(format!("{name}.pem")))
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.folder.join(KEYS).join(format!("{name}.key"))
    }

    /// The files of all sealed keys that belong here, each with the certificate of its key.
    pub(crate) fn sealed_keys(&self) -> Result<Vec<(PathBuf, Certificate)>, FactoryError> {
        let mut keys = Vec::new();
        if self.settings.station.is_none() {
            for name in [DEVICE_ROOT, SERVICE_ROOT, RECORDS] {
                keys.push((self.key_path(name), self.certificate(name)?));
            }
            keys.push((self.folder.join(OFFLINE).join(format!("{SERVICE_SPARE}.key")), self.certificate(SERVICE_SPARE)?));
        }
        for (name, _) in self.settings.lines.iter().filter(|(_, line)| line.token.is_none()) {
            let file = format!("line-{name}");
            // A line that stands in the settings and was not made yet has neither.
            if self.folder.join(CERTIFICATES).join(format!("{file}.pem")).exists() {
                keys.push((self.key_path(&file), self.certificate(&file)?));
            }
        }
        Ok(keys)
    }

    /// Opens one of the factory's keys in a file.
    fn key(&self, name: &str, unlock: &Unlock) -> Result<SoftwareKey, FactoryError> {
        let certificate = self.certificate(name)?;
        Ok(custody::open(&self.key_path(name), unlock, certificate.public_key())?)
    }

    /// Opens a line for signing.
    pub(crate) fn issuer(&self, line: &LineName, unlock: &Unlock) -> Result<Issuer, FactoryError> {
        let chain = self.line_chain(line)?;
        let signer: Arc<dyn Signer> = match &self.line_settings(line)?.token {
            None => Arc::new(self.key(&format!("line-{line}"), unlock)?),
            Some(token) => crate::token::open(line, token, chain[0].public_key())?,
        };
        Ok(Issuer::new(chain, signer)?)
    }

    /// What manifests and allotments are signed with.
    pub(crate) fn records(&self, unlock: &Unlock) -> Result<(Certificate, SoftwareKey), FactoryError> {
        Ok((self.certificate(RECORDS)?, self.key(RECORDS, unlock)?))
    }

    /// The root of the provisioning servers, for signing one.
    pub(crate) fn service_issuer(&self, unlock: &Unlock) -> Result<Issuer, FactoryError> {
        self.at_factory()?;
        Ok(Issuer::new(vec![self.certificate(SERVICE_ROOT)?], Arc::new(self.key(SERVICE_ROOT, unlock)?))?)
    }

    /// The device root, for signing a line. Its key may be kept elsewhere between the times it is needed.
    pub(crate) fn root_issuer(&self, unlock: &Unlock) -> Result<Issuer, FactoryError> {
        self.at_factory()?;
        Ok(Issuer::new(vec![self.device_root()?], Arc::new(self.key(DEVICE_ROOT, unlock)?))?)
    }

    pub(crate) fn at_factory(&self) -> Result<(), FactoryError> {
        match &self.settings.station {
            Some(station) => Err(FactoryError::AtStation { station: station.clone() }),
            None => Ok(()),
        }
    }
}

impl Factory {
    /// Makes a factory in a folder that must not exist: both roots, the spare service anchor, the certificate that signs
    /// records, and every line of the settings whose key is not in a token.
    ///
    /// # Errors
    /// The folder exists, or something in it cannot be made; then there is no folder.
    pub fn init(folder: &Path, settings: Settings, unlock: &Unlock, cost: StretchCost, around: Surroundings) -> Result<Self, FactoryError> {
        if fs::symlink_metadata(folder).is_ok() {
            return Err(FactoryError::Exists { folder: folder.to_owned() });
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let beside = folder.with_file_name(format!(".{name}.new-{}", std::process::id()));
        files::make_folder(&beside)?;
        let made = Making { folder: &beside, settings: &settings, unlock, cost, around: &around }.run();
        let placed = made.and_then(|()| Ok(files::rename(&beside, folder)?));
        if let Err(error) = placed {
            // What is left is a folder that nobody names; that it cannot be removed is not the news.
            let _ = fs::remove_dir_all(&beside);
            return Err(error);
        }
        Self::open(folder, around)
    }

    /// Opens a factory for work.
    ///
    /// # Errors
    /// There is no factory, another process works in it, others may enter its folder, or its files are damaged.
    pub fn open(folder: &Path, around: Surroundings) -> Result<Self, FactoryError> {
        let settings = settings(folder)?;
        files::check_folder(folder)?;
        let mut ledger = Ledger::default();
        let journal = Journal::open(&folder.join(JOURNAL), |record: Record| ledger.apply(record))?;
        let books = Books { folder: folder.to_owned(), settings, ledger, head: journal.head() };
        books.check()?;
        Ok(Self { books, journal, surroundings: around })
    }

    /// What is written so far.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Makes a further line, whose settings are in `factory.toml` already.
    ///
    /// # Errors
    /// The line is not in the settings or exists, or the root's key is not here.
    pub fn add_line(&mut self, line: &LineName, unlock: &Unlock, cost: StretchCost) -> Result<Certificate, FactoryError> {
        if self.books.certificate(&format!("line-{line}")).is_ok() {
            return Err(FactoryError::LineExists { line: line.clone() });
        }
        let settings = self.books.line_settings(line)?.clone();
        let root = self.books.root_issuer(unlock)?;
        let making = Making { folder: &self.books.folder, settings: &self.books.settings, unlock, cost, around: &self.surroundings };
        making.line(line, &settings, &root)
    }

    /// Opens an order, or changes how many devices it plans.
    ///
    /// # Errors
    /// The order is for another customer or closed, or more devices were made already.
    pub fn order(&mut self, order: OrderName, customer: CustomerName, planned: u64) -> Result<OrderReport, FactoryError> {
        let record = self.books.ledger.plan_order(order.clone(), customer, planned, self.now())?;
        self.write(vec![record])?;
        Ok(self.books.ledger.order(&order)?)
    }

    /// Closes an order of which nothing is open.
    ///
    /// # Errors
    /// There is no such order, or it has open devices.
    pub fn close_order(&mut self, order: &OrderName) -> Result<OrderReport, FactoryError> {
        let record = self.books.ledger.close_order(order.clone(), self.now())?;
        self.write(vec![record])?;
        Ok(self.books.ledger.order(order)?)
    }

    /// Notes that devices were thrown away, and revokes their certificates.
    ///
    /// # Errors
    /// One of them was never made, has left, or was thrown away before.
    pub fn scrap(&mut self, devices: Vec<DeviceSerial>, remark: &str) -> Result<(), FactoryError> {
        let record = self.books.ledger.scrap(devices, remark.to_owned(), self.now())?;
        self.write(vec![record])
    }

    /// Revokes the certificate of a device.
    ///
    /// # Errors
    /// The device was never made, or its certificate is revoked.
    pub fn revoke(&mut self, device: &DeviceSerial, reason: Reason) -> Result<Serial, FactoryError> {
        let certificate = self.books.ledger.revoke_device(device)?;
        self.lists(&certificate)?;
        self.write(vec![Record::Revoked { certificate: certificate.clone(), reason, at: self.now() }])?;
        Ok(certificate)
    }

    /// Revokes a certificate by its serial number, also one that was replaced.
    ///
    /// # Errors
    /// It was never made here, or is revoked.
    pub fn revoke_certificate(&mut self, certificate: &Serial, reason: Reason) -> Result<(), FactoryError> {
        self.books.ledger.revoke_certificate(certificate)?;
        self.lists(certificate)?;
        self.write(vec![Record::Revoked { certificate: certificate.clone(), reason, at: self.now() }])
    }

    /// Demands that the list of the certificate's line is signed here: at a station otherwise.
    fn lists(&self, certificate: &Serial) -> Result<(), FactoryError> {
        match self.books.ledger.line_of(certificate) {
            Some(line) if !self.books.settings.lines.contains_key(line) => Err(FactoryError::AwayLine { line: line.clone() }),
            _ => Ok(()),
        }
    }

    /// Writes what was decided; after this returns it is on the disk.
    pub(crate) fn write(&mut self, records: Vec<Record>) -> Result<(), FactoryError> {
        self.journal.append(&records)?;
        self.books.head = self.journal.head();
        for record in records {
            let line = self.books.head.lines;
            let path = self.books.folder.join(JOURNAL);
            self.books.ledger.apply(record).map_err(|reason| JournalError::Record { path, line, reason })?;
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.surroundings.clock.now()
    }

    /// Whether the line may sign so many certificates now.
    pub(crate) fn may_sign(&self, line: &LineName, wanted: u64) -> Result<(), FactoryError> {
        let limits = self.books.limits(line)?;
        Ok(self.books.ledger.may_sign(line, limits, wanted, self.now())?)
    }
}

fn settings(folder: &Path) -> Result<Settings, FactoryError> {
    let path = folder.join(SETTINGS);
    if !path.is_file() {
        return Err(FactoryError::NoFactory { folder: folder.to_owned() });
    }
    Settings::load(&path).map_err(FactoryError::Settings)
}

pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, FactoryError> {
    let mut chain = Certificate::chain_from_pem(&files::read(path, MAX_CERTIFICATES)?)?;
    Ok(chain.swap_remove(0))
}

/// What a factory's folder is made with.
struct Making<'a> {
    folder: &'a Path,
    settings: &'a Settings,
    unlock: &'a Unlock,
    cost: StretchCost,
    around: &'a Surroundings,
}

impl Making<'_> {
    fn run(&self) -> Result<(), FactoryError> {
        for folder in [CERTIFICATES, KEYS, OFFLINE, MANIFESTS] {
            files::make_folder(&self.folder.join(folder))?;
        }
        let root = self.root(DEVICE_ROOT, Builtin::ManufacturerRoot, KEYS, "device root")?;
        self.root(SERVICE_ROOT, Builtin::ServiceRoot, KEYS, "provisioning service")?;
        self.root(SERVICE_SPARE, Builtin::ServiceRoot, OFFLINE, "provisioning service, spare")?;
        let records = Profile::from_toml(RECORDS_PROFILE).expect("a test reads the profile");
        let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
        self.issue(RECORDS, &records, &key, &root, "records")?;
        self.seal(KEYS, RECORDS, &key)?;
        for (name, line) in &self.settings.lines {
            self.line(name, line, &root)?;
        }
        files::write_new(&self.folder.join(SETTINGS), self.settings.to_toml().as_bytes())?;
        let mut journal = Journal::create(&self.folder.join(JOURNAL))?;
        let (manufacturer, station) = (self.settings.manufacturer.clone(), self.settings.station.clone());
        journal.append(&[Record::Opened { form: FORM, manufacturer, station, at: self.around.clock.now() }])?;
        Ok(files::sync_folder(self.folder)?)
    }

    fn line(&self, name: &LineName, settings: &LineSettings, root: &Issuer) -> Result<Certificate, FactoryError> {
        let file = format!("line-{name}");
        let profile = Profile::builtin(Builtin::ManufacturerIntermediate);
        if let Some(token) = &settings.token {
            let signer = crate::token::find(name, token)?;
            return self.issue(&file, &profile, signer.as_ref(), root, name.as_str());
        }
        let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
        // The key first: a certificate says that the line exists, and then it must be able to sign.
        self.seal(KEYS, &file, &key)?;
        self.issue(&file, &profile, &key, root, name.as_str())
    }

    fn root(&self, file: &str, profile: Builtin, keys: &str, called: &str) -> Result<Issuer, FactoryError> {
        let key = Arc::new(SoftwareKey::generate(KeyAlgorithm::P256)?);
        let now = self.around.clock.now();
        let approved = Profile::builtin(profile).approve(SignedCsr::for_software_key(&key), &self.facts(called)?, now)?;
        let certificate = Issuer::self_signed(approved, key.as_ref(), self.around.random.as_ref())?;
        self.seal(keys, file, &key)?;
        self.keep(file, &certificate)?;
        Ok(Issuer::new(vec![certificate], key)?)
    }

    fn issue(&self, file: &str, profile: &Profile, key: &dyn Signer, root: &Issuer, called: &str) -> Result<Certificate, FactoryError> {
        let approved = profile.approve(SignedCsr::for_key(key)?, &self.facts(called)?, self.around.clock.now())?;
        let certificate = root.issue(approved, self.around.random.as_ref())?;
        self.keep(file, &certificate)?;
        Ok(certificate)
    }

    fn facts(&self, called: &str) -> Result<Facts, FactoryError> {
        facts(&self.settings.manufacturer, called)
    }

    fn seal(&self, keys: &str, file: &str, key: &SoftwareKey) -> Result<(), FactoryError> {
        let path = self.folder.join(keys).join(format!("{file}.key"));
        Ok(custody::seal(&path, key, self.unlock, self.cost, self.around.random.as_ref())?)
    }

    fn keep(&self, file: &str, certificate: &Certificate) -> Result<(), FactoryError> {
        let path = self.folder.join(CERTIFICATES).join(format!("{file}.pem"));
        Ok(files::write_new(&path, certificate.pem().as_bytes())?)
    }
}

/// What a certificate of the manufacturer's own says.
pub(crate) fn facts(manufacturer: &OrganisationName, called: &str) -> Result<Facts, FactoryError> {
    let name = format!("{} {called}", manufacturer.as_str());
    let name = name.parse::<CommonName>().map_err(|error| FactoryError::Names(error.to_string()))?;
    Ok(Facts::new().organisation(manufacturer.clone()).common_name(name))
}
