//! RFC 8323: connections, their signals, and the devices that follow only some of it.

use crate::world::*;
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{
    Code, Limits, Message, OptionNumber, Options, Token,
    endpoint::{self, Closed, Config, Event, Failure, KeepAlive, RequestError, TcpStyle},
    signal::Release,
    tcp,
};
use std::time::Duration;

fn world() -> World {
    World::tcp(1, Network::GOOD, configs())
}

fn device() -> Config {
    Config { tcp: TcpStyle::DEVICE, ..Config::default() }
}

/// A server for devices, and the device played by the test: it says nothing that the test does not say.
fn with_device(config: Config) -> World {
    World::tcp(1, Network { loss_percent: 100, ..Network::GOOD }, [Config::default(), config])
}

fn frame(message: &Message) -> Bytes {
    let mut bytes = BytesMut::new();
    tcp::encode(message, &mut bytes);
    bytes.freeze()
}

/// What an end has sent since the last call. Each item has to be exactly one message.
fn messages(world: &mut World, of: usize) -> Vec<Message> {
    world.collect();
    let whole = |bytes: Bytes| {
        let mut bytes = BytesMut::from(&bytes[..]);
        let message = tcp::Decoder::new(Limits::default()).decode(&mut bytes).ok().flatten().expect("an item is a whole message");
        assert!(bytes.is_empty(), "an item is no more than one message");
        message
    };
    world.sent[of].drain(..).map(whole).collect()
}

fn codes(messages: &[Message]) -> Vec<Code> {
    messages.iter().map(|message| message.code).collect()
}

#[test]
fn a_request_is_answered_in_both_directions_of_one_connection() {
    let mut world = world();
    for (asking, answering) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
        let request = world.request(asking, get("/a"));
        let incoming = world.incoming(answering);
        world.respond(answering, incoming.exchange, content("b"));
        let (answered, message) = world.response(asking);
        assert_eq!((answered, message.payload), (request, Bytes::from_static(b"b")));
    }
    world.run_for(Duration::from_secs(3600));
    assert!(world.ends.iter().all(endpoint::Endpoint::is_idle));
}

#[test]
fn section_3_3_our_csm_goes_first_and_waits_for_nothing() {
    let mut world = with_device(Config::default());
    world.request(SERVER, get("/a"));
    assert_eq!(codes(&messages(&mut world, SERVER)), [Code::CSM, Code::GET]);
}

#[test]
fn section_5_3_a_general_csm_announces_size_and_blocks_and_one_to_a_device_nothing() {
    let mut world = World::tcp(1, Network::GOOD, [Config::default(), device()]);
    let general = messages(&mut world, CLIENT).remove(0);
    let options: Vec<_> = general.options.iter().map(|(number, value)| (number.0, value.to_vec())).collect();
    assert_eq!(options, [(2, vec![4, 0, 0]), (4, vec![])]);
    let bytes = world.sent[SERVER][0].clone();
    assert_eq!(bytes[..2], [0x08, 0xe1]);
    assert_eq!(bytes.len(), 10);
}

#[test]
fn section_5_3_a_first_message_that_is_no_csm_ends_a_general_connection_and_not_one_of_a_device() {
    let get = frame(&Message::new(Code::GET, Token::from([1; 8])));
    let mut world = with_device(Config::default());
    world.inject(SERVER, get.clone());
    assert!(matches!(world.event(SERVER), Event::Closed { why: Closed::Refused { .. } }));
    assert_eq!(codes(&messages(&mut world, SERVER)), [Code::CSM, Code::ABORT]);
    let mut world = with_device(device());
    world.inject(SERVER, get);
    assert!(matches!(world.event(SERVER), Event::Request(_)));
}

#[test]
fn section_5_3_1_the_peer_gets_1152_bytes_until_its_csm_says_more() {
    let mut world = with_device(Config::default());
    let large = || get("/a").payload(body(1500));
    assert_eq!(world.ends[SERVER].request(world.now, large()), Err(RequestError::TooLarge));
    let options = Options::builder().uint(OptionNumber(2), 8192).build();
    world.inject(SERVER, frame(&Message::new(Code::CSM, Token::EMPTY).with_options(options)));
    world.request(SERVER, large());
    assert_eq!(messages(&mut world, SERVER)[1].payload, body(1500));
}

