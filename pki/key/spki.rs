//! Reading a `SubjectPublicKeyInfo`: one encoding for each key, everything else refused with its reason.

use super::{KeyAlgorithm, point, rsa};

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
    NotDer(&'static str),
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

/// Checks the whole structure; returns the algorithm and where the BIT STRING's content begins.
pub(super) fn read(der: &[u8]) -> Result<(KeyAlgorithm, usize), KeyError> {
    if der.len() > MAX_SPKI {
        return Err(KeyError::TooLong { len: der.len() });
    }
    let mut outer = Reader::new(der);
    let mut fields = Reader::new(outer.read(0x30, "it is not a SEQUENCE")?);
    outer.finish()?;
    let mut identifier = Reader::new(fields.read(0x30, "the algorithm is not a SEQUENCE")?);
    let bit_string = fields.read(0x03, "the key is not a BIT STRING")?;
    fields.finish()?;
    let [0, key @ ..] = bit_string else {
        return Err(KeyError::NotDer("the key's BIT STRING is empty or has unused bits"));
    };
    let algorithm = match identifier.read(0x06, "the algorithm is not an OBJECT IDENTIFIER")? {
        EC_PUBLIC_KEY => elliptic(identifier, key)?,
        ED25519 => {
            if !identifier.is_empty() {
                return Err(KeyError::Parameters("an Ed25519 key has parameters beside its algorithm; RFC 8410 §3 wants none"));
            }
            point::check_ed25519(key)?;
            KeyAlgorithm::Ed25519
        }
        RSA_ENCRYPTION => {
            if identifier.rest() != [0x05, 0x00] {
                return Err(KeyError::Parameters("an RSA key has other parameters than NULL beside its algorithm (RFC 3279 §2.3.1)"));
            }
            KeyAlgorithm::Rsa { bits: rsa::check(key)? }
        }
        other => return Err(KeyError::Algorithm { oid: dotted(other) }),
    };
    Ok((algorithm, der.len() - key.len()))
}

fn elliptic(mut identifier: Reader<'_>, key: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    match identifier.rest().first() {
        Some(0x06) => {}
        Some(0x30) => return Err(KeyError::ExplicitCurve),
        _ => return Err(KeyError::Parameters("an elliptic curve key does not name its curve (RFC 5480 §2.1.1)")),
    }
    let algorithm = match identifier.read(0x06, "the curve is not an OBJECT IDENTIFIER")? {
        SECP256R1 => KeyAlgorithm::P256,
        SECP384R1 => KeyAlgorithm::P384,
        other => return Err(KeyError::Curve { oid: dotted(other) }),
    };
    identifier.finish()?;
    match key {
        [0x02 | 0x03, ..] => Err(KeyError::CompressedPoint),
        [0x04, coordinates @ ..] => point::check_nist(algorithm, coordinates).map(|()| algorithm),
        _ => Err(KeyError::KeyLength(algorithm)),
    }
}

/// Reads short DER elements. Certificates have a reader of their own; this one knows the few shapes of a key.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The content of the next element, which must have this tag and the shortest form of length (X.690 §10.1).
    pub(super) fn read(&mut self, tag: u8, otherwise: &'static str) -> Result<&'a [u8], KeyError> {
        let cut = KeyError::NotDer("it ends in the middle of an element");
        let (length, start) = match *self.0 {
            [first, ..] if first != tag => return Err(KeyError::NotDer(otherwise)),
            [_, short @ 0..=0x7f, ..] => (usize::from(short), 2),
            [_, 0x81, long @ 0x80..=0xff, ..] => (usize::from(long), 3),
            [_, 0x82, high @ 1..=0xff, low, ..] => (usize::from(high) << 8 | usize::from(low), 4),
            [] | [_] | [_, 0x81] | [_, 0x82] | [_, 0x82, _] => return Err(cut),
            _ => return Err(KeyError::NotDer("a length is not in its shortest form")),
        };
        let content = self.0.get(start..start + length).ok_or(cut)?;
        self.0 = &self.0[start + length..];
        Ok(content)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn finish(self) -> Result<(), KeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeyError::TrailingBytes) }
    }
}

/// An object identifier's content as people write it; only for words in a refusal.
fn dotted(content: &[u8]) -> String {
    let mut text = String::new();
    let mut arc = 0_u128;
    for byte in content {
        arc = arc.wrapping_shl(7) | u128::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            // X.690 §8.19.4: the first two arcs share a number.
            let first = (arc / 40).min(2);
            text = format!("{first}.{}", arc - first * 40);
        } else {
            text.push_str(&format!(".{arc}"));
        }
        arc = 0;
    }
    text
}

const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const SECP256R1: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const SECP384R1: &[u8] = b"\x2b\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x2b\x65\x70";
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
