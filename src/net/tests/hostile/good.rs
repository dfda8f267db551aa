//! Good clients: one that asks within its association and one that comes anew each time, both at a steady pace.
//!
//! A request is due at its time, whether or not the one before was answered: what a slow server keeps waiting counts as slow.

use crate::{
    client::{Client, dtls, socket},
    device_port::chains::Chains,
    pause,
};
use openssl::ssl::SslContext;
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const EXCHANGES: (&str, Duration) = ("requests within an association", Duration::from_millis(5));
const HANDSHAKES: (&str, Duration) = ("new associations", Duration::from_millis(100));

/// The good clients at work.
pub(crate) struct Good {
    stop: Arc<AtomicBool>,
    threads: [JoinHandle<Tally>; 2],
}

/// What a good client has achieved.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) name: &'static str,
    /// Handshakes that were ended.
    pub(crate) done: u64,
    /// Handshakes that were begun.
    begun: u64,
    answered: usize,
    took: Duration,
    waits: Vec<Duration>,
}

impl Good {
    pub(crate) fn start(chains: &Chains, server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |work: fn(&SslContext, SocketAddr, &AtomicBool) -> Tally| {
            let (context, stop) = (dtls(chains, "device"), Arc::clone(&stop));
            thread::spawn(move || work(&context, server, &stop))
        };
        let threads = [start(ask), start(come)];
        Self { stop, threads }
    }

    pub(crate) fn stop(self) -> [Tally; 2] {
        self.stop.store(true, Relaxed);
        self.threads.map(|thread| thread.join().expect("a good client"))
    }
}

fn new_client(context: &SslContext, server: SocketAddr) -> Client {
    Client::new(context, socket([127, 0, 0, 1], server))
}

fn ask(context: &SslContext, server: SocketAddr, stop: &AtomicBool) -> Tally {
    let mut client = new_client(context, server);
    let mut tally = Tally::new(EXCHANGES.0);
    tally.begun = 1;
    tally.done = u64::from(client.connect());
    let mut number = 0_u64;
    tally.work(EXCHANGES.1, stop, |_| {
        number += 1;
        client.echo(&number.to_be_bytes())
    });
    client.leave();
    tally
}

fn come(context: &SslContext, server: SocketAddr, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::new(HANDSHAKES.0);
    tally.work(HANDSHAKES.1, stop, |tally| {
        let mut client = new_client(context, server);
        tally.begun += 1;
        let is_in = client.connect();
        tally.done += u64::from(is_in);
        let is_served = is_in && client.echo(b"here");
        client.leave();
        is_served
    });
    tally
}

impl Tally {
    fn new(name: &'static str) -> Self {
        Self { name, done: 0, begun: 0, answered: 0, took: Duration::ZERO, waits: Vec::new() }
    }

    fn work(&mut self, every: Duration, stop: &AtomicBool, mut one: impl FnMut(&mut Self) -> bool) {
        let begun = Instant::now();
        let mut due = begun;
        while !stop.load(Relaxed) {
            while let Some(early) = due.checked_duration_since(Instant::now()).filter(|early| !early.is_zero()) {
                pause(early);
            }
            let is_answered = one(self);
            self.answered += usize::from(is_answered);
            self.waits.push(due.elapsed());
            due += every;
        }
        self.took = begun.elapsed();
        self.waits.sort_unstable();
    }

    /// Answers in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// Handshakes that the client has given up.
    pub(crate) fn failed(&self) -> u64 {
        self.begun - self.done
    }

    fn quantile(&self, hundredths: usize) -> Duration {
        self.waits.get(self.waits.len() * hundredths / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.waits.len() - self.answered;
        let [half, most] = [50, 99].map(|hundredths| self.quantile(hundredths));
        write!(out, "{}: {:.1} a second, {lost} unanswered, p50 {half:.1?}, p99 {most:.1?}", self.name, self.rate())
    }
}
