//! What an error of accounts is to whoever meets it, said once for each variant.
//!
//! An error either says it itself ([`Told::own`]) or passes on what went wrong below it ([`Told::Below`]): a password that is not accepted,
//! no turn to compute one, a letter that cannot be written, a store that cannot be read. The mapping to [`Fault`] stands here once.

use crate::{
    StateError,
    password::{Busy, NotKept},
};
use gatehouse_base::{Fault, Kind};
use std::time::Duration;

/// What is to be known of an error.
pub(crate) enum Told<'a> {
    /// It is its own.
    Own { kind: Kind, code: &'static str, field: Option<&'static str>, wait: Option<Duration> },
    /// It is another one's.
    Below(&'a dyn Fault),
}

/// An error that tells what it is.
pub(crate) trait Tells {
    fn told(&self) -> Told<'_>;
}

impl Told<'_> {
    pub(crate) const fn own(kind: Kind, code: &'static str) -> Self {
        Self::Own { kind, code, field: None, wait: None }
    }

    /// An input field is to blame.
    pub(crate) const fn about(kind: Kind, code: &'static str, field: &'static str) -> Self {
        Self::Own { kind, code, field: Some(field), wait: None }
    }

    /// There were too many attempts.
    pub(crate) const fn wait(wait: Duration) -> Self {
        Self::Own { kind: Kind::Exhausted, code: "too-many-attempts", field: None, wait: Some(wait) }
    }
}

/// Nothing has this id, or it is not the caller's: it is not told which.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    /// There is none.
    #[error("{0}")]
    Unknown(Named),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A session of one's own.
    Session,
    /// A program that one has let in.
    Consent,
    /// An organisation.
    Organisation,
}

impl std::fmt::Display for Named {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Session => "there is no such session",
            Self::Consent => "you have not let such a program in",
            Self::Organisation => "there is no such organisation",
        })
    }
}

impl Tells for NamedError {
    fn told(&self) -> Told<'_> {
        match self {
            Self::Unknown(Named::Session) => Told::own(Kind::NotFound, "no-such-session"),
            Self::Unknown(Named::Consent) => Told::own(Kind::NotFound, "no-such-consent"),
            Self::Unknown(Named::Organisation) => Told::own(Kind::NotFound, "no-such-organisation"),
            Self::State(error) => Told::Below(error),
        }
    }
}

macro_rules! faults {
    ($($error:ty),*) => {$(
        impl Fault for $error {
            fn kind(&self) -> Kind {
                match self.told() {
                    Told::Own { kind, .. } => kind,
                    Told::Below(error) => error.kind(),
                }
            }

            fn code(&self) -> &'static str {
                match self.told() {
                    Told::Own { code, .. } => code,
                    Told::Below(error) => error.code(),
                }
            }

            fn field(&self) -> Option<&str> {
                match self.told() {
                    Told::Own { field, .. } => field,
                    Told::Below(error) => error.field(),
                }
            }

            fn retry_after(&self) -> Option<Duration> {
                match self.told() {
                    Told::Own { wait, .. } => wait,
                    Told::Below(error) => error.retry_after(),
                }
            }
        }
    )*};
}

macro_rules! keep_passwords {
    ($($error:ty),*) => {$(
        impl From<NotKept> for $error {
            fn from(error: NotKept) -> Self {
                match error {
                    NotKept::Refused(refused) => Self::Refused(refused),
                    NotKept::Busy(Busy) => Self::Busy(Busy),
                }
            }
        }
    )*};
}

faults!(crate::AccountError, crate::InvitationError, NamedError, crate::SignInError);
keep_passwords!(crate::AccountError, crate::InvitationError, crate::SignInError);
