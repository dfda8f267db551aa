//! Revocation lists: made when something was revoked or the old one has served half its time, numbered upwards, kept
//! in the store and in memory.
//!
//! A revocation leaves a *mark* beside its authority in the same batch. A list is committed under the condition that
//! the mark is still the one that was seen before the revocations were read, so no list hides one that came in
//! between, and a crash before the list was made is made good at the next start.

use crate::{
    authority::{ATTEMPTS, Authority, CRLS, INDEX, PAGE, REVOKED, STATE, certificate_id},
    clock_guard::Moment,
    codec::{self, Bytes},
    error::StateError,
    hierarchy::{Ca, CaState},
    record::Reason,
};
use gatehouse_base::{Fault, Kind};
use gatehouse_pki::{Certificate, CrlContent, KeyId, RevocationReason, RevokedCertificate, Serial};
use gatehouse_store::{Batch, Key, MAX_VALUE_BYTES, Range};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, num::NonZeroU64, sync::Arc, time::Duration};

/// The latest list of each authority.
pub(crate) type Crls = HashMap<KeyId, Arc<Crl>>;

/// A signed revocation list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crl {
    /// Goes up with every list of the authority.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When its readers want a newer one.
    pub next_update: UnixTime,
    /// How many certificates it names.
    pub entries: u64,
    der: Bytes,
}

/// What the store keeps of a revocation for the lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) at: UnixTime,
    pub(crate) reason: Reason,
    pub(crate) not_after: UnixTime,
}

/// A list was not made.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The authority's key is not to be had.
    #[error("the revocation list of {authority} cannot be signed: {reason}")]
    CannotSign {
        /// Which authority.
        authority: crate::CaId,
        /// What is in the way.
        reason: String,
    },
    /// More revocations than one list holds.
    #[error("the revocation list of {authority} would have {bytes} bytes; roll the authority over, so that the old list stops growing")]
    TooLong {
        /// Which authority.
        authority: crate::CaId,
        /// How long it would be.
        bytes: usize,
    },
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Lists above this are not kept: some 200,000 revocations. Readers have bounds of their own.
pub const CRL_BYTES_MAX: usize = MAX_VALUE_BYTES - 1024;

/// How long a revocation is kept after no list names it any more.
const FORGET_AFTER: Duration = Duration::from_hours(30 * 24);

/// Numbers of different epochs never meet: a restored instance does not know which numbers it gave out.
const NUMBERS_PER_EPOCH: u64 = 1 << 32;

pub(crate) const EPOCH: &[u8] = b"epoch";

impl Crl {
    /// The list in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl Authority {
    /// The latest list of an authority, by its key identifier.
    pub fn crl(&self, authority: &KeyId) -> Option<Arc<Crl>> {
        self.0.crls.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(authority).cloned()
    }

