//! Who is at the other end, and the way to it.

use crate::{Leave, Remote, state::State};
use gatehouse_net::Peer;
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};
use tokio::sync::Notify;

/// A peer with its connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) transport: Transport,
    pub(crate) remote: Remote,
    pub(crate) state: State,
    pub(crate) wishes: Wishes,
}

impl Caller {
    pub(crate) fn new(peer: Peer, transport: Transport, remote: Remote) -> Self {
        Self { peer, transport, remote, state: State::default(), wishes: Wishes::default() }
    }
}

/// How others want the connection to end.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    strongest: Mutex<Option<Leave>>,
    added: Notify,
}

impl Wishes {
    pub(crate) fn add(&self, how: Leave) {
        let mut strongest = self.strongest.lock().unwrap_or_else(PoisonError::into_inner);
        *strongest = Some(strongest.map_or(how, |before| before.stronger(how)));
        drop(strongest);
        // Stored for whoever waits later.
        self.added.notify_one();
    }

    /// The strongest one that was not heard yet.
    pub(crate) async fn heard(&self) -> Leave {
        loop {
            if let Some(how) = self.strongest.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return how;
            }
            self.added.notified().await;
        }
    }
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `coap`: datagrams in the clear. Nobody knows who sent them.
    Udp,
    /// `coaps`: DTLS.
    Dtls,
    /// `coap+tcp`: a connection in the clear.
    Tcp,
    /// `coaps+tcp`: TLS.
    Tls,
}

impl Transport {
    /// Whether a stream carries it, and not datagrams.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// The scheme of URIs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Udp => "coap",
            Self::Dtls => "coaps",
            Self::Tcp => "coap+tcp",
            Self::Tls => "coaps+tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.scheme())
    }
}
