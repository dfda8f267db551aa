//! RFC 9175: Echo and Request-Tag; RFC 7967: No-Response.

use crate::world::*;
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{
    Code, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options, Token,
    doorstep::{Doorstep, EchoKey, Knock},
    endpoint::{self, Config, Event, Failure, Request},
};
use proptest::prelude::*;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn world() -> World {
    World::udp(1, Network::GOOD, configs())
}

#[test]
fn section_2_3_a_request_is_repeated_with_the_echo_value_and_is_known_to_be_fresh() {
    for mut world in [world(), World::tcp(1, Network::GOOD, configs())] {
        let request = world.request(CLIENT, Request::new(Code::POST).options(path_options("/lock")).payload("open"));
        let first = world.incoming(SERVER);
        assert_eq!(first.fresh, None);
        world.ends[SERVER].demand_freshness(world.now, first.exchange).unwrap();
        let second = world.incoming(SERVER);
        assert_eq!(second.fresh, Some(Duration::from_millis(20)));
        assert_eq!((&second.message.payload[..], second.message.options.has(OptionNumber::ECHO)), (&b"open"[..], false));
        world.respond(SERVER, second.exchange, answer(Code::CHANGED));
        let (answered, message) = world.response(CLIENT);
        assert_eq!((answered, message.code), (request, Code::CHANGED));
    }
}

#[test]
fn section_2_3_a_body_in_blocks_passes_after_an_echo_too() {
    let mut world = world();
    world.request(CLIENT, Request::new(Code::PUT).options(path_options("/a")).payload(body(3000)));
    let first = world.incoming(SERVER);
    world.ends[SERVER].demand_freshness(world.now, first.exchange).unwrap();
    let second = world.incoming(SERVER);
    assert!(second.fresh.is_some());
    assert_eq!(second.message.payload, body(3000));
    world.respond(SERVER, second.exchange, content(body(2000)));
    assert_eq!(world.response(CLIENT).1.payload, body(2000));
}

#[test]
fn section_2_3_an_old_or_foreign_value_does_not_make_a_request_fresh() {
    let mut world = world();
    let value = |world: &mut World| {
        let incoming = world.incoming(SERVER);
        world.ends[SERVER].demand_freshness(world.now, incoming.exchange).unwrap();
        world.datagrams(SERVER)[0].message.options.first_shared(OptionNumber::ECHO).unwrap()
    };
    let ask = |id: u16, echo: &[u8]| {
        let options = Options::builder().push(OptionNumber::ECHO, echo).unwrap().build();
        Datagram { kind: Kind::NonConfirmable, id: MessageId(id), message: Message::new(Code::POST, Token::EMPTY).with_options(options) }
    };
    world.inject_datagram(SERVER, &ask(1, b"foreign!"));
    let echo = value(&mut world);
    world.inject_datagram(SERVER, &ask(2, &echo));
    assert_eq!(world.incoming(SERVER).fresh, Some(Duration::ZERO));
    world.inject_datagram(SERVER, &ask(3, b"foreign!"));
    assert_eq!(world.incoming(SERVER).fresh, None);
    world.run_for(Duration::from_secs(61));
    world.inject_datagram(SERVER, &ask(4, &echo));
    assert_eq!(world.incoming(SERVER).fresh, None);
}

#[test]
fn section_2_3_a_server_that_is_never_content_gets_no_endless_repetition() {
    let mut world = world();
    world.request(CLIENT, get("/a"));
    for _ in 0..3 {
        let incoming = world.incoming(SERVER);
        world.ends[SERVER].demand_freshness(world.now, incoming.exchange).unwrap();
    }
    assert_eq!(world.response(CLIENT).1.code, Code::UNAUTHORIZED);
}

