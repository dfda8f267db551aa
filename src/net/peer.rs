//! Who is at the other end of a connection.

use std::net::SocketAddr;

/// The other end of a connection, as far as its handshake has shown it.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    alpn: Option<Vec<u8>>,
}

impl Peer {
    /// A peer that has shown nothing but its address.
    pub(crate) fn unproven(address: SocketAddr) -> Self {
        Self { address, alpn: None }
    }

    pub(crate) fn speaking(mut self, alpn: Option<&[u8]>) -> Self {
        self.alpn = alpn.map(<[u8]>::to_vec);
        self
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The protocol that both ends agreed on in the handshake (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }
}
