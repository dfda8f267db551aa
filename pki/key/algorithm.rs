//! Signature algorithms and their one DER form.

use std::fmt;

/// How a signature is made. SHA-1 and MD5 do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256 (RFC 5758 §3.2).
    EcdsaSha256,
    /// ecdsa-with-SHA384 (RFC 5758 §3.2).
    EcdsaSha384,
    /// Ed25519 (RFC 8410 §3).
    Ed25519,
    /// sha256WithRSAEncryption (RFC 4055 §5).
    RsaPkcs1Sha256,
    /// sha384WithRSAEncryption (RFC 4055 §5).
    RsaPkcs1Sha384,
    /// sha512WithRSAEncryption (RFC 4055 §5).
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256 throughout and 32 bytes of salt (RFC 4055 §3.1).
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384 throughout and 48 bytes of salt (RFC 4055 §3.1).
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512 throughout and 64 bytes of salt (RFC 4055 §3.1).
    RsaPssSha512,
}

/// An `AlgorithmIdentifier` that is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmError {
    /// The hash was broken years ago.
    #[error("signatures with {0} can be forged; SHA-256 or better is needed")]
    Broken(&'static str),
    /// The algorithm is ours, its parameters are not the ones that the RFC fixes.
    #[error("the parameters of the signature algorithm {0} are not the ones that its RFC fixes")]
    Parameters(&'static str),
    /// It is none that this crate verifies.
    #[error("the signature algorithm is not one of ECDSA, Ed25519, RSA or RSA-PSS with SHA-256, SHA-384 or SHA-512")]
    Unknown,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::Ed25519,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
    ];

    /// The complete DER `AlgorithmIdentifier`, outer SEQUENCE included.
    pub fn identifier_der(self) -> &'static [u8] {
        self.encodings()[0]
    }

    /// Reads a complete DER `AlgorithmIdentifier`, outer SEQUENCE included. Parameters must be as the RFC fixes them:
    /// absent for ECDSA and Ed25519, NULL for RSA, one hash throughout and a salt of its length for RSA-PSS.
    pub fn from_identifier_der(der: &[u8]) -> Result<Self, AlgorithmError> {
        if let Some(known) = Self::ALL.into_iter().find(|algorithm| algorithm.encodings().contains(&der)) {
            return Ok(known);
        }
        let oid = object_identifier(der).ok_or(AlgorithmError::Unknown)?;
        if let Some((_, name)) = BROKEN.iter().find(|(broken, _)| *broken == oid) {
            return Err(AlgorithmError::Broken(name));
        }
        let same_oid = |algorithm: &Self| object_identifier(algorithm.identifier_der()) == Some(oid);
        match Self::ALL.iter().find(|algorithm| same_oid(algorithm)) {
            Some(_) if oid == RSASSA_PSS => Err(AlgorithmError::Parameters("RSA-PSS")),
            Some(known) => Err(AlgorithmError::Parameters(known.name())),
            None => Err(AlgorithmError::Unknown),
        }
    }

    /// Its forms in DER; the first is the one to write. RFC 4055 §2.1 lets the hash inside RSA-PSS parameters have
    /// NULL or no parameters, and both are seen.
    fn encodings(self) -> &'static [&'static [u8]] {
        match self {
            Self::EcdsaSha256 => &[b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"],
            Self::EcdsaSha384 => &[b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"],
            Self::Ed25519 => &[b"\x30\x05\x06\x03\x2b\x65\x70"],
            Self::RsaPkcs1Sha256 => &[b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"],
            Self::RsaPkcs1Sha384 => &[b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"],
            Self::RsaPkcs1Sha512 => &[b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"],
            Self::RsaPssSha256 => const { &[&pss_with_null(1, 32), &pss_without_null(1, 32)] },
            Self::RsaPssSha384 => const { &[&pss_with_null(2, 48), &pss_without_null(2, 48)] },
            Self::RsaPssSha512 => const { &[&pss_with_null(3, 64), &pss_without_null(3, 64)] },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::EcdsaSha256 => "ECDSA with SHA-256",
            Self::EcdsaSha384 => "ECDSA with SHA-384",
            Self::Ed25519 => "Ed25519",
            Self::RsaPkcs1Sha256 => "RSA with SHA-256",
            Self::RsaPkcs1Sha384 => "RSA with SHA-384",
            Self::RsaPkcs1Sha512 => "RSA with SHA-512",
            Self::RsaPssSha256 => "RSA-PSS with SHA-256",
            Self::RsaPssSha384 => "RSA-PSS with SHA-384",
            Self::RsaPssSha512 => "RSA-PSS with SHA-512",
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The OBJECT IDENTIFIER (with its header) at the start of a short SEQUENCE; used to word a refusal only.
fn object_identifier(der: &[u8]) -> Option<&[u8]> {
    match der {
        [0x30, length, content @ ..] if usize::from(*length) == content.len() && *length < 0x80 => match content {
            [0x06, oid_length, ..] => content.get(..2 + usize::from(*oid_length)),
            _ => None,
        },
        _ => None,
    }
}

const RSASSA_PSS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";

const BROKEN: [(&[u8], &str); 6] = [
    (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x02", "MD2"),
    (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", "MD5"),
    (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "SHA-1"),
    (b"\x06\x07\x2a\x86\x48\xce\x3d\x04\x01", "SHA-1"),
    (b"\x06\x05\x2b\x0e\x03\x02\x1d", "SHA-1"),
    (b"\x06\x07\x2a\x86\x48\xce\x38\x04\x03", "SHA-1"),
];

/// RSASSA-PSS-params with the hash 2.16.840.1.101.3.4.2.`hash`, MGF1 with the same, and the salt length.
const fn pss_with_null(hash: u8, salt: u8) -> [u8; 67] {
    let mut der = *b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
        \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x00\x05\x00\
        \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x00\x05\x00\
        \xa2\x03\x02\x01\x00";
    der[29] = hash;
    der[59] = hash;
    der[66] = salt;
    der
}

/// The same without the NULLs beside the hashes.
const fn pss_without_null(hash: u8, salt: u8) -> [u8; 63] {
    let mut der = *b"\x30\x3d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x30\
        \xa0\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x00\
        \xa1\x1a\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x00\
        \xa2\x03\x02\x01\x00";
    der[29] = hash;
    der[57] = hash;
    der[62] = salt;
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_round_trips_through_its_identifier() {
        for algorithm in SignatureAlgorithm::ALL {
            for encoding in algorithm.encodings() {
                assert_eq!(usize::from(encoding[1]) + 2, encoding.len(), "{algorithm}");
                assert_eq!(SignatureAlgorithm::from_identifier_der(encoding), Ok(algorithm));
            }
        }
    }

    #[test]
    fn rfc_5758_section_3_2_ecdsa_parameters_are_absent() {
        let with_null = b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00";
        assert_eq!(SignatureAlgorithm::from_identifier_der(with_null), Err(AlgorithmError::Parameters("ECDSA with SHA-256")));
    }

    #[test]
    fn rfc_4055_section_5_rsa_parameters_are_null() {
        let without_null = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
        assert_eq!(SignatureAlgorithm::from_identifier_der(without_null), Err(AlgorithmError::Parameters("RSA with SHA-256")));
    }

    #[test]
    fn rsa_pss_with_another_salt_or_the_sha_1_defaults_is_refused() {
        for (algorithm, salt) in [(pss_with_null(1, 20), 20), (pss_with_null(2, 32), 32)] {
            let refused = SignatureAlgorithm::from_identifier_der(&algorithm);
            assert_eq!(refused, Err(AlgorithmError::Parameters("RSA-PSS")), "{salt}");
        }
        let defaults = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x00";
        assert_eq!(SignatureAlgorithm::from_identifier_der(defaults), Err(AlgorithmError::Parameters("RSA-PSS")));
    }

    #[test]
    fn broken_hashes_are_named() {
        let sha1_rsa = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";
        assert_eq!(SignatureAlgorithm::from_identifier_der(sha1_rsa), Err(AlgorithmError::Broken("SHA-1")));
        let sha1_ecdsa = b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01";
        assert_eq!(SignatureAlgorithm::from_identifier_der(sha1_ecdsa), Err(AlgorithmError::Broken("SHA-1")));
        assert_eq!(SignatureAlgorithm::from_identifier_der(b""), Err(AlgorithmError::Unknown));
    }
}
