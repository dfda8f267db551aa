//! The switch that stops issuing.
//!
//! The switch is a row. Every issuing batch demands that the row is still as it was read, so a committed halt also
//! stops what is under way, on every node. Lifting it needs no certificate, no listener and no trusted clock, so a
//! halt never locks its own lifting out. Revocation and its lists go on while issuing stands still.

use crate::{
    authority::{ATTEMPTS, Authority, STATE},
    clock_guard::{ClockFault, Moment},
    codec,
    error::StateError,
    event::{Fact, HaltCause},
};
use gatehouse_store::{Batch, Entry};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};

pub(crate) const ISSUANCE: &[u8] = b"issuance";

/// Whether certificates are issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "issuance", rename_all = "kebab-case")]
pub enum Issuance {
    /// They are.
    Open,
    /// They are not, until somebody lifts it.
    Halted {
        /// Why not.
        cause: HaltCause,
        /// Since when.
        since: UnixTime,
    },
}

impl Authority {
    /// Whether certificates are issued.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn issuance(&self) -> Result<Issuance, StateError> {
        Ok(self.switch().await?.0)
    }

    /// Halts issuing. What was halted stays halted for the first reason.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn halt(&self, note: &str) -> Result<Issuance, StateError> {
        self.halt_because(HaltCause::Operator { note: note.to_owned() }).await
    }

    /// Lets issuing go on, and accepts the clock as it is now. Answers whether it was halted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resume(&self, by: &str) -> Result<bool, StateError> {
        for _ in 0..ATTEMPTS {
            let (issuance, entry) = self.switch().await?;
            if issuance == Issuance::Open {
                return Ok(false);
            }
            let at = Moment::of(&*self.0.clock);
            let batch =
                Batch::new().require_unchanged(STATE, ISSUANCE, entry.as_ref()).put(STATE, ISSUANCE, codec::encode(&Issuance::Open));
            if self.commit(batch, at.now, vec![Fact::Resumed { by: by.to_owned() }]).await?.is_some() {
                // After the commit, which notes its own time: accepting may set the last event back.
                self.guard().accept(at);
                return Ok(true);
            }
        }
        Err(StateError::Contention)
    }

    pub(crate) async fn halt_because(&self, cause: HaltCause) -> Result<Issuance, StateError> {
        for _ in 0..ATTEMPTS {
            let (issuance, entry) = self.switch().await?;
            if issuance != Issuance::Open {
                return Ok(issuance);
            }
            let since = self.now();
            let halted = Issuance::Halted { cause: cause.clone(), since };
            let batch = Batch::new().require_unchanged(STATE, ISSUANCE, entry.as_ref()).put(STATE, ISSUANCE, codec::encode(&halted));
            if self.commit(batch, since, vec![Fact::Halted { cause: cause.clone() }]).await?.is_some() {
                return Ok(halted);
            }
        }
        Err(StateError::Contention)
    }

    /// The switch, and what a condition on it needs.
    pub(crate) async fn switch(&self) -> Result<(Issuance, Option<Entry>), StateError> {
        Ok(match self.load(STATE, ISSUANCE).await? {
            Some((issuance, entry)) => (issuance, Some(entry)),
            None => (Issuance::Open, None),
        })
    }

    /// Judges the clock; a clock that cannot be trusted halts issuing for good.
    pub(crate) async fn check_clock(&self) -> Result<Result<UnixTime, ClockFault>, StateError> {
        let at = Moment::of(&*self.0.clock);
        let judged = self.guard().check(at);
        match judged {
            Ok(()) => Ok(Ok(at.now)),
            Err(fault) => {
                self.halt_because(HaltCause::Clock { fault: fault.clone() }).await?;
                Ok(Err(fault))
            }
        }
    }
}
