//! What can be wrong with the outbox, for whoever writes a letter and for whoever looks after letters.

use crate::message::ComposeError;
use gatehouse_base::{Fault, Kind};
use gatehouse_events::{EventError, SealError};
use gatehouse_store::{CommitError, ReadError, codec::CodecError};
use std::time::Duration;

/// A letter cannot be put into the outbox.
#[derive(Debug, thiserror::Error)]
pub enum EncloseError {
    /// There is no room for its kind.
    #[error("too many letters of this kind wait to be delivered; try again later")]
    Full,
    /// The same letter went there too often.
    #[error("this letter was sent to this address too often; try again in {} minutes", wait.as_secs().div_ceil(60))]
    Throttled {
        /// When to come back.
        wait: Duration,
    },
    /// It could not be written.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The outbox could not be read or written.
    #[error(transparent)]
    State(#[from] OutboxError),
}

/// The outbox cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// There is no letter of this id.
    #[error("there is no such letter")]
    Unknown,
    /// The store cannot be read.
    #[error("the outbox cannot be read")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("the outbox cannot be written")]
    Commit(#[from] CommitError),
    /// The log cannot be written.
    #[error("the log of letters cannot be written")]
    Events(#[from] EventError),
    /// A letter cannot be sealed.
    #[error("a letter cannot be sealed or opened")]
    Seal(#[from] SealError),
    /// A row cannot be understood.
    #[error("the outbox is damaged: {0}")]
    Damaged(#[from] CodecError),
}

impl Fault for EncloseError {
    fn kind(&self) -> Kind {
        match self {
            Self::Full => Kind::Unavailable,
            Self::Throttled { .. } => Kind::Exhausted,
            Self::Compose(_) => Kind::Internal,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Full => "outbox-full",
            Self::Throttled { .. } => "too-many-letters",
            Self::Compose(_) => "letter",
            Self::State(error) => error.code(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait } => Some(*wait),
            _ => None,
        }
    }
}

impl Fault for OutboxError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown => Kind::NotFound,
            Self::Read(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Events(error) => error.kind(),
            Self::Seal(_) => Kind::Unavailable,
            Self::Damaged(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "no-such-letter",
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
            Self::Events(error) => error.code(),
            Self::Seal(_) => "letter-seal",
            Self::Damaged(_) => "outbox-damaged",
        }
    }
}
