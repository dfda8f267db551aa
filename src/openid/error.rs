//! What a provider does not publish properly, and why a token is refused.

use crate::Issuer;
use gatehouse_base::{Fault, Kind};
use gatehouse_outgoing::OutgoingError;
use std::{sync::Arc, time::Duration};

/// A provider's documents are not there.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The provider cannot be asked.
    #[error("the provider {issuer} cannot be asked")]
    Outgoing {
        /// Which one.
        issuer: Issuer,
        /// Why.
        #[source]
        source: Arc<OutgoingError>,
    },
    /// It answers something else.
    #[error("the provider {issuer} answers with status {status}")]
    Status {
        /// Which one.
        issuer: Issuer,
        /// With which status.
        status: u16,
    },
    /// What it publishes about itself is refused.
    #[error("the document of the provider {issuer} is refused: {why}")]
    Document {
        /// Which one.
        issuer: Issuer,
        /// What is wrong with it.
        why: String,
    },
    /// Its keys are refused.
    #[error("the keys of the provider {issuer} are refused: {why}")]
    Keys {
        /// Which one.
        issuer: Issuer,
        /// What is wrong with them.
        why: String,
    },
}

/// Why a token is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenRefused {
    /// It is no JWT, or too long.
    #[error("this is no JWT")]
    Malformed,
    /// It is not signed, is signed with a secret, or by an algorithm that is not known.
    #[error("its algorithm is none that tokens may be signed with")]
    Algorithm,
    /// It demands something that is not understood (RFC 7515 §4.1.11).
    #[error("it demands an extension that is not understood")]
    Critical,
    /// It is another kind of token.
    #[error("its type is `{found}`")]
    Type {
        /// What it says.
        found: String,
    },
    /// The provider has no such key.
    #[error("it names a key that the provider does not publish, or that does not go with its algorithm")]
    UnknownKey,
    /// Nobody signed it so.
    #[error("its signature is not by the key that it names")]
    Signature,
    /// It is another provider's.
    #[error("it is from another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// It was asked for by another client.
    #[error("it was made for another client")]
    AuthorizedParty,
    /// It has no end.
    #[error("it has no end")]
    NoEnd,
    /// It has ended.
    #[error("it has ended")]
    Expired,
    /// It is from the future.
    #[error("it is not good yet")]
    NotYet,
    /// It answers another request.
    #[error("it answers another request")]
    Nonce,
    /// It came with another access token.
    #[error("it does not belong to the access token that came with it")]
    AccessTokenHash,
    /// A claim is missing or is no text.
    #[error("its claim `{claim}` is missing, or is no text of a usual length")]
    Claim {
        /// Which one.
        claim: String,
    },
    /// The provider's keys are not there.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl Fault for DirectoryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Outgoing { source, .. } => source.kind(),
            Self::Status { .. } | Self::Document { .. } | Self::Keys { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Outgoing { source, .. } => source.code(),
            Self::Status { .. } => "provider-status",
            Self::Document { .. } => "provider-document",
            Self::Keys { .. } => "provider-keys",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Outgoing { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}

impl Fault for TokenRefused {
    fn kind(&self) -> Kind {
        match self {
            // What is the provider's fault or the network's passes; the token may be good.
            Self::Directory(_) => Kind::Unavailable,
            _ => Kind::Unauthenticated,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "token-malformed",
            Self::Algorithm => "token-algorithm",
            Self::Critical => "token-critical",
            Self::Type { .. } => "token-type",
            Self::UnknownKey => "token-key",
            Self::Signature => "token-signature",
            Self::Issuer => "token-issuer",
            Self::Audience => "token-audience",
            Self::AuthorizedParty => "token-client",
            Self::NoEnd => "token-endless",
            Self::Expired => "token-expired",
            Self::NotYet => "token-early",
            Self::Nonce => "token-nonce",
            Self::AccessTokenHash => "token-hash",
            Self::Claim { .. } => "token-claim",
            Self::Directory(error) => error.code(),
        }
    }
}
