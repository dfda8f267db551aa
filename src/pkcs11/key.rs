//! A key in a token, as a signer.

use crate::{
    encoding,
    error::TokenError,
    token::{Token, private_key},
};
use cryptoki::mechanism::Mechanism;
use gatehouse_pki::{KeyAlgorithm, PublicKey, SignatureAlgorithm, Signer, SignerError};
use ring::digest;
use std::fmt;

/// A private key that stays in its token.
pub struct TokenKey {
    token: Token,
    label: String,
    public: PublicKey,
    algorithm: SignatureAlgorithm,
    hash: &'static digest::Algorithm,
}

impl TokenKey {
    pub(crate) fn new(token: Token, label: String, public: PublicKey) -> Result<Self, TokenError> {
        let (algorithm, hash) = match public.algorithm() {
            KeyAlgorithm::P256 => (SignatureAlgorithm::EcdsaSha256, &digest::SHA256),
            KeyAlgorithm::P384 => (SignatureAlgorithm::EcdsaSha384, &digest::SHA384),
            KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa { .. } => return Err(TokenError::KeyKind { label }),
        };
        Ok(Self { token, label, public, algorithm, hash })
    }

    /// The key's label in the token.
    pub fn label(&self) -> &str {
        &self.label
    }

    fn sign_in_token(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        // Hashed here: CKM_ECDSA is what every token has, and the message need not cross to it.
        let hash = digest::digest(self.hash, message);
        let raw = self.token.with_session(|seat| {
            let handle = seat.handle(&self.label, private_key)?;
            seat.session().sign(&Mechanism::Ecdsa, handle, hash.as_ref()).map_err(TokenError::sort)
        })?;
        let signature = encoding::signature(&raw);
        // A fault while signing can give the key away, and a wrong key beside the label would be noticed by customers.
        self.public.verify(self.algorithm, message, &signature).map_err(|_| TokenError::Signature)?;
        Ok(signature)
    }
}

impl Signer for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.sign_in_token(message)?)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TokenKey({:?} in {:?}, {:?})", self.label, self.token, self.public)
    }
}
