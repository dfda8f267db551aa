//! `gatehouse store` beside a running server and without one.

use crate::support::{PLAIN, PROGRAM};
use gatehouse_base::SystemRandom;
use gatehouse_events::{Events, KeySealer, LocalBus, SealError};
use gatehouse_pki::{KeyAlgorithm, Signer, SoftwareKey};
use gatehouse_store::{Batch, Config, EngineName, Position, Store, Stream, Table};
use gatehouse_testkit::server::Installation;
use gatehouse_types::{Secret, UnixTime};
use serde_json::Value;
use std::{fs, process::Output, sync::Arc};

const THINGS: Table = Table::new("things");

/// An installation whose store has something in it before its server ever ran.
fn filled(engine: EngineName) -> Installation {
    let configuration = format!("{PLAIN}[store]\nengine = \"{}\"\n", engine.name());
    let installation = Installation::new(PROGRAM, &configuration).expect("installation");
    run(with_store(&installation, engine, async |store| {
        for n in 0..50u8 {
            store.commit(Batch::new().put(THINGS, [n], [n; 100]).append(&log(), [n])).await.expect("commit");
        }
    }));
    installation
}

async fn with_store(installation: &Installation, engine: EngineName, act: impl AsyncFnOnce(&Store)) {
    let store = Store::open(&Config::new(installation.folder().join("data/store")).engine(engine)).await.expect("open");
    act(&store).await;
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

fn log() -> Stream {
    "things".parse().expect("name")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_sound_store_verifies_with_and_without_a_server() {
    let installation = filled(EngineName::Fjall);
    let without = installation.run(&["--json", "store", "verify"]).expect("runs");
    let found = json(&without);
    assert_eq!((&found["wrong"], &found["tables"]["things"]["number"]), (&0.into(), &50.into()), "{found}");
    let server = installation.start().expect("the server starts");
    let with: Value = serde_json::from_str(&server.command(&["--json", "store", "verify"])).expect("json");
    assert_eq!((&with["wrong"], &with["tables"]["things"]), (&0.into(), &found["tables"]["things"]));
    assert!(server.command(&["store", "verify"]).contains("good: "));
    assert!(server.command(&["store", "stats"]).contains("things"));
}

#[test]
fn an_export_of_a_running_server_fills_a_store_of_another_engine() {
    let server = filled(EngineName::Fjall).start().expect("the server starts");
    let file = server.installation().folder().join("copy");
    let path = file.to_str().expect("path");
    server.command(&["store", "export", path]);
    let again = server.installation().run(&["store", "export", path]).expect("runs");
    assert_eq!(again.status.code(), Some(7), "a file that is there is left alone");

    let other = Installation::new(PROGRAM, &format!("{PLAIN}[store]\nengine = \"sled\"\n")).expect("installation");
    let import = other.run(&["--json", "store", "import", path]).expect("runs");
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    assert_eq!(json(&import)["engine"], "sled");
    let stats = |installation: &Installation| {
        let found = json(&installation.run(&["--json", "store", "stats"]).expect("runs"));
        (found["tables"]["things"].clone(), found["records"].clone())
    };
    assert_eq!(stats(&other), stats(server.installation()));
    let twice = other.run(&["store", "import", path]).expect("runs");
    assert_eq!(twice.status.code(), Some(7), "a store that holds something is left alone");
}

#[test]
fn an_import_of_something_else_is_refused() {
    let installation = Installation::new(PROGRAM, PLAIN).expect("installation");
    let import = installation.run(&["store", "import", installation.file().to_str().expect("path")]).expect("runs");
    assert_eq!(import.status.code(), Some(4), "{}", String::from_utf8_lossy(&import.stderr));
    let missing = installation.run(&["store", "import", "nowhere"]).expect("runs");
    assert_eq!(missing.status.code(), Some(6));
}

#[test]
fn commands_without_a_store_say_so_and_make_none() {
    let installation = Installation::new(PROGRAM, PLAIN).expect("installation");
    let verify = installation.run(&["store", "verify"]).expect("runs");
    assert_eq!(verify.status.code(), Some(6), "{}", String::from_utf8_lossy(&verify.stderr));
    assert!(!installation.folder().join("data/store").exists());
}

#[test]
fn a_server_signs_how_far_streams_have_come_and_verification_finds_its_key() {
    let server = filled(EngineName::Fjall).start().expect("the server starts");
    server.logged("checkpoints signed");
    let with: Value = serde_json::from_str(&server.command(&["--json", "store", "verify"])).expect("json");
    assert_eq!(with["checkpoints"]["tampered"], 0, "{with}");
    assert!(with["checkpoints"]["good"].as_u64() >= Some(1), "{with}");
    let key = server.installation().folder().join("data/checkpoints.pub");
    assert!(fs::read_to_string(&key).expect("written").starts_with("-----BEGIN PUBLIC KEY-----"));

    let copied = filled(EngineName::Fjall);
    fs::copy(key, copied.folder().join("data/checkpoints.pub")).expect("copied");
    let without = json(&copied.run(&["--json", "store", "verify"]).expect("runs"));
    assert_eq!(without["checkpoints"]["uncovered"], 50, "nothing was signed there: {without}");
}

/// Never asked: nothing here is about a subject.
struct NoSubjects;

impl KeySealer for NoSubjects {
    fn seal(&self, _: &str, _: &Secret) -> Result<Vec<u8>, SealError> {
        Err(SealError("no subjects".into()))
    }

    fn unseal(&self, _: &str, _: &[u8]) -> Result<Secret, SealError> {
        Err(SealError("no subjects".into()))
    }
}

#[test]
fn a_stream_that_was_cut_behind_its_seal_ends_with_4_and_retention_does_not() {
    let installation = filled(EngineName::Fjall);
    let signer = SoftwareKey::generate(KeyAlgorithm::P256).expect("key");
    let (good, foreign) = (installation.folder().join("events.pub"), installation.folder().join("foreign.pub"));
    fs::write(&good, signer.public_key().to_pem()).expect("written");
    let other = SoftwareKey::generate(KeyAlgorithm::P256).expect("key");
    fs::write(&foreign, other.public_key().to_pem()).expect("written");
    let verify = |key: &std::path::Path| {
        installation.run(&["--json", "store", "verify", "--checkpoint-key", key.to_str().expect("path")]).expect("runs")
    };

    run(with_store(&installation, EngineName::Fjall, async |store| {
        let events = Events::new(store.clone(), Arc::new(LocalBus::default()), Arc::new(NoSubjects), Arc::new(SystemRandom));
        events.retain(&log(), Position(20), &signer, UnixTime::from_secs(1)).await.expect("retain");
    }));
    let retained = verify(&good);
    assert!(retained.status.success(), "{}", String::from_utf8_lossy(&retained.stdout));
    assert_eq!(json(&retained)["checkpoints"]["good"], 1);
    assert_eq!(verify(&foreign).status.code(), Some(4), "signed by a key that is not the one named");

    run(with_store(&installation, EngineName::Fjall, async |store| {
        store.commit(Batch::new().truncate(&log(), Position(30))).await.expect("cut");
    }));
    let cut = verify(&good);
    assert_eq!(cut.status.code(), Some(4));
    assert_eq!(json(&cut)["checkpoints"]["tampering"][0], "stream things was cut through 30 without a seal");
}
