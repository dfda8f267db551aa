//! Cookies: how a client proves that it receives what is sent to its address, before anything is kept about it
//! (RFC 6347 §4.2.1).
//!
//! The engine asks here about every hello. OpenSSL, which could do this too and takes many times as long, sees only those that bring a
//! good cookie: who floods us with first hellos keeps us busy with one hash for each.

use bytes::Bytes;
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

/// What a hello says about its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// It is no hello that could have one.
    Nonsense,
    /// None, or none that is good here and now.
    Nothing,
    /// A good one.
    Cookie,
}

/// Where things are in a datagram that begins with a hello: the record's head takes 13 bytes, the message's 12 more, and the version and
/// the random bytes 34.
const RECORD_HEAD: usize = 13;
const MESSAGE_HEAD: usize = 12;
const SESSION: usize = 34;

/// Where the record's own number stands, which its answer has as well.
const SEQUENCE: std::ops::Range<usize> = 5..11;

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

    /// What the hello at the beginning of this datagram brings.
    pub(crate) fn brought(&self, address: SocketAddr, now: Instant, datagram: &[u8]) -> Brought {
        match cookie(datagram) {
            None => Brought::Nonsense,
            Some(cookie) if self.check(address, now, cookie) => Brought::Cookie,
            Some(_) => Brought::Nothing,
        }
    }

    /// Asks the sender of this hello for a cookie (RFC 6347 §4.2.1, HelloVerifyRequest).
    pub(crate) fn challenge(&self, address: SocketAddr, now: Instant, hello: &[u8]) -> Option<Bytes> {
        const BODY: u8 = 3 + LENGTH as u8;
        let sequence = hello.get(SEQUENCE)?;
        let mut answer = Vec::with_capacity(RECORD_HEAD + MESSAGE_HEAD + usize::from(BODY));
        // Whatever will be spoken, here it is called DTLS 1.0, so that nobody takes it for more than it is.
        answer.extend([22, 254, 255, 0, 0]);
        answer.extend(sequence);
        answer.extend([0, MESSAGE_HEAD as u8 + BODY]);
        answer.extend([3, 0, 0, BODY, 0, 0, 0, 0, 0, 0, 0, BODY]);
        answer.extend([254, 255, LENGTH as u8]);
        answer.extend(self.make(address, now));
        Some(answer.into())
    }

    /// The cookie for this address now.
    fn make(&self, address: SocketAddr, now: Instant) -> [u8; LENGTH] {
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

/// The cookie of a hello, or where it would be. Nothing behind it is looked at.
fn cookie(datagram: &[u8]) -> Option<&[u8]> {
    let length = |bytes: &[u8]| bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let record = datagram.get(RECORD_HEAD..)?.get(..length(datagram.get(11..RECORD_HEAD)?))?;
    // RFC 6347 §4.2.2: type, length, number, where this fragment begins and how long it is.
    let fragment = record.get(MESSAGE_HEAD..)?.get(..length(record.get(9..MESSAGE_HEAD)?))?;
    let (session, rest) = fragment.get(SESSION..)?.split_first()?;
    let (cookie, rest) = rest.get(usize::from(*session)..)?.split_first()?;
    rest.get(..usize::from(*cookie))
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

    /// A hello with this cookie, and nothing behind it.
    fn hello(cookie: &[u8]) -> Vec<u8> {
        let body = [&[254, 253][..], &[7; 32], &[2, 1, 1], &[cookie.len() as u8], cookie].concat();
        let length = body.len() as u8;
        [&[22, 254, 253, 0, 0, 1, 2, 3, 4, 5, 6, 0, 12 + length, 1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length][..], &body].concat()
    }

    #[test]
    fn who_is_asked_for_a_cookie_and_brings_it_has_one() {
        let (now, peer) = (Instant::now(), address("192.0.2.1:5684"));
        let cookies = Cookies::new(&SystemRandom, now);
        let first = hello(b"");
        assert_eq!(cookies.brought(peer, now, &first), Brought::Nothing);
        let answer = cookies.challenge(peer, now, &first).expect("a hello");
        assert_eq!((answer.len(), &answer[SEQUENCE]), (35, &first[SEQUENCE]));
        assert_eq!((&answer[11..13], &answer[13..28]), (&[0, 22][..], &[3, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 10, 254, 255, 7][..]));
        let again = hello(&answer[28..]);
        assert_eq!(cookies.brought(peer, now, &again), Brought::Cookie);
        assert_eq!(cookies.brought(address("192.0.2.1:5685"), now, &again), Brought::Nothing);
        for cut in 0..again.len() {
            assert_eq!(cookies.brought(peer, now, &again[..cut]), Brought::Nonsense, "{cut}");
        }
        for (place, value) in [(12, 250), (24, 250), (59, 250), (62, 250)] {
            let mut wrong = again.clone();
            wrong[place] = value;
            assert_eq!(cookies.brought(peer, now, &wrong), Brought::Nonsense, "{place}");
        }
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
