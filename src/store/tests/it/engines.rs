//! Every engine of this crate passes the contract.

use gatehouse_store::{Answer, Config, EngineName, Store, contract::Place};
use tempfile::TempDir;

struct Memory;

impl Place for Memory {
    fn open(&self) -> Answer<'_, Store> {
        Box::pin(async { Store::memory().expect("memory") })
    }

    fn keeps(&self) -> bool {
        false
    }
}

struct Directory {
    directory: TempDir,
    engine: EngineName,
}

impl Directory {
    fn of(engine: EngineName) -> Self {
        Self { directory: TempDir::new().expect("temporary directory"), engine }
    }
}

impl Place for Directory {
    fn open(&self) -> Answer<'_, Store> {
        let config = Config::new(self.directory.path().join("store")).engine(self.engine);
        Box::pin(async move { Store::open(&config).await.expect("open") })
    }

    fn keeps(&self) -> bool {
        true
    }
}

gatehouse_store::contract!(memory, || super::Memory);
gatehouse_store::contract!(sled, || super::Directory::of(gatehouse_store::EngineName::Sled));
gatehouse_store::contract!(fjall, || super::Directory::of(gatehouse_store::EngineName::Fjall));
