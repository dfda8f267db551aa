//! Cookies: how a client proves that it receives what is sent to its address, before anything is kept about it
//! (RFC 6347 §4.2.1).

use gatehouse_types::Random;
use openssl::memcmp;
use ring::hmac;
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Bytes of a cookie. The answer to a first hello is then 35 bytes long, less than a third of the shortest hello of real devices, so
/// that nobody gains by having us answer to somebody else. Guessing one takes 2^55 attempts within its life.
pub(crate) const LENGTH: usize = 7;

/// A cookie is good in the period in which it was made and in the next one.
const PERIOD: Duration = Duration::from_secs(60);

/// Makes and checks the cookies of one listener.
pub(crate) struct Cookies {
    key: hmac::Key,
    start: Instant,
}

impl Cookies {
    pub(crate) fn new(random: &dyn Random, start: Instant) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), start }
    }

    /// The cookie for this address now.
    pub(crate) fn make(&self, address: SocketAddr, now: Instant) -> [u8; LENGTH] {
        self.of_period(address, self.period(now))
    }

    /// Whether this address was given this cookie a moment ago.
    pub(crate) fn check(&self, address: SocketAddr, now: Instant, cookie: &[u8]) -> bool {
        let period = self.period(now);
        let is = |period| cookie.len() == LENGTH && memcmp::eq(&self.of_period(address, period), cookie);
        is(period) || period.checked_sub(1).is_some_and(is)
    }

    fn period(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / PERIOD.as_secs()
    }

    fn of_period(&self, address: SocketAddr, period: u64) -> [u8; LENGTH] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&period.to_be_bytes());
        context.update(&address.port().to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        let tag = context.sign();
        let mut cookie = [0; LENGTH];
        cookie.copy_from_slice(&tag.as_ref()[..LENGTH]);
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SystemRandom;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_cookie_is_good_for_its_address_and_port_only() {
        let now = Instant::now();
        let cookies = Cookies::new(&SystemRandom, now);
        let cookie = cookies.make(address("192.0.2.1:5684"), now);
        assert!(cookies.check(address("192.0.2.1:5684"), now, &cookie));
        for other in ["192.0.2.1:5685", "192.0.2.2:5684", "[2001:db8::1]:5684"] {
            assert!(!cookies.check(address(other), now, &cookie), "{other}");
        }
        assert!(!Cookies::new(&SystemRandom, now).check(address("192.0.2.1:5684"), now, &cookie), "another listener's");
    }

    #[test]
    fn a_cookie_lives_one_to_two_minutes() {
        let (start, peer) = (Instant::now(), address("192.0.2.1:5684"));
        let cookies = Cookies::new(&SystemRandom, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let cookie = cookies.make(peer, at(70));
        assert!(cookies.check(peer, at(70), &cookie) && cookies.check(peer, at(179), &cookie));
        assert!(!cookies.check(peer, at(180), &cookie));
    }

    #[test]
    fn part_of_a_cookie_is_none() {
        let (now, peer) = (Instant::now(), address("192.0.2.1:5684"));
        let cookies = Cookies::new(&SystemRandom, now);
        let cookie = cookies.make(peer, now);
        for wrong in [&cookie[..0], &cookie[..LENGTH - 1], &[&cookie[..], &[0]].concat(), &[0; LENGTH]] {
            assert!(!cookies.check(peer, now, wrong), "{wrong:?}");
        }
    }
}