#[test]
fn section_5_3_an_unknown_critical_option_in_a_csm_is_an_abort_that_names_it_and_an_elective_one_is_ignored() {
    let mut world = with_device(Config::default());
    let csm = |number| {
        let options = Options::builder().empty(OptionNumber(number)).build();
        frame(&Message::new(Code::CSM, Token::EMPTY).with_options(options))
    };
    world.inject(SERVER, csm(6));
    assert!(!world.ends[SERVER].is_closed());
    world.inject(SERVER, csm(7));
    assert!(matches!(world.event(SERVER), Event::Closed { why: Closed::Refused { .. } }));
    let abort = messages(&mut world, SERVER).pop().unwrap();
    assert_eq!((abort.code, abort.options.uint(OptionNumber(2))), (Code::ABORT, Some(7)));
    assert!(String::from_utf8_lossy(&abort.payload).contains('7'));
}

#[test]
fn section_5_4_a_ping_gets_a_pong_with_its_token() {
    let mut world = with_device(device());
    world.inject(SERVER, Bytes::from_static(b"\x08\xe2\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8"));
    world.collect();
    assert_eq!(world.sent[SERVER][1][..], b"\x08\xe3\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8"[..]);
}

#[test]
fn section_5_4_1_custody_waits_for_the_requests_before_it_but_not_for_ever() {
    let custody = Options::builder().empty(OptionNumber(2)).build();
    let ping = frame(&Message::new(Code::PING, Token::from([2; 8])).with_options(custody.clone()));
    let get = frame(&Message::new(Code::GET, Token::from([1; 8])));
    for answered in [true, false] {
        let mut world = with_device(device());
        world.inject(SERVER, get.clone());
        world.inject(SERVER, ping.clone());
        let incoming = world.incoming(SERVER);
        assert_eq!(codes(&messages(&mut world, SERVER)), [Code::CSM]);
        if answered {
            world.respond(SERVER, incoming.exchange, content("a"));
        } else {
            world.run_for(Duration::from_secs(2));
        }
        let pong = messages(&mut world, SERVER).pop().unwrap();
        assert_eq!((pong.code, pong.options.all(OptionNumber(2)).count()), (Code::PONG, usize::from(answered)));
    }
    let mut world = with_device(device());
    world.inject(SERVER, ping);
    assert_eq!(messages(&mut world, SERVER)[1], Message::new(Code::PONG, Token::from([2; 8])).with_options(custody));
}

#[test]
fn our_ping_is_answered_by_the_pong_with_its_token_alone() {
    let mut world = world();
    world.run_for(Duration::from_secs(1));
    let ping = world.ends[CLIENT].ping(world.now);
    world.inject(CLIENT, frame(&Message::new(Code::PONG, Token::from([9; 8]))));
    assert!(world.events[CLIENT].is_empty());
    assert_eq!(world.event(CLIENT), Event::Pong { ping, custody: false });
}

#[test]
fn a_pong_without_a_token_answers_the_oldest_ping_as_libcoap_means_it() {
    let mut world = with_device(device());
    let now = world.now;
    let pings = [world.ends[SERVER].ping(now), world.ends[SERVER].ping(now)];
    for ping in pings {
        world.inject(SERVER, frame(&Message::new(Code::PONG, Token::EMPTY)));
        assert_eq!(world.event(SERVER), Event::Pong { ping, custody: false });
    }
    world.inject(SERVER, frame(&Message::new(Code::PONG, Token::EMPTY)));
    assert!(world.events[SERVER].is_empty());
}

#[test]
fn section_5_5_a_release_finishes_what_is_under_way_on_both_sides_and_begins_nothing() {
    let mut world = world();
    let theirs = world.request(CLIENT, get("/slow"));
    let incoming = world.incoming(SERVER);
    let now = world.now;
    world.ends[SERVER].release(now);
    assert_eq!(world.ends[SERVER].request(now, get("/b")), Err(RequestError::Closed));
    assert_eq!(world.event(CLIENT), Event::PeerReleased(Release::default()));
    assert_eq!(world.ends[CLIENT].request(now, get("/b")), Err(RequestError::Closed));
    assert!(!world.ends.iter().any(endpoint::Endpoint::is_closed));
    world.respond(SERVER, incoming.exchange, content("done"));
    assert_eq!(world.event(SERVER), Event::Closed { why: Closed::Released });
    let (answered, message) = world.response(CLIENT);
    assert_eq!((answered, message.payload), (theirs, Bytes::from_static(b"done")));
    assert_eq!(world.event(CLIENT), Event::Closed { why: Closed::Released });
    assert!(codes(&messages(&mut world, SERVER)).contains(&Code::RELEASE));
}

