//! Private keys in memory: those that sign here, and those that are made for somebody else.

use super::{KeyAlgorithm, PublicKey, SignatureAlgorithm, Signer, SignerError};
use gatehouse_types::Secret;
use ring::{
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair},
};
use std::fmt;

/// A private key that cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// The algorithm is verified only.
    #[error("no {0} keys are made here; use P-256, P-384 or Ed25519")]
    Algorithm(KeyAlgorithm),
    /// The bytes are no PKCS#8 key that is accepted.
    #[error(
        "the private key is not an unencrypted PKCS#8 key for P-256, P-384 or Ed25519 with its public half (RFC 5958); \
         `openssl pkcs8 -topk8 -nocrypt` makes one from other forms"
    )]
    Form,
    /// More bytes than a key has.
    #[error("the private key takes {0} bytes; at most {MAX_PKCS8} are read")]
    TooLong(usize),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

/// The longest PKCS#8 key that is read. P-384 takes 185 bytes.
const MAX_PKCS8: usize = 1024;

/// A private key in memory, wiped when dropped.
pub struct SoftwareKey {
    pair: Pair,
    public: PublicKey,
    pkcs8: Secret,
}

enum Pair {
    Ecdsa(EcdsaKeyPair, SignatureAlgorithm),
    Ed25519(Ed25519KeyPair),
}

/// A private key that was just made and never signs here: it leaves for whoever it was made for. Getting a key ready to sign
/// takes as long as making it.
pub struct NewKey {
    public: PublicKey,
    pkcs8: Secret,
}

impl NewKey {
    /// Makes a new key for one of the algorithms that are issued with.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, PrivateKeyError> {
        let random = SystemRandom::new();
        let (document, prefix, public) = match algorithm {
            KeyAlgorithm::P256 => {
                (EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random), P256_SPKI, P256_POINT)
            }
            KeyAlgorithm::P384 => {
                (EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, &random), P384_SPKI, P384_POINT)
            }
            KeyAlgorithm::Ed25519 => (Ed25519KeyPair::generate_pkcs8(&random), ED25519_SPKI, ED25519_PUBLIC),
            KeyAlgorithm::Rsa { .. } => return Err(PrivateKeyError::Algorithm(algorithm)),
        };
        let document = document.map_err(|_| PrivateKeyError::NoRandomness)?;
        let pkcs8 = Secret::new(document.as_ref().to_vec());
        // The public half is the last field of ECPrivateKey (RFC 5915 §3) and of OneAsymmetricKey (RFC 5958 §2).
        let public = pkcs8.len().checked_sub(public).and_then(|begin| pkcs8.expose().get(begin..)).ok_or(PrivateKeyError::Form)?;
        let public = PublicKey::from_spki_der(&[prefix, public].concat()).map_err(|_| PrivateKeyError::Form)?;
        Ok(Self { public, pkcs8 })
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The key as DER PKCS#8, for whoever it is for.
    pub fn to_pkcs8(&self) -> &Secret {
        &self.pkcs8
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "NewKey({:?})", self.public)
    }
}

impl SoftwareKey {
    /// Makes a new key for one of the algorithms that are issued with.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, PrivateKeyError> {
        Self::from_pkcs8(NewKey::generate(algorithm)?.pkcs8)
    }

    /// Reads a DER PKCS#8 key (RFC 5958). The public half inside must be the private half's.
    pub fn from_pkcs8(pkcs8: Secret) -> Result<Self, PrivateKeyError> {
        if pkcs8.len() > MAX_PKCS8 {
            return Err(PrivateKeyError::TooLong(pkcs8.len()));
        }
        let der = pkcs8.expose();
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new()).ok();
        let (pair, prefix): (Pair, &[u8]) = if let Some(pair) = ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING) {
            (Pair::Ecdsa(pair, SignatureAlgorithm::EcdsaSha256), P256_SPKI)
        } else if let Some(pair) = ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING) {
            (Pair::Ecdsa(pair, SignatureAlgorithm::EcdsaSha384), P384_SPKI)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            // OpenSSL writes version 1, which leaves the public half out; it is computed then.
            (Pair::Ed25519(pair), ED25519_SPKI)
        } else {
            return Err(PrivateKeyError::Form);
        };
        let public = match &pair {
            Pair::Ecdsa(pair, _) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        let public = PublicKey::from_spki_der(&[prefix, public].concat()).map_err(|_| PrivateKeyError::Form)?;
        Ok(Self { pair, public, pkcs8 })
    }

    /// The key as DER PKCS#8, for whoever keeps it.
    pub fn to_pkcs8(&self) -> &Secret {
        &self.pkcs8
    }
}

