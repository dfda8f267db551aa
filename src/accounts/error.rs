//! What goes wrong below every operation.

use gatehouse_base::{Fault, Kind};
use gatehouse_events::{EventError, SealError};
use gatehouse_mail::OutboxError;
use gatehouse_store::{CommitError, ReadError, codec::CodecError};

/// The accounts could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store cannot be read.
    #[error("the accounts cannot be read")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("the accounts cannot be written")]
    Commit(#[from] CommitError),
    /// The log cannot be read or written.
    #[error("the accounts' log cannot be read or written")]
    Events(#[from] EventError),
    /// A secret at rest cannot be sealed or opened.
    #[error("a secret of an account cannot be sealed or opened")]
    Seal(#[from] SealError),
    /// A row cannot be understood.
    #[error("the accounts are damaged: {0}; restore the data directory from a backup")]
    Damaged(String),
    /// The outbox cannot be read or written.
    #[error("letters cannot be written")]
    Outbox(#[source] OutboxError),
    /// Others changed the same rows again and again.
    #[error("others changed the same account meanwhile; try again")]
    Contention,
}

impl From<CodecError> for StateError {
    fn from(error: CodecError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Fault for StateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Events(error) => error.kind(),
            Self::Outbox(error) => error.kind(),
            Self::Seal(_) | Self::Contention => Kind::Unavailable,
            Self::Damaged(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
            Self::Events(error) => error.code(),
            Self::Outbox(error) => error.code(),
            Self::Seal(_) => "account-seal",
            Self::Damaged(_) => "accounts-damaged",
            Self::Contention => "account-contention",
        }
    }
}
