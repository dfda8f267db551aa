//! DER: reading it strictly, and writing what nothing else writes.
//!
//! Certificates, requests, revocation lists and signed messages come from peers, so their encoding is judged before
//! anything is looked up in it: [`check`] walks the whole element once and refuses whatever BER allows and DER does not
//! (X.690 §8, §10, §11), deep nesting and trailing bytes. Afterwards a [`Reader`] takes it apart; it copies nothing and
//! allocates nothing. [`mod@write`] and [`append`] go the other way.
//!
//! This crate reads with it, and the few that have messages of their own in DER: custody its requests, the factory
//! its CMS, tokens their signatures. It knows none of them. What only this crate needs stays inside of it.

pub mod append;
mod check;
mod error;
mod time;
pub mod write;

pub use check::check;
pub(crate) use check::check_oid;
pub use error::DerError;

use check::{check_bit_string, check_integer};
use gatehouse_types::UnixTime;

/// How deeply elements may be nested; certificates need nine.
pub const MAX_DEPTH: usize = 16;

/// The tags that are met, by their names in X.680.
pub mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const TELETEX_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const VISIBLE_STRING: u8 = 0x1a;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;

    /// `[n]` of a primitive type, implicit.
    pub const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[n]` explicit, or implicit of a constructed type.
    pub const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// One element: its tag, its content, and both with the length between them as they were encoded.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    pub(crate) tag: u8,
    /// What stands inside.
    pub content: &'a [u8],
    /// The whole, with tag and length.
    pub raw: &'a [u8],
}

/// Takes elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the elements that the bytes are.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The content of the one element with this tag that the bytes are.
    pub fn only(bytes: &'a [u8], tag: u8) -> Result<Self, DerError> {
        let mut outer = Self::new(bytes);
        let inner = outer.nested(tag)?;
        outer.finish()?;
        Ok(inner)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Demands that nothing is left.
    pub fn finish(&self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::Trailing) }
    }

    /// The next element, whatever it is.
    pub(crate) fn element(&mut self) -> Result<Element<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerError::Truncated)?;
        // The long form of tags begins at number 31, which nothing that we read uses.
        if tag & 0x1f == 0x1f {
            return Err(DerError::Tag);
        }
        let (&first, after_first) = after_tag.split_first().ok_or(DerError::Truncated)?;
        let (len, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            // X.690 §10.1: definite and as short as possible. Four bytes are more than any limit on what is read.
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let digits = after_first.get(..count).ok_or(DerError::Truncated)?;
                let len = digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
                if len < 0x80 || digits[0] == 0 {
                    return Err(DerError::Length);
                }
                (len, 2 + count)
            }
            _ => return Err(DerError::Length),
        };
        if self.rest.len() - header < len {
            return Err(DerError::Truncated);
        }
        let (raw, rest) = self.rest.split_at(header + len);
        self.rest = rest;
        Ok(Element { tag, content: &raw[header..], raw })
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        let element = self.element()?;
        if element.tag == tag { Ok(element) } else { Err(DerError::Tag) }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.rest.first() == Some(&tag) { self.element().map(Some) } else { Ok(None) }
    }

    /// Demands that the next element is this one, byte by byte.
    pub fn exactly(&mut self, element: &[u8]) -> Result<(), DerError> {
        if self.element()?.raw == element { Ok(()) } else { Err(DerError::Value) }
    }

    /// A reader over the content of the next element, which must have this tag.
    pub fn nested(&mut self, tag: u8) -> Result<Self, DerError> {
        Ok(Self::new(self.expect(tag)?.content))
    }

    /// The bytes of the next object identifier, without tag and length.
    pub(crate) fn oid(&mut self) -> Result<&'a [u8], DerError> {
        let content = self.expect(tag::OID)?.content;
        check_oid(content)?;
        Ok(content)
    }

    /// A `BOOLEAN DEFAULT FALSE`, whose FALSE must be left out (X.690 §11.5).
    pub(crate) fn default_false(&mut self) -> Result<bool, DerError> {
        match self.optional(tag::BOOLEAN)? {
            None => Ok(false),
            Some(element) => flag(element.content),
        }
    }

    /// The content of a bit string that holds whole bytes, as keys and signatures do.
    pub(crate) fn bytes_in_bits(&mut self) -> Result<&'a [u8], DerError> {
        match self.expect(tag::BIT_STRING)?.content.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(DerError::BitString),
        }
    }

    /// A `UTCTime` or `GeneralizedTime` with the rule of RFC 5280 §4.1.2.5 about which years take which.
    pub(crate) fn time(&mut self) -> Result<UnixTime, DerError> {
        let element = self.element()?;
        time::read(element.tag, element.content)
    }
}

/// A small unsigned integer, such as a path length or a version.
pub(crate) fn small(content: &[u8]) -> Result<u32, DerError> {
    check_integer(content)?;
    if content[0] & 0x80 != 0 || content.len() > 4 {
        return Err(DerError::Integer);
    }
    Ok(content.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

/// A boolean that must be TRUE, because its default is FALSE.
pub(crate) fn flag(content: &[u8]) -> Result<bool, DerError> {
    if content == [0xff] { Ok(true) } else { Err(DerError::Boolean) }
}

/// A list of up to 16 named bits, bit 0 first, as the low bits of a number. Zeros at its end must be left out
/// (X.690 §11.2.2).
pub(crate) fn named_bits(content: &[u8]) -> Result<u16, DerError> {
    check_bit_string(content)?;
    let (&unused, bytes) = content.split_first().ok_or(DerError::BitString)?;
    match bytes.last() {
        None => return Ok(0),
        Some(last) if bytes.len() > 2 || last & (1 << unused) == 0 => return Err(DerError::BitString),
        Some(_) => {}
    }
    Ok(bytes.iter().enumerate().fold(0, |bits, (at, byte)| bits | u16::from(byte.reverse_bits()) << (8 * at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_bits_leave_out_their_last_zeros() {
        assert_eq!(named_bits(&[0x05, 0xa0]), Ok(0b101));
        assert_eq!(named_bits(&[0x07, 0x00, 0x80]), Ok(1 << 8));
        assert_eq!(named_bits(&[0x00]), Ok(0));
        for padded in [&[0x04, 0xa0][..], &[0x00, 0x80, 0x00], &[0x00, 0x00], &[0x00, 1, 1, 1]] {
            assert_eq!(named_bits(padded), Err(DerError::BitString), "{padded:02x?}");
        }
    }

    #[test]
    fn small_numbers_are_not_negative() {
        assert_eq!(small(&[0]), Ok(0));
        assert_eq!(small(&[0x00, 0xff]), Ok(255));
        assert_eq!(small(&[0xff]), Err(DerError::Integer));
        assert_eq!(small(&[1, 0, 0, 0, 0]), Err(DerError::Integer));
    }

    #[test]
    fn a_default_is_left_out() {
        assert_eq!(Reader::new(&[0x01, 0x01, 0xff]).default_false(), Ok(true));
        assert_eq!(Reader::new(&[0x02, 0x01, 0x05]).default_false(), Ok(false));
        assert_eq!(Reader::new(&[0x01, 0x01, 0x00]).default_false(), Err(DerError::Boolean));
    }
}
