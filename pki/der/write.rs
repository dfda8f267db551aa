//! Writing DER: elements made of parts that are DER already.
//!
//! Revocation lists are written by `rcgen`, and what a certificate says by `append`, into one buffer. This writes the rest:
//! requests, CMS messages, what is signed with its signature, and the numbers that tokens give as bare bytes. Whoever calls it
//! answers for the parts, whose content is not looked at.

use super::{append, tag};
use gatehouse_types::UnixTime;

/// One element made of these parts, with the shortest form of length (X.690 §10.1).
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(len + 6);
    der.push(tag);
    if len < 0x80 {
        der.push(len as u8);
    } else {
        let digits = len.to_be_bytes();
        let digits = &digits[len.leading_zeros() as usize / 8..];
        der.push(0x80 | digits.len() as u8);
        der.extend_from_slice(digits);
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// A SEQUENCE of these parts.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// `[number]` explicit, or implicit of a constructed type.
pub fn context(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag::context_constructed(number), parts)
}

/// A SET of these parts, in this order. A SET OF wants them ascending (X.690 §11.6).
pub fn set(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SET, parts)
}

/// A BIT STRING of whole bytes, as keys and signatures are.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], bytes])
}

/// What was signed, the identifier of the algorithm in DER, and the signature: a certificate or a revocation list.
pub fn signed(to_be_signed: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    sequence(&[to_be_signed, algorithm, &bits(signature)])
}

/// An OCTET STRING.
pub fn octets(bytes: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, &[bytes])
}

/// An INTEGER below 128, such as a version.
pub const fn small(number: u8) -> [u8; 3] {
    assert!(number < 0x80, "the sign bit is not set");
    [tag::INTEGER, 1, number]
}

/// An INTEGER that is not negative, from its magnitude with or without zeros in front.
pub fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let significant = &magnitude[zeros..];
    // X.690 §8.3: a zero in front where the number would else be negative, or have no byte at all.
    let sign: &[u8] = if significant.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    element(tag::INTEGER, &[sign, significant])
}

/// A time in the type that its year takes (RFC 5280 §4.1.2.5, RFC 5652 §11.3).
pub fn time(at: UnixTime) -> Vec<u8> {
    let mut der = Vec::with_capacity(17);
    append::time(&mut der, at);
    der
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::{Reader, check};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(content in prop::collection::vec(any::<u8>(), 0..70_000), cut in any::<prop::sample::Index>()) {
            let (front, back) = content.split_at(cut.index(content.len() + 1));
            let whole = element(tag::OCTET_STRING, &[front, back]);
            prop_assert_eq!(check(&whole, whole.len()), Ok(()));
            let mut reader = Reader::new(&whole);
            prop_assert_eq!(reader.expect(tag::OCTET_STRING).map(|element| element.content), Ok(content.as_slice()));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn numbers_have_their_shortest_form(magnitude in prop::collection::vec(any::<u8>(), 0..40)) {
            let written = unsigned(&magnitude);
            prop_assert_eq!(check(&written, written.len()), Ok(()));
            let significant = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
            prop_assert_eq!(significant(&written[2..]), significant(&magnitude));
        }

        #[test]
        fn times_take_the_type_of_their_year(secs in -62_135_596_800..253_402_300_800_i64) {
            let at = UnixTime::from_secs(secs);
            prop_assert_eq!(Reader::new(&time(at)).time(), Ok(at));
        }
    }

    #[test]
    fn lengths_grow_by_a_byte_where_they_must() {
        for (len, header) in [
            (0x7f, &[0x04, 0x7f][..]),
            (0x80, &[0x04, 0x81, 0x80]),
            (0xff, &[0x04, 0x81, 0xff]),
            (0x100, &[0x04, 0x82, 0x01, 0x00]),
            (0xffff, &[0x04, 0x82, 0xff, 0xff]),
            (0x1_0000, &[0x04, 0x83, 0x01, 0x00, 0x00]),
            (0x100_0000, &[0x04, 0x84, 0x01, 0x00, 0x00, 0x00]),
        ] {
            let written = octets(&vec![0; len]);
            assert_eq!(&written[..written.len() - len], header);
            assert_eq!(Reader::new(&written).element().map(|element| element.content.len()), Ok(len));
        }
    }

    #[test]
    fn zero_has_one_byte() {
        for magnitude in [&[][..], &[0], &[0, 0]] {
            assert_eq!(unsigned(magnitude), small(0));
        }
        assert_eq!(unsigned(&[0, 0x80]), [0x02, 0x02, 0x00, 0x80]);
        assert_eq!(unsigned(&[0, 0x7f]), [0x02, 0x01, 0x7f]);
    }
}
