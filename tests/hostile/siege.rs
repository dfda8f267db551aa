//! Who attacks, how much, and in which order.

use crate::{
    device_port::{chains::Chains, client::LIMIT},
    floods::{Crowd, Hellos},
    handshakes::Handshakes,
    pause,
    rogues::Rogues,
    server::{Inside, Port},
    streams::Streams,
};
use gatehouse_testkit::cores;
use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// How much is done in each round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    /// How long good clients work without any of it.
    pub(crate) undisturbed: Duration,
    /// Beside the first, which warms up.
    pub(crate) rounds: usize,
    /// After so long the server gives a handshake up.
    pub(crate) handshake_seconds: u64,
    /// Places for half-open peers, of which a network gets an eighth.
    pub(crate) half_open: usize,
    pub(crate) hellos: usize,
    /// In a second.
    pub(crate) hello_rate: f64,
    /// Handshakes that stop, for each record of the last flight; as many creep.
    pub(crate) halves: usize,
    /// Last flights whose records come in some order, some of them not at all and others more than once.
    pub(crate) flights: usize,
    /// Records of wrong epochs, and as many datagrams of noise.
    pub(crate) noise: usize,
    /// Hellos with valid cookies, of which nothing more follows.
    pub(crate) crowd: usize,
    /// In a second: each costs the server a signature.
    pub(crate) crowd_rate: f64,
    /// Connections over TCP, for each of the things that go wrong with them.
    pub(crate) streams: usize,
    /// What each device says that is authentic and hostile.
    pub(crate) sayings: usize,
}

impl Amounts {
    /// With ten rounds, a million hellos and every flight of up to five records.
    pub(crate) const FULL: Self = Self {
        undisturbed: Duration::from_secs(30),
        rounds: 10,
        handshake_seconds: 15,
        half_open: 1024,
        hellos: 100_000,
        hello_rate: 10_000.0,
        halves: 20,
        flights: 391,
        noise: 5000,
        crowd: 2000,
        crowd_rate: 200.0,
        streams: 50,
        sayings: 2000,
    };

    pub(crate) const SHORT: Self = Self {
        undisturbed: Duration::from_secs(1),
        rounds: 0,
        handshake_seconds: 3,
        half_open: 64,
        hellos: 2000,
        hello_rate: 4000.0,
        halves: 2,
        flights: 15,
        noise: 300,
        crowd: 200,
        crowd_rate: 200.0,
        streams: 5,
        sayings: 100,
    };
}

/// The server and who besieges it.
pub(crate) struct Siege {
    pub(crate) port: Port,
    amounts: Amounts,
    pub(crate) hellos: Hellos,
    pub(crate) handshakes: Handshakes,
    pub(crate) crowd: Crowd,
    pub(crate) streams: Streams,
    pub(crate) rogues: Rogues,
    /// The most places that were taken at once by those who are half open.
    pub(crate) most_half_open: u64,
    /// The most that peers observed at once.
    pub(crate) most_observations: u64,
}

impl Siege {
    pub(crate) fn lay(chains: &Chains, amounts: Amounts) -> Self {
        let port = Port::open(chains, &amounts);
        Self {
            hellos: Hellos::new(chains, port.dtls),
            handshakes: Handshakes::new(chains, port.dtls),
            crowd: Crowd::new(chains, port.dtls),
            streams: Streams::new(chains, port.tls),
            rogues: Rogues::new(chains, port.dtls, port.tls),
            most_half_open: 0,
            most_observations: 0,
            amounts,
            port,
        }
    }

    /// Where the server is, over DTLS and over TLS.
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.port.dtls, self.port.tls)
    }

    /// Everything once: most of it at the same time, then, for as long as it needs all places, the crowd, and at last as much as half-open peers
    /// can make the server hold. What that was the process keeps for the next ones: after each round it has reached the same height, unless
    /// something was left behind.
    pub(crate) fn round(&mut self, round: usize) {
        let Self { hellos, handshakes, streams, rogues, crowd, amounts, port, .. } = self;
        let watched = thread::scope(|scope| {
            let attackers = [
                scope.spawn(|| giving_way(|| hellos.round(amounts))),
                scope.spawn(|| giving_way(|| handshakes.round(amounts, round))),
                scope.spawn(|| giving_way(|| streams.round(amounts))),
                scope.spawn(|| giving_way(|| rogues.round(amounts))),
            ];
            watch(port, || attackers.iter().all(|attacker| attacker.is_finished()))
        });
        let crowded = thread::scope(|scope| {
            let attacker = scope.spawn(|| giving_way(|| crowd.round(amounts)));
            watch(port, || attacker.is_finished())
        });
        self.handshakes.check_victim();
        self.streams.leave();
        self.wait_until_quiet();
        let Self { handshakes, amounts, port, .. } = self;
        let filled = thread::scope(|scope| {
            let attacker = scope.spawn(|| giving_way(|| handshakes.fill(amounts.half_open)));
            watch(port, || attacker.is_finished())
        });
        for inside in [watched, crowded, filled] {
            self.most_half_open = self.most_half_open.max(inside.0);
            self.most_observations = self.most_observations.max(inside.1);
        }
    }

    /// What the server has in memory when nobody is in a handshake.
    pub(crate) fn memory_when_quiet(&mut self) -> u64 {
        self.wait_until_quiet();
        self.port.memory()
    }

    fn wait_until_quiet(&self) {
        let begun = Instant::now();
        while is_busy(self.port.inside()) && begun.elapsed() < LIMIT {
            pause(Duration::from_millis(100));
        }
    }
}

/// The good clients' new associations are half open for moments.
fn is_busy(inside: Inside) -> bool {
    inside.half_open > 2 || inside.streams > 2
}

/// Looks at the server until it is enough: the most that was half open, and the most observations.
fn watch(port: &Port, is_enough: impl Fn() -> bool) -> (u64, u64) {
    let mut most = (0, 0);
    while !is_enough() {
        let inside = port.inside();
        most = (inside.half_open.max(most.0), inside.observations.max(most.1));
        pause(Duration::from_millis(250));
    }
    most
}

/// Attackers and good clients share a core; what the good ones lose shall be the server's doing.
fn giving_way(attack: impl FnOnce()) {
    cores::give_way();
    attack();
}
