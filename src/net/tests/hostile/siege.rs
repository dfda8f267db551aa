//! What is done to the server.

use crate::{
    client::{Client, LIMIT, context, dtls, first_words, socket},
    device_port::chains::Chains,
    pause,
    port::{Inside, Port},
};
use gatehouse_testkit::cores;
use openssl::ssl::{SslContext, SslMethod};
use std::{
    collections::VecDeque,
    io::Write,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

/// How much is done in each round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    /// How long good clients work without any of it.
    pub(crate) undisturbed: Duration,
    /// Beside the first, which warms up.
    pub(crate) rounds: usize,
    /// After so long the server gives a handshake up. In the long form it is as long as a round takes, so that each has the same number
    /// of them open at once.
    handshake_seconds: u64,
    hellos: usize,
    /// In a second. No server answers more datagrams than its socket can hold until it is looked at.
    hello_rate: f64,
    /// Handshakes that stop, for each record of the last flight; as many creep.
    halves: usize,
    /// Last flights whose records come in some order, some of them not at all and others more than once.
    flights: usize,
    /// Records of wrong epochs, and as many datagrams of noise.
    noise: usize,
    /// Connections over TCP that end in the middle of a hello.
    cuts: usize,
}

impl Amounts {
    /// With ten rounds, a million hellos and every flight of up to five records.
    pub(crate) const FULL: Self = Self {
        undisturbed: Duration::from_secs(30),
        rounds: 10,
        handshake_seconds: 20,
        hellos: 100_000,
        hello_rate: 10_000.0,
        halves: 20,
        flights: 391,
        noise: 5000,
        cuts: 50,
    };

    pub(crate) const SHORT: Self = Self {
        undisturbed: Duration::from_secs(1),
        rounds: 1,
        handshake_seconds: 3,
        hellos: 2000,
        hello_rate: 4000.0,
        halves: 2,
        flights: 30,
        noise: 300,
        cuts: 5,
    };
}

/// So many hellos come from one address before another is invented.
const HELLOS_OF_ONE: usize = 20;

/// A last flight: certificate, key exchange, its signature, change of keys, end.
const RECORDS: usize = 5;

/// The server and who besieges it.
pub(crate) struct Siege {
    port: Port,
    amounts: Amounts,
    device: SslContext,
    stranger: SslContext,
    hello: Vec<u8>,
    tls_hello: Vec<u8>,
    /// Has an association, and its address is abused.
    victim: Client,
    flights: Vec<Vec<usize>>,
    creeping: Vec<(Client, VecDeque<Vec<u8>>)>,
    chance: Chance,
    /// Those who have ended a handshake, and were let in for it.
    pub(crate) let_in: u64,
    pub(crate) victims_lost: u64,
    /// Handshakes that went as far as the last flight, and those that the server let lie before.
    pub(crate) half: u64,
    pub(crate) unanswered: u64,
    /// The largest answer to a first hello, as a part of it.
    pub(crate) largest_answer: f64,
}

impl Siege {
    pub(crate) fn lay(chains: &Chains, amounts: Amounts) -> Self {
        let port = Port::open(chains, amounts.handshake_seconds);
        let device = dtls(chains, "device");
        let mut victim = Client::new(&device, socket([127, 0, 0, 1], port.dtls));
        assert!(victim.connect() && victim.echo(b"here"), "the server serves whom it should");
        let mut chance = Chance(0x2545_f491_4f6c_dd1d);
        let mut flights = flights_up_to(RECORDS);
        chance.shuffle(&mut flights);
        Self {
            amounts,
            stranger: dtls(chains, "stranger"),
            hello: first_words(&device),
            tls_hello: first_words(&context(chains, "device", SslMethod::tls_client(), |_| ())),
            victim,
            flights,
            creeping: Vec::new(),
            chance,
            let_in: 1,
            victims_lost: 0,
            half: 0,
            unanswered: 0,
            largest_answer: 0.0,
            device,
            port,
        }
    }

