//! A production line whose program is killed at any moment: every serial once, and no key anywhere but in its sealed
//! bundle.
//!
//! `GATEHOUSE_KILLS=1000 cargo test --test it -- --nocapture factory_kill` is the long form.

use crate::support::PROGRAM;
use gatehouse_factory::{Bundle, BundleKey, RecipientPrivateKey};
use gatehouse_testkit::process::command;
use gatehouse_types::Secret;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Kills in the short form.
const KILLS: u64 = 25;

/// Devices of one batch; in small parts, so that a kill meets every step often.
const DEVICES: u64 = 60;

struct Line {
    dir: TempDir,
    log: PathBuf,
}

impl Line {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let line = Self { log: dir.path().join("log"), dir };
        openssl(line.dir.path(), "ecparam -name prime256v1 -genkey -noout -out recipient.key");
        openssl(line.dir.path(), "req -x509 -new -key recipient.key -subj /CN=recipient -days 30 -out recipient.pem");
        let settings = "part = 7\nmanufacturer = \"Example\"\nprovisioning = \"coaps+tcp://dps.example.com:20030\"\n\
                        numbering = { prefix = \"GH-\", digits = 8 }\n[line.line-1]\nuntil = \"2999-01-01T00:00:00Z\"\nbudget = 1000000\n";
        fs::write(line.dir.path().join("settings.toml"), settings).expect("write");
        let made = line.command(&["init", "--settings", "settings.toml"]).status().expect("the program runs");
        assert!(made.success(), "{}", line.said());
        line
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(PROGRAM);
        let log = || File::options().create(true).append(true).open(&self.log).expect("log");
        command.current_dir(&self.dir).arg("factory").args(arguments).stdout(log()).stderr(log());
        // Whatever the program would write besides lands where the search looks.
        command.env("GATEHOUSE_FACTORY_KEY_FILE", "factory.key").env("TMPDIR", self.dir.path()).env("HOME", self.dir.path());
        command.env("RUST_LOG", "trace");
        if arguments[0] != "init" {
            command.env("GATEHOUSE_FACTORY", "factory");
        }
        command
    }

    /// Begins a batch, or goes on with it.
    fn batch(&self, number: u64) -> Child {
        let (count, out) = (DEVICES.to_string(), format!("out-{number}"));
        self.command(&["batch", "--count", &count, "--out", &out, "--recipient", "recipient.pem"]).spawn().expect("the program runs")
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The bundles that a kill left unfinished, as far as they can be read.
    fn unfinished(&self, batch: u64) -> Vec<Bundle> {
        let Ok(folder) = fs::read_dir(self.dir.path().join(format!("out-{batch}"))) else { return Vec::new() };
        let hidden = folder.map(|entry| entry.expect("entry")).filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."));
        hidden.flat_map(|entry| Bundle::read(&fs::read(entry.path()).expect("file")).unwrap_or_default()).collect()
    }

    /// Every visible bundle of so many batches.
    fn bundles(&self, batches: u64) -> Vec<Bundle> {
        let folders = (1..=batches).map(|number| self.dir.path().join(format!("out-{number}")));
        let entries = folders.flat_map(|folder| fs::read_dir(folder).expect("folder")).map(|entry| entry.expect("entry"));
        let files = entries.inspect(|entry| assert!(!entry.file_name().as_encoded_bytes().starts_with(b"."), "{entry:?} is left"));
        files.flat_map(|entry| Bundle::read(&fs::read(entry.path()).expect("file")).expect("bundles")).collect()
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let run = Command::new("openssl").args(arguments.split_whitespace()).current_dir(dir).output().expect("openssl runs");
    assert!(run.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&run.stderr));
}

/// Lets the child run for so long at most; whether it ended by itself.
fn run_for(mut child: Child, most: Duration) -> bool {
    let id = child.id();
    let (ended, wait) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let status = child.wait().expect("a child");
        // Nobody listens any more when the time was up.
        let _ = ended.send(());
        status
    });
    if wait.recv_timeout(most).is_err() {
        let id = rustix::process::Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id");
        // It may end at this very moment; then there is nobody to kill.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    }
    waiter.join().expect("the waiter").success()
}

#[test]
fn killed_at_any_moment_a_batch_goes_on_and_gives_every_serial_once() {
    let kills = std::env::var("GATEHOUSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut done = 0;
    while done < kills {
        let round = KILLS.min(kills - done);
        killed(round);
        done += round;
        println!("{done} of {kills} kills");
    }
}

/// One factory whose batches are killed so often.
fn killed(kills: u64) {
    let line = Line::new();
    let recipient =
        RecipientPrivateKey::from_pem(&Secret::new(fs::read(line.dir.path().join("recipient.key")).expect("file"))).expect("key");
    // How long a whole batch takes here, so that kills meet all of it.
    let begun = Instant::now();
    assert!(run_for(line.batch(1), Duration::from_secs(600)), "{}", line.said());
    let whole = begun.elapsed();

    // Keys that were made and thrown away by a kill: they must not be anywhere either.
    let mut lost = Vec::new();
    let (mut done, mut batches) = (0, 1);
    while done < kills {
        batches += 1;
        while !run_for(line.batch(batches), if done < kills { moment(whole) } else { Duration::from_secs(600) }) {
            assert!(done < kills, "the batch does not end: {}", line.said());
            done += 1;
            lost.extend(keys(&line.unfinished(batches), &recipient));
        }
    }
    let bundles = line.bundles(batches);
    let mut serials: Vec<_> = bundles.iter().map(|bundle| bundle.about.device.to_string()).collect();
    serials.sort();
    let expected: Vec<_> = (1..=batches * DEVICES).map(|number| format!("GH-{number:08}")).collect();
    let differs = serials.iter().zip(&expected).find(|(made, expected)| made != expected);
    assert_eq!((serials.len(), differs), (expected.len(), None));
    let mut keys = keys(&bundles, &recipient);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "a key belongs to one device");
    keys.extend(lost);
    search(&line, &keys);
    let status = line.command(&["status"]).status().expect("the program runs");
    assert!(status.success() && line.said().contains(&format!("{} devices made", batches * DEVICES)), "{}", line.said());
}

fn moment(whole: Duration) -> Duration {
    let mut draw = [0; 2];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut draw).expect("random");
    whole.mul_f64(f64::from(u16::from_le_bytes(draw)) / f64::from(u16::MAX))
}

/// The private scalars of the bundles, which only the recipient can know.
fn keys(bundles: &[Bundle], recipient: &RecipientPrivateKey) -> Vec<Vec<u8>> {
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
fn search(line: &Line, keys: &[Vec<u8>]) {
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
                let found = begins[place(&content[at..])] && forms.iter().any(|form| content[at..].starts_with(form));
                assert!(!found, "the bytes of a key are in {} at {at}", path.display());
            }
        }
    }
}

#[test]
fn the_search_finds_a_key_where_there_is_one() {
    let line = Line::new();
    let key: Vec<u8> = (0..32).map(|byte| byte * 7 + 3).collect();
    search(&line, std::slice::from_ref(&key));
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    use base64::{Engine, engine::general_purpose::STANDARD};
    let encoded = |before: &[u8]| STANDARD.encode([before, &key].concat()).into_bytes();
    for form in [key.clone(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes(), encoded(b""), encoded(b"a"), encoded(b"ab")] {
        let path = line.dir.path().join("leak");
        fs::write(&path, form).expect("write");
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| search(&line, std::slice::from_ref(&key))));
        assert!(found.is_err());
        fs::remove_file(path).expect("remove");
    }
}
