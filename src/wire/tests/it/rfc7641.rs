//! RFC 7641: observing resources.

use crate::world::*;
use bytes::Bytes;
use gatehouse_wire::coap::{
    Block, BlockSize, Code, Datagram, Kind, Message, MessageId, OptionNumber, Options, Token,
    endpoint::{self, Config, Delivery, Ended, Event, Failure, Gone, ObservationId, Reliability, RequestId},
};
use std::time::Duration;

fn world() -> World {
    World::udp(1, Network::GOOD, configs())
}

/// A client that observes, and the server's side of it.
fn observed(world: &mut World) -> (RequestId, ObservationId) {
    let request = world.request(CLIENT, get("/a").observe());
    let incoming = world.incoming(SERVER);
    assert!(incoming.observe);
    let observation = world.ends[SERVER].respond_observed(world.now, incoming.exchange, content("0")).expect("the answer can be given");
    match world.event(CLIENT) {
        Event::Response { request: answered, message, observing: true } => {
            assert_eq!((answered, message.payload), (request, Bytes::from_static(b"0")));
        }
        other => panic!("{other:?} does not begin an observation"),
    }
    (request, observation.expect("the server agreed"))
}

fn notify(world: &mut World, observation: ObservationId, state: impl Into<Bytes>, delivery: Delivery) {
    world.ends[SERVER].notify(world.now, observation, content(state), delivery);
}

/// What was notified until `time` passed.
fn notified(world: &mut World, time: Duration) -> Vec<Bytes> {
    world.run_for(time);
    let payload = |event| match event {
        Event::Notification { message, .. } => Some(message.payload),
        _ => None,
    };
    world.events[CLIENT].drain(..).filter_map(payload).collect()
}

#[test]
fn section_1_2_a_client_is_told_of_every_state_that_lasts() {
    for mut world in [world(), World::tcp(1, Network::GOOD, configs())] {
        let (_, observation) = observed(&mut world);
        for state in ["1", "2", "3"] {
            notify(&mut world, observation, state, Delivery::Automatic);
            assert_eq!(notified(&mut world, Duration::from_secs(5)), [state]);
        }
    }
}

#[test]
fn section_4_4_the_numbers_of_notifications_grow_and_skip_what_requests_mean_by_0_and_1() {
    let mut world = world();
    let (_, observation) = observed(&mut world);
    for state in ["1", "2"] {
        notify(&mut world, observation, state, Delivery::Automatic);
        world.run_for(Duration::from_secs(5));
    }
    let numbers: Vec<_> = world.datagrams(SERVER).iter().map(|datagram| datagram.message.options.observe()).collect();
    assert_eq!(numbers, [Some(2), Some(3), Some(4)]);
}

#[test]
fn section_3_4_a_notification_that_comes_late_is_left_out() {
    let mut world = world();
    let (request, observation) = observed(&mut world);
    world.datagrams(SERVER);
    world.network.loss_percent = 100;
    let mut late = Vec::new();
    for state in ["1", "2"] {
        notify(&mut world, observation, state, Delivery::Automatic);
        world.run_for(Duration::from_secs(5));
        late.extend(world.datagrams(SERVER));
    }
    for datagram in late.iter().rev() {
        world.inject_datagram(CLIENT, datagram);
    }
    assert_eq!(notified(&mut world, Duration::ZERO), ["2"]);
    let old = Datagram { id: MessageId(1), ..late[0].clone() };
    world.run_for(Duration::from_secs(129));
    world.events[CLIENT].clear();
    world.inject_datagram(CLIENT, &old);
    let message = Message { ..old.message };
    assert_eq!(world.event(CLIENT), Event::Notification { request, message }, "after 128 seconds any is newer");
}

#[test]
fn section_4_5_2_a_newer_state_takes_the_place_of_one_that_has_not_left() {
    let mut world = world();
    let (_, observation) = observed(&mut world);
    world.datagrams(SERVER);
    for state in ["1", "2", "3"] {
        notify(&mut world, observation, state, Delivery::Confirmable);
    }
    assert_eq!(notified(&mut world, Duration::from_secs(10)), ["1", "3"]);
    assert_eq!(world.ends[SERVER].counters().superseded, 1);
    assert_eq!(world.datagrams(SERVER).len(), 2);
}

