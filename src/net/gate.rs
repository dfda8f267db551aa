//! Who may come in: the count of connections, in total and for each peer network.

use crate::{Config, metrics};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Counts the connections of all listeners.
#[derive(Debug)]
pub struct Gate {
    config: Config,
    inside: Mutex<Inside>,
    handshakes: Semaphore,
}

/// Never larger than the connections that are open: a network without one has no entry.
#[derive(Debug, Default)]
struct Inside {
    total: usize,
    networks: HashMap<IpAddr, usize>,
}

/// Why a connection was closed before its first byte was read.
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

impl Gate {
    /// A gate with nobody inside.
    pub fn new(config: Config) -> Arc<Self> {
        let handshakes = Semaphore::new(config.handshakes);
        Arc::new(Self { config, inside: Mutex::default(), handshakes })
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Lets a peer in for as long as the answer is held.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Refused> {
        let network = self.network(address);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.total >= self.config.connections {
            return Err(Refused::Full);
        }
        let from_network = inside.networks.get(&network).copied().unwrap_or(0);
        if from_network >= self.config.connections_per_peer {
            return Err(Refused::PeerFull);
        }
        inside.networks.insert(network, from_network + 1);
        inside.total += 1;
        Ok(Admission { gate: Arc::clone(self), network })
    }

    /// Waits for a turn to compute a handshake.
    pub(crate) async fn handshake(&self) -> HandshakeTurn<'_> {
        // The semaphore is never closed.
        let turn = self.handshakes.acquire().await.ok();
        ::metrics::gauge!(metrics::HANDSHAKES).increment(1);
        HandshakeTurn { _turn: turn }
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.config.handshake_timeout
    }

    fn network(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.config.peer_prefix_v4)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.config.peer_prefix_v6)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        }
    }
}

/// A place inside, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Arc<Gate>,
    network: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut inside = self.gate.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.total = inside.total.saturating_sub(1);
        if let Some(count) = inside.networks.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                inside.networks.remove(&self.network);
            }
        }
    }
}

/// A turn at computing a handshake, given back when dropped.
#[derive(Debug)]
pub(crate) struct HandshakeTurn<'a> {
    _turn: Option<SemaphorePermit<'a>>,
}

impl Drop for HandshakeTurn<'_> {
    fn drop(&mut self) {
        ::metrics::gauge!(metrics::HANDSHAKES).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(connections: usize, connections_per_peer: usize) -> Arc<Gate> {
        Gate::new(Config { connections, connections_per_peer, ..Config::default() })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let gate = gate(1, 1);
        let first = gate.admit(address("192.0.2.1")).expect("empty");
        assert_eq!(gate.admit(address("192.0.2.2")).err(), Some(Refused::Full));
        drop(first);
        assert!(gate.admit(address("192.0.2.2")).is_ok());
        assert_eq!(gate.connections(), 0);
        assert!(gate.inside.lock().expect("lock").networks.is_empty(), "nothing is kept about peers that left");
    }

    #[test]
    fn one_peer_cannot_take_every_place() {
        let gate = gate(10, 2);
        let _held: Vec<_> = (0..2).map(|_| gate.admit(address("192.0.2.1")).expect("below the limit")).collect();
        assert_eq!(gate.admit(address("192.0.2.1")).err(), Some(Refused::PeerFull));
        assert!(gate.admit(address("192.0.2.2")).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_customer_count_as_one_peer() {
        let gate = gate(10, 1);
        let _held = gate.admit(address("2001:db8:0:1200::1")).expect("empty");
        assert_eq!(gate.admit(address("2001:db8:0:12ff::2")).err(), Some(Refused::PeerFull));
        assert!(gate.admit(address("2001:db8:0:1300::1")).is_ok());
    }

    #[test]
    fn an_ipv4_peer_on_an_ipv6_socket_is_the_same_peer() {
        let gate = gate(10, 1);
        let _held = gate.admit(address("192.0.2.1")).expect("empty");
        assert_eq!(gate.admit(address("::ffff:192.0.2.1")).err(), Some(Refused::PeerFull));
    }
}
