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
    row::{self, State, Sum},
};
use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// How many rows are read at a time when all of them are.
const CHECKED_AT_ONCE: usize = 1024;

/// An ordered map of bytes with atomic durable writes. Only the committer thread writes.
pub(crate) trait Engine: Send + Sync + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// At most `limit` rows with `from <= key < to`, the first ones, or the last ones in reverse order.
    fn range(&self, from: &[u8], to: &[u8], reversed: bool, limit: usize) -> Result<Vec<RawRow>, EngineError>;

    /// Writes all rows (`None` deletes) or none, and returns when that is durable. After an error anything may
    /// be the case until the engine is opened again.
    fn write(&self, rows: &[(&[u8], Option<&[u8]>)]) -> Result<(), EngineError>;

    /// Whether damaged files may make the engine open with rows that were replaced since, and say nothing. All rows
    /// of such an engine are read and compared with their sum before the store is used.
    fn may_open_older_rows(&self) -> bool {
        false
    }
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
    /// What has to stay free on the disk.
    reserve_bytes: u64,
}

impl Shared {
    /// The free bytes, when they are fewer than the reserve.
    fn short_of_room(&self) -> Option<u64> {
        // A disk that does not tell is found out by the next write.
        let free = self.directory.as_ref()?.free_bytes().ok()?;
        (free < self.reserve_bytes).then_some(free)
    }

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
        directory.complete()?;
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
        if engine.may_open_older_rows() {
            check_rows(engine.as_ref(), &state)?;
        }
        let shared = Arc::new(Shared {
            engine,
            history: History::new(Version(state.sequence), config.snapshot_bytes),
            metrics: Arc::default(),
            poison: OnceLock::new(),
            directory,
            reserve_bytes: config.reserve_bytes,
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
        let shared = self.shared();
        if let Some(reason) = shared.poison.get() {
            return Health::Poisoned { reason: reason.clone() };
        }
        shared.short_of_room().map_or(Health::Good, |free| Health::Full { free, reserve: shared.reserve_bytes })
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

/// Reads all rows and compares them with the sum that was written with the last batch.
fn check_rows(engine: &dyn Engine, state: &State) -> Result<(), OpenError> {
    let (mut sum, mut from) = (Sum::default(), Vec::new());
    loop {
        let rows = engine.range(&from, &[0xff], false, CHECKED_AT_ONCE).map_err(|error| OpenError::Engine { reason: error.0 })?;
        let Some((last, _)) = rows.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        for (key, sealed) in rows.iter().filter(|(key, _)| !row::is_meta(key)) {
            sum.add(key, sealed);
        }
    }
    if sum == state.sum { Ok(()) } else { Err(OpenError::Damaged { what: "one row or more".to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::{memory::Memory, *};
    use crate::Store;
    use std::sync::{Mutex, PoisonError, atomic::AtomicBool};

    const A: Table = Table::new("a");

    /// A memory whose disk can be told to fail, and whose rows can be tampered with.
    #[derive(Clone, Default)]
    struct Faulty {
        memory: Arc<Memory>,
        forgets: bool,
        fails: Arc<AtomicBool>,
        served_instead: Arc<Mutex<Option<RawRow>>>,
    }

    impl Engine for Faulty {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
            let instead = self.served_instead.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((_, value)) = instead.filter(|(at, _)| at == key) {
                return Ok(Some(value));
            }
            self.memory.get(key)
        }

        fn range(&self, from: &[u8], to: &[u8], reversed: bool, limit: usize) -> Result<Vec<RawRow>, EngineError> {
            self.memory.range(from, to, reversed, limit)
        }

        fn write(&self, rows: &[(&[u8], Option<&[u8]>)]) -> Result<(), EngineError> {
            // Like a real one: the rows are in its memory when the disk says no.
            self.memory.write(rows)?;
            if self.fails.load(Ordering::SeqCst) { Err(EngineError("input/output error".to_owned())) } else { Ok(()) }
        }

        fn may_open_older_rows(&self) -> bool {
            self.forgets
        }
    }

    impl Faulty {
        fn reopen(&self) -> Result<Embedded, OpenError> {
            Embedded::start(Box::new(self.clone()), None, &Config::new(""))
        }
    }

    fn store(engine: &Faulty) -> Store {
        Store::on(engine.reopen().expect("start"))
    }

    #[tokio::test]
    async fn after_a_failed_write_the_store_takes_no_batches() {
        let engine = Faulty::default();
        let store = store(&engine);
        store.commit(Batch::new().put(A, "k", "durable")).await.expect("commit");
        engine.fails.store(true, Ordering::SeqCst);
        let uncertain = store.commit(Batch::new().put(A, "k", "lost")).await;
        assert_eq!(uncertain, Err(CommitError::Uncertain { reason: "input/output error".to_owned() }));

        engine.fails.store(false, Ordering::SeqCst);
        let refused = store.commit(Batch::new().put(A, "k", "later")).await;
        assert_eq!(refused, Err(CommitError::Poisoned { reason: "input/output error".to_owned() }));
        assert_eq!(store.health(), Health::Poisoned { reason: "input/output error".to_owned() });
        assert!(store.metrics().poisoned.load(Ordering::Relaxed));
        let seen = store.get(A, "k").await.expect("read").expect("there");
        assert_eq!(seen.value, b"durable", "what is not durable is not seen");
        assert_eq!(store.scan(A, Range::all(), 10).await.expect("scan")[0].1, seen);
    }

    #[tokio::test]
    async fn a_row_served_in_place_of_another_is_an_error() {
        let engine = Faulty::default();
        let store = store(&engine);
        store.commit(Batch::new().put(A, "k", "1").put(A, "l", "2")).await.expect("commit");
        let (k, l) = (row::value_key(A, b"k"), row::value_key(A, b"l"));
        let other = engine.memory.get(&l).expect("read").expect("there");
        *engine.served_instead.lock().expect("lock") = Some((k, other));

        assert_eq!(store.get(A, "k").await, Err(ReadError::Damaged { what: "table a at the key k".to_owned() }));
        assert_eq!(store.get(A, "l").await.expect("read").expect("there").value, b"2");
        assert!(matches!(store.commit(Batch::new().put(A, "k", "3")).await, Err(CommitError::Read(ReadError::Damaged { .. }))));
        assert_eq!(store.health(), Health::Good, "the disk took nothing, so there is no doubt about it");
    }

    #[tokio::test]
    async fn a_row_that_is_lost_or_comes_back_is_found_by_verification() {
        let engine = Faulty::default();
        let store = store(&engine);
        store.commit(Batch::new().put(A, "k", "1").put(A, "l", "1")).await.expect("commit");
        let k = row::value_key(A, b"k");
        let old = engine.memory.get(&k).expect("read").expect("there");
        store.commit(Batch::new().put(A, "k", "2")).await.expect("commit");
        let verify = async || store.snapshot().await.expect("snapshot").verify(|_| ()).await.expect("verify").damaged;
        assert_eq!(verify().await, 0);
        let new = engine.memory.get(&k).expect("read").expect("there");

        engine.memory.write(&[(&k, Some(&old))]).expect("write");
        assert_eq!(verify().await, 1, "the older value");
        engine.memory.write(&[(&k, None)]).expect("write");
        assert_eq!(verify().await, 1, "no value");
        engine.memory.write(&[(&k, Some(&new))]).expect("write");
        assert_eq!(verify().await, 0, "the right one");
    }

    #[tokio::test]
    async fn an_engine_that_may_forget_is_not_opened_with_an_older_row() {
        let engine = Faulty { forgets: true, ..Faulty::default() };
        let first = store(&engine);
        let k = row::value_key(A, b"k");
        first.commit(Batch::new().put(A, "k", "1").append(&"log".parse().expect("name"), "1")).await.expect("commit");
        let old = engine.memory.get(&k).expect("read").expect("there");
        first.commit(Batch::new().put(A, "k", "2")).await.expect("commit");
        drop(first);
        drop(engine.reopen().expect("as it was left"));
        engine.memory.write(&[(&k, Some(&old))]).expect("write");
        assert!(matches!(engine.reopen().err(), Some(OpenError::Damaged { .. })));
    }

    #[tokio::test]
    async fn a_record_that_is_lost_or_forged_is_found_by_verification() {
        let engine = Faulty::default();
        let (store, log) = (store(&engine), "log".parse::<Stream>().expect("name"));
        store.commit((1..=5).fold(Batch::new(), |batch, n| batch.append(&log, [n]))).await.expect("commit");
        let verify = async || store.snapshot().await.expect("snapshot").verify(|_| ()).await.expect("verify").damage;
        assert_eq!(verify().await, [""; 0]);

        let third = row::record_key(&log, Position(3));
        let good = engine.memory.get(&third).expect("read").expect("there");
        let forged = Record { position: Position(3), payload: vec![9], hash: [7; 32].into() };
        engine.memory.write(&[(&third, Some(&row::seal(&third, Version(1), &forged.encode())))]).expect("write");
        assert!(verify().await[0].contains("does not lead to 3"));
        assert!(matches!(store.read(&log, Position(1), 10).await, Err(ReadError::Damaged { .. })));

        engine.memory.write(&[(&third, Some(&good)), (&row::record_key(&log, Position(5)), None)]).expect("write");
        assert_eq!(verify().await[0], "stream log ends at 4, but its head says 5");
    }

    #[tokio::test]
    async fn a_snapshot_that_would_need_too_much_memory_is_given_up() {
        let config = Config { snapshot_bytes: 10_000, ..Config::new("") };
        let store = Store::on(Embedded::start(Box::new(Memory::default()), None, &config).expect("start"));
        store.commit(Batch::new().put(A, "k", vec![0; 6000])).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        store.commit(Batch::new().put(A, "k", vec![1; 6000])).await.expect("commit");
        assert_eq!(snapshot.get(A, "k").await.expect("kept").expect("there").value, vec![0; 6000]);
        store.commit(Batch::new().put(A, "k", vec![2; 6000])).await.expect("commit");
        assert_eq!(snapshot.get(A, "k").await, Err(ReadError::SnapshotExpired));
        assert_eq!(snapshot.scan(A, Range::all(), 1).await, Err(ReadError::SnapshotExpired));
        assert_eq!(store.get(A, "k").await.expect("read").expect("there").value, vec![2; 6000]);
        let fresh = store.snapshot().await.expect("snapshot");
        assert_eq!(fresh.get(A, "k").await.expect("read").expect("there").value, vec![2; 6000]);
    }

    #[tokio::test]
    async fn an_import_that_is_not_finished_leaves_a_store_that_does_not_open() {
        let engine = Faulty::default();
        let first = store(&engine);
        first.backend.import(Vec::new(), false).await.expect("the first piece");
        assert_eq!(first.commit(Batch::new().put(A, "k", "v")).await, Err(CommitError::Importing));
        drop(first);
        assert!(matches!(engine.reopen().err(), Some(OpenError::HalfImported)));
    }
}
