//! What a directory has to be for a store to open in it.

use gatehouse_store::{Batch, CommitError, Config, EngineName, Health, OpenError, Store, Table};
use std::{fs, os::unix::fs::FileExt, path::Path};
use tempfile::TempDir;

const A: Table = Table::new("a");
const ENGINES: [EngineName; 2] = [EngineName::Sled, EngineName::Fjall];

async fn filled(path: &Path, engine: EngineName) -> Config {
    let config = Config::new(path.join("store")).engine(engine);
    let store = Store::open(&config).await.expect("open");
    for n in 0..10 {
        store.commit(Batch::new().put(A, "k", format!("{n}"))).await.expect("commit");
    }
    config
}

fn temporary() -> TempDir {
    TempDir::new().expect("temporary directory")
}

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_is_first() {
    for engine in ENGINES {
        let directory = temporary();
        let config = filled(directory.path(), engine).await;
        let store = Store::open(&config).await.expect("open");
        let refused = Store::open(&config).await.expect_err("in use");
        assert!(matches!(&refused, OpenError::InUse { pid, .. } if *pid == std::process::id().to_string()), "{refused}");
        drop(store);
        Store::open(&config).await.expect("free again");
    }
}

#[tokio::test]
async fn a_snapshot_keeps_the_directory_in_use() {
    let directory = temporary();
    let config = filled(directory.path(), EngineName::Sled).await;
    let snapshot = Store::open(&config).await.expect("open").snapshot().await.expect("snapshot");
    assert_eq!(snapshot.get(A, "k").await.expect("read").expect("there").value, b"9");
    assert!(matches!(Store::open(&config).await, Err(OpenError::InUse { .. })));
    drop(snapshot);
    Store::open(&config).await.expect("free again");
}

#[tokio::test]
async fn a_directory_with_other_files_is_left_alone() {
    let directory = temporary();
    fs::write(directory.path().join("thesis.txt"), "years of work").expect("write");
    let refused = Store::open(&Config::new(directory.path())).await;
    assert!(matches!(refused, Err(OpenError::NotAStore { .. })));
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
}

#[tokio::test]
async fn a_creation_that_was_cut_off_is_done_again() {
    let directory = temporary();
    fs::write(directory.path().join("lock"), "").expect("write");
    fs::write(directory.path().join("acknowledged"), "torn").expect("write");
    fs::write(directory.path().join("format.new"), "gateho").expect("write");
    let store = Store::open(&Config::new(directory.path())).await.expect("open");
    store.commit(Batch::new().put(A, "k", "v")).await.expect("commit");
}

#[tokio::test]
async fn another_engine_is_refused() {
    let directory = temporary();
    let config = filled(directory.path(), EngineName::Sled).await.engine(EngineName::Fjall);
    let refused = Store::open(&config).await.expect_err("sled's");
    assert!(matches!(&refused, OpenError::OtherEngine { found, asked: "fjall", .. } if found == "sled"), "{refused}");
}

#[tokio::test]
async fn a_layout_of_a_newer_program_is_refused() {
    let directory = temporary();
    let config = filled(directory.path(), EngineName::Sled).await;
    fs::write(config.path.join("format"), "gatehouse store\nlayout 2\nengine sled\n").expect("write");
    let refused = Store::open(&config).await.expect_err("newer");
    assert_eq!(refused.to_string(), "the store has the layout 2, and this program knows 1 at most; use the newer program");
    fs::write(config.path.join("format"), "gatehouse store\nlayout x\n").expect("write");
    assert!(matches!(Store::open(&config).await, Err(OpenError::Damaged { .. })));
}

/// The directory as it was earlier stands for a disk that forgot what it had promised.
#[tokio::test]
async fn a_store_that_lost_what_was_acknowledged_is_refused() {
    for engine in ENGINES {
        let directory = temporary();
        let config = filled(directory.path(), engine).await;
        let (files, earlier) = (config.path.join(engine.name()), directory.path().join("earlier"));
        copy(&files, &earlier);
        let store = Store::open(&config).await.expect("open");
        store.commit(Batch::new().put(A, "k", "acknowledged")).await.expect("commit");
        drop(store);
        fs::remove_dir_all(&files).expect("remove");
        fs::rename(&earlier, &files).expect("rename");
        let refused = Store::open(&config).await.expect_err("lost");
        assert!(matches!(refused, OpenError::Lost { found: 10, acknowledged: 11 }), "{refused}");
    }
}

#[tokio::test]
async fn one_of_the_two_places_of_the_witness_may_be_damaged() {
    let directory = temporary();
    let config = filled(directory.path(), EngineName::Sled).await;
    let witness = fs::OpenOptions::new().write(true).open(config.path.join("acknowledged")).expect("open");
    witness.write_all_at(&[0xff; 16], 0).expect("write");
    drop(Store::open(&config).await.expect("the other one is good"));
    witness.write_all_at(&[0xff; 32], 0).expect("write");
    assert!(matches!(Store::open(&config).await, Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_disk_with_little_room_takes_no_batches_until_there_is_more() {
    for engine in ENGINES {
        let directory = temporary();
        let config = filled(directory.path(), engine).await;
        let store = Store::open(&Config { reserve_bytes: u64::MAX, ..config.clone() }).await.expect("open");
        let refused = store.commit(Batch::new().put(A, "k", "more")).await;
        assert!(matches!(refused, Err(CommitError::DiskFull { reserve: u64::MAX, .. })), "{refused:?}");
        assert!(matches!(store.health(), Health::Full { .. }));
        assert_eq!(store.get(A, "k").await.expect("read").expect("there").value, b"9");
        drop(store);
        let store = Store::open(&config).await.expect("open");
        assert_eq!(store.health(), Health::Good);
        store.commit(Batch::new().put(A, "k", "more")).await.expect("room again");
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("make");
    for entry in fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copy");
        }
    }
}
