//! How far is a batch from what its cryptography costs?
//!
//! A device whose key is made here takes one key generation and one signature. The floor is how many of those all workers
//! together get done in a second, with nothing else; it is measured before and after each batch of the same run, on all
//! processors. There are two: a key that only leaves, as the batch makes it, and a pair that is ready to sign, as a program has one
//! that uses it. What lies between is deciding, encoding, the lint, sealing, the bundle, the journal and the disk.
//! Beside the rates stands the processor's time for one, to which neighbours on the machine and the disk do less.
//!
//! `cargo bench --bench factory` (arguments after `--`: devices of a batch, folder for the files)

#![expect(clippy::print_stdout, reason = "it talks to whoever runs it")]

use gatehouse_base::{SystemClock, SystemRandom};
use gatehouse_ca::{
    StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_factory::{BatchOrder, Delivery, Factory, Recipient, Settings, Surroundings, What};
use gatehouse_pki::{KeyAlgorithm, NewKey, Signer, SoftwareKey};
use std::{
    fmt,
    hint::black_box,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const DEVICES: u64 = 10_000;
const RUNS: u32 = 3;
const FLOOR_TIME: Duration = Duration::from_secs(1);

const SETTINGS: &str = r#"
manufacturer = "Example Devices"
provisioning = "coaps+tcp://dps.example.com:20030"
numbering = { prefix = "GH-" }
[line.line-1]
until = "2999-01-01T00:00:00Z"
budget = 100000000
"#;

fn main() {
    // `cargo bench` adds a flag of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let devices = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(DEVICES);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(folder).expect("a folder");
    let unlock = Unlock::Key(Key::generate(&SystemRandom));
    let around = Surroundings { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) };
    let settings = Settings::from_toml(SETTINGS).expect("settings");
    let mut factory = Factory::init(&dir.path().join("factory"), settings, &unlock, StretchCost::DEFAULT, around).expect("a factory");
    let workers = thread::available_parallelism().map_or(1, usize::from);
    println!("{workers} processors, {devices} devices a batch, files in {}", dir.path().display());
    for sealed in [false, true] {
        for run in 1..=RUNS {
            let before = floors(workers);
            let delivery = if sealed { Delivery::Sealed(recipient()) } else { Delivery::DangerPlain };
            let made = batch(&mut factory, &unlock, dir.path(), &format!("{sealed}-{run}"), devices, delivery);
            let after = floors(workers);
            let keys = if sealed { "sealed keys" } else { "plain keys " };
            print!("{keys} run {run}: {made}");
            for (number, name) in FLOORS.iter().enumerate() {
                let floor = before[number].mean(&after[number]);
                print!("; {name} {floor}, ratio {:.2} ({:.2})", made.rate / floor.rate, floor.processor / made.processor);
            }
            println!();
        }
    }
}

/// How fast something went.
struct Pace {
    /// How many in a second.
    rate: f64,
    /// The processor's time for each, all threads together, in microseconds.
    processor: f64,
}

impl Pace {
    /// So many since then.
    fn of(done: u64, elapsed: Duration, processor_before: Duration) -> Self {
        let processor = processor_time().saturating_sub(processor_before);
        Self { rate: done as f64 / elapsed.as_secs_f64(), processor: processor.as_secs_f64() * 1e6 / done as f64 }
    }

    fn mean(&self, other: &Self) -> Self {
        Self { rate: (self.rate + other.rate) / 2.0, processor: (self.processor + other.processor) / 2.0 }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:6.0}/s and {:5.1} us", self.rate, self.processor)
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

const FLOORS: [&str; 2] = ["keys and signatures", "pairs and signatures"];

fn floors(workers: usize) -> [Pace; 2] {
    let key = || drop(black_box(NewKey::generate(KeyAlgorithm::P256).expect("a key")));
    let pair = || drop(black_box(SoftwareKey::generate(KeyAlgorithm::P256).expect("a key")));
    [floor(workers, key), floor(workers, pair)]
}

/// Key generations with a signature each, by so many threads.
fn floor(workers: usize, generate: impl Fn() + Sync) -> Pace {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let line = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    let (begun, before) = (Instant::now(), processor_time());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    generate();
                    black_box(line.sign(black_box(&[7; 400])).expect("a signature"));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // It may wake early: the threads of a scope that ended before have unparked this one.
        while let Some(left) = FLOOR_TIME.checked_sub(begun.elapsed()) {
            thread::park_timeout(left);
        }
        stop.store(true, Ordering::Relaxed);
    });
    Pace::of(done.load(Ordering::Relaxed), begun.elapsed(), before)
}

fn batch(factory: &mut Factory, unlock: &Unlock, dir: &Path, name: &str, devices: u64, delivery: Delivery) -> Pace {
    let order = BatchOrder { what: What::Count(devices), line: None, order: None, out: dir.join(name), delivery };
    let before = processor_time();
    let report = factory.batch(&order, unlock, &mut |_| {}).expect("a batch");
    Pace::of(devices, report.took, before)
}

fn recipient() -> Recipient {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate =
        rcgen::CertificateParams::new(Vec::<String>::new()).and_then(|parameters| parameters.self_signed(&key)).expect("a certificate");
    Recipient::from_pem(certificate.pem().as_bytes()).expect("a recipient")
}