impl Signer for SoftwareKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn signature_algorithm(&self) -> SignatureAlgorithm {
        match &self.pair {
            Pair::Ecdsa(_, algorithm) => *algorithm,
            Pair::Ed25519(_) => SignatureAlgorithm::Ed25519,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match &self.pair {
            Pair::Ecdsa(pair, _) => match pair.sign(&SystemRandom::new(), message) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                // The only thing that can fail is drawing the nonce.
                Err(_) => Err(SignerError::Away(Box::new(PrivateKeyError::NoRandomness))),
            },
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SoftwareKey({:?})", self.public)
    }
}

/// `SubjectPublicKeyInfo` up to the point or the key.
const P256_SPKI: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_SPKI: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
const ED25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// The bytes of a point that is not compressed, and of an Ed25519 key.
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;
const ED25519_PUBLIC: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [KeyAlgorithm; 3] = [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519];

    fn made(algorithm: KeyAlgorithm) -> SoftwareKey {
        SoftwareKey::generate(algorithm).expect("issued with")
    }

    #[test]
    fn keys_survive_being_kept() {
        for algorithm in ALGORITHMS {
            let key = made(algorithm);
            let again = SoftwareKey::from_pkcs8(key.to_pkcs8().clone()).expect("its own form");
            assert_eq!(again.public_key(), key.public_key());
        }
    }

    #[test]
    fn a_key_that_was_made_for_somebody_else_has_the_public_half_that_it_will_sign_with() {
        for algorithm in ALGORITHMS {
            let key = NewKey::generate(algorithm).expect("issued with");
            let there = SoftwareKey::from_pkcs8(key.to_pkcs8().clone()).expect("its own form");
            assert_eq!(there.public_key(), key.public_key(), "{algorithm}");
            assert_eq!(format!("{key:?}"), format!("NewKey({:?})", key.public_key()));
        }
        let rsa = KeyAlgorithm::Rsa { bits: 2048 };
        assert_eq!(NewKey::generate(rsa).map(drop), Err(PrivateKeyError::Algorithm(rsa)));
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        for algorithm in ALGORITHMS {
            let (key, other) = (made(algorithm), made(algorithm));
            let (public, others) = (key.public_key().subject_public_key(), other.public_key().subject_public_key());
            let mut pkcs8 = key.to_pkcs8().expose().to_vec();
            let at = pkcs8.windows(public.len()).position(|window| window == public).expect("the public half is inside");
            pkcs8[at..at + others.len()].copy_from_slice(others);
            assert_eq!(SoftwareKey::from_pkcs8(Secret::new(pkcs8)).map(drop), Err(PrivateKeyError::Form), "{algorithm}");
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let pkcs8 = made(KeyAlgorithm::P256).to_pkcs8().expose().to_vec();
        for bytes in [vec![], pkcs8[..pkcs8.len() - 1].to_vec(), [pkcs8.as_slice(), &[0]].concat()] {
            assert_eq!(SoftwareKey::from_pkcs8(Secret::new(bytes)).map(drop), Err(PrivateKeyError::Form));
        }
        let long = Secret::new(vec![0x30; MAX_PKCS8 + 1]);
        assert_eq!(SoftwareKey::from_pkcs8(long).map(drop), Err(PrivateKeyError::TooLong(MAX_PKCS8 + 1)));
        let rsa = KeyAlgorithm::Rsa { bits: 2048 };
        assert_eq!(SoftwareKey::generate(rsa).map(drop), Err(PrivateKeyError::Algorithm(rsa)));
    }

    #[test]
    fn a_key_does_not_print_its_private_half() {
        let key = made(KeyAlgorithm::P256);
        assert_eq!(format!("{key:?}"), format!("SoftwareKey({:?})", key.public_key()));
    }
}
