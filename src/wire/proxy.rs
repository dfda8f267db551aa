//! The PROXY protocol's header, versions 1 and 2, with which a balancer says whose connection it brings.
//!
//! `net` reads it in front of everything else on connections of known balancers. What else a balancer tells (names, certificates) is
//! passed over; whether it is believed is the caller's to decide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1 (its specification §2.1), with its end of line.
const MAX_V1: usize = 107;

/// The most that a header of version 2 may carry behind its fixed part. Addresses take 36 bytes at most; the rest are notes.
const MAX_V2_BODY: usize = 1024;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// A header that was read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// How many bytes it takes; the client's own follow.
    pub length: usize,
    /// Missing where the balancer speaks for itself, to see whether we live.
    pub client: Option<SocketAddr>,
}

/// A stream that does not begin as a balancer's must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not begin with a PROXY header that can be read")]
pub struct ProxyError;

impl ProxyHeader {
    /// The longest header that is taken.
    pub const MAX: usize = V2_FIXED + MAX_V2_BODY;

    /// Reads the header at the front of a stream. `None` when more bytes are needed, and never more than the two limits allow.
    ///
    /// # Errors
    /// It is none, seen at the first byte that shows it.
    pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
        let is_v2 = V2_SIGNATURE.starts_with(bytes.get(..V2_SIGNATURE.len()).unwrap_or(bytes));
        if is_v2 { parse_v2(bytes) } else { parse_v1(bytes) }
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let start = b"PROXY ";
    if !bytes.starts_with(start.get(..bytes.len().min(start.len())).unwrap_or_default()) {
        return Err(ProxyError);
    }
    let line = bytes.get(..MAX_V1).unwrap_or(bytes);
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= MAX_V1 { Err(ProxyError) } else { Ok(None) };
    };
    let text = line.get(..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or(ProxyError)?;
    let mut words = text.split(' ').skip(1);
    let client = match words.next() {
        Some("UNKNOWN") => None,
        Some(family @ ("TCP4" | "TCP6")) => {
            let (Some(from), Some(to), Some(from_port), Some(to_port), None) =
                (words.next(), words.next(), words.next(), words.next(), words.next())
            else {
                return Err(ProxyError);
            };
            let address = |text: &str| text.parse().ok().filter(|address: &IpAddr| address.is_ipv4() == (family == "TCP4"));
            let port = |text: &str| text.parse::<u16>().ok();
            let (Some(from), Some(_), Some(from_port), Some(_)) = (address(from), address(to), port(from_port), port(to_port)) else {
                return Err(ProxyError);
            };
            Some(SocketAddr::new(from, from_port))
        }
        _ => return Err(ProxyError),
    };
    Ok(Some(ProxyHeader { length: end + 2, client }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let body_length = usize::from(u16::from_be_bytes([high, low]));
    if body_length > MAX_V2_BODY {
        return Err(ProxyError);
    }
    let Some(body) = rest.get(..body_length) else { return Ok(None) };
    let length = V2_FIXED + body_length;
    match command {
        0x20 => return Ok(Some(ProxyHeader { length, client: None })),
        0x21 => {}
        _ => return Err(ProxyError),
    }
    let client = match family {
        // TCP over IPv4: both addresses, then both ports.
        0x11 => {
            let Some(([a, b, c, d, _, _, _, _, high, low, _, _], _)) = body.split_first_chunk::<12>() else {
                return Err(ProxyError);
            };
            SocketAddr::new(Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes([*high, *low]))
        }
        0x21 => {
            let Some((addresses, _)) = body.split_first_chunk::<36>() else { return Err(ProxyError) };
            let Some((address, _)) = addresses.split_first_chunk::<16>() else { return Err(ProxyError) };
            SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes([addresses[32], addresses[33]]))
        }
        // Neither is the client of a stream.
        _ => return Err(ProxyError),
    };
    Ok(Some(ProxyHeader { length, client: Some(client) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn client(bytes: &[u8]) -> Option<SocketAddr> {
        let header = ProxyHeader::parse(&[bytes, b"more"].concat()).expect("well-formed").expect("whole");
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
                assert_eq!(ProxyHeader::parse(&whole[..end]).expect("well-formed so far"), None, "{end}");
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
            assert!(matches!(ProxyHeader::parse(bytes), Err(ProxyError)), "{bytes:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_decided_within_the_limits(start in 0..3_usize, rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..1200)) {
            let start: &[u8] = [&b""[..], b"PROXY TCP4 ", V2_SIGNATURE][start];
            let bytes = [start, &rest].concat();
            match ProxyHeader::parse(&bytes) {
                Ok(Some(header)) => assert!(header.length <= bytes.len()),
                Ok(None) => assert!(bytes.len() < ProxyHeader::MAX),
                Err(ProxyError) => {}
            }
        }
    }
}
