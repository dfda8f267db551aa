//! Good clients: one that asks within its DTLS association, one within its TLS connection, and one that comes anew each time.
//!
//! Each keeps a steady pace. A request is due at its time, whether or not the one before was answered: what a slow server keeps waiting
//! counts as slow, and a server that is behind for long loses rate.

use crate::{
    coap::{self, StreamClient},
    device_port::{
        chains::Chains,
        client::{Client, context, dtls, socket},
    },
    pause,
};
use openssl::ssl::{SslContext, SslMethod};
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

const HOME: [u8; 4] = [127, 0, 0, 1];

/// How fast one of them wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As a device, or a good many behind one address.
    Steady,
    /// As fast as answers come.
    Hurried,
}

/// The good clients at work.
pub(crate) struct Good {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Tally>>,
}

/// What a good client has achieved.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) name: &'static str,
    /// Handshakes that were ended.
    pub(crate) done: u64,
    /// Handshakes that were begun.
    begun: u64,
    pub(crate) over_tls: bool,
    answered: usize,
    took: Duration,
    waits: Vec<Duration>,
}

impl Good {
    pub(crate) fn start(chains: &Chains, over_dtls: SocketAddr, over_tls: SocketAddr, pace: Pace) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start =
            |context: SslContext, server: SocketAddr, work: fn(&SslContext, SocketAddr, Duration, &AtomicBool) -> Tally, every: u64| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || work(&context, server, Duration::from_millis(every), &stop))
            };
        let threads = match pace {
            Pace::Steady => vec![
                start(dtls(chains, "device"), over_dtls, ask, 5),
                start(context(chains, "device", SslMethod::tls_client(), |_| ()), over_tls, ask_over_tls, 5),
                start(dtls(chains, "device"), over_dtls, come, 100),
            ],
            Pace::Hurried => vec![start(dtls(chains, "device"), over_dtls, ask, 0)],
        };
        Self { stop, threads }
    }

    pub(crate) fn stop(self) -> Vec<Tally> {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("a good client")).collect()
    }
}

fn ask(context: &SslContext, server: SocketAddr, every: Duration, stop: &AtomicBool) -> Tally {
    let mut client = Client::new(context, socket(HOME, server));
    let mut tally = Tally::new("requests within an association", false);
    tally.begun = 1;
    tally.done = u64::from(client.connect());
    let mut number = 0_u64;
    tally.work(every, stop, |_| {
        number += 1;
        client.exchange(&coap::good(number), |answer| coap::answers(answer, number))
    });
    client.leave();
    tally
}

fn ask_over_tls(context: &SslContext, server: SocketAddr, every: Duration, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::new("requests within a TLS connection", true);
    tally.begun = 1;
    let mut client = StreamClient::connect(context, HOME, server);
    tally.done = u64::from(client.is_some());
    let mut number = 0_u64;
    tally.work(every, stop, |_| {
        number += 1;
        client.as_mut().is_some_and(|client| client.ask(number))
    });
    tally
}

fn come(context: &SslContext, server: SocketAddr, every: Duration, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::new("new associations", false);
    tally.work(every, stop, |tally| {
        let mut client = Client::new(context, socket(HOME, server));
        tally.begun += 1;
        let is_in = client.connect();
        tally.done += u64::from(is_in);
        let is_served = is_in && client.exchange(&coap::good(1), |answer| coap::answers(answer, 1));
        client.leave();
        is_served
    });
    tally
}

impl Tally {
    fn new(name: &'static str, over_tls: bool) -> Self {
        Self { name, done: 0, begun: 0, over_tls, answered: 0, took: Duration::ZERO, waits: Vec::new() }
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
            due = if every.is_zero() { Instant::now() } else { due + every };
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
