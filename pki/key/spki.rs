//! Reading a `SubjectPublicKeyInfo`: one encoding for each key, everything else refused with its reason.

use super::{KeyAlgorithm, point, rsa};
use crate::{
    der::{DerError, Reader, tag},
    oid,
};

/// The longest `SubjectPublicKeyInfo` that is read. RSA-4096 takes 550 bytes.
pub const MAX_SPKI: usize = 1024;

/// A public key that is not accepted, and the rule that says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not one PEM block of a public key.
    #[error("the text is not one PUBLIC KEY block (RFC 7468 §13): {0}")]
    Pem(String),
    /// More bytes than any accepted key has.
    #[error("the public key takes {len} bytes; at most {MAX_SPKI} are read")]
    TooLong {
        /// How many there were.
        len: usize,
    },
    /// It is not DER, or not a `SubjectPublicKeyInfo`.
    #[error("the public key is not a DER SubjectPublicKeyInfo (RFC 5280 §4.1): {0}")]
    NotDer(DerError),
    /// Bytes follow after the end of an element.
    #[error("bytes follow after the end of the public key or inside of it")]
    TrailingBytes,
    /// The key is for another algorithm.
    #[error("keys with the algorithm {oid} are not accepted; use P-256, P-384, Ed25519 or RSA with 2048 to 4096 bits")]
    Algorithm {
        /// The algorithm's object identifier.
        oid: String,
    },
    /// The parameters beside the algorithm are not the ones that its RFC fixes.
    #[error("{0}")]
    Parameters(&'static str),
    /// The curve is spelled out instead of named, which lets its maker choose the mathematics (CVE-2020-0601).
    #[error("the key spells out its curve's parameters; RFC 5480 §2.1.1 wants the curve's name")]
    ExplicitCurve,
    /// The curve is another one.
    #[error("keys on the curve {oid} are not accepted; use P-256 or P-384")]
    Curve {
        /// The curve's object identifier.
        oid: String,
    },
    /// The point is in its compressed form.
    #[error("the key's point is compressed; send it uncompressed (RFC 5480 §2.2), devices read no other form")]
    CompressedPoint,
    /// The key has the wrong length, or a first byte that no form of a point has.
    #[error("the key of {0} has the wrong length or form")]
    KeyLength(KeyAlgorithm),
    /// The numbers are no point of the curve, or the point at infinity.
    #[error("the key is not a point of {0}")]
    NotOnCurve(KeyAlgorithm),
    /// An Ed25519 point for which one signature fits every message.
    #[error("the Ed25519 key is one of the few points of small order, for which one signature fits many messages")]
    SmallOrder,
    /// An RSA modulus of the wrong size.
    #[error("the RSA modulus has {bits} bits; 2048 to 4096 are accepted")]
    RsaSize {
        /// How many it has.
        bits: usize,
    },
    /// An even RSA modulus.
    #[error("the RSA modulus is even, which no product of two large primes is")]
    RsaModulus,
    /// An RSA exponent that is even, too small or too large.
    #[error("the RSA exponent must be odd, at least 65537 and below 2^33")]
    RsaExponent,
}

impl From<DerError> for KeyError {
    fn from(error: DerError) -> Self {
        match error {
            DerError::Trailing => Self::TrailingBytes,
            other => Self::NotDer(other),
        }
    }
}

/// Checks the whole structure; returns the algorithm and where the BIT STRING's content begins.
pub(super) fn read(der: &[u8]) -> Result<(KeyAlgorithm, usize), KeyError> {
    if der.len() > MAX_SPKI {
        return Err(KeyError::TooLong { len: der.len() });
    }
    let mut fields = Reader::only(der, tag::SEQUENCE)?;
    let mut identifier = fields.nested(tag::SEQUENCE)?;
    let key = fields.bytes_in_bits()?;
    fields.finish()?;
    let algorithm = match identifier.oid()? {
        EC_PUBLIC_KEY => elliptic(identifier, key)?,
        ED25519 => {
            if !identifier.is_empty() {
                return Err(KeyError::Parameters("an Ed25519 key has parameters beside its algorithm; RFC 8410 §3 wants none"));
            }
            point::check_ed25519(key)?;
            KeyAlgorithm::Ed25519
        }
        RSA_ENCRYPTION => {
            if !identifier.optional(tag::NULL)?.is_some_and(|null| null.content.is_empty()) {
                return Err(KeyError::Parameters("an RSA key has other parameters than NULL beside its algorithm (RFC 3279 §2.3.1)"));
            }
            identifier.finish()?;
            KeyAlgorithm::Rsa { bits: rsa::check(key)? }
        }
        other => return Err(KeyError::Algorithm { oid: oid::dotted(other) }),
    };
    Ok((algorithm, der.len() - key.len()))
}

