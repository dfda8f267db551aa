//! How the cores and rooms write typed values into rows.
//!
//! A stored value is one byte that names its form, then CBOR. A new form gets a new number, and readers of the old
//! one stay. The store itself looks into no value.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, ops::Deref};

/// The only form so far.
const FORM: u8 = 1;

/// Values nest three deep; more is damage, and the reader stops before the stack does.
const DEPTH_MAX: usize = 16;

/// A stored value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Written by a newer Gatehouse.
    #[error("a stored value has form {0}, which this version does not know; use the version that wrote it or a newer one")]
    Newer(u8),
    /// Not what we write.
    #[error("a stored value is damaged: {0}")]
    Damaged(String),
}

/// The bytes of a value.
///
/// # Panics
/// When the type refuses to be serialised, which a derived implementation never does.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORM];
    ciborium::into_writer(value, &mut bytes).expect("our types serialise, and a vector takes every byte");
    bytes
}

/// The value in these bytes.
///
/// # Errors
/// They are not what [`encode`] wrote, or a newer program wrote them.
pub fn decode<T: de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        Some((&FORM, mut rest)) => {
            let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX)
                .map_err(|error| CodecError::Damaged(error.to_string()))?;
            if rest.is_empty() { Ok(value) } else { Err(CodecError::Damaged("bytes are left over".to_owned())) }
        }
        Some((&form, _)) => Err(CodecError::Newer(form)),
        None => Err(CodecError::Damaged("it is empty".to_owned())),
    }
}

/// Bytes that serialise as bytes, not as a list of numbers.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(Vec<u8>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Bytes({})", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let value = (Bytes::from(vec![1, 2, 3]), Some("text".to_owned()), 7_u64);
        assert_eq!(decode::<(Bytes, Option<String>, u64)>(&encode(&value)), Ok(value));
    }

    #[test]
    fn a_newer_form_a_cut_and_left_over_bytes_are_told_apart_from_good_values() {
        let good = encode(&"text");
        assert_eq!(decode::<String>(&[&[9], &good[1..]].concat()), Err(CodecError::Newer(9)));
        assert!(matches!(decode::<String>(&good[..3]), Err(CodecError::Damaged(_))));
        assert!(matches!(decode::<String>(&[&good[..], b"x"].concat()), Err(CodecError::Damaged(_))));
        assert!(matches!(decode::<String>(&[]), Err(CodecError::Damaged(_))));
    }
}