#[test]
fn section_4_5_1_non_confirmable_notifications_keep_a_distance() {
    let mut world = world();
    let (_, observation) = observed(&mut world);
    world.datagrams(SERVER);
    for state in 0..100u8 {
        notify(&mut world, observation, vec![state], Delivery::Automatic);
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.datagrams(SERVER).len(), 4);
    assert_eq!(notified(&mut world, Duration::ZERO).last().unwrap()[..], [99]);
}

#[test]
fn section_4_5_a_confirmable_notification_goes_at_least_once_in_the_time_that_is_set() {
    let reliability = Reliability { confirm_observation: Duration::from_secs(3600), ..Reliability::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), Config { reliability, ..Config::default() }]);
    let (_, observation) = observed(&mut world);
    world.datagrams(SERVER);
    for _ in 0..3 * 60 {
        world.run_for(Duration::from_secs(60));
        notify(&mut world, observation, "x", Delivery::Automatic);
    }
    let confirmable = world.datagrams(SERVER).iter().filter(|datagram| datagram.kind == Kind::Confirmable).count();
    assert_eq!(confirmable, 3);
}

#[test]
fn section_4_5_one_of_so_many_notifications_is_confirmable_and_who_leaves_silently_is_found_out_by_it() {
    let reliability = Reliability { confirm_notifications: 4, notification_spacing: Duration::ZERO, ..Reliability::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), Config { reliability, ..Config::default() }]);
    let (_, observation) = observed(&mut world);
    world.datagrams(SERVER);
    for state in 0..8_u8 {
        notify(&mut world, observation, vec![state], Delivery::Automatic);
        world.run_for(Duration::from_secs(1));
    }
    let confirmable: Vec<bool> = world.datagrams(SERVER).iter().map(|datagram| datagram.kind == Kind::Confirmable).collect();
    assert_eq!(confirmable, [false, false, false, true, false, false, false, true]);
    world.network.loss_percent = 100;
    for state in 0..4_u8 {
        notify(&mut world, observation, vec![state], Delivery::Automatic);
        world.run_for(Duration::from_secs(1));
    }
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.ends[SERVER].usage().observations, 0);
}

#[test]
fn section_3_6_a_rejection_is_understood_however_long_nothing_was_asked_before() {
    let mut world = world();
    let (request, observation) = observed(&mut world);
    world.run_for(Duration::from_secs(1000));
    world.ends[CLIENT].forget(request);
    notify(&mut world, observation, "x", Delivery::Automatic);
    world.ends[SERVER].handle_timeout(world.now);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.event(SERVER), Event::ObserverGone { observation, why: Gone::Reset });
}

#[test]
fn section_4_5_a_client_that_is_gone_is_forgotten_and_one_that_acknowledges_is_not() {
    let mut world = world();
    let (_, observation) = observed(&mut world);
    notify(&mut world, observation, "1", Delivery::Confirmable);
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.ends[SERVER].usage().observations, 1);
    world.network.loss_percent = 100;
    notify(&mut world, observation, "2", Delivery::Confirmable);
    assert_eq!(world.event(SERVER), Event::ObserverGone { observation, why: Gone::Timeout });
    assert_eq!(world.ends[SERVER].usage().observations, 0);
}

#[test]
fn section_3_6_a_client_that_forgot_rejects_the_next_notification_and_is_forgotten() {
    for delivery in [Delivery::Automatic, Delivery::Confirmable] {
        let mut world = world();
        let (request, observation) = observed(&mut world);
        world.ends[CLIENT].forget(request);
        assert_eq!(world.event(CLIENT), Event::ObservationEnded { request, why: Ended::Cancelled });
        notify(&mut world, observation, "1", delivery);
        assert_eq!(world.event(SERVER), Event::ObserverGone { observation, why: Gone::Reset });
    }
}

