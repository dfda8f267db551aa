//! Where an answer may be sent: addresses that a client registered, compared character by character (RFC 9700 §4.1.3).
//!
//! What is no address of one of three kinds cannot be registered, so that nothing here ever has to be cleaned: `https`, `http` at a
//! literal loopback address, whose port is the program's own affair (RFC 8252 §7.3), and a scheme that a program has for itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

const MOST_BYTES: usize = 512;

/// A registered address. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("format" = "uri"))]
pub struct RedirectUri(#[schemars(with = "String")] String);

/// An address that cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a redirect URI is https://HOST/…, http://127.0.0.1/… or http://[::1]/…, or has a scheme with a dot in it like com.example.app:/…; it has \
     no fragment, no user and no wildcard, and {MOST_BYTES} characters at most"
)]
pub struct RedirectUriError;

/// What comes before the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Https,
    Loopback,
    Own,
}

impl RedirectUri {
    /// Whether an answer may go to this address.
    pub(crate) fn allows(&self, asked: &str) -> bool {
        asked == self.0 || without_port(&self.0).is_some_and(|registered| without_port(asked) == Some(registered))
    }

    /// Whether nobody but the registered client can be behind it: other programs of the same machine can listen on loopback and
    /// claim a scheme (RFC 8252 §8.6).
    pub(crate) fn is_exclusive(&self) -> bool {
        kind(&self.0) == Some(Kind::Https)
    }
}

/// The origin of an address that was allowed, or its scheme: how a browser's policy names it.
pub(crate) fn source_of(allowed: &str) -> String {
    match allowed.split_once("://") {
        Some((scheme @ ("https" | "http"), rest)) => format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default()),
        _ => format!("{}:", allowed.split(':').next().unwrap_or_default()),
    }
}

/// The address with answers in its query. The registered query stays (RFC 6749 §3.1.2).
pub(crate) fn with_answers(address: &str, answers: &[(&str, &str)]) -> String {
    let mut address = address.to_owned();
    for (name, value) in answers {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(name);
        address.push('=');
        address.push_str(&encoded(value));
    }
    address
}

/// A value as it stands in a query: everything but unreserved characters is encoded (RFC 3986 §2.3).
pub(crate) fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

fn kind(text: &str) -> Option<Kind> {
    // RFC 3986 §2: what else there is, browsers and servers read differently. A fragment is never part of it (RFC 6749 §3.1.2).
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
    if text.len() > MOST_BYTES || !text.bytes().all(allowed) {
        return None;
    }
    if without_port(text).is_some() {
        return Some(Kind::Loopback);
    }
    let (scheme, rest) = text.split_once(':')?;
    if scheme == "https" {
        let authority = rest.strip_prefix("//")?.split(['/', '?']).next()?;
        return is_host_and_port(authority).then_some(Kind::Https);
    }
    let is_own = scheme.contains('.') && scheme.starts_with(|c: char| c.is_ascii_lowercase());
    let is_own = is_own && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
    // RFC 8252 §7.1: such a scheme has no authority.
    (is_own && rest.starts_with('/') && !rest.starts_with("//")).then_some(Kind::Own)
}

fn is_host_and_port(authority: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                return port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            }
            _ => return false,
        },
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// A loopback address in two parts around its port, which does not count.
fn without_port(text: &str) -> Option<(&str, &str)> {
    let (host, rest) = ["http://127.0.0.1", "http://[::1]"].into_iter().find_map(|host| Some((host, text.strip_prefix(host)?)))?;
    let Some(behind) = rest.strip_prefix(':') else { return is_path(rest).then_some((host, rest)) };
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    let (port, path) = behind.split_at_checked(digits)?;
    let is_port = port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port);
    (is_port && is_path(path)).then_some((host, path))
}

fn is_path(text: &str) -> bool {
    text.is_empty() || text.starts_with(['/', '?'])
}

impl TryFrom<String> for RedirectUri {
    type Error = RedirectUriError;

