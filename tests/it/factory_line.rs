//! A production line as its operator has it: the program, a factory, a recipient of keys; and a search for keys where
//! none may be.

use crate::support::PROGRAM;
use gatehouse_factory::{Bundle, BundleKey, RecipientPrivateKey};
use gatehouse_testkit::process::command;
use gatehouse_types::Secret;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
};
use tempfile::TempDir;

/// Devices of one batch; in small parts, so that what interrupts it meets every step often.
pub(crate) const DEVICES: u64 = 60;

/// A factory in a temporary folder. Everything that it writes lies in `disk`, or in the log beside it.
pub(crate) struct Line {
    pub(crate) dir: TempDir,
    log: PathBuf,
}

impl Line {
    pub(crate) fn new() -> Self {
        let line = Self::without_a_factory();
        line.run(&["init", "--settings", "settings.toml"]);
        line
    }

    pub(crate) fn without_a_factory() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let line = Self { log: dir.path().join("log"), dir };
        openssl(line.dir.path(), "ecparam -name prime256v1 -genkey -noout -out recipient.key");
        openssl(line.dir.path(), "req -x509 -new -key recipient.key -subj /CN=recipient -days 30 -out recipient.pem");
        let settings = "part = 7\nmanufacturer = \"Example\"\nprovisioning = \"coaps+tcp://dps.example.com:20030\"\n\
                        numbering = { prefix = \"GH-\", digits = 8 }\n[line.line-1]\nuntil = \"2999-01-01T00:00:00Z\"\nbudget = 1000000\n";
        fs::write(line.dir.path().join("settings.toml"), settings).expect("write");
        fs::create_dir(line.disk()).expect("folder");
        line
    }

    /// What would be lost if the power went away.
    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    pub(crate) fn recipient(&self) -> RecipientPrivateKey {
        let pem = fs::read(self.dir.path().join("recipient.key")).expect("file");
        RecipientPrivateKey::from_pem(&Secret::new(pem)).expect("key")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(PROGRAM);
        let log = || File::options().create(true).append(true).open(&self.log).expect("log");
        command.current_dir(&self.dir).arg("factory").args(arguments).stdout(log()).stderr(log());
        // Whatever the program would write besides lands where the search looks.
        command.env("GATEHOUSE_FACTORY_KEY_FILE", "factory.key").env("TMPDIR", self.dir.path()).env("HOME", self.dir.path());
        command.env("RUST_LOG", "trace");
        command.env("GATEHOUSE_FACTORY", "disk/factory").env("GATEHOUSE_FACTORY_RECIPIENT", "recipient.pem");
        command
    }

    /// Runs a command, which succeeds.
    pub(crate) fn run(&self, arguments: &[&str]) {
        let status = self.command(arguments).status().expect("the program runs");
        assert!(status.success(), "{arguments:?}: {}", self.said());
    }

    /// Begins a batch, or goes on with it.
    pub(crate) fn batch(&self, number: u64) -> Child {
        let (count, out) = (DEVICES.to_string(), format!("disk/out-{number}"));
        self.command(&["batch", "--count", &count, "--out", &out]).spawn().expect("the program runs")
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The bundles that a kill left unfinished, as far as they can be read.
    pub(crate) fn unfinished(&self, batch: u64) -> Vec<Bundle> {
        let Ok(folder) = fs::read_dir(self.disk().join(format!("out-{batch}"))) else { return Vec::new() };
        let hidden = folder.map(|entry| entry.expect("entry")).filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."));
        hidden.flat_map(|entry| Bundle::read(&fs::read(entry.path()).expect("file")).unwrap_or_default()).collect()
    }

    /// Every visible bundle of so many batches.
    pub(crate) fn bundles(&self, batches: u64) -> Vec<Bundle> {
        let folders = (1..=batches).map(|number| self.disk().join(format!("out-{number}")));
        let entries = folders.flat_map(|folder| fs::read_dir(folder).expect("folder")).map(|entry| entry.expect("entry"));
        let files = entries.inspect(|entry| assert!(!entry.file_name().as_encoded_bytes().starts_with(b"."), "{entry:?} is left"));
        files.flat_map(|entry| Bundle::read(&fs::read(entry.path()).expect("file")).expect("bundles")).collect()
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let run = Command::new("openssl").args(arguments.split_whitespace()).current_dir(dir).output().expect("openssl runs");
    assert!(run.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&run.stderr));
}

/// The private scalars of the bundles, which only the recipient can know.
pub(crate) fn keys(bundles: &[Bundle], recipient: &RecipientPrivateKey) -> Vec<Vec<u8>> {
    let scalar = |bundle: &Bundle| {
        let BundleKey::Sealed(message) = &bundle.key else { panic!("the key is sealed") };
        let pem = recipient.open(message).expect("it opens");
        let key = openssl_private(&pem);
        assert_eq!(key.len(), 32);
        key
    };
    bundles.iter().map(scalar).collect()
}

/// The scalar in a P-256 PKCS#8 (RFC 5915 in RFC 5958): an OCTET STRING of 32 bytes after `version 1`.
fn openssl_private(pem: &Secret) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = std::str::from_utf8(pem.expose()).expect("text");
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).expect("base64");
    let at = der.windows(5).position(|window| window == [2, 1, 1, 4, 32]).expect("a private key") + 5;
    der[at..at + 32].to_vec()
}

/// Searches everything that the program wrote for the bytes of a key: as they are, in hexadecimal, in base64.
pub(crate) fn search(line: &Line, keys: &[Vec<u8>]) {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    const PROBE: usize = 8;
    let place = |bytes: &[u8]| usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    let mut forms = BTreeSet::new();
    for key in keys {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        forms.insert(key[..PROBE].to_vec());
        forms.insert(hex.as_bytes()[..PROBE * 2].to_vec());
        forms.insert(hex.to_uppercase().as_bytes()[..PROBE * 2].to_vec());
        // Base64 depends on what stands before by up to two bytes.
        for skip in 0..3 {
            forms.insert(STANDARD_NO_PAD.encode(&key[skip..skip + 12]).into_bytes()[..PROBE].to_vec());
        }
    }
    // Most bytes are passed over by a look at three of them.
    let mut begins = vec![false; 1 << 24];
    forms.iter().for_each(|form| begins[place(form)] = true);
    let mut folders = vec![line.dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = fs::read(&path).expect("file");
            for at in 0..content.len().saturating_sub(PROBE - 1) {
                let is_form = |length: usize| content.get(at..at + length).is_some_and(|bytes| forms.contains(bytes));
                let found = begins[place(&content[at..])] && (is_form(PROBE) || is_form(PROBE * 2));
                assert!(!found, "the bytes of a key are in {} at {at}", path.display());
            }
        }
    }
}