#[test]
fn section_5_5_a_request_after_our_release_gets_5_03() {
    let mut world = with_device(device());
    world.inject(SERVER, frame(&Message::new(Code::GET, Token::from([1; 8]))));
    let incoming = world.incoming(SERVER);
    world.ends[SERVER].release(world.now);
    world.inject(SERVER, frame(&Message::new(Code::GET, Token::from([2; 8]))));
    let sent = messages(&mut world, SERVER);
    assert_eq!(codes(&sent), [Code::CSM, Code::RELEASE, Code::SERVICE_UNAVAILABLE]);
    world.respond(SERVER, incoming.exchange, content("a"));
    assert_eq!(world.event(SERVER), Event::Closed { why: Closed::Released });
}

#[test]
fn section_5_6_an_abort_of_the_peer_fails_what_is_under_way_and_is_told_with_its_words() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a"));
    world.incoming(SERVER);
    world.inject(CLIENT, frame(&Message::new(Code::ABORT, Token::EMPTY).with_payload("no more")));
    assert_eq!(world.event(CLIENT), Event::Failed { request, why: Failure::Closed });
    assert_eq!(world.event(CLIENT), Event::Closed { why: Closed::Aborted { diagnostic: "no more".into() } });
    assert_eq!(world.ends[CLIENT].poll_timeout(), None);
}

#[test]
fn section_5_6_a_frame_that_breaks_a_rule_is_answered_with_an_abort_that_says_which() {
    let mut world = with_device(device());
    world.inject(SERVER, Bytes::from_static(b"\x09\x01"));
    assert!(matches!(world.event(SERVER), Event::Closed { why: Closed::Refused { .. } }));
    let abort = messages(&mut world, SERVER).pop().unwrap();
    assert_eq!(abort.code, Code::ABORT);
    assert!(String::from_utf8_lossy(&abort.payload).contains("token"));
}

#[test]
fn a_message_over_the_limit_ends_the_connection_before_it_has_arrived() {
    let config = Config { limits: endpoint::Limits { message: 4096, ..Default::default() }, ..device() };
    let mut world = with_device(config);
    world.inject(SERVER, frame(&Message::new(Code::POST, Token::from([1; 8])).with_payload(body(4000))));
    assert!(matches!(world.event(SERVER), Event::Request(_)));
    let long = frame(&Message::new(Code::POST, Token::from([1; 8])).with_payload(body(4096)));
    world.inject(SERVER, long.slice(..20));
    assert!(matches!(world.event(SERVER), Event::Closed { why: Closed::Refused { .. } }));
}

#[test]
fn nothing_to_a_device_is_shorter_than_7_bytes_or_longer_than_7_kib() {
    let mut world = with_device(device());
    for token in 0..=8 {
        let token = Token::new(&[5; 8][..token]).unwrap();
        world.inject(SERVER, frame(&Message::new(Code::PING, token)));
        world.inject(SERVER, frame(&Message::new(Code::GET, token)));
        let incoming = world.incoming(SERVER);
        world.respond(SERVER, incoming.exchange, answer(Code::VALID));
    }
    world.request(SERVER, get("/a").payload(body(7100)));
    assert_eq!(world.ends[SERVER].request(world.now, get("/a").payload(body(7168))), Err(RequestError::TooLarge));
    world.inject(SERVER, frame(&Message::new(Code::GET, Token::from([1; 8]))));
    let incoming = world.incoming(SERVER);
    let refused = world.ends[SERVER].respond(world.now, incoming.exchange, content(body(7168)));
    assert_eq!(refused, Err(endpoint::RespondError::TooLarge));
    world.ends[SERVER].release(world.now);
    world.collect();
    assert!(world.sent[SERVER].iter().all(|bytes| (7..=7168).contains(&bytes.len())));
    let sent = messages(&mut world, SERVER);
    assert!(sent.iter().any(|message| message.code == Code::INTERNAL_SERVER_ERROR));
    assert!(sent.iter().all(|message| message.options.first(OptionNumber::BLOCK2).is_none()));
}

#[test]
fn a_silent_device_is_pinged_after_half_the_timeout_and_closed_at_the_next_check() {
    let mut world = with_device(Config { keep_alive: Some(KeepAlive::default()), ..device() });
    let request = world.request(SERVER, get("/a"));
    world.run_for(Duration::from_secs(9));
    assert_eq!(codes(&messages(&mut world, SERVER)), [Code::CSM, Code::GET]);
    world.run_for(Duration::from_secs(4));
    assert_eq!(codes(&messages(&mut world, SERVER)), [Code::PING]);
    assert!(world.events[SERVER].is_empty());
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.event(SERVER), Event::Failed { request, why: Failure::Closed });
    assert_eq!(world.event(SERVER), Event::Closed { why: Closed::Silent });
}

