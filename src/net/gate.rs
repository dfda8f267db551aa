//! Who may come in by the accept loops: the count of connections, and turns at computing a handshake.

use crate::{
    Config, metrics,
    places::{Admission, Places, Refused},
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Counts the connections of all listeners.
#[derive(Debug)]
pub struct Gate {
    handshake_timeout: Duration,
    first_message: usize,
    places: Arc<Places>,
    handshakes: Semaphore,
}

impl Gate {
    /// A gate with nobody inside.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            handshake_timeout: config.handshake_timeout,
            first_message: config.first_message.as_usize(),
            places: Places::new(config.connections, config.connections_per_peer, config.prefixes()),
            handshakes: Semaphore::new(config.handshakes),
        })
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.places.taken()
    }

    /// Lets a peer in for as long as the answer is held.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Admission, Refused> {
        self.places.take(address)
    }

    /// Lets somebody in whose address is still to be told; [`Admission::name`] counts it then.
    pub(crate) fn admit_unnamed(&self) -> Result<Admission, Refused> {
        self.places.take_unnamed()
    }

    /// Waits for a turn to compute a handshake.
    pub(crate) async fn handshake(&self) -> HandshakeTurn<'_> {
        // The semaphore is never closed.
        let turn = self.handshakes.acquire().await.ok();
        ::metrics::gauge!(metrics::HANDSHAKES).increment(1);
        HandshakeTurn { _turn: turn }
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    /// How much of a connection is read twice.
    pub(crate) fn first_message(&self) -> usize {
        self.first_message
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
