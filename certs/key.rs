//! Throw-away keys, made by OpenSSL and kept in `keys/`, and the ways in which they sign.

use crate::{Error, der};
use openssl::{
    ec::{EcGroup, EcKey, PointConversionForm},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Signer},
};
use std::{fs, path::Path};

/// A private key of this corpus. Everybody can read it.
#[derive(Clone)]
pub struct Key(PKey<Private>);

/// How a certificate says that it is signed, and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ecdsa-with-SHA256.
    EcdsaSha256,
    /// ecdsa-with-SHA384.
    EcdsaSha384,
    /// ecdsa-with-SHA1.
    EcdsaSha1,
    /// Ed25519.
    Ed25519,
    /// sha256WithRSAEncryption.
    RsaSha256,
    /// sha384WithRSAEncryption.
    RsaSha384,
    /// sha1WithRSAEncryption.
    RsaSha1,
    /// RSASSA-PSS with SHA-256.
    RsaPssSha256,
}

/// The names of the keys, which are those of their files without `.pem`.
pub const NAMES: [&str; 29] = [
    "p256-root",
    "p256-upper",
    "p256-lower",
    "p256-leaf",
    "p256-other",
    "p256-stranger",
    "p384-root",
    "p384-upper",
    "p384-lower",
    "p384-leaf",
    "p384-other",
    "ed25519-root",
    "ed25519-upper",
    "ed25519-lower",
    "ed25519-leaf",
    "ed25519-other",
    "rsa2048-root",
    "rsa2048-upper",
    "rsa2048-lower",
    "rsa2048-leaf",
    "rsa2048-other",
    "rsa1024-weak",
    "rsa2048-exponent-3",
    "rsa4096-leaf",
    "p224-weak",
    "p521-leaf",
    "secp256k1-leaf",
    "ed448-leaf",
    "dsa-leaf",
];

impl Key {
    /// Reads the key of this name from the folder.
    pub fn load(folder: &Path, name: &str) -> Result<Self, Error> {
        let path = folder.join(format!("{name}.pem"));
        let pem = fs::read(&path).map_err(|error| Error::File(path, error))?;
        Ok(Self(PKey::private_key_from_pem(&pem)?))
    }

    /// Makes a key of the kind that the name begins with.
    pub fn generate(name: &str) -> Result<Self, Error> {
        let curve =
            |nid| -> Result<PKey<Private>, Error> { Ok(PKey::from_ec_key(EcKey::generate(EcGroup::from_curve_name(nid)?.as_ref())?)?) };
        Ok(Self(match name.split('-').next() {
            Some("p256") => curve(Nid::X9_62_PRIME256V1)?,
            Some("p384") => curve(Nid::SECP384R1)?,
            Some("p224") => curve(Nid::SECP224R1)?,
            Some("p521") => curve(Nid::SECP521R1)?,
            Some("secp256k1") => curve(Nid::SECP256K1)?,
            Some("ed25519") => PKey::generate_ed25519()?,
            Some("ed448") => PKey::generate_ed448()?,
            Some("dsa") => PKey::from_dsa(openssl::dsa::Dsa::generate(2048)?)?,
            Some("rsa1024") => PKey::from_rsa(Rsa::generate(1024)?)?,
            Some("rsa4096") => PKey::from_rsa(Rsa::generate(4096)?)?,
            _ if name.ends_with("exponent-3") => PKey::from_rsa(Rsa::generate_with_e(2048, openssl::bn::BigNum::from_u32(3)?.as_ref())?)?,
            _ => PKey::from_rsa(Rsa::generate(2048)?)?,
        }))
    }

