//! RFC 7959: bodies in blocks, and BERT (RFC 8323 §6).

use crate::world::*;
use bytes::Bytes;
use gatehouse_wire::coap::{
    Block, BlockSize, Code, Datagram, Kind, Message, MessageId, OptionNumber, Options, Token,
    endpoint::{self, Config, Event, Failure, Request, TcpStyle},
};
use std::time::Duration;

fn world() -> World {
    World::udp(1, Network::GOOD, configs())
}

fn with_limits(limits: endpoint::Limits) -> Config {
    Config { limits, ..Config::default() }
}

fn with_blocks(bytes: usize) -> Config {
    Config { block_size: size(bytes), ..Config::default() }
}

fn size(bytes: usize) -> BlockSize {
    BlockSize::from_bytes(bytes).expect("the size of a test is one")
}

fn block(number: u32, more: bool, bytes: usize) -> Block {
    Block::new(number, more, size(bytes)).expect("the number of a test is small")
}

fn put(payload: Bytes) -> Request {
    Request::new(Code::PUT).options(path_options("/a")).payload(payload)
}

/// What an end has sent, as the RFC writes it in its examples.
fn story(world: &mut World, of: usize) -> Vec<String> {
    let line = |datagram: Datagram| {
        let Message { code, options, .. } = datagram.message;
        let block1 = options.block1().map(|block| format!(" 1:{block}")).unwrap_or_default();
        let block2 = options.block2().map(|block| format!(" 2:{block}")).unwrap_or_default();
        format!("{code}{block1}{block2}")
    };
    world.datagrams(of).into_iter().map(line).collect()
}

/// A request that the test plays the client of.
fn from_client(id: u16, code: Code, options: Options, payload: Bytes) -> Datagram {
    let message = Message { code, token: Token::from([id as u8; 8]), options, payload };
    Datagram { kind: Kind::Confirmable, id: MessageId(id), message }
}

fn exchange(world: &mut World, request: Request, answer: Message) -> (Message, Message) {
    world.request(CLIENT, request);
    let incoming = world.incoming(SERVER);
    world.respond(SERVER, incoming.exchange, answer);
    let (_, message) = world.response(CLIENT);
    (incoming.message, message)
}

#[test]
fn bodies_of_any_size_pass_whole_in_both_directions() {
    for length in [0, 1, 1023, 1024, 1025, 2048, 5000, 100_000] {
        let mut world = world();
        let (request, response) = exchange(&mut world, put(body(length)), content(body(length + 7)));
        assert_eq!(request.payload, body(length));
        assert_eq!(response.payload, body(length + 7));
        assert!(request.options.block1().is_none() && response.options.block2().is_none());
        world.run_for(Duration::from_secs(300));
        assert!(world.ends.iter().all(|end| end.usage() == Default::default()), "nothing is left of them");
    }
}

#[test]
fn section_3_1_a_representation_is_fetched_block_by_block() {
    let mut world = World::udp(1, Network::GOOD, [Config::default(), with_blocks(128)]);
    let (_, response) = exchange(&mut world, get("/status"), content(body(300)));
    assert_eq!(response.payload, body(300));
    assert_eq!(story(&mut world, CLIENT), ["0.01", "0.01 2:1/0/128", "0.01 2:2/0/128"]);
    assert_eq!(story(&mut world, SERVER), ["2.05 2:0/1/128", "2.05 2:1/1/128", "2.05 2:2/0/128"]);
}

#[test]
fn section_3_1_early_negotiation_a_client_that_wants_small_blocks_says_so_first() {
    let mut world = World::udp(1, Network::GOOD, [with_blocks(64), Config::default()]);
    let (_, response) = exchange(&mut world, get("/status"), content(body(150)));
    assert_eq!(response.payload, body(150));
    assert_eq!(story(&mut world, CLIENT), ["0.01 2:0/0/64", "0.01 2:1/0/64", "0.01 2:2/0/64"]);
}