#[test]
fn section_3_6_a_client_cancels_with_its_token_and_observe_1() {
    for mut world in [world(), World::tcp(1, Network::GOOD, configs())] {
        let (request, observation) = observed(&mut world);
        let now = world.now;
        world.ends[CLIENT].cancel(now, request);
        assert_eq!(world.event(CLIENT), Event::ObservationEnded { request, why: Ended::Cancelled });
        assert_eq!(world.event(SERVER), Event::ObserverGone { observation, why: Gone::Deregistered });
        let incoming = world.incoming(SERVER);
        assert_eq!((incoming.observe, incoming.message.options.observe()), (false, Some(1)));
        world.respond(SERVER, incoming.exchange, content("last"));
        world.run_for(Duration::from_secs(300));
        assert!(world.events[CLIENT].is_empty());
        assert!(world.ends.iter().all(endpoint::Endpoint::is_idle));
    }
}

#[test]
fn a_cancellation_may_have_options_of_its_own() {
    let mut world = world();
    let options = Options::builder().path("/a").unwrap().query("if=oic.if.b").unwrap().build();
    let request = world.request(CLIENT, endpoint::Request::new(Code::GET).options(options).observe().cancel_with(path_options("/a")));
    let incoming = world.incoming(SERVER);
    let token = incoming.message.token;
    world.ends[SERVER].respond_observed(world.now, incoming.exchange, content("0")).unwrap();
    world.event(CLIENT);
    world.ends[CLIENT].cancel(world.now, request);
    world.run_for(Duration::from_secs(1));
    let sent = world.datagrams(CLIENT).pop().unwrap().message;
    assert_eq!((sent.token, sent.options.observe(), sent.options.query().count()), (token, Some(1), 0));
}

#[test]
fn section_3_1_a_server_that_does_not_agree_answers_once() {
    let mut world = world();
    let request = world.request(CLIENT, get("/a").observe());
    let incoming = world.incoming(SERVER);
    world.respond(SERVER, incoming.exchange, content("0"));
    assert!(matches!(world.event(CLIENT), Event::Response { request: answered, observing: false, .. } if answered == request));
    assert!(world.ends[CLIENT].usage().exchanges_out == 0);
}

#[test]
fn section_4_1_more_observations_than_the_bound_are_answered_without_one() {
    let limits = endpoint::Limits { observations: 1, ..Default::default() };
    let mut world = World::udp(1, Network::GOOD, [Config::default(), Config { limits, ..Config::default() }]);
    observed(&mut world);
    world.request(CLIENT, get("/b").observe());
    let incoming = world.incoming(SERVER);
    assert_eq!(world.ends[SERVER].respond_observed(world.now, incoming.exchange, content("0")), Ok(None));
    assert!(matches!(world.event(CLIENT), Event::Response { observing: false, .. }));
    assert_eq!(world.ends[SERVER].counters().refused_observations, 1);
}

#[test]
fn section_3_2_an_error_is_the_last_notification() {
    for mut world in [world(), World::tcp(1, Network::GOOD, configs())] {
        let (request, observation) = observed(&mut world);
        world.ends[SERVER].notify(world.now, observation, answer(Code::NOT_FOUND), Delivery::Automatic);
        assert!(matches!(world.event(CLIENT), Event::Notification { message, .. } if message.code == Code::NOT_FOUND));
        assert_eq!(world.event(CLIENT), Event::ObservationEnded { request, why: Ended::ByServer });
        world.run_for(Duration::from_secs(300));
        assert!(world.ends.iter().all(endpoint::Endpoint::is_idle));
    }
}

#[test]
fn section_3_3_1_what_is_no_longer_fresh_is_told_and_can_be_registered_again() {
    let mut world = world();
    let (request, observation) = observed(&mut world);
    world.datagrams(CLIENT);
    world.run_for(Duration::from_secs(64));
    assert!(world.events[CLIENT].is_empty());
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.event(CLIENT), Event::Stale { request });
    world.ends[CLIENT].register_again(world.now, request);
    let incoming = world.incoming(SERVER);
    assert!(incoming.observe);
    let again = world.ends[SERVER].respond_observed(world.now, incoming.exchange, content("1")).unwrap().unwrap();
    assert_eq!(world.event(SERVER), Event::ObserverGone { observation, why: Gone::Replaced });
    assert!(matches!(world.event(CLIENT), Event::Notification { message, .. } if message.payload == "1"));
    notify(&mut world, again, "2", Delivery::Automatic);
    assert_eq!(notified(&mut world, Duration::from_secs(5)), ["2"]);
    let tokens: Vec<Token> = world.datagrams(SERVER).iter().map(|datagram| datagram.message.token).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[test]
