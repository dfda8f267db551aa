//! Keys: public ones as certificates carry them, and what can sign with the private half.
//!
//! A [`PublicKey`] exists only after its encoding and its mathematics were checked, so that nothing behind this
//! file meets a compressed point, an explicit curve or an RSA key with exponent 3. Which keys and signatures a
//! certificate may have in which role is one table, in `table.rs`.

mod algorithm;
mod point;
mod rsa;
mod software;
mod spki;
mod table;

pub use algorithm::{AlgorithmError, SignatureAlgorithm};
pub use software::{NewKey, PrivateKeyError, SoftwareKey};
pub use spki::{KeyError, MAX_SPKI};
pub use table::{Role, Use};

use crate::pem;
use ring::{digest, signature};
use std::{error::Error, fmt};

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 (secp256r1).
    P256,
    /// ECDSA on P-384 (secp384r1).
    P384,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSA; verified only, never issued with.
    Rsa {
        /// The size of the modulus.
        bits: u16,
    },
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => out.write_str("P-256"),
            Self::P384 => out.write_str("P-384"),
            Self::Ed25519 => out.write_str("Ed25519"),
            Self::Rsa { bits } => write!(out, "RSA-{bits}"),
        }
    }
}

/// A signature that the key did not make over these bytes with this algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not one of this key over these bytes")]
pub struct BadSignature;

