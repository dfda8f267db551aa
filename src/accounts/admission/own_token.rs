//! Our own JWT in place of a code: what a provisioning service elsewhere gets with its client credentials for one device and hands to it,
//! as existing ones do. It is good once, like a code, and nothing of it is kept before it is used.

use super::{
    Admissions,
    authority::{Away, DeviceAuthority, Entitlement, Judgement},
};
use crate::{
    Accounts, Right,
    oauth::{Client, ClientId, GrantError, Issued},
};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_types::{DeviceId, GroupId, HubId, OrganisationId, Secret, UnixTime};
use serde::{Deserialize, Serialize};

/// Good at sign-up, and nowhere else.
const TYPE: &str = "onboarding+jwt";

/// What such a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    client_id: String,
    iat: i64,
    exp: i64,
    jti: String,
    owner: OrganisationId,
    device_id: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hub: Option<HubId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<GroupId>,
}

/// Which device a client wants a token for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenFor {
    pub(crate) device: DeviceId,
    pub(crate) hub: Option<HubId>,
    pub(crate) group: Option<GroupId>,
}

/// The authority that reads what our own keys signed.
#[derive(Clone, Debug)]
pub(super) struct OwnTokens(pub(super) Accounts);

impl DeviceAuthority for OwnTokens {
    fn judge<'a>(&'a self, shown: &'a Secret, _now: UnixTime) -> Judgement<'a> {
        Box::pin(async move {
            let text = std::str::from_utf8(shown.expose()).ok();
            let claims = text.and_then(|text| self.0.keys.claims::<Claims>(TYPE, text));
            let audience = self.0.admissions().audience();
            let ours = |claims: &Claims| Some(&claims.iss) == self.0.issuer.as_ref() && Some(&claims.aud) == audience.as_ref();
            let Some(claims) = claims.filter(ours) else { return Ok(None) };
            // What a client may not do any more, its tokens may not either.
            let client = self.0.client(&claims.client_id).await.map_err(|error| Away(Box::new(error)))?;
            let may = |client: &Client| client.organisation == Some(claims.owner) && client.rights.contains(&Right::ManageDevices);
            if !client.as_ref().is_some_and(may) {
                return Ok(None);
            }
            Ok(Some(Entitlement {
                once: claims.jti,
                organisation: claims.owner,
                device: Some(claims.device_id),
                hub: claims.hub,
                group: claims.group,
                ends: UnixTime::from_secs(claims.exp),
            }))
        })
    }
}

impl Admissions {
    /// A token with which a device may sign up, for a client of its organisation.
    pub(crate) async fn token_for(&self, id: &ClientId, client: &Client, wanted: TokenFor, now: UnixTime) -> Result<Issued, GrantError> {
        let organisation = client.organisation.ok_or(GrantError::NotForThis)?;
        if !client.rights.contains(&Right::ManageDevices) {
            return Err(GrantError::Scope(Right::ManageDevices.name().to_owned()));
        }
        if self.accounts.is_suspended(organisation).await? {
            return Err(GrantError::Suspended);
        }
        let lifetime = self.config().code_lifetime;
        let claims = Claims {
            iss: self.accounts.issuer.clone().ok_or(GrantError::NoIssuer)?,
            sub: id.to_string(),
            aud: self.audience().ok_or(GrantError::NoIssuer)?,
            client_id: id.to_string(),
            iat: now.secs(),
            exp: (now + lifetime).secs(),
            jti: BASE64URL_NOPAD.encode(&self.accounts.draw()),
            owner: organisation,
            device_id: wanted.device,
            hub: wanted.hub,
            group: wanted.group,
        };
        let token = Secret::from(self.accounts.keys.sign(TYPE, &claims)?);
        Ok(Issued { token, lifetime, scope: Right::ManageDevices.name().to_owned(), refresh: None, id_token: None })
    }
}
