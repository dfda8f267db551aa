//! Alternative names and the subtrees that constrain them (RFC 5280 §4.2.1.6 and §4.2.1.10).
//!
//! Every name is checked against the syntax of its form when it is read, so that a constraint is never compared
//! with something that it could not have meant.

use crate::{
    der::{DerError, Element, Reader, tag},
    distinguished_name::DistinguishedName,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name in a subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GeneralName {
    /// A mailbox, `local@host`.
    Email(String),
    /// A host name, possibly with `*` as its first label.
    Dns(String),
    /// A distinguished name.
    Directory(DistinguishedName),
    /// A URI, such as `uuid:…`.
    Uri(String),
    /// An address.
    Ip(IpAddr),
    /// Another form (otherName, X.400, EDI, registered id), as its DER.
    Other(Box<[u8]>),
}

/// A subtree of names that an issuer may, or may not, give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subtree {
    /// A mailbox (`a@b`), a host (`b`), or everything below a host (`.b`).
    Email(String),
    /// A host name and everything below it; the empty one is the root of all.
    Dns(String),
    Directory(DistinguishedName),
    /// A host (`b`) or everything below it (`.b`).
    Uri(String),
    V4 {
        network: u32,
        mask: u32,
    },
    V6 {
        network: u128,
        mask: u128,
    },
}

/// Why a general name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GeneralNameError {
    Der(DerError),
    /// The text is none of its form.
    Syntax(&'static str),
    /// A constraint of a form that is not judged.
    Unsupported,
}

impl From<DerError> for GeneralNameError {
    fn from(error: DerError) -> Self {
        Self::Der(error)
    }
}

impl GeneralName {
    /// Reads one `GeneralName`, whose tag is still on it.
    pub(crate) fn read(element: Element<'_>) -> Result<Self, GeneralNameError> {
        match element.tag {
            EMAIL => {
                let mailbox = ia5(element.content)?;
                let valid = split_mailbox(mailbox).is_some_and(|(_, host)| is_host(host, Star::Refused));
                if valid { Ok(Self::Email(mailbox.to_owned())) } else { Err(GeneralNameError::Syntax("a mailbox is not local@host")) }
            }
            DNS => {
                let name = ia5(element.content)?;
                if is_host(name, Star::Accepted) {
                    Ok(Self::Dns(name.to_owned()))
                } else {
                    Err(GeneralNameError::Syntax("a host name is malformed"))
                }
            }
            DIRECTORY => directory(element).map(Self::Directory),
            URI => {
                let uri = ia5(element.content)?;
                if is_uri(uri) {
                    Ok(Self::Uri(uri.to_owned()))
                } else {
                    Err(GeneralNameError::Syntax("a URI is not absolute or malformed"))
                }
            }
            IP => match *element.content {
                [a, b, c, d] => Ok(Self::Ip(Ipv4Addr::new(a, b, c, d).into())),
                _ => match <[u8; 16]>::try_from(element.content) {
                    Ok(octets) => Ok(Self::Ip(Ipv6Addr::from(octets).into())),
                    Err(_) => Err(GeneralNameError::Syntax("an address has neither 4 nor 16 octets")),
                },
            },
            OTHER => {
                let mut other = Reader::new(element.content);
                other.oid()?;
                other.nested(tag::context_constructed(0))?.element()?;
                other.finish()?;
                Ok(Self::Other(element.raw.into()))
            }
            REGISTERED_ID => {
                crate::der::check_oid(element.content)?;
                Ok(Self::Other(element.raw.into()))
            }
            X400 | EDI_PARTY => Ok(Self::Other(element.raw.into())),
            _ => Err(GeneralNameError::Der(DerError::Tag)),
        }
    }

    /// Reads the names in the content of a `GeneralNames`, of which there must be at least one.
    pub(crate) fn read_all(mut names: Reader<'_>) -> Result<Vec<Self>, GeneralNameError> {
        if names.is_empty() {
            return Err(GeneralNameError::Syntax("a list of names is empty"));
        }
        let mut read = Vec::new();
        while !names.is_empty() {
            read.push(Self::read(names.element()?)?);
        }
        Ok(read)
    }
}

