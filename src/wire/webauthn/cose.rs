//! The public key of a credential, as COSE writes it (RFC 9052 §7, RFC 9053 §7, RFC 8230 §4; Web Authentication §5.8.5).

use super::{
    WebauthnError,
    item::{next, skip},
};
use crate::cbor::{Event, Reader};

/// How many parameters are looked at: a key has five at most.
const MOST_PARAMETERS: u64 = 16;
/// 8192 bits.
const MOST_MODULUS: usize = 1024;
/// 2048 bits.
const LEAST_MODULUS: usize = 256;
const MOST_EXPONENT: usize = 8;

/// A public key, of a kind that signatures are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoseKey {
    /// ECDSA on P-256 with SHA-256 (−7). Whether the point is on the curve is not looked at.
    Es256 {
        /// The first coordinate.
        x: [u8; 32],
        /// The second coordinate.
        y: [u8; 32],
    },
    /// EdDSA (−8), on Ed25519.
    EdDsa([u8; 32]),
    /// RSASSA-PKCS1-v1_5 with SHA-256 (−257).
    Rs256 {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

/// What stands at the labels that keys of our kinds have.
#[derive(Default)]
struct Parameters<'a> {
    kty: Option<i128>,
    alg: Option<i128>,
    /// Label −1: the curve, or an RSA modulus.
    first: Option<Value<'a>>,
    /// Label −2: a coordinate, or an exponent.
    second: Option<&'a [u8]>,
    /// Label −3.
    third: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(i128),
    Bytes(&'a [u8]),
}

impl CoseKey {
    /// Takes a key apart.
    ///
    /// # Errors
    /// It is none, or of another kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, WebauthnError> {
        let Parameters { kty, alg, first, second, third } = Parameters::read(bytes)?;
        let fixed = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(WebauthnError::Key);
        match (kty, alg, first, second) {
            (Some(2), Some(-7), Some(Value::Number(1)), x) => Ok(Self::Es256 { x: fixed(x)?, y: fixed(third)? }),
            (Some(1), Some(-8), Some(Value::Number(6)), x) => Ok(Self::EdDsa(fixed(x)?)),
            (Some(3), Some(-257), Some(Value::Bytes(n)), Some(e)) => {
                let fits = (LEAST_MODULUS..=MOST_MODULUS).contains(&n.len()) && (1..=MOST_EXPONENT).contains(&e.len());
                if fits { Ok(Self::Rs256 { n: n.to_vec(), e: e.to_vec() }) } else { Err(WebauthnError::Key) }
            }
            _ => Err(WebauthnError::Key),
        }
    }
}

impl<'a> Parameters<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let mut reader = Reader::new(bytes);
        let Event::Map(Some(count)) = next(&mut reader)? else { return Err(WebauthnError::Key) };
        if count > MOST_PARAMETERS {
            return Err(WebauthnError::Key);
        }
        let mut all = Self::default();
        for _ in 0..count {
            let label = number(next(&mut reader)?).ok_or(WebauthnError::Key)?;
            // A label that stands twice could mean one thing here and another elsewhere.
            let seen_before = match label {
                1 => all.kty.replace(number(next(&mut reader)?).ok_or(WebauthnError::Key)?).is_some(),
                3 => all.alg.replace(number(next(&mut reader)?).ok_or(WebauthnError::Key)?).is_some(),
                -1 => all.first.replace(value(next(&mut reader)?).ok_or(WebauthnError::Key)?).is_some(),
                -2 => all.second.replace(string(next(&mut reader)?).ok_or(WebauthnError::Key)?).is_some(),
                -3 => all.third.replace(string(next(&mut reader)?).ok_or(WebauthnError::Key)?).is_some(),
                _ => skip(&mut reader).map(|()| false)?,
            };
            if seen_before {
                return Err(WebauthnError::Key);
            }
        }
        reader.finish()?;
        Ok(all)
    }
}

fn number(event: Event<'_>) -> Option<i128> {
    match event {
        Event::Unsigned(number) => Some(number.into()),
        Event::Negative(number) => Some(-1 - i128::from(number)),
        _ => None,
    }
}

fn string(event: Event<'_>) -> Option<&[u8]> {
    match event {
        Event::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn value(event: Event<'_>) -> Option<Value<'_>> {
    number(event).map(Value::Number).or_else(|| string(event).map(Value::Bytes))
}
