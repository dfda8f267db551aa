//! Appending DER to one buffer: lengths are put in once they are known.
//!
//! For what is written often: [`within`] opens an element of any depth, the others append whole ones, and nothing is
//! allocated on the way. Nothing is checked either; whatever is about to be signed is read back by the strict half of DER.

use super::tag;
use gatehouse_types::UnixTime;

/// Appends an element with the content that `write` appends.
pub fn within(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    write(out);
    let len = out.len() - start;
    // X.690 §10.1: definite and as short as possible.
    if len < 0x80 {
        out.insert(start, len as u8);
    } else {
        let leading = len.leading_zeros() as usize / 8;
        let digits = &len.to_be_bytes()[leading..];
        let content = start + 1 + digits.len();
        out.resize(content + len, 0);
        out.copy_within(start..start + len, content);
        out[start] = 0x80 | digits.len() as u8;
        out[start + 1..content].copy_from_slice(digits);
    }
}

/// Appends an element with this content.
pub fn element(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    within(out, tag, |out| out.extend_from_slice(content));
}

/// Appends an OBJECT IDENTIFIER with these arcs, of which there are two at least (X.690 §8.19).
pub(crate) fn oid(out: &mut Vec<u8>, arcs: &[u64]) {
    let [first, second, rest @ ..] = arcs else { return };
    within(out, tag::OID, |out| {
        for arc in std::iter::once(first * 40 + second).chain(rest.iter().copied()) {
            // Seven bits a byte, the highest first; all bytes but the last of an arc are marked.
            let groups = (u64::BITS - arc.leading_zeros()).div_ceil(7).max(1);
            out.extend((0..groups).rev().map(|group| (arc >> (7 * group)) as u8 & 0x7f | if group > 0 { 0x80 } else { 0 }));
        }
    });
}

/// Appends a list of up to nine named bits, bit 0 first in `bits`, without zeros at its end (X.690 §11.2.2).
pub(crate) fn named_bits(out: &mut Vec<u8>, bits: u16) {
    let bytes = bits.reverse_bits().to_be_bytes();
    let used = (u16::BITS - bits.leading_zeros()).div_ceil(8) as usize;
    within(out, tag::BIT_STRING, |out| {
        out.push(bits.leading_zeros() as u8 % 8);
        out.extend_from_slice(&bytes[..used]);
    });
}

/// Appends a time in the form that its year takes (RFC 5280 §4.1.2.5). Fractions of a second are left out.
pub(crate) fn time(out: &mut Vec<u8>, time: UnixTime) {
    let date_time = time.to_date_time();
    let (year, month) = (date_time.year().unsigned_abs(), u32::from(u8::from(date_time.month())));
    let rest = [month, date_time.day().into(), date_time.hour().into(), date_time.minute().into(), date_time.second().into()];
    let short = (1950..2050).contains(&year);
    within(out, if short { tag::UTC_TIME } else { tag::GENERALIZED_TIME }, |out| {
        let century = Some(year / 100).filter(|_| !short);
        for pair in century.into_iter().chain([year % 100]).chain(rest) {
            out.extend_from_slice(&[b'0' + (pair / 10) as u8, b'0' + (pair % 10) as u8]);
        }
        out.push(b'Z');
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::{self, Reader};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn every_length_is_written_in_its_shortest_form() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; len];
            let bytes = written(|out| within(out, tag::SEQUENCE, |out| element(out, tag::OCTET_STRING, &content)));
            assert_eq!(der::check(&bytes, bytes.len()), Ok(()), "{len}");
            let mut inside = Reader::only(&bytes, tag::SEQUENCE).expect("a sequence");
            assert_eq!(inside.expect(tag::OCTET_STRING).expect("octets").content, content);
        }
    }

    #[test]
    fn object_identifiers_have_seven_bits_a_byte() {
        let encoded = written(|out| oid(out, &[1, 3, 6, 1, 4, 1, 44924, 1, 6]));
        assert_eq!(encoded, [6, 10, 0x2b, 6, 1, 4, 1, 0x82, 0xde, 0x7c, 1, 6]);
        assert_eq!(written(|out| oid(out, &[2, 5, 4, 0])), [6, 3, 0x55, 4, 0]);
        assert_eq!(written(|out| oid(out, &[2, 999, u64::MAX]))[2..5], [0x88, 0x37, 0x81]);
    }

    #[test]
    fn named_bits_come_back() {
        for bits in [0, 1, 1 << 4, 0b10001, 0b110_0000, 1 << 7, 1 << 8, 0x1ff] {
            let bytes = written(|out| named_bits(out, bits));
            assert_eq!(der::check(&bytes, bytes.len()), Ok(()));
            assert_eq!(der::named_bits(&bytes[2..]), Ok(bits), "{bits:b}");
        }
    }

    #[test]
    fn times_come_back_in_the_form_of_their_year() {
        for text in ["1950-01-01T00:00:00Z", "2026-11-21T13:24:05Z", "2049-12-31T23:59:59Z"] {
            let moment: UnixTime = text.parse().expect("a time");
            let bytes = written(|out| time(out, moment));
            assert_eq!((bytes[0], Reader::new(&bytes).time()), (tag::UTC_TIME, Ok(moment)));
        }
        for text in ["1949-12-31T23:59:59Z", "2050-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            let moment: UnixTime = text.parse().expect("a time");
            let bytes = written(|out| time(out, moment));
            assert_eq!((bytes[0], Reader::new(&bytes).time()), (tag::GENERALIZED_TIME, Ok(moment)));
        }
        let fraction = written(|out| time(out, UnixTime::from_millis(1_999)));
        assert_eq!(fraction, b"\x17\x0d700101000001Z");
    }
}
