//! Slowing guesses down without locking anybody out.
//!
//! Failures are counted for three things: one account tried from one network, a network whatever it tries, and an
//! account whoever tries it. The first two wait longer with every failure, up to a quarter of an hour. The third never
//! waits longer than a few seconds, and does not hold for networks from which the account's owner has signed in before:
//! a stranger who guesses at an account cannot keep its owner out.
//!
//! An attempt counts as a failure from its beginning and is taken back when it succeeds: a hundred at the same moment are not one.
//!
//! It is kept in memory, bounded: what was touched longest ago is forgotten first, as what has been quiet for a day is.

use gatehouse_types::{PersonId, UnixTime};
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

const LONGEST: Duration = Duration::from_secs(15 * 60);
const LONGEST_FOR_ACCOUNT: Duration = Duration::from_secs(5);
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Failures before the first wait. People mistype.
const FREE_FOR_PAIR: u32 = 4;
/// A network may be an office.
const FREE_FOR_NETWORK: u32 = 30;
const FREE_FOR_ACCOUNT: u32 = 20;

/// Whose failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject {
    Pair(PersonKey, Prefix),
    Network(Prefix),
    Account(PersonKey),
}

/// An account that may not exist: failures at invented addresses cost their network the same waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PersonKey {
    Known(PersonId),
    /// The first bytes of the invented address's digest.
    Invented(u64),
}

/// A network as far as one customer of a provider has it: an IPv4 address, or 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix(IpAddr);

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: UnixTime,
    /// The place in the order of touching.
    touched: u64,
}

/// Who has failed how often.
#[derive(Debug)]
pub(crate) struct Throttle {
    failures: HashMap<Subject, Failures>,
    order: BTreeMap<u64, Subject>,
    next: u64,
    most: usize,
}

impl Throttle {
    /// A throttle that remembers so many subjects.
    pub(crate) fn new(most: usize) -> Self {
        Self { failures: HashMap::new(), order: BTreeMap::new(), next: 0, most }
    }

    /// Begins an attempt, which counts as a failure until [`Self::succeeded`] takes it back; or tells how long it has to wait.
    pub(crate) fn begin(&mut self, account: PersonKey, from: IpAddr, from_is_known: bool, now: UnixTime) -> Result<(), Duration> {
        match self.wait(account, from, from_is_known, now) {
            Some(wait) => Err(wait),
            None => {
                self.failed(account, from, now);
                Ok(())
            }
        }
    }

    /// How long the next attempt has to wait, if it has to.
    fn wait(&self, account: PersonKey, from: IpAddr, from_is_known: bool, now: UnixTime) -> Option<Duration> {
        let prefix = Prefix::from(from);
        let pair = self.wait_of(Subject::Pair(account, prefix), FREE_FOR_PAIR, LONGEST, now);
        let network = self.wait_of(Subject::Network(prefix), FREE_FOR_NETWORK, LONGEST, now);
        let account = self.wait_of(Subject::Account(account), FREE_FOR_ACCOUNT, LONGEST_FOR_ACCOUNT, now);
        [pair, network, account.filter(|_| !from_is_known)].into_iter().flatten().max()
    }

