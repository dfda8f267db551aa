//! What can go wrong with a token, and whether it is worth another try.

use cryptoki::error::{Error, RvError};
use gatehouse_pki::{KeyAlgorithm, KeyError, SignerError};
use std::path::PathBuf;

/// A token or a key in it that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The module is not there, or is none.
    #[error("the PKCS#11 module {path} cannot be loaded; name the vendor's shared library with its whole path")]
    Module {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader or the module says.
        #[source]
        cause: Error,
    },
    /// No token has the label.
    #[error("no token has the label {label:?}; `pkcs11-tool --list-slots` shows those that are there")]
    NoToken {
        /// The label.
        label: String,
    },
    /// Several tokens have it.
    #[error("several tokens have the label {label:?}; give each another one, so that nobody signs with the wrong one")]
    SeveralTokens {
        /// The label.
        label: String,
    },
    /// The PIN was refused, now or before.
    #[error("the token refused the PIN; it is not tried again, because tokens lock themselves after a few wrong ones")]
    Pin,
    /// The PIN is not text.
    #[error("the PIN is not UTF-8 text")]
    PinText,
    /// No private key has the label.
    #[error("the token has no private key with the label {label:?}")]
    NoKey {
        /// The label.
        label: String,
    },
    /// Several keys have it, or one is there already.
    #[error("the token has a key with the label {label:?} already, or several; labels are to be unique")]
    KeyExists {
        /// The label.
        label: String,
    },
    /// The key is of a kind that is not used.
    #[error("the key {label:?} is not on P-256 or P-384")]
    KeyKind {
        /// The label.
        label: String,
    },
    /// Tokens make no such keys here.
    #[error("no {0} keys are made in tokens; use P-256 or P-384")]
    Algorithm(KeyAlgorithm),
    /// The public key beside the private one is broken.
    #[error("the public key {label:?} in the token is refused")]
    PublicKey {
        /// The label.
        label: String,
        /// Why.
        #[source]
        cause: KeyError,
    },
    /// The token signed, and the public key does not verify it.
    #[error("the token's signature is not one of the public key beside it: the key pair does not belong together, or the token is broken")]
    Signature,
    /// The token is away or has lost its sessions, also after a second try.
    #[error("the token does not answer")]
    Away(#[source] Error),
    /// The token answers and does not do it.
    #[error("the token refuses")]
    Refused(#[source] Error),
}

impl TokenError {
    /// Sorts an answer of the token.
    pub(crate) fn sort(error: Error) -> Self {
        match &error {
            Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinLocked | RvError::PinExpired | RvError::PinInvalid | RvError::PinLenRange,
                _,
            ) => Self::Pin,
            Error::Pkcs11(answer, _) if is_gone(answer) => Self::Away(error),
            _ => Self::Refused(error),
        }
    }
}

/// Whether sessions, handles or the login are lost, so that opening everything again may help.
fn is_gone(answer: &RvError) -> bool {
    matches!(
        answer,
        RvError::CryptokiNotInitialized
            | RvError::DeviceError
            | RvError::DeviceRemoved
            | RvError::GeneralError
            | RvError::FunctionFailed
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::OperationActive
            | RvError::SessionClosed
            | RvError::SessionHandleInvalid
            | RvError::SlotIdInvalid
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::UserNotLoggedIn
    )
}

impl From<TokenError> for SignerError {
    fn from(error: TokenError) -> Self {
        match error {
            // The token may come back; a label that is missing now may only be a token that was exchanged.
            TokenError::Away(_) | TokenError::NoToken { .. } | TokenError::NoKey { .. } => Self::Away(Box::new(error)),
            _ => Self::Refused(Box::new(error)),
        }
    }
}
