//! A production line whose power goes away at any moment: every serial once, nothing that the journal does not say, and
//! nothing lost that was said to be done.
//!
//! A command runs under the disk recorder. Its log is cut at many places, what a disk could then hold takes the place of
//! the folder, and the same command goes on with it, sometimes to lose power again.
//!
//! `GATEHOUSE_CUTS=1000 cargo test --test it -- --nocapture factory_power` is the long form; `GATEHOUSE_SEED` makes the
//! same cuts again, as far as threads allow.

use crate::factory_line::{DEVICES, Line, keys, search};
use gatehouse_factory::{Books, Bundle, CustomerName, DeviceSerial, Entry, Manifest, RecipientPrivateKey};
use gatehouse_testkit::faults::{
    disk::{Disk, Loss, Names},
    log::Operation,
    recorder::Recorder,
    seed::Chance,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Cuts in the short form, and those of one recording in the long one.
const CUTS: u64 = 20;

const ORDER: &str = "O-1";

#[test]
fn after_a_power_loss_at_any_moment_a_batch_goes_on_and_gives_every_serial_once() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cuts: u64 = number("GATEHOUSE_CUTS").unwrap_or(CUTS);
    let mut chance = seeded();
    let mut done = 0;
    while done < cuts {
        let round = CUTS.min(cuts - done);
        lose_power_in_a_batch(round, &mut chance);
        done += round;
        println!("{done} of {cuts} cuts");
    }
}

