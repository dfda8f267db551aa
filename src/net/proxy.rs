//! The PROXY protocol, versions 1 and 2: a balancer in front of us says whose connection it brings.
//!
//! A listener knows its balancers by address. Their connections must begin with the header, which is read before anything
//! else and within the time of the handshake, and from then on the client's address is the peer's: it is the one that is counted and
//! logged. Nobody else's header is read: it is then no TLS and no HTTP, and is refused as such.
//!
//! What else a balancer tells (names, certificates) is passed over. Nothing here trusts more of it than the address.

use crate::socket::Socket;
use gatehouse_base::config::Value;
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};
use tokio::io::AsyncReadExt;

/// The longest header of version 1 (its specification §2.1), with its end of line.
const MAX_V1: usize = 107;

/// The most that a header of version 2 may carry behind its fixed part. Addresses take 36 bytes at most; the rest are notes.
const MAX_V2_BODY: usize = 1024;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

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
    #[error("it does not begin with a PROXY header that can be read")]
    Malformed,
    #[error("the connection was lost: {0}")]
    Io(#[from] io::Error),
}

/// A header that was read whole.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    length: usize,
    /// Missing where the balancer speaks for itself, to see whether we live.
    client: Option<SocketAddr>,
}

/// Reads the header, and leaves the stream where the client's own bytes begin.
pub(crate) async fn read_header(socket: &mut Socket) -> Result<Option<SocketAddr>, ProxyError> {
    socket.record();
    let mut buffer = [0; 512];
    loop {
        if let Some(header) = parse(socket.recorded())? {
            socket.continue_after(header.length);
            return Ok(header.client);
        }
        if socket.read(&mut buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// `None` when more bytes are needed. Never asks for more than the two limits above.
fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let is_v2 = V2_SIGNATURE.starts_with(bytes.get(..V2_SIGNATURE.len()).unwrap_or(bytes));
    if is_v2 { parse_v2(bytes) } else { parse_v1(bytes) }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let start = b"PROXY ";
    if !bytes.starts_with(start.get(..bytes.len().min(start.len())).unwrap_or_default()) {
        return Err(ProxyError::Malformed);
    }
    let line = bytes.get(..MAX_V1).unwrap_or(bytes);
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= MAX_V1 { Err(ProxyError::Malformed) } else { Ok(None) };
    };
    let text = line.get(..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or(ProxyError::Malformed)?;
    let mut words = text.split(' ').skip(1);
    let client = match words.next() {
        Some("UNKNOWN") => None,
        Some(family @ ("TCP4" | "TCP6")) => {
            let (Some(from), Some(to), Some(from_port), Some(to_port), None) =
                (words.next(), words.next(), words.next(), words.next(), words.next())
            else {
                return Err(ProxyError::Malformed);
            };
            let address = |text: &str| text.parse().ok().filter(|address: &IpAddr| address.is_ipv4() == (family == "TCP4"));
            let port = |text: &str| text.parse::<u16>().ok();
            let (Some(from), Some(_), Some(from_port), Some(_)) = (address(from), address(to), port(from_port), port(to_port)) else {
                return Err(ProxyError::Malformed);
            };
            Some(SocketAddr::new(from, from_port))
        }
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Some(Header { length: end + 2, client }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let body_length = usize::from(u16::from_be_bytes([high, low]));
    if body_length > MAX_V2_BODY {
        return Err(ProxyError::Malformed);
    }
    let Some(body) = rest.get(..body_length) else { return Ok(None) };
    let length = V2_FIXED + body_length;
    match command {
        0x20 => return Ok(Some(Header { length, client: None })),
        0x21 => {}
        _ => return Err(ProxyError::Malformed),
    }
    let client = match family {
        // TCP over IPv4: both addresses, then both ports.
        0x11 => {
            let Some(([a, b, c, d, _, _, _, _, high, low, _, _], _)) = body.split_first_chunk::<12>() else {
                return Err(ProxyError::Malformed);
            };
            SocketAddr::new(Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes([*high, *low]))
        }
        0x21 => {
            let Some((addresses, _)) = body.split_first_chunk::<36>() else { return Err(ProxyError::Malformed) };
            let Some((address, _)) = addresses.split_first_chunk::<16>() else { return Err(ProxyError::Malformed) };
            SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes([addresses[32], addresses[33]]))
        }
        // Neither is the client of a stream.
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Some(Header { length, client: Some(client) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn client(bytes: &[u8]) -> Option<SocketAddr> {
        let header = parse(&[bytes, b"more"].concat()).expect("well-formed").expect("whole");
        assert_eq!(header.length, bytes.len());
        header.client
    }

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().expect("an address"))
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 187];

    #[test]
    fn both_versions_tell_the_client() {
        assert_eq!(client(b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n"), address("192.0.2.7:12345"));
        assert_eq!(client(b"PROXY TCP6 2001:db8::7 2001:db8::1 12345 443\r\n"), address("[2001:db8::7]:12345"));
        assert_eq!(client(&v2(0x21, 0x11, &IPV4)), address("192.0.2.7:12345"));
        let mut ipv6 = [0; 36];
        ipv6[..2].copy_from_slice(&[0x20, 0x01]);
        ipv6[15] = 7;
        ipv6[32..34].copy_from_slice(&[0x30, 0x39]);
        assert_eq!(client(&v2(0x21, 0x21, &ipv6)), address("[2001::7]:12345"));
        // With notes behind the addresses.
        assert_eq!(client(&v2(0x21, 0x11, &[&IPV4[..], &[0x04, 0, 2, 1, 2]].concat())), address("192.0.2.7:12345"));
    }

    #[test]
    fn a_balancer_may_speak_for_itself() {
        assert_eq!(client(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(client(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), None);
        assert_eq!(client(&v2(0x20, 0, &[])), None);
    }

    #[test]
    fn a_header_that_is_cut_anywhere_is_waited_for() {
        for whole in [b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n".to_vec(), v2(0x21, 0x11, &IPV4)] {
            for end in 0..whole.len() {
                assert_eq!(parse(&whole[..end]).expect("well-formed so far"), None, "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_at_the_first_byte_that_shows_it() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; MAX_V1]].concat();
        for bytes in [
            b"\x16\x03\x01".as_slice(),
            b"GET / HTTP/1.1",
            b"PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
            b"PROXY \xff\r\n",
            &long,
            &v2(0x31, 0x11, &IPV4),
            &v2(0x22, 0x11, &IPV4),
            &v2(0x21, 0x12, &IPV4),
            &v2(0x21, 0x31, &[0; 216]),
            &v2(0x21, 0x11, &IPV4[..11]),
            &v2(0x21, 0x21, &IPV4),
            &v2(0x21, 0x11, &[0; MAX_V2_BODY + 1])[..V2_FIXED],
        ] {
            assert!(matches!(parse(bytes), Err(ProxyError::Malformed)), "{bytes:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_decided_within_the_limits(start in 0..3_usize, rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..1200)) {
            let start: &[u8] = [&b""[..], b"PROXY TCP4 ", V2_SIGNATURE][start];
            let bytes = [start, &rest].concat();
            match parse(&bytes) {
                Ok(Some(header)) => assert!(header.length <= bytes.len()),
                Ok(None) => assert!(bytes.len() < V2_FIXED + MAX_V2_BODY),
                Err(error) => assert!(matches!(error, ProxyError::Malformed)),
            }
        }
    }

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
