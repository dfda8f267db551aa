//! What can be wrong with a passkey that is added, named or removed.

use super::Rejection;
use crate::StateError;
use gatehouse_base::{Fault, Kind};

/// Something about passkeys does not go.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// Browsers make passkeys for names only.
    #[error("this installation has no name under which people reach it, so there are no passkeys; [accounts] issuer sets it")]
    NoAddress,
    /// The name is none.
    #[error("a name has 1 to 100 characters, none of which is a control character")]
    Name,
    /// The answer of the authenticator is not believed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It was added before.
    #[error("this passkey was added before")]
    Known,
    /// The owner has too many.
    #[error("somebody has {most} passkeys at most; remove one first")]
    TooMany {
        /// How many.
        most: usize,
    },
    /// The owner has no such passkey.
    #[error("there is no such passkey")]
    Unknown,
    /// Without it the password alone would be enough.
    #[error("this is your only second factor: without it the password alone lets in; say `last=true` if you want that")]
    Last,
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Fault for PasskeyError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoAddress | Self::Known | Self::TooMany { .. } | Self::Last => Kind::Conflict,
            Self::Name | Self::Rejected(_) => Kind::Invalid,
            Self::Unknown => Kind::NotFound,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoAddress => "no-external-address",
            Self::Name => "name",
            Self::Rejected(_) => "passkey-refused",
            Self::Known => "passkey-known",
            Self::TooMany { .. } => "too-many-passkeys",
            Self::Unknown => "no-such-passkey",
            Self::Last => "last-second-factor",
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Name => Some("name"),
            Self::Rejected(_) => Some("credential"),
            _ => None,
        }
    }
}
