//! Places for peers: a count in total and for each peer network. The accept loop and the sockets of datagrams count
//! their peers with it; who is turned away, and what happens to those inside, is theirs to decide.
//!
//! Where all places are taken, [`Places::crowd`] tells whether somebody with fewer may have one of those who have most.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many leading bits of an address make a peer network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefixes {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

impl Prefixes {
    /// Those of neighbourhoods, which are never smaller than networks.
    fn wider(self) -> Self {
        Self { v4: self.v4.min(NEIGHBOURHOOD_V4), v6: self.v6.min(NEIGHBOURHOOD_V6) }
    }

    /// The network of an address. An IPv4 address in IPv6 form is the same peer.
    pub(crate) fn network(self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.v4)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.v6)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        }
    }
}

/// How many leading bits of an IPv4 address make a neighbourhood, in which one attacker may well have many networks.
const NEIGHBOURHOOD_V4: u8 = 16;

/// The same of IPv6, where providers have so much.
const NEIGHBOURHOOD_V6: u8 = 32;

/// Whoever has so many more than a newcomer still has no less when one of them has changed hands.
const CLEARLY: usize = 2;

/// Sorts behind every other address.
const LAST: IpAddr = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));

/// Why a peer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many connections are open as configuration allows.
    #[error("the limit on connections is reached")]
    Full,
    /// This peer's network has as many as configuration allows one.
    #[error("the limit on connections from one peer network is reached")]
    PeerFull,
}

impl Refused {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Full => "total",
            Self::PeerFull => "peer",
        }
    }
}

/// A number of places.
#[derive(Debug)]
pub(crate) struct Places {
    total: usize,
    per_network: usize,
    prefixes: Prefixes,
    taken: Mutex<Taken>,
}

/// Never larger than the peers that are there: a network without one has no entry.
#[derive(Debug, Default)]
struct Taken {
    total: usize,
    networks: HashMap<IpAddr, usize>,
    neighbourhoods: HashMap<IpAddr, usize>,
    /// The same, those of a neighbourhood together and the one with most last.
    by_count: BTreeSet<(IpAddr, usize, IpAddr)>,
    /// The neighbourhood with most last.
    neighbourhoods_by_count: BTreeSet<(usize, IpAddr)>,
}

impl Taken {
    /// The network that has most in this neighbourhood, and how much that is.
    fn most_in(&self, neighbourhood: IpAddr) -> Option<(usize, IpAddr)> {
        let first = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let among = self.by_count.range((neighbourhood, 0, first)..=(neighbourhood, usize::MAX, LAST));
        among.last().map(|(_, count, network)| (*count, *network))
    }

    fn of_network(&self, network: IpAddr) -> usize {
        self.networks.get(&network).copied().unwrap_or(0)
    }

    fn of_neighbourhood(&self, neighbourhood: IpAddr) -> usize {
        self.neighbourhoods.get(&neighbourhood).copied().unwrap_or(0)
    }

    fn set(&mut self, network: IpAddr, neighbourhood: IpAddr, change: impl Fn(usize) -> usize) {
        let before = (self.of_network(network), self.of_neighbourhood(neighbourhood));
        let after = (change(before.0), change(before.1));
        self.by_count.remove(&(neighbourhood, before.0, network));
        self.neighbourhoods_by_count.remove(&(before.1, neighbourhood));
        if after.0 == 0 {
            self.networks.remove(&network);
        } else {
            self.networks.insert(network, after.0);
            self.by_count.insert((neighbourhood, after.0, network));
        }
        if after.1 == 0 {
            self.neighbourhoods.remove(&neighbourhood);
        } else {
            self.neighbourhoods.insert(neighbourhood, after.1);
            self.neighbourhoods_by_count.insert((after.1, neighbourhood));
        }
    }
}

impl Places {
    pub(crate) fn new(total: usize, per_network: usize, prefixes: Prefixes) -> Arc<Self> {
        Arc::new(Self { total, per_network, prefixes, taken: Mutex::default() })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().total
    }

    /// The network that an address counts for.
    pub(crate) fn network(&self, address: IpAddr) -> IpAddr {
        self.prefixes.network(address)
    }

    /// Whether there is a place for this address now.
    pub(crate) fn look(&self, address: IpAddr) -> Result<(), Refused> {
        let taken = self.lock();
        if taken.total >= self.total {
            return Err(Refused::Full);
        }
        self.room(&taken, self.network(address))
    }

    /// The network that has to give a place to this address where all are taken: the one with most of the neighbourhood with most,
    /// or with most of the address's own. `None` where nobody has clearly more, so that places do not go to and fro for ever: each
    /// that changes hands makes the shares more equal, first those of neighbourhoods and then those within one.
    pub(crate) fn crowd(&self, address: IpAddr) -> Option<IpAddr> {
        let taken = self.lock();
        let (network, neighbourhood) = (self.network(address), self.prefixes.wider().network(address));
        let (most, fullest) = taken.neighbourhoods_by_count.last().copied()?;
        if most >= taken.of_neighbourhood(neighbourhood) + CLEARLY {
            return taken.most_in(fullest).map(|(_, network)| network);
        }
        let (most, crowd) = taken.most_in(neighbourhood)?;
        (most >= taken.of_network(network) + CLEARLY).then_some(crowd)
    }

