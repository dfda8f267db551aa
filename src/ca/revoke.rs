//! The end of certificates: revocation, first use of a renewal, and the end of a grace.

use crate::{
    authority::{ATTEMPTS, Authority, INDEX, PAGE, RECORDS, REVOKED, certificate_id},
    codec,
    crl::{Revocation, mark},
    error::StateError,
    event::Fact,
    issue::compromised_row,
    record::{CertificateId, Life, Reason, Record, Standing},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_pki::{Certificate, KeyId};
use gatehouse_store::{Batch, Entry, Key, Range};
use gatehouse_types::UnixTime;

/// A certificate was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// We have no record of it.
    #[error("there is no record of the certificate {0}")]
    Unknown(CertificateId),
    /// It was revoked before.
    #[error("the certificate was revoked already at {at} ({reason})")]
    Already {
        /// When.
        at: UnixTime,
        /// Why.
        reason: Reason,
    },
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Authority {
    /// Revokes a certificate for good. The authority's next revocation list, made within a second by [`Self::run`],
    /// names it; whoever asks [`Self::standing`] knows at once.
    ///
    /// # Errors
    /// When there is no such certificate, it is revoked already, or the store fails.
    pub async fn revoke(&self, id: &CertificateId, reason: Reason) -> Result<Record, RevokeError> {
        for _ in 0..ATTEMPTS {
            let (record, entry) = self.load::<Record>(RECORDS, &id.row()).await?.ok_or_else(|| RevokeError::Unknown(id.clone()))?;
            if let Life::Revoked { at, reason } = record.life {
                return Err(RevokeError::Already { at, reason });
            }
            let now = self.now();
            let (batch, fact, revoked) = revocation(id, record, &entry, now, reason);
            if self.commit(batch, now, vec![fact]).await?.is_some() {
                crate::metrics::revoked(&revoked.profile, reason);
                self.0.work.notify_one();
                return Ok(revoked);
            }
        }
        Err(StateError::Contention.into())
    }

    /// Notes that a certificate was shown by whoever holds it. When it is a renewal, the one before it ends now.
    /// Cheap to call at every handshake: only the first use writes.
    ///
    /// # Errors
    /// When there is no such certificate or the store fails.
    pub async fn first_used(&self, id: &CertificateId) -> Result<(), RevokeError> {
        for _ in 0..ATTEMPTS {
            let (record, entry) = self.load::<Record>(RECORDS, &id.row()).await?.ok_or_else(|| RevokeError::Unknown(id.clone()))?;
            let Some(before) = record.renews().cloned() else { return Ok(()) };
            let now = self.now();
            let mut ended_profile = None;
            let mut facts = vec![Fact::FirstUsed { certificate: id.clone() }];
            let mut batch =
                Batch::new().require_version(RECORDS, id.row(), entry.version).put(RECORDS, id.row(), codec::encode(&record.used()));
            if let Some((old, entry)) = self.load::<Record>(RECORDS, &before.row()).await?
                && matches!(old.life, Life::Superseded { .. })
            {
                let (ended, fact, old) = revocation(&before, old, &entry, now, Reason::Superseded);
                ended_profile = Some(old.profile);
                batch = batch.and(ended);
                facts.push(fact);
            }
            if self.commit(batch, now, facts).await?.is_some() {
                if let Some(profile) = ended_profile {
                    crate::metrics::revoked(&profile, Reason::Superseded);
                }
                self.0.work.notify_one();
                return Ok(());
            }
        }
        Err(StateError::Contention.into())
    }

    /// Where a certificate is in its life. None for one that we did not issue.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn standing(&self, id: &CertificateId) -> Result<Option<Standing>, StateError> {
        let now = self.now();
        Ok(match self.record(id).await? {
            Some(record) => Some(record.standing(now)),
            // Issued after the backup that was restored, and revoked by a journal: there is no record, and it is not good.
            None => self
                .load::<Revocation>(REVOKED, &id.row())
                .await?
                .map(|(Revocation { at, reason, .. }, _)| Standing::Revoked { at, reason }),
        })
    }

    /// Ends the superseded certificates whose grace has passed, so that revocation lists name them. Answers how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_graces(&self) -> Result<usize, StateError> {
        let now = self.now();
        let from = Vec::from(Key::new().text("grace"));
        let to = Vec::from(Key::new().text("grace").number(u64::try_from(now.millis()).unwrap_or(0)));
        let rows = self.0.store.scan(INDEX, Range::between(from, to), PAGE).await?;
        let mut ended = 0;
        for (row, entry) in rows {
            let id = certificate_id(&entry.value)?;
            let record = self.load::<Record>(RECORDS, &id.row()).await?;
            let (batch, facts, profile) = match record {
                Some((record, entry)) if matches!(record.life, Life::Superseded { .. }) && record.not_after >= now => {
                    let (batch, fact, record) = revocation(&id, record, &entry, now, Reason::Superseded);
                    (batch, vec![fact], Some(record.profile))
                }
                // Revoked or expired before its grace ended: only the reminder is left.
                _ => (Batch::new().delete(INDEX, row), Vec::new(), None),
            };
            ended += usize::from(!facts.is_empty());
            if self.commit(batch, now, facts).await?.is_some() {
                if let Some(profile) = profile {
                    crate::metrics::revoked(&profile, Reason::Superseded);
                }
                self.0.work.notify_one();
            }
        }
        Ok(ended)
    }
}

impl CertificateId {
    /// The id of a certificate that came in from outside. None when it does not say who signed it.
    pub fn of(certificate: &Certificate) -> Option<Self> {
        let issuer: [u8; KeyId::LEN] = certificate.authority_key_id()?.try_into().ok()?;
        Some(Self::new(issuer.into(), certificate.serial()))
    }
}

/// The batch that revokes: record, entry for the list, the mark that a list has to be made.
pub(crate) fn revocation(id: &CertificateId, record: Record, entry: &Entry, at: UnixTime, reason: Reason) -> (Batch, Fact, Record) {
    let grace = match &record.life {
        Life::Superseded { good_until, .. } => Some(crate::issue::grace_row(*good_until, id)),
        _ => None,
    };
    let fact = Fact::Revoked { certificate: id.clone(), reason, not_after: record.not_after };
    let listed = Revocation { at, reason, not_after: record.not_after };
    let compromised = (reason == Reason::KeyCompromise).then(|| compromised_row(&record.key()));
    let record = record.revoked(at, reason);
    let mut batch = Batch::new()
        .require_version(RECORDS, id.row(), entry.version)
        .put(RECORDS, id.row(), codec::encode(&record))
        .put(REVOKED, id.row(), codec::encode(&listed))
        .and(mark(id.issuer()));
    if let Some(grace) = grace {
        batch = batch.delete(INDEX, grace);
    }
    if let Some(row) = compromised {
        batch = batch.put(INDEX, row, id.row());
    }
    (batch, fact, record)
}

impl Fault for RevokeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown(_) => Kind::NotFound,
            Self::Already { .. } => Kind::Conflict,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown-certificate",
            Self::Already { .. } => "already-revoked",
            Self::State(error) => error.code(),
        }
    }
}
