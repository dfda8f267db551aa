//! What can go wrong, in the words of whoever asked.

use crate::{Position, Stream, Table};
use gatehouse_base::{Fault, Kind};
use std::path::PathBuf;

/// Why a batch was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A condition does not hold. Nothing was written; read again and decide again.
    #[error("table {table} changed meanwhile at the key {}", readable(key))]
    Conflict {
        /// The table of the condition.
        table: Table,
        /// The key of the condition.
        key: Vec<u8>,
    },
    /// The batch truncates what is not there yet.
    #[error("stream {stream} ends at {end}, so it cannot be truncated through {through}")]
    BehindTheEnd {
        /// The stream.
        stream: Stream,
        /// Its last position.
        end: Position,
        /// The position that was asked for.
        through: Position,
    },
    /// Something is larger than the store takes.
    #[error("{what} of {bytes} bytes is more than the store takes ({most})")]
    TooLarge {
        /// A key, a value or the batch.
        what: &'static str,
        /// The table it was for, if it was for one.
        table: Option<Table>,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// The batch has too many parts.
    #[error("a batch of {operations} operations is more than the store takes ({most})")]
    TooMany {
        /// How many it has.
        operations: usize,
        /// How many it may have.
        most: usize,
    },
    /// An import goes into an empty store only.
    #[error("the store is not empty; import into a new one")]
    NotEmpty,
    /// Rows of an import have come and more are expected.
    #[error("an import into this store has not come to its end")]
    Importing,
    /// What the batch depends on cannot be read. Nothing was written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is little room left on the disk. Nothing was written; when there is more room, batches are taken again.
    #[error("the disk is full: {free} bytes are free, and the store leaves {reserve} alone; make room")]
    DiskFull {
        /// How many bytes are free.
        free: u64,
        /// How many have to be.
        reserve: u64,
    },
    /// Writing to the disk failed while this batch was on its way. After the next start it is there as a whole
    /// or not at all; until then nobody knows. The store takes no more batches.
    #[error("the batch may or may not be on disk: {reason}")]
    Uncertain {
        /// What the engine or the operating system said.
        reason: String,
    },
    /// An earlier write to the disk failed, so the store refuses this batch. Nothing was written.
    #[error("the store takes no batches since an earlier write failed ({reason}); repair the disk and start again")]
    Poisoned {
        /// What the engine or the operating system said then.
        reason: String,
    },
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What is on disk is not what was written.
    #[error("{what} is damaged on disk; restore a backup")]
    Damaged {
        /// Which value, record or head.
        what: String,
    },
    /// The engine or the disk failed.
    #[error("the store could not be read: {reason}")]
    Engine {
        /// What it said.
        reason: String,
    },
    /// So much was written since the snapshot was taken that its old values are no longer kept.
    #[error("the snapshot is too old: more was overwritten since than the store keeps for it")]
    SnapshotExpired,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by process {pid}; stop it, or ask it through its control socket", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What the other process wrote into the lock file.
        pid: String,
    },
    /// The directory holds other files.
    #[error("{} holds other files and is not a store", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by a later version of the program.
    #[error("the store has {what} {found}, and this program knows {known} at most; use the newer program")]
    TooNew {
        /// The layout or the schema.
        what: &'static str,
        /// What is on disk.
        found: u32,
        /// What the program knows.
        known: u32,
    },
    /// The store was made with another engine than the configuration names.
    #[error("the store at {} was made with the engine {found}, not {asked}; export it and import it to change engines", path.display())]
    OtherEngine {
        /// The directory.
        path: PathBuf,
        /// The engine that is written there.
        found: String,
        /// The engine that was asked for.
        asked: &'static str,
    },
    /// Batches that were acknowledged are gone.
    #[error("the store ends at commit {found}, but commit {acknowledged} was acknowledged: the disk lost data; restore a backup")]
    Lost {
        /// The last commit that is there.
        found: u64,
        /// The last commit that was acknowledged.
        acknowledged: u64,
    },
    /// What was written at the beginning or beside the data cannot be understood.
    #[error("{what} is damaged; restore a backup")]
    Damaged {
        /// Which file or row.
        what: String,
    },
    /// An import did not come to its end.
    #[error("an import into this store was not finished; remove the directory and import again")]
    HalfImported,
    /// Two parts of the program want the same table.
    #[error("two parts of the program declare the table {table}")]
    TableTwice {
        /// The table.
        table: Table,
    },
    /// Bringing the schema up to date failed.
    #[error("migration {to} ({name}) failed: {reason}")]
    Migration {
        /// The schema version it leads to.
        to: u32,
        /// What it is called.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The engine could not open its files.
    #[error("the engine cannot open its files: {reason}")]
    Engine {
        /// What it said.
        reason: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Fault for CommitError {
    fn kind(&self) -> Kind {
        match self {
            Self::Conflict { .. } | Self::BehindTheEnd { .. } | Self::NotEmpty | Self::Importing => Kind::Conflict,
            Self::TooLarge { .. } | Self::TooMany { .. } => Kind::Invalid,
            Self::Read(error) => error.kind(),
            Self::DiskFull { .. } | Self::Uncertain { .. } | Self::Poisoned { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "changed-meanwhile",
            Self::BehindTheEnd { .. } => "behind-the-end",
            Self::TooLarge { .. } | Self::TooMany { .. } => "too-large",
            Self::NotEmpty => "store-not-empty",
            Self::Importing => "store-importing",
            Self::Read(error) => error.code(),
            Self::DiskFull { .. } => "disk-full",
            Self::Uncertain { .. } => "store-uncertain",
            Self::Poisoned { .. } => "store-poisoned",
        }
    }
}

impl Fault for ReadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Damaged { .. } => Kind::Internal,
            Self::Engine { .. } | Self::SnapshotExpired => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => "store-damaged",
            Self::Engine { .. } => "store-unreadable",
            Self::SnapshotExpired => "snapshot-expired",
        }
    }
}

impl Fault for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::InUse { .. } | Self::NotAStore { .. } | Self::OtherEngine { .. } | Self::HalfImported => Kind::Conflict,
            Self::TooNew { .. } => Kind::Invalid,
            Self::Lost { .. } | Self::Damaged { .. } | Self::TableTwice { .. } | Self::Migration { .. } => Kind::Internal,
            Self::Engine { .. } | Self::Io { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "store-in-use",
            Self::NotAStore { .. } => "not-a-store",
            Self::OtherEngine { .. } => "store-engine",
            Self::HalfImported => "store-half-imported",
            Self::TooNew { .. } => "store-too-new",
            Self::Lost { .. } => "store-lost-data",
            Self::Damaged { .. } => "store-damaged",
            Self::TableTwice { .. } => "store-tables",
            Self::Migration { .. } => "store-migration",
            Self::Engine { .. } | Self::Io { .. } => "store-unavailable",
        }
    }
}

/// A key as a person can read it: text where it is text, the rest escaped.
pub(crate) fn readable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
