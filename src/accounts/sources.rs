//! From where a credential may be used, and from where somebody has signed in before.

use gatehouse_net::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The most networks that one credential names.
const MOST: usize = 64;

/// Where requests with a credential may come from. As text: `*`, or addresses and networks with commas between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub enum Sources {
    /// Everywhere.
    Any,
    /// These networks; never none.
    Only(Vec<Network>),
}

/// A text that names no sources.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// One of its parts is no network.
    #[error("`{part}` is no address or network; give \"*\", or addresses and networks like \"10.0.0.0/8, 2001:db8::/32\"")]
    Part {
        /// That part.
        part: String,
    },
    /// There are too many.
    #[error("at most {MOST} networks are kept")]
    TooMany,
}

impl Sources {
    /// Whether a request from this address may use the credential.
    pub fn allow(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Only(networks) => networks.iter().any(|network| network.contains(address)),
        }
    }
}

/// The networks from which somebody has signed in, the newest last. A stored type: its old forms must still load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SeenNetworks(Vec<String>);

impl SeenNetworks {
    /// So many are remembered; people travel.
    const MOST: usize = 32;

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.contains(&network_of(address))
    }

    /// Remembers a network. Whether it was new.
    pub(crate) fn add(&mut self, address: IpAddr) -> bool {
        let network = network_of(address);
        let known = self.0.iter().position(|seen| *seen == network);
        if let Some(at) = known {
            self.0.remove(at);
        } else if self.0.len() == Self::MOST {
            self.0.remove(0);
        }
        self.0.push(network);
        known.is_none()
    }
}

/// The programs with which somebody has signed in, the newest last. A stored type: its old forms must still load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SeenPrograms(Vec<String>);

impl SeenPrograms {
    const MOST: usize = 16;

    /// Remembers a program by what it calls itself, without numbers: a browser that was brought up to date is the same one. Whether
    /// it was new.
    pub(crate) fn add(&mut self, agent: &str) -> bool {
        let name: String = agent.chars().filter(|c| c.is_alphabetic() || *c == ' ').collect();
        let known = self.0.iter().position(|seen| *seen == name);
        if let Some(at) = known {
            self.0.remove(at);
        } else if self.0.len() == Self::MOST {
            self.0.remove(0);
        }
        self.0.push(name);
        known.is_none()
    }
}

/// What changes when somebody moves, and not when their provider gives them another address: 24 bits of an IPv4 address,
/// 48 of an IPv6 address.
fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("{}/24", Ipv4Addr::from_bits(address.to_bits() >> 8 << 8)),
        IpAddr::V6(address) => format!("{}/48", Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)),
    }
}

impl FromStr for Sources {
    type Err = SourcesError;

    fn from_str(text: &str) -> Result<Self, SourcesError> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() > MOST {
            return Err(SourcesError::TooMany);
        }
        // An empty text is no way to write "everywhere": that must be said.
        let network = |part: &str| part.parse().map_err(|_| SourcesError::Part { part: part.chars().take(64).collect() });
        parts.into_iter().map(network).collect::<Result<_, _>>().map(Self::Only)
    }
}

impl TryFrom<String> for Sources {
    type Error = SourcesError;

    fn try_from(text: String) -> Result<Self, SourcesError> {
        text.parse()
    }
}

impl From<Sources> for String {
    fn from(sources: Sources) -> Self {
        sources.to_string()
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("*"),
            Self::Only(networks) => {
                for (at, network) in networks.iter().enumerate() {
                    write!(out, "{}{network}", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(sources: &str, address: &str) -> bool {
        sources.parse::<Sources>().expect(sources).allow(address.parse().expect(address))
    }

    #[test]
    fn an_address_is_allowed_by_the_network_that_it_is_in() {
        assert!(allows("*", "192.0.2.7"));
        assert!(allows("127.0.0.0/8", "127.9.9.9") && !allows("127.0.0.0/8", "128.0.0.1"));
        assert!(allows("10.0.0.0/8, 192.0.2.7", "192.0.2.7") && !allows("10.0.0.0/8, 192.0.2.7", "192.0.2.8"));
        assert!(allows("2001:db8::/32", "2001:db8::1") && !allows("2001:db8::/32", "2001:db9::1"));
        assert!(allows("127.0.0.0/8", "::ffff:127.0.0.1"), "an IPv4 peer on an IPv6 socket");
        assert!(allows("0.0.0.0/0", "203.0.113.9") && !allows("0.0.0.0/0", "2001:db8::1"));
    }

    #[test]
    fn what_names_no_network_is_refused_when_it_is_written() {
        for text in ["", " ", "10.0.0.0/33", "10.0.0.0/8,", "*,10.0.0.0/8", "example.com", "10.0.0", "::/129"] {
            assert!(matches!(text.parse::<Sources>(), Err(SourcesError::Part { .. })), "{text:?}");
        }
        assert_eq!(vec!["10.0.0.1"; 65].join(",").parse::<Sources>(), Err(SourcesError::TooMany));
    }

    #[test]
    fn neighbours_are_one_network_and_the_oldest_of_many_is_forgotten() {
        let mut seen = SeenNetworks::default();
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        assert!(seen.add(address("192.0.2.1")) && !seen.add(address("192.0.2.200")) && seen.add(address("2001:db8::1")));
        assert!(seen.contain(address("2001:db8:0:ffff::")) && !seen.contain(address("2001:db8:1::")));
        for third in 0..32 {
            seen.add(IpAddr::from([10, 0, third, 1]));
        }
        assert!(!seen.contain(address("192.0.2.1")) && seen.0.len() == SeenNetworks::MOST);
    }

    #[test]
    fn a_browser_that_was_brought_up_to_date_is_the_same_one() {
        let mut seen = SeenPrograms::default();
        assert!(seen.add("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"));
        assert!(!seen.add("Mozilla/5.0 (X11; Linux x86_64; rv:141.2) Gecko/20100101 Firefox/141.2"));
        assert!(seen.add("curl/8.5.0"));
        for program in 0..40_u8 {
            seen.add(&char::from(b'A' + program % 26).to_string().repeat(usize::from(program) + 1));
        }
        assert_eq!(seen.0.len(), SeenPrograms::MOST);
    }

    #[test]
    fn sources_are_told_as_they_are_read() {
        for text in ["*", "127.0.0.0/8", "10.0.0.0/8,2001:db8::/32"] {
            assert_eq!(text.parse::<Sources>().expect(text).to_string(), text);
        }
    }
}