fn seeded() -> Chance {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").subsec_nanos();
    let seed = std::env::var("GATEHOUSE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(u64::from(now));
    eprintln!("GATEHOUSE_SEED={seed}");
    Chance::new(seed)
}

/// One batch beside an earlier one, whose writes are cut so often.
fn lose_power_in_a_batch(cuts: u64, chance: &mut Chance) {
    let line = Line::new();
    line.run(&["order", "open", ORDER, "--customer", "ACME", "--planned", "1000"]);
    line.run(&batch(1));
    let recording = Recording::of(&line, "first", &batch(2));
    let recipient = line.recipient();
    let known = keys(&line.bundles(2), &recipient);
    let made = journal(&line);
    assert_eq!(made.len() as u64, 2 * DEVICES);

    let mut second = None;
    // One in five is made of a run that goes on after an earlier one.
    let again = cuts / 5;
    recording.cut(&line, cuts - again, chance, |cut| {
        let before = journal(&line);
        if cut.at_the_end {
            assert_eq!(before, made, "{cut}: the journal lacks what was done");
            assert_eq!(line.bundles(2).len() as u64, 2 * DEVICES, "{cut}: bundles are lost");
        }
        if second.is_none() && before.len() < made.len() {
            second = Some((Recording::of(&line, "second", &batch(2)), before.clone()));
        } else {
            line.run(&batch(2));
        }
        is_whole(&line, &before, &known, &recipient, cut);
    });
    let Some((recording, before)) = second.filter(|_| again > 0) else { return };
    recording.cut(&line, again, chance, |cut| {
        let then = journal(&line);
        assert!(before.iter().all(|(serial, entry)| then.get(serial) == Some(entry)), "{cut}: what a run found is gone");
        line.run(&batch(2));
        is_whole(&line, &then, &known, &recipient, cut);
    });
}

fn batch(number: u64) -> [&'static str; 7] {
    let out = if number == 1 { "disk/out-1" } else { "disk/out-2" };
    ["batch", "--count", "60", "--out", out, "--order", ORDER]
}

/// Demands what holds after a batch that lost power went on: `before` is what the journal said then, `known` are the keys
/// of devices that may be gone.
fn is_whole(line: &Line, before: &BTreeMap<String, Entry>, known: &[Vec<u8>], recipient: &RecipientPrivateKey, cut: &Cut) {
    let bundles = line.bundles(2);
    let mut serials: Vec<_> = bundles.iter().map(|bundle| bundle.about.device.to_string()).collect();
    serials.sort();
    let expected: Vec<_> = (1..=2 * DEVICES).map(|number| format!("GH-{number:08}")).collect();
    assert_eq!(serials, expected, "{cut}");
    let after = journal(line);
    let entries: BTreeMap<_, _> = bundles.iter().map(|bundle| (bundle.about.device.to_string(), bundle.about.entry())).collect();
    assert_eq!(after, entries, "{cut}: the journal and the bundles differ");
    assert!(before.iter().all(|(serial, entry)| after.get(serial) == Some(entry)), "{cut}: the journal changed its mind");

    let mut here = keys(&bundles, recipient);
    assert_eq!(here.iter().collect::<BTreeSet<_>>().len(), here.len(), "{cut}: a key belongs to one device");
    here.extend_from_slice(known);
    // A search takes longer than all the rest.
    if cut.seed.is_multiple_of(4) || cut.at_the_end {
        search(line, &here);
    }

    line.run(&["ship", ORDER, "--out", "disk/manifest.p7m"]);
    let shipped = manifest(line, &fs::read(line.disk().join("manifest.p7m")).expect("manifest"));
    assert_eq!((shipped.sequence, shipped.devices), (1, entries.into_values().collect()), "{cut}: the manifest and the bundles differ");
}

/// Every device that the journal knows.
fn journal(line: &Line) -> BTreeMap<String, Entry> {
    let books = Books::read(&line.disk().join("factory")).expect("the journal is whole");
    let serials = (1..=4 * DEVICES).map(|number| format!("GH-{number:08}"));
    serials.filter_map(|serial| Some((serial.clone(), books.entry(&serial.parse::<DeviceSerial>().expect("serial"))?))).collect()
}

fn manifest(line: &Line, message: &[u8]) -> Manifest {
    use gatehouse_base::{Clock, SystemClock};
    let root = Books::read(&line.disk().join("factory")).and_then(|books| books.device_root()).expect("root");
    Manifest::verify(message, &root, SystemClock.now()).expect("it is signed").manifest().clone()
}

#[test]
fn after_a_power_loss_a_factory_is_there_whole_or_not_at_all() {
    let line = Line::without_a_factory();
    let init = ["init", "--settings", "settings.toml"];
    Recording::of(&line, "init", &init).cut(&line, 8, &mut seeded(), |cut| {
        if line.disk().join("factory").exists() || cut.at_the_end {
            assert_eq!(journal(&line).len(), 0, "{cut}");
        } else {
            line.run(&init);
        }
        line.run(&["sign", "--out", "disk/one.tar"]);
    });
}

#[test]
fn after_a_power_loss_a_single_device_was_made_once_or_is_made_again() {
    let line = Line::new();
    let sign = ["sign", "--out", "disk/one.tar"];
    Recording::of(&line, "sign", &sign).cut(&line, 8, &mut seeded(), |cut| {
        let path = line.disk().join("one.tar");
        assert!(path.exists() || !cut.at_the_end, "{cut}: the bundle is lost");
        if !path.exists() {
            line.run(&sign);
        }
        let bundles = Bundle::read(&fs::read(&path).expect("bundle")).expect("a whole bundle");
        let entries: BTreeMap<_, _> = bundles.iter().map(|bundle| (bundle.about.device.to_string(), bundle.about.entry())).collect();
        assert_eq!((journal(&line), entries.len()), (entries, 1), "{cut}");
    });
}

#[test]
fn after_a_power_loss_a_shipment_has_one_manifest() {
    let line = Line::new();
    line.run(&["order", "open", ORDER, "--customer", "ACME", "--planned", "10"]);
    line.run(&["sign", "--out", "disk/one.tar", "--order", ORDER]);
    let ship = ["ship", ORDER, "--out", "disk/manifest.p7m"];
    Recording::of(&line, "ship", &ship).cut(&line, 8, &mut seeded(), |cut| {
        let (path, customer) = (line.disk().join("manifest.p7m"), "ACME".parse::<CustomerName>().expect("name"));
        let books = Books::read(&line.disk().join("factory")).expect("the journal is whole");
        // What the journal names is kept in the factory, whatever became of the file that was asked for.
        match books.last_manifest(&customer) {
            Ok(kept) => assert!(!cut.at_the_end || fs::read(&path).is_ok_and(|sent| sent == kept), "{cut}: the manifest is lost"),
            Err(_) => {
                assert!(!path.exists() && !cut.at_the_end, "{cut}: the journal does not know the manifest");
                line.run(&ship);
            }
        }
        let books = Books::read(&line.disk().join("factory")).expect("the journal is whole");
        let kept = manifest(&line, &books.last_manifest(&customer).expect("a manifest"));
        assert_eq!((kept.sequence, kept.devices), (1, journal(&line).into_values().collect()), "{cut}");
    });
}

#[test]
fn after_a_power_loss_while_keys_are_sealed_anew_the_same_command_goes_on() {
    let line = Line::new();
    let reseal = ["reseal", "--new-key-file", "new.key"];
    let signed_with = |key: &str, out: &str| {
        let status = line.command(&["sign", "--out", out]).env("GATEHOUSE_FACTORY_KEY_FILE", key).status();
        status.expect("the program runs").success()
    };
    Recording::of(&line, "reseal", &reseal).cut(&line, 8, &mut seeded(), |cut| {
        assert!(!cut.at_the_end || signed_with("new.key", "disk/one.tar"), "{cut}: the new key does not open");
        line.run(&reseal);
        assert!(!signed_with("factory.key", "disk/two.tar"), "{cut}: the old key still opens");
        assert!(signed_with("new.key", "disk/two.tar"), "{cut}: the new key does not open");
    });
}

/// A command's trace on the disk, and the disk that it found.
struct Recording {
    base: PathBuf,
    operations: Vec<Operation>,
}

/// One loss of power.
struct Cut {
    position: usize,
    of: usize,
    loss: Loss,
    names: Names,
    seed: u64,
    /// The command had come to its end and said so.
    at_the_end: bool,
}

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, of, loss, names, seed, .. } = self;
        write!(out, "cut at operation {position} of {of}, {loss:?} lost, names {names:?}, seed {seed}")
    }
}

