//! A peer that says anything at any time, while the application does what applications do: nothing panics, nothing is held
//! beyond its bound, and what is due is done.

use crate::world::Seeded;
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{
    Code, Datagram, Kind, Message, MessageId, OptionNumber, Options, Token,
    endpoint::{Config, Delivery, Endpoint, Event, Exchange, Limits, ObservationId, Request, RequestId, TcpStyle},
    tcp,
};
use proptest::prelude::*;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One step of the story.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Say { kind: u8, code: u8, id: u8, token: u8, options: Vec<(u8, u32)>, payload: usize },
    Ask { observe: bool, confirmable: bool, payload: usize },
    Answer { observe: bool, fresh: bool, payload: usize },
    Notify(usize),
    Cancel,
    Ping,
    Release,
    Wait(u32),
    Take,
}

/// The options that mean something to an endpoint, and some that do not.
const NUMBERS: &[u16] = &[4, 6, 11, 12, 14, 17, 23, 27, 28, 31, 60, 252, 258, 292, 2, 65_001];

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![Just(0), Just(16), Just(64), Just(1024), 0usize..5000];
    let say = (any::<u8>(), any::<u8>(), 0u8..8, 0u8..4, prop::collection::vec((any::<u8>(), small()), 0..4), size.clone());
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
        12 => say.prop_map(|(kind, code, id, token, options, payload)| Step::Say { kind, code, id, token, options, payload }),
        3 => (any::<bool>(), any::<bool>(), size.clone()).prop_map(|(observe, confirmable, payload)| Step::Ask { observe, confirmable, payload }),
        4 => (any::<bool>(), any::<bool>(), size.clone()).prop_map(|(observe, fresh, payload)| Step::Answer { observe, fresh, payload }),
        2 => size.prop_map(Step::Notify),
        1 => Just(Step::Cancel),
        1 => Just(Step::Ping),
        3 => (0u32..100_000).prop_map(Step::Wait),
        4 => Just(Step::Take),
        1 => prop::bool::weighted(0.05).prop_map(|release| if release { Step::Release } else { Step::Take }),
    ]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..64, any::<u32>()]
}

const LIMITS: Limits = Limits {
    message: 4096,
    options: 16,
    body: 3000,
    bodies: 2,
    body_bytes: 4000,
    body_lifetime: Duration::from_secs(60),
    body_time: Duration::from_secs(600),
    served_bodies: 2,
    served_bytes: 6000,
    exchanges_in: 3,
    exchanges_out: 4,
    observations: 2,
    dedup_entries: 5,
    dedup_bytes: 500,
    queue_bytes: 20_000,
    waiting: 3,
    retry_after: Duration::from_secs(5),
};

/// The peer, the application, and what both remember.
struct Story {
    end: Endpoint,
    udp: bool,
    now: Instant,
    arrived: BytesMut,
    exchanges: Vec<Exchange>,
    requests: Vec<RequestId>,
    observations: Vec<ObservationId>,
    /// Tokens and ids that the endpoint used: a clever peer answers with them.
    tokens: Vec<Token>,
    ids: Vec<MessageId>,
    open: i64,
}

