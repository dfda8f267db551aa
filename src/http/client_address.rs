//! From which address a request really comes.
//!
//! Behind a balancer that speaks HTTP the peer is the balancer. It then tells the address in a header, and a client can
//! put the same header into its request. So the header counts only from the balancers that are configured, and of what
//! it lists only the part that they wrote: read from the end, the first address that is none of theirs.

use axum::http::{HeaderMap, HeaderName, header};
use gatehouse_base::config::Choice;
use gatehouse_net::Network;
use std::net::{IpAddr, SocketAddr};

/// Where a request comes from, as far as it can be known. In the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Which header the balancers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, which most balancers write.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Choice for ProxyHeader {
    const ALL: &'static [(&'static str, Self)] = &[("x-forwarded-for", Self::XForwardedFor), ("forwarded", Self::Forwarded)];
}

impl ClientAddress {
    pub(crate) fn of(peer: SocketAddr, headers: &HeaderMap, proxies: &[Network], header: ProxyHeader) -> Self {
        let ours = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
        let peer = peer.ip().to_canonical();
        if !ours(peer) {
            return Self(peer);
        }
        let mut nearest = peer;
        // From the end: every hop appends the one before it.
        for hop in hops(headers, header).into_iter().rev() {
            // What cannot be read was written by somebody else than our balancer: the last hop that we know is answered.
            let Some(address) = hop else { break };
            nearest = address;
            if !ours(address) {
                break;
            }
        }
        Self(nearest)
    }
}

fn hops(headers: &HeaderMap, header: ProxyHeader) -> Vec<Option<IpAddr>> {
    let (name, hop): (HeaderName, fn(&str) -> Option<IpAddr>) = match header {
        ProxyHeader::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), address),
        ProxyHeader::Forwarded => (header::FORWARDED, forwarded),
    };
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(|part| hop(part.trim())).collect()
}

/// RFC 7239 §4: pairs, of which `for` names the client.
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

/// An address with or without a port; one of IPv6 with a port stands in brackets (RFC 7239 §6).
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> = bare().or_else(with_port).or_else(bracketed);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(peer: &str, header: ProxyHeader, lines: &[&str]) -> String {
        let proxies = ["10.0.0.0/8".parse().expect("network"), "fd00::/8".parse().expect("network")];
        let name = if header == ProxyHeader::Forwarded { "forwarded" } else { "x-forwarded-for" };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).expect("header"));
        }
        let peer = SocketAddr::new(peer.parse().expect("address"), 4711);
        ClientAddress::of(peer, &headers, &proxies, header).0.to_string()
    }

    #[test]
    fn a_stranger_is_its_peer_whatever_its_headers_say() {
        assert_eq!(client("192.0.2.7", ProxyHeader::XForwardedFor, &["127.0.0.1"]), "192.0.2.7");
    }

    #[test]
    fn behind_our_balancers_the_last_address_that_is_none_of_theirs_counts() {
        let header = ProxyHeader::XForwardedFor;
        assert_eq!(client("10.0.0.1", header, &["127.0.0.1, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", header, &["127.0.0.1, 192.0.2.7, 10.0.0.2"]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", header, &["127.0.0.1", "192.0.2.7"]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", header, &["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(client("::ffff:10.0.0.1", header, &["192.0.2.7:5555"]), "192.0.2.7");
    }

    #[test]
    fn what_cannot_be_read_ends_the_way_back() {
        let header = ProxyHeader::XForwardedFor;
        assert_eq!(client("10.0.0.1", header, &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", header, &["192.0.2.7, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", header, &["192.0.2.7, , 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn the_standard_header_is_read_when_it_is_the_one_that_counts() {
        let header = ProxyHeader::Forwarded;
        assert_eq!(client("10.0.0.1", header, &["for=127.0.0.1, for=192.0.2.7;proto=https"]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", header, &["proto=https;For=\"[2001:db8::1]:80\""]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", header, &["for=_hidden"]), "10.0.0.1");
    }
}
