//! Who waits with device codes on this node: so many at once, shared out fairly among networks, so that strangers can neither fill the
//! store nor keep everybody else from it.
//!
//! It decides with the time and the address that it is given, and forgets everything with the process; codes from before are answered
//! all the same.

use super::device::{ENDS, INTERVAL};
use crate::{secret::Digest, throttle::Prefix};
use gatehouse_types::UnixTime;
use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// Programs that wait at once in one network.
const MOST_IN_NETWORK: usize = 50;

/// Who waits, and when each asked last.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// In the order in which they came.
    waiting: VecDeque<Place>,
    polls: HashMap<Digest, (UnixTime, Duration)>,
}

#[derive(Debug)]
struct Place {
    ends: UnixTime,
    address: IpAddr,
    key: Digest,
}

/// What became of somebody who wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    Waiting,
    /// All places were taken, and this one had to give way.
    InsteadOf(Digest),
    Full,
}

impl Queue {
    pub(crate) fn enter(&mut self, key: Digest, from: IpAddr, now: UnixTime, most: usize) -> Entered {
        self.forget_ended(now);
        let prefix = Prefix::from(from);
        if self.waiting.iter().filter(|place| Prefix::from(place.address) == prefix).count() >= MOST_IN_NETWORK {
            return Entered::Full;
        }
        let over = match self.waiting.len() < most {
            true => None,
            false => match self.least_fair(from) {
                Some(over) => Some(over),
                None => return Entered::Full,
            },
        };
        over.iter().for_each(|over| self.leave(*over));
        self.waiting.push_back(Place { ends: now + ENDS, address: from, key });
        self.polls.insert(key, (now - INTERVAL, INTERVAL));
        over.map_or(Entered::Waiting, Entered::InsteadOf)
    }

    /// The oldest place in the network that has most of them, where somebody from here has fewer: of the wide networks that providers
    /// have first, then of the narrow ones in it. Whoever owns many networks takes places from themselves.
    fn least_fair(&self, from: IpAddr) -> Option<Digest> {
        let own = self.waiting.iter().filter(|place| provider(place.address) == provider(from)).count();
        let (crowded, most) = most_crowded(self.waiting.iter(), provider)?;
        let wide = if own < most { crowded } else { provider(from) };
        let in_it = self.waiting.iter().filter(|place| provider(place.address) == wide);
        let (crowded, most) = most_crowded(in_it.clone(), site)?;
        let own = in_it.clone().filter(|place| site(place.address) == site(from)).count();
        let oldest = || in_it.clone().find(|place| site(place.address) == crowded);
        if own < most { oldest().map(|place| place.key) } else { None }
    }

    /// Whether a program asks sooner than it was told; then it has to wait longer from now on (RFC 8628 §3.5).
    pub(crate) fn is_too_soon(&mut self, key: Digest, now: UnixTime) -> bool {
        let Some((last, interval)) = self.polls.get_mut(&key) else { return false };
        // A clock that was set back since makes nobody wait for it to catch up.
        let too_soon = *last <= now && now < *last + *interval;
        if too_soon {
            *interval += INTERVAL;
        }
        *last = now;
        too_soon
    }

    pub(crate) fn leave(&mut self, key: Digest) {
        self.waiting.retain(|place| place.key != key);
        self.polls.remove(&key);
    }

    /// Nobody waits for longer than a code lasts: who would was let in by a clock that was set back since.
    fn forget_ended(&mut self, now: UnixTime) {
        let Self { waiting, polls } = self;
        waiting.retain(|place| {
            let goes_on = now < place.ends && place.ends <= now + ENDS;
            if !goes_on {
                polls.remove(&place.key);
            }
            goes_on
        });
    }
}

/// The network with most places, with how many those are; of several the one with the oldest place.
fn most_crowded<'a>(places: impl Iterator<Item = &'a Place> + Clone, network: impl Fn(IpAddr) -> IpAddr) -> Option<(IpAddr, usize)> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    places.clone().for_each(|place| *counts.entry(network(place.address)).or_default() += 1);
    let most = counts.values().copied().max()?;
    let crowded = places.map(|place| network(place.address)).find(|network| counts.get(network) == Some(&most))?;
    Some((crowded, most))
}

