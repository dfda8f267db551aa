//! Stores in this process: a committer thread over an ordered key-value engine.
//!
//! An engine knows three things: get, range, and writing a set of rows so that they are durable together. All
//! promises of the store are made here, once for all engines: conditions and positions ([`committer`]), what a
//! reader sees ([`history`]), and the directory with its lock and its witness ([`directory`]).

mod committer;
mod directory;
mod fjall;
mod history;
mod memory;
mod sled;
mod view;

use self::{committer::Job, directory::Directory, history::History, view::EmbeddedView};
use crate::{
    Answer, Backend, Batch, Commit, CommitError, Config, EngineName, Entry, Head, Health, KeyedEntry, Metrics, OpenError, Position, Range,
    RawRow, ReadError, Record, Snapshot, Stream, Table, Version, View,
    row::{self, State},
};
use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// An ordered map of bytes with atomic durable writes. Only the committer thread writes.
pub(crate) trait Engine: Send + Sync + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// At most `limit` rows with `from <= key < to`, the first ones, or the last ones in reverse order.
    fn range(&self, from: &[u8], to: &[u8], reversed: bool, limit: usize) -> Result<Vec<RawRow>, EngineError>;

    /// Writes all rows (`None` deletes) or none, and returns when that is durable. After an error anything may
    /// be the case until the engine is opened again.
    fn write(&self, rows: &[(&[u8], Option<&[u8]>)]) -> Result<(), EngineError>;
}

/// What an engine said when it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EngineError(pub(crate) String);

impl EngineError {
    pub(crate) fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<EngineError> for ReadError {
    fn from(error: EngineError) -> Self {
        Self::Engine { reason: error.0 }
    }
}

/// What the committer and all readers share.
pub(crate) struct Shared {
    engine: Box<dyn Engine>,
    history: History,
    metrics: Arc<Metrics>,
    poison: OnceLock<String>,
    /// Held for its lock and its witness; none for a store in memory.
    directory: Option<Directory>,
}

impl Shared {
    /// From now on no batch is taken.
    fn poison(&self, reason: &str) {
        if self.poison.set(reason.to_owned()).is_ok() {
            self.metrics.poisoned.store(true, Ordering::Relaxed);
            tracing::error!(reason, "the store takes no more batches: a write failed");
        }
    }
}

/// A store in this process.
pub(crate) struct Embedded {
    latest: EmbeddedView,
    jobs: Option<mpsc::Sender<Job>>,
    committer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the directory that the configuration names, or makes it.
    pub(crate) fn open(config: &Config) -> Result<Self, OpenError> {
        let directory = Directory::open(&config.path, config.engine)?;
        let engine: Box<dyn Engine> = match config.engine {
            EngineName::Sled => Box::new(sled::Sled::open(&directory.engine_path(), config.cache_bytes)?),
            EngineName::Fjall => Box::new(fjall::Fjall::open(&directory.engine_path(), config.cache_bytes)?),
        };
        directory.sync()?;
        Self::start(engine, Some(directory), config)
    }

    /// A store that is gone when it is dropped.
    pub(crate) fn in_memory() -> Result<Self, OpenError> {
        Self::start(Box::new(memory::Memory::default()), None, &Config::new(""))
    }

    fn start(engine: Box<dyn Engine>, directory: Option<Directory>, config: &Config) -> Result<Self, OpenError> {
        let state = read_state(engine.as_ref())?;
        if let Some(directory) = &directory {
            directory.check_witness(state.sequence)?;
        }
        let shared = Arc::new(Shared {
            engine,
            history: History::new(Version(state.sequence), config.snapshot_bytes),
            metrics: Arc::default(),
            poison: OnceLock::new(),
            directory,
        });
        let (jobs, queue) = mpsc::channel(config.queue);
        let committer = committer::spawn(Arc::clone(&shared), state, queue)
            .map_err(|error| OpenError::Engine { reason: format!("no thread for the committer: {error}") })?;
        Ok(Self { latest: EmbeddedView::latest(shared), jobs: Some(jobs), committer: Some(committer) })
    }

    fn shared(&self) -> &Arc<Shared> {
        self.latest.shared()
    }

    async fn submit<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, CommitError>>) -> Job) -> Result<T, CommitError> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().expect("the queue is open until the store is dropped");
        let depth = &self.shared().metrics.queue_depth;
        depth.fetch_add(1, Ordering::Relaxed);
        let sent = jobs.send(job(answer)).await;
        let answered = if sent.is_ok() { answered.await.ok() } else { None };
        depth.fetch_sub(1, Ordering::Relaxed);
        answered.unwrap_or_else(|| {
            let reason = self.shared().poison.get().cloned().unwrap_or_else(|| "the committer stopped".to_owned());
            Err(CommitError::Uncertain { reason })
        })
    }
}

impl Drop for Embedded {
    /// Waits for the committer, so that the lock of the directory is free when the last reader is gone too.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(committer) = self.committer.take() {
            // A panic of the committer has poisoned the store and was reported then.
            let _ = committer.join();
        }
    }
}

impl View for Embedded {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Answer<'a, Result<Option<Entry>, ReadError>> {
        self.latest.get(table, key)
    }

    fn scan<'a>(&'a self, table: Table, range: Range, limit: usize) -> Answer<'a, Result<Vec<KeyedEntry>, ReadError>> {
        self.latest.scan(table, range, limit)
    }

    fn head<'a>(&'a self, stream: &'a Stream) -> Answer<'a, Result<Head, ReadError>> {
        self.latest.head(stream)
    }

    fn read<'a>(&'a self, stream: &'a Stream, from: Position, limit: usize) -> Answer<'a, Result<Vec<Record>, ReadError>> {
        self.latest.read(stream, from, limit)
    }

    fn walk<'a>(&'a self, behind: &'a [u8], limit: usize) -> Answer<'a, Result<Vec<RawRow>, ReadError>> {
        self.latest.walk(behind, limit)
    }
}

impl Backend for Embedded {
    fn commit(&self, batch: Batch) -> Answer<'_, Result<Commit, CommitError>> {
        Box::pin(async move {
            batch.check()?;
            self.submit(|answer| Job::Commit { batch, answer }).await
        })
    }

    fn snapshot(&self) -> Answer<'_, Result<Snapshot, ReadError>> {
        let (version, view) = EmbeddedView::pinned(Arc::clone(self.shared()));
        Box::pin(async move { Ok(Snapshot::new(version, view)) })
    }

    fn import(&self, rows: Vec<RawRow>, last: bool) -> Answer<'_, Result<(), CommitError>> {
        Box::pin(self.submit(move |answer| Job::Import { rows, last, answer }))
    }

    fn health(&self) -> Health {
        self.shared().poison.get().map_or(Health::Good, |reason| Health::Poisoned { reason: reason.clone() })
    }

    fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared().metrics)
    }
}

fn read_state(engine: &dyn Engine) -> Result<State, OpenError> {
    let engine_failed = |error: EngineError| OpenError::Engine { reason: error.0 };
    let damaged = || OpenError::Damaged { what: "the store's own state".to_owned() };
    if engine.get(row::IMPORTING).map_err(engine_failed)?.is_some() {
        return Err(OpenError::HalfImported);
    }
    let Some(sealed) = engine.get(row::STATE).map_err(engine_failed)? else {
        let rows = engine.range(&[], &[0xff], false, 1).map_err(engine_failed)?;
        return if rows.is_empty() { Ok(State::default()) } else { Err(damaged()) };
    };
    let (_, content) = row::unseal(row::STATE, &sealed).map_err(|_| damaged())?;
    State::decode(content).ok_or_else(damaged)
}
