//! What authenticators sign: made by us, for one purpose, good once and for five minutes.
//!
//! A challenge is its own record: when it ends, and random bytes, sealed together for its purpose. Asking for one writes nothing, so
//! strangers may ask as often as the limits of requests let them. Showing one uses it up, before anything else is looked at.

use super::Rejection;
use crate::{
    Accounts, SessionId, StateError, rows,
    secret::{self, Digest},
};
use gatehouse_store::{CommitError, Table};
use gatehouse_types::{Secret, UnixTime};
use std::time::Duration;

/// When challenges end that were shown, by their digest.
pub(crate) const SPENT: Table = Table::new("account-spent-challenges");

/// How long one is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(300);
/// §13.4.3 wants 16 at least.
const RANDOM_BYTES: usize = 16;
/// Ours have less than a hundred.
const MOST_BYTES: usize = 512;

/// What a challenge is for. One for another purpose, session or sign-in is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Adding a passkey in this session.
    Registration(SessionId),
    /// Signing in without a password.
    SignIn,
    /// The second step of the sign-in whose first step was answered with a secret of this digest.
    SecondFactor(Digest),
    /// Proving once more who is in this session.
    StepUp(SessionId),
}

/// A challenge of ours that was shown for the first time. Made in [`Accounts::take_challenge`] only.
#[derive(Debug)]
pub(crate) struct Challenge(Vec<u8>);

impl Challenge {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Purpose {
    fn subject(self) -> String {
        let hex = |digest: Digest| data_encoding::HEXLOWER.encode(&digest);
        match self {
            Self::Registration(session) => format!("passkey for session {}", hex(session.0)),
            Self::StepUp(session) => format!("passkey to step up in session {}", hex(session.0)),
            Self::SignIn => "passkey for signing in".to_owned(),
            Self::SecondFactor(digest) => format!("passkey for second step {}", hex(digest)),
        }
    }
}

impl Accounts {
    /// A new challenge.
    pub(super) fn challenge_for(&self, purpose: Purpose) -> Result<Vec<u8>, StateError> {
        let mut random = [0; RANDOM_BYTES];
        self.random.fill(&mut random);
        let ends = (self.clock.now() + LIFETIME).millis();
        let record = Secret::new([ends.to_be_bytes().as_slice(), &random].concat());
        self.sealer.seal(&purpose.subject(), &record).map_err(StateError::Seal)
    }

    /// Uses a challenge up. Nothing where it is not ours, not for this, over, or was shown before.
    pub(crate) async fn take_challenge(&self, purpose: Purpose, shown: Vec<u8>) -> Result<Result<Challenge, Rejection>, StateError> {
        let ends = (shown.len() <= MOST_BYTES).then(|| self.sealer.unseal(&purpose.subject(), &shown).ok()).flatten();
        let ends = ends.and_then(|record| record.expose().first_chunk().map(|ends| UnixTime::from_millis(i64::from_be_bytes(*ends))));
        let Some(ends) = ends.filter(|ends| self.clock.now() < *ends) else { return Ok(Err(Rejection::Challenge)) };
        let digest = secret::digest_of("passkey challenge", &Secret::new(shown.clone()));
        match self.events.commit(rows::new(SPENT, digest, &ends)).await {
            Ok(_) => Ok(Ok(Challenge(shown))),
            Err(CommitError::Conflict { .. }) => Ok(Err(Rejection::Challenge)),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets challenges that would not be good any more.
    pub(crate) async fn forget_spent_challenges(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, SPENT, |ends: &UnixTime| *ends <= now, |batch, _, _| batch).await
    }
}
