//! RFC 7252: messages, requests and answers over UDP.

use crate::world::*;
use bytes::Bytes;
use gatehouse_wire::coap::{
    Code, Datagram, Kind, Message, MessageId, OptionNumber, Options, Token,
    endpoint::{Config, Event, Failure, Limits, Reliability, RequestError},
};
use std::time::Duration;

fn world() -> World {
    World::udp(1, Network::GOOD, configs())
}

fn datagram(kind: Kind, id: u16, code: Code, token: u8) -> Datagram {
    Datagram { kind, id: MessageId(id), message: Message::new(code, Token::new(&[token]).expect("one byte is a token")) }
}

fn kinds(sent: &[Datagram]) -> Vec<(Kind, Code)> {
    sent.iter().map(|datagram| (datagram.kind, datagram.message.code)).collect()
}

#[test]
fn section_2_2_an_answer_in_time_travels_with_the_acknowledgement() {
    let mut world = world();
    let request = world.request(CLIENT, get("/time"));
    let incoming = world.incoming(SERVER);
    assert_eq!(incoming.message.options.path().collect::<Vec<_>>(), ["time"]);
    world.respond(SERVER, incoming.exchange, content("now"));
    let (answered, message) = world.response(CLIENT);
    assert_eq!((answered, message.code, &message.payload[..]), (request, Code::CONTENT, &b"now"[..]));
    world.run_for(Duration::from_secs(300));
    assert_eq!(kinds(&world.datagrams(CLIENT)), [(Kind::Confirmable, Code::GET)]);
    assert_eq!(kinds(&world.datagrams(SERVER)), [(Kind::Acknowledgement, Code::CONTENT)]);
    assert!(world.ends.iter().all(|end| end.is_idle() && end.usage() == Default::default()));
}

#[test]
fn section_2_2_a_late_answer_travels_alone_after_an_empty_acknowledgement() {
    let mut world = world();
    world.request(CLIENT, get("/slow"));
    let incoming = world.incoming(SERVER);
    world.run_for(Duration::from_secs(8));
    world.respond(SERVER, incoming.exchange, content("at last"));
    assert_eq!(world.response(CLIENT).1.payload, "at last");
    world.run_for(Duration::from_secs(100));
    assert_eq!(kinds(&world.datagrams(CLIENT)), [(Kind::Confirmable, Code::GET), (Kind::Acknowledgement, Code::EMPTY)]);
    assert_eq!(kinds(&world.datagrams(SERVER)), [(Kind::Acknowledgement, Code::EMPTY), (Kind::Confirmable, Code::CONTENT)]);
}

#[test]
fn section_2_2_a_non_confirmable_request_gets_a_non_confirmable_answer() {
    let mut world = world();
    world.request(CLIENT, get("/a").non_confirmable());
    let incoming = world.incoming(SERVER);
    world.respond(SERVER, incoming.exchange, content("b"));
    world.response(CLIENT);
    assert_eq!(kinds(&world.datagrams(CLIENT)), [(Kind::NonConfirmable, Code::GET)]);
    assert_eq!(kinds(&world.datagrams(SERVER)), [(Kind::NonConfirmable, Code::CONTENT)]);
}

#[test]
fn section_4_2_a_silent_peer_gets_four_repetitions_and_then_the_request_fails() {
    let mut world = world();
    world.network.loss_percent = 100;
    let request = world.request(CLIENT, get("/a"));
    assert_eq!(world.event(CLIENT), Event::Failed { request, why: Failure::Timeout });
    let sent = world.datagrams(CLIENT);
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|datagram| *datagram == sent[0]), "a repetition is the same message");
    assert!(world.ends[CLIENT].is_idle());
}