#[test]
fn section_3_two_bodies_to_one_resource_are_told_apart_by_their_tags() {
    let mut world = world();
    let put = |fill: u8| Request::new(Code::PUT).options(path_options("/a")).payload(vec![fill; 4000]);
    for fill in [1, 2] {
        world.request(CLIENT, put(fill));
    }
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let incoming = world.incoming(SERVER);
        assert!(!incoming.message.options.has(OptionNumber::REQUEST_TAG));
        bodies.push(incoming.message.payload.clone());
        world.respond(SERVER, incoming.exchange, answer(Code::CHANGED));
    }
    bodies.sort();
    assert_eq!(bodies, [vec![1; 4000], vec![2; 4000]]);
}

#[test]
fn section_3_4_a_body_after_one_that_was_not_finished_has_a_tag_of_its_own() {
    let mut world = world();
    let put = |fill: u8| Request::new(Code::PUT).options(path_options("/a")).payload(vec![fill; 2000]);
    let first = world.request(CLIENT, put(1));
    world.run_for(Duration::from_millis(15));
    world.ends[CLIENT].cancel(world.now, first);
    assert_eq!(world.event(CLIENT), Event::Failed { request: first, why: Failure::Cancelled });
    world.request(CLIENT, put(2));
    assert_eq!(world.incoming(SERVER).message.payload, vec![2; 2000]);
    let tags: Vec<bool> = world.datagrams(CLIENT).iter().map(|sent| sent.message.options.has(OptionNumber::REQUEST_TAG)).collect();
    assert_eq!(tags, [false, true, true]);
}

#[test]
fn rfc7967_answers_of_the_classes_that_nobody_wants_are_not_sent() {
    for (classes, code, sent) in
        [(2, Code::CHANGED, false), (8, Code::CHANGED, true), (8, Code::NOT_FOUND, false), (26, Code::NOT_FOUND, false)]
    {
        let mut world = world();
        let options = Options::builder().uint(OptionNumber::NO_RESPONSE, classes).build();
        let request = world.request(CLIENT, Request::new(Code::POST).options(options).non_confirmable().timeout(Duration::from_secs(30)));
        let incoming = world.incoming(SERVER);
        world.respond(SERVER, incoming.exchange, answer(code));
        match world.event(CLIENT) {
            Event::Response { message, .. } => assert!(sent && message.code == code),
            other => assert_eq!((other, sent), (Event::Silent { request }, false)),
        }
    }
}

#[test]
fn rfc7967_a_confirmable_request_without_an_answer_is_acknowledged_all_the_same() {
    let mut world = world();
    let options = Options::builder().uint(OptionNumber::NO_RESPONSE, 26).build();
    let request = world.request(CLIENT, Request::new(Code::POST).options(options).timeout(Duration::from_secs(30)));
    let incoming = world.incoming(SERVER);
    world.respond(SERVER, incoming.exchange, answer(Code::CHANGED));
    assert_eq!(world.event(CLIENT), Event::Silent { request });
    let sent = world.datagrams(SERVER);
    assert_eq!((sent.len(), sent[0].kind, sent[0].message.code), (1, Kind::Acknowledgement, Code::EMPTY));
}

/// No MAC, but different for every address, number and key.
struct Mixed(u64);

impl EchoKey for Mixed {
    fn code(&self, peer: &[u8], number: u64) -> [u8; 8] {
        let seed = peer.iter().fold(self.0 ^ number, |seed, byte| seed.wrapping_mul(257) ^ u64::from(*byte));
        Seeded::new(seed).next().to_be_bytes()
    }
}

fn doorstep(now: Instant) -> Doorstep {
    Doorstep::new(Arc::new(Mixed(7)), now, Duration::from_secs(60))
}

fn encoded(datagram: &Datagram) -> Bytes {
    let mut bytes = BytesMut::new();
    datagram.encode(&mut bytes);
    bytes.freeze()
}

fn request(path: &str, echo: Option<&[u8]>) -> Bytes {
    let options = Options::builder().path(path).expect("the path is short");
    let options = match echo {
        Some(echo) => options.push(OptionNumber::ECHO, echo).expect("the value is short"),
        None => options,
    };
    let message = Message::new(Code::GET, Token::from([1; 8])).with_options(options.build());
    encoded(&Datagram { kind: Kind::Confirmable, id: MessageId(5), message })
}

