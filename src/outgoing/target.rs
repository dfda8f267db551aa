//! A URL that may be asked, as far as its text tells.

use std::{fmt, net::IpAddr};
use url::{Host, Url};

/// The longest URL.
const MOST_BYTES: usize = 2048;

/// A URL with a scheme that we speak, a host and nothing about users or fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

/// Why a text is no URL that may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none, or too long.
    #[error("this is no URL")]
    Syntax,
    /// It is neither `https` nor `http`.
    #[error("only https:// is asked")]
    Scheme,
    /// Its host is none, or is written in a way that programs read differently.
    #[error("its host is not written the usual way")]
    Host,
    /// It names a user or a password.
    #[error("it holds a user's name or a password")]
    User,
    /// Its port is 0.
    #[error("its port is 0")]
    Port,
    /// It has a fragment, which is never sent.
    #[error("it has a fragment")]
    Fragment,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if text.len() > MOST_BYTES || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(BadUrl::Syntax);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Syntax)?;
        if scheme != "https" && scheme != "http" {
            return Err(BadUrl::Scheme);
        }
        let url = Url::parse(text).map_err(|_| BadUrl::Syntax)?;
        if !url.username().is_empty()
            || url.password().is_some()
            || rest.split(['/', '?', '#']).next().is_none_or(|part| part.contains('@'))
        {
            return Err(BadUrl::User);
        }
        if url.fragment().is_some() {
            return Err(BadUrl::Fragment);
        }
        if url.port() == Some(0) {
            return Err(BadUrl::Port);
        }
        // A backslash, a decimal or octal address, another alphabet: the parser understands them, and the next program otherwise.
        let host = url.host_str().ok_or(BadUrl::Host)?;
        let written = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let port = url.port_or_known_default().unwrap_or_default();
        if written != host && written != format!("{host}:{port}") {
            return Err(BadUrl::Host);
        }
        let is_name = |name: &str| {
            let label = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
            name.len() <= 253
                && name.split('.').all(label)
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        match url.host() {
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => Ok(Self(url)),
            Some(Host::Domain(name)) if is_name(name) => Ok(Self(url)),
            _ => Err(BadUrl::Host),
        }
    }

    /// Whether it is asked over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Its name, or its address.
    pub(crate) fn host(&self) -> Result<String, IpAddr> {
        match self.0.host() {
            Some(Host::Ipv4(address)) => Err(address.into()),
            Some(Host::Ipv6(address)) => Err(address.into()),
            Some(Host::Domain(name)) => Ok(name.to_owned()),
            None => Ok(String::new()),
        }
    }

    /// What the field `host` says.
    pub(crate) fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What the request line says.
    pub(crate) fn path_and_query(&self) -> String {
        self.0.query().map_or_else(|| self.0.path().to_owned(), |query| format!("{}?{query}", self.0.path()))
    }
}

impl fmt::Display for Target {
    /// Without the query, which may hold what nobody else is to read.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.origin(), self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_addresses_are_read_as_they_are_written() {
        for (text, authority, path) in [
            ("https://login.example.com", "login.example.com", "/"),
            (
                "https://login.example.com/realms/a/.well-known/openid-configuration",
                "login.example.com",
                "/realms/a/.well-known/openid-configuration",
            ),
            ("https://Login.Example.com:8443/a?b=c", "login.example.com:8443", "/a?b=c"),
            ("https://login.example.com:443/", "login.example.com", "/"),
            ("https://192.0.2.7:1/x", "192.0.2.7:1", "/x"),
            ("https://[2001:db8::1]:65535/", "[2001:db8::1]:65535", "/"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080", "/"),
        ] {
            let target = Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((target.authority().as_str(), target.path_and_query().as_str()), (authority, path), "{text}");
        }
        assert_eq!(Target::parse("https://a.example/b?secret=c").expect("good").to_string(), "https://a.example/b");
    }

    #[test]
    fn what_programs_read_differently_is_refused() {
        use BadUrl::{Fragment, Host, Port, Scheme, Syntax, User};
        for (text, why) in [
            ("", Syntax),
            ("login.example.com", Syntax),
            ("//login.example.com/", Syntax),
            ("ftp://login.example.com/", Scheme),
            ("HTTPS://login.example.com/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://127.0.0.1:25/x", Scheme),
            ("https://", Syntax),
            ("https://user@login.example.com/", User),
            ("https://user:password@login.example.com/", User),
            ("https://@login.example.com/", User),
            ("https://login.example.com@127.0.0.1/", User),
            ("https://login.example.com:0/", Port),
            ("https://login.example.com:99999/", Syntax),
            ("https://login.example.com/#x", Fragment),
            ("https://login.example.com\\@127.0.0.1/", User),
            ("https://login.example.com\\.evil.example/", Host),
            ("https://2130706433/", Host),
            ("https://0x7f000001/", Host),
            ("https://0177.0.0.1/", Host),
            ("https://127.1/", Host),
            ("https://127.0.0.1./", Host),
            ("https://1②7.0.0.1/", Host),
            ("https://login。example.com/", Host),
            ("https://%6cogin.example.com/", Host),
            ("https://[::ffff:127.0.0.1]/", Host),
            ("https://[::1%25lo]/", Syntax),
            ("https://[0:0::1]/", Host),
            ("https://login..example.com/", Host),
            ("https://login.example.com./", Host),
            ("https://-a.example/", Host),
            ("https://a b/", Syntax),
            ("https://a\r\nhost: b/", Syntax),
        ] {
            assert_eq!(Target::parse(text), Err(why), "{text}");
        }
        assert_eq!(Target::parse(&format!("https://a.example/{}", "b".repeat(MOST_BYTES))), Err(Syntax));
    }
}