#[test]
fn section_3_2_a_body_is_sent_block_by_block() {
    let mut world = World::udp(1, Network::GOOD, [with_blocks(128), Config::default()]);
    let (request, _) = exchange(&mut world, put(body(300)), answer(Code::CHANGED));
    assert_eq!(request.payload, body(300));
    assert_eq!(story(&mut world, CLIENT)[..], ["0.03 1:0/1/128", "0.03 1:1/1/128", "0.03 1:2/0/128"]);
    assert_eq!(story(&mut world, SERVER), ["2.31 1:0/1/128", "2.31 1:1/1/128", "2.04 1:2/0/128"]);
}

#[test]
fn section_3_2_late_negotiation_the_server_makes_the_blocks_smaller() {
    let mut world = World::udp(1, Network::GOOD, [with_blocks(128), with_blocks(32)]);
    let (request, _) = exchange(&mut world, put(body(300)), answer(Code::CHANGED));
    assert_eq!(request.payload, body(300));
    let sent = story(&mut world, CLIENT);
    assert_eq!(sent[..3], ["0.03 1:0/1/128", "0.03 1:4/1/32", "0.03 1:5/1/32"]);
    assert_eq!(sent.len(), 7);
    assert_eq!(story(&mut world, SERVER)[0], "2.31 1:0/1/32");
}

#[test]
fn section_3_3_a_body_in_blocks_may_be_answered_with_one() {
    let mut world = world();
    let fetch = Request::new(Code::FETCH).options(path_options("/a")).payload(body(3000));
    let (request, response) = exchange(&mut world, fetch, content(body(2500)));
    assert_eq!((request.code, request.payload), (Code::FETCH, body(3000)));
    assert_eq!(response.payload, body(2500));
    let sent = story(&mut world, CLIENT);
    assert_eq!(sent[2..], ["0.05 1:2/0/1024", "0.05 2:1/0/1024", "0.05 2:2/0/1024"]);
    assert_eq!(story(&mut world, SERVER)[2], "2.05 2:0/1/1024 1:2/0/1024".replace("2:0/1/1024 1:2/0/1024", "1:2/0/1024 2:0/1/1024"));
}

#[test]
fn section_2_4_a_single_block_can_be_asked_for_wherever_it_is() {
    let mut world = world();
    let (request, response) = exchange(&mut world, get("/a").block(block(3, false, 64)), content(body(1000)));
    assert!(request.options.block2().is_none());
    assert_eq!(response.payload, body(1000).slice(192..256));
    assert_eq!(response.options.block2(), Some(block(3, true, 64)));
    let (_, response) = exchange(&mut world, get("/a").block(block(90, false, 64)), content(body(1000)));
    assert_eq!(response.code, Code::BAD_REQUEST);
}

#[test]
fn section_2_4_the_rest_of_what_is_no_longer_kept_is_asked_of_the_application_but_only_for_get() {
    let mut world = world();
    let wanted = Options::builder().path("/a").unwrap().block2(block(1, false, 1024)).build();
    world.inject_datagram(SERVER, &from_client(1, Code::GET, wanted.clone(), Bytes::new()));
    let incoming = world.incoming(SERVER);
    world.respond(SERVER, incoming.exchange, content(body(3000)));
    assert_eq!(story(&mut world, SERVER), ["2.05 2:1/1/1024"]);
    world.inject_datagram(SERVER, &from_client(2, Code::POST, wanted, Bytes::new()));
    assert_eq!(story(&mut world, SERVER), ["4.08"]);
    assert!(world.events[SERVER].is_empty());
}

#[test]
fn section_2_4_a_representation_that_changes_is_fetched_anew_and_not_mixed() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a"));
    let first = world.incoming(SERVER);
    world.respond(SERVER, first.exchange, content(body(3000)));
    // Another request of the same client replaces what is kept.
    let other = from_client(9, Code::GET, path_options("/a"), Bytes::new());
    world.inject_datagram(SERVER, &other);
    let second = world.incoming(SERVER);
    let new: Bytes = vec![7; 3000].into();
    world.respond(SERVER, second.exchange, content(new.clone()));
    let third = world.incoming(SERVER);
    world.respond(SERVER, third.exchange, content(new.clone()));
    let (answered, message) = world.response(CLIENT);
    assert_eq!((answered, message.payload), (request, new));
}

