//! Data that earlier versions wrote still loads. `examples/old_data.rs` made it; it is never made again.

use crate::directory::copy;
use gatehouse_store::{Batch, ChainHash, Config, EngineName, Key, Position, Range, Store, Stream, Table};
use std::{fs, path::Path};
use tempfile::TempDir;

const THINGS: Table = Table::new("things");
/// The layouts that were ever released.
const LAYOUTS: [&str; 1] = ["1"];
/// The end of the chain, as the first version computed it.
const LAST_LINK: &str = "2c66786dee085b852c3149cd85cef744a8df436781412dd3a6a2b73d6e4af925";

fn data(layout: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(layout)
}

async fn holds_what_was_written(store: &Store) {
    let log: Stream = "things/log".parse().expect("name");
    let things = store.scan(THINGS, Range::all(), 100).await.expect("scan");
    assert_eq!(things.len(), 19);
    let entry = store.get(THINGS, Key::new().text("thing").number(19)).await.expect("read").expect("there");
    assert_eq!((entry.value.as_slice(), entry.version.0), (b"value 19".as_slice(), 20));
    assert_eq!(store.get(THINGS, Key::new().text("thing").number(7)).await, Ok(None));
    let records = store.read(&log, Position::START, 100).await.expect("read");
    assert_eq!((records.len(), records[0].position, records[0].payload.as_slice()), (15, Position(6), b"event 5".as_slice()));
    assert_eq!(records[14].hash.to_string(), LAST_LINK);
    let link = (0..20u64).fold(ChainHash::START, |link, n| link.next(&log, Position(n + 1), format!("event {n}").as_bytes()));
    assert_eq!(records[14].hash, link);
    assert_eq!(store.snapshot().await.expect("snapshot").verify(|_| ()).await.expect("verify").damaged, 0);
    let commit = store.commit(Batch::new().append(&log, "now")).await.expect("commit");
    assert_eq!((commit.version.0, commit.appended), (22, vec![Position(21)]));
}

#[tokio::test]
async fn a_data_directory_of_every_layout_is_opened_and_written_on() {
    for layout in LAYOUTS {
        for engine in EngineName::ALL {
            let directory = TempDir::new().expect("temporary directory");
            let path = directory.path().join("store");
            copy(&data(layout).join(engine.name()), &path);
            let store = Store::open(&Config::new(path).engine(engine)).await.expect("open");
            holds_what_was_written(&store).await;
        }
    }
}

#[tokio::test]
async fn an_export_of_every_layout_is_imported() {
    for layout in LAYOUTS {
        for engine in EngineName::ALL {
            let bytes = fs::read(data(layout).join(format!("{}.export", engine.name()))).expect("read");
            let store = Store::memory().expect("memory");
            let mut import = store.import();
            import.feed(&bytes).await.expect("rows");
            import.finish().await.expect("complete");
            holds_what_was_written(&store).await;
        }
    }
}
