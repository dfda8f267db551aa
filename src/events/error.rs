//! What can go wrong with events.

use crate::{BusError, SealError};
use gatehouse_base::{Fault, Kind};
use gatehouse_pki::SignerError;
use gatehouse_store::{CommitError, Position, ReadError, Stream};

/// Why events could not be recorded, read, followed or dropped.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The bus takes no more listeners.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The event has no form.
    #[error("the event {kind} cannot be written: {reason}")]
    Encode {
        /// Its type.
        kind: &'static str,
        /// Why not.
        reason: String,
    },
    /// What is in the stream is not an event.
    #[error("stream {stream} holds at {position} what is no event: {error}")]
    Damaged {
        /// The stream.
        stream: Stream,
        /// The place.
        position: Position,
        /// What is wrong with it.
        error: &'static str,
    },
    /// A row of this crate cannot be understood.
    #[error("{what} is damaged; restore a backup")]
    DamagedRow {
        /// Which row.
        what: String,
    },
    /// The subject was erased, and nothing more is recorded about it.
    #[error("the subject {subject} was erased")]
    Erased {
        /// The subject.
        subject: String,
    },
    /// Content keys are out of reach.
    #[error("the content key of {subject} cannot be used")]
    Seal {
        /// Whose key it is.
        subject: String,
        /// Why.
        source: SealError,
    },
    /// The checkpoint could not be signed.
    #[error("the checkpoint could not be signed")]
    Sign(#[from] SignerError),
}

impl Fault for EventError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Bus(_) => Kind::Exhausted,
            Self::Encode { .. } | Self::Damaged { .. } | Self::DamagedRow { .. } => Kind::Internal,
            Self::Erased { .. } => Kind::NotFound,
            Self::Seal { .. } | Self::Sign(_) => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
            Self::Bus(_) => "too-many-listeners",
            Self::Encode { .. } => "event-form",
            Self::Damaged { .. } | Self::DamagedRow { .. } => "events-damaged",
            Self::Erased { .. } => "subject-erased",
            Self::Seal { .. } => "content-key-unavailable",
            Self::Sign(_) => "signer-unavailable",
        }
    }
}
