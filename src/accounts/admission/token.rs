//! Access tokens of devices: what a device shows at sign-in, over the key that it was let in with and to a gateway of ours only.
//!
//! They are JWT of a type of their own, for an audience of their own, and say by `cnf` (RFC 7800 §3.4) to which key they are bound: whoever
//! shows one elsewhere, or over another certificate's key, has nothing. A gateway asks here each time, so that a token ends with its
//! admission, with its organisation's suspension, and with its time.

use super::{
    AdmissionError, Admissions,
    family::{Admission, AdmissionId},
    presenter::Presenter,
};
use crate::{StateError, counters, rows};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_pki::Fingerprint;
use gatehouse_store::Batch;
use gatehouse_types::{DeviceId, GroupId, HubId, OrganisationId, Secret, UnixTime};
use serde::{Deserialize, Serialize};

/// No access token of a person or a program: those are `at+jwt`.
pub(super) const TYPE: &str = "device+jwt";

/// What an access token of a device says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: DeviceId,
    pub(super) aud: String,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) jti: String,
    /// The organisation: the tenant boundary.
    pub(super) owner: OrganisationId,
    pub(super) device_id: DeviceId,
    pub(super) hub: HubId,
    pub(super) admission: String,
    /// The number of the answer that it was in.
    pub(super) turn: u64,
    pub(super) cnf: Confirmation,
}

/// RFC 7800 §3.4: what the key is called; here the SHA-256 of its `SubjectPublicKeyInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Confirmation {
    pub(super) kid: String,
}

/// A device that has shown a good access token over its own key. Made by [`Admissions::verify`] and nothing else; whoever does something
/// for a device demands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDevice {
    organisation: OrganisationId,
    device: DeviceId,
    hub: HubId,
    group: Option<GroupId>,
    admission: AdmissionId,
    ends: UnixTime,
}

impl VerifiedDevice {
    /// Whose it is.
    pub fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Which one.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// At which hub.
    pub fn hub(&self) -> HubId {
        self.hub
    }

    /// As one of which group.
    pub fn group(&self) -> Option<GroupId> {
        self.group
    }

    /// Within which admission.
    pub fn admission(&self) -> AdmissionId {
        self.admission
    }

    /// When its token ends.
    pub fn ends(&self) -> UnixTime {
        self.ends
    }
}

impl Confirmation {
    pub(super) fn of(key: &Fingerprint) -> Self {
        Self { kid: BASE64URL_NOPAD.encode(key.as_bytes()) }
    }
}

impl Admissions {
    /// For whom the tokens of devices are: our gateways.
    pub(super) fn audience(&self) -> Option<String> {
        Some(format!("{}/gateway", self.accounts.issuer.as_deref()?))
    }

    /// An access token of an admission, and when it ends.
    pub(super) fn signed(&self, id: AdmissionId, admission: &Admission, now: UnixTime) -> Result<(Secret, UnixTime), AdmissionError> {
        let iss = self.accounts.issuer.clone().ok_or(AdmissionError::NoIssuer)?;
        let aud = self.audience().ok_or(AdmissionError::NoIssuer)?;
        let key: [u8; Fingerprint::LEN] =
            (*admission.key).try_into().map_err(|_| StateError::Damaged("the key of an admission".to_owned()))?;
        let ends = now + self.config().token_lifetime;
        let claims = Claims {
            iss,
            aud,
            sub: admission.device,
            iat: now.secs(),
            exp: ends.secs(),
            jti: BASE64URL_NOPAD.encode(&self.accounts.draw()),
            owner: admission.organisation,
            device_id: admission.device,
            hub: admission.hub,
            admission: id.to_string(),
            turn: admission.turns,
            cnf: Confirmation::of(&key.into()),
        };
        let signed = self.accounts.keys.sign(TYPE, &claims)?;
        Ok((Secret::from(signed), UnixTime::from_secs(ends.secs())))
    }

    /// The device behind an access token that is good here and now, over this connection. The first use of an answer's token is written
    /// down before this answers: from then on what the device had shown for it is worth nothing.
    ///
    /// # Errors
    /// The token is not good, or not here.
    pub async fn verify(&self, shown: &Secret, at: &Presenter, now: UnixTime) -> Result<VerifiedDevice, AdmissionError> {
        let refused = |reason| {
            counters::device_refused(reason);
            Err(AdmissionError::NotGood)
        };
        let claims = std::str::from_utf8(shown.expose()).ok().and_then(|text| self.accounts.keys.claims::<Claims>(TYPE, text));
        let ours = |claims: &Claims| Some(&claims.iss) == self.accounts.issuer.as_ref() && Some(&claims.aud) == self.audience().as_ref();
        let Some(claims) = claims.filter(ours) else { return refused("token") };
        if now.secs() >= claims.exp {
            return refused("token-over");
        }
        if claims.cnf != Confirmation::of(&at.key) {
            return refused("other-key");
        }
        if claims.owner != at.organisation || claims.device_id != at.device || claims.hub != at.hub {
            return refused("other-device");
        }
        if self.accounts.is_suspended(claims.owner).await? {
            counters::device_refused("suspended");
            return Err(AdmissionError::Suspended);
        }
        let Some(id) = AdmissionId::read(&claims.admission) else { return refused("token") };
        let found = rows::change::<_, StateError, _>(&self.accounts.events, || async {
            let Some(mut row) = self.row(claims.owner, id).await? else { return Ok((Batch::new(), None)) };
            if row.value.is_over(now, self.config().idle) {
                return Ok((Batch::new(), None));
            }
            let admission = row.value.clone();
            if admission.open.is_none() || claims.turn != admission.turns {
                return Ok((Batch::new(), Some(admission)));
            }
            row.value.open = None;
            row.value.used = row.value.used.max(now);
            Ok((row.rewritten(), Some(admission)))
        })
        .await?;
        let Some(Admission { organisation, device, hub, group, .. }) = found else { return refused("ended") };
        Ok(VerifiedDevice { organisation, device, hub, group, admission: id, ends: UnixTime::from_secs(claims.exp) })
    }
}