#[test]
fn a_device_that_answers_pings_stays_connected() {
    let mut world = World::tcp(1, Network::GOOD, [device(), Config { keep_alive: Some(KeepAlive::default()), ..device() }]);
    world.run_for(Duration::from_secs(24 * 3600));
    assert!(!world.ends[SERVER].is_closed());
    let pings = codes(&messages(&mut world, SERVER)).iter().filter(|code| **code == Code::PING).count();
    assert!((8000..=8640).contains(&pings), "{pings} pings");
}

#[test]
fn a_peer_that_asks_and_never_reads_is_closed_at_the_bound() {
    let config = Config { limits: endpoint::Limits { queue_bytes: 10_000, ..Default::default() }, ..device() };
    let mut end = endpoint::Endpoint::tcp(config.into(), Seeded::new(1), std::time::Instant::now());
    let ping = frame(&Message::new(Code::PING, Token::from([1; 8])));
    for _ in 0..2000 {
        end.handle_bytes(std::time::Instant::now(), &mut BytesMut::from(&ping[..]));
        assert!(end.usage().queue_bytes <= 10_000);
    }
    assert_eq!(end.poll_event(), Some(Event::Closed { why: Closed::Congested }));
}

#[test]
fn a_request_without_an_answer_fails_when_its_time_is_over_and_a_late_answer_is_ignored() {
    let mut world = with_device(device());
    let request = world.request(SERVER, get("/a").timeout(Duration::from_secs(20)));
    let sent = messages(&mut world, SERVER).pop().unwrap();
    assert_eq!(world.event(SERVER), Event::Failed { request, why: Failure::Timeout });
    world.inject(SERVER, frame(&Message::new(Code::CONTENT, sent.token)));
    assert!(world.events[SERVER].is_empty());
    assert_eq!(world.ends[SERVER].counters().unexpected, 1);
}

#[test]
fn a_request_that_nobody_answers_is_answered_by_the_endpoint() {
    for unanswered in [Code::SERVICE_UNAVAILABLE, Code::GATEWAY_TIMEOUT] {
        let mut world = World::tcp(1, Network::GOOD, [Config::default(), Config { unanswered, ..Config::default() }]);
        world.request(CLIENT, get("/a"));
        let incoming = world.incoming(SERVER);
        assert_eq!(world.response(CLIENT).1.code, unanswered);
        let late = world.ends[SERVER].respond(world.now, incoming.exchange, content("late"));
        assert_eq!(late, Err(endpoint::RespondError::Gone));
    }
}

#[test]
fn section_7_1_the_numbers_of_notifications_mean_nothing_in_a_stream() {
    let mut world = with_device(device());
    let request = world.request(SERVER, get("/oic/res").observe());
    let token = messages(&mut world, SERVER).pop().unwrap().token;
    let mut notify = |number, state: &'static str| {
        let options = Options::builder().observe(number).build();
        world.inject(SERVER, frame(&Message::new(Code::CONTENT, token).with_options(options).with_payload(state)));
        world.event(SERVER)
    };
    assert!(matches!(notify(0, "first"), Event::Response { observing: true, .. }));
    for (number, state) in [(9, "second"), (2, "third"), (2, "fourth"), (0, "fifth")] {
        let Event::Notification { request: of, message } = notify(number, state) else { panic!("{state} is no notification") };
        assert_eq!((of, message.payload), (request, Bytes::from_static(state.as_bytes())));
    }
}

#[test]
fn section_3_4_messages_arrive_in_pieces_of_any_size() {
    for seed in 0..50 {
        let network = Network { sliced: true, ..Network::BAD };
        let mut world = World::tcp(seed, network, configs());
        for length in [0, 1, 12, 13, 268, 269, 900] {
            let request = world.request(CLIENT, get("/a").payload(body(length)));
            let incoming = world.incoming(SERVER);
            assert_eq!(incoming.message.payload, body(length));
            world.respond(SERVER, incoming.exchange, content(body(length)));
            let (answered, message) = world.response(CLIENT);
            assert_eq!((answered, message.payload), (request, body(length)));
        }
    }
}
