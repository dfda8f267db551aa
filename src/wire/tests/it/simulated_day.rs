//! A day on a bad network: each confirmable request is answered once or reported failed, never both, never neither, and its
//! server hears of it at most once.

use crate::world::*;
use gatehouse_wire::coap::{
    Code, OptionNumber, Options,
    endpoint::{Config, Delivery, Event, Exchange, Limits, ObservationId, Reliability, Request, RequestId, TcpStyle},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What both applications do, and what they saw.
struct Day {
    world: World,
    random: Arc<Seeded>,
    /// By who asked.
    asked: BTreeMap<(usize, RequestId), Asked>,
    /// How often a server heard of a request, by its number.
    heard: BTreeMap<u32, u32>,
    /// Answers that are given later, by whom, and how large they are.
    later: BTreeMap<(Instant, u32), (usize, Exchange, usize)>,
    observation: Option<ObservationId>,
    observing: Option<RequestId>,
    state: u32,
    newest: u32,
    notifications: u32,
    number: u32,
}

struct Asked {
    number: u32,
    answer: usize,
    outcomes: u32,
    answered: bool,
}

impl Day {
    fn new(world: World, seed: u64) -> Self {
        Self {
            world,
            random: Seeded::new(!seed),
            asked: BTreeMap::new(),
            heard: BTreeMap::new(),
            later: BTreeMap::new(),
            observation: None,
            observing: None,
            state: 0,
            newest: 0,
            notifications: 0,
            number: 0,
        }
    }

    fn live(&mut self) {
        let end = self.world.now + DAY;
        while self.world.now < end {
            let by = self.random.below(2) as usize;
            self.ask(by);
            self.change();
            let pause = Duration::from_millis(self.random.below(20_000));
            self.pass(pause);
        }
        // What is still under way comes to its end.
        self.pass(Duration::from_secs(1000));
        self.world.network = Network::GOOD;
        self.pass(Duration::from_secs(1000));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.world.now + time;
        loop {
            let due = self.later.keys().next().map_or(until, |(at, _)| (*at).min(until));
            let stepped = self.world.step(due);
            self.take_events();
            if !stepped {
                self.world.now = self.world.now.max(due);
                self.answer_due();
                if due == until {
                    return;
                }
            }
        }
    }

    /// A request and its answer, each of a size that now and then takes blocks.
    fn ask(&mut self, by: usize) {
        self.number += 1;
        let (sent, answer) = (self.size(), self.size());
        let options = Options::builder().uint(OptionNumber(65_000), self.number).uint(OptionNumber(65_002), answer as u32);
        let request = Request::new(Code::POST).options(options.build()).payload(body(sent)).timeout(Duration::from_secs(200));
        if let Ok(id) = self.world.ends[by].request(self.world.now, request) {
            self.asked.insert((by, id), Asked { number: self.number, answer, outcomes: 0, answered: false });
        }
    }

    fn size(&self) -> usize {
        match self.random.below(12) {
            0 => 1024 + self.random.below(4000) as usize,
            _ => self.random.below(200) as usize,
        }
    }

    /// What the client observes changes, and it observes again what it lost.
    fn change(&mut self) {
        let now = self.world.now;
        if self.observing.is_none() {
            self.observing = self.world.ends[CLIENT].request(now, get("/state").observe()).ok();
        }
        if let Some(observation) = self.observation {
            self.state += 1;
            let size = 4 + self.size();
            self.world.ends[SERVER].notify(now, observation, state(self.state, size), Delivery::Automatic);
        }
    }

    fn answer_due(&mut self) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= self.world.now) {
            let (by, exchange, size) = entry.remove();
            self.world.respond(by, exchange, content(body(size)));
        }
    }

    fn take_events(&mut self) {
        for end in [CLIENT, SERVER] {
            while let Some(event) = self.world.events[end].pop_front() {
                self.take_event(end, event);
            }
        }
    }

    fn take_event(&mut self, end: usize, event: Event) {
        let now = self.world.now;
        match event {
            Event::Request(incoming) if incoming.observe => {
                let answer = state(self.state, 10);
                self.observation = self.world.ends[end].respond_observed(now, incoming.exchange, answer).expect("it is answered at once");
            }
            // The rest of a state that has changed meanwhile.
            Event::Request(incoming) if incoming.message.code == Code::GET => {
                let size = 4 + self.size();
                self.world.respond(end, incoming.exchange, state(self.state, size));
            }
            Event::Request(incoming) => {
                let options = &incoming.message.options;
                let (Some(number), Some(size)) = (options.uint(OptionNumber(65_000)), options.uint(OptionNumber(65_002))) else {
                    panic!("{incoming:?} was never asked")
                };
                assert_eq!(incoming.message.payload, body(incoming.message.payload.len()));
                *self.heard.entry(number).or_default() += 1;
                let wait = Duration::from_millis(self.random.below(5) * 700);
                self.later.insert((now + wait, number), (end, incoming.exchange, size as usize));
            }
            Event::Response { request, message, .. } if self.observing == Some(request) && end == CLIENT => self.observed(&message.payload),
            Event::Notification { message, .. } => self.observed(&message.payload),
            Event::Response { request, message, observing } => {
                assert!(!observing);
                let asked = self.asked.get_mut(&(end, request)).expect("only what was asked is answered");
                asked.outcomes += 1;
                if message.code == Code::CONTENT {
                    asked.answered = true;
                    assert_eq!(message.payload, body(asked.answer), "request {}", asked.number);
                } else {
                    // The blocks of an answer that came too late.
                    assert_eq!(message.code, Code::REQUEST_ENTITY_INCOMPLETE);
                }
            }
            Event::Failed { request, .. } | Event::ObservationEnded { request, .. } if self.observing == Some(request) && end == CLIENT => {
                self.observing = None;
            }
            Event::Failed { request, .. } => {
                self.asked.get_mut(&(end, request)).expect("only what was asked fails").outcomes += 1;
            }
            Event::ObserverGone { observation, .. } if self.observation == Some(observation) => self.observation = None,
            Event::ObserverGone { .. } | Event::Stale { .. } => {}
            other => panic!("{other:?} has no place in this day"),
        }
    }

    fn observed(&mut self, payload: &[u8]) {
        let seen = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        assert!(seen <= self.state);
        self.notifications += 1;
        self.newest = self.newest.max(seen);
    }

    fn judge(&self) {
        let wrong: Vec<u32> = self.asked.values().filter(|asked| asked.outcomes != 1).map(|asked| asked.number).collect();
        assert!(wrong.is_empty(), "without exactly one outcome: {wrong:?}");
        let twice: Vec<_> = self.heard.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "carried out more than once: {twice:?}");
        for asked in self.asked.values().filter(|asked| asked.answered) {
            assert_eq!(self.heard.get(&asked.number), Some(&1), "request {} was answered and never heard", asked.number);
        }
        for end in &self.world.ends {
            let usage = end.usage();
            assert_eq!(
                (usage.exchanges_in, usage.bodies, usage.body_bytes, usage.queue_bytes, usage.waiting),
                (0, 0, 0, 0, 0),
                "{usage:?}"
            );
        }
    }

    fn answered(&self) -> usize {
        self.asked.values().filter(|asked| asked.answered).count()
    }
}