fn a_notification_in_blocks_arrives_whole_and_a_newer_one_wins() {
    for mut world in [world(), World::tcp(1, Network::GOOD, [small(), small()])] {
        let (_, observation) = observed(&mut world);
        notify(&mut world, observation, body(5000), Delivery::Automatic);
        assert_eq!(notified(&mut world, Duration::from_secs(10)), [body(5000)]);
        let newer: Bytes = vec![9; 4000].into();
        notify(&mut world, observation, body(6000), Delivery::Automatic);
        world.run_for(Duration::from_millis(30));
        notify(&mut world, observation, newer.clone(), Delivery::Automatic);
        assert_eq!(notified(&mut world, Duration::from_secs(10)).last(), Some(&newer));
    }

    fn small() -> Config {
        Config { limits: endpoint::Limits { message: 1152, ..Default::default() }, ..Config::default() }
    }
}

#[test]
fn a_registration_is_answered_in_blocks_and_notifications_between_them_are_not_rejected() {
    let mut world = world();
    world.request(CLIENT, get("/a").observe());
    let incoming = world.incoming(SERVER);
    let observation = world.ends[SERVER].respond_observed(world.now, incoming.exchange, content(body(9000))).unwrap().unwrap();
    world.run_for(Duration::from_millis(50));
    notify(&mut world, observation, "small", Delivery::Confirmable);
    world.run_for(Duration::from_secs(20));
    let last = world.events[CLIENT].pop_back().unwrap();
    assert!(
        matches!(&last, Event::Response { message, .. } | Event::Notification { message, .. } if message.payload == "small"),
        "{last:?}"
    );
    assert_eq!(world.ends[SERVER].usage().observations, 1);
}

#[test]
fn a_connection_that_ends_ends_the_observations_of_both_sides() {
    let mut world = World::tcp(1, Network::GOOD, configs());
    let (request, observation) = observed(&mut world);
    for end in &mut world.ends {
        end.close(endpoint::Closed::Lost);
    }
    assert_eq!(world.event(CLIENT), Event::ObservationEnded { request, why: Ended::Failed(Failure::Closed) });
    assert_eq!(world.event(SERVER), Event::ObserverGone { observation, why: Gone::Closed });
}

#[test]
fn the_rest_of_a_notification_that_cannot_be_had_ends_the_observation() {
    let mut world = World::udp(1, Network { loss_percent: 100, ..Network::GOOD }, configs());
    let request = world.request(CLIENT, get("/a").observe());
    let asked = world.datagrams(CLIENT).remove(0);
    let first = Options::builder().observe(5).build();
    let message = Message { options: first, ..Message::new(Code::CONTENT, asked.message.token) };
    world.inject_datagram(CLIENT, &Datagram { kind: Kind::Acknowledgement, id: asked.id, message });
    let block = Block::new(0, true, BlockSize::MAX).unwrap();
    let second = Options::builder().observe(6).block2(block).build();
    let message = Message { code: Code::CONTENT, token: asked.message.token, options: second, payload: body(1024) };
    world.inject_datagram(CLIENT, &Datagram { kind: Kind::Confirmable, id: MessageId(3), message });
    assert!(matches!(world.event(CLIENT), Event::Response { observing: true, .. }));
    let sent = world.datagrams(CLIENT);
    let rest = &sent.iter().find(|datagram| datagram.message.code == Code::GET).unwrap().message;
    assert_eq!((rest.options.observe(), rest.options.uint(OptionNumber::BLOCK2)), (None, Some(0x16)));
    assert_eq!(world.event(CLIENT), Event::Stale { request });
    assert_eq!(world.event(CLIENT), Event::ObservationEnded { request, why: Ended::Failed(Failure::Timeout) });
}
