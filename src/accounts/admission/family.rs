//! An admission: what a device has after it was let in, as it is kept, and the decision about what is shown for it.
//!
//! The decision reads no store and no clock. What was shown last is answered with the next tokens; what was shown before that, with the
//! same answer, as long as nobody has used it and the same key asks. Everything else that is of the family was stolen, from the device or
//! by it, and ends the family (RFC 9700 §4.14.2).

use super::presenter::Presenter;
use crate::secret::{self, Digest};
use gatehouse_pki::Fingerprint;
use gatehouse_store::codec::Bytes;
use gatehouse_types::{DeviceId, GroupId, HubId, OrganisationId, Random, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

const PREFIX: &str = "gtd_";
/// Each half: 256 bits as `secret::draw` writes them.
const HALF: usize = 52;
const FAMILY: &str = "device token family";
const TURN: &str = "device token turn";

/// Which admission. It is in access tokens and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdmissionId(pub(super) [u8; 16]);

/// An admission as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Admission {
    pub(super) organisation: OrganisationId,
    pub(super) device: DeviceId,
    pub(super) hub: HubId,
    pub(super) group: Option<GroupId>,
    /// By whose word: the provider's name.
    pub(super) authority: String,
    pub(super) key: Bytes,
    pub(super) began: UnixTime,
    pub(super) used: UnixTime,
    /// Counts the answers: tokens carry the number of theirs.
    pub(super) turns: u64,
    /// Of the first half of its refresh tokens, which stays.
    pub(super) family: Bytes,
    /// Of the second half of the one that is good.
    pub(super) turn: Bytes,
    /// The last answer, until it was used.
    pub(super) open: Option<Open>,
}

/// An answer that may have been lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    /// What was shown for it.
    pub(super) shown: Shown,
    pub(super) sealed: Bytes,
}

/// What was shown, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shown {
    Code(Bytes),
    Turn(Bytes),
}

/// What becomes of something that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next tokens.
    Turn,
    /// The same answer again.
    Repeat,
    /// The family ends.
    Theft(Theft),
    /// The family has ended.
    Over,
}

/// Why a family was ended and an alarm was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Theft {
    /// A code or refresh token was shown over another key than that which it is bound to.
    OtherKey,
    /// A code or refresh token was shown again after what it gave was used.
    Replayed,
    /// A code that nobody had used yet was shown by another device than the one that it is for, or in another organisation.
    OtherDevice,
}

impl Theft {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherKey => "other-key",
            Self::Replayed => "replayed",
            Self::OtherDevice => "other-device",
        }
    }
}

impl Admission {
    /// What becomes of something of this family that is shown over this key. Changes nothing.
    pub(super) fn decide(&self, shown: &Shown, key: &Fingerprint, now: UnixTime, idle: Duration) -> Verdict {
        if self.is_over(now, idle) {
            return Verdict::Over;
        }
        if !self.is_bound_to(key) {
            return Verdict::Theft(Theft::OtherKey);
        }
        if matches!(shown, Shown::Turn(turn) if same(turn, &self.turn)) {
            return Verdict::Turn;
        }
        match &self.open {
            Some(open) if open.shown.is(shown) => Verdict::Repeat,
            _ => Verdict::Theft(Theft::Replayed),
        }
    }

    /// Not used for so long that the device has to be let in anew.
    pub(super) fn is_over(&self, now: UnixTime, idle: Duration) -> bool {
        now >= self.used + idle
    }

    /// Whether this is the device's own connection, where it was let in.
    pub(super) fn is_of(&self, at: &Presenter) -> bool {
        self.organisation == at.organisation && self.device == at.device && self.hub == at.hub
    }

    pub(super) fn is_bound_to(&self, key: &Fingerprint) -> bool {
        *self.key == *key.as_bytes()
    }
}

impl Shown {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Code(one), Self::Code(other)) | (Self::Turn(one), Self::Turn(other)) => same(one, other),
            _ => false,
        }
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    Secret::new(one.to_vec()) == Secret::new(other.to_vec())
}

/// A refresh token in its two halves: the family, which stays, and the turn, which is good once.
#[derive(Debug)]
pub(super) struct Halves {
    family: Secret,
    turn: Secret,
}

impl Halves {
    pub(super) fn draw(random: &dyn Random) -> Self {
        Self { family: secret::draw(random), turn: secret::draw(random) }
    }

    /// The next one of the same family.
    pub(super) fn next(&self, random: &dyn Random) -> Self {
        Self { family: Secret::new(self.family.expose().to_vec()), turn: secret::draw(random) }
    }

    pub(super) fn read(text: &Secret) -> Option<Self> {
        let (family, turn) = text.expose().strip_prefix(PREFIX.as_bytes())?.split_at_checked(HALF)?;
        (turn.len() == HALF).then(|| Self { family: Secret::new(family.to_vec()), turn: Secret::new(turn.to_vec()) })
    }

    pub(super) fn text(&self) -> Secret {
        Secret::new([PREFIX.as_bytes(), self.family.expose(), self.turn.expose()].concat())
    }

    pub(super) fn family(&self) -> Digest {
        secret::digest_of(FAMILY, &self.family)
    }

    pub(super) fn turn(&self) -> Bytes {
        secret::digest_of(TURN, &self.turn).to_vec().into()
    }
}

impl AdmissionId {
    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(Self)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        Self::from_key(&data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?)
    }
}

impl fmt::Display for AdmissionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

const _: () = assert!(HALF == secret::DIGEST_BYTES.div_ceil(5) * 8 - 4);
