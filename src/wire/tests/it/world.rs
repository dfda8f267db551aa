//! Two endpoints, and a network that loses, delays, repeats and reorders by a seed. Time is a number that the test moves.

use bytes::{Bytes, BytesMut};
use gatehouse_types::Random;
use gatehouse_wire::coap::{
    Code, Datagram, Limits, Message, Options, Token,
    endpoint::{Config, Endpoint, Event, Exchange, Incoming, Request, RequestId},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Who asks in most tests.
pub(crate) const CLIENT: usize = 0;
/// Who answers in most tests.
pub(crate) const SERVER: usize = 1;

/// Numbers that look random and are the same for a seed each time (splitmix64).
#[derive(Debug)]
pub(crate) struct Seeded(Mutex<u64>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed)))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().expect("nothing panics while it draws");
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

impl Random for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
    }
}

/// What the network does to what is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) loss_percent: u64,
    pub(crate) copy_percent: u64,
    pub(crate) delay: (Duration, Duration),
    /// Whether a stream arrives in pieces of any size.
    pub(crate) sliced: bool,
}

impl Network {
    pub(crate) const GOOD: Self =
        Self { loss_percent: 0, copy_percent: 0, delay: (Duration::from_millis(10), Duration::from_millis(10)), sliced: false };
    pub(crate) const BAD: Self =
        Self { loss_percent: 20, copy_percent: 15, delay: (Duration::from_millis(5), Duration::from_millis(4000)), sliced: true };
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) ends: [Endpoint; 2],
    pub(crate) events: [VecDeque<Event>; 2],
    /// Everything that each end sent, lost or not.
    pub(crate) sent: [Vec<Bytes>; 2],
    pub(crate) network: Network,
    pub(crate) keep_sent: bool,
    random: Arc<Seeded>,
    under_way: BTreeMap<(Instant, u64), (usize, Bytes)>,
    arrived: [BytesMut; 2],
    last_arrival: [Instant; 2],
    count: u64,
    tcp: bool,
}

impl World {
    pub(crate) fn udp(seed: u64, network: Network, configs: [Config; 2]) -> Self {
        Self::new(seed, network, configs, false)
    }

    pub(crate) fn tcp(seed: u64, network: Network, configs: [Config; 2]) -> Self {
        Self::new(seed, network, configs, true)
    }

    fn new(seed: u64, network: Network, configs: [Config; 2], tcp: bool) -> Self {
        let (now, random) = (Instant::now(), Seeded::new(seed));
        let ends = configs.map(|config| match tcp {
            true => Endpoint::tcp(Arc::new(config), random.clone(), now),
            false => Endpoint::udp(Arc::new(config), random.clone(), now),
        });
        Self {
            now,
            ends,
            events: Default::default(),
            sent: Default::default(),
            network,
            keep_sent: true,
            random,
            under_way: BTreeMap::new(),
            arrived: Default::default(),
            last_arrival: [now; 2],
            count: 0,
            tcp,
        }
    }

    pub(crate) fn request(&mut self, from: usize, request: Request) -> RequestId {
        self.ends[from].request(self.now, request).expect("the request can be made")
    }

    pub(crate) fn respond(&mut self, from: usize, exchange: Exchange, answer: Message) {
        self.ends[from].respond(self.now, exchange, answer).expect("the answer can be given");
    }

    /// Lets something else than an endpoint say something to one.
    pub(crate) fn inject(&mut self, to: usize, bytes: Bytes) {
        self.deliver(to, bytes);
        self.collect();
    }

    pub(crate) fn inject_datagram(&mut self, to: usize, datagram: &Datagram) {
        let mut bytes = BytesMut::new();
        datagram.encode(&mut bytes);
        self.inject(to, bytes.freeze());
    }