fn elliptic(mut identifier: Reader<'_>, key: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    if identifier.optional(tag::SEQUENCE)?.is_some() {
        return Err(KeyError::ExplicitCurve);
    }
    let curve = identifier.optional(tag::OID)?;
    let algorithm = match curve.map(|curve| curve.content) {
        Some(SECP256R1) => KeyAlgorithm::P256,
        Some(SECP384R1) => KeyAlgorithm::P384,
        Some(other) => return Err(KeyError::Curve { oid: oid::dotted(other) }),
        None => return Err(KeyError::Parameters("an elliptic curve key does not name its curve (RFC 5480 §2.1.1)")),
    };
    identifier.finish()?;
    match key {
        [0x02 | 0x03, ..] => Err(KeyError::CompressedPoint),
        [0x04, coordinates @ ..] => point::check_nist(algorithm, coordinates).map(|()| algorithm),
        _ => Err(KeyError::KeyLength(algorithm)),
    }
}

const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const SECP256R1: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const SECP384R1: &[u8] = b"\x2b\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x2b\x65\x70";
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crafted::{element, oid, sequence},
        key::{PublicKey, Signer, SoftwareKey},
    };
    use proptest::prelude::*;

    fn good(algorithm: KeyAlgorithm) -> Vec<u8> {
        SoftwareKey::generate(algorithm).expect("issued with").public_key().spki_der().to_vec()
    }

    fn spki(identifier: &[&[u8]], key: &[u8]) -> Vec<u8> {
        sequence(&[&sequence(identifier), &element(0x03, &[&[0], key].concat())])
    }

    fn on_curve(curve: &[u8], key: &[u8]) -> Vec<u8> {
        spki(&[&oid(EC_PUBLIC_KEY), &oid(curve)], key)
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let key = sequence(&[&element(0x02, modulus), &element(0x02, exponent)]);
        spki(&[&oid(RSA_ENCRYPTION), &[5, 0]], &key)
    }

    fn refused(der: &[u8]) -> KeyError {
        read(der).expect_err("refused")
    }

    /// The base point of P-256 (SP 800-186 §3.2.1.3).
    const BASE_POINT: &[u8; 65] = b"\x04\
        \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
        \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

    #[test]
    fn points_are_on_their_curve() {
        assert_eq!(read(&on_curve(SECP256R1, BASE_POINT)).map(|(algorithm, _)| algorithm), Ok(KeyAlgorithm::P256));
        let mut off = *BASE_POINT;
        off[64] ^= 1;
        assert_eq!(refused(&on_curve(SECP256R1, &off)), KeyError::NotOnCurve(KeyAlgorithm::P256));
        // (0, 0), which implementations without this check take for a point.
        let zero = [&[4][..], &[0; 64]].concat();
        assert_eq!(refused(&on_curve(SECP256R1, &zero)), KeyError::NotOnCurve(KeyAlgorithm::P256));
        // x + p would be a second encoding of a point where it fits into 32 bytes.
        let unreduced = [&[4][..], &[0xff; 64]].concat();
        assert_eq!(refused(&on_curve(SECP256R1, &unreduced)), KeyError::NotOnCurve(KeyAlgorithm::P256));
    }

    #[test]
    fn points_have_their_one_form() {
        for form in [2, 3] {
            let compressed = [&[form], &BASE_POINT[1..33]].concat();
            assert_eq!(refused(&on_curve(SECP256R1, &compressed)), KeyError::CompressedPoint);
        }
        // The point at infinity, the hybrid form, and coordinates of another curve's length.
        for form in [&[0][..], &[&[6], &BASE_POINT[1..]].concat(), &BASE_POINT[..64], &[]] {
            assert_eq!(refused(&on_curve(SECP256R1, form)), KeyError::KeyLength(KeyAlgorithm::P256), "{form:02x?}");
        }
        assert_eq!(refused(&on_curve(SECP384R1, BASE_POINT)), KeyError::KeyLength(KeyAlgorithm::P384));
    }

    #[test]
    fn rfc_8032_section_7_1_keys_are_accepted() {
        for key in [
            b"\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a",
            b"\x3d\x40\x17\xc3\xe8\x43\x89\x5a\x92\xb7\x0a\xa7\x4d\x1b\x7e\xbc\x9c\x98\x2c\xcf\x2e\xc4\x96\x8c\xc0\xcd\x55\xf1\x2a\xf4\x66\x0c",
            b"\xfc\x51\xcd\x8e\x62\x18\xa1\xa3\x8d\xa4\x7e\xd0\x02\x30\xf0\x58\x08\x16\xed\x13\xba\x33\x03\xac\x5d\xeb\x91\x15\x48\x90\x80\x25",
        ] {
            assert_eq!(read(&spki(&[&oid(ED25519)], key)), Ok((KeyAlgorithm::Ed25519, 12)));
        }
    }

    #[test]
    fn ed25519_keys_are_canonical_points_of_large_order() {
        let read = |key: &[u8]| refused(&spki(&[&oid(ED25519)], key));
        let mut identity = [0; 32];
        identity[0] = 1;
        let of_order_eight =
            b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a";
        for small in [identity, [0; 32], *of_order_eight] {
            assert_eq!(read(&small), KeyError::SmallOrder);
            let mut other_sign = small;
            other_sign[31] |= 0x80;
            assert_eq!(read(&other_sign), KeyError::SmallOrder);
        }
        let not_on_curve = KeyError::NotOnCurve(KeyAlgorithm::Ed25519);
        // y = p + 1, a second encoding of 1; and y = 2, for which there is no x.
        let mut unreduced = [0xff; 32];
        unreduced[0] = 0xee;
        unreduced[31] = 0x7f;
        assert_eq!(read(&unreduced), not_on_curve);
        let mut two = [0; 32];
        two[0] = 2;
        assert_eq!(read(&two), not_on_curve);
        assert_eq!(read(&[1; 31]), KeyError::KeyLength(KeyAlgorithm::Ed25519));
    }

    #[test]
    fn rsa_keys_have_a_sound_size_modulus_and_exponent() {
        let modulus = |bytes: usize| [&[0, 0xc0], &vec![0x11; bytes - 1][..]].concat();
        let f4 = [1, 0, 1];
        for bits in [2048, 3072, 4096_u16] {
            let expected = Ok(KeyAlgorithm::Rsa { bits });
            assert_eq!(read(&rsa(&modulus(usize::from(bits) / 8), &f4)).map(|(algorithm, _)| algorithm), expected);
        }
        assert_eq!(refused(&rsa(&modulus(255), &f4)), KeyError::RsaSize { bits: 2040 });
        let one_bit_more = [&[0x01][..], &[0x11; 512]].concat();
        assert_eq!(refused(&rsa(&one_bit_more, &f4)), KeyError::RsaSize { bits: 4097 });
        let mut even = modulus(256);
        even[256] = 0x10;
        assert_eq!(refused(&rsa(&even, &f4)), KeyError::RsaModulus);
        for exponent in [&[1][..], &[3], &[17], &[0x00, 0xff, 0xff], &[1, 0, 0], &[2, 0, 0, 0, 1]] {
            assert_eq!(refused(&rsa(&modulus(256), exponent)), KeyError::RsaExponent, "{exponent:02x?}");
        }
        assert!(read(&rsa(&modulus(256), &[1, 0xff, 0xff, 0xff, 0xff])).is_ok());
        for number in [&[][..], &[0], &[0, 1], &[0x80]] {
            assert!(matches!(refused(&rsa(&modulus(256), number)), KeyError::NotDer(_)), "{number:02x?}");
            assert!(matches!(refused(&rsa(number, &f4)), KeyError::NotDer(_)), "{number:02x?}");
        }
    }

    #[test]
    fn parameters_are_the_ones_of_the_rfc() {
        let p256 = &oid(SECP256R1)[..];
        for identifier in [&[&oid(EC_PUBLIC_KEY)[..], &[5, 0]][..], &[&oid(EC_PUBLIC_KEY)]] {
            assert!(matches!(refused(&spki(identifier, BASE_POINT)), KeyError::Parameters(_)));
        }
        assert_eq!(refused(&spki(&[&oid(EC_PUBLIC_KEY), p256, &[5, 0]], BASE_POINT)), KeyError::TrailingBytes);
        assert_eq!(refused(&spki(&[&oid(EC_PUBLIC_KEY), &sequence(&[&[2, 1, 1]])], BASE_POINT)), KeyError::ExplicitCurve);
        assert!(matches!(refused(&spki(&[&oid(ED25519), &[5, 0]], &[1; 32])), KeyError::Parameters(_)));
        assert!(matches!(refused(&spki(&[&oid(RSA_ENCRYPTION)], &[])), KeyError::Parameters(_)));
    }

    #[test]
    fn nothing_follows_and_nothing_is_longer_than_needed() {
        let der = good(KeyAlgorithm::P256);
        assert_eq!(refused(&[der.as_slice(), &[0]].concat()), KeyError::TrailingBytes);
        let inside = sequence(&[&der[2..], &[5, 0]]);
        assert_eq!(refused(&inside), KeyError::TrailingBytes);
        let long_length = [&[0x30, 0x81, 0x59], &der[2..]].concat();
        assert!(matches!(refused(&long_length), KeyError::NotDer(_)));
        let mut unused_bits = der.clone();
        unused_bits[25] = 1;
        assert!(matches!(refused(&unused_bits), KeyError::NotDer(_)));
        assert_eq!(refused(&vec![0; MAX_SPKI + 1]), KeyError::TooLong { len: MAX_SPKI + 1 });
        for len in 0..der.len() {
            assert!(read(&der[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn every_changed_bit_makes_another_key_or_none() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
            let der = good(algorithm);
            let key = PublicKey::from_spki_der(&der).expect("a key");
            for bit in 0..der.len() * 8 {
                let mut changed = der.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                match PublicKey::from_spki_der(&changed) {
                    Ok(other) => assert!(other != key && other.spki_der() == changed, "{algorithm} bit {bit}"),
                    // For half of all x there is no y; on the NIST curves a changed coordinate is never a point.
                    Err(_) => continue,
                }
                assert_eq!(algorithm, KeyAlgorithm::Ed25519, "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_kept_byte_by_byte(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(key) = PublicKey::from_spki_der(&bytes) { prop_assert_eq!(key.spki_der(), &bytes); }
        }

        #[test]
        fn points_are_judged_as_ring_judges_them(flip in proptest::option::of(0..512_usize)) {
            let mut der = good(KeyAlgorithm::P256);
            if let Some(bit) = flip {
                der[27 + bit / 8] ^= 1 << (bit % 8);
            }
            // An agreement needs a point of the curve, and says so at once.
            let random = ring::rand::SystemRandom::new();
            let private = ring::agreement::EphemeralPrivateKey::generate(&ring::agreement::ECDH_P256, &random).expect("a key");
            let peer = ring::agreement::UnparsedPublicKey::new(&ring::agreement::ECDH_P256, &der[26..]);
            let ring_takes_it = ring::agreement::agree_ephemeral(private, &peer, |_| ()).is_ok();
            prop_assert_eq!(ring_takes_it, flip.is_none());
            prop_assert_eq!(read(&der).is_ok(), ring_takes_it);
        }
    }
}
