//! The engine sled 0.34, made honest.
//!
//! Its `flush` ends in `sync_file_range`, which flushes neither the device's cache nor the file's metadata, and
//! it never syncs the files that large pages go to. So after every batch this engine syncs those files, their
//! directory, and the log itself, in that order: what the log refers to is there before the log says so.
//! Its background flush is off: it would write at times of its own, and nobody waits for it.
//!
//! When it opens a log with a damaged message in it, sled may go back to older rows without a word. So all rows are
//! read once when the store is opened, and compared with what was written.

use super::{Engine, EngineError};
use crate::{OpenError, RawRow};
use rustix::fs::{FlockOperation, flock};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The fields are dropped in this order.
pub(super) struct Sled {
    tree: sled::Tree,
    db: sled::Db,
    log: Log,
    blobs: PathBuf,
    synced_blobs: Mutex<BTreeSet<OsString>>,
}

/// The file that sled writes its log to, opened once more: a sync is about the file, not the descriptor.
struct Log {
    file: File,
    /// sled's handles stay open for ever, and so does its lock on the file.
    abandoned: AtomicBool,
}

impl Drop for Log {
    /// sled's own threads may outlive its handles by a moment and hold its lock on this file so long. Without the
    /// wait the store could not be opened again at once, and its files would still move.
    fn drop(&mut self) {
        if !self.abandoned.load(Ordering::Relaxed) {
            // If the lock cannot be waited for, opening again may fail and can be repeated.
            let _ = flock(&self.file, FlockOperation::LockExclusive);
        }
    }
}

impl Sled {
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        discard_unfinished_snapshots(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let opened = guarded(|| {
            let db = sled::Config::new().path(path).flush_every_ms(None).cache_capacity(cache_bytes).open()?;
            let tree = db.open_tree("rows")?;
            db.flush()?;
            Ok((db, tree))
        });
        let (db, tree) = opened.map_err(|error| OpenError::Engine { reason: error.0 })?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        let log_path = path.join("db");
        let log = Log { file: File::open(&log_path).map_err(io(&log_path))?, abandoned: AtomicBool::new(false) };
        let sled = Self { tree, db, log, blobs: path.join("blobs"), synced_blobs: Mutex::default() };
        sled.sync().map_err(io(path))?;
        // Written once, when the store is made, and never synced by sled; without it nothing can be opened.
        let settings = path.join("conf");
        File::open(&settings).and_then(|file| file.sync_all()).map_err(io(&settings))?;
        File::open(path).and_then(|directory| directory.sync_all()).map_err(io(path))?;
        Ok(sled)
    }

    fn sync(&self) -> io::Result<()> {
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fs::read_dir(&self.blobs)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<BTreeSet<_>>>()?;
        let mut fresh = false;
        for name in found.difference(&synced) {
            // sled removes files of pages that it rewrote; those need no sync.
            match File::open(self.blobs.join(name)) {
                Ok(file) => file.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            fresh = true;
        }
        if fresh {
            File::open(&self.blobs)?.sync_all()?;
        }
        *synced = found;
        self.log.file.sync_data()
    }
}

impl Engine for Sled {
    fn may_open_older_rows(&self) -> bool {
        true
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        guarded(|| Ok(self.tree.get(key)?.map(|value| value.to_vec())))
    }

    fn range(&self, from: &[u8], to: &[u8], reversed: bool, limit: usize) -> Result<Vec<RawRow>, EngineError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let row = |row: sled::Result<(sled::IVec, sled::IVec)>| row.map(|(key, value)| (key.to_vec(), value.to_vec()));
        guarded(|| {
            let range = self.tree.range(from..to);
            if reversed { range.rev().take(limit).map(row).collect() } else { range.take(limit).map(row).collect() }
        })
    }

    fn write(&self, rows: &[(&[u8], Option<&[u8]>)]) -> Result<(), EngineError> {
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(*key, *value),
                None => batch.remove(*key),
            }
        }
        let written = guarded(|| {
            self.tree.apply_batch(batch)?;
            self.db.flush().map(drop)
        });
        let synced = written.and_then(|()| self.sync().map_err(EngineError::new));
        if synced.is_err() {
            // The last handle would flush when it is dropped: onto a log with a hole in it, after which sled cannot
            // make sense of its own files. This handle is never dropped, so the files stay as they are now.
            self.log.abandoned.store(true, Ordering::Relaxed);
            Box::leak(Box::new((self.db.clone(), self.tree.clone())));
        }
        synced
    }
}

/// Removes half-written snapshots of the index, which a crash may leave. sled would take one for a damaged snapshot;
/// the log has it all.
fn discard_unfinished_snapshots(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// sled answers some failures of the disk with a panic; to us they are failures like the others.
fn guarded<T>(run: impl FnOnce() -> sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(EngineError::new),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(EngineError(format!("sled panicked: {}", text.unwrap_or("no reason given"))))
        }
    }
}
