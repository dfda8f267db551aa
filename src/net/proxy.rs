//! The PROXY protocol, versions 1 and 2: a balancer in front of us says whose connection it brings.
//!
//! A listener knows its balancers by address. Their connections must begin with the header, which is read before anything
//! else and within the time of the handshake, and from then on the client's address is the peer's: it is the one that is counted and
//! logged. Nobody else's header is read: it is then no TLS and no HTTP, and is refused as such.
//!
//! `wire` reads the header's bytes. Nothing here trusts more of them than the address.

use crate::socket::Socket;
use gatehouse_base::config::Value;
use gatehouse_wire::proxy::ProxyHeader;
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};
use tokio::io::AsyncReadExt;

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// No range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address and how many of its bits count, like \"10.0.0.0/8\", or one address")]
pub struct NetworkError;

impl Network {
    /// Whether the address is in the range. An IPv4 address is the same on an IPv6 socket.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.bits),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.bits),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| NetworkError)?;
        if bits > most { Err(NetworkError) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.bits)
    }
}

impl Value for Network {
    fn expected() -> String {
        "a network like \"10.0.0.0/8\", or one address".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_text(&self) -> String {
        format!("\"{self}\"")
    }
}

/// A connection of a balancer that does not begin as it must.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error(transparent)]
    Malformed(#[from] gatehouse_wire::proxy::ProxyError),
    #[error("the connection was lost: {0}")]
    Io(#[from] io::Error),
}

/// Reads the header, and leaves the stream where the client's own bytes begin.
pub(crate) async fn read_header(socket: &mut Socket, most: usize) -> Result<Option<SocketAddr>, ProxyError> {
    socket.record(most);
    let mut buffer = [0; 512];
    loop {
        if let Some(header) = ProxyHeader::parse(socket.recorded())? {
            socket.continue_after(header.length);
            return Ok(header.client);
        }
        if socket.read(&mut buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_as_everywhere() {
        let network = |text: &str| text.parse::<Network>().expect("a network");
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(network("10.0.0.0/8").contains(ip("10.255.0.1")) && !network("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(network("10.0.0.0/8").contains(ip("::ffff:10.0.0.1")) && !network("10.0.0.0/8").contains(ip("::1")));
        assert!(network("192.0.2.7").contains(ip("192.0.2.7")) && !network("192.0.2.7").contains(ip("192.0.2.6")));
        assert!(network("0.0.0.0/0").contains(ip("192.0.2.7")));
        assert!(network("2001:db8::/32").contains(ip("2001:db8:1::1")) && !network("2001:db8::/32").contains(ip("2001:db9::1")));
        for text in ["10.0.0.0/33", "10.0.0/8", "host", "", "10.0.0.0/", "::/129", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
