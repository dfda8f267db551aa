//! Reading DER, strictly.
//!
//! Certificates, requests and revocation lists come from peers, so their encoding is judged before anything is
//! looked up in it: [`check`] walks the whole element once and refuses whatever BER allows and DER does not
//! (X.690 §8, §10, §11), deep nesting and trailing bytes. Afterwards a [`Reader`] takes it apart.
//!
//! This module knows no certificate. It copies nothing and allocates nothing.

use gatehouse_types::UnixTime;

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DerError {
    /// The bytes end inside an element.
    #[error("the encoding ends too early")]
    Truncated,
    /// Something follows the end.
    #[error("there are bytes after the end")]
    Trailing,
    /// There are more bytes than this kind of thing may have.
    #[error("it is larger than allowed")]
    TooLarge,
    /// A length in indefinite form or in more bytes than it needs.
    #[error("a length is not in its shortest definite form")]
    Length,
    /// Another element was expected here, or this one is unknown.
    #[error("an element has an unexpected tag")]
    Tag,
    /// A primitive type in constructed form, or the reverse.
    #[error("an element is constructed and should not be, or the reverse")]
    Constructed,
    /// An integer without content or with a needless first byte.
    #[error("an integer is not in its shortest form")]
    Integer,
    /// A boolean other than 00 and FF, or one that repeats its default.
    #[error("a boolean is not canonical")]
    Boolean,
    /// Unused bits that are set, or a list of named bits with zeros at its end.
    #[error("a bit string is not canonical")]
    BitString,
    /// A NULL with content.
    #[error("a null has content")]
    Null,
    /// An object identifier with a padded or unfinished arc.
    #[error("an object identifier is malformed")]
    Oid,
    /// Characters that the string's type does not have.
    #[error("a string has characters that its type does not allow")]
    Text,
    /// A time that is not of the one form that certificates use, or that does not exist.
    #[error("a time is malformed")]
    Time,
    /// The elements of a SET OF are not sorted.
    #[error("a set is not sorted")]
    SetOrder,
    /// More levels than [`MAX_DEPTH`].
    #[error("elements are nested too deeply")]
    Depth,
}

/// How deeply elements may be nested; certificates need nine.
pub const MAX_DEPTH: usize = 16;

/// The tags that this crate meets.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const TELETEX_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const VISIBLE_STRING: u8 = 0x1a;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// `[n]` of a primitive type, implicit.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[n]` explicit, or implicit of a constructed type.
    pub(crate) const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// One element: its tag, its content, and both with the length between them as they were encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) raw: &'a [u8],
}