#[test]
fn section_4_2_an_acknowledgement_stops_the_repetition_and_the_answer_is_still_awaited() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a").timeout(Duration::from_secs(50)));
    let _never_answered = world.incoming(SERVER);
    assert_eq!(world.event(CLIENT), Event::Response { request, message: unanswered(&mut world, request), observing: false });
    assert_eq!(kinds(&world.datagrams(CLIENT))[0], (Kind::Confirmable, Code::GET));

    fn unanswered(world: &mut World, _: gatehouse_wire::coap::endpoint::RequestId) -> Message {
        let sent = world.sent[CLIENT].first().cloned().unwrap();
        let token = Datagram::parse(sent, &Default::default()).unwrap().message.token;
        Message::new(Code::SERVICE_UNAVAILABLE, token)
    }
}

#[test]
fn section_4_2_a_reset_fails_the_request() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a"));
    let id = world.datagrams(CLIENT)[0].id;
    world.inject_datagram(CLIENT, &Datagram::empty(Kind::Reset, id));
    assert_eq!(world.event(CLIENT), Event::Failed { request, why: Failure::Reset });
}

#[test]
fn section_4_2_what_cannot_be_placed_is_reset_if_it_is_confirmable_and_ignored_if_not() {
    let mut world = world();
    let unknown = [
        (datagram(Kind::Confirmable, 1, Code::CONTENT, 9), true),
        (datagram(Kind::NonConfirmable, 2, Code::CONTENT, 9), false),
        (datagram(Kind::Acknowledgement, 3, Code::CONTENT, 9), false),
        (datagram(Kind::Acknowledgement, 4, Code::GET, 9), false),
        (Datagram::empty(Kind::Acknowledgement, MessageId(5)), false),
        (Datagram::empty(Kind::Reset, MessageId(6)), false),
        (datagram(Kind::Reset, 7, Code::CONTENT, 9), false),
        (Datagram::empty(Kind::NonConfirmable, MessageId(8)), false),
    ];
    for (datagram, reset) in unknown {
        world.inject_datagram(SERVER, &datagram);
        let expected = if reset { vec![Datagram::empty(Kind::Reset, datagram.id)] } else { vec![] };
        assert_eq!(world.datagrams(SERVER), expected, "{datagram:?}");
    }
    assert!(world.events[SERVER].is_empty());
}

#[test]
fn section_4_2_a_format_error_is_reset_if_it_is_confirmable_and_ignored_if_not() {
    let mut world = world();
    for (first, reset) in [(0x40, true), (0x50, false), (0x60, false), (0x70, false), (0x80, false), (0x4f, true)] {
        world.inject(SERVER, Bytes::from(vec![first, 1, 0x12, 0x34, 0xff]));
        let expected = if reset { vec![Datagram::empty(Kind::Reset, MessageId(0x1234))] } else { vec![] };
        assert_eq!(world.datagrams(SERVER), expected, "{first:02x}");
    }
    assert_eq!(world.ends[SERVER].counters().malformed, 6);
}

#[test]
fn section_4_2_an_acknowledgement_with_a_request_acknowledges_nothing() {
    let mut world = world();
    world.network.loss_percent = 100;
    world.request(CLIENT, get("/a"));
    let sent = world.datagrams(CLIENT)[0].clone();
    let nonsense = Datagram { kind: Kind::Acknowledgement, id: sent.id, message: Message::new(Code::GET, sent.message.token) };
    world.inject_datagram(CLIENT, &nonsense);
    let stranger = Datagram { message: Message::new(Code::CONTENT, Token::from([0; 8])), ..nonsense };
    world.inject_datagram(CLIENT, &stranger);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.datagrams(CLIENT).len(), 1, "the request is repeated");
}

#[test]
fn section_4_3_an_empty_confirmable_message_is_answered_with_a_reset_which_is_a_pong() {
    let mut world = world();
    let ping = world.ends[CLIENT].ping(world.now);
    assert_eq!(world.event(CLIENT), Event::Pong { ping, custody: false });
    assert_eq!(kinds(&world.datagrams(SERVER)), [(Kind::Reset, Code::EMPTY)]);
}