    /// Makes the lists that are due: of authorities with a mark, without a list, or with one that has served half
    /// its time. One authority that cannot sign does not keep the others from it; its error comes last.
    ///
    /// # Errors
    /// When a list could not be signed or the store fails.
    pub async fn publish(&self) -> Result<usize, CrlError> {
        let hierarchy = self.hierarchy();
        let (mut made, mut failed) = (0, None);
        let now = self.now();
        // An authority that has ended says nothing any more: nothing that it signed is good.
        let lives = |ca: &&Arc<Ca>| ca.chain.first().map(Certificate::not_after).is_some_and(|end| end >= now);
        let signs = |ca: &&Arc<Ca>| matches!(ca.row.state, CaState::Active | CaState::Trusted);
        for ca in hierarchy.all.iter().filter(signs).filter(lives) {
            match self.publish_for(ca).await {
                Ok(one) => made += usize::from(one),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(made), Err)
    }

    async fn publish_for(&self, ca: &Ca) -> Result<bool, CrlError> {
        for _ in 0..ATTEMPTS {
            let now = self.now();
            let mark = self.0.store.get(INDEX, mark_row(ca.key_id.as_bytes())).await.map_err(StateError::from)?;
            let before: Option<(Crl, _)> = self.load(CRLS, ca.key_id.as_bytes()).await?;
            let lifetime = self.0.settings.crl_lifetime;
            // A list from a future that was called off by setting the clock back is one that readers refuse.
            let served = |crl: &Crl| now.since(crl.this_update) >= lifetime / 2 || crl.this_update > now;
            if mark.is_none() && before.as_ref().is_some_and(|(crl, _)| !served(crl)) {
                let (crl, _) = before.expect("checked in the line above");
                self.keep(ca.key_id, crl);
                return Ok(false);
            }
            let issuer = ca.issuer.as_deref().ok_or_else(|| CrlError::CannotSign {
                authority: ca.id,
                reason: ca.why_not.clone().unwrap_or_else(|| "it has no certificate".to_owned()),
            })?;
            let (revoked, gone) = self.revocations(ca, now).await?;
            let number = self.next_number(before.as_ref().map(|(crl, _)| crl.number)).await?;
            let entries = revoked.len() as u64;
            let content = CrlContent { number, this_update: now, next_update: now + lifetime, revoked };
            let list = issuer.sign_crl(&content).map_err(|error| CrlError::CannotSign { authority: ca.id, reason: error.to_string() })?;
            let (number, der) = (number.get(), list.der().to_vec());
            if der.len() > CRL_BYTES_MAX {
                return Err(CrlError::TooLong { authority: ca.id, bytes: der.len() });
            }
            let crl = Crl { number, this_update: now, next_update: now + lifetime, entries, der: der.into() };
            let mut batch = Batch::new()
                .require_unchanged(CRLS, *ca.key_id.as_bytes(), before.as_ref().map(|(_, entry)| entry))
                .require_unchanged(INDEX, mark_row(ca.key_id.as_bytes()), mark.as_ref())
                .put(CRLS, *ca.key_id.as_bytes(), codec::encode(&crl))
                .delete(INDEX, mark_row(ca.key_id.as_bytes()));
            for row in gone {
                batch = batch.delete(REVOKED, row);
            }
            if self.commit(batch, now, Vec::new()).await?.is_some() {
                self.keep(ca.key_id, crl);
                return Ok(true);
            }
        }
        Err(StateError::Contention.into())
    }

    /// What the list names, and the rows that no list needs any more. An entry stays on one list after its
    /// certificate has expired (RFC 5280 §3.3); a whole lifetime of a list makes sure of that.
    async fn revocations(&self, ca: &Ca, now: UnixTime) -> Result<(Vec<RevokedCertificate>, Vec<Vec<u8>>), StateError> {
        let trusted = self.guard().check(Moment::of(&*self.0.clock)).is_ok();
        let (mut revoked, mut gone) = (Vec::new(), Vec::new());
        let mut range = Range::prefix(ca.key_id.as_bytes().to_vec());
        loop {
            let rows = self.0.store.scan(REVOKED, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok((revoked, gone)) };
            range = range.after(last);
            for (row, entry) in rows {
                let Revocation { at, reason, not_after } = codec::decode(&entry.value)?;
                let over = not_after + self.0.settings.crl_lifetime;
                if over < now {
                    // Left out now, forgotten later, and only by a clock that is trusted: what is left out because
                    // somebody set the clock comes back when it is set right.
                    if trusted && over + FORGET_AFTER < now && gone.len() < PAGE {
                        gone.push(row);
                    }
                    continue;
                }
                let id = certificate_id(&row)?;
                let serial = Serial::from_integer(&integer(id.serial())).map_err(|error| StateError::Damaged(error.to_string()))?;
                // A clock that was set back must not keep a list from being made.
                revoked.push(RevokedCertificate { serial, time: at.min(now), reason: reason.into() });
            }
        }
    }

    async fn next_number(&self, before: Option<u64>) -> Result<NonZeroU64, StateError> {
        let epoch: u32 = self.load(STATE, EPOCH).await?.map_or(0, |(epoch, _)| epoch);
        let first = u64::from(epoch) * NUMBERS_PER_EPOCH + 1;
        let number = before.map_or(first, |before| first.max(before.saturating_add(1)));
        Ok(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// Whether some authority's list lacks something.
    pub(crate) async fn is_marked(&self) -> Result<bool, StateError> {
        let marks = Range::prefix(Key::new().text("unlisted"));
        Ok(!self.0.store.scan(INDEX, marks, 1).await?.is_empty())
    }

    fn keep(&self, key_id: KeyId, crl: Crl) {
        let mut crls = self.0.crls.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        crls.insert(key_id, Arc::new(crl));
    }

    /// Takes the lists into memory that were made before.
    pub(crate) async fn load_crls(&self) -> Result<(), StateError> {
        let hierarchy = self.hierarchy();
        for ca in &hierarchy.all {
            if let Some((crl, _)) = self.load(CRLS, ca.key_id.as_bytes()).await? {
                self.keep(ca.key_id, crl);
            }
        }
        Ok(())
    }
}

/// A serial number's bytes as the content of a DER INTEGER, which is negative when its first bit is set.
fn integer(magnitude: &[u8]) -> Vec<u8> {
    let negative = magnitude.first().is_some_and(|byte| byte & 0x80 != 0);
    if negative { [&[0], magnitude].concat() } else { magnitude.to_vec() }
}

/// Says that the authority's list lacks something. Written anew each time, so that its version tells one mark from the next.
pub(crate) fn mark(issuer: &[u8; KeyId::LEN]) -> Batch {
    Batch::new().put(INDEX, mark_row(issuer), Vec::new())
}

fn mark_row(issuer: &[u8; KeyId::LEN]) -> Vec<u8> {
    Key::new().text("unlisted").bytes(issuer).into()
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::CaCompromise => Self::CaCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

impl Fault for CrlError {
    fn kind(&self) -> Kind {
        match self {
            Self::CannotSign { .. } => Kind::Unavailable,
            Self::TooLong { .. } => Kind::Exhausted,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::CannotSign { .. } => "crl-not-signed",
            Self::TooLong { .. } => "crl-too-long",
            Self::State(error) => error.code(),
        }
    }
}
