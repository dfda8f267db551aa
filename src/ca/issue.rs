//! Issuing: approve, sign, record, and only then hand out.
//!
//! A certificate leaves this file after its record is on disk. A crash before that leaves a signature that nobody has
//! seen; a crash after it leaves a record of a certificate that may or may not have arrived, which is the safe side.

use crate::{
    authority::{ATTEMPTS, Authority, INDEX, RECORDS, STATE, subject_digest},
    clock_guard::ClockFault,
    codec,
    error::StateError,
    event::{Fact, HaltCause},
    hierarchy::{Ca, Hierarchy, Issuing},
    record::{CertificateId, Life, Record, Standing},
    seat::{CaId, Seat},
    switch::{ISSUANCE, Issuance},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_pki::{Certificate, CrlAddress, Facts, Issuer, Profile, Refusal, SignedCsr};
use gatehouse_store::{Batch, Entry, Key};
use gatehouse_types::UnixTime;
use std::{sync::Arc, time::Duration};

/// A certificate that somebody wants.
#[derive(Debug)]
pub struct Order<'a> {
    /// Whose authority shall sign it.
    pub seat: Seat,
    /// What it shall say.
    pub profile: &'a Profile,
    /// The key that it is for.
    pub csr: SignedCsr,
    /// What is known of the subject.
    pub facts: Facts,
    /// What happens to the one before it.
    pub renewal: Renewal,
}

/// What a new certificate does to the current one with the same seat, profile and subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renewal {
    /// Takes its place.
    #[default]
    Supersede,
    /// Stands beside it.
    Beside,
}

/// A recorded certificate.
#[derive(Debug)]
pub struct Issued {
    /// Which one it is.
    pub id: CertificateId,
    /// The certificate.
    pub certificate: Certificate,
    /// The authority that signed it.
    pub authority: CaId,
    /// Who signed it, up to the anchor, which is the last.
    pub chain: Vec<Certificate>,
    /// The certificate that it renews.
    pub supersedes: Option<CertificateId>,
}

