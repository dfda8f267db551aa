//! Slowing guesses down without locking anybody out.
//!
//! Failures are counted for three things: one account tried from one network, a network whatever it tries, and an
//! account whoever tries it. The first two wait longer with every failure, up to a quarter of an hour. The third never
//! waits longer than a few seconds, and does not hold for networks from which the account's owner has signed in before:
//! a stranger who guesses at an account cannot keep its owner out.
//!
//! Proofs that are asked for once more are counted apart: codes behind a password, the password within a session. Who guesses at them is
//! no stranger and may have any number of networks; so the account as such waits as long as a network does.
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
const FREE_FOR_PROOFS: u32 = 10;

/// What is guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// What lets somebody into an account from outside: its password, or a passkey.
    Password {
        /// Whether its owner has signed in from this network before.
        from_is_known: bool,
    },
    /// What is asked for once more, after a password or in a session.
    Proof,
}

/// Whose failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject {
    Pair(PersonKey, Prefix),
    Network(Prefix),
    Account(PersonKey),
    ProofPair(PersonKey, Prefix),
    Proofs(PersonKey),
}

impl Guess {
    /// Whose failures count, from the narrowest to the widest, each with how many are free and how long it waits at most.
    fn subjects(self, account: PersonKey, from: IpAddr) -> [(Subject, u32, Duration); 3] {
        let prefix = Prefix::from(from);
        let network = (Subject::Network(prefix), FREE_FOR_NETWORK, LONGEST);
        match self {
            Self::Password { .. } => {
                let whole = (Subject::Account(account), FREE_FOR_ACCOUNT, LONGEST_FOR_ACCOUNT);
                [(Subject::Pair(account, prefix), FREE_FOR_PAIR, LONGEST), network, whole]
            }
            Self::Proof => {
                let whole = (Subject::Proofs(account), FREE_FOR_PROOFS, LONGEST);
                [(Subject::ProofPair(account, prefix), FREE_FOR_PAIR, LONGEST), network, whole]
            }
        }
    }
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
    pub(crate) fn begin(&mut self, guess: Guess, account: PersonKey, from: IpAddr, now: UnixTime) -> Result<(), Duration> {
        match self.wait(guess, account, from, now) {
            Some(wait) => Err(wait),
            None => {
                self.failed(guess, account, from, now);
                Ok(())
            }
        }
    }

    /// How long the next attempt has to wait, if it has to.
    fn wait(&self, guess: Guess, account: PersonKey, from: IpAddr, now: UnixTime) -> Option<Duration> {
        let holds = |subject: &Subject| !(guess == Guess::Password { from_is_known: true } && matches!(subject, Subject::Account(_)));
        let subjects = guess.subjects(account, from).into_iter().filter(|(subject, ..)| holds(subject));
        subjects.filter_map(|(subject, free, longest)| self.wait_of(subject, free, longest, now)).max()
    }

