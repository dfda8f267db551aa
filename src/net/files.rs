//! Files that are read again when they change.

use crate::{CredentialsError, Shutdown, metrics};
use std::{
    fmt, fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::watch;

/// What is made of one or more files, and made anew when they change.
pub trait FromFiles: Send + Sync + fmt::Debug {
    /// Whether the files look otherwise than when they were last read.
    fn changed(&self) -> bool;

    /// Reads the files again, whether they look changed or not.
    ///
    /// # Errors
    /// They cannot be read or do not fit together: a half-finished exchange looks so too. What was in use stays so.
    fn reload(&self) -> Result<(), CredentialsError>;
}

/// Looks at the files at this interval, and reads them when they changed. Returns when draining begins.
pub async fn watch(files: Arc<dyn FromFiles>, interval: Duration, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.draining() => return,
        }
        if files.changed() {
            match files.reload() {
                Ok(()) => tracing::info!(?files, "files changed, new handshakes use them"),
                Err(error) => tracing::error!(?files, %error, "the changed files cannot be used"),
            }
        }
    }
}

/// A value with the files that it is made of.
pub(crate) struct Loaded<T> {
    paths: Vec<PathBuf>,
    make: fn(&[PathBuf]) -> Result<T, CredentialsError>,
    current: RwLock<Arc<T>>,
    /// How many times it was made anew.
    changes: watch::Sender<u64>,
    seen: Mutex<Vec<Look>>,
}

/// What a file looked like when it was read: device, inode, size and time of change. Follows links, which is how
/// orchestrators and ACME clients replace files.
type Look = (u64, u64, u64, i64, i64);

impl<T> Loaded<T> {
    pub(crate) fn open(paths: Vec<PathBuf>, make: fn(&[PathBuf]) -> Result<T, CredentialsError>) -> Result<Self, CredentialsError> {
        // Looked at before it is read: a change in between is then seen as one.
        let seen = Mutex::new(look(&paths));
        let current = RwLock::new(Arc::new(make(&paths)?));
        Ok(Self { paths, make, current, changes: watch::Sender::new(0), seen })
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Send + Sync> FromFiles for Loaded<T> {
    fn changed(&self) -> bool {
        look(&self.paths) != *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) -> Result<(), CredentialsError> {
        // What fails is looked at again when it changes once more.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = look(&self.paths);
        let made = (self.make)(&self.paths);
        let label = if made.is_ok() { "changed" } else { "failed" };
        ::metrics::counter!(metrics::RELOADS, "result" => label).increment(1);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made?);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }
}

impl<T> fmt::Debug for Loaded<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(&self.paths).finish()
    }
}

fn look(paths: &[PathBuf]) -> Vec<Look> {
    let one = |path: &PathBuf| fs::metadata(path).map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec())).unwrap_or_default();
    paths.iter().map(one).collect()
}

/// Reads a file of at most so many bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, CredentialsError> {
    let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // Growing a vector would leave copies of a key behind; one of the right size is not moved.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(limit).min(limit) + 1);
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit { Err(CredentialsError::TooLong { path: path.to_owned(), limit }) } else { Ok(bytes) }
}
