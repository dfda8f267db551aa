//! Places for peers: a count in total and for each peer network. The accept loop and the sockets of datagrams count
//! their peers with it; who is turned away, and what happens to those inside, is theirs to decide.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many leading bits of an address make a peer network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefixes {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

impl Prefixes {
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
        self.room(&taken, self.network(address)).map(drop)
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

    /// How many this network has, if it may have one more.
    fn room(&self, taken: &Taken, network: IpAddr) -> Result<usize, Refused> {
        let from_network = taken.networks.get(&network).copied().unwrap_or(0);
        if from_network >= self.per_network { Err(Refused::PeerFull) } else { Ok(from_network) }
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
        let from_network = self.places.room(&taken, network)?;
        taken.networks.insert(network, from_network + 1);
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(network) = self.network
            && let Some(count) = taken.networks.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                taken.networks.remove(&network);
            }
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
        assert!(places.lock().networks.is_empty(), "nothing is kept about peers that left");
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
