//! The store: ordered keys, atomic batches with conditions, streams that only grow, all durable when acknowledged.
//!
//! Everything that Gatehouse knows goes through [`Store`]. A caller reads, decides, and commits a [`Batch`] whose
//! conditions say what it relied on; a conflict is an ordinary answer, after which it reads and decides again.
//! Facts go to a [`Stream`] in the same batch as the state that they changed, so that neither exists without the
//! other. [`Store::commit`] answers after the data is on the disk, and many callers share one flush.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use gatehouse_store::{Batch, Key, Store, Stream, Table};
//! const DEVICES: Table = Table::new("devices");
//!
//! let store = Store::memory()?;
//! let key = Key::new().text("device").id(&[7; 16]);
//! let history: Stream = "device/7".parse()?;
//! let batch = Batch::new().require_absent(DEVICES, key.clone()).put(DEVICES, key.clone(), "ready").append(&history, "made");
//! let commit = store.commit(batch).await?;
//! assert_eq!(commit.appended.len(), 1);
//! assert_eq!(store.get(DEVICES, &key).await?.unwrap().value, b"ready");
//! # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! Behind the facade is an engine in this process (fjall, sled, memory) or, in crates of their own, a database on
//! the network. All of them pass the same contract suite. What every value carries, and what is promised when a
//! disk fails or lies, is told in `docs/store.md`.
//!
//! The store knows no types: values and records are bytes; [`codec`] is how most of them are made. It asks no clock: who needs the time is given it.
//! Publishing events, and everything that signs or encrypts, is the business of `gatehouse-events`.

mod backend;
mod batch;
pub mod codec;
#[cfg(feature = "contract")]
pub mod contract;
mod embedded;
mod error;
mod export;
mod lock;
mod metrics;
mod row;
mod schema;
mod stream;
mod table;
mod verify;

pub use backend::{Answer, Backend, KeyedEntry, RawRow, View};
pub use batch::{Batch, Commit, Entry, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_VALUE_BYTES, Version};
pub use error::{CommitError, OpenError, ReadError};
pub use export::{Export, Import, ImportError};
pub use lock::{Lock, LockError};
pub use metrics::{Health, Metrics};
pub use schema::{Migration, Schema};
pub use stream::{ChainHash, Head, MAX_STREAM_NAME_BYTES, Position, Record, Stream, StreamNameError};
pub use table::{Key, MAX_KEY_BYTES, Range, Table};
pub use verify::{Count, Report};

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

/// The store. Clones are the same store; it is closed when the last one and the last snapshot are dropped.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
}

impl Store {
    /// Opens the embedded store that the configuration names, or makes it.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || embedded::Embedded::open(&config)).await;
        let embedded = opened.map_err(|panic| OpenError::Engine { reason: panic.to_string() })??;
        Ok(Self::on(embedded))
    }

    /// An empty store that is gone when it is dropped.
    pub fn memory() -> Result<Self, OpenError> {
        embedded::Embedded::in_memory().map(Self::on)
    }

    /// A store on an engine that another crate brings.
    pub fn on(backend: impl Backend + 'static) -> Self {
        Self { backend: Arc::new(backend) }
    }

    /// Writes a batch, if its conditions hold, and answers when it is durable.
    ///
    /// A caller that stops waiting may or may not have handed its batch in.
    pub async fn commit(&self, batch: Batch) -> Result<Commit, CommitError> {
        self.backend.commit(batch).await
    }

    /// The value under a key.
    pub async fn get(&self, table: Table, key: impl AsRef<[u8]>) -> Result<Option<Entry>, ReadError> {
        self.backend.get(table, key.as_ref()).await
    }

    /// At most `limit` values of a range with their keys, all as of one commit.
    pub async fn scan(&self, table: Table, range: Range, limit: usize) -> Result<Vec<KeyedEntry>, ReadError> {
        self.backend.scan(table, range, limit).await
    }

    /// At most `limit` records of a stream from a position on; from the first that is left when that was truncated.
    pub async fn read(&self, stream: &Stream, from: Position, limit: usize) -> Result<Vec<Record>, ReadError> {
        self.backend.read(stream, from, limit).await
    }

    /// Where a stream begins and ends.
    pub async fn head(&self, stream: &Stream) -> Result<Head, ReadError> {
        self.backend.head(stream).await
    }

    /// The store as it is now, unmoved by what is written later.
    pub async fn snapshot(&self) -> Result<Snapshot, ReadError> {
        self.backend.snapshot().await
    }

    /// Whether the store takes batches.
    pub fn health(&self) -> Health {
        self.backend.health()
    }

    /// What the store counted since it was opened.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.backend.metrics()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Store").field("health", &self.health()).finish_non_exhaustive()
    }
}

