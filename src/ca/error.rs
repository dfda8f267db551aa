//! What goes wrong below every operation: the store, the keyring, a damaged row.

use crate::{codec::CodecError, keyring::KeyringError};
use gatehouse_base::{Fault, Kind};
use gatehouse_events::{DecodeError, EventError};
use gatehouse_store::{CommitError, ReadError};

/// The authority's state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store cannot be read.
    #[error("the authority's records cannot be read")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("the authority's records cannot be written")]
    Commit(#[from] CommitError),
    /// A private key is not to be had.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A row cannot be understood.
    #[error("the authority's records are damaged: {0}; restore the data directory from a backup")]
    Damaged(String),
    /// The log of events cannot be read or written.
    #[error("the authority's log cannot be read or written")]
    Events(#[from] EventError),
    /// Others changed the same rows again and again.
    #[error("others changed the same records meanwhile; try again")]
    Contention,
}

impl From<CodecError> for StateError {
    fn from(error: CodecError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<DecodeError> for StateError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Fault for StateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Keyring(error) => error.kind(),
            Self::Events(error) => error.kind(),
            Self::Damaged(_) => Kind::Internal,
            Self::Contention => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
            Self::Keyring(error) => error.code(),
            Self::Events(error) => error.code(),
            Self::Damaged(_) => "records-damaged",
            Self::Contention => "contention",
        }
    }
}