fn state(number: u32, size: usize) -> gatehouse_wire::coap::Message {
    content([&number.to_be_bytes()[..], &body(size)].concat())
}

#[test]
fn over_udp_with_loss_delay_copies_and_disorder() {
    let reliability = Reliability { nstart: 4, ..Reliability::default() };
    let limits = Limits { dedup_entries: 4096, ..Limits::default() };
    let config = Config { reliability, limits, ..Config::default() };
    for seed in 1..=3 {
        let mut world = World::udp(seed, Network::BAD, [config.clone(), config.clone()]);
        world.keep_sent = false;
        let mut day = Day::new(world, seed);
        day.live();
        day.judge();
        let (asked, answered) = (day.asked.len(), day.answered());
        assert!(asked > 5000, "only {asked} requests");
        assert!(answered * 100 > asked * 90, "{answered} of {asked} were answered");
        assert!(answered < asked, "a network this bad makes some fail");
        assert!(day.notifications > 1000, "{} notifications", day.notifications);
    }
}

#[test]
fn over_tcp_in_pieces_of_any_size() {
    for (seed, tcp) in [(1, TcpStyle::General), (2, TcpStyle::DEVICE)] {
        let config = Config { tcp, limits: Limits { message: 8192, ..Limits::default() }, ..Config::default() };
        let mut world = World::tcp(seed, Network { sliced: true, ..Network::GOOD }, [config.clone(), config]);
        world.keep_sent = false;
        let mut day = Day::new(world, seed);
        day.pass(Duration::from_secs(1));
        day.live();
        day.judge();
        let (asked, answered) = (day.asked.len(), day.answered());
        assert!(asked > 5000, "only {asked} requests");
        assert_eq!(answered, asked, "nothing is lost in a stream");
        assert_eq!(day.newest, day.state);
    }
}
