//! What is written is read again, and what is cut is refused or waited for.

use crate::generator::{Draw, datagram, mutate};
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{Code, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options, Token, tcp};
use proptest::prelude::*;

fn options() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let number = prop_oneof![0u16..70, 240u16..300, any::<u16>()];
    let value = prop_oneof![8 => prop::collection::vec(any::<u8>(), 0..20), 1 => prop::collection::vec(any::<u8>(), 250..300)];
    prop::collection::vec((number, value), 0..12)
}

prop_compose! {
    fn message()(
        code in any::<u8>().prop_map(Code::from_byte).prop_filter("neither empty nor reserved", |code| code.is_request() || code.is_response()),
        token in prop::collection::vec(any::<u8>(), 0..=8),
        options in options(),
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) -> (Message, Vec<(u16, Vec<u8>)>) {
        let built = options.iter().fold(Options::builder(), |all, (number, value)| all.push_raw(OptionNumber(*number), value).expect("short enough"));
        let token = Token::new(&token).expect("short enough");
        (Message { code, token, options: built.build(), payload: payload.into() }, options)
    }
}

proptest! {
    #[test]
    fn options_are_the_ones_that_were_added_sorted_by_number((message, mut added) in message()) {
        added.sort_by_key(|(number, _)| *number);
        let read: Vec<_> = message.options.iter().map(|(number, value)| (number.0, value.to_vec())).collect();
        prop_assert_eq!(read, added);
    }

    #[test]
    fn a_datagram_is_read_as_it_was_written((message, _) in message(), id in any::<u16>()) {
        for kind in [Kind::Confirmable, Kind::NonConfirmable, Kind::Acknowledgement, Kind::Reset] {
            let datagram = Datagram { kind, id: MessageId(id), message: message.clone() };
            let mut bytes = BytesMut::new();
            datagram.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), datagram.encoded_length());
            prop_assert_eq!(Datagram::parse(bytes.freeze(), &Limits::default()), Ok(datagram));
        }
    }

    #[test]
    fn a_datagram_that_is_cut_never_passes_for_the_whole((message, _) in message()) {
        let datagram = Datagram { kind: Kind::Confirmable, id: MessageId(7), message };
        let mut bytes = BytesMut::new();
        datagram.encode(&mut bytes);
        let bytes = bytes.freeze();
        for length in 0..bytes.len() {
            prop_assert_ne!(Datagram::parse(bytes.slice(..length), &Limits::default()), Ok(datagram.clone()));
        }
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_a_cut_one_is_waited_for((message, _) in message()) {
        let mut bytes = BytesMut::new();
        tcp::encode(&message, &mut bytes);
        prop_assert_eq!(bytes.len(), tcp::encoded_length(&message));
        for length in 0..bytes.len() {
            let mut decoder = tcp::Decoder::new(Limits::default());
            let mut arrived = BytesMut::from(&bytes[..length]);
            prop_assert_eq!(decoder.decode(&mut arrived), Ok(None), "{}", length);
            arrived.extend_from_slice(&bytes[length..]);
            prop_assert_eq!(decoder.decode(&mut arrived), Ok(Some(message.clone())));
        }
    }
}

#[test]
fn both_transports_carry_the_same_messages() {
    let (mut draw, mut bytes, mut seen) = (Draw::new(8323), Vec::new(), 0);
    for _ in 0..50_000 {
        datagram(&mut draw, &mut bytes);
        let Ok(read) = Datagram::parse(Bytes::copy_from_slice(&bytes), &Limits::default()) else { continue };
        let mut frame = BytesMut::new();
        tcp::encode(&read.message, &mut frame);
        assert_eq!(tcp::Decoder::new(Limits::default()).decode(&mut frame), Ok(Some(read.message)));
        assert!(frame.is_empty());
        seen += 1;
    }
    assert!(seen > 40_000);
}

#[test]
fn a_broken_stream_says_the_same_however_it_is_sliced() {
    let (mut draw, mut bytes) = (Draw::new(3), Vec::new());
    for _ in 0..2_000 {
        let mut stream = Vec::new();
        for _ in 0..4 {
            datagram(&mut draw, &mut bytes);
            let read = Datagram::parse(Bytes::copy_from_slice(&bytes), &Limits::default()).expect("a good message");
            let mut frame = BytesMut::new();
            tcp::encode(&read.message, &mut frame);
            stream.extend_from_slice(&frame);
        }
        mutate(&mut draw, &mut stream);
        let whole = drain(&stream, stream.len());
        for step in [1, 2, 7, 64] {
            assert_eq!(drain(&stream, step), whole, "{stream:02x?}");
        }
    }
}

/// What comes out of a stream that arrives in slices: the messages, and whether it broke.
fn drain(stream: &[u8], step: usize) -> (Vec<Message>, Option<tcp::FrameError>) {
    let (mut decoder, mut arrived, mut messages) = (tcp::Decoder::new(Limits::default()), BytesMut::new(), Vec::new());
    for slice in stream.chunks(step.max(1)) {
        arrived.extend_from_slice(slice);
        loop {
            match decoder.decode(&mut arrived) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
