//! Serial numbers of certificates and revocation entries.

use crate::key::hexadecimal;
use gatehouse_types::Random;
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A certificate's serial number: a positive INTEGER of at most 20 octets (RFC 5280 §4.1.2.2). Not to be confused with
/// the serial number of a product, which is a [`SerialNumber`](crate::SerialNumber).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Serial {
    /// Big-endian, without leading zero bytes, at least one byte. The length comes first so that order is by value.
    len: u8,
    bytes: [u8; Serial::MAX],
}

/// A serial number that no certificate may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SerialError {
    /// Zero or negative.
    #[error("a serial number is positive (RFC 5280 §4.1.2.2)")]
    NotPositive,
    /// More than 20 octets as an INTEGER.
    #[error("a serial number has at most 20 octets (RFC 5280 §4.1.2.2)")]
    TooLong,
    /// Not the shortest form.
    #[error("a serial number is an INTEGER in its shortest form")]
    NotShortest,
    /// The text is not hexadecimal.
    #[error("a serial number is written as hexadecimal digits, two for each byte")]
    Text,
}

impl Serial {
    /// How many octets an INTEGER may have, its sign included.
    const MAX: usize = 20;

    /// A new serial number with 126 random bits, always 16 octets long. That is more than the 64 bits that keep
    /// an attacker from choosing what is signed, and enough that two never meet.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; Self::MAX];
        random.fill(&mut bytes[..RANDOM_LEN]);
        // Positive, and of one length for all.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self { len: RANDOM_LEN as u8, bytes }
    }

    /// The content octets of a DER INTEGER.
    pub fn from_integer(content: &[u8]) -> Result<Self, SerialError> {
        if content.len() > Self::MAX {
            return Err(SerialError::TooLong);
        }
        match content {
            [] | [0, 0..=0x7f, _, ..] => Err(SerialError::NotShortest),
            [0] | [0x80..=0xff, ..] => Err(SerialError::NotPositive),
            [0, 0..=0x7f] => Err(SerialError::NotShortest),
            [0, magnitude @ ..] => Ok(Self::from_magnitude(magnitude)),
            magnitude => Ok(Self::from_magnitude(magnitude)),
        }
    }

    /// The number as big-endian bytes without leading zeros, as records keep it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The content octets of the DER INTEGER.
    pub fn to_integer(&self) -> Vec<u8> {
        let sign: &[u8] = if self.bytes[0] >= 0x80 { &[0] } else { &[] };
        [sign, self.as_bytes()].concat()
    }

    /// The caller has checked the length.
    fn from_magnitude(magnitude: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..magnitude.len()].copy_from_slice(magnitude);
        Self { len: magnitude.len() as u8, bytes }
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        // One text for each number: the one that `Display` writes.
        if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(SerialError::Text);
        }
        if text.len() > 2 * Self::MAX {
            return Err(SerialError::TooLong);
        }
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| SerialError::Text);
        let magnitude = (0..text.len() / 2).map(byte).collect::<Result<Vec<u8>, _>>()?;
        match magnitude.first() {
            None => Err(SerialError::Text),
            Some(0) if magnitude.len() > 1 => Err(SerialError::NotShortest),
            Some(0) => Err(SerialError::NotPositive),
            Some(0x80..) if magnitude.len() == Self::MAX => Err(SerialError::TooLong),
            Some(_) => Ok(Self::from_magnitude(&magnitude)),
        }
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, SerialError> {
        text.parse()
    }
}

/// As its text; journals hold millions of them, so that none is allocated for it.
impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 2 * Self::MAX];
        serializer.serialize_str(hexadecimal(self.as_bytes(), &mut text))
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 2 * Self::MAX];
        out.write_str(hexadecimal(self.as_bytes(), &mut text))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Serial({self})")
    }
}

const RANDOM_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Constant(u8);

    impl Random for Constant {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn whatever_is_drawn_the_serial_is_positive_and_sixteen_octets_long() {
        for drawn in [0x00, 0x7f, 0x80, 0xff] {
            let integer = Serial::random(&Constant(drawn)).to_integer();
            assert_eq!(integer.len(), 16);
            assert!((0x40..0x80).contains(&integer[0]));
            assert_eq!(integer[1..], [drawn; 15]);
        }
    }

    #[test]
    fn rfc_5280_section_4_1_2_2_serials_are_positive_and_at_most_20_octets() {
        let longest = [0x7f; 20];
        assert_eq!(Serial::from_integer(&longest).expect("20 octets").as_bytes(), longest);
        assert_eq!(Serial::from_integer(&[0x7f; 21]), Err(SerialError::TooLong));
        assert_eq!(Serial::from_integer(&[0]), Err(SerialError::NotPositive));
        assert_eq!(Serial::from_integer(&[0x80]), Err(SerialError::NotPositive));
        assert_eq!(Serial::from_integer(&[0, 1]), Err(SerialError::NotShortest));
        assert_eq!(Serial::from_integer(&[]), Err(SerialError::NotShortest));
        assert_eq!(Serial::from_integer(&[0, 0x80]).expect("128").as_bytes(), [0x80]);
    }

    #[test]
    fn only_the_written_form_is_read() {
        for (text, error) in [
            ("", SerialError::Text),
            ("1", SerialError::Text),
            ("0A", SerialError::Text),
            ("0x", SerialError::Text),
            ("00", SerialError::NotPositive),
            ("0001", SerialError::NotShortest),
            (&"80".repeat(20), SerialError::TooLong),
            (&"01".repeat(21), SerialError::TooLong),
        ] {
            assert_eq!(text.parse::<Serial>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_and_texts_round_trip(content in proptest::collection::vec(any::<u8>(), 0..22)) {
            if let Ok(serial) = Serial::from_integer(&content) {
                prop_assert_eq!(serial.to_integer(), content);
                prop_assert_eq!(serial.to_string().parse(), Ok(serial));
            }
        }
    }
}
