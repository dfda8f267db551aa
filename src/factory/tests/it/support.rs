//! A factory in a temporary folder, and stock OpenSSL beside it.

use gatehouse_base::{Clock, SimulatedClock, SystemClock, SystemRandom};
use gatehouse_ca::{
    StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_factory::{Bundle, Factory, Settings, Surroundings};
use gatehouse_types::UnixTime;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tempfile::TempDir;

pub(crate) const SETTINGS: &str = r#"
    manufacturer = "Example Devices"
    provisioning = "coaps+tcp://dps.example.com:20030"
    part = 10
    numbering = { prefix = "GH-", digits = 6 }
    [line.line-1]
    until = "2030-01-01T00:00:00Z"
    budget = 10000
"#;

/// Everything that a test of the factory needs, gone at its end.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) unlock: Unlock,
}

impl House {
    pub(crate) fn new() -> Self {
        let now: UnixTime = "2026-11-20T12:00:00Z".parse().expect("time");
        let dir = tempfile::tempdir().expect("folder");
        Self { dir, clock: Arc::new(SimulatedClock::new(now)), unlock: Unlock::Key(Key::generate(&SystemRandom)) }
    }

    /// For tests in which stock programs look at their own clock.
    pub(crate) fn at_the_systems_time() -> Self {
        let house = Self::new();
        house.clock.set(SystemClock.now());
        house
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    pub(crate) fn around(&self) -> Surroundings {
        Surroundings { clock: self.clock.clone(), random: Arc::new(SystemRandom) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn factory(&self) -> Factory {
        self.factory_with("factory", SETTINGS)
    }

    pub(crate) fn factory_with(&self, name: &str, settings: &str) -> Factory {
        let settings = Settings::from_toml(settings).expect("settings");
        Factory::init(&self.path(name), settings, &self.unlock, StretchCost::DEFAULT, self.around()).expect("factory")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).expect("write");
        self.path(name)
    }

    /// A recipient's certificate and key, made by stock OpenSSL.
    pub(crate) fn recipient(&self) -> (PathBuf, PathBuf) {
        let (certificate, key) = (self.path("recipient.pem"), self.path("recipient.key"));
        if !key.exists() {
            self.openssl("ecparam -name prime256v1 -genkey -noout -out recipient.key");
            self.openssl("req -x509 -new -key recipient.key -subj /CN=recipient -days 30 -out recipient.pem");
        }
        (certificate, key)
    }

    /// A device's request, made by stock OpenSSL.
    pub(crate) fn request(&self, path: &str) -> PathBuf {
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {path}.key -subj /CN=device -out {path}"
        ));
        self.path(path)
    }

    /// Runs stock OpenSSL in the temporary folder; what it prints when it succeeds.
    pub(crate) fn openssl(&self, arguments: &str) -> String {
        self.try_openssl(arguments).unwrap_or_else(|error| panic!("openssl {arguments}: {error}"))
    }

    pub(crate) fn try_openssl(&self, arguments: &str) -> Result<String, String> {
        let run = Command::new("openssl").args(arguments.split_whitespace()).current_dir(&self.dir).output().expect("openssl runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if run.status.success() { Ok(text(&run.stdout)) } else { Err(text(&run.stderr)) }
    }
}

pub(crate) fn read(path: &Path) -> Vec<Bundle> {
    Bundle::read(&fs::read(path).expect("file")).expect("bundles")
}

/// Every bundle of a batch, in the order of their serials.
pub(crate) fn bundles(out: &Path) -> Vec<Bundle> {
    let files = fs::read_dir(out).expect("folder").map(|entry| entry.expect("entry").path());
    let mut all: Vec<Bundle> = files.flat_map(|path| read(&path)).collect();
    all.sort_by(|a, b| a.about.device.cmp(&b.about.device));
    all
}