    fn try_from(text: String) -> Result<Self, RedirectUriError> {
        // A star is a wildcard to whoever writes it, and would be a character to us.
        match kind(&text) {
            Some(_) if !text.contains('*') => Ok(Self(text)),
            _ => Err(RedirectUriError),
        }
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn three_kinds_can_be_registered_and_nothing_else() {
        for good in [
            "https://app.example.com/callback",
            "https://app.example.com:8443/callback?from=gatehouse",
            "https://[2001:db8::1]/callback",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:8000/callback",
            "http://[::1]/",
            "com.example.app:/callback",
        ] {
            uri(good);
        }
        for bad in [
            "",
            "https://",
            "https:///callback",
            "http://app.example.com/callback",
            "http://localhost/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://127.0.0.1@evil.example/callback",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:080/callback",
            "https://user@app.example.com/callback",
            "https://app.example.com\\@evil.example/",
            "https://app.example.com/callback#fragment",
            "https://*.example.com/callback",
            "https://app.example.com/*",
            "https://app.example.com/a b",
            "https://app.example.com:99999/",
            "HTTPS://app.example.com/",
            "javascript:alert(1)",
            "data:text/html,x",
            "app:/callback",
            "com.example.app://host/callback",
            "//app.example.com/callback",
            "/callback",
        ] {
            assert!(RedirectUri::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_goes_to_exactly_what_is_registered() {
        let registered = uri("https://app.example.com/callback");
        assert!(registered.allows("https://app.example.com/callback"));
        for other in [
            "https://app.example.com/callback/",
            "https://app.example.com/callback/../evil",
            "https://app.example.com/callback?x=1",
            "https://app.example.com/callback#x",
            "https://app.example.com/callbac",
            "https://app.example.com:443/callback",
            "https://app.example.com:8443/callback",
            "https://APP.example.com/callback",
            "https://app.example.com.evil.example/callback",
            "https://app.example.com@evil.example/callback",
            "https://evil.example\\@app.example.com/callback",
            "https://app.example.com%2f@evil.example/callback",
            "http://app.example.com/callback",
            " https://app.example.com/callback",
            "",
        ] {
            assert!(!registered.allows(other), "{other}");
        }
    }

    #[test]
    fn a_loopback_address_has_any_port_and_nothing_else_that_differs() {
        for registered in [uri("http://127.0.0.1/callback"), uri("http://127.0.0.1:8000/callback")] {
            for port in ["", ":1", ":8000", ":65535"] {
                assert!(registered.allows(&format!("http://127.0.0.1{port}/callback")), "{port}");
            }
            for other in [
                "http://127.0.0.1:0/callback",
                "http://127.0.0.1:65536/callback",
                "http://127.0.0.1:8000@evil.example/callback",
                "http://127.0.0.1:8000.evil.example/callback",
                "http://127.0.0.1.evil.example/callback",
                "http://127.0.0.2:8000/callback",
                "http://[::1]:8000/callback",
                "http://localhost:8000/callback",
                "https://127.0.0.1:8000/callback",
                "http://127.0.0.1:8000/callback/x",
                "http://127.0.0.1:8000/callback#x",
                "http://127.0.0.1:8000/Callback",
            ] {
                assert!(!registered.allows(other), "{other}");
            }
        }
    }

    #[test]
    fn answers_join_the_query_that_is_there_and_cannot_leave_it() {
        let hostile = "a&code=forged#x\r\nset-cookie: y";
        let address = with_answers("https://app.example.com/callback?x=1", &[("state", hostile), ("iss", "https://gatehouse")]);
        let expected =
            "https://app.example.com/callback?x=1&state=a%26code%3Dforged%23x%0D%0Aset-cookie%3A%20y&iss=https%3A%2F%2Fgatehouse";
        assert_eq!(address, expected);
        assert_eq!(source_of("https://app.example.com:8443/callback?x=1"), "https://app.example.com:8443");
        assert_eq!(source_of("com.example.app:/callback"), "com.example.app:");
    }
}
