//! The facts that this core commits, in one stream, each in the batch that made it true.

use crate::{
    clock_guard::ClockFault,
    record::{CertificateId, Reason},
    seat::CaId,
};
use gatehouse_events::Event;
use gatehouse_store::Stream;
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};

/// The stream's name.
pub const STREAM: &str = "ca";

/// What became true. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// An authority has a key and waits for its certificate.
    AuthorityPlanned {
        /// Which one.
        authority: CaId,
    },
    /// An authority signs from now on.
    AuthorityActivated {
        /// Which one.
        authority: CaId,
    },
    /// An authority signs no more certificates; those that it signed stay good.
    AuthorityRetired {
        /// Which one.
        authority: CaId,
    },
    /// Nothing that this authority signed is good any more.
    AuthorityWithdrawn {
        /// Which one.
        authority: CaId,
    },
    /// A certificate was signed.
    Issued {
        /// Which one.
        certificate: CertificateId,
        /// Who signed it.
        authority: CaId,
        /// By which profile.
        profile: String,
        /// For whom.
        subject: String,
        /// Until when.
        not_after: UnixTime,
    },
    /// A certificate has a renewal.
    Superseded {
        /// The old one.
        certificate: CertificateId,
        /// The new one.
        by: CertificateId,
        /// How long the old one stays good at most.
        good_until: UnixTime,
    },
    /// A renewal was seen in use for the first time.
    FirstUsed {
        /// The renewal.
        certificate: CertificateId,
    },
    /// A certificate is not good any more.
    Revoked {
        /// Which one.
        certificate: CertificateId,
        /// Why.
        reason: Reason,
        /// When it would have ended.
        not_after: UnixTime,
    },
    /// Nothing is issued until somebody lifts it.
    Halted {
        /// Why.
        cause: HaltCause,
    },
    /// Issuing goes on.
    Resumed {
        /// Who said so.
        by: String,
    },
    /// The key-encryption key was changed.
    KeyEncryptionKeyRotated,
    /// The data came from a backup.
    EpochBegun {
        /// Counted from 1 for the first restore.
        epoch: u32,
    },
    /// Certificates that ended long ago have no record any more.
    RecordsForgotten {
        /// How many.
        records: u64,
        /// They ended before this time.
        ended_before: UnixTime,
    },
    /// Revocations that the backup did not know were taken over from a journal.
    JournalImported {
        /// How many were new.
        revocations: u64,
    },
}

/// Why issuing stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum HaltCause {
    /// Somebody said so.
    Operator {
        /// Who, and what for.
        note: String,
    },
    /// The clock cannot be trusted.
    Clock {
        /// What is wrong with it.
        fault: ClockFault,
    },
    /// The data came from a backup, and nobody has confirmed yet that the original is gone.
    Restored {
        /// The epoch that began.
        epoch: u32,
    },
}

impl std::fmt::Display for HaltCause {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operator { note } => write!(out, "an operator halted it: {note}"),
            Self::Clock { fault } => write!(out, "{fault}"),
            Self::Restored { epoch } => write!(out, "the data was restored from a backup (epoch {epoch}), and nobody has confirmed it yet"),
        }
    }
}

impl Event for Fact {
    const TYPE: &'static str = "ca.fact";
    const VERSION: u32 = 1;
}

/// The stream.
pub fn stream() -> Stream {
    STREAM.parse().expect("two lower-case letters name a stream")
}
