//! The names that certificates carry, one type each, so that they cannot be swapped or smuggled into each other.
//!
//! A text becomes one of these types in one place, and only in the one form that is ever compared. What the
//! types hold goes into certificates as it is; nothing is repaired on the way.

use gatehouse_types::{DeviceId, IdError};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// A text that is not a name of the kind that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `uuid:` and an id.
    #[error("a device is named `uuid:` and its id, all in lower case, like uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4")]
    Device(#[source] Option<IdError>),
    /// Not a host name.
    #[error("{text:?} is not a host name: {reason} (RFC 1123 §2.1)")]
    Host {
        /// The text.
        text: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Not the serial number of a product.
    #[error("a product's serial number has 1 to 64 letters, digits, blanks or characters of '()+,-./:=, without blanks at its ends")]
    SerialNumber,
    /// Not a text that people read.
    #[error("{kind} has 1 to {MAX_TEXT} characters, none of them a control character, and no blanks at its ends")]
    Text {
        /// What it was to be.
        kind: &'static str,
    },
    /// A text that a device could take for another device's name.
    #[error("{kind} must not contain `uuid:`, in whatever case: devices look for it and take what follows for an identity")]
    LooksLikeADevice {
        /// What it was to be.
        kind: &'static str,
    },
    /// Not an address of a revocation list.
    #[error("the address of a revocation list is `http://` or `https://` with a host, in at most {MAX_ADDRESS} printable ASCII characters")]
    Address,
}

/// The name of a device or a hub in the common name of its certificate: `uuid:<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DeviceName(DeviceId);

impl DeviceName {
    /// Whose name it is.
    pub fn id(&self) -> DeviceId {
        self.0
    }
}

impl From<DeviceId> for DeviceName {
    fn from(id: DeviceId) -> Self {
        Self(id)
    }
}

impl FromStr for DeviceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let id = text.strip_prefix(DEVICE_PREFIX).ok_or(NameError::Device(None))?;
        id.parse().map(Self).map_err(|error| NameError::Device(Some(error)))
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{DEVICE_PREFIX}{}", self.0)
    }
}

/// The name of a host, in lower case and without the dot at its end. The first label may be `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostName(String);

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match host_name_fault(text) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(NameError::Host { text: excerpt(text), reason }),
        }
    }
}

/// What a server certificate names: a host or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Host {
    /// A host by its name.
    Name(HostName),
    /// A host by its address.
    Address(IpAddr),
}

impl FromStr for Host {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(out),
            Self::Address(address) => address.fmt(out),
        }
    }
}

/// The serial number of a product, as its maker counts (X.520 §6.2.9). Not the serial number of a certificate, which is
/// a [`Serial`](crate::Serial).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SerialNumber(String);

impl FromStr for SerialNumber {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // The characters of a PrintableString (X.680 §41.4) without the question mark, which the encoder of certificates
        // meets with a panic.
        let printable = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=".contains(&byte));
        let fits = (1..=MAX_TEXT).contains(&text.len()) && printable && text.trim() == text;
        if looks_like_a_device(text) {
            return Err(NameError::LooksLikeADevice { kind: "a product's serial number" });
        }
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::SerialNumber) }
    }
}

/// The common name of a CA, a person or a program: anything but a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CommonName(String);

impl FromStr for CommonName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        readable(text, "a common name").map(Self)
    }
}

/// The name of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct OrganisationName(String);

impl FromStr for OrganisationName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        readable(text, "the name of an organisation").map(Self)
    }
}

/// Where the revocation list of an issuer is fetched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CrlAddress(String);

impl FromStr for CrlAddress {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or(NameError::Address)?;
        let has_host = rest.split(['/', '?', '#']).next().is_some_and(|host| !host.is_empty() && !host.contains('@'));
        let fits = text.len() <= MAX_ADDRESS && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
        if has_host && fits { Ok(Self(text.to_owned())) } else { Err(NameError::Address) }
    }
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    )*};
}

macro_rules! serialised_as_text {
    ($($name:ident)*) => {$(
        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    )*};
}

text!(HostName SerialNumber CommonName OrganisationName CrlAddress);
serialised_as_text!(DeviceName HostName Host SerialNumber CommonName OrganisationName CrlAddress);

/// Whether devices would find the beginning of a device name somewhere in the text.
pub(crate) fn looks_like_a_device(text: &str) -> bool {
    text.to_ascii_lowercase().contains(DEVICE_PREFIX)
}

fn readable(text: &str, kind: &'static str) -> Result<String, NameError> {
    if looks_like_a_device(text) {
        return Err(NameError::LooksLikeADevice { kind });
    }
    // RFC 5280 appendix A.1: ub-common-name and ub-organization-name count characters.
    let length = text.chars().take(MAX_TEXT + 1).count();
    let fits = (1..=MAX_TEXT).contains(&length) && text.trim() == text && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(NameError::Text { kind }) }
}