/// The store as it was at one commit.
///
/// An embedded store keeps what is overwritten under a snapshot in memory, up to [`Config::snapshot_bytes`]; a
/// snapshot that would need more answers [`ReadError::SnapshotExpired`].
#[derive(Clone)]
pub struct Snapshot {
    version: Version,
    view: Arc<dyn View>,
}

impl Snapshot {
    /// A snapshot of an engine at a commit, for the crates that bring one.
    pub fn new(version: Version, view: impl View + 'static) -> Self {
        Self { version, view: Arc::new(view) }
    }

    /// The commit.
    pub fn version(&self) -> Version {
        self.version
    }

    /// See [`Store::get`].
    pub async fn get(&self, table: Table, key: impl AsRef<[u8]>) -> Result<Option<Entry>, ReadError> {
        self.view.get(table, key.as_ref()).await
    }

    /// See [`Store::scan`].
    pub async fn scan(&self, table: Table, range: Range, limit: usize) -> Result<Vec<KeyedEntry>, ReadError> {
        self.view.scan(table, range, limit).await
    }

    /// See [`Store::read`].
    pub async fn read(&self, stream: &Stream, from: Position, limit: usize) -> Result<Vec<Record>, ReadError> {
        self.view.read(stream, from, limit).await
    }

    /// See [`Store::head`].
    pub async fn head(&self, stream: &Stream) -> Result<Head, ReadError> {
        self.view.head(stream).await
    }

    /// At most `limit` streams in the order of their names, behind this one or from the first on.
    pub async fn streams(&self, behind: Option<&Stream>, limit: usize) -> Result<Vec<(Stream, Head)>, ReadError> {
        let behind = behind.map_or_else(row::heads, row::head_key);
        let rows = self.view.walk(&behind, limit).await?;
        rows.iter().map_while(|(key, sealed)| row::stream_head(key, sealed).transpose()).collect()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Snapshot({})", self.version)
    }
}

/// An engine that comes with this crate and keeps files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// fjall 3.
    #[default]
    Fjall,
    /// sled 0.34. On a disk that runs full it may leave a batch in half, after which it does not open any more; see
    /// `docs/store-faults.md`.
    Sled,
}

impl EngineName {
    /// All engines.
    pub const ALL: [Self; 2] = [Self::Fjall, Self::Sled];

    /// The name in configuration and on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
        }
    }
}

impl FromStr for EngineName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|engine| engine.name() == name).ok_or("the engines are fjall and sled")
    }
}

/// Where an embedded store is and how much memory it may use.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory. It is made when it is missing.
    pub path: PathBuf,
    /// The engine. A store stays with the engine that it was made with. Default: fjall.
    #[serde(default)]
    pub engine: EngineName,
    /// Memory for pages that were read, in bytes. Default: 64 MiB.
    #[serde(default = "default_cache")]
    pub cache_bytes: u64,
    /// Batches that may wait for the committer; callers beyond that wait in line. Default: 1024.
    #[serde(default = "default_queue")]
    pub queue: usize,
    /// Room that is left on the disk, in bytes: with less than this the store takes no batches until there is more
    /// again. Engines end badly when a disk fills up under them, so it is better not to come so far. Default: 128 MiB.
    #[serde(default = "default_reserve")]
    pub reserve_bytes: u64,
    /// Memory for values that are overwritten while a snapshot (a backup) is read, in bytes. A snapshot that
    /// needs more is given up. Default: 256 MiB.
    #[serde(default = "default_snapshot")]
    pub snapshot_bytes: usize,
}

impl Config {
    /// The defaults, at this directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            engine: EngineName::default(),
            cache_bytes: default_cache(),
            queue: default_queue(),
            reserve_bytes: default_reserve(),
            snapshot_bytes: default_snapshot(),
        }
    }

    /// The same with another engine.
    #[must_use]
    pub fn engine(mut self, engine: EngineName) -> Self {
        self.engine = engine;
        self
    }
}

const fn default_cache() -> u64 {
    64 << 20
}

const fn default_queue() -> usize {
    1024
}

const fn default_reserve() -> u64 {
    128 << 20
}

const fn default_snapshot() -> usize {
    256 << 20
}