impl Story {
    fn new(udp: bool, tcp: TcpStyle) -> Self {
        let config = Arc::new(Config { limits: LIMITS, tcp, ..Config::default() });
        let (random, now) = (Seeded::new(1), Instant::now());
        let end = if udp { Endpoint::udp(config, random, now) } else { Endpoint::tcp(config, random, now) };
        let (exchanges, requests, observations) = (Vec::new(), Vec::new(), Vec::new());
        Self { end, udp, now, arrived: BytesMut::new(), exchanges, requests, observations, tokens: Vec::new(), ids: Vec::new(), open: 0 }
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Bytes(bytes) => self.arrive(bytes.into()),
            Step::Say { kind, code, id, token, options, payload } => self.say(kind, code, id, token, &options, payload),
            Step::Ask { observe, confirmable, payload } => self.ask(observe, confirmable, payload),
            Step::Answer { observe, fresh, payload } => self.answer(observe, fresh, payload),
            Step::Notify(payload) => {
                for observation in self.observations.clone() {
                    let state = Message::new(Code::CONTENT, Token::EMPTY).with_payload(vec![1; payload]);
                    self.end.notify(self.now, observation, state, Delivery::Automatic);
                }
            }
            Step::Cancel => self.requests.pop().map_or((), |request| self.end.cancel(self.now, request)),
            Step::Ping => {
                self.end.ping(self.now);
            }
            Step::Release => self.end.release(self.now),
            Step::Wait(milliseconds) => self.wait(Duration::from_millis(u64::from(milliseconds))),
            Step::Take => {
                while let Some(bytes) = self.end.poll_transmit(self.now) {
                    self.read(bytes);
                }
            }
        }
        self.take_events();
        self.check();
    }

    fn say(&mut self, kind: u8, code: u8, id: u8, token: u8, options: &[(u8, u32)], payload: usize) {
        let codes = [Code::GET, Code::PUT, Code::POST, Code::FETCH, Code::CONTENT, Code::CONTINUE, Code::CHANGED, Code::UNAUTHORIZED];
        let signals = [Code::EMPTY, Code::REQUEST_ENTITY_TOO_LARGE, Code::CSM, Code::PING, Code::PONG, Code::NOT_FOUND];
        let codes = codes.iter().chain(&codes).chain(&signals).chain(&[Code::RELEASE]);
        let code = codes.clone().nth(usize::from(code) % codes.count()).copied().expect("the number is one of a code");
        let known = self.tokens.len().checked_sub(1 + usize::from(token)).and_then(|place| self.tokens.get(place));
        let token = known.filter(|_| !code.is_request()).copied().unwrap_or_else(|| Token::new(&[token]).expect("one byte is a token"));
        let mut builder = Options::builder();
        for (number, value) in options {
            builder = builder.uint(OptionNumber(NUMBERS[usize::from(*number) % NUMBERS.len()]), *value);
        }
        let message = Message { code, token, options: builder.build(), payload: vec![2; payload].into() };
        let mut bytes = BytesMut::new();
        if self.udp {
            let kind = [Kind::Confirmable, Kind::NonConfirmable, Kind::Acknowledgement, Kind::Reset][usize::from(kind) % 4];
            let known = self.ids.len().checked_sub(1 + usize::from(id)).and_then(|place| self.ids.get(place)).copied();
            let id = known.filter(|_| matches!(kind, Kind::Acknowledgement | Kind::Reset)).unwrap_or(MessageId(u16::from(id)));
            Datagram { kind, id, message }.encode(&mut bytes);
        } else {
            tcp::encode(&message, &mut bytes);
        }
        self.arrive(bytes.freeze());
    }

    fn arrive(&mut self, bytes: Bytes) {
        if self.udp {
            self.end.handle_datagram(self.now, bytes);
        } else {
            self.arrived.extend_from_slice(&bytes);
            self.end.handle_bytes(self.now, &mut self.arrived);
            assert!(self.arrived.len() <= LIMITS.message || self.end.is_closed());
        }
    }

    fn ask(&mut self, observe: bool, confirmable: bool, payload: usize) {
        let mut request = Request::new(Code::PUT).payload(vec![3; payload]);
        request = if observe { request.observe() } else { request };
        request = if confirmable { request } else { request.non_confirmable() };
        if let Ok(request) = self.end.request(self.now, request) {
            self.requests.push(request);
            self.open += 1;
        }
    }

    fn answer(&mut self, observe: bool, fresh: bool, payload: usize) {
        let Some(exchange) = self.exchanges.pop() else { return };
        let answer = Message::new(Code::CONTENT, Token::EMPTY).with_payload(vec![4; payload]);
        // An answer that comes too late, or is too large for the peer, is none that matters here.
        if fresh && !observe {
            let _ = self.end.demand_freshness(self.now, exchange);
        } else if observe {
            self.observations.extend(self.end.respond_observed(self.now, exchange, answer).ok().flatten());
        } else {
            let _ = self.end.respond(self.now, exchange, answer);
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.end.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.end.handle_timeout(self.now);
            assert!(self.end.poll_timeout().is_none_or(|next| next > self.now), "a timeout that nothing is done about");
            self.take_events();
            self.check();
        }
        self.now = until;
    }

    fn read(&mut self, bytes: Bytes) {
        if self.udp {
            let datagram = Datagram::parse(bytes, &Default::default()).expect("an endpoint sends what can be read");
            self.ids.push(datagram.id);
            self.tokens.push(datagram.message.token);
        } else {
            let message = tcp::Decoder::new(Default::default()).decode(&mut BytesMut::from(&bytes[..]));
            self.tokens.push(message.expect("an endpoint sends what can be read").expect("an item is a whole message").token);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.end.poll_event() {
            match event {
                Event::Request(incoming) => self.exchanges.push(incoming.exchange),
                Event::Response { .. } | Event::Failed { .. } | Event::Silent { .. } => self.open -= 1,
                Event::Closed { .. } => assert_eq!(self.open, 0, "a request without an outcome"),
                _ => {}
            }
            assert!(self.open >= 0, "a request with two outcomes");
        }
    }

    fn check(&self) {
        let usage = self.end.usage();
        assert!(usage.exchanges_in <= LIMITS.exchanges_in, "{usage:?}");
        assert!(usage.exchanges_out <= LIMITS.exchanges_out, "{usage:?}");
        assert!(usage.observations <= LIMITS.observations, "{usage:?}");
        assert!(usage.bodies <= LIMITS.bodies, "{usage:?}");
        assert!(usage.body_bytes <= LIMITS.body_bytes, "{usage:?}");
        assert!(usage.served_bytes <= LIMITS.served_bytes, "{usage:?}");
        assert!(usage.dedup_entries <= LIMITS.dedup_entries, "{usage:?}");
        assert!(usage.dedup_bytes <= LIMITS.dedup_bytes, "{usage:?}");
        assert!(usage.queue_bytes <= LIMITS.queue_bytes, "{usage:?}");
        // A request under way may take another step while the line is full.
        assert!(usage.waiting <= LIMITS.waiting + LIMITS.exchanges_out, "{usage:?}");
    }

    fn finish(&mut self) {
        self.end.close(gatehouse_wire::coap::endpoint::Closed::Local);
        self.take_events();
        assert_eq!(self.open, 0);
    }
}

fn tell(mut story: Story, steps: Vec<Step>) {
    for step in steps {
        story.act(step);
    }
    story.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn over_udp_anything_may_come(steps in prop::collection::vec(step(), 0..150)) {
        tell(Story::new(true, TcpStyle::General), steps);
    }

    #[test]
    fn over_tcp_anything_may_come(steps in prop::collection::vec(step(), 0..150)) {
        let mut story = Story::new(false, TcpStyle::General);
        story.arrive(Bytes::from_static(&[0x00, 0xe1]));
        tell(story, steps);
    }

    #[test]
    fn from_a_device_anything_may_come(steps in prop::collection::vec(step(), 0..150)) {
        tell(Story::new(false, TcpStyle::DEVICE), steps);
    }
}
