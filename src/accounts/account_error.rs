//! What can be wrong with an account's own life: registering, confirming, resetting, changing its address, leaving.

use crate::{
    EmailError, MailError, PasswordRefused, StateError,
    password::Busy,
    told::{Tells, Told},
};
use gatehouse_base::Kind;
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

impl Tells for AccountError {
    fn told(&self) -> Told<'_> {
        match self {
            Self::RegistrationOff => Told::own(Kind::Forbidden, "registration-off"),
            Self::RegistrationFull => Told::own(Kind::Exhausted, "registration-full"),
            Self::Email(_) => Told::about(Kind::Invalid, "address", "email"),
            Self::Name => Told::about(Kind::Invalid, "name", "name"),
            Self::LinkOver => Told::own(Kind::NotFound, "link-over"),
            Self::Wrong => Told::about(Kind::Unauthenticated, "wrong-password", "password"),
            Self::Wait { wait } => Told::wait(*wait),
            Self::Confirmed => Told::own(Kind::Conflict, "address-confirmed"),
            Self::SameAddress => Told::about(Kind::Invalid, "same-address", "email"),
            Self::AddressTaken => Told::own(Kind::Conflict, "address-unusable"),
            Self::LastOwner { .. } => Told::own(Kind::Conflict, "last-owner"),
            Self::Mail(error) => Told::Below(error),
            Self::Refused(error) => Told::Below(error),
            Self::Busy(error) => Told::Below(error),
            Self::State(error) => Told::Below(error),
        }
    }
}
