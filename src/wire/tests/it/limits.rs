//! What is beyond one limit of an endpoint is counted for that limit and for no other.

use crate::world::Seeded;
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{
    Block, BlockSize, Code, Datagram, Kind, Message, MessageId, OptionNumber, Options, OptionsBuilder, Token,
    endpoint::{Config, Counters, Endpoint, Limits, Request},
};
use std::{sync::Arc, time::Instant};

/// What an endpoint with these limits has counted, messages in general aside.
fn counted(limits: Limits, act: impl FnOnce(&mut Endpoint, Instant)) -> Counters {
    let now = Instant::now();
    let mut end = Endpoint::udp(Arc::new(Config { limits, ..Config::default() }), Seeded::new(1), now);
    act(&mut end, now);
    Counters { received: 0, sent: 0, malformed: 0, unexpected: 0, ..end.counters() }
}

fn saying(code: Code, id: u16, set: impl FnOnce(OptionsBuilder) -> OptionsBuilder, payload: usize) -> Bytes {
    let message = Message::new(code, Token::EMPTY).with_options(set(Options::builder()).build()).with_payload(vec![7; payload]);
    let mut bytes = BytesMut::new();
    Datagram { kind: Kind::Confirmable, id: MessageId(id), message }.encode(&mut bytes);
    bytes.freeze()
}

/// The first of several blocks, sixteen bytes.
fn beginning(id: u16, path: &str) -> Bytes {
    let block = Block::new(0, true, BlockSize::MIN).expect("a block");
    saying(Code::PUT, id, |options| options.path(path).expect("a path").block1(block), 16)
}

#[test]
fn messages_and_their_options_count_apart() {
    let long = counted(Limits { message: 64, ..Limits::default() }, |end, now| {
        end.handle_datagram(now, saying(Code::PUT, 1, |options| options, 100));
    });
    assert_eq!(long, Counters { refused_messages: 1, ..Counters::default() });
    let many = counted(Limits { options: 2, ..Limits::default() }, |end, now| {
        end.handle_datagram(now, saying(Code::GET, 1, |options| options.path("/a/b/c").expect("a path"), 0));
    });
    assert_eq!(many, Counters { refused_many_options: 1, ..Counters::default() });
}

#[test]
fn bodies_count_by_number_by_bytes_and_by_time() {
    let two = |end: &mut Endpoint, now| ["/a", "/b"].iter().zip(1..).for_each(|(path, id)| end.handle_datagram(now, beginning(id, path)));
    let many = counted(Limits { bodies: 1, ..Limits::default() }, two);
    assert_eq!(many, Counters { refused_bodies: 1, ..Counters::default() });
    let large = counted(Limits { body_bytes: 20, ..Limits::default() }, two);
    assert_eq!(large, Counters { refused_body_bytes: 1, ..Counters::default() });
    let silent = counted(Limits::default(), |end, now| {
        end.handle_datagram(now, beginning(1, "/a"));
        end.handle_timeout(now + Limits::default().body_lifetime);
    });
    assert_eq!(silent, Counters { silent_bodies: 1, ..Counters::default() });
}

#[test]
fn messages_of_which_copies_are_recognised_count_by_number_and_by_bytes() {
    let unknown = |id| saying(Code::GET, id, |options| options.push_raw(OptionNumber(65_001), b"").expect("an option"), 0);
    let two = |end: &mut Endpoint, now| [1, 2].into_iter().for_each(|id| end.handle_datagram(now, unknown(id)));
    let many = counted(Limits { dedup_entries: 1, ..Limits::default() }, two);
    assert_eq!(many, Counters { forgotten: 1, refused_options: 2, ..Counters::default() });
    let large = counted(Limits { dedup_bytes: 1, ..Limits::default() }, two);
    assert_eq!(large, Counters { forgotten_answers: 2, refused_options: 2, ..Counters::default() });
}

#[test]
fn what_is_sent_counts_by_line_by_requests_and_by_bytes() {
    let ask = |times: usize| {
        move |end: &mut Endpoint, now| {
            let refused = (0..times).filter(|_| end.request(now, Request::new(Code::GET)).is_err()).count();
            assert_eq!(refused, 1);
        }
    };
    // One is under way.
    let waiting = counted(Limits { waiting: 1, ..Limits::default() }, ask(3));
    assert_eq!(waiting, Counters { refused_waiting: 1, ..Counters::default() });
    let asked = counted(Limits { exchanges_out: 1, ..Limits::default() }, ask(2));
    assert_eq!(asked, Counters { refused_requests: 1, ..Counters::default() });
    let queued = counted(Limits { queue_bytes: 10, ..Limits::default() }, |end, now| {
        // Each is answered with four bytes.
        (0..3).for_each(|id| end.handle_datagram(now, saying(Code::EMPTY, id, |options| options, 0)));
    });
    assert_eq!(queued, Counters { dropped: 1, ..Counters::default() });
}