#[test]
fn section_2_4_a_representation_that_became_shorter_is_fetched_anew() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a"));
    let first = world.incoming(SERVER);
    world.respond(SERVER, first.exchange, content(body(3000)));
    world.inject_datagram(SERVER, &from_client(9, Code::GET, path_options("/a"), Bytes::new()));
    let second = world.incoming(SERVER);
    world.respond(SERVER, second.exchange, content(vec![7; 1030]));
    world.run_for(Duration::from_millis(10));
    world.ends[SERVER].handle_timeout(world.now + Duration::from_secs(60));
    let third = world.incoming(SERVER);
    world.respond(SERVER, third.exchange, content("short"));
    let fourth = world.incoming(SERVER);
    world.respond(SERVER, fourth.exchange, content("short"));
    let (answered, message) = world.response(CLIENT);
    assert_eq!((answered, message.payload), (request, Bytes::from_static(b"short")));
}

#[test]
fn section_2_4_what_changes_each_time_is_reported() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a"));
    let mut tag = 0u32;
    let failure = loop {
        let sent = world.datagrams(CLIENT);
        let asked = match sent.last() {
            Some(datagram) => datagram.clone(),
            None => break world.events[CLIENT].pop_front(),
        };
        tag += 1;
        let number = asked.message.options.block2().map_or(0, Block::number);
        let options = Options::builder().push(OptionNumber::ETAG, &tag.to_be_bytes()).unwrap();
        let options = options.block2(block(number, true, 1024)).build();
        let message = Message { code: Code::CONTENT, token: asked.message.token, options, payload: body(1024) };
        world.inject_datagram(CLIENT, &Datagram { kind: Kind::Acknowledgement, id: asked.id, message });
    };
    assert_eq!(failure, Some(Event::Failed { request, why: Failure::Unstable }));
    assert!(tag < 12, "{tag} attempts");
}

#[test]
fn blocks_that_do_not_fit_together_fail_the_request() {
    for wrong in [block(2, true, 1024), block(1, true, 512)] {
        let mut world = world();
        let request = world.request(CLIENT, get("/a"));
        for (block, payload) in [(block(0, true, 1024), body(1024)), (wrong, body(1024))] {
            let asked = world.datagrams(CLIENT).pop().unwrap();
            let options = Options::builder().block2(block).build();
            let message = Message { code: Code::CONTENT, token: asked.message.token, options, payload };
            world.inject_datagram(CLIENT, &Datagram { kind: Kind::Acknowledgement, id: asked.id, message });
        }
        assert_eq!(world.event(CLIENT), Event::Failed { request, why: Failure::BadBlocks });
    }
}

#[test]
fn section_2_9_2_a_gap_in_a_body_is_answered_4_08_and_the_client_begins_anew() {
    let mut world = world();
    let options = Options::builder().path("/a").unwrap().block1(block(1, true, 1024)).build();
    world.inject_datagram(SERVER, &from_client(1, Code::PUT, options, body(1024)));
    assert_eq!(story(&mut world, SERVER), ["4.08 1:1/1/1024"]);
    // The server forgets the body in the middle.
    let limits = endpoint::Limits { body_lifetime: Duration::from_millis(5), ..Default::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), with_limits(limits)]);
    world.request(CLIENT, put(body(3000)));
    let (_, message) = world.response(CLIENT);
    assert_eq!(message.code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(world.ends[SERVER].usage().bodies, 0);
    assert_eq!(story(&mut world, CLIENT).iter().filter(|line| line.contains("1:0/1")).count(), 4, "three new attempts");
}

