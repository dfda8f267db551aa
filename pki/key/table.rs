//! The one table of what a leaf, an intermediate and an anchor may use.
//!
//! `docs/certificates.md` shows the same table.

use super::{KeyAlgorithm, SignatureAlgorithm};

/// Where in a chain a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The certificate of whoever shows the chain.
    Leaf,
    /// A CA between the leaf and the anchor.
    Intermediate,
    /// The CA that is trusted because it is configured.
    Anchor,
}

/// What may be done with a key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// We make such certificates, and accept them.
    Issued,
    /// We accept them from others, and make none.
    Accepted,
    /// Neither.
    Refused,
}

use Use::{Accepted, Issued, Refused};

/// A key algorithm, then its use in a leaf, an intermediate and an anchor.
const KEYS: [(KeyRow, [Use; 3]); 5] = [
    (KeyRow::P256, [Issued, Issued, Issued]),
    (KeyRow::P384, [Issued, Issued, Issued]),
    (KeyRow::Ed25519, [Issued, Issued, Issued]),
    // Foreign manufacturers' chains have them; ours do not: devices on small processors pay for every bit.
    (KeyRow::Rsa2048To4096, [Accepted, Accepted, Accepted]),
    // Smaller ones are broken, larger ones are a way to make us work.
    (KeyRow::RsaOther, [Refused, Refused, Refused]),
];

/// A signature algorithm, then its use on a leaf and on an intermediate. Nobody checks an anchor's own signature: the
/// anchor is believed because it is configured. Ours carry the one that their key makes.
const SIGNATURES: [(SignatureAlgorithm, [Use; 3]); 9] = [
    (SignatureAlgorithm::EcdsaSha256, [Issued, Issued, Issued]),
    (SignatureAlgorithm::EcdsaSha384, [Issued, Issued, Issued]),
    (SignatureAlgorithm::Ed25519, [Issued, Issued, Issued]),
    (SignatureAlgorithm::RsaPkcs1Sha256, [Accepted, Accepted, Accepted]),
    (SignatureAlgorithm::RsaPkcs1Sha384, [Accepted, Accepted, Accepted]),
    (SignatureAlgorithm::RsaPkcs1Sha512, [Accepted, Accepted, Accepted]),
    (SignatureAlgorithm::RsaPssSha256, [Accepted, Accepted, Accepted]),
    (SignatureAlgorithm::RsaPssSha384, [Accepted, Accepted, Accepted]),
    (SignatureAlgorithm::RsaPssSha512, [Accepted, Accepted, Accepted]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyRow {
    P256,
    P384,
    Ed25519,
    Rsa2048To4096,
    RsaOther,
}

impl From<KeyAlgorithm> for KeyRow {
    fn from(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::P256 => Self::P256,
            KeyAlgorithm::P384 => Self::P384,
            KeyAlgorithm::Ed25519 => Self::Ed25519,
            KeyAlgorithm::Rsa { bits: 2048..=4096 } => Self::Rsa2048To4096,
            KeyAlgorithm::Rsa { .. } => Self::RsaOther,
        }
    }
}

impl Role {
    /// What the table says about a certificate in this role with this key in it.
    pub fn key_use(self, key: KeyAlgorithm) -> Use {
        let row = KeyRow::from(key);
        KEYS.iter().find(|(name, _)| *name == row).map_or(Refused, |(_, columns)| columns[self as usize])
    }

    /// What the table says about a certificate in this role with such a signature on it.
    pub fn signature_use(self, signature: SignatureAlgorithm) -> Use {
        SIGNATURES.iter().find(|(name, _)| *name == signature).map_or(Refused, |(_, columns)| columns[self as usize])
    }

    /// Whether a certificate in this role, with this key in it and such a signature on it, may be accepted.
    pub fn permits(self, key: KeyAlgorithm, signature: SignatureAlgorithm) -> bool {
        self.key_use(key) != Refused && self.signature_use(signature) != Refused
    }

    /// Whether we make certificates in this role with this key.
    pub fn issues(self, key: KeyAlgorithm) -> bool {
        self.key_use(key) == Issued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 3] = [Role::Leaf, Role::Intermediate, Role::Anchor];

    #[test]
    fn rsa_is_accepted_from_2048_to_4096_bits_and_never_issued() {
        for role in ROLES {
            for (bits, accepted) in [(1024, false), (2047, false), (2048, true), (3072, true), (4096, true), (4097, false), (8192, false)] {
                let key = KeyAlgorithm::Rsa { bits };
                assert_eq!(role.permits(key, SignatureAlgorithm::EcdsaSha256), accepted, "{bits}");
                assert!(!role.issues(key));
            }
        }
    }

    #[test]
    fn the_two_nist_curves_and_ed25519_are_issued_in_every_role() {
        for role in ROLES {
            for key in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
                assert!(role.issues(key));
            }
        }
    }
}