#[test]
fn section_4_5_a_copy_gets_the_same_answer_and_the_application_hears_of_it_once() {
    let mut world = world();
    let request = datagram(Kind::Confirmable, 77, Code::POST, 1);
    world.inject_datagram(SERVER, &request);
    let incoming = world.incoming(SERVER);
    world.inject_datagram(SERVER, &request);
    assert_eq!(world.datagrams(SERVER), [], "there is no answer yet");
    world.respond(SERVER, incoming.exchange, answer(Code::CHANGED));
    let first = world.datagrams(SERVER);
    assert_eq!(kinds(&first), [(Kind::Acknowledgement, Code::CHANGED)]);
    for _ in 0..3 {
        world.inject_datagram(SERVER, &request);
        assert_eq!(world.datagrams(SERVER), first);
    }
    assert!(world.events[SERVER].is_empty());
    assert_eq!(world.ends[SERVER].counters().duplicates, 4);
}

#[test]
fn section_4_5_a_copy_of_a_request_that_is_answered_later_gets_the_acknowledgement_again() {
    let mut world = world();
    let request = datagram(Kind::Confirmable, 77, Code::POST, 1);
    world.inject_datagram(SERVER, &request);
    let _exchange = world.incoming(SERVER);
    world.run_for(Duration::from_secs(1));
    let acknowledgement = world.datagrams(SERVER);
    assert_eq!(kinds(&acknowledgement), [(Kind::Acknowledgement, Code::EMPTY)]);
    world.inject_datagram(SERVER, &request);
    assert_eq!(world.datagrams(SERVER), acknowledgement);
}

#[test]
fn section_4_5_an_id_means_something_new_when_its_lifetime_is_over() {
    let mut world = world();
    for (seconds, kind) in [(247, Kind::Confirmable), (145, Kind::NonConfirmable)] {
        let request = datagram(kind, seconds as u16, Code::POST, 1);
        world.inject_datagram(SERVER, &request);
        assert!(matches!(world.events[SERVER].pop_front(), Some(Event::Request(_))));
        world.run_for(Duration::from_secs(seconds - 1));
        world.inject_datagram(SERVER, &request);
        assert!(world.events[SERVER].is_empty());
        world.run_for(Duration::from_secs(1));
        world.inject_datagram(SERVER, &request);
        assert!(matches!(world.events[SERVER].pop_front(), Some(Event::Request(_))));
    }
}

#[test]
fn section_4_7_a_second_request_waits_for_the_first_and_the_line_is_bounded() {
    let limits = Limits { waiting: 2, ..Limits::default() };
    let mut world = World::udp(1, Network::GOOD, [Config { limits, ..Config::default() }, Config::default()]);
    for _ in 0..3 {
        world.request(CLIENT, get("/a"));
    }
    assert_eq!(world.ends[CLIENT].request(world.now, get("/a")), Err(RequestError::Busy));
    assert_eq!(world.datagrams(CLIENT).len(), 1);
    for place in 0..3 {
        let incoming = world.incoming(SERVER);
        world.respond(SERVER, incoming.exchange, content(vec![place]));
        assert_eq!(world.response(CLIENT).1.payload[..], [place]);
    }
}

#[test]
fn section_4_7_with_nstart_2_two_requests_are_under_way_at_once() {
    let reliability = Reliability { nstart: 2, ..Reliability::default() };
    let mut world = World::udp(1, Network::GOOD, [Config { reliability, ..Config::default() }, Config::default()]);
    for _ in 0..3 {
        world.request(CLIENT, get("/a"));
    }
    assert_eq!(world.datagrams(CLIENT).len(), 2);
}