impl Recording {
    /// Runs the command to its end.
    fn of(line: &Line, name: &str, arguments: &[&str]) -> Self {
        let (base, log) = (line.dir.path().join(format!("{name}-base")), line.dir.path().join(format!("{name}-log")));
        copy(&line.disk(), &base);
        let mut disk = Disk::holding(&base).expect("base");
        let recorder = Recorder::of(&line.disk()).expect("folder").log(&log);
        let mut command = line.command(arguments);
        recorder.attach(&mut command).expect("the recorder");
        assert!(command.status().expect("the program runs").success(), "{arguments:?}: {}", line.said());
        let operations = recorder.operations().expect("log");
        operations.iter().for_each(|operation| disk.apply(operation));
        disk.matches(&line.disk()).expect("the recorder missed nothing");
        Self { base, operations }
    }

    /// Loses power so often, each time with what the disk then holds in the folder's place; the last time at the end.
    fn cut(&self, line: &Line, count: u64, chance: &mut Chance, mut check: impl FnMut(&Cut)) {
        let end = self.operations.len();
        for names in [Names::InOrder, Names::OfTheirFolder] {
            let share = (count / 2).max(1);
            let mut cuts: Vec<Cut> = (1..=share)
                .map(|one| {
                    let position = if one == share { end } else { self.position(chance) };
                    let loss = if one == share { Loss::Everything } else { Loss::ALL[chance.index(Loss::ALL.len())] };
                    Cut { position, of: end, loss, names, seed: chance.number(), at_the_end: position == end }
                })
                .collect();
            cuts.sort_by_key(|cut| cut.position);
            let mut disk = Disk::holding(&self.base).expect("base").keeping(names);
            let mut at = 0;
            for cut in &cuts {
                self.operations[at..cut.position].iter().for_each(|operation| disk.apply(operation));
                at = cut.position;
                fs::remove_dir_all(line.disk()).expect("removed");
                fs::create_dir(line.disk()).expect("folder");
                disk.cut(cut.loss, &mut Chance::new(cut.seed), &line.disk()).expect("written");
                keep_to_owner(&line.disk());
                check(cut);
            }
        }
    }

    /// Where to cut: half of the time around a synchronisation or a change of names, where files depend on one another.
    fn position(&self, chance: &mut Chance) -> usize {
        let start = chance.index(self.operations.len());
        let wanted: fn(&Operation) -> bool = match chance.below(4) {
            0 => |operation| matches!(operation, Operation::SyncBegin { .. } | Operation::SyncEnd { .. }),
            1 => |operation| matches!(operation, Operation::Rename { .. } | Operation::Open { created: true, .. }),
            _ => |_| true,
        };
        let found = self.operations[start..].iter().position(wanted).map_or(start, |offset| start + offset);
        found + 1
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("folder");
    let disk = Disk::holding(from).expect("folder");
    disk.cut(Loss::Nothing, &mut Chance::new(0), to).expect("copied");
}

/// Folders and files as the factory makes them: a loss of power does not open them to others, and the factory asks.
fn keep_to_owner(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("mode");
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() { keep_to_owner(&path) } else { fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode") }
    }
}
