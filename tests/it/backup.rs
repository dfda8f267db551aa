//! Backups made under load, restored elsewhere.

use crate::support::{PROGRAM, block_on};
use gatehouse::app::{
    Config,
    backup::{self, Open, Plan, Progress, Seal},
    custody,
};
use gatehouse_base::SystemRandom;
use gatehouse_ca::recipient::RecipientKey;
use gatehouse_store::{Batch, CommitError, Range, Store, Stream, Table};
use gatehouse_testkit::server::Installation;
use gatehouse_types::UnixTime;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

const ACCOUNTS: Table = Table::new("accounts");
const COUNT: Table = Table::new("count");
const EACH: u64 = 1000;
const KEYS: u64 = 200;
const WRITERS: u64 = 8;

fn installation() -> Installation {
    Installation::new(PROGRAM, "").expect("installation")
}

fn config(installation: &Installation) -> Config {
    Config::load(&installation.file()).unwrap_or_else(|mistakes| panic!("{mistakes}")).config
}

fn stream() -> Stream {
    "transfers".parse().expect("a name")
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}

fn key(account: u64) -> Vec<u8> {
    account.to_be_bytes().to_vec()
}

async fn fill(store: &Store) {
    let batch = (0..KEYS).fold(Batch::new(), |batch, account| batch.put(ACCOUNTS, key(account), EACH.to_be_bytes()));
    store.commit(batch.put(COUNT, "n", 0_u64.to_be_bytes())).await.expect("commits");
}