    /// Goes on to whatever happens next, if that is before `until`.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.collect();
        let next_arrival = self.under_way.keys().next().map(|(at, _)| *at);
        let timeouts = self.ends.iter().filter_map(Endpoint::poll_timeout);
        let Some(next) = timeouts.chain(next_arrival).min().filter(|next| *next <= until) else { return false };
        self.now = self.now.max(next);
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, bytes) = entry.remove();
            self.deliver(to, bytes);
        }
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= self.now) {
                end.handle_timeout(self.now);
                assert!(end.poll_timeout().is_none_or(|at| at > self.now), "a timeout that nothing is done about");
            }
        }
        self.collect();
        true
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Goes on until an end has an event, and takes it.
    pub(crate) fn event(&mut self, of: usize) -> Event {
        let until = self.now + Duration::from_secs(3600);
        loop {
            self.collect();
            if let Some(event) = self.events[of].pop_front() {
                return event;
            }
            assert!(self.step(until), "nothing happens any more");
        }
    }

    /// Goes on until the server has a request.
    pub(crate) fn incoming(&mut self, of: usize) -> Incoming {
        match self.event(of) {
            Event::Request(incoming) => incoming,
            other => panic!("{other:?} is no request"),
        }
    }

    /// Goes on until a request has its answer.
    pub(crate) fn response(&mut self, of: usize) -> (RequestId, Message) {
        match self.event(of) {
            Event::Response { request, message, .. } => (request, message),
            other => panic!("{other:?} is no response"),
        }
    }

    /// What an end has sent over UDP since the last call.
    pub(crate) fn datagrams(&mut self, of: usize) -> Vec<Datagram> {
        self.collect();
        self.sent[of]
            .drain(..)
            .map(|bytes| Datagram::parse(bytes, &Limits::default()).expect("an endpoint sends what can be read"))
            .collect()
    }

    /// Takes out what both ends have to say.
    pub(crate) fn collect(&mut self) {
        for end in [CLIENT, SERVER] {
            while let Some(bytes) = self.ends[end].poll_transmit(self.now) {
                if self.keep_sent {
                    self.sent[end].push(bytes.clone());
                }
                self.send(1 - end, bytes);
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push_back(event);
            }
        }
    }

    fn send(&mut self, to: usize, bytes: Bytes) {
        let spread = (self.network.delay.1 - self.network.delay.0).as_micros() as u64;
        let delay = self.network.delay.0 + Duration::from_micros(self.random.below(spread + 1));
        if self.tcp {
            // A stream loses nothing, unless nobody listens at its end.
            if self.network.loss_percent == 100 {
                return;
            }
            let at = (self.now + delay).max(self.last_arrival[to]);
            self.last_arrival[to] = at;
            let mut rest = bytes;
            while !rest.is_empty() {
                let length = if self.network.sliced { 1 + self.random.below(rest.len() as u64) as usize } else { rest.len() };
                self.put(to, at, rest.split_to(length));
            }
            return;
        }
        if self.random.below(100) < self.network.copy_percent {
            let later = self.now + delay + Duration::from_micros(self.random.below(spread * 2 + 1));
            self.put(to, later, bytes.clone());
        }
        if self.random.below(100) >= self.network.loss_percent {
            self.put(to, self.now + delay, bytes);
        }
    }

    fn put(&mut self, to: usize, at: Instant, bytes: Bytes) {
        self.count += 1;
        self.under_way.insert((at, self.count), (to, bytes));
    }

    fn deliver(&mut self, to: usize, bytes: Bytes) {
        if self.tcp {
            self.arrived[to].extend_from_slice(&bytes);
            self.ends[to].handle_bytes(self.now, &mut self.arrived[to]);
        } else {
            self.ends[to].handle_datagram(self.now, bytes);
        }
    }
}

pub(crate) fn configs() -> [Config; 2] {
    Default::default()
}

pub(crate) fn get(path: &str) -> Request {
    Request::new(Code::GET).options(path_options(path))
}

pub(crate) fn path_options(path: &str) -> Options {
    Options::builder().path(path).expect("the path of a test is short").build()
}

pub(crate) fn answer(code: Code) -> Message {
    Message::new(code, Token::EMPTY)
}

pub(crate) fn content(payload: impl Into<Bytes>) -> Message {
    answer(Code::CONTENT).with_payload(payload)
}

/// A body whose every part is different.
pub(crate) fn body(length: usize) -> Bytes {
    (0..length).map(|place| (place % 251) as u8 ^ (place / 251) as u8).collect()
}