impl Subtree {
    /// Reads the `base` of a `GeneralSubtree`.
    pub(crate) fn read(element: Element<'_>) -> Result<Self, GeneralNameError> {
        match element.tag {
            EMAIL => {
                let text = ia5(element.content)?;
                let host = split_mailbox(text).map_or_else(|| text.strip_prefix('.').unwrap_or(text), |(_, host)| host);
                if is_host(host, Star::Refused) {
                    Ok(Self::Email(text.to_owned()))
                } else {
                    Err(GeneralNameError::Syntax("a constraint on mail is malformed"))
                }
            }
            DNS => {
                // RFC 5280 §4.2.1.10 knows no leading dot here, and implementations differ in what it means.
                let name = ia5(element.content)?;
                if name.is_empty() || is_host(name, Star::Refused) {
                    Ok(Self::Dns(name.to_owned()))
                } else {
                    Err(GeneralNameError::Syntax("a constraint on host names is malformed"))
                }
            }
            DIRECTORY => directory(element).map(Self::Directory),
            URI => {
                let text = ia5(element.content)?;
                if is_host(text.strip_prefix('.').unwrap_or(text), Star::Refused) {
                    Ok(Self::Uri(text.to_owned()))
                } else {
                    Err(GeneralNameError::Syntax("a constraint on URIs is malformed"))
                }
            }
            IP => Self::read_addresses(element.content),
            OTHER | X400 | EDI_PARTY | REGISTERED_ID => Err(GeneralNameError::Unsupported),
            _ => Err(GeneralNameError::Der(DerError::Tag)),
        }
    }

    /// An address and a mask of the same length; the mask must be the beginning of an address (RFC 4632).
    fn read_addresses(content: &[u8]) -> Result<Self, GeneralNameError> {
        let malformed = GeneralNameError::Syntax("a constraint on addresses is not a network");
        let (address, mask) = content.split_at(content.len() / 2);
        if let (Ok(address), Ok(mask)) = (<[u8; 4]>::try_from(address), <[u8; 4]>::try_from(mask)) {
            let (address, mask) = (u32::from_be_bytes(address), u32::from_be_bytes(mask));
            return if mask.leading_ones() + mask.trailing_zeros() == 32 {
                Ok(Self::V4 { network: address & mask, mask })
            } else {
                Err(malformed)
            };
        }
        if let (Ok(address), Ok(mask)) = (<[u8; 16]>::try_from(address), <[u8; 16]>::try_from(mask)) {
            let (address, mask) = (u128::from_be_bytes(address), u128::from_be_bytes(mask));
            return if mask.leading_ones() + mask.trailing_zeros() == 128 {
                Ok(Self::V6 { network: address & mask, mask })
            } else {
                Err(malformed)
            };
        }
        Err(malformed)
    }
}

/// Splits `local@host`. The local part may hold what RFC 5321 §4.1.2 allows without quotes.
pub(crate) fn split_mailbox(mailbox: &str) -> Option<(&str, &str)> {
    let (local, host) = mailbox.split_once('@')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    (!local.is_empty() && local.bytes().all(plain)).then_some((local, host))
}

/// The host in a URI's authority, where there is one (RFC 3986 §3.2).
pub(crate) fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once(':')?;
    let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.starts_with('[') {
        return Some(host);
    }
    Some(host.split_once(':').map_or(host, |(host, _)| host))
}

/// Whether a star may stand for the first label.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Star {
    Accepted,
    Refused,
}

/// Whether the text is a host name in the preferred syntax (RFC 1034 §3.5 with RFC 1123 §2.1, by RFC 5280 §4.2.1.6), so
/// without underscores. No dot at the end, and no more than 253 characters.
pub(crate) fn is_host(text: &str, star: Star) -> bool {
    let name = text.strip_prefix("*.").filter(|_| star == Star::Accepted).unwrap_or(text);
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    };
    text.len() <= 253 && name.split('.').all(is_label)
}

/// `scheme:something`, absolute as RFC 5280 §4.2.1.6 wants it, in characters that RFC 3986 §2 allows.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
        && rest.bytes().all(allowed)
}

fn ia5(content: &[u8]) -> Result<&str, GeneralNameError> {
    std::str::from_utf8(content).ok().filter(|text| text.is_ascii()).ok_or(GeneralNameError::Der(DerError::Text))
}

/// A `Name` is a CHOICE, so its tag is explicit.
fn directory(element: Element<'_>) -> Result<DistinguishedName, GeneralNameError> {
    Ok(DistinguishedName::from_der(element.content)?)
}