/// A public key whose encoding and value were checked.
///
/// Two are equal when they are the same key: there is one accepted encoding for each.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    /// Where the content of the `subjectPublicKey` BIT STRING begins in `spki`; it ends where `spki` ends.
    key_starts: usize,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), strictly and completely.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, key_starts) = spki::read(der)?;
        Ok(Self { algorithm, spki: der.to_vec(), key_starts })
    }

    /// Reads one `PUBLIC KEY` block (RFC 7468 §13), as `openssl pkey -pubout` writes it.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::blocks(text, pem::PUBLIC_KEY, 1).map_err(|error| KeyError::Pem(error.to_string()))?;
        Self::from_spki_der(&blocks[0])
    }

    /// The same key as a `PUBLIC KEY` block.
    pub fn to_pem(&self) -> String {
        pem::encode(pem::PUBLIC_KEY, &self.spki)
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The content of the BIT STRING: the point, the 32 bytes, or the `RSAPublicKey`.
    pub(crate) fn subject_public_key(&self) -> &[u8] {
        &self.spki[self.key_starts..]
    }

    /// The key identifier that certificates carry as SKI and AKI.
    pub fn key_id(&self) -> KeyId {
        // RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the BIT STRING's content.
        let digest = digest::digest(&digest::SHA256, self.subject_public_key());
        let mut id = [0; KeyId::LEN];
        id.copy_from_slice(&digest.as_ref()[..KeyId::LEN]);
        KeyId(id)
    }

    /// SHA-256 over the DER `SubjectPublicKeyInfo`: how people and records name a key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.spki)
    }

    /// Checks a signature. An algorithm that does not fit the key is a bad signature.
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let verification: &dyn signature::VerificationAlgorithm = match (self.algorithm, algorithm) {
            (KeyAlgorithm::P256, SignatureAlgorithm::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (KeyAlgorithm::P256, SignatureAlgorithm::EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (KeyAlgorithm::P384, SignatureAlgorithm::EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (KeyAlgorithm::P384, SignatureAlgorithm::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (KeyAlgorithm::Ed25519, SignatureAlgorithm::Ed25519) => &signature::ED25519,
            (KeyAlgorithm::Rsa { .. }, SignatureAlgorithm::RsaPkcs1Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (KeyAlgorithm::Rsa { .. }, SignatureAlgorithm::RsaPkcs1Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (KeyAlgorithm::Rsa { .. }, SignatureAlgorithm::RsaPkcs1Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (KeyAlgorithm::Rsa { .. }, SignatureAlgorithm::RsaPssSha256) => &signature::RSA_PSS_2048_8192_SHA256,
            (KeyAlgorithm::Rsa { .. }, SignatureAlgorithm::RsaPssSha384) => &signature::RSA_PSS_2048_8192_SHA384,
            (KeyAlgorithm::Rsa { .. }, SignatureAlgorithm::RsaPssSha512) => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return Err(BadSignature),
        };
        signature::UnparsedPublicKey::new(verification, self.subject_public_key()).verify(message, signature).map_err(|_| BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({}, {})", self.algorithm, self.fingerprint())
    }
}

/// The identifier by which certificates point at a key (RFC 5280 §4.2.1.1 and §4.2.1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::LEN]);

impl KeyId {
    /// How many bytes it has.
    pub const LEN: usize = 20;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; KeyId::LEN]> for KeyId {
    /// An identifier that was kept in a record or stands in a certificate.
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

/// SHA-256 over the DER of a key or a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Fingerprint::LEN]);

impl Fingerprint {
    /// How many bytes it has.
    pub const LEN: usize = 32;

    /// The fingerprint of these bytes.
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; Fingerprint::LEN]> for Fingerprint {
    /// A fingerprint that was kept in a record.
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

/// Writes bytes in hexadecimal into a buffer, two digits for each as far as there is room, and returns the text.
pub(crate) fn hexadecimal<'a>(bytes: &[u8], text: &'a mut [u8]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut len = 0;
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        len += 2;
    }
    std::str::from_utf8(&text[..len]).expect("digits are ASCII")
}

macro_rules! hexadecimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(hexadecimal(&self.0, &mut [0; 2 * Self::LEN]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

hexadecimal!(KeyId);
hexadecimal!(Fingerprint);

/// Something that holds a private key and signs with it: a key in memory, or a token that never gives it away.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The algorithm of every signature that it makes.
    fn signature_algorithm(&self) -> SignatureAlgorithm;

    /// Signs the message: hashes it as the algorithm says, and returns the signature as a certificate carries it
    /// (for ECDSA the DER `Ecdsa-Sig-Value`).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// A signature that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The key cannot be reached now; the same call may succeed later.
    #[error("the signing key is not reachable now")]
    Away(#[source] Box<dyn Error + Send + Sync>),
    /// The key is there and does not sign.
    #[error("the signing key refuses to sign")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_travels_as_pem() {
        let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("issued with");
        let pem = key.public_key().to_pem();
        assert_eq!(PublicKey::from_pem(pem.as_bytes()).as_ref(), Ok(key.public_key()));
        for other in [pem.replace("PUBLIC KEY", "CERTIFICATE"), pem.repeat(2), String::new()] {
            assert!(matches!(PublicKey::from_pem(other.as_bytes()), Err(KeyError::Pem(_))), "{other}");
        }
    }

    #[test]
    fn each_kind_of_software_key_verifies_what_it_signed_and_nothing_else() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
            let key = SoftwareKey::generate(algorithm).expect("issued with");
            let signature = key.sign(b"message").expect("software keys sign");
            let public = key.public_key();
            assert_eq!(public.algorithm(), algorithm);
            assert_eq!(public.verify(key.signature_algorithm(), b"message", &signature), Ok(()));
            assert_eq!(public.verify(key.signature_algorithm(), b"massage", &signature), Err(BadSignature));
            assert_eq!(public.verify(SignatureAlgorithm::RsaPkcs1Sha256, b"message", &signature), Err(BadSignature));
            let other = SoftwareKey::generate(algorithm).expect("issued with");
            assert_eq!(other.public_key().verify(key.signature_algorithm(), b"message", &signature), Err(BadSignature));
        }
    }

    #[test]
    fn rfc_7093_section_2_method_1_makes_the_key_identifier() {
        let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("issued with");
        let public = key.public_key();
        let point = &public.spki_der()[public.spki_der().len() - 65..];
        assert_eq!(public.key_id().as_bytes()[..], digest::digest(&digest::SHA256, point).as_ref()[..20]);
    }

    #[test]
    fn fingerprints_are_read_as_lower_case_hexadecimal() {
        let text = Fingerprint::of(b"abc").to_string();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
