//! What an authenticator says when it makes a passkey or signs with one (Web Authentication Level 3 §6).
//!
//! [`AttestationObject`] is the answer of a new credential, [`AuthenticatorData`] what it and every signature cover, [`CoseKey`] the
//! key of a credential. They are taken apart here and believed nowhere: whether hash, flags, counter and signature are right is for
//! `accounts` to judge. Attestation statements are passed over: nobody here asks who made an authenticator.

mod attestation;
mod authenticator_data;
mod cose;
mod item;

pub use attestation::AttestationObject;
pub use authenticator_data::{AttestedCredential, AuthenticatorData, Flags};
pub use cose::CoseKey;

use crate::cbor::CborError;

/// The longest id of a credential (§7.1 step 25).
pub const MAX_CREDENTIAL_ID: usize = 1023;

/// Why bytes are not what an authenticator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebauthnError {
    /// Not well-formed.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The authenticator data end too early, or go on behind their end.
    #[error("the authenticator data have not the length that they tell")]
    Length,
    /// The attestation object is not a map with one `authData` and one `fmt`.
    #[error("this is no attestation object")]
    Attestation,
    /// An id that is empty or longer than [`MAX_CREDENTIAL_ID`].
    #[error("a credential's id has 1 to {MAX_CREDENTIAL_ID} bytes")]
    CredentialId,
    /// The flags tell of extensions, and no map of them follows.
    #[error("the extensions are no map")]
    Extensions,
    /// A key of no kind that signatures are verified with.
    #[error("the key is not one of ES256, EdDSA on Ed25519 or RS256 with 2048 to 8192 bits")]
    Key,
}