/// Moves one unit, counts the transfer and tells it, all in one batch.
async fn transfer(store: &Store, from: u64, to: u64) -> bool {
    let read = |account| async move { store.get(ACCOUNTS, key(account)).await.expect("reads").expect("is there") };
    let (source, target) = (read(from).await, read(to).await);
    let count = store.get(COUNT, "n").await.expect("reads").expect("is there");
    let (Some(less), more) = (number(&source.value).checked_sub(1), number(&target.value) + 1) else { return false };
    let batch = Batch::new()
        .require_version(ACCOUNTS, key(from), source.version)
        .require_version(ACCOUNTS, key(to), target.version)
        .require_version(COUNT, "n", count.version)
        .put(ACCOUNTS, key(from), less.to_be_bytes())
        .put(ACCOUNTS, key(to), more.to_be_bytes())
        .put(COUNT, "n", (number(&count.value) + 1).to_be_bytes())
        .append(&stream(), [from.to_be_bytes(), to.to_be_bytes()].concat());
    match store.commit(batch).await {
        Ok(_) => true,
        Err(CommitError::Conflict { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_backup_under_load_holds_one_moment_and_so_does_its_restoration_elsewhere() {
    let (here, elsewhere) = (installation(), installation());
    let (from, to) = (config(&here), config(&elsewhere));
    let recipient = RecipientKey::generate(&SystemRandom);
    let opener = here.folder().join("recipient.key");
    recipient.write_new(&opener).expect("written");
    let file = here.folder().join("backup");
    let plan = Plan { path: file.clone(), seal: Seal::Recipient(recipient.recipient().to_string()) };
    let done = Arc::new(AtomicU64::new(0));
    let (before, after) = block_on(async {
        let store = Store::open(&from.store).await.expect("a store");
        custody::open(&from, &store).await.expect("a keyring");
        fill(&store).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (store, stop, done) = (store.clone(), Arc::clone(&stop), Arc::clone(&done));
            writers.spawn(async move {
                for round in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let step = writer * 31 + round * 7;
                    if transfer(&store, step % KEYS, (step * 3 + 1) % KEYS).await {
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        while done.load(Ordering::SeqCst) < 200 {
            tokio::task::yield_now().await;
        }
        let before = done.load(Ordering::SeqCst);
        let now = UnixTime::from_secs(1_800_000_000);
        let written = backup::write(&store, &plan, &from.key_encryption.source, now, &Arc::default()).await.expect("writes");
        let after = done.load(Ordering::SeqCst);
        while done.load(Ordering::SeqCst) < after + 100 {
            tokio::task::yield_now().await;
        }
        stop.store(true, Ordering::SeqCst);
        writers.join_all().await;
        let length = fs::metadata(&file).expect("is there");
        assert_eq!((length.len(), length.permissions().mode() & 0o777), (written.bytes, 0o600));
        (before, after)
    });
    let (sum, position, count) = block_on(async {
        let progress = Arc::<Progress>::default();
        let restored = backup::restore(&to, &file, &Open::RecipientKey(opener), None, &progress).await.expect("restores");
        assert_eq!((restored.epoch, restored.rows), (1, progress.rows.load(Ordering::Relaxed)));
        let store = Store::open(&to.store).await.expect("opens");
        let rows = store.scan(ACCOUNTS, Range::all(), 10_000).await.expect("reads");
        assert_eq!(rows.len() as u64, KEYS);
        let sum: u64 = rows.iter().map(|(_, entry)| number(&entry.value)).sum();
        let position = store.head(&stream()).await.expect("reads").position.0;
        let told = store.read(&stream(), gatehouse_store::Position(1), 1_000_000).await.expect("reads").len() as u64;
        assert_eq!(told, position);
        let count = number(&store.get(COUNT, "n").await.expect("reads").expect("is there").value);
        (sum, position, count)
    });
    assert_eq!(sum, KEYS * EACH, "every transfer is there as a whole or not at all");
    assert_eq!(position, count, "the log ends where the state does");
    assert!((before..=after + WRITERS).contains(&count), "{before} {count} {after}");
    let made = done.load(Ordering::SeqCst);
    println!("backup at transfer {count} of {made} ({before} before it began, {after} when it ended); the sum over {KEYS} keys holds");
}

#[test]
fn what_was_revoked_after_the_backup_is_revoked_again_by_the_journal() {
    let here = installation();
    assert_run(&here, &["ca", "init", "--organisation", "Example"]);
    let server = here.start().expect("the server starts");
    let folder = server.installation().folder().to_owned();
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a request").pem().expect("PEM");
    fs::write(folder.join("agent.csr"), csr).expect("written");
    let csr = path(&folder, "agent.csr");
    let issue = |name: &str| {
        let made =
            server.command(&["--json", "ca", "issue", "--seat", "service", "--profile", "agent-client", "--common-name", name, &csr]);
        let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        made["record"]["serial"].as_str().expect("text").to_owned()
    };
    let (kept, revoked) = (issue("kept"), issue("revoked"));
    let passphrase = folder.join("passphrase");
    fs::write(&passphrase, "four random words here").expect("written");
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).expect("chmod");
    let (passphrase, file, journal) = (passphrase.display().to_string(), path(&folder, "backup"), path(&folder, "journal"));
    let written = server.command(&["--json", "backup", "--passphrase-file", &passphrase, &file]);
    assert!(written.contains("sha256"), "{written}");
    let late = issue("late");
    for serial in [&revoked, &late] {
        server.command(&["ca", "revoke", serial, "--reason", "key-compromise"]);
    }
    fs::write(&journal, server.command(&["ca", "journal"])).expect("written");

    let restore = |more: &[&str]| {
        let elsewhere = installation();
        let arguments = [&["--json", "restore", "--passphrase-file", &passphrase, &file], more].concat();
        let output = elsewhere.run(&arguments).expect("runs");
        (elsewhere, output)
    };
    let (without, output) = restore(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(standing(&without, &revoked), "current", "the backup alone does not know");
    let (with, output) = restore(&["--journal", &journal]);
    let restored: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&restored["revoked_again"], &restored["epoch"]), (&2.into(), &1.into()), "{restored}");
    assert_eq!((standing(&with, &revoked), standing(&with, &kept)), ("revoked".to_owned(), "current".to_owned()));

    fs::write(folder.join("service.crl"), assert_run(&with, &["ca", "crl", "service.1"])).expect("written");
    let list = openssl::x509::X509Crl::from_pem(&fs::read(folder.join("service.crl")).expect("reads")).expect("OpenSSL reads it");
    assert_eq!(list.get_revoked().expect("a list").len(), 2, "also the one that was issued after the backup");
    let status: serde_json::Value = serde_json::from_str(&assert_run(&with, &["--json", "ca", "status"])).expect("JSON");
    let numbers: Vec<u64> = status["lists"].as_array().expect("a list").iter().filter_map(|list| list[1].as_u64()).collect();
    assert!(numbers.len() == 2 && numbers.iter().all(|number| *number > 1 << 32), "the numbers jumped: {numbers:?}");

    let order = ["ca", "issue", "--seat", "service", "--profile", "agent-client", "--common-name", "new", &csr];
    assert_eq!(with.run(&order).expect("runs").status.code(), Some(8), "halted until somebody confirms");
    assert_run(&with, &["ca", "resume"]);
    assert_eq!(with.run(&order).expect("runs").status.code(), Some(5), "the key was revoked as compromised");
    let kept_key = rcgen::KeyPair::generate().expect("a key");
    let csr = rcgen::CertificateParams::default().serialize_request(&kept_key).expect("a request").pem().expect("PEM");
    fs::write(folder.join("agent.csr"), csr).expect("written");
    assert_run(&with, &order);
}

#[test]
fn a_damaged_backup_a_wrong_key_and_a_forged_journal_restore_nothing() {
    let here = installation();
    assert_run(&here, &["ca", "init", "--organisation", "Example"]);
    let folder = here.folder().to_owned();
    let (key, file, journal) = (path(&folder, "recipient"), path(&folder, "backup"), path(&folder, "journal"));
    let recipient = assert_run(&here, &["backup", "--new-recipient", &key]);
    assert_run(&here, &["backup", "--recipient", recipient.trim(), &file]);
    fs::write(&journal, assert_run(&here, &["ca", "journal"])).expect("written");
    let good = fs::read(&file).expect("reads");
    let refused = |code: i32, elsewhere: &Installation, file: &str, more: &[&str]| {
        let arguments = [&["restore", "--recipient-key", &key, file], more].concat();
        let output = elsewhere.run(&arguments).expect("runs");
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let left: Vec<_> = fs::read_dir(elsewhere.folder().join("data")).expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
    };
    let damaged = path(&folder, "damaged");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bytes in [good[..good.len() - 1].to_vec(), flipped, [&good[..], &[0]].concat(), Vec::new()] {
        fs::write(&damaged, bytes).expect("written");
        refused(4, &installation(), &damaged, &[]);
    }
    let foreign = installation();
    let other = fs::read_to_string(foreign.folder().join("key")).expect("reads").replace("AAEC", "BBEC");
    fs::write(foreign.folder().join("key"), other).expect("written");
    refused(5, &foreign, &file, &[]);
    let forged = fs::read_to_string(&journal).expect("reads").replacen("\\\"revoked\\\":[]", "\\\"revoked\\\": []", 1);
    fs::write(&journal, forged).expect("written");
    refused(4, &installation(), &file, &["--journal", &journal]);

    let good = installation();
    assert_run(&good, &["restore", "--recipient-key", &key, &file]);
    let again = good.run(&["restore", "--recipient-key", &key, &file]).expect("runs");
    assert_eq!(again.status.code(), Some(7), "a restore overwrites nothing");
}

#[test]
fn a_backup_holds_no_key_encryption_key_and_is_not_sealed_under_it() {
    let here = installation();
    assert_run(&here, &["ca", "init", "--organisation", "Example"]);
    let (key, file) = (path(here.folder(), "key"), path(here.folder(), "backup"));
    let refused = here.run(&["backup", "--key-file", &key, &file]).expect("runs");
    assert_eq!(refused.status.code(), Some(4));
    assert!(!Path::new(&file).exists());
    // The store itself, which a backup is made from, must not hold the key either.
    let secret: Vec<u8> = (0..32).collect();
    let mut folders = vec![here.folder().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let bytes = fs::read(&path).expect("a file");
                assert!(!bytes.windows(32).any(|window| window == secret), "{}", path.display());
            }
        }
    }
}

fn assert_run(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments).expect("runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn standing(installation: &Installation, serial: &str) -> String {
    let shown: serde_json::Value = serde_json::from_str(&assert_run(installation, &["--json", "ca", "show", serial])).expect("JSON");
    shown["record"]["standing"]["standing"].as_str().expect("text").to_owned()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}