/// What a provider has, or a large company.
fn provider(address: IpAddr) -> IpAddr {
    masked(address, 16, 32)
}

/// What one of its customers has.
fn site(address: IpAddr) -> IpAddr {
    masked(address, 24, 48)
}

fn masked(address: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - v4))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - v6))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1000);

    fn key(number: u32) -> Digest {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn a_network_cannot_take_all_places() {
        let mut queue = Queue::default();
        let mut enter = |number: u32, host: [u8; 4]| queue.enter(key(number), IpAddr::from(host), NOW, 60);
        let entered = (0..=255).filter(|number| enter(*number, [192, 0, 2, 1]) == Entered::Waiting).count();
        assert_eq!(entered, MOST_IN_NETWORK);
        let entered = (0..=255_u8).filter(|host| enter(1000 + u32::from(*host), [203, 0, 113, *host]) == Entered::Waiting).count();
        assert_eq!(entered, 60 - MOST_IN_NETWORK);
        assert_eq!(queue.enter(key(0), IpAddr::from([192, 0, 2, 1]), NOW + ENDS, 60), Entered::Waiting);
        assert_eq!((queue.waiting.len(), queue.polls.len()), (1, 1));
    }

    #[test]
    fn whoever_has_many_networks_takes_places_from_themselves_when_all_are_taken() {
        let mut queue = Queue::default();
        let mut attack = |number: u32| {
            let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number) << 64);
            queue.enter(key(number), address.into(), NOW, 100)
        };
        assert!((0..100).all(|number| attack(number) == Entered::Waiting));
        assert_eq!(attack(100), Entered::Full, "nobody has more than the one who asks");
        let enter = |queue: &mut Queue, number: u32, host: [u8; 4]| queue.enter(key(number), IpAddr::from(host), NOW, 100);
        for (at, host) in [[192, 0, 2, 1], [192, 0, 2, 2], [203, 0, 113, 1]].into_iter().enumerate() {
            let number = u32::try_from(at).expect("small");
            assert_eq!(enter(&mut queue, 1000 + number, host), Entered::InsteadOf(key(number)), "the oldest of theirs");
        }
        assert_eq!((queue.waiting.len(), queue.polls.len()), (100, 100));
        let own = queue.waiting.iter().filter(|place| place.address.is_ipv4()).count();
        assert_eq!(own, 3);
    }

    #[test]
    fn within_a_provider_the_customer_with_most_gives_way() {
        let mut queue = Queue::default();
        let mut enter = |number: u32, host: [u8; 4]| queue.enter(key(number), IpAddr::from(host), NOW, 10);
        assert_eq!(enter(0, [198, 51, 1, 1]), Entered::Waiting);
        assert!((1..10).all(|number| enter(number, [198, 51, 100, 7]) == Entered::Waiting));
        assert_eq!(enter(10, [198, 51, 200, 1]), Entered::InsteadOf(key(1)));
        assert_eq!(enter(11, [203, 0, 113, 1]), Entered::InsteadOf(key(2)));
    }

    #[test]
    fn places_that_were_taken_before_a_clock_was_set_back_hold_nobody_up() {
        let mut queue = Queue::default();
        let later = NOW + Duration::from_secs(1_000_000);
        let host = IpAddr::from([192, 0, 2, 1]);
        assert!((0..50).all(|number| queue.enter(key(number), host, later, 60) == Entered::Waiting));
        assert_eq!(queue.enter(key(50), host, later, 60), Entered::Full);
        assert_eq!(queue.enter(key(51), host, NOW, 60), Entered::Waiting);
        assert_eq!(queue.enter(key(52), host, later, 60), Entered::Waiting);
        assert!(!queue.is_too_soon(key(52), NOW), "nor whoever asked last in that time");
    }

    #[test]
    fn whoever_asks_too_soon_waits_longer() {
        let (mut queue, key) = (Queue::default(), [1; 32]);
        assert_eq!(queue.enter(key, IpAddr::from([192, 0, 2, 1]), NOW, 10), Entered::Waiting);
        // It was told to wait five seconds, then ten, then fifteen.
        let asks = [1000, 1004, 1014, 1023, 1038].map(|at| queue.is_too_soon(key, UnixTime::from_secs(at)));
        assert_eq!(asks, [false, true, false, true, false]);
    }
}
