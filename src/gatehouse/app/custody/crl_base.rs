//! The address that certificates name for revocation lists, and whether anybody answers there.
//!
//! It stands in every certificate for as long as that lives, so `init` writes it into the configuration. What can be known
//! from the configuration alone is whether a listener of ours has that port; a name or a port that somebody else answers
//! for, like a proxy, is theirs.

use crate::app::listen::{Config as Listener, Role};
use gatehouse_pki::Host;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// Where our listeners serve revocation lists.
const PATH: &str = "crl";

/// The address of an installation whose `http` listener has this port.
pub(crate) fn at(host: &Host, port: u16) -> String {
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    format!("http://{}{port}/{PATH}", bracketed(host))
}

/// The address when the configuration names none: that of the first `http` listener, or of HTTP's own port.
pub(super) fn default(host: &Host, listeners: &BTreeMap<String, Listener>) -> String {
    let plain = listeners.values().filter(|listener| listener.role == Role::Http).map(|listener| listener.address);
    at(host, plain.map(|address: SocketAddr| address.port()).find(|port| *port != 0).unwrap_or(80))
}

/// Why nobody of ours answers at this address, if it is an address of ours.
pub(super) fn unanswered(base: &str, host: &Host, listeners: &BTreeMap<String, Listener>) -> Option<String> {
    let (role, usual, rest) = match (base.strip_prefix("http://"), base.strip_prefix("https://")) {
        (Some(rest), _) => (Role::Http, 80, rest),
        (_, Some(rest)) => (Role::Https, 443, rest),
        (None, None) => return Some(format!("is {base:?}, and an address begins with http://")),
    };
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (named, port) = match place.rsplit_once(':') {
        Some((named, digits)) if !digits.ends_with(']') => (named, digits.parse().ok()),
        _ => (place, Some(usual)),
    };
    if !named.eq_ignore_ascii_case(&bracketed(host)) {
        return None;
    }
    if path.trim_end_matches('/') != PATH {
        return Some(format!("makes certificates name {base}, and our listeners serve revocation lists under /{PATH}"));
    }
    // Port 0 becomes some port; which one, nobody knows before.
    let answers = |listener: &Listener| listener.role == role && (Some(listener.address.port()) == port || listener.address.port() == 0);
    if listeners.values().any(answers) {
        return None;
    }
    let port = port.map_or_else(|| "that port".to_owned(), |port| format!("port {port}"));
    let role = role.name();
    Some(format!(
        "makes certificates name {base}, and no listener with the role {role} has {port}: who checks them finds no revocation list, unless something else passes requests on"
    ))
}

/// An IPv6 address stands in brackets in a URL.
fn bracketed(host: &Host) -> String {
    match host {
        Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(all: &[(u16, Role)]) -> BTreeMap<String, Listener> {
        let one = |(index, (port, role)): (usize, &(u16, Role))| {
            let address = ([127, 0, 0, 1], *port).into();
            (
                format!("listener-{index}"),
                Listener {
                    address,
                    role: *role,
                    certificate: None,
                    clients: None,
                    proxy_from: Vec::new(),
                    framing: gatehouse_coap::Framing::Standard,
                },
            )
        };
        all.iter().enumerate().map(one).collect()
    }

    #[test]
    fn without_a_word_certificates_name_the_first_listener_that_serves_in_the_clear() {
        let host: Host = "gatehouse.example.com".parse().expect("host");
        let all = listeners(&[(8443, Role::Https), (9464, Role::Metrics), (8080, Role::Http)]);
        assert_eq!(default(&host, &all), "http://gatehouse.example.com:8080/crl");
        assert_eq!(unanswered(&default(&host, &all), &host, &all), None);
        assert_eq!(default(&host, &listeners(&[(80, Role::Http)])), "http://gatehouse.example.com/crl");
        assert_eq!(default(&host, &listeners(&[(8443, Role::Https)])), "http://gatehouse.example.com/crl");
        assert_eq!(default(&"2001:db8::1".parse().expect("host"), &all), "http://[2001:db8::1]:8080/crl");
    }

    #[test]
    fn an_address_of_ours_at_which_nobody_listens_is_told() {
        let all = listeners(&[(8443, Role::Https), (8080, Role::Http)]);
        let told = |base: &str, host: &str| unanswered(base, &host.parse().expect("host"), &all).is_some();
        for (base, host) in [
            ("http://example.com/crl", "example.com"),
            ("http://example.com:8443/crl", "example.com"),
            ("https://EXAMPLE.com/crl", "example.com"),
            ("http://example.com:8080/lists", "example.com"),
            ("http://example.com:port/crl", "example.com"),
            ("http://[2001:db8::1]/crl", "2001:db8::1"),
            ("example.com/crl", "example.com"),
        ] {
            assert!(told(base, host), "{base}");
        }
        for (base, host) in [
            ("http://example.com:8080/crl", "example.com"),
            ("http://example.com:8080/crl/", "example.com"),
            ("https://example.com:8443/crl", "example.com"),
            ("http://[2001:db8::1]:8080/crl", "2001:db8::1"),
            ("http://lists.example.com/anything", "example.com"),
        ] {
            assert!(!told(base, host), "{base}");
        }
        assert_eq!(unanswered("http://example.com/crl", &"example.com".parse().expect("host"), &listeners(&[(0, Role::Http)])), None);
    }
}