    /// Where DTLS is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.dtls
    }

    pub(crate) fn inside(&mut self) -> Inside {
        self.port.inside()
    }

    /// How many have come in so far, when the server has looked at everything that was sent.
    pub(crate) fn came(&mut self) -> u64 {
        self.check_victim();
        self.inside().came
    }

    /// Everything once.
    pub(crate) fn round(&mut self, round: usize) {
        let connections = self.cut_tls_hellos();
        self.begin_to_creep();
        for part in 0..RECORDS {
            self.hellos(self.amounts.hellos / RECORDS);
            self.stop_half_way(part);
            self.creep();
        }
        self.flights(round);
        self.noise();
        self.wrong_epochs();
        self.cookies_of_the_victim();
        self.check_victim();
        drop(connections);
        self.creeping.clear();
    }

    /// What the server has in memory when nobody is in a handshake.
    pub(crate) fn memory_when_quiet(&mut self) -> u64 {
        let begun = Instant::now();
        while self.inside().half_open > 0 && begun.elapsed() < LIMIT {
            pause(Duration::from_millis(20));
        }
        cores::resident(self.port.id())
    }

    /// First hellos from many addresses, none of which brings its cookie back.
    fn hellos(&mut self, count: usize) {
        let begun = Instant::now();
        let mut buffer = [0; 2048];
        let mut hello = self.hello.clone();
        let mut from = self.stranger_socket();
        for number in 0..count {
            if number % HELLOS_OF_ONE == HELLOS_OF_ONE - 1 {
                from = self.stranger_socket();
            }
            // The client's random bytes.
            self.chance.fill(&mut hello[27..59]);
            drop(from.send(&hello));
            if number % 1000 == 0
                && let Ok(length) = from.recv(&mut buffer)
            {
                self.largest_answer = self.largest_answer.max(length as f64 / hello.len() as f64);
            }
            let due = Duration::from_secs_f64(number as f64 / self.amounts.hello_rate);
            if let Some(early) = due.checked_sub(begun.elapsed()).filter(|early| *early > Duration::from_millis(2)) {
                pause(early);
            }
        }
    }

    /// Handshakes of which so many records of the last flight are sent, and never its end.
    fn stop_half_way(&mut self, sent: usize) {
        for number in 0..self.amounts.halves {
            // A stranger's chain is refused when its signature comes; up to there it is like any other.
            let context = if number % 2 == 0 { self.device.clone() } else { self.stranger.clone() };
            let mut client = Client::new(&context, self.stranger_socket());
            let Some(records) = self.last_flight_of(&mut client) else { continue };
            records.iter().take(sent.min(RECORDS - 1)).for_each(|record| client.send(record));
        }
    }

    fn begin_to_creep(&mut self) {
        for _ in 0..self.amounts.halves {
            let mut client = self.device_elsewhere();
            let records = self.last_flight_of(&mut client).unwrap_or_default();
            self.creeping.push((client, records.into_iter().take(RECORDS - 1).collect()));
        }
    }

    /// One record more of each.
    fn creep(&mut self) {
        for (client, records) in &mut self.creeping {
            if let Some(record) = records.pop_front() {
                client.send(&record);
            }
        }
    }

    /// Last flights with records left out, repeated and in another order. Who has sent all of them is let in, in whatever order.
    fn flights(&mut self, round: usize) {
        let all = self.flights.iter().cycle().skip(round * self.amounts.flights).take(self.amounts.flights);
        let in_order = (0..RECORDS).collect();
        let orders: Vec<Vec<usize>> = all.cloned().chain([in_order]).collect();
        for order in orders {
            let mut client = self.device_elsewhere();
            let Some(records) = self.last_flight_of(&mut client) else { continue };
            order.iter().filter_map(|at| records.get(*at)).for_each(|record| client.send(record));
            let is_whole = (0..RECORDS).all(|at| order.contains(&at));
            if is_whole {
                self.let_in += u64::from(client.connect());
                client.leave();
            }
        }
    }

    fn noise(&mut self) {
        let mut bytes = [0; 1400];
        for _ in 0..self.amounts.noise {
            let length = self.chance.below(bytes.len());
            self.chance.fill(&mut bytes[..length]);
            if self.chance.below(2) == 0 {
                self.victim.send(&bytes[..length]);
            } else {
                drop(self.stranger_socket().send(&bytes[..length]));
            }
        }
    }

    /// Records of every kind and any epoch under the victim's address. Nobody has the keys of the right one either.
    fn wrong_epochs(&mut self) {
        for number in 0..self.amounts.noise {
            let mut content = vec![0; self.chance.below(64)];
            self.chance.fill(&mut content);
            let kind = [20, 21, 22, 23][number % 4];
            let [high, low] = if number % 8 < 4 { [0, (number / 8 % 4) as u8] } else { (self.chance.below(65_536) as u16).to_be_bytes() };
            let length = content.len() as u8;
            self.victim.send(&[&[kind, 254, 253, high, low, 0, 0, 0, 0, 0, 9, 0, length][..], &content].concat());
            if number % 64 == 0 {
                self.check_victim();
            }
        }
    }

    /// Handshakes under the victim's address, which go as far as one can without a key that is good: the old association stays.
    fn cookies_of_the_victim(&mut self) {
        for sent in 0..RECORDS {
            for context in [self.device.clone(), self.stranger.clone()] {
                let mut client = self.victim.again(&context);
                let Some(records) = self.last_flight_of(&mut client) else { continue };
                records.iter().take(sent).for_each(|record| client.send(record));
            }
            self.check_victim();
        }
    }

    fn cut_tls_hellos(&mut self) -> Vec<TcpStream> {
        let mut connections = Vec::new();
        for server in [self.port.rustls, self.port.openssl] {
            for _ in 0..self.amounts.cuts {
                let length = self.chance.below(self.tls_hello.len() + 1);
                let mut connection = TcpStream::connect(server).expect("it listens");
                connection.write_all(&self.tls_hello[..length]).expect("sent");
                connections.push(connection);
            }
        }
        connections
    }

    fn check_victim(&mut self) {
        let word = self.chance.next().to_be_bytes();
        if !self.victim.echo(&word) {
            self.victims_lost += 1;
            self.victim = Client::new(&self.device, socket([127, 0, 0, 1], self.port.dtls));
            self.let_in += u64::from(self.victim.connect());
        }
    }

    /// A good device under an invented address.
    fn device_elsewhere(&mut self) -> Client {
        let socket = self.stranger_socket();
        Client::new(&self.device, socket)
    }

    /// Goes up to where the server waits for the last flight.
    fn last_flight_of(&mut self, client: &mut Client) -> Option<Vec<Vec<u8>>> {
        let records = client.up_to_last_flight();
        self.half += u64::from(records.is_some());
        self.unanswered += u64::from(records.is_none());
        records
    }

    /// An address of the loopback network that most likely nobody else has.
    fn stranger_socket(&mut self) -> UdpSocket {
        let [a, b, c, ..] = self.chance.next().to_be_bytes();
        socket([127, a.max(1), b, c.clamp(1, 254)], self.port.dtls)
    }
}

/// All sequences of records of a last flight, up to this length.
fn flights_up_to(length: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..length {
        let with = |flight: &Vec<usize>| (0..RECORDS).map(|record| [&flight[..], &[record]].concat()).collect::<Vec<_>>();
        longest = longest.iter().flat_map(with).collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// The same choices in every run (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }
}