    /// Counts a failure.
    fn failed(&mut self, account: PersonKey, from: IpAddr, now: UnixTime) {
        let prefix = Prefix::from(from);
        for subject in [Subject::Pair(account, prefix), Subject::Network(prefix), Subject::Account(account)] {
            let touched = self.next;
            self.next += 1;
            let failures = self.failures.entry(subject).or_insert(Failures { count: 0, last: now, touched });
            if now >= failures.last + FORGET_AFTER {
                failures.count = 0;
            }
            self.order.remove(&failures.touched);
            *failures = Failures { count: failures.count.saturating_add(1), last: now, touched };
            self.order.insert(touched, subject);
        }
        while self.failures.len() > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.failures.remove(&oldest);
        }
    }

    /// Takes an attempt back that succeeded, and forgets the failures of the account from this network: its owner has come. Those of
    /// the network stay, or one good account would be a licence to guess at all others.
    pub(crate) fn succeeded(&mut self, account: PersonKey, from: IpAddr) {
        let prefix = Prefix::from(from);
        if let Some(failures) = self.failures.remove(&Subject::Pair(account, prefix)) {
            self.order.remove(&failures.touched);
        }
        self.taken_back(Subject::Network(prefix));
        self.taken_back(Subject::Account(account));
    }

    /// Takes an attempt back that neither failed nor succeeded, because it was never decided.
    pub(crate) fn undecided(&mut self, account: PersonKey, from: IpAddr) {
        let prefix = Prefix::from(from);
        for subject in [Subject::Pair(account, prefix), Subject::Network(prefix), Subject::Account(account)] {
            self.taken_back(subject);
        }
    }

    fn taken_back(&mut self, subject: Subject) {
        if let Some(failures) = self.failures.get_mut(&subject) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn wait_of(&self, subject: Subject, free: u32, longest: Duration, now: UnixTime) -> Option<Duration> {
        let failures = self.failures.get(&subject)?;
        let beyond = failures.count.checked_sub(free)?;
        let wait = Duration::from_secs(1 << beyond.min(20)).min(longest);
        let ends = failures.last + wait;
        // A clock that was set back must not make anybody wait longer than the longest wait.
        let left = Duration::from_millis(u64::try_from(ends.millis() - now.millis()).ok()?).min(longest);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

    fn ann() -> PersonKey {
        PersonKey::Known(PersonId::from_random([1; 16]))
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[test]
    fn waits_double_from_the_fifth_failure_up_to_a_quarter_of_an_hour() {
        let mut throttle = Throttle::new(100);
        let mut waits = Vec::new();
        for _ in 0..16 {
            throttle.failed(ann(), OFFICE, at(1000));
            waits.push(throttle.wait(ann(), OFFICE, false, at(1000)).map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(throttle.wait(ann(), OFFICE, false, at(1900)), None);
    }

    #[test]
    fn a_stranger_who_guesses_does_not_keep_the_owner_out() {
        let mut throttle = Throttle::new(10_000);
        for host in 0..=255 {
            throttle.failed(ann(), IpAddr::from([203, 0, 113, host]), at(1000));
        }
        assert_eq!(throttle.wait(ann(), OFFICE, true, at(1000)), None, "from where the owner has signed in before");
        let elsewhere = throttle.wait(ann(), OFFICE, false, at(1000)).expect("a wait");
        assert!(elsewhere <= LONGEST_FOR_ACCOUNT, "{elsewhere:?}");
    }

    #[test]
    fn a_network_that_tries_many_accounts_waits_whatever_it_tries_next() {
        let mut throttle = Throttle::new(10_000);
        for account in 0..40 {
            throttle.failed(PersonKey::Invented(account), STRANGER, at(1000));
        }
        assert!(throttle.wait(ann(), STRANGER, false, at(1000)).is_some());
        assert_eq!(throttle.wait(ann(), OFFICE, false, at(1000)), None);
    }

    #[test]
    fn the_neighbours_of_an_ipv6_address_are_the_same_network() {
        let mut throttle = Throttle::new(10_000);
        for host in 0..8_u16 {
            throttle.failed(ann(), IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]), at(1000));
        }
        assert!(throttle.wait(ann(), "2001:db8:0:1:ffff::".parse().expect("address"), false, at(1000)).is_some());
        assert_eq!(throttle.wait(ann(), "2001:db8:0:2::".parse().expect("address"), false, at(1000)), None);
    }

    #[test]
    fn a_success_forgives_the_account_and_not_the_network() {
        let mut throttle = Throttle::new(10_000);
        for _ in 0..40 {
            throttle.failed(ann(), OFFICE, at(1000));
        }
        throttle.succeeded(ann(), OFFICE);
        assert!(throttle.wait(ann(), OFFICE, true, at(1000)).expect("the network's wait") <= LONGEST);
        assert_eq!(throttle.wait(ann(), STRANGER, true, at(1000)), None);
    }

    #[test]
    fn many_attempts_at_the_same_moment_are_not_one() {
        let mut throttle = Throttle::new(100);
        let begun = (0..20).filter(|_| throttle.begin(ann(), OFFICE, false, at(1000)).is_ok()).count();
        assert_eq!(begun, 4);
        throttle.undecided(ann(), OFFICE);
        assert_eq!(throttle.begin(ann(), OFFICE, false, at(1000)), Ok(()));
    }

    #[test]
    fn successes_cost_an_office_nothing() {
        let mut throttle = Throttle::new(10_000);
        for person in 0..200 {
            let person = PersonKey::Known(PersonId::from_random([person; 16]));
            assert_eq!(throttle.begin(person, OFFICE, false, at(1000)), Ok(()));
            throttle.succeeded(person, OFFICE);
        }
    }

    #[test]
    fn a_day_of_quiet_is_forgiven_and_memory_stays_bounded() {
        let mut throttle = Throttle::new(30);
        for _ in 0..20 {
            throttle.failed(ann(), OFFICE, at(1000));
        }
        throttle.failed(ann(), OFFICE, at(1000 + 86_400));
        assert_eq!(throttle.wait(ann(), OFFICE, true, at(1000 + 86_400)), None);
        for account in 0..1000 {
            throttle.failed(PersonKey::Invented(account), OFFICE, at(1000));
        }
        assert!(throttle.failures.len() <= 30 && throttle.order.len() == throttle.failures.len());
    }
}