const OTHER: u8 = tag::context_constructed(0);
const EMAIL: u8 = tag::context(1);
const DNS: u8 = tag::context(2);
const X400: u8 = tag::context_constructed(3);
const DIRECTORY: u8 = tag::context_constructed(4);
const EDI_PARTY: u8 = tag::context_constructed(5);
const URI: u8 = tag::context(6);
const IP: u8 = tag::context(7);
const REGISTERED_ID: u8 = tag::context(8);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, content: &[u8]) -> Result<GeneralName, GeneralNameError> {
        GeneralName::read(Element { tag, content, raw: content })
    }

    fn subtree(tag: u8, content: &[u8]) -> Result<Subtree, GeneralNameError> {
        Subtree::read(Element { tag, content, raw: content })
    }

    #[test]
    fn well_formed_names_are_read() {
        assert_eq!(read(DNS, b"*.a-b.example"), Ok(GeneralName::Dns("*.a-b.example".into())));
        assert_eq!(read(EMAIL, b"a.b+c@example.org"), Ok(GeneralName::Email("a.b+c@example.org".into())));
        assert_eq!(read(URI, b"uuid:00000000-0000"), Ok(GeneralName::Uri("uuid:00000000-0000".into())));
        assert_eq!(read(IP, &[10, 0, 0, 1]), Ok(GeneralName::Ip("10.0.0.1".parse().expect("address"))));
        assert_eq!(read(IP, &[0; 16]), Ok(GeneralName::Ip("::".parse().expect("address"))));
        assert!(matches!(read(REGISTERED_ID, &[0x2a]), Ok(GeneralName::Other(_))));
        assert!(matches!(read(OTHER, &[6, 1, 0x2a, 0xa0, 2, 5, 0]), Ok(GeneralName::Other(_))));
    }

    #[test]
    fn malformed_names_are_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for dns in ["", " ", ".", "a..b", ".a", "a.", "-a", "a-", "a b", "a\0b", "*", "a.*.b", "*a.b", "a_b.example", "a/b", long.as_str()]
        {
            assert!(read(DNS, dns.as_bytes()).is_err(), "{dns}");
        }
        for mail in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@*.b", "<a@b>"] {
            assert!(read(EMAIL, mail.as_bytes()).is_err(), "{mail}");
        }
        for uri in ["", "a", ":a", "1a:b", "a:", "/a", "a:b c", "http://a\\b"] {
            assert!(read(URI, uri.as_bytes()).is_err(), "{uri}");
        }
        for address in [&[][..], &[1, 2, 3], &[0; 5], &[0; 8], &[0; 15], &[0; 17]] {
            assert!(read(IP, address).is_err());
        }
        assert!(read(DNS, b"caf\xe9").is_err());
        assert!(read(OTHER, &[6, 1, 0x2a]).is_err());
        assert!(read(0x89, b"").is_err());
    }

    #[test]
    fn rfc_5280_section_4_2_1_10_says_what_a_constraint_may_be() {
        for (tag, good) in [(DNS, "example.com"), (DNS, ""), (EMAIL, "a@b"), (EMAIL, "b"), (EMAIL, ".b"), (URI, "b"), (URI, ".b")] {
            assert!(subtree(tag, good.as_bytes()).is_ok(), "{good}");
        }
        for (tag, bad) in [(DNS, ".example.com"), (DNS, "*.example.com"), (EMAIL, ""), (EMAIL, "@b"), (URI, ""), (URI, "http://b")] {
            assert!(subtree(tag, bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(subtree(IP, &[10, 1, 2, 3, 255, 0, 0, 0]), Ok(Subtree::V4 { network: 10 << 24, mask: 255 << 24 }));
        assert!(subtree(IP, &[0; 32]).is_ok());
        for bad in [&[10, 0, 0, 0, 255, 0, 255, 0][..], &[10, 0, 0, 0], &[0; 16], &[0; 9], &[]] {
            assert!(subtree(IP, bad).is_err(), "{bad:?}");
        }
        assert_eq!(subtree(REGISTERED_ID, &[0x2a]), Err(GeneralNameError::Unsupported));
    }

    #[test]
    fn the_host_of_a_uri_is_found_where_rfc_3986_puts_it() {
        assert_eq!(uri_host("https://user:x@host.example:1/p?q"), Some("host.example"));
        assert_eq!(uri_host("https://a@b@c/"), Some("c"));
        assert_eq!(uri_host("https://host?x@y"), Some("host"));
        assert_eq!(uri_host("https://[::1]:8/"), Some("[::1]:8"));
        assert_eq!(uri_host("uuid:1234"), None);
    }
}
