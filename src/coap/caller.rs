//! Who is at the other end, and the way to it.

use crate::Remote;
use gatehouse_net::Peer;
use std::fmt;

/// A peer with its connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) transport: Transport,
    pub(crate) remote: Remote,
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
