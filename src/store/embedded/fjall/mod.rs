//! The engine fjall 3.
//!
//! Its journal and its files are looked at before fjall opens them ([`journal`], [`tables`]): what a crash leaves must
//! not keep a store closed, and what a flipped bit leaves must not be believed.

mod journal;
mod tables;

use super::{Engine, EngineError};
use crate::{OpenError, RawRow};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Rows are sorted into a table when they take this share of the memory for pages.
const MEMTABLE_SHARE: u64 = 4;
/// Smaller tables would be more work than use.
const LEAST_MEMTABLE: u64 = 256 << 10;

pub(super) struct Fjall {
    rows: Keyspace,
    database: Database,
}

impl Fjall {
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        journal::repair(path).and_then(|()| tables::check(path)).map_err(|error| match error {
            FileError::Io { path, source } => OpenError::Io { path, source },
            FileError::Damaged { path, at } => OpenError::Damaged { what: format!("{} at byte {at}", path.display()) },
        })?;
        let memtable = (cache_bytes / MEMTABLE_SHARE).max(LEAST_MEMTABLE);
        let open = || {
            let database = Database::builder(path).cache_size(cache_bytes).worker_threads(1).open()?;
            let rows = database.keyspace("rows", || KeyspaceCreateOptions::default().max_memtable_size(memtable))?;
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

/// Why a file of fjall's cannot be what was written.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is damaged at byte {at}", path.display())]
    Damaged { path: PathBuf, at: u64 },
}

impl FileError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    fn damaged(path: &Path, at: u64) -> Self {
        Self::Damaged { path: path.to_owned(), at }
    }
}
