//! Admissions: how devices get tokens of ours, and go on with them.
//!
//! An organisation gives out a code for a device ([`Admissions::issue`]). The device shows it at sign-up, over a connection whose
//! certificate proves the device ([`Presenter`]), and is admitted: it gets an access token and a refresh token, which are bound to the key
//! of that certificate ([`Admissions::exchange`]). It goes on by refresh tokens ([`Admissions::refresh`]) and signs in with access tokens
//! ([`Admissions::verify`], the only place that makes a [`VerifiedDevice`]). In place of a code it may show a token of somebody who vouches
//! for it ([`DeviceAuthority`]).
//!
//! Devices repeat what they were not answered. So an answer is kept, sealed, until it was used, and the same thing shown again over the
//! same key gets the same answer. Over another key, or later, it was stolen: the admission ends and an alarm is raised.
//!
//! The clock is an argument everywhere. Who speaks CoAP, what codes its answers have, and which connections end with an admission, is
//! other people's business: whoever holds connections follows [`Admissions::stream`].

mod admit;
mod alarm;
mod answer;
mod authority;
mod code;
mod config;
mod event;
mod family;
mod kept;
mod own_token;
mod places;
mod presenter;
#[cfg(test)]
mod tests;
mod token;

pub use alarm::AlarmInfo;
pub use authority::{Away, DeviceAuthority, Entitlement, Judgement};
pub use code::{CodeInfo, NewCode};
pub use config::Config;
pub use event::{Ending, Fact};
pub use family::{AdmissionId, Theft};
pub use kept::AdmissionInfo;
pub use presenter::{NotADevice, Presenter};
pub use token::VerifiedDevice;

pub(crate) use admit::{ADMISSIONS, ADMITTED, FAMILIES};
pub(crate) use alarm::ALARMS;
pub(crate) use code::{CODES, CODES_OF};
pub(crate) use own_token::TokenFor;
pub(crate) use places::Places;

use crate::{Accounts, KeyError, StateError, foreign::Authority};
use gatehouse_base::{Fault, Kind};
use gatehouse_types::{OrganisationId, Secret};
use own_token::OwnTokens;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// The provider name of our own codes and tokens (`apn` in what devices are given, `authprovider` in what they send).
pub const OWN_PROVIDER: &str = "gatehouse";

/// Foreign authorities by their provider names.
pub(crate) type Authorities = BTreeMap<String, Arc<dyn DeviceAuthority>>;

/// The admissions of this installation. Clones are the same ones.
#[derive(Clone)]
pub struct Admissions {
    accounts: Accounts,
}

/// What a device is answered at sign-up and refresh.
pub struct Tokens {
    /// What it signs in with.
    pub access: Secret,
    /// What it gets the next ones with.
    pub refresh: Secret,
    /// Whose it is: the `uid` of devices, and the owner claim.
    pub owner: OrganisationId,
    /// How long the access token is good; never zero, which devices take for ever.
    pub lifetime: Duration,
}

/// A device is not let in or does not go on, or what lets devices in cannot be made or found.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// It is not known, was used, is over, or is for somebody else.
    #[error("the code or token is not known, was used, is over, or is not for this device here")]
    NotGood,
    /// Somebody else has it. What it belonged to has ended.
    #[error("the code or token was shown where it must not be, and what it belonged to has ended")]
    Stolen(Theft),
    /// The device names a provider that nobody is.
    #[error("there is no such provider")]
    Provider,
    /// The organisation may do nothing.
    #[error("the operator of this installation has suspended the organisation")]
    Suspended,
    /// Too many codes wait.
    #[error("an organisation has {most} onboarding codes that wait at most (`[accounts.devices] codes`)")]
    TooManyCodes {
        /// How many there may be.
        most: usize,
    },
    /// Too many devices are admitted.
    #[error("an organisation has {most} admitted devices at most (`[accounts.devices] admissions`)")]
    TooManyDevices {
        /// How many there may be.
        most: usize,
    },
    /// There is no such code.
    #[error("there is no such onboarding code that waits")]
    NoSuchCode,
    /// There is no such admission.
    #[error("there is no such admission")]
    NoSuchAdmission,
    /// Tokens would name nobody.
    #[error("this installation has no issuer: set `[accounts] issuer` or an https listener")]
    NoIssuer,
    /// Who vouches cannot be asked.
    #[error(transparent)]
    Away(#[from] Away),
    /// No token can be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// The admissions of devices.
    pub fn admissions(&self) -> Admissions {
        Admissions { accounts: self.clone() }
    }

    /// Lets somebody vouch for devices that name this provider, in place of whoever did before. Our own name stays ours.
    pub fn let_vouch(&self, provider: &str, authority: Arc<dyn DeviceAuthority>) {
        self.authorities.write().unwrap_or_else(PoisonError::into_inner).insert(provider.to_owned(), authority);
    }
}

impl Admissions {
    fn config(&self) -> &Config {
        &self.accounts.config.devices
    }

    /// Who vouches under this name, and the name.
    fn authority(&self, provider: Option<&str>) -> Option<(String, Arc<dyn DeviceAuthority>)> {
        match provider.unwrap_or(OWN_PROVIDER) {
            OWN_PROVIDER => Some((OWN_PROVIDER.to_owned(), Arc::new(OwnTokens(self.accounts.clone())))),
            name => {
                let authorities = self.accounts.authorities.read().unwrap_or_else(PoisonError::into_inner);
                let found = authorities.get(name).cloned().or_else(|| Authority::named(&self.accounts, name));
                found.map(|authority| (name.to_owned(), authority))
            }
        }
    }
}

impl fmt::Debug for Admissions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Admissions").field("config", self.config()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tokens").field("owner", &self.owner).field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Fault for AdmissionError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotGood | Self::Stolen(_) | Self::Provider => Kind::Unauthenticated,
            Self::Suspended => Kind::Forbidden,
            Self::TooManyCodes { .. } | Self::TooManyDevices { .. } => Kind::Exhausted,
            Self::NoSuchCode | Self::NoSuchAdmission => Kind::NotFound,
            Self::NoIssuer => Kind::Conflict,
            Self::Away(_) => Kind::Unavailable,
            Self::Key(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotGood => "token-not-good",
            Self::Stolen(_) => "token-stolen",
            Self::Provider => "no-such-provider",
            Self::Suspended => "organisation-suspended",
            Self::TooManyCodes { .. } => "too-many-onboarding-codes",
            Self::TooManyDevices { .. } => "too-many-devices",
            Self::NoSuchCode => "no-such-onboarding-code",
            Self::NoSuchAdmission => "no-such-admission",
            Self::NoIssuer => "no-issuer",
            Self::Away(_) => "authority-away",
            Self::Key(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }
}
