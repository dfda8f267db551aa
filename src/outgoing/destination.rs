//! Which addresses may be connected to.
//!
//! Only the public Internet, and what the operator allows by name. IPv6 has several ways to write an IPv4 address; what a translator or
//! tunnel would make of one is judged as that address. The rest of IPv6 is what IANA has given out for hosts, 2000::/3, without what
//! is set apart in it.

use gatehouse_net::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The rules about addresses.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    allow: Vec<Network>,
}

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forbidden {
    /// This machine, or no address at all.
    Loopback,
    /// A network of somebody's own: RFC 1918, unique local, what carriers share (RFC 6598).
    Private,
    /// The same wire, where clouds also answer questions about the machine.
    LinkLocal,
    /// More than one receiver.
    Multicast,
    /// An address at which a cloud answers questions about the machine, outside of the ranges above.
    Metadata,
    /// Set apart for documents, measurements, tunnels or the future.
    Reserved,
}

/// An address that may be connected to. Made by [`Destinations::judge`] and nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) address: SocketAddr,
    /// Whether the operator named it.
    pub(crate) allowed: bool,
}

impl Destinations {
    /// Rules that let these networks be reached besides the public Internet.
    pub fn new(allow: Vec<Network>) -> Self {
        Self { allow }
    }

    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// What it is instead.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        self.judge(SocketAddr::new(address, 0)).map(|_| ())
    }

    pub(crate) fn judge(&self, address: SocketAddr) -> Result<Judged, Forbidden> {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        if self.allow.iter().any(|network| network.contains(ip)) {
            return Ok(Judged { address, allowed: true });
        }
        let forbidden = match ip {
            IpAddr::V4(ip) => v4(ip),
            IpAddr::V6(ip) => v6(ip),
        };
        forbidden.map_or(Ok(Judged { address, allowed: false }), Err)
    }
}

impl Forbidden {
    /// The word for it in metrics and codes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Metadata => "metadata",
            Self::Reserved => "reserved",
        }
    }
}

/// RFC 6890 and the registry that follows it.
fn v4(ip: Ipv4Addr) -> Option<Forbidden> {
    match ip.octets() {
        [0 | 127, ..] => Some(Forbidden::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some(Forbidden::Private),
        [169, 254, ..] => Some(Forbidden::LinkLocal),
        // Azure's, which is a public address anywhere else.
        [168, 63, 129, 16] => Some(Forbidden::Metadata),
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Some(Forbidden::Reserved),
        [224..=239, ..] => Some(Forbidden::Multicast),
        [240..=255, ..] => Some(Forbidden::Reserved),
        _ => None,
    }
}

fn v6(ip: Ipv6Addr) -> Option<Forbidden> {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = ip.segments();
    let embedded = |high: u16, low: u16| v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (first, second) {
        _ if ip.is_loopback() || ip.is_unspecified() => Some(Forbidden::Loopback),
        // RFC 6052 §2.1: the well-known prefix of NAT64.
        (0x64, 0xff9b) if [third, fourth, fifth, sixth] == [0; 4] => embedded(seventh, eighth),
        // RFC 3056: 6to4.
        (0x2002, high) => embedded(high, third),
        (0xfe80..=0xfebf, _) => Some(Forbidden::LinkLocal),
        // Unique local, and what was site-local before.
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Some(Forbidden::Private),
        (0xff00..=0xffff, _) => Some(Forbidden::Multicast),
        // RFC 2928: Teredo, ORCHID, benchmarks and other protocols; RFC 3849 and RFC 9637: documents.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => Some(Forbidden::Reserved),
        (0x2000..=0x3fff, _) => None,
        _ => Some(Forbidden::Reserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(destinations: &Destinations, text: &str) -> Result<(), Forbidden> {
        destinations.check(text.parse().expect(text))
    }

    #[test]
    fn the_public_internet_may_be_reached() {
        let nothing_allowed = Destinations::default();
        for public in ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "169.253.0.1", "192.0.1.1", "223.255.255.255"] {
            assert_eq!(check(&nothing_allowed, public), Ok(()), "{public}");
            assert_eq!(check(&nothing_allowed, &format!("::ffff:{public}")), Ok(()), "{public}");
            assert_eq!(check(&nothing_allowed, &format!("64:ff9b::{public}")), Ok(()), "{public}");
        }
        for public in ["2606:4700::1", "2a00:1450::1", "2002:808:808::1", "2001:200::1", "3ffe::1"] {
            assert_eq!(check(&nothing_allowed, public), Ok(()), "{public}");
        }
    }

    #[test]
    fn our_own_machine_and_networks_may_not_however_they_are_written() {
        use Forbidden::{LinkLocal, Loopback, Metadata, Multicast, Private, Reserved};
        let table = [
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("0.0.0.0", Loopback),
            ("0.1.2.3", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("100.100.100.200", Private),
            ("169.254.169.254", LinkLocal),
            ("168.63.129.16", Metadata),
            ("192.0.0.192", Reserved),
            ("192.0.2.1", Reserved),
            ("192.88.99.1", Reserved),
            ("198.18.0.1", Reserved),
            ("198.51.100.1", Reserved),
            ("203.0.113.1", Reserved),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
        ];
        let nothing_allowed = Destinations::default();
        for (text, why) in table {
            assert_eq!(check(&nothing_allowed, text), Err(why), "{text}");
            assert_eq!(check(&nothing_allowed, &format!("::ffff:{text}")), Err(why), "{text} mapped");
            assert_eq!(check(&nothing_allowed, &format!("64:ff9b::{text}")), Err(why), "{text} through NAT64");
            let [a, b, c, d] = text.parse::<Ipv4Addr>().expect(text).octets();
            assert_eq!(check(&nothing_allowed, &format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1")), Err(why), "{text} through 6to4");
        }
        for (text, why) in [
            ("::", Loopback),
            ("::1", Loopback),
            ("::7f00:1", Reserved),
            ("64:ff9b:1::1", Reserved),
            ("64:ff9b:0:1::1", Reserved),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("fc00::1", Private),
            ("fd00:ec2::254", Private),
            ("ff02::1", Multicast),
            ("2001::1", Reserved),
            ("2001:db8::1", Reserved),
            ("3fff::1", Reserved),
            ("100::1", Reserved),
            ("5f00::1", Reserved),
            ("4000::1", Reserved),
        ] {
            assert_eq!(check(&nothing_allowed, text), Err(why), "{text}");
        }
    }

    #[test]
    fn what_the_operator_names_may_be_reached_and_its_neighbours_not() {
        let destinations = Destinations::new(vec!["10.1.0.0/16".parse().expect("network"), "::1".parse().expect("network")]);
        for allowed in ["10.1.2.3", "::ffff:10.1.2.3", "::1"] {
            assert_eq!(check(&destinations, allowed), Ok(()), "{allowed}");
        }
        for not in ["10.2.0.1", "127.0.0.1", "64:ff9b::10.1.2.3"] {
            assert!(check(&destinations, not).is_err(), "{not}");
        }
    }
}
