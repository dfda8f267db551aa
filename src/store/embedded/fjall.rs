//! The engine fjall 3.

use super::{Engine, EngineError};
use crate::{OpenError, RawRow};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

pub(super) struct Fjall {
    rows: Keyspace,
    database: Database,
}

impl Fjall {
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        let open = || {
            let database = Database::builder(path).cache_size(cache_bytes).worker_threads(1).open()?;
            let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
            database.persist(PersistMode::SyncAll)?;
            Ok(Self { rows, database })
        };
        open().map_err(|error: fjall::Error| OpenError::Engine { reason: error.to_string() })
    }
}

impl Engine for Fjall {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.rows.get(key).map_err(EngineError::new)?.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], reversed: bool, limit: usize) -> Result<Vec<RawRow>, EngineError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let row = |row: fjall::Guard| row.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(EngineError::new);
        let range = self.rows.range(from..to);
        if reversed { range.rev().take(limit).map(row).collect() } else { range.take(limit).map(row).collect() }
    }

    fn write(&self, rows: &[(&[u8], Option<&[u8]>)]) -> Result<(), EngineError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(&self.rows, *key, *value),
                None => batch.remove(&self.rows, *key),
            }
        }
        batch.commit().map_err(EngineError::new)
    }
}
