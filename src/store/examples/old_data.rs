//! Makes the data directories and the export that the test `old_data` loads with every later version.
//!
//! ```text
//! cargo run -p gatehouse-store --example old_data -- src/store/tests/data/2
//! ```
//!
//! Run it when the layout gets a new version, into a new folder. What earlier versions wrote stays as it is.

use gatehouse_store::{Batch, Config, EngineName, Key, Position, Store, Stream, Table};
use std::{error::Error, fs, path::PathBuf};

const THINGS: Table = Table::new("things");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let target = PathBuf::from(std::env::args_os().nth(1).ok_or("name the folder")?);
    for engine in EngineName::ALL {
        let config = Config::new(target.join(engine.name())).engine(engine);
        let store = Store::open(&config).await?;
        fill(&store).await?;
        export(&store, target.join(format!("{}.export", engine.name()))).await?;
        drop(store);
        // fjall gives back what its journal was preallocated with when it opens it again.
        drop(Store::open(&config).await?);
        fs::remove_file(config.path.join("lock"))?;
    }
    Ok(())
}

async fn fill(store: &Store) -> Result<(), Box<dyn Error>> {
    let log: Stream = "things/log".parse()?;
    for number in 0..20 {
        let key = Key::new().text("thing").number(number);
        store.commit(Batch::new().put(THINGS, key, format!("value {number}")).append(&log, format!("event {number}"))).await?;
    }
    store.commit(Batch::new().delete(THINGS, Key::new().text("thing").number(7)).truncate(&log, Position(5))).await?;
    Ok(())
}

async fn export(store: &Store, path: PathBuf) -> Result<(), Box<dyn Error>> {
    let mut export = store.snapshot().await?.export();
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(fs::write(path, bytes)?)
}