/// The Echo value that an unknown address is asked to bring back.
fn challenge(doorstep: &Doorstep, now: Instant, peer: &[u8], path: &str) -> Option<Bytes> {
    match doorstep.knock(now, peer, &request(path, None), &Limits::default()) {
        Knock::Challenge(bytes) | Knock::TooShort(bytes) => {
            let answer = Datagram::parse(bytes, &Limits::default()).expect("an answer can be read");
            assert_eq!((answer.kind, answer.id, answer.message.code), (Kind::Acknowledgement, MessageId(5), Code::UNAUTHORIZED));
            answer.message.options.first_shared(OptionNumber::ECHO)
        }
        other => panic!("{other:?} to an unknown address"),
    }
}

#[test]
fn section_2_4_an_address_is_let_in_when_it_brings_the_value_back_in_time() {
    let now = Instant::now();
    let doorstep = doorstep(now);
    let echo = challenge(&doorstep, now, b"192.0.2.1:5683", "/oic/res/long").unwrap();
    assert_eq!(echo.len(), 8);
    let back = request("/oic/res/long", Some(&echo));
    let knock = |peer: &[u8], seconds| doorstep.knock(now + Duration::from_secs(seconds), peer, &back, &Limits::default());
    assert_eq!(knock(b"192.0.2.1:5683", 0), Knock::Enter);
    assert_eq!(knock(b"192.0.2.1:5683", 119), Knock::Enter);
    assert!(matches!(knock(b"192.0.2.1:5683", 120), Knock::Challenge(_)));
    assert!(matches!(knock(b"192.0.2.2:5683", 0), Knock::Challenge(_)));
}

#[test]
fn section_2_4_a_short_request_gets_a_short_value_and_a_very_short_one_none() {
    let now = Instant::now();
    let lengths = |doorstep: &Doorstep, path| challenge(doorstep, now, b"a", path).map(|echo| echo.len());
    let doorstep = doorstep(now);
    assert_eq!(lengths(&doorstep, "/time"), Some(3));
    assert_eq!(lengths(&doorstep, "/a"), None);
    assert!(matches!(doorstep.knock(now, b"a", &request("/a", None), &Limits::default()), Knock::TooShort(_)));
    let echo = challenge(&doorstep, now, b"a", "/time").unwrap();
    assert_eq!(doorstep.knock(now, b"a", &request("/time", Some(&echo)), &Limits::default()), Knock::Enter);
    assert!(matches!(doorstep.knock(now, b"a", &request("/time", Some(&echo[..2])), &Limits::default()), Knock::Challenge(_)));
}

proptest! {
    #[test]
    fn nothing_that_an_unknown_address_sends_is_answered_with_more_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64), version in any::<bool>()) {
        let now = Instant::now();
        let mut bytes = bytes;
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = 0x40 | *first & 0x3f;
        }
        let bytes = Bytes::from(bytes);
        match doorstep(now).knock(now, b"a", &bytes, &Limits::default()) {
            Knock::Challenge(answer) | Knock::TooShort(answer) | Knock::Reject(answer) => prop_assert!(answer.len() <= bytes.len()),
            other => prop_assert_eq!(other, Knock::Ignore),
        }
    }
}

#[test]
fn a_client_comes_in_over_the_doorstep_by_itself() {
    let random = Seeded::new(3);
    let now = Instant::now();
    let mut client = endpoint::Endpoint::udp(Arc::new(Config::default()), random, now);
    client.request(now, get("/oic/res")).unwrap();
    let doorstep = doorstep(now);
    let first = client.poll_transmit(now).unwrap();
    let Knock::Challenge(answer) = doorstep.knock(now, b"a", &first, &Limits::default()) else { panic!("nobody is let in at once") };
    assert!(answer.len() <= first.len());
    client.handle_datagram(now, answer);
    let second = client.poll_transmit(now).unwrap();
    assert_eq!(doorstep.knock(now, b"a", &second, &Limits::default()), Knock::Enter);
}