/// Takes elements one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// Checks that the bytes are one element in DER and nothing else.
pub(crate) fn check(bytes: &[u8], max_len: usize) -> Result<(), DerError> {
    if bytes.len() > max_len {
        return Err(DerError::TooLarge);
    }
    let mut reader = Reader::new(bytes);
    check_element(reader.element()?, MAX_DEPTH)?;
    reader.finish()
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The content of the one element with this tag that the bytes are.
    pub(crate) fn only(bytes: &'a [u8], tag: u8) -> Result<Self, DerError> {
        let mut outer = Self::new(bytes);
        let inner = outer.nested(tag)?;
        outer.finish()?;
        Ok(inner)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Demands that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), DerError> {
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
            // X.690 §10.1: definite and as short as possible. Three bytes are more than any limit here.
            0x81..=0x83 => {
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
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        let element = self.element()?;
        if element.tag == tag { Ok(element) } else { Err(DerError::Tag) }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.rest.first() == Some(&tag) { self.element().map(Some) } else { Ok(None) }
    }

    /// A reader over the content of the next element, which must have this tag.
    pub(crate) fn nested(&mut self, tag: u8) -> Result<Self, DerError> {
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
        let (year, rest) = match element.tag {
            tag::UTC_TIME => {
                let (short, rest) = element.content.split_at_checked(2).ok_or(DerError::Time)?;
                let year = decimal(short)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            tag::GENERALIZED_TIME => {
                let (long, rest) = element.content.split_at_checked(4).ok_or(DerError::Time)?;
                let year = decimal(long)?;
                if (1950..2050).contains(&year) {
                    return Err(DerError::Time);
                }
                (year, rest)
            }
            _ => return Err(DerError::Tag),
        };
        time_of(year, rest)
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

fn check_element(element: Element<'_>, depth: usize) -> Result<(), DerError> {
    let depth = depth.checked_sub(1).ok_or(DerError::Depth)?;
    let content = element.content;
    match element.tag {
        tag::SEQUENCE => check_children(content, depth),
        tag::SET => check_set(content, depth),
        // A class of its own: primitive content is for whoever knows the type, constructed content are elements.
        0x40..=0xff if element.tag & 0x20 != 0 => check_children(content, depth),
        0x40..=0xff => Ok(()),
        tag::BOOLEAN => {
            if content == [0] || content == [0xff] {
                Ok(())
            } else {
                Err(DerError::Boolean)
            }
        }
        tag::INTEGER | tag::ENUMERATED => check_integer(content),
        tag::BIT_STRING => check_bit_string(content),
        tag::OCTET_STRING => Ok(()),
        tag::NULL => {
            if content.is_empty() {
                Ok(())
            } else {
                Err(DerError::Null)
            }
        }
        tag::OID => check_oid(content),
        tag::UTC_TIME | tag::GENERALIZED_TIME => check_time(element),
        tag::UTF8_STRING
        | tag::NUMERIC_STRING
        | tag::PRINTABLE_STRING
        | tag::TELETEX_STRING
        | tag::IA5_STRING
        | tag::VISIBLE_STRING
        | tag::UNIVERSAL_STRING
        | tag::BMP_STRING => check_text(element.tag, content),
        other if other & 0x20 != 0 || other == 0x10 || other == 0x11 => Err(DerError::Constructed),
        _ => Err(DerError::Tag),
    }
}

fn check_children(content: &[u8], depth: usize) -> Result<(), DerError> {
    let mut reader = Reader::new(content);
    while !reader.is_empty() {
        check_element(reader.element()?, depth)?;
    }
    Ok(())
}

/// X.690 §11.6: the elements ascend. No encoding is the beginning of another, so comparing slices is enough.
fn check_set(content: &[u8], depth: usize) -> Result<(), DerError> {
    let mut reader = Reader::new(content);
    let mut previous: &[u8] = &[];
    while !reader.is_empty() {
        let element = reader.element()?;
        if element.raw < previous {
            return Err(DerError::SetOrder);
        }
        previous = element.raw;
        check_element(element, depth)?;
    }
    Ok(())
}

fn check_integer(content: &[u8]) -> Result<(), DerError> {
    match content {
        [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(DerError::Integer),
        _ => Ok(()),
    }
}

fn check_bit_string(content: &[u8]) -> Result<(), DerError> {
    match content {
        [0] => Ok(()),
        [unused @ 0..=7, .., last] if last.trailing_zeros() >= u32::from(*unused) => Ok(()),
        _ => Err(DerError::BitString),
    }
}

pub(crate) fn check_oid(content: &[u8]) -> Result<(), DerError> {
    let mut starts_arc = true;
    for byte in content {
        if starts_arc && *byte == 0x80 {
            return Err(DerError::Oid);
        }
        starts_arc = byte & 0x80 == 0;
    }
    if starts_arc && !content.is_empty() { Ok(()) } else { Err(DerError::Oid) }
}

fn check_text(tag: u8, content: &[u8]) -> Result<(), DerError> {
    let fits = match tag {
        tag::UTF8_STRING => std::str::from_utf8(content).is_ok(),
        tag::NUMERIC_STRING => content.iter().all(|byte| byte.is_ascii_digit() || *byte == b' '),
        tag::PRINTABLE_STRING => content.iter().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(byte)),
        tag::IA5_STRING => content.is_ascii(),
        tag::VISIBLE_STRING => content.iter().all(|byte| matches!(byte, b' '..=b'~')),
        tag::UNIVERSAL_STRING => content.len().is_multiple_of(4),
        tag::BMP_STRING => content.len().is_multiple_of(2),
        _ => true,
    };
    if fits { Ok(()) } else { Err(DerError::Text) }
}

fn check_time(element: Element<'_>) -> Result<(), DerError> {
    let year_digits = if element.tag == tag::UTC_TIME { 2 } else { 4 };
    let (year, rest) = element.content.split_at_checked(year_digits).ok_or(DerError::Time)?;
    let year = decimal(year)?;
    // For the days of February any century will do here: 2000 had a 29th, and 1900 is judged by who reads it.
    time_of(if year_digits == 2 { 2000 + year } else { year }, rest).map(drop)
}

/// `MMDDHHMMSSZ`, the only form that RFC 5280 §4.1.2.5 leaves, in a year.
fn time_of(year: i64, rest: &[u8]) -> Result<UnixTime, DerError> {
    let [digits @ .., b'Z'] = rest else { return Err(DerError::Time) };
    if digits.len() != 10 {
        return Err(DerError::Time);
    }
    let field = |at: usize| decimal(&digits[2 * at..2 * at + 2]);
    let (month, day, hour, minute, second) = (field(0)?, field(1)?, field(2)?, field(3)?, field(4)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return Err(DerError::Time),
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(DerError::Time);
    }
    // Days since 1970 by counting from a first of March, so that a leap day comes last in its year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400) + (153 * months + 2) / 5 + day - 719_469;
    Ok(UnixTime::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

fn decimal(digits: &[u8]) -> Result<i64, DerError> {
    digits
        .iter()
        .try_fold(0, |value, digit| if digit.is_ascii_digit() { Ok(value * 10 + i64::from(digit - b'0')) } else { Err(DerError::Time) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> Result<(), DerError> {
        check(bytes, 1000)
    }

    #[test]
    fn canonical_elements_are_accepted() {
        for good in [
            &[0x30, 0x00][..],
            &[0x01, 0x01, 0xff],
            &[0x02, 0x01, 0x00],
            &[0x02, 0x02, 0x00, 0x80],
            &[0x02, 0x01, 0x80],
            &[0x03, 0x01, 0x00],
            &[0x03, 0x02, 0x05, 0xa0],
            &[0x05, 0x00],
            &[0x06, 0x03, 0x55, 0x1d, 0x0f],
            &[0x13, 0x01, b'?'],
            &[0x31, 0x06, 0x0c, 0x01, b'a', 0x0c, 0x01, b'b'],
            &[0x80, 0x02, 0xff, 0xff],
            b"\x17\x0d260102030405Z",
            b"\x18\x0f99991231235959Z",
        ] {
            assert_eq!(verdict(good), Ok(()), "{good:02x?}");
        }
    }

    #[test]
    fn what_ber_allows_and_der_does_not_is_refused() {
        for (bad, error) in [
            (&[0x30, 0x80, 0x00, 0x00][..], DerError::Length),
            (&[0x30, 0x81, 0x02, 0x05, 0x00], DerError::Length),
            (&[0x30, 0x82, 0x00, 0x80], DerError::Length),
            (&[0x30, 0x84, 0x00, 0x00, 0x00, 0x00], DerError::Length),
            (&[0x30, 0x01], DerError::Truncated),
            (&[0x30, 0x81], DerError::Truncated),
            (&[0x30], DerError::Truncated),
            (&[], DerError::Truncated),
            (&[0x30, 0x00, 0x00], DerError::Trailing),
            (&[0x1f, 0x01, 0x00], DerError::Tag),
            (&[0x00, 0x00], DerError::Tag),
            (&[0x09, 0x00], DerError::Tag),
            (&[0x24, 0x00], DerError::Constructed),
            (&[0x10, 0x00], DerError::Constructed),
            (&[0x01, 0x01, 0x01], DerError::Boolean),
            (&[0x01, 0x00], DerError::Boolean),
            (&[0x02, 0x00], DerError::Integer),
            (&[0x02, 0x02, 0x00, 0x7f], DerError::Integer),
            (&[0x02, 0x02, 0xff, 0x80], DerError::Integer),
            (&[0x03, 0x00], DerError::BitString),
            (&[0x03, 0x01, 0x01], DerError::BitString),
            (&[0x03, 0x02, 0x05, 0xb0], DerError::BitString),
            (&[0x03, 0x02, 0x08, 0x00], DerError::BitString),
            (&[0x05, 0x01, 0x00], DerError::Null),
            (&[0x06, 0x00], DerError::Oid),
            (&[0x06, 0x02, 0x55, 0x80], DerError::Oid),
            (&[0x06, 0x03, 0x55, 0x80, 0x01], DerError::Oid),
            (&[0x0c, 0x01, 0xff], DerError::Text),
            (&[0x13, 0x01, b'@'], DerError::Text),
            (&[0x16, 0x01, 0x80], DerError::Text),
            (&[0x1e, 0x01, 0x00], DerError::Text),
            (&[0x31, 0x06, 0x0c, 0x01, b'b', 0x0c, 0x01, b'a'], DerError::SetOrder),
            (b"\x17\x0b2601020304Z", DerError::Time),
            (b"\x17\x102601020304+0000Z", DerError::Time),
            (b"\x17\x0d260230000000Z", DerError::Time),
            (b"\x17\x0d261301000000Z", DerError::Time),
            (b"\x17\x0d260101240000Z", DerError::Time),
            (b"\x17\x0d260101000060Z", DerError::Time),
            (b"\x18\x1120260101000000.5Z", DerError::Time),
        ] {
            assert_eq!(verdict(bad), Err(error), "{bad:02x?}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert_eq!(check(&[0x30, 0x00], 1), Err(DerError::TooLarge));
        let nested = |levels: usize| {
            (0..levels)
                .fold(Vec::new(), |inner: Vec<u8>, _| [&[0x30, u8::try_from(inner.len()).expect("short")], inner.as_slice()].concat())
        };
        assert_eq!(verdict(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(verdict(&nested(MAX_DEPTH + 1)), Err(DerError::Depth));
    }

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
    fn years_decide_the_form_of_a_time() {
        // RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
        let read = |bytes: &[u8]| Reader::new(bytes).time().map(|time| time.to_string());
        assert_eq!(read(b"\x17\x0d500101000000Z").as_deref(), Ok("1950-01-01T00:00:00Z"));
        assert_eq!(read(b"\x17\x0d491231235959Z").as_deref(), Ok("2049-12-31T23:59:59Z"));
        assert_eq!(read(b"\x17\x0d000229120000Z").as_deref(), Ok("2000-02-29T12:00:00Z"));
        assert_eq!(read(b"\x18\x0f20500101000000Z").as_deref(), Ok("2050-01-01T00:00:00Z"));
        assert_eq!(read(b"\x18\x0f99991231235959Z").as_deref(), Ok("9999-12-31T23:59:59Z"));
        assert_eq!(read(b"\x18\x0f20491231235959Z"), Err(DerError::Time));
        assert_eq!(read(b"\x18\x0f21000229000000Z"), Err(DerError::Time));
        assert_eq!(read(b"\x02\x01\x00"), Err(DerError::Tag));
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
