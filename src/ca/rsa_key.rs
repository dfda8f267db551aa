//! RSA keys: they sign tokens for services that read nothing else, and never a certificate.
//!
//! OpenSSL makes them, because ring does not; ring signs.

use gatehouse_pki::{PrivateKeyError, PublicKey, SignatureAlgorithm, Signer, SignerError};
use gatehouse_types::Secret;
use openssl::{pkey::PKey, rsa::Rsa};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use std::fmt;

/// What every library verifies quickly; the exponent is 65537.
const BITS: u32 = 2048;

/// An RSA key in memory.
pub(crate) struct RsaKey {
    pair: RsaKeyPair,
    public: PublicKey,
    pkcs8: Secret,
}

impl RsaKey {
    /// Makes a new key. This takes a good part of a second.
    pub(crate) fn generate() -> Result<Self, PrivateKeyError> {
        let made = Rsa::generate(BITS).and_then(PKey::from_rsa).and_then(|key| key.private_key_to_pkcs8());
        Self::from_pkcs8(Secret::new(made.map_err(|_| PrivateKeyError::NoRandomness)?))
    }

    /// Reads a key as it was kept.
    pub(crate) fn from_pkcs8(pkcs8: Secret) -> Result<Self, PrivateKeyError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8.expose()).map_err(|_| PrivateKeyError::Form)?;
        let public = PKey::private_key_from_pkcs8(pkcs8.expose()).and_then(|key| key.public_key_to_der());
        let public = PublicKey::from_spki_der(&public.map_err(|_| PrivateKeyError::Form)?).map_err(|_| PrivateKeyError::Form)?;
        Ok(Self { pair, public, pkcs8 })
    }

    pub(crate) fn to_pkcs8(&self) -> &Secret {
        &self.pkcs8
    }
}

impl Signer for RsaKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn signature_algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RsaPkcs1Sha256
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| SignerError::Away(Box::new(PrivateKeyError::NoRandomness)))?;
        Ok(signature)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RsaKey({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_being_kept_and_signs_what_its_public_half_verifies() {
        let key = RsaKey::generate().expect("made");
        let again = RsaKey::from_pkcs8(key.to_pkcs8().clone()).expect("its own form");
        assert_eq!(again.public_key(), key.public_key());
        let signature = again.sign(b"message").expect("signed");
        assert!(key.public_key().verify(key.signature_algorithm(), b"message", &signature).is_ok());
        assert!(key.public_key().verify(key.signature_algorithm(), b"another", &signature).is_err());
        assert_eq!(format!("{key:?}"), format!("RsaKey({:?})", key.public_key()));
        assert!(RsaKey::from_pkcs8(Secret::new(vec![0x30; 100])).is_err());
    }
}