    /// Takes a place for as long as the answer is held.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Refused> {
        let mut admission = self.take_unnamed()?;
        admission.name(address)?;
        Ok(admission)
    }

    /// Takes a place for a peer whose address is still to be told, and that counts in total only until then.
    pub(crate) fn take_unnamed(self: &Arc<Self>) -> Result<Admission, Refused> {
        let mut taken = self.lock();
        if taken.total >= self.total {
            return Err(Refused::Full);
        }
        taken.total += 1;
        Ok(Admission { places: Arc::clone(self), network: None })
    }

    /// Whether this network may have one more.
    fn room(&self, taken: &Taken, network: IpAddr) -> Result<(), Refused> {
        if taken.of_network(network) >= self.per_network { Err(Refused::PeerFull) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Places>,
    network: Option<IpAddr>,
}

impl Admission {
    /// Counts the peer among those of its network, once.
    pub(crate) fn name(&mut self, address: IpAddr) -> Result<(), Refused> {
        let network = self.places.network(address);
        let mut taken = self.places.lock();
        self.places.room(&taken, network)?;
        taken.set(network, self.places.prefixes.wider().network(network), |count| count + 1);
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(network) = self.network {
            taken.set(network, self.places.prefixes.wider().network(network), |count| count.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(total: usize, per_network: usize) -> Arc<Places> {
        Places::new(total, per_network, Prefixes { v4: 32, v6: 56 })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn a_place_is_free_again_when_its_peer_leaves() {
        let places = places(1, 1);
        let first = places.take(address("192.0.2.1")).expect("empty");
        assert_eq!(places.take(address("192.0.2.2")).err(), Some(Refused::Full));
        assert_eq!(places.look(address("192.0.2.2")), Err(Refused::Full));
        drop(first);
        assert!(places.take(address("192.0.2.2")).is_ok());
        assert_eq!(places.taken(), 0);
        let taken = places.lock();
        let kept = (taken.networks.len(), taken.neighbourhoods.len(), taken.by_count.len(), taken.neighbourhoods_by_count.len());
        assert_eq!(kept, (0, 0, 0, 0), "nothing is kept about peers that left");
    }

    #[test]
    fn one_peer_cannot_take_every_place() {
        let places = places(10, 2);
        let _held: Vec<_> = (0..2).map(|_| places.take(address("192.0.2.1")).expect("below the limit")).collect();
        assert_eq!(places.take(address("192.0.2.1")).err(), Some(Refused::PeerFull));
        assert!(places.take(address("192.0.2.2")).is_ok());
    }

    #[test]
    fn who_is_named_later_counts_in_total_at_once_and_for_its_network_from_then_on() {
        let places = places(3, 1);
        let mut first = places.take_unnamed().expect("empty");
        let mut second = places.take_unnamed().expect("below the limit");
        assert_eq!((first.name(address("192.0.2.1")), second.name(address("192.0.2.1"))), (Ok(()), Err(Refused::PeerFull)));
        let _third = places.take(address("192.0.2.2")).expect("below the limit");
        assert_eq!(places.take_unnamed().err(), Some(Refused::Full));
        drop((first, second));
        assert_eq!((places.taken(), places.lock().networks.len()), (1, 1));
    }

    #[test]
    fn the_crowd_is_the_network_with_most_where_there_is_most() {
        let places = places(100, 10);
        let take = |who: &[&str]| who.iter().map(|from| places.take(address(from)).expect("a place")).collect::<Vec<_>>();
        let _held = take(&["192.0.2.1", "192.0.2.2", "192.0.2.2", "198.51.100.1", "198.51.100.1"]);
        let crowd = |from: &str| places.crowd(address(from)).map(|network| network.to_string());
        assert_eq!(crowd("203.0.113.1").as_deref(), Some("192.0.2.2"), "of the neighbourhood with three, the network with two");
        assert_eq!(crowd("192.0.2.3").as_deref(), Some("192.0.2.2"), "within its own");
        assert_eq!(crowd("192.0.2.1"), None, "one more of its own would be as many");
        assert_eq!(crowd("198.51.100.2").as_deref(), Some("198.51.100.1"), "three are hardly more than two, so within its own");
    }

    #[test]
    fn places_do_not_go_to_and_fro() {
        let places = places(12, 4);
        let mut held: Vec<(IpAddr, Admission)> = Vec::new();
        let mut moved = 0;
        for round in 0..40_u8 {
            for (block, host) in (0..9_u8).flat_map(|block| (1..4_u8).map(move |host| (block / (1 + round % 2), host))) {
                let from = IpAddr::from([10, block, 0, host]);
                if places.look(from) == Err(Refused::Full)
                    && let Some(crowd) = places.crowd(from)
                {
                    let at = held.iter().position(|(network, _)| *network == crowd).expect("the crowd is inside");
                    held.remove(at);
                    moved += 1;
                }
                if let Ok(place) = places.take(from) {
                    held.push((from, place));
                }
            }
        }
        assert!((1..=40).contains(&moved), "{moved} places changed hands");
    }

    #[test]
    fn addresses_of_one_ipv6_customer_count_as_one_peer() {
        let places = places(10, 1);
        let _held = places.take(address("2001:db8:0:1200::1")).expect("empty");
        assert_eq!(places.take(address("2001:db8:0:12ff::2")).err(), Some(Refused::PeerFull));
        assert!(places.take(address("2001:db8:0:1300::1")).is_ok());
    }

    #[test]
    fn an_ipv4_peer_on_an_ipv6_socket_is_the_same_peer() {
        let places = places(10, 1);
        let _held = places.take(address("192.0.2.1")).expect("empty");
        assert_eq!(places.take(address("::ffff:192.0.2.1")).err(), Some(Refused::PeerFull));
    }
}