    /// The key as PEM PKCS#8.
    pub fn pem(&self) -> Result<Vec<u8>, Error> {
        Ok(self.0.private_key_to_pem_pkcs8()?)
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Result<Vec<u8>, Error> {
        Ok(self.0.public_key_to_der()?)
    }

    /// The `SubjectPublicKeyInfo` of an elliptic key with its curve spelled out.
    pub fn spki_with_explicit_curve(&self) -> Result<Vec<u8>, Error> {
        let key = self.0.ec_key()?;
        let mut group = EcGroup::from_curve_name(key.group().curve_name().ok_or(Error::Kind)?)?;
        group.set_asn1_flag(openssl::ec::Asn1Flag::EXPLICIT_CURVE);
        let key = EcKey::from_public_key(&group, key.public_key())?;
        Ok(key.public_key_to_der()?)
    }

    /// The `SubjectPublicKeyInfo` of an elliptic key with its point compressed.
    pub fn spki_with_compressed_point(&self) -> Result<Vec<u8>, Error> {
        let key = self.0.ec_key()?;
        let mut context = openssl::bn::BigNumContext::new()?;
        let point = key.public_key().to_bytes(key.group(), PointConversionForm::COMPRESSED, &mut context)?;
        let algorithm = der::sequence(&[&der::oid("1.2.840.10045.2.1"), &der::oid("1.2.840.10045.3.1.7")]);
        Ok(der::sequence(&[&algorithm, &der::bits(&point)]))
    }

    /// The key identifier by RFC 5280 §4.2.1.2 method 1: SHA-1 of the key's bits.
    pub fn id(&self) -> Result<Vec<u8>, Error> {
        let spki = self.spki()?;
        // The bit string is the last element; its content follows the byte that counts unused bits.
        let length = self.bit_string_length()?;
        Ok(openssl::hash::hash(MessageDigest::sha1(), &spki[spki.len() - length..])?.to_vec())
    }

    /// The algorithm that the kind of key suggests.
    pub fn algorithm(&self) -> Algorithm {
        match self.0.id() {
            openssl::pkey::Id::RSA => Algorithm::RsaSha256,
            openssl::pkey::Id::ED25519 => Algorithm::Ed25519,
            _ if self.0.bits() == 384 => Algorithm::EcdsaSha384,
            _ => Algorithm::EcdsaSha256,
        }
    }

    /// Signs.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(digest) = algorithm.digest() else {
            return Ok(Signer::new_without_digest(&self.0)?.sign_oneshot_to_vec(message)?);
        };
        let mut signer = Signer::new(digest, &self.0)?;
        if algorithm == Algorithm::RsaPssSha256 {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_mgf1_md(digest)?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        Ok(signer.sign_oneshot_to_vec(message)?)
    }

    fn bit_string_length(&self) -> Result<usize, Error> {
        Ok(match self.0.id() {
            openssl::pkey::Id::RSA => self.0.rsa()?.public_key_to_der_pkcs1()?.len(),
            openssl::pkey::Id::EC => 1 + 2 * self.0.ec_key()?.group().degree().div_ceil(8) as usize,
            openssl::pkey::Id::ED25519 => 32,
            openssl::pkey::Id::ED448 => 57,
            // Only a bad leaf has another kind of key, and its key identifier is its own affair.
            _ => 32,
        })
    }
}

impl Algorithm {
    /// The `AlgorithmIdentifier`.
    pub fn identifier(self) -> Vec<u8> {
        let plain = |dotted| der::sequence(&[&der::oid(dotted)]);
        let with_null = |dotted| der::sequence(&[&der::oid(dotted), &der::NULL]);
        match self {
            Self::EcdsaSha256 => plain("1.2.840.10045.4.3.2"),
            Self::EcdsaSha384 => plain("1.2.840.10045.4.3.3"),
            Self::EcdsaSha1 => plain("1.2.840.10045.4.1"),
            Self::Ed25519 => plain("1.3.101.112"),
            Self::RsaSha256 => with_null("1.2.840.113549.1.1.11"),
            Self::RsaSha384 => with_null("1.2.840.113549.1.1.12"),
            Self::RsaSha1 => with_null("1.2.840.113549.1.1.5"),
            Self::RsaPssSha256 => {
                let sha256 = with_null("2.16.840.1.101.3.4.2.1");
                let mask = der::sequence(&[&der::oid("1.2.840.113549.1.1.8"), &sha256]);
                let salt = der::context(2, &der::integer(&[32]));
                let parameters = der::sequence(&[&der::context(0, &sha256), &der::context(1, &mask), &salt]);
                der::sequence(&[&der::oid("1.2.840.113549.1.1.10"), &parameters])
            }
        }
    }

    /// Another accepted algorithm, which did not make the signature.
    pub fn other(self) -> Self {
        match self {
            Self::EcdsaSha256 => Self::EcdsaSha384,
            Self::EcdsaSha384 | Self::EcdsaSha1 | Self::Ed25519 => Self::EcdsaSha256,
            Self::RsaSha256 | Self::RsaSha1 | Self::RsaPssSha256 => Self::RsaSha384,
            Self::RsaSha384 => Self::RsaSha256,
        }
    }

    /// The same with SHA-1, where there is such a thing.
    pub fn with_sha1(self) -> Option<Self> {
        match self {
            Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha1 => Some(Self::EcdsaSha1),
            Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha1 | Self::RsaPssSha256 => Some(Self::RsaSha1),
            Self::Ed25519 => None,
        }
    }

    fn digest(self) -> Option<MessageDigest> {
        match self {
            Self::EcdsaSha256 | Self::RsaSha256 | Self::RsaPssSha256 => Some(MessageDigest::sha256()),
            Self::EcdsaSha384 | Self::RsaSha384 => Some(MessageDigest::sha384()),
            Self::EcdsaSha1 | Self::RsaSha1 => Some(MessageDigest::sha1()),
            Self::Ed25519 => None,
        }
    }
}
