//! RFC 8949 §3 and appendix F.

use super::*;
use proptest::prelude::*;

fn check(bytes: &[u8]) -> Result<(), CborError> {
    Reader::new(bytes).finish()
}

#[test]
fn appendix_f_what_ends_too_early_is_truncated() {
    for bytes in [
        &b""[..],
        b"\x18",
        b"\x19\x00",
        b"\x1b\x01\x02\x03\x04\x05\x06\x07",
        b"\x41",
        b"\x61",
        b"\x5a\xff\xff\xff\xff\x00",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03",
        b"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x81",
        b"\x82\x00",
        b"\xa1",
        b"\xa2\x01\x02",
        b"\xa1\x00",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x00",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x00",
        b"\xc0",
        b"\x5f\x41\x00",
        b"\x7f\x61\x61",
        b"\x9f\x01",
        b"\xbf\x01\x02",
        b"\xf8",
        b"\xf9\x00",
        b"\xfb\x00\x00\x00",
    ] {
        assert_eq!(check(bytes), Err(CborError::Truncated), "{bytes:02x?}");
    }
}

#[test]
fn appendix_f_reserved_initial_bytes_are_refused() {
    for major in 0..8u8 {
        for short in 28..=30 {
            let initial = major << 5 | short;
            assert_eq!(check(&[initial, 0, 0, 0, 0, 0, 0, 0, 0]), Err(CborError::Initial(initial)));
        }
    }
    for initial in [0x1f, 0x3f, 0xdf] {
        assert_eq!(check(&[initial]), Err(CborError::Initial(initial)));
    }
    for simple in 0..32 {
        assert_eq!(check(&[0xf8, simple]), Err(CborError::Initial(0xf8)), "{simple}");
    }
    assert_eq!(Reader::new(&[0xf8, 32]).read(), Ok(Some(Event::Simple(32))));
}

#[test]
fn appendix_f_a_break_ends_only_what_has_no_length() {
    for bytes in [&b"\xff"[..], b"\x81\xff", b"\x82\x00\xff", b"\xa1\xff", b"\xa1\xff\x00", b"\xc0\xff", b"\xbf\x00\xff", b"\x9f\x81\xff"] {
        assert_eq!(check(bytes), Err(CborError::Break), "{bytes:02x?}");
    }
    for bytes in [&b"\x9f\xff"[..], b"\xbf\xff", b"\xbf\x00\x00\xff", b"\x5f\xff", b"\x7f\xff"] {
        assert_eq!(check(bytes), Ok(()), "{bytes:02x?}");
    }
}

#[test]
fn appendix_f_a_chunk_is_a_string_of_the_same_kind_and_of_known_length() {
    for bytes in [
        &b"\x5f\x00\xff"[..],
        b"\x5f\x61\x00\xff",
        b"\x5f\x5f\xff\xff",
        b"\x7f\x41\x00\xff",
        b"\x7f\x7f\xff\xff",
        b"\x5f\xc0\x40\xff",
        b"\x5f\xf6\xff",
    ] {
        assert_eq!(check(bytes), Err(CborError::Chunk), "{bytes:02x?}");
    }
}

#[test]
fn a_text_is_utf8_in_every_chunk() {
    assert_eq!(check(b"\x62\xc3\xbc"), Ok(()));
    assert_eq!(check(b"\x61\xc3"), Err(CborError::Text));
    assert_eq!(check(b"\x7f\x61\xc3\x61\xbc\xff"), Err(CborError::Text));
}

#[test]
fn what_follows_the_item_is_refused() {
    assert_eq!(check(b"\x00\x00"), Err(CborError::Trailing(1)));
    assert_eq!(check(b"\x80\xff\xff"), Err(CborError::Trailing(2)));
}

#[test]
fn as_deep_as_the_bound_is_read_and_one_level_more_is_not() {
    for container in [&b"\x81"[..], b"\x9f", b"\xc1", b"\xa1\x00", b"\xbf\x00"] {
        let mut reader_of = container.repeat(MAX_DEPTH);
        reader_of.push(0);
        reader_of.extend(if matches!(container[0], 0x9f | 0xbf) { vec![0xff; MAX_DEPTH] } else { vec![] });
        assert_eq!(check(&reader_of), Ok(()));
        assert_eq!(check(&container.repeat(MAX_DEPTH + 1)), Err(CborError::Deep));
    }
}

#[test]
fn every_container_that_begins_ends() {
    let mut reader = Reader::new(b"\xa1\x61a\x9f\x01\x82\x02\xc1\x03\xff");
    let mut events = Vec::new();
    while let Some(event) = reader.read().unwrap() {
        events.push(event);
    }
    assert_eq!(
        events,
        [
            Event::Map(Some(1)),
            Event::Text("a"),
            Event::Array(None),
            Event::Unsigned(1),
            Event::Array(Some(2)),
            Event::Unsigned(2),
            Event::Tag(1),
            Event::Unsigned(3),
            Event::End,
            Event::End,
            Event::End,
            Event::End,
        ]
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_in_as_many_steps_as_they_have_at_most_twice(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&bytes);
        let mut steps = 0;
        while let Ok(Some(_)) = reader.read() {
            steps += 1;
        }
        prop_assert!(steps <= 2 * bytes.len());
    }
}