#[test]
fn section_2_9_3_a_body_over_the_bound_gets_4_13_with_the_bound() {
    let limits = endpoint::Limits { body: 2000, ..Default::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), with_limits(limits)]);
    for (announced, after) in [(true, 1), (false, 2)] {
        let mut answers = Vec::new();
        for number in 0..after {
            let options = Options::builder().path("/a").unwrap().block1(block(number, true, 1024));
            let options = if announced { options.uint(OptionNumber::SIZE1, 2001) } else { options };
            let id = number as u16 + u16::from(announced) * 10;
            world.inject_datagram(SERVER, &from_client(id, Code::PUT, options.build(), body(1024)));
            answers = world.datagrams(SERVER);
        }
        assert_eq!(answers[0].message.code, Code::REQUEST_ENTITY_TOO_LARGE);
        assert_eq!(answers[0].message.options.uint(OptionNumber::SIZE1), Some(2000));
    }
    let (request, _) = exchange(&mut world, put(body(2000)), answer(Code::CHANGED));
    assert_eq!(request.payload.len(), 2000);
}

#[test]
fn section_2_9_3_a_refused_size_with_a_smaller_block_is_tried_in_that_size() {
    let mut world = world();
    world.request(CLIENT, put(body(1000)));
    let asked = world.datagrams(CLIENT).remove(0);
    assert!(asked.message.options.block1().is_none());
    let options = Options::builder().block1(block(0, false, 256)).build();
    let message = Message { options, ..Message::new(Code::REQUEST_ENTITY_TOO_LARGE, asked.message.token) };
    world.inject_datagram(CLIENT, &Datagram { kind: Kind::Acknowledgement, id: asked.id, message });
    assert_eq!(story(&mut world, CLIENT), ["0.03 1:0/1/256"]);
    // The request of the test's first message is still under way to the server, and the body arrives there both ways.
    while world.ends[CLIENT].usage().exchanges_out > 0 {
        let incoming = world.incoming(SERVER);
        assert_eq!(incoming.message.payload, body(1000));
        world.respond(SERVER, incoming.exchange, answer(Code::CHANGED));
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.response(CLIENT).1.code, Code::CHANGED);
}

#[test]
fn an_answer_over_the_bound_fails_the_request_as_soon_as_it_is_announced() {
    let limits = endpoint::Limits { body: 2000, ..Default::default() };
    let mut world = World::udp(1, Network::GOOD, [with_limits(limits), Config::default()]);
    let request = world.request(CLIENT, get("/a"));
    let incoming = world.incoming(SERVER);
    world.respond(SERVER, incoming.exchange, content(body(2001)));
    assert_eq!(world.event(CLIENT), Event::Failed { request, why: Failure::TooLarge });
    assert_eq!(story(&mut world, CLIENT).len(), 1);
    let (_, response) = exchange(&mut world, get("/a"), content(body(2000)));
    assert_eq!(response.payload.len(), 2000);
}

#[test]
fn more_unfinished_bodies_than_the_bound_get_5_03() {
    let limits = endpoint::Limits { bodies: 2, ..Default::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), with_limits(limits)]);
    for number in 0..3 {
        let options = Options::builder().path(&format!("/{number}")).unwrap().block1(block(0, true, 64)).build();
        world.inject_datagram(SERVER, &from_client(number, Code::PUT, options, body(64)));
    }
    assert_eq!(story(&mut world, SERVER), ["2.31 1:0/1/64", "2.31 1:0/1/64", "5.03 1:0/1/64"]);
    assert_eq!(world.ends[SERVER].usage().bodies, 2);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.ends[SERVER].usage().bodies, 0);
}

#[test]
fn section_2_2_block_size_7_is_refused_over_udp() {
    let mut world = world();
    let bert = Block::new(0, true, BlockSize::BERT).unwrap();
    let options = Options::builder().path("/a").unwrap().block1(bert).build();
    world.inject_datagram(SERVER, &from_client(1, Code::PUT, options, body(1024)));
    assert_eq!(world.datagrams(SERVER)[0].message.code, Code::BAD_REQUEST);
}

