//! What can be wrong with an account's own life: registering, confirming, resetting, changing its address, leaving.

use crate::{
    EmailError, MailError, PasswordRefused, StateError,
    password::{Busy, NotKept},
};
use gatehouse_base::{Fault, Kind};
use std::time::Duration;

/// Something about an account does not go.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody registers here without being invited.
    #[error("nobody can register here; ask somebody in an organisation for an invitation")]
    RegistrationOff,
    /// Too many accounts wait.
    #[error("too many accounts wait for their confirmation; try again tomorrow, or ask somebody for an invitation")]
    RegistrationFull,
    /// The address is none.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// The name is none.
    #[error("a name has 1 to 100 characters, none of which is a control character")]
    Name,
    /// The link does nothing.
    #[error("this link was used, or its time is over; ask for another one")]
    LinkOver,
    /// The password is another one.
    #[error("the password is wrong")]
    Wrong,
    /// There were too many attempts.
    #[error("too many attempts; wait {} seconds", wait.as_secs() + 1)]
    Wait {
        /// How long.
        wait: Duration,
    },
    /// The address is confirmed.
    #[error("this address is confirmed already")]
    Confirmed,
    /// The address is the present one.
    #[error("this is the address already")]
    SameAddress,
    /// Somebody else has the address by now.
    #[error("this address cannot be used")]
    AddressTaken,
    /// Organisations would have no owner.
    #[error("you are the last owner of {}: make somebody else an owner there, or remove the other members", organisations.join(", "))]
    LastOwner {
        /// Their names.
        organisations: Vec<String>,
    },
    /// Nobody can be written to.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The new password is not accepted.
    #[error(transparent)]
    Refused(#[from] PasswordRefused),
    /// There is no turn for the password.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<NotKept> for AccountError {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Refused(refused) => Self::Refused(refused),
            NotKept::Busy(busy) => Self::Busy(busy),
        }
    }
}

impl Fault for AccountError {
    fn kind(&self) -> Kind {
        match self {
            Self::RegistrationOff => Kind::Forbidden,
            Self::RegistrationFull => Kind::Exhausted,
            Self::Email(_) | Self::Name | Self::SameAddress => Kind::Invalid,
            Self::LinkOver => Kind::NotFound,
            Self::Wrong => Kind::Unauthenticated,
            Self::Wait { .. } => Kind::Exhausted,
            Self::Confirmed | Self::AddressTaken | Self::LastOwner { .. } => Kind::Conflict,
            Self::Mail(error) => error.kind(),
            Self::Refused(error) => error.kind(),
            Self::Busy(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::RegistrationOff => "registration-off",
            Self::RegistrationFull => "registration-full",
            Self::Email(_) => "address",
            Self::Name => "name",
            Self::LinkOver => "link-over",
            Self::Wrong => "wrong-password",
            Self::Wait { .. } => "too-many-attempts",
            Self::Confirmed => "address-confirmed",
            Self::SameAddress => "same-address",
            Self::AddressTaken => "address-unusable",
            Self::LastOwner { .. } => "last-owner",
            Self::Mail(error) => error.code(),
            Self::Refused(error) => error.code(),
            Self::Busy(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Email(_) | Self::SameAddress => Some("email"),
            Self::Name => Some("name"),
            Self::Wrong => Some("password"),
            Self::Refused(error) => error.field(),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Wait { wait } => Some(*wait),
            Self::Busy(busy) => busy.retry_after(),
            Self::Mail(error) => error.retry_after(),
            _ => None,
        }
    }
}