#[test]
fn section_5_2_an_answer_to_a_cancelled_request_is_rejected() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a"));
    let incoming = world.incoming(SERVER);
    world.ends[CLIENT].cancel(world.now, request);
    assert_eq!(world.event(CLIENT), Event::Failed { request, why: Failure::Cancelled });
    world.run_for(Duration::from_secs(1));
    world.respond(SERVER, incoming.exchange, content("late"));
    world.run_for(Duration::from_secs(10));
    assert_eq!(kinds(&world.datagrams(CLIENT)), [(Kind::Confirmable, Code::GET), (Kind::Reset, Code::EMPTY)]);
    assert_eq!(kinds(&world.datagrams(SERVER)).len(), 2, "and is not repeated");
}

#[test]
fn section_5_4_1_an_unknown_critical_option_is_answered_4_02_and_an_unknown_elective_one_is_passed_on() {
    let mut world = world();
    for (number, known) in [(2049, false), (65_001, false), (65_000, true)] {
        let options = Options::builder().path("/a").unwrap().uint(OptionNumber(number), 2048).build();
        world.request(CLIENT, gatehouse_wire::coap::endpoint::Request::new(Code::GET).options(options));
        if known {
            assert!(world.incoming(SERVER).message.options.has(OptionNumber(number)));
        } else {
            let (_, message) = world.response(CLIENT);
            assert_eq!(message.code, Code::BAD_OPTION);
            assert!(String::from_utf8_lossy(&message.payload).contains("not known"), "{:?}", message.payload);
        }
    }
}

#[test]
fn section_5_4_1_a_critical_option_that_the_application_knows_is_passed_on() {
    let config = Config { known_options: vec![OptionNumber::OCF_ACCEPT_VERSION], ..Config::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), config]);
    let options = Options::builder().uint(OptionNumber::OCF_ACCEPT_VERSION, 2048).build();
    world.request(CLIENT, gatehouse_wire::coap::endpoint::Request::new(Code::GET).options(options));
    assert_eq!(world.incoming(SERVER).message.options.uint(OptionNumber::OCF_ACCEPT_VERSION), Some(2048));
}

#[test]
fn section_5_4_1_an_answer_with_an_unknown_critical_option_fails_the_request() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a"));
    let incoming = world.incoming(SERVER);
    let options = Options::builder().uint(OptionNumber(65_001), 1).build();
    world.respond(SERVER, incoming.exchange, answer(Code::CONTENT).with_options(options));
    assert_eq!(world.event(CLIENT), Event::Failed { request, why: Failure::BadOption });
}

#[test]
fn section_5_9_3_4_more_requests_than_the_bound_get_5_03_with_max_age() {
    let config = Config { limits: Limits { exchanges_in: 1, ..Limits::default() }, ..Config::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), config]);
    world.inject_datagram(SERVER, &datagram(Kind::Confirmable, 1, Code::GET, 1));
    world.inject_datagram(SERVER, &datagram(Kind::Confirmable, 2, Code::GET, 2));
    let sent = world.datagrams(SERVER);
    assert_eq!(kinds(&sent), [(Kind::Acknowledgement, Code::SERVICE_UNAVAILABLE)]);
    assert_eq!(sent[0].message.options.max_age(), 5);
    let first = world.incoming(SERVER);
    world.respond(SERVER, first.exchange, content("a"));
    world.inject_datagram(SERVER, &datagram(Kind::Confirmable, 3, Code::GET, 3));
    assert!(matches!(world.event(SERVER), Event::Request(_)));
}

#[test]
fn tokens_of_the_two_directions_are_independent() {
    let mut world = world();
    let ours = world.request(CLIENT, get("/a"));
    let sent = world.datagrams(CLIENT)[0].clone();
    // The peer asks with the very same token.
    world.inject_datagram(CLIENT, &Datagram { id: MessageId(sent.id.0 ^ 1), ..sent.clone() });
    let theirs = world.incoming(CLIENT);
    world.respond(CLIENT, theirs.exchange, content("theirs"));
    let incoming = world.incoming(SERVER);
    world.respond(SERVER, incoming.exchange, content("ours"));
    assert_eq!(world.response(CLIENT), (ours, Message { token: sent.message.token, ..content("ours") }));
}
