//! What goes wrong when providers are configured.

use crate::{Role, StateError};
use gatehouse_base::{Fault, Kind};
use gatehouse_openid::DirectoryError;
use std::time::Duration;

/// A provider cannot be configured or found.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The name is empty or too long.
    #[error("a name has 1 to 100 characters, none of which is a control character")]
    Name,
    /// What is said about it does not go together.
    #[error("{0}")]
    Shape(&'static str),
    /// Domains that are none.
    #[error("a domain is written like example.com, and there are 20 at most")]
    Domains,
    /// The caller's role does not suffice.
    #[error("somebody whose role is {own} cannot have people made {role}")]
    NotAppointed {
        /// The caller's role.
        own: Role,
        /// What the people would be.
        role: Role,
    },
    /// There are too many.
    #[error("there are {most} providers at most (`[accounts.providers] per_organisation`)")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// There is none of this id.
    #[error("there is no such provider")]
    Unknown,
    /// The operator has this issuer's devices mapped for the whole installation.
    #[error("the operator of this installation says whose the devices of this issuer are")]
    IssuerTaken,
    /// Somebody has this owner.
    #[error("this owner of this issuer is mapped already")]
    OwnerTaken,
    /// Nobody has this owner.
    #[error("this owner is not mapped")]
    NoOwner,
    /// An owner's name is empty or too long.
    #[error("an owner is what the claim holds: 1 to 255 bytes")]
    Owner,
    /// There are too many owners.
    #[error("a provider has {most} mapped owners at most")]
    TooManyOwners {
        /// How many there may be.
        most: usize,
    },
    /// The provider vouches for no devices.
    #[error("this provider vouches for no devices")]
    NoDevices,
    /// There is no such organisation.
    #[error("there is no such organisation")]
    NoOrganisation,
    /// People and answers would be sent nowhere.
    #[error("this installation has no issuer: set `[accounts] issuer` or an https listener")]
    NoIssuer,
    /// Nobody is asked from here.
    #[error("this program asks no other servers")]
    Off,
    /// The provider does not publish what it has to.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Fault for ProviderError {
    fn kind(&self) -> Kind {
        match self {
            Self::Name | Self::Shape(_) | Self::Domains | Self::Owner => Kind::Invalid,
            Self::NotAppointed { .. } => Kind::Forbidden,
            Self::Unknown | Self::NoOwner | Self::NoOrganisation => Kind::NotFound,
            Self::TooMany { .. } | Self::TooManyOwners { .. } | Self::IssuerTaken | Self::OwnerTaken | Self::NoDevices => Kind::Conflict,
            Self::NoIssuer | Self::Off => Kind::Conflict,
            // What the one who asks has named cannot be used.
            Self::Directory(_) => Kind::Invalid,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Shape(_) => "provider-shape",
            Self::Domains => "domains",
            Self::NotAppointed { .. } => "role-not-yours-to-give",
            Self::TooMany { .. } => "too-many-providers",
            Self::Unknown => "no-such-provider",
            Self::IssuerTaken => "issuer-taken",
            Self::OwnerTaken => "owner-taken",
            Self::NoOwner => "no-such-owner",
            Self::Owner => "owner",
            Self::TooManyOwners { .. } => "too-many-owners",
            Self::NoDevices => "provider-without-devices",
            Self::NoOrganisation => "no-such-organisation",
            Self::NoIssuer => "no-issuer",
            Self::Off => "no-outgoing",
            Self::Directory(_) => "provider-not-usable",
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Name => Some("name"),
            Self::Domains => Some("domains"),
            Self::Owner | Self::OwnerTaken | Self::NoOwner => Some("owner"),
            Self::NotAppointed { .. } => Some("role"),
            Self::IssuerTaken | Self::Directory(_) => Some("issuer"),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Directory(error) => error.retry_after(),
            _ => None,
        }
    }
}