#[test]
fn section_2_3_a_server_that_acts_on_each_block_alone_gets_all_of_them() {
    let mut world = World::udp(1, Network { loss_percent: 100, ..Network::GOOD }, configs());
    let request = world.request(CLIENT, put(body(3000)));
    for number in 0..3 {
        let asked = world.datagrams(CLIENT).pop().unwrap();
        assert_eq!(asked.message.options.block1(), Some(block(number, number < 2, 1024)));
        let options = Options::builder().block1(block(number, false, 1024)).build();
        let message = Message { options, ..Message::new(Code::CHANGED, asked.message.token) };
        world.inject_datagram(CLIENT, &Datagram { kind: Kind::Acknowledgement, id: asked.id, message });
    }
    assert_eq!(world.response(CLIENT).0, request);
}

#[test]
fn rfc8323_section_6_two_peers_that_announce_it_use_bert() {
    let limits = endpoint::Limits { message: 10_000, ..Default::default() };
    let mut world = World::tcp(1, Network::GOOD, [with_limits(limits.clone()), with_limits(limits)]);
    world.run_for(Duration::from_secs(1));
    let (request, response) = exchange(&mut world, put(body(100_000)), content(body(50_000)));
    assert_eq!((request.payload, response.payload), (body(100_000), body(50_000)));
    assert!(world.sent.iter().flatten().all(|message| message.len() <= 10_000));
    let large = world.sent[CLIENT].iter().filter(|message| message.len() > 9000).count();
    assert_eq!(large, 10, "nine blocks go into a message");
}

#[test]
fn rfc8323_section_6_a_long_body_goes_in_blocks_to_a_peer_that_would_take_it_whole() {
    // libcoap announces 8 MiB. One message of that size would not even fit into what may wait to be sent.
    let limits = endpoint::Limits { message: 8 << 20, ..Default::default() };
    let mut world = World::tcp(1, Network::GOOD, [with_limits(limits.clone()), with_limits(limits)]);
    world.run_for(Duration::from_secs(1));
    let (request, response) = exchange(&mut world, put(body(1 << 20)), content(body(1 << 20)));
    assert_eq!((request.payload, response.payload), (body(1 << 20), body(1 << 20)));
    assert!(world.sent.iter().flatten().all(|message| message.len() <= 64 << 10));
}

#[test]
fn rfc8323_section_5_3_1_a_peer_may_be_asked_for_less_than_is_taken() {
    let config = Config { longest_wanted: Some(10_000), ..Config::default() };
    let mut world = World::tcp(1, Network::GOOD, [config, Config::default()]);
    world.run_for(Duration::from_secs(1));
    let (_, response) = exchange(&mut world, get("/a"), content(body(50_000)));
    assert_eq!(response.payload, body(50_000));
    assert!(world.sent[SERVER].iter().all(|message| message.len() <= 10_000));
}

#[test]
fn rfc8323_section_6_a_peer_that_takes_1152_bytes_gets_single_blocks() {
    let limits = endpoint::Limits { message: 1152, ..Default::default() };
    let mut world = World::tcp(1, Network::GOOD, [Config::default(), with_limits(limits)]);
    world.run_for(Duration::from_secs(1));
    let (request, response) = exchange(&mut world, put(body(5000)), content(body(300_000)));
    assert_eq!((request.payload, response.payload), (body(5000), body(300_000)));
    assert!(world.sent[CLIENT].iter().all(|message| message.len() <= 1152));
}

#[test]
fn a_device_gets_no_blocks_over_tcp_and_sends_whole_messages() {
    let device = Config { tcp: TcpStyle::DEVICE, ..Config::default() };
    let mut world = World::tcp(1, Network::GOOD, [device.clone(), device]);
    let (request, response) = exchange(&mut world, put(body(7000)), content(body(7100)));
    assert_eq!((request.payload, response.payload), (body(7000), body(7100)));
    assert_eq!(world.sent.each_ref().map(Vec::len), [2, 2]);
}
