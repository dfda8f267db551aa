//! Tokens of devices: from whom they are, whether they are good, and which organisation they speak for.
//!
//! The issuer is chosen by what the token says, among those that are configured and no others. The keys are the issuer's; the audience,
//! the type and the claims are those of each configuration; the organisation is what the issuer and the owner are mapped to. Where the
//! caller knows by which organisation a device came, nothing else is an answer.

use crate::{Accounts, StateError, foreign::Provider};
use gatehouse_base::{Fault, Kind};
use gatehouse_openid::{Access, AccessExpected, Issuer, Signed, TokenRefused, issuer_of};
use gatehouse_types::{DeviceId, OrganisationId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A device's token that is good. Made by [`Accounts::verify_device_token`] and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceToken {
    /// Whose the device is.
    pub organisation: OrganisationId,
    /// By which provider.
    pub provider: String,
    /// Who signed it.
    pub issuer: Issuer,
    /// What it says about its owner.
    pub owner: String,
    /// Which device it is bound to; nothing where the provider binds to none.
    pub device: Option<DeviceId>,
    /// When it ends.
    pub expires: UnixTime,
    /// What names it among the issuer's: its `jti`.
    pub id: Option<String>,
}

/// A device's token is refused.
#[derive(Debug, thiserror::Error)]
pub enum DeviceTokenError {
    /// It is not good.
    #[error(transparent)]
    Refused(#[from] TokenRefused),
    /// Its issuer vouches for no devices here.
    #[error("no provider that vouches for devices here is its issuer")]
    UnknownIssuer,
    /// Its owner is nobody here.
    #[error("what it says about its owner is not mapped to an organisation")]
    UnknownOwner,
    /// Its device is no device's id.
    #[error("what it says about its device is no id of a device")]
    Device,
    /// Two configurations would take it for two organisations.
    #[error("two configurations of its issuer take it for different organisations")]
    Ambiguous,
    /// The organisation may do nothing.
    #[error("the operator of this installation has suspended the organisation")]
    Suspended,
    /// Nobody is asked from here.
    #[error("this program asks no other servers")]
    Off,
    /// The accounts could not be read.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// Says which organisation a device's token speaks for. A provider that is named is the only one that may have given it.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify_device_token(&self, provider: Option<&str>, token: &Secret) -> Result<DeviceToken, DeviceTokenError> {
        self.verified_at(provider, token, |_| self.clock.now()).await
    }

    /// The same for one whose time may be over and that is good otherwise: with the end that it had.
    pub(crate) async fn verify_ended_device_token(
        &self,
        provider: Option<&str>,
        token: &Secret,
        now: UnixTime,
    ) -> Result<DeviceToken, DeviceTokenError> {
        let before_its_end = |signed: &Signed| signed.ends().map_or(now, |ends| now.min(UnixTime::from_secs(ends.secs() - 1)));
        self.verified_at(provider, token, before_its_end).await
    }

    async fn verified_at(
        &self,
        provider: Option<&str>,
        token: &Secret,
        now: impl Fn(&Signed) -> UnixTime,
    ) -> Result<DeviceToken, DeviceTokenError> {
        let said = issuer_of(token).ok_or(TokenRefused::Malformed)?;
        let issuer: Issuer = said.parse().map_err(|_| DeviceTokenError::UnknownIssuer)?;
        let mut candidates = self.providers_named(&issuer).await?;
        candidates.retain(|(id, candidate)| candidate.devices.is_some() && provider.is_none_or(|wanted| wanted == id));
        if candidates.is_empty() {
            return Err(DeviceTokenError::UnknownIssuer);
        }
        let directory = self.directory.as_ref().ok_or(DeviceTokenError::Off)?;
        let signed = directory.signed(&issuer, token).await?;
        let (now, skew) = (now(&signed), directory.skew());
        let (mut found, mut refused) = (None::<DeviceToken>, DeviceTokenError::UnknownOwner);
        for (id, candidate) in candidates {
            match self.speaks_for(&signed, &id, &candidate, now, skew).await {
                Ok(token) => match found {
                    Some(other) if other.organisation != token.organisation => return Err(DeviceTokenError::Ambiguous),
                    _ => found = Some(token),
                },
                Err(error @ DeviceTokenError::State(_)) => return Err(error),
                Err(error) => refused = error,
            }
        }
        let token = found.ok_or(refused)?;
        if self.is_suspended(token.organisation).await? {
            return Err(DeviceTokenError::Suspended);
        }
        Ok(token)
    }

    async fn speaks_for(
        &self,
        signed: &Signed,
        id: &str,
        provider: &Provider,
        now: UnixTime,
        skew: Duration,
    ) -> Result<DeviceToken, DeviceTokenError> {
        let settings = provider.devices.as_ref().ok_or(DeviceTokenError::UnknownIssuer)?;
        let expected = AccessExpected { audience: &settings.audience, types: &settings.types };
        let access: Access = signed.access(expected, now, skew)?;
        let owner = access.claim(&settings.owner_claim)?;
        let device = match &settings.device_claim {
            Some(claim) => Some(access.claim(claim)?.parse::<DeviceId>().map_err(|_| DeviceTokenError::Device)?),
            None => None,
        };
        let mapped = self.find_owner(signed.issuer(), &owner).await?;
        // The mapping belongs to a provider: another one's of the same issuer is nobody's to use.
        let mapped = mapped.filter(|row| row.value.provider == id).ok_or(DeviceTokenError::UnknownOwner)?.value;
        // Whatever a row says: an organisation's provider speaks for that organisation.
        if provider.organisation.is_some_and(|own| own != mapped.organisation) {
            return Err(DeviceTokenError::UnknownOwner);
        }
        Ok(DeviceToken {
            organisation: mapped.organisation,
            provider: id.to_owned(),
            issuer: signed.issuer().clone(),
            owner,
            device,
            expires: access.expires,
            id: access.claim("jti").ok(),
        })
    }
}

impl Fault for DeviceTokenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(error) => error.kind(),
            Self::UnknownIssuer | Self::UnknownOwner | Self::Device | Self::Ambiguous => Kind::Unauthenticated,
            Self::Suspended => Kind::Forbidden,
            Self::Off => Kind::Conflict,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::UnknownIssuer => "token-issuer-unknown",
            Self::UnknownOwner => "token-owner-unknown",
            Self::Device => "token-device",
            Self::Ambiguous => "token-ambiguous",
            Self::Suspended => "organisation-suspended",
            Self::Off => "no-outgoing",
            Self::State(error) => error.code(),
        }
    }
}