/// No certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The switch is off.
    #[error("issuing has been halted since {since}: {cause}. `gatehouse ca resume` lifts it")]
    Halted {
        /// Why.
        cause: HaltCause,
        /// Since when.
        since: UnixTime,
    },
    /// The clock cannot be trusted; issuing is halted from now on.
    #[error("issuing was halted: {0}. Set the clock right, then `gatehouse ca resume` lifts it")]
    Clock(#[source] ClockFault),
    /// Nobody signs for this seat.
    #[error("there is no active authority for {0}")]
    NoAuthority(Seat),
    /// The authority's key is not to be had.
    #[error("the authority {authority} cannot sign: {reason}")]
    CannotSign {
        /// Which one.
        authority: CaId,
        /// What is in the way.
        reason: String,
    },
    /// The root signs authorities only, and authorities are made by ceremonies.
    #[error("{0} signs no certificates of this profile")]
    WrongSeat(Seat),
    /// The profile says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request is for one of our own keys.
    #[error("the request is for a key of this authority itself")]
    OwnKey,
    /// The key was revoked as compromised.
    #[error("the request is for a key that was revoked as compromised; make a new key")]
    CompromisedKey,
    /// Signing failed, or the finished certificate broke a rule.
    #[error("the certificate could not be made")]
    Sign(#[source] gatehouse_pki::IssueError),
    /// The configured address of revocation lists cannot be written into a certificate.
    #[error("the configured address of revocation lists cannot be used: {0}")]
    CrlAddress(String),
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Authority {
    /// Issues a certificate.
    ///
    /// # Errors
    /// When issuing is halted, the clock cannot be trusted, the profile refuses, or recording fails.
    pub async fn issue(&self, order: Order<'_>) -> Result<Issued, IssueError> {
        let profile = order.profile;
        let outcome = self.issue_uncounted(order).await;
        crate::metrics::ordered(profile, &outcome);
        outcome
    }

    async fn issue_uncounted(&self, order: Order<'_>) -> Result<Issued, IssueError> {
        let (now, _) = self.may_issue().await?;
        let Order { seat, profile, csr, facts, renewal } = order;
        if seat == Seat::Root || profile.is_ca() {
            return Err(IssueError::WrongSeat(seat));
        }
        if self.0.keyring.holds(csr.key()).await.map_err(StateError::from)? {
            return Err(IssueError::OwnKey);
        }
        self.sign_and_record(seat, profile, csr, facts, renewal, now).await
    }

    /// The steps behind the checks of who may ask.
    pub(crate) async fn sign_and_record(
        &self,
        seat: Seat,
        profile: &Profile,
        csr: SignedCsr,
        facts: Facts,
        renewal: Renewal,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let lifetime = facts.wanted_lifetime().unwrap_or(profile.lifetime());
        let (hierarchy, ca) = self.signing(seat, now, lifetime).await?;
        let ca = hierarchy.find(ca).expect("the authority was found in this hierarchy");
        let issuer = ca.signs()?;
        self.check_not_revoked(ca).await?;
        let facts = self.with_crl(facts, ca)?;
        let approved = profile.approve(csr, &facts, now)?;
        let certificate = issuer.issue(approved, &*self.0.random).map_err(IssueError::Sign)?;
        let id = CertificateId::new(ca.key_id, certificate.serial());
        let supersedes = self.record_issued(ca, profile.name(), &id, &certificate, renewal, now).await?;
        Ok(Issued { id, certificate, authority: ca.id, chain: ca.chain.clone(), supersedes })
    }

    /// A revoked authority signs nothing, although it stays in its seat until it is rolled over.
    async fn check_not_revoked(&self, ca: &Ca) -> Result<(), IssueError> {
        let Some(id) = ca.chain.first().and_then(CertificateId::of) else { return Ok(()) };
        match self.standing(&id).await? {
            Some(Standing::Revoked { reason, .. }) => {
                let reason = format!("its own certificate was revoked ({reason}); roll it over");
                Err(IssueError::CannotSign { authority: ca.id, reason })
            }
            _ => Ok(()),
        }
    }

    /// Whether anything may be signed now, and the switch as it was read.
    pub(crate) async fn may_issue(&self) -> Result<(UnixTime, Option<Entry>), IssueError> {
        match self.switch().await? {
            (Issuance::Halted { cause, since }, _) => Err(IssueError::Halted { cause, since }),
            (Issuance::Open, entry) => match self.check_clock().await? {
                Ok(now) => Ok((now, entry)),
                Err(fault) => Err(IssueError::Clock(fault)),
            },
        }
    }

    /// Commits the record; a signed certificate that is not recorded is forgotten.
    async fn record_issued(
        &self,
        ca: &Ca,
        profile: &str,
        id: &CertificateId,
        certificate: &Certificate,
        renewal: Renewal,
        now: UnixTime,
    ) -> Result<Option<CertificateId>, IssueError> {
        for _ in 0..ATTEMPTS {
            let (_, switch) = self.may_issue().await?;
            let (supersedes, old) = match renewal {
                Renewal::Beside => (None, Batch::new()),
                Renewal::Supersede => self.supersede(ca, profile, id, certificate, now).await?,
            };
            let record = Record::new(ca.id, profile, certificate, now, supersedes.clone());
            let mut facts = vec![issued_fact(id, &record)];
            if let Some(old) = &supersedes {
                let good_until = self.good_until(now);
                facts.push(Fact::Superseded { certificate: old.clone(), by: id.clone(), good_until });
            }
            let batch = ca
                .unchanged()
                .require_unchanged(STATE, ISSUANCE, switch.as_ref())
                .require_absent(INDEX, compromised_row(&record.key()))
                .and(record_rows(id, &record))
                .and(old);
            if self.commit(batch, now, facts).await?.is_some() {
                return Ok(supersedes);
            }
            if self.is_compromised(&record.key()).await? {
                return Err(IssueError::CompromisedKey);
            }
            if self
                .0
                .store
                .get(crate::authority::HIERARCHY, crate::hierarchy::row_of(ca.id))
                .await
                .map_err(StateError::from)?
                .map(|row| row.version)
                != Some(ca.entry.version)
            {
                // Rolled over or withdrawn while we signed: what was signed is dropped, the caller asks again.
                self.reload().await?;
                break;
            }
        }
        Err(StateError::Contention.into())
    }

    /// The current certificate with this subject, and what makes it superseded.
    async fn supersede(
        &self,
        ca: &Ca,
        profile: &str,
        id: &CertificateId,
        certificate: &Certificate,
        now: UnixTime,
    ) -> Result<(Option<CertificateId>, Batch), StateError> {
        let slot = slot_row(ca.id.seat, profile, &certificate.subject().to_string());
        let pointer = self.0.store.get(INDEX, &slot).await?;
        let batch = Batch::new().require_unchanged(INDEX, slot.clone(), pointer.as_ref()).put(INDEX, slot, id.row());
        let Some(pointer) = pointer else { return Ok((None, batch)) };
        let old = crate::authority::certificate_id(&pointer.value)?;
        match self.load::<Record>(RECORDS, &old.row()).await? {
            Some((record, entry)) if matches!(record.life, Life::Current { .. }) && record.standing(now).is_good() => {
                let good_until = self.good_until(now);
                let record = record.superseded(id.clone(), good_until);
                let batch = batch.require_version(RECORDS, old.row(), entry.version).put(RECORDS, old.row(), codec::encode(&record)).put(
                    INDEX,
                    grace_row(good_until, &old),
                    old.row(),
                );
                Ok((Some(old), batch))
            }
            _ => Ok((None, batch)),
        }
    }

    fn good_until(&self, now: UnixTime) -> UnixTime {
        now + self.0.settings.grace
    }

    pub(crate) async fn is_compromised(&self, key: &gatehouse_pki::Fingerprint) -> Result<bool, StateError> {
        Ok(self.0.store.get(INDEX, compromised_row(key)).await?.is_some())
    }

    /// The authority that signs leaves of this lifetime now; made if it is an intermediate and none fits.
    async fn signing(&self, seat: Seat, now: UnixTime, lifetime: Duration) -> Result<(Arc<Hierarchy>, CaId), IssueError> {
        let hierarchy = self.hierarchy();
        let active = hierarchy.active(seat).ok_or(IssueError::NoAuthority(seat))?;
        let (id, issuing) = (active.id, active.row.issuing);
        if issuing == Issuing::Direct {
            return Ok((hierarchy, id));
        }
        let fitting = hierarchy.turns(id).find(|turn| turn.fits(now, lifetime)).map(|turn| turn.id);
        if let Some(turn) = fitting {
            return Ok((hierarchy, turn));
        }
        let turn = self.next_turn(id, lifetime).await?;
        Ok((self.hierarchy(), turn))
    }

    fn with_crl(&self, facts: Facts, ca: &Ca) -> Result<Facts, IssueError> {
        Ok(match self.crl_address(ca)? {
            Some(address) => facts.crl(address),
            None => facts,
        })
    }

    pub(crate) fn crl_address(&self, ca: &Ca) -> Result<Option<CrlAddress>, IssueError> {
        let Some(base) = &self.0.settings.crl_base else { return Ok(None) };
        let address = format!("{}/{}.crl", base.trim_end_matches('/'), ca.key_id);
        address.parse().map(Some).map_err(|error: gatehouse_pki::NameError| IssueError::CrlAddress(error.to_string()))
    }
}

impl Ca {
    pub(crate) fn signs(&self) -> Result<&Issuer, IssueError> {
        self.issuer.as_deref().ok_or_else(|| IssueError::CannotSign {
            authority: self.id,
            reason: self.why_not.clone().unwrap_or_else(|| "it has no certificate".to_owned()),
        })
    }

    /// Whether a leaf of this lifetime ends together with this intermediate, and not too soon. A device that holds both
    /// times its renewal by the intermediate: a leaf that ended before it would never be renewed in time.
    fn fits(&self, now: UnixTime, lifetime: Duration) -> bool {
        let Some(own) = self.chain.first() else { return false };
        self.row.state == crate::hierarchy::CaState::Active && own.not_after() <= now + lifetime && own.not_after() >= now + lifetime / 2
    }
}

pub(crate) fn issued_fact(id: &CertificateId, record: &Record) -> Fact {
    Fact::Issued {
        certificate: id.clone(),
        authority: record.authority,
        profile: record.profile.clone(),
        subject: record.subject.clone(),
        not_after: record.not_after,
    }
}

/// The record and the rows by which it is found.
pub(crate) fn record_rows(id: &CertificateId, record: &Record) -> Batch {
    let by_key = Key::new().text("key").bytes(&record.key).bytes(&id.row());
    let by_subject = Key::new().text("subject").bytes(&subject_digest(&record.subject)).bytes(&id.row());
    Batch::new().require_absent(RECORDS, id.row()).put(RECORDS, id.row(), codec::encode(record)).put(INDEX, by_key, id.row()).put(
        INDEX,
        by_subject,
        id.row(),
    )
}

pub(crate) fn slot_row(seat: Seat, profile: &str, subject: &str) -> Vec<u8> {
    Key::new().text("current").text(&seat.to_string()).text(profile).bytes(&subject_digest(subject)).into()
}

pub(crate) fn grace_row(good_until: UnixTime, id: &CertificateId) -> Vec<u8> {
    Key::new().text("grace").number(u64::try_from(good_until.millis()).unwrap_or(0)).bytes(&id.row()).into()
}

pub(crate) fn compromised_row(key: &gatehouse_pki::Fingerprint) -> Vec<u8> {
    Key::new().text("compromised").bytes(key.as_bytes()).into()
}

impl Fault for IssueError {
    fn kind(&self) -> Kind {
        match self {
            Self::Halted { .. } | Self::Clock(_) | Self::CannotSign { .. } => Kind::Unavailable,
            Self::NoAuthority(_) => Kind::NotFound,
            Self::WrongSeat(_) | Self::Refused(_) => Kind::Invalid,
            Self::OwnKey | Self::CompromisedKey => Kind::Forbidden,
            Self::Sign(_) | Self::CrlAddress(_) => Kind::Internal,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Halted { .. } => "issuance-halted",
            Self::Clock(_) => "clock-not-trusted",
            Self::CannotSign { .. } => "authority-cannot-sign",
            Self::NoAuthority(_) => "no-authority",
            Self::WrongSeat(_) => "wrong-authority",
            Self::Refused(_) => "refused-by-profile",
            Self::OwnKey => "own-key",
            Self::CompromisedKey => "compromised-key",
            Self::Sign(_) => "signing-failed",
            Self::CrlAddress(_) => "crl-address",
            Self::State(error) => error.code(),
        }
    }
}
