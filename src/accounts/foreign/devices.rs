//! Providers as authorities over devices: codes and refresh tokens exchanged at the provider, and its tokens in place of our own codes.
//!
//! What a provider gives is judged like what a device shows: an access token that is not good for the provider's organisation is none.
//! [`Authority`] lets a device in by such a token, under the provider's id as the name that devices send along, or under
//! [`ANY_PROVIDER`], where the token says which provider it is from.

use super::{DeviceToken, DeviceTokenError, Provider, ProviderError, provider::is_id};
use crate::{
    Accounts, StateError,
    admission::{Away, DeviceAuthority, Entitlement, Judgement},
    secret,
};
use data_encoding::HEXLOWER;
use gatehouse_base::{Fault, Kind};
use gatehouse_openid::{ExchangeError, Relying, Tokens as Given};
use gatehouse_types::{Secret, UnixTime};
use std::{fmt, sync::Arc, time::Duration};

/// The provider name under which the issuer of a token says which provider it is from.
pub const ANY_PROVIDER: &str = "openid";

/// What a device, or whoever onboards it, brought back from a provider.
#[derive(Clone, Copy, Debug)]
pub struct DeviceCode<'a> {
    /// The authorization code.
    pub code: &'a Secret,
    /// What the request for it was tied to (RFC 7636).
    pub verifier: Option<&'a Secret>,
    /// Who the answer says that it is from (RFC 9207).
    pub issuer: Option<&'a str>,
}

/// What a provider gave for a device.
#[derive(Debug)]
pub struct DeviceTokens {
    /// What the device signs in with.
    pub access: Secret,
    /// What the next ones are asked for with.
    pub refresh: Option<Secret>,
    /// What the access token says.
    pub token: DeviceToken,
}

/// A provider gives no tokens for a device, or none that are good.
#[derive(Debug, thiserror::Error)]
pub enum DeviceExchangeError {
    /// There is no such provider, or it vouches for no devices, or cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The code came without what it is tied to.
    #[error("this provider's codes come with a verifier, and this one has none")]
    Verifier,
    /// The code is another provider's.
    #[error("the code does not come from this provider")]
    MixUp,
    /// The provider gives nothing.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// What it gives is not good.
    #[error(transparent)]
    Token(#[from] DeviceTokenError),
}

impl Accounts {
    /// Exchanges a device's code at its provider.
    ///
    /// # Errors
    /// Why there are no tokens. A code that the provider does not take is told from everything that passes by [`Fault::kind`].
    pub async fn exchange_device_code(&self, provider: &str, code: DeviceCode<'_>) -> Result<DeviceTokens, DeviceExchangeError> {
        let (relying, kept) = self.for_devices(provider).await?;
        let settings = kept.devices.ok_or(ProviderError::NoDevices)?;
        if settings.pkce && code.verifier.is_none() {
            return Err(DeviceExchangeError::Verifier);
        }
        relying.metadata().check_answer(code.issuer).map_err(|_| DeviceExchangeError::MixUp)?;
        let given = relying.exchange(self.directory()?.outgoing(), code.code, code.verifier, None).await?;
        self.given(provider, given).await
    }

    /// Exchanges a device's refresh token at its provider.
    ///
    /// # Errors
    /// Why there are no tokens.
    pub async fn refresh_device_token(&self, provider: &str, token: &Secret) -> Result<DeviceTokens, DeviceExchangeError> {
        let (relying, _) = self.for_devices(provider).await?;
        let given = relying.refresh(self.directory()?.outgoing(), token).await?;
        let tokens = self.given(provider, given).await?;
        // RFC 6749 §6: where there is no other one, the old one goes on.
        let refresh = tokens.refresh.or_else(|| Some(token.clone()));
        Ok(DeviceTokens { refresh, ..tokens })
    }

    async fn for_devices(&self, id: &str) -> Result<(Relying, Provider), ProviderError> {
        let provider = self.provider_row(id).await?.ok_or(ProviderError::Unknown)?.value;
        let settings = provider.devices.as_ref().ok_or(ProviderError::NoDevices)?;
        let redirect = settings.redirect_uri.clone().or_else(|| self.redirect_uri_of(id)).ok_or(ProviderError::NoIssuer)?;
        Ok((self.relying(id, &provider, &redirect).await?, provider))
    }

    async fn given(&self, provider: &str, given: Given) -> Result<DeviceTokens, DeviceExchangeError> {
        let token = self.verify_device_token(Some(provider), &given.access).await?;
        Ok(DeviceTokens { access: given.access, refresh: given.refresh, token })
    }
}

/// A provider, or all of them, as somebody who vouches for devices.
pub(crate) struct Authority {
    accounts: Accounts,
    /// None where the issuer of a token says which one.
    provider: Option<String>,
}

impl Authority {
    /// The authority under a name that devices send along, if it can be one.
    pub(crate) fn named(accounts: &Accounts, name: &str) -> Option<Arc<dyn DeviceAuthority>> {
        let provider = match name {
            ANY_PROVIDER => None,
            id if is_id(id) => Some(id.to_owned()),
            _ => return None,
        };
        Some(Arc::new(Self { accounts: accounts.clone(), provider }))
    }
}

impl DeviceAuthority for Authority {
    fn judge<'a>(&'a self, shown: &'a Secret, now: UnixTime) -> Judgement<'a> {
        Box::pin(async move {
            let verified = self.accounts.verify_ended_device_token(self.provider.as_deref(), shown, now).await;
            match verified {
                Ok(token) => Ok(Some(Entitlement {
                    once: format!("{} {}", token.issuer, token.id.clone().unwrap_or_else(|| digest_of_signed(shown))),
                    organisation: token.organisation,
                    device: token.device,
                    hub: None,
                    group: None,
                    ends: token.expires,
                })),
                // Only a definite no is one: a device that is told no gives up.
                Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Internal | Kind::Conflict | Kind::Invalid) => {
                    Err(Away(Box::new(error)))
                }
                Err(_) => Ok(None),
            }
        })
    }
}

/// What was signed, and not how the signature is written.
fn digest_of_signed(token: &Secret) -> String {
    let text = secret::text(token);
    let (signed, _) = text.rsplit_once('.').unwrap_or((&text, ""));
    HEXLOWER.encode(&secret::digest_of("foreign token", &Secret::from(signed.to_owned())))
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Authority").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl From<StateError> for DeviceExchangeError {
    fn from(error: StateError) -> Self {
        Self::Provider(error.into())
    }
}

impl Fault for DeviceExchangeError {
    fn kind(&self) -> Kind {
        match self {
            // Whose configuration it is, is not the device's fault: it comes again.
            Self::Provider(ProviderError::Directory(_) | ProviderError::Off | ProviderError::NoIssuer) => Kind::Unavailable,
            Self::Provider(error) => error.kind(),
            Self::Verifier | Self::MixUp => Kind::Unauthenticated,
            Self::Exchange(error) => error.kind(),
            Self::Token(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Provider(error) => error.code(),
            Self::Verifier => "code-verifier",
            Self::MixUp => "provider-mixed-up",
            Self::Exchange(error) => error.code(),
            Self::Token(error) => error.code(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(error) => error.retry_after(),
            Self::Exchange(error) => error.retry_after(),
            _ => None,
        }
    }
}