    /// Counts a failure.
    fn failed(&mut self, guess: Guess, account: PersonKey, from: IpAddr, now: UnixTime) {
        for (subject, ..) in guess.subjects(account, from) {
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
    pub(crate) fn succeeded(&mut self, guess: Guess, account: PersonKey, from: IpAddr) {
        let [(pair, ..), wider @ ..] = guess.subjects(account, from);
        self.forget(pair);
        wider.into_iter().for_each(|(subject, ..)| self.taken_back(subject));
    }

    /// Takes an attempt back that neither failed nor succeeded, because it was never decided.
    pub(crate) fn undecided(&mut self, guess: Guess, account: PersonKey, from: IpAddr) {
        guess.subjects(account, from).into_iter().for_each(|(subject, ..)| self.taken_back(subject));
    }

    /// Whether the failure just now was the last one of an account's proofs that was free.
    pub(crate) fn has_just_failed_too_often(&self, account: PersonKey) -> bool {
        self.failures.get(&Subject::Proofs(account)).is_some_and(|failures| failures.count == FREE_FOR_PROOFS)
    }

    fn taken_back(&mut self, subject: Subject) {
        let Some(failures) = self.failures.get_mut(&subject) else { return };
        failures.count = failures.count.saturating_sub(1);
        // Who has failed at nothing takes nobody's place.
        if failures.count == 0 {
            self.forget(subject);
        }
    }

    fn forget(&mut self, subject: Subject) {
        if let Some(failures) = self.failures.remove(&subject) {
            self.order.remove(&failures.touched);
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
    const STRANGE: Guess = Guess::Password { from_is_known: false };
    const KNOWN: Guess = Guess::Password { from_is_known: true };
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
            throttle.failed(STRANGE, ann(), OFFICE, at(1000));
            waits.push(throttle.wait(STRANGE, ann(), OFFICE, at(1000)).map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(throttle.wait(STRANGE, ann(), OFFICE, at(1900)), None);
    }

    #[test]
    fn a_stranger_who_guesses_does_not_keep_the_owner_out() {
        let mut throttle = Throttle::new(10_000);
        for host in 0..=255 {
            throttle.failed(STRANGE, ann(), IpAddr::from([203, 0, 113, host]), at(1000));
        }
        assert_eq!(throttle.wait(KNOWN, ann(), OFFICE, at(1000)), None, "from where the owner has signed in before");
        let elsewhere = throttle.wait(STRANGE, ann(), OFFICE, at(1000)).expect("a wait");
        assert!(elsewhere <= LONGEST_FOR_ACCOUNT, "{elsewhere:?}");
    }

    #[test]
    fn a_network_that_tries_many_accounts_waits_whatever_it_tries_next() {
        let mut throttle = Throttle::new(10_000);
        for account in 0..40 {
            throttle.failed(STRANGE, PersonKey::Invented(account), STRANGER, at(1000));
        }
        assert!(throttle.wait(STRANGE, ann(), STRANGER, at(1000)).is_some());
        assert_eq!(throttle.wait(STRANGE, ann(), OFFICE, at(1000)), None);
    }

    #[test]
    fn the_neighbours_of_an_ipv6_address_are_the_same_network() {
        let mut throttle = Throttle::new(10_000);
        for host in 0..8_u16 {
            throttle.failed(STRANGE, ann(), IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]), at(1000));
        }
        assert!(throttle.wait(STRANGE, ann(), "2001:db8:0:1:ffff::".parse().expect("address"), at(1000)).is_some());
        assert_eq!(throttle.wait(STRANGE, ann(), "2001:db8:0:2::".parse().expect("address"), at(1000)), None);
    }

    #[test]
    fn a_success_forgives_the_account_and_not_the_network() {
        let mut throttle = Throttle::new(10_000);
        for _ in 0..40 {
            throttle.failed(STRANGE, ann(), OFFICE, at(1000));
        }
        throttle.succeeded(STRANGE, ann(), OFFICE);
        assert!(throttle.wait(KNOWN, ann(), OFFICE, at(1000)).expect("the network's wait") <= LONGEST);
        assert_eq!(throttle.wait(KNOWN, ann(), STRANGER, at(1000)), None);
    }

    #[test]
    fn many_attempts_at_the_same_moment_are_not_one() {
        let mut throttle = Throttle::new(100);
        let begun = (0..20).filter(|_| throttle.begin(STRANGE, ann(), OFFICE, at(1000)).is_ok()).count();
        assert_eq!(begun, 4);
        throttle.undecided(STRANGE, ann(), OFFICE);
        assert_eq!(throttle.begin(STRANGE, ann(), OFFICE, at(1000)), Ok(()));
    }

    #[test]
    fn successes_cost_an_office_nothing() {
        let mut throttle = Throttle::new(10_000);
        for person in 0..200 {
            let person = PersonKey::Known(PersonId::from_random([person; 16]));
            assert_eq!(throttle.begin(STRANGE, person, OFFICE, at(1000)), Ok(()));
            throttle.succeeded(STRANGE, person, OFFICE);
        }
    }

    #[test]
    fn a_day_of_quiet_is_forgiven_and_memory_stays_bounded() {
        let mut throttle = Throttle::new(30);
        for _ in 0..20 {
            throttle.failed(STRANGE, ann(), OFFICE, at(1000));
        }
        throttle.failed(STRANGE, ann(), OFFICE, at(1000 + 86_400));
        assert_eq!(throttle.wait(KNOWN, ann(), OFFICE, at(1000 + 86_400)), None);
        for account in 0..1000 {
            throttle.failed(STRANGE, PersonKey::Invented(account), OFFICE, at(1000));
        }
        assert!(throttle.failures.len() <= 30 && throttle.order.len() == throttle.failures.len());
    }

    #[test]
    fn who_guesses_at_codes_waits_whatever_network_the_next_guess_comes_from() {
        let mut throttle = Throttle::new(10_000);
        let networks = (0..200).map(|network: u16| IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, 1]));
        let begun = networks.filter(|from| throttle.begin(Guess::Proof, ann(), *from, at(1000)).is_ok()).count();
        assert_eq!(begun, 10);
        assert!(throttle.has_just_failed_too_often(ann()));
        for _ in 0..12 {
            throttle.failed(Guess::Proof, ann(), STRANGER, at(1000));
        }
        assert_eq!(throttle.wait(Guess::Proof, ann(), OFFICE, at(1000)), Some(LONGEST));
        assert_eq!(throttle.wait(STRANGE, ann(), OFFICE, at(1000)), None, "a password from outside is another matter");
    }

    #[test]
    fn a_code_that_fits_forgives_no_wrong_passwords_and_no_wrong_codes_from_elsewhere() {
        let mut throttle = Throttle::new(10_000);
        for _ in 0..16 {
            throttle.failed(STRANGE, ann(), OFFICE, at(1000));
            throttle.failed(Guess::Proof, ann(), STRANGER, at(1000));
        }
        throttle.succeeded(Guess::Proof, ann(), OFFICE);
        assert!(throttle.wait(STRANGE, ann(), OFFICE, at(1000)).is_some());
        assert!(throttle.wait(Guess::Proof, ann(), OFFICE, at(1000)).is_some());
    }

    #[test]
    fn who_has_failed_at_nothing_takes_nobodys_place() {
        let mut throttle = Throttle::new(6);
        for _ in 0..4 {
            throttle.failed(STRANGE, ann(), STRANGER, at(1000));
        }
        let others = (0..50).map(|other| PersonKey::Known(PersonId::from_random([other + 10; 16])));
        for other in others {
            throttle.begin(STRANGE, other, OFFICE, at(1000)).expect("no wait");
            throttle.succeeded(STRANGE, other, OFFICE);
        }
        assert!(throttle.wait(STRANGE, ann(), STRANGER, at(1000)).is_some());
    }
}
