//! What an RSA public key must be before it is used.

use super::spki::KeyError;
use crate::der::{DerError, Reader, tag};

/// Checks an `RSAPublicKey` (RFC 8017 §A.1.1) and returns the size of its modulus in bits.
pub(super) fn check(der: &[u8]) -> Result<u16, KeyError> {
    let mut fields = Reader::only(der, tag::SEQUENCE)?;
    let modulus = positive(fields.expect(tag::INTEGER)?.content)?;
    let exponent = positive(fields.expect(tag::INTEGER)?.content)?;
    fields.finish()?;

    let bits = bit_length(modulus);
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err(KeyError::RsaSize { bits });
    }
    // An even modulus has the factor 2.
    if modulus.last().is_none_or(|last| last % 2 == 0) {
        return Err(KeyError::RsaModulus);
    }
    // FIPS 186-5 §A.1.1: odd and above 2^16. Small exponents make forgeries against lax verifiers cheap; large
    // ones make verifying dear.
    let even = exponent.last().is_none_or(|last| last % 2 == 0);
    if even || !(17..=MAX_EXPONENT_BITS).contains(&bit_length(exponent)) {
        return Err(KeyError::RsaExponent);
    }
    // `bits` is at most 4096 here.
    u16::try_from(bits).map_err(|_| KeyError::RsaSize { bits })
}

/// The magnitude of a DER INTEGER that must be positive and in its shortest form (X.690 §8.3.2).
fn positive(content: &[u8]) -> Result<&[u8], KeyError> {
    match content {
        [0, 0x80..=0xff, ..] => Ok(&content[1..]),
        [0x01..=0x7f, ..] => Ok(content),
        _ => Err(KeyError::NotDer(DerError::Integer)),
    }
}

/// How many bits a magnitude without leading zero bytes has.
fn bit_length(magnitude: &[u8]) -> usize {
    magnitude.first().map_or(0, |first| magnitude.len() * 8 - first.leading_zeros() as usize)
}

const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 4096;
/// What `ring` accepts.
const MAX_EXPONENT_BITS: usize = 33;
