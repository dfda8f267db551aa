//! How much may be asked at once and how often: of all, of one peer network, and with one credential.
//!
//! The server takes a [`Turn`] before anything is found out about a request, and holds it until the answer is dropped. Rates of
//! credentials are looked at when it is known whose they are: who authenticates leaves a [`RateKey`] in the request.

use crate::{
    Config, Problem, Refusal, counters,
    rate::{Buckets, Rate},
};
use axum::http::StatusCode;
use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Who comes back when all places are taken should not come at once.
const PLACES_WAIT: Duration = Duration::from_secs(1);

pub(crate) const BUSY: Refusal = Refusal::of_status(StatusCode::SERVICE_UNAVAILABLE, "busy");
pub(crate) const NETWORK_BUSY: Refusal = Refusal::of_status(StatusCode::TOO_MANY_REQUESTS, "requests-at-once");
pub(crate) const NETWORK_RATE: Refusal = Refusal::of_status(StatusCode::TOO_MANY_REQUESTS, "network-rate");
pub(crate) const CREDENTIAL_RATE: Refusal = Refusal::of_status(StatusCode::TOO_MANY_REQUESTS, "credential-rate");

/// Whose rate a request counts for, besides its network's: a token, a program, a person. Left in the request's extensions by
/// [`Authenticate`](crate::Authenticate).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RateKey(pub Arc<str>);

/// Limits that all listeners of HTTP share.
pub struct Limits {
    most: usize,
    most_per_network: usize,
    network: Box<dyn Fn(IpAddr) -> IpAddr + Send + Sync>,
    /// Times are counted from here.
    began: Instant,
    state: Mutex<State>,
}

struct State {
    working: usize,
    networks: HashMap<IpAddr, usize>,
    network_rates: Buckets<IpAddr>,
    credential_rates: Buckets<RateKey>,
}

impl Limits {
    /// The configured limits. `network` tells which network an address counts for.
    pub fn new(config: &Config, network: impl Fn(IpAddr) -> IpAddr + Send + Sync + 'static) -> Arc<Self> {
        let rate = |per_second, burst| Rate { per_second, burst };
        let state = State {
            working: 0,
            networks: HashMap::new(),
            network_rates: Buckets::new(rate(config.network_rate, config.network_burst), config.rate_entries),
            credential_rates: Buckets::new(rate(config.credential_rate, config.credential_burst), config.rate_entries),
        };
        let (most, most_per_network) = (config.requests, config.requests_per_network);
        Arc::new(Self { most, most_per_network, network: Box::new(network), began: Instant::now(), state: Mutex::new(state) })
    }

    /// The time by which rates are counted.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// A turn for a request from this address.
    pub(crate) fn turn(self: &Arc<Self>, address: IpAddr, now: Duration) -> Result<Turn, Problem> {
        let network = (self.network)(address);
        let mut state = self.state();
        if state.working >= self.most {
            return Err(refused("requests", BUSY, PLACES_WAIT));
        }
        if state.networks.get(&network).is_some_and(|working| *working >= self.most_per_network) {
            return Err(refused("requests_per_network", NETWORK_BUSY, PLACES_WAIT));
        }
        state.network_rates.take(&network, now).map_err(|wait| refused("network_rate", NETWORK_RATE, wait))?;
        counters::rates("networks", state.network_rates.len());
        state.working += 1;
        *state.networks.entry(network).or_default() += 1;
        Ok(Turn { limits: Arc::clone(self), network })
    }

    /// Counts a request for its credential.
    pub(crate) fn credential(&self, key: &RateKey, now: Duration) -> Result<(), Problem> {
        let mut state = self.state();
        state.credential_rates.take(key, now).map_err(|wait| refused("credential_rate", CREDENTIAL_RATE, wait))?;
        counters::rates("credentials", state.credential_rates.len());
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Limits").field("most", &self.most).field("most_per_network", &self.most_per_network).finish_non_exhaustive()
    }
}

fn refused(setting: &'static str, refusal: Refusal, wait: Duration) -> Problem {
    counters::refused(setting);
    Problem::to_wait(refusal, wait)
}

/// A place among the requests that are worked on, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    limits: Arc<Limits>,
    network: IpAddr,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.limits.state();
        state.working = state.working.saturating_sub(1);
        if let Some(working) = state.networks.get_mut(&self.network) {
            *working = working.saturating_sub(1);
            if *working == 0 {
                state.networks.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(config: Config) -> Arc<Limits> {
        // Neighbours in the last byte are one network.
        let network = |address| match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & !0xff).into()),
            other => other,
        };
        Limits::new(&config, network)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn code(answer: Result<Turn, Problem>) -> &'static str {
        answer.expect_err("refused").code()
    }

    #[test]
    fn places_are_counted_for_all_and_for_each_network_and_given_back() {
        let limits = limits(Config { requests: 3, requests_per_network: 2, ..Config::default() });
        let (ann, ben) = (address("192.0.2.1"), address("198.51.100.1"));
        let mut turns = vec![limits.turn(ann, Duration::ZERO).expect("a turn"), limits.turn(ann, Duration::ZERO).expect("a turn")];
        assert_eq!(code(limits.turn(address("192.0.2.9"), Duration::ZERO)), "requests-at-once");
        turns.push(limits.turn(ben, Duration::ZERO).expect("a turn"));
        assert_eq!(code(limits.turn(ben, Duration::ZERO)), "busy");
        turns.clear();
        limits.turn(ann, Duration::ZERO).expect("a turn");
        assert!(limits.state().networks.is_empty(), "nothing is kept of who is gone");
    }

    #[test]
    fn a_network_and_a_credential_have_rates_of_their_own() {
        let limits = limits(Config { network_rate: 1, network_burst: 2, credential_rate: 1, credential_burst: 1, ..Config::default() });
        let ann = address("192.0.2.1");
        limits.turn(ann, Duration::ZERO).expect("a turn");
        limits.turn(ann, Duration::ZERO).expect("a turn");
        assert_eq!(code(limits.turn(ann, Duration::ZERO)), "network-rate");
        limits.turn(address("198.51.100.1"), Duration::ZERO).expect("another network");
        limits.turn(ann, Duration::from_secs(1)).expect("a second later");
        let (deploy, backup) = (RateKey("token deploy".into()), RateKey("token backup".into()));
        limits.credential(&deploy, Duration::ZERO).expect("granted");
        assert_eq!(limits.credential(&deploy, Duration::ZERO).expect_err("refused").code(), "credential-rate");
        limits.credential(&backup, Duration::ZERO).expect("another token");
    }
}
