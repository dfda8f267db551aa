//! Filed by the sections of RFC 8323.

use super::*;
use bytes::Bytes;

fn decode(bytes: &[u8]) -> Result<Option<Message>, FrameError> {
    Decoder::new(Limits::default()).decode(&mut BytesMut::from(bytes))
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    encode(message, &mut bytes);
    assert_eq!(bytes.len(), encoded_length(message));
    bytes.to_vec()
}

const TOKEN: [u8; 8] = [0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8];

/// What a device sends for the time: path, Accept and OCF's version.
const GET_TIME: &[u8] = b"\xd8\x0b\x01\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xbax.plgd.dev\x04time\x62\x27\x10\xe2\x06\xe3\x08\x00";

mod section_3_2_message_format {
    use super::*;

    #[test]
    fn what_a_device_sends_reads_and_writes() {
        let message = decode(GET_TIME).unwrap().unwrap();
        assert_eq!((message.code, message.token), (Code::GET, Token::from(TOKEN)));
        assert_eq!(message.options.path().collect::<Vec<_>>(), ["x.plgd.dev", "time"]);
        assert_eq!(message.options.accept(), Some(crate::coap::ContentFormat::OCF_CBOR));
        assert_eq!(encoded(&message), GET_TIME);
    }

    #[test]
    fn a_length_has_four_forms() {
        for (body, head) in [
            (2usize, &[0x20][..]),
            (12, &[0xc0]),
            (13, &[0xd0, 0]),
            (268, &[0xd0, 255]),
            (269, &[0xe0, 0, 0]),
            (65_804, &[0xe0, 0xff, 0xff]),
            (65_805, &[0xf0, 0, 0, 0, 0]),
            (70_000, &[0xf0, 0, 0, 0x10, 0x63]),
        ] {
            let message = Message::new(Code::CONTENT, Token::EMPTY).with_payload(vec![7; body - 1]);
            let bytes = encoded(&message);
            assert_eq!(&bytes[..head.len()], head);
            let limits = Limits { message: bytes.len(), ..Limits::default() };
            assert_eq!(Decoder::new(limits).decode(&mut BytesMut::from(&bytes[..])), Ok(Some(message)));
        }
    }

    #[test]
    fn token_lengths_nine_to_fifteen_are_reserved() {
        for length in 0..=15u8 {
            let bytes = [&[length, 1], &[7; 15][..usize::from(length)]].concat();
            match decode(&bytes) {
                Ok(message) => assert_eq!(message.unwrap().token.len(), usize::from(length)),
                Err(error) => assert!(length > 8 && error.rule == FrameRule::Token),
            }
        }
    }

    #[test]
    fn nothing_but_the_error_comes_out_of_a_broken_stream() {
        let mut decoder = Decoder::new(Limits::default());
        let mut arrived = BytesMut::from(&[0x10, 1, 0xff][..]);
        arrived.extend_from_slice(GET_TIME);
        let error = decoder.decode(&mut arrived).unwrap_err();
        assert_eq!(error, FrameError { rule: FrameRule::Options(OptionRule::EmptyPayload), header: Some((Code::GET, Token::EMPTY)) });
        assert_eq!(decoder.decode(&mut arrived), Err(error));
    }

    #[test]
    fn reserved_classes_are_refused_and_signals_are_not() {
        for class in 0..8 {
            let result = decode(&[0, Code::new(class, 1).byte()]);
            assert_eq!(result.is_err(), matches!(class, 1 | 6), "{class}");
        }
    }

    #[test]
    fn messages_come_out_however_the_stream_is_sliced() {
        let ping = Message::new(Code::PING, Token::from(TOKEN));
        let stream = [GET_TIME, &encoded(&ping), &[0, 0], GET_TIME].concat();
        for step in 1..stream.len() {
            let (mut decoder, mut arrived, mut messages) = (Decoder::new(Limits::default()), BytesMut::new(), Vec::new());
            for slice in stream.chunks(step) {
                arrived.extend_from_slice(slice);
                while let Some(message) = decoder.decode(&mut arrived).unwrap() {
                    messages.push(message.code);
                }
            }
            assert_eq!(messages, [Code::GET, Code::PING, Code::EMPTY, Code::GET]);
            assert!(arrived.is_empty());
        }
    }
}

mod section_5_3_1_max_message_size {
    use super::*;

    #[test]
    fn a_message_of_the_limit_is_read_and_one_byte_more_is_refused_before_it_arrives() {
        let limits = Limits { message: GET_TIME.len(), ..Limits::default() };
        assert!(Decoder::new(limits).decode(&mut BytesMut::from(GET_TIME)).unwrap().is_some());
        let limits = Limits { message: GET_TIME.len() - 1, ..limits };
        let error = Decoder::new(limits).decode(&mut BytesMut::from(&GET_TIME[..11])).unwrap_err();
        let rule = FrameRule::Long { length: GET_TIME.len() as u64, limit: limits.message };
        assert_eq!(error, FrameError { rule, header: Some((Code::GET, Token::from(TOKEN))) });
    }

    #[test]
    fn four_gigabytes_that_are_only_announced_take_nothing() {
        let mut arrived = BytesMut::from(&[0xf0, 0xff, 0xff, 0xff, 0xff, 1][..]);
        let error = Decoder::new(Limits::default()).decode(&mut arrived).unwrap_err();
        assert!(matches!(error.rule, FrameRule::Long { length: 0x1_0001_0112, .. }), "{error:?}");
        assert!(arrived.capacity() < 64);
    }

    #[test]
    fn room_is_made_in_small_steps_for_what_is_only_announced() {
        let limits = Limits { message: 1 << 30, ..Limits::default() };
        let mut arrived = BytesMut::from(&[0xf0, 0x20, 0, 0, 0, 1, 0xff][..]);
        assert_eq!(Decoder::new(limits).decode(&mut arrived), Ok(None));
        assert!(arrived.capacity() <= 2 * RESERVE_STEP);
    }
}

#[test]
fn a_payload_is_not_copied_until_it_is_to_be_kept() {
    let message = Message::new(Code::POST, Token::from(TOKEN)).with_payload(Bytes::from_static(&[7; 100]));
    let mut arrived = BytesMut::from(&encoded(&message)[..]);
    let at = arrived.as_ptr() as usize;
    let read = Decoder::new(Limits::default()).decode(&mut arrived).unwrap().unwrap();
    assert_eq!(read, message);
    assert_eq!(read.payload.as_ptr() as usize, at + encoded_length(&message) - 100);
    assert_eq!(read.detached(), message);
    assert_ne!(read.detached().payload.as_ptr(), read.payload.as_ptr());
}