/// The rule that a host name breaks.
fn host_name_fault(text: &str) -> Option<&'static str> {
    if text.len() > 253 {
        return Some("it has more than 253 characters");
    }
    let concrete = text.strip_prefix("*.").unwrap_or(text);
    let mut labels = 0;
    for label in concrete.split('.') {
        labels += 1;
        if !(1..=63).contains(&label.len()) {
            return Some("each label has 1 to 63 characters");
        }
        if !label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return Some("only a-z, 0-9 and - are used, and * as the whole first label");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("a label does not begin or end with -");
        }
    }
    if concrete.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Some("the last label is not a number; write an address as an address");
    }
    (concrete.len() != text.len() && labels < 2).then_some("* stands for one label below a domain, not for all of a top-level domain")
}

/// Enough of a refused text to recognise it.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

const DEVICE_PREFIX: &str = "uuid:";
const MAX_TEXT: usize = 64;
const MAX_ADDRESS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEVICE: &str = "uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4";

    #[test]
    fn a_device_name_has_one_spelling() {
        let name: DeviceName = DEVICE.parse().expect("canonical");
        assert_eq!(name.to_string(), DEVICE);
        let spellings = [
            DEVICE.to_uppercase(),
            DEVICE.replace("uuid", "UUID"),
            DEVICE.replace("uuid:", ""),
            format!("{DEVICE} "),
            format!("x{DEVICE}"),
        ];
        for text in spellings {
            assert!(matches!(text.parse::<DeviceName>(), Err(NameError::Device(_))), "{text}");
        }
    }

    #[test]
    fn host_names_are_those_of_rfc_1123_section_2_1() {
        for good in ["localhost", "a.example", "xn--bcher-kva.example", "*.example.com", "3com.com", &format!("{}.example", "a".repeat(63))]
        {
            assert_eq!(good.parse::<HostName>().expect("a host name").as_str(), good);
        }
        let bad = [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "A.example",
            "a_b.example",
            "-a.example",
            "a-.example",
            "*",
            "*.com",
            "a.*.com",
            "a*.b.com",
            "10.0.0.1",
        ];
        for bad in bad {
            assert!(matches!(bad.parse::<HostName>(), Err(NameError::Host { .. })), "{bad}");
        }
        assert!(format!("{}.example", "a".repeat(64)).parse::<HostName>().is_err());
        assert!("a.".repeat(127).parse::<HostName>().is_err());
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        assert_eq!("10.0.0.1".parse(), Ok(Host::Address([10, 0, 0, 1].into())));
        assert_eq!("2001:db8::1".parse::<Host>().expect("an address").to_string(), "2001:db8::1");
        assert!(matches!("hub.example".parse(), Ok(Host::Name(_))));
        assert!("10.0.0.256".parse::<Host>().is_err());
    }

    #[test]
    fn a_product_serial_number_is_a_printable_string_of_64_characters() {
        let longest = "9".repeat(64);
        for good in ["A-001", "SN 17/4", longest.as_str()] {
            assert_eq!(good.parse::<SerialNumber>().expect("printable").as_str(), good);
        }
        for bad in ["", " A", "A ", "A_1", "Ä", "a@b", "A?", &"9".repeat(65)] {
            assert_eq!(bad.parse::<SerialNumber>(), Err(NameError::SerialNumber), "{bad}");
        }
    }

    #[test]
    fn texts_for_people_cannot_be_taken_for_devices() {
        assert_eq!("Müller & Søn".parse::<OrganisationName>().expect("readable").as_str(), "Müller & Søn");
        for bad in ["", " x", "x\n", "a\u{0}b", &"x".repeat(65)] {
            assert!(matches!(bad.parse::<CommonName>(), Err(NameError::Text { .. })), "{bad:?}");
        }
        for bad in [DEVICE, "My UUID:1", "Uuid:"] {
            assert!(matches!(bad.parse::<CommonName>(), Err(NameError::LooksLikeADevice { .. })), "{bad}");
            assert!(matches!(bad.parse::<OrganisationName>(), Err(NameError::LooksLikeADevice { .. })), "{bad}");
        }
        assert!(matches!("uuid:1".parse::<SerialNumber>(), Err(NameError::LooksLikeADevice { .. })));
    }

    #[test]
    fn revocation_lists_are_fetched_by_http() {
        for good in ["http://ca.example/crl", "https://10.0.0.1:8443/v1/crl/1", "http://[2001:db8::1]/x"] {
            assert_eq!(good.parse::<CrlAddress>().expect("an address").as_str(), good);
        }
        for bad in ["", "http://", "http:///x", "ftp://a/x", "http://a b/", "http://user@a/", "ldap://a", "http://ä/"] {
            assert_eq!(bad.parse::<CrlAddress>(), Err(NameError::Address), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_kept_as_it_is(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<HostName>() { prop_assert_eq!(name.as_str(), &text); }
            if let Ok(name) = text.parse::<CommonName>() { prop_assert_eq!(name.as_str(), &text); }
            if let Ok(name) = text.parse::<SerialNumber>() { prop_assert_eq!(name.as_str(), &text); }
            if let Ok(name) = text.parse::<DeviceName>() { prop_assert_eq!(name.to_string(), text); }
        }

        #[test]
        fn every_id_is_a_device_name(bytes in any::<[u8; 16]>()) {
            let name = DeviceName::from(DeviceId::from_random(bytes));
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }
}
