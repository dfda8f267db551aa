//! Whether bytes are DER at all: one walk over everything, before anything is looked up in it.

use super::{DerError, Element, MAX_DEPTH, Reader, tag, time};

/// Checks that the bytes are one element in DER and nothing else, and no more of them than `max_len`.
pub fn check(bytes: &[u8], max_len: usize) -> Result<(), DerError> {
    if bytes.len() > max_len {
        return Err(DerError::TooLarge);
    }
    let mut reader = Reader::new(bytes);
    check_element(reader.element()?, MAX_DEPTH)?;
    reader.finish()
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
        tag::UTC_TIME | tag::GENERALIZED_TIME => time::check(element.tag, content),
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

pub(super) fn check_integer(content: &[u8]) -> Result<(), DerError> {
    match content {
        [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(DerError::Integer),
        _ => Ok(()),
    }
}

pub(super) fn check_bit_string(content: &[u8]) -> Result<(), DerError> {
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
            (&[0x30, 0x84, 0x00, 0xff, 0xff, 0xff], DerError::Length),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], DerError::Truncated),
            (&[0x30, 0x85, 0x00, 0x00, 0x00, 0x01, 0x00], DerError::Length),
            (&[0x30, 0xff], DerError::Length),
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
}
