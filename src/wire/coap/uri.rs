//! `coap` URIs and the options that they become (RFC 7252 §6, RFC 8323 §8).
//!
//! A [`Uri`] is taken apart into options by one who sends a request (§6.4) and put together from them by one who received
//! it (§6.5). Its parts are kept decoded; only [`Uri::from_str`] and its opposite know about percent signs.

use super::{OptionNumber, Options, OptionsBuilder};
use std::{
    fmt::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The longest text that is read as a URI.
pub const MAX_URI: usize = 8192;

/// Transport and security of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `coap`: UDP.
    Coap,
    /// `coaps`: UDP with DTLS.
    Coaps,
    /// `coap+tcp`: TCP.
    CoapTcp,
    /// `coaps+tcp`: TCP with TLS.
    CoapsTcp,
}

/// Where a URI leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// An absolute URI of one of the four schemes, with its parts decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    scheme: Scheme,
    host: Host,
    port: Option<u16>,
    path: Vec<String>,
    query: Vec<String>,
}

/// Why a text is no URI of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Longer than [`MAX_URI`].
    #[error("the URI is longer than {MAX_URI} bytes")]
    Long,
    /// No `coap://`, `coaps://`, `coap+tcp://` or `coaps+tcp://` in front.
    #[error("the URI is of none of the schemes coap, coaps, coap+tcp and coaps+tcp")]
    Scheme,
    /// RFC 7252 §6.1: a fragment is for those who have the representation.
    #[error("a CoAP URI has no fragment")]
    Fragment,
    /// RFC 7252 §6.1: there is no user in a CoAP URI.
    #[error("a CoAP URI names no user")]
    User,
    /// Empty, too long, or no address in the brackets.
    #[error("the URI names no host")]
    Host,
    /// No number up to 65535, or 0.
    #[error("the port is none")]
    Port,
    /// A percent sign without two hexadecimal digits, a byte that has to stand behind one, or no UTF-8 in the end.
    #[error("the URI has a character that has to be written in another way")]
    Encoding,
    /// RFC 7252 table 4: no option holds a segment or an argument of more than 255 bytes.
    #[error("a part of the URI is longer than 255 bytes")]
    Part,
}

impl Uri {
    /// The root of a server. Port 0 stands for that of the scheme.
    pub fn new(scheme: Scheme, host: Host, port: Option<u16>) -> Self {
        Self { scheme, host, port: port.filter(|port| *port != 0), path: Vec::new(), query: Vec::new() }
    }

    /// What a request that arrived at this server asks for (RFC 7252 §6.5). `None` where an option is not as
    /// [`Options::refuse_critical`] demands, or names port 0.
    pub fn from_options(scheme: Scheme, host: Host, port: Option<u16>, options: &Options) -> Option<Self> {
        let texts = |number| -> Option<Vec<String>> { options.all(number).map(|value| text(value, 0)).collect() };
        let host = match options.all(OptionNumber::URI_HOST).next() {
            Some(value) => Host::named(&text(value, 1)?),
            None => host,
        };
        let port = match options.has(OptionNumber::URI_PORT) {
            true => Some(u16::try_from(options.uint(OptionNumber::URI_PORT)?).ok().filter(|port| *port != 0)?),
            false => port,
        };
        Some(Self { scheme, host, port, path: texts(OptionNumber::URI_PATH)?, query: texts(OptionNumber::URI_QUERY)? })
    }

    /// The options that ask for it at `destination`, which is where the request goes (RFC 7252 §6.4): the name of the host
    /// where it has one, the port where it is another one, path and query.
    pub fn to_options(&self, destination: u16) -> OptionsBuilder {
        let mut options = Options::builder();
        if let Host::Name(name) = &self.host {
            options = options.with(OptionNumber::URI_HOST, name.as_bytes());
        }
        if self.port() != destination {
            options = options.uint(OptionNumber::URI_PORT, u32::from(self.port()));
        }
        options = self.path.iter().fold(options, |options, segment| options.with(OptionNumber::URI_PATH, segment.as_bytes()));
        self.query.iter().fold(options, |options, argument| options.with(OptionNumber::URI_QUERY, argument.as_bytes()))
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it leads.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its port, or that of its scheme.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.default_port())
    }

    /// The segments of its path, decoded. The root has none.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Its arguments, decoded.
    pub fn query(&self) -> &[String] {
        &self.query
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.len() > MAX_URI {
            return Err(UriError::Long);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        let scheme = Scheme::from_str(scheme)?;
        if rest.contains('#') {
            return Err(UriError::Fragment);
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        if authority.contains('@') {
            return Err(UriError::User);
        }
        let (host, port) = split_authority(authority)?;
        let path = match path {
            "" => Vec::new(),
            path => path.split('/').map(|segment| decode(segment, PATH_ALSO)).collect::<Result<_, _>>()?,
        };
        let query = query.map_or(Ok(Vec::new()), |query| query.split('&').map(|part| decode(part, QUERY_ALSO)).collect())?;
        Ok(Self { scheme, host, port, path, query })
    }
}

fn split_authority(authority: &str) -> Result<(Host, Option<u16>), UriError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UriError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| UriError::Host)?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(UriError::Host)?) };
            (Host::Address(address.into()), port)
        }
        None => {
            let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
            let name = decode(name, "")?;
            if name.is_empty() {
                return Err(UriError::Host);
            }
            (Host::named(&name), port)
        }
    };
    // RFC 3986 §3.2.3: a colon may stand before no port.
    let port = port.filter(|port| !port.is_empty()).map(|port| match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true => port.parse().ok().filter(|port| *port != 0).ok_or(UriError::Port),
        false => Err(UriError::Port),
    });
    Ok((host, port.transpose()?))
}

impl Host {
    /// The host of this name, or the IPv4 address that it writes (RFC 3986 §3.2.2).
    pub fn named(name: &str) -> Self {
        match name.parse::<Ipv4Addr>() {
            Ok(address) => Self::Address(address.into()),
            Err(_) => Self::Name(name.to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => encode(f, name, ""),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if let Some(port) = self.port.filter(|port| *port != self.scheme.default_port()) {
            write!(f, ":{port}")?;
        }
        reference(f, self.path.iter().map(String::as_str), self.query.iter().map(String::as_str))
    }
}

/// The path and query that a request names, as they stand in a URI: `/oic/res?rt=oic.wk.d`.
pub fn requested(options: &Options) -> String {
    let mut text = String::new();
    let _ = reference(&mut text, options.path(), options.query());
    text
}

/// Where an answer says that something was created (RFC 7252 §5.10.7), if it says so.
pub fn location(options: &Options) -> Option<String> {
    let (path, query) = (options.texts(OptionNumber::LOCATION_PATH), options.texts(OptionNumber::LOCATION_QUERY));
    path.clone().chain(query.clone()).next()?;
    let mut text = String::new();
    let _ = reference(&mut text, path, query);
    Some(text)
}

/// RFC 7252 §6.5, steps 6 to 8.
fn reference<'a>(f: &mut impl Write, path: impl Iterator<Item = &'a str>, query: impl Iterator<Item = &'a str>) -> fmt::Result {
    let mut root = true;
    for segment in path {
        root = false;
        f.write_char('/')?;
        encode(f, segment, PATH_ALSO)?;
    }
    if root {
        f.write_char('/')?;
    }
    for (at, argument) in query.enumerate() {
        f.write_char(if at == 0 { '?' } else { '&' })?;
        for (at, part) in argument.split('&').enumerate() {
            // An argument with an ampersand in it must not become two.
            f.write_str(if at == 0 { "" } else { "%26" })?;
            encode(f, part, QUERY_ALSO)?;
        }
    }
    Ok(())
}

impl Scheme {
    /// The port where a URI names none.
    pub const fn default_port(self) -> u16 {
        if self.is_secure() { 5684 } else { 5683 }
    }

    /// Whether TLS or DTLS is under it.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Coaps | Self::CoapsTcp)
    }

    /// Whether TCP is under it.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::CoapTcp | Self::CoapsTcp)
    }

    /// How it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coap => "coap",
            Self::Coaps => "coaps",
            Self::CoapTcp => "coap+tcp",
            Self::CoapsTcp => "coaps+tcp",
        }
    }
}

impl FromStr for Scheme {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let schemes = [Self::Coap, Self::Coaps, Self::CoapTcp, Self::CoapsTcp];
        schemes.into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str())).ok_or(UriError::Scheme)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of a text option of at least so many bytes.
fn text(value: &[u8], least: usize) -> Option<String> {
    let fits = (least..=MAX_PART).contains(&value.len());
    fits.then(|| std::str::from_utf8(value).ok().map(str::to_owned)).flatten()
}

/// Takes the percent encoding away. What stands as itself are the unreserved characters, the sub-delimiters, and `also`.
fn decode(text: &str, also: &str) -> Result<String, UriError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let ([high, low], after) = rest.split_first_chunk().ok_or(UriError::Encoding)?;
                rest = after;
                let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(UriError::Encoding);
                (digit(*high)? << 4 | digit(*low)?) as u8
            }
            byte if is_plain(byte) || byte == b'&' || also.as_bytes().contains(&byte) => byte,
            _ => return Err(UriError::Encoding),
        });
    }
    if decoded.len() > MAX_PART {
        return Err(UriError::Part);
    }
    String::from_utf8(decoded).map_err(|_| UriError::Encoding)
}

fn encode(f: &mut impl Write, text: &str, also: &str) -> fmt::Result {
    for character in text.chars() {
        let mut bytes = [0; 4];
        for byte in character.encode_utf8(&mut bytes).bytes() {
            match is_plain(byte) || byte == b'&' || also.as_bytes().contains(&byte) {
                true => f.write_char(char::from(byte))?,
                false => write!(f, "%{byte:02X}")?,
            }
        }
    }
    Ok(())
}

/// Unreserved characters and sub-delimiters without the ampersand (RFC 3986 §2.2, §2.3).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;=".contains(&byte)
}

/// What a segment and an argument may have beside the plain characters (RFC 3986 §3.3, §3.4).
const PATH_ALSO: &str = ":@";
const QUERY_ALSO: &str = ":@/?";
/// The longest value of Uri-Host, Uri-Path and Uri-Query (RFC 7252 table 4).
const MAX_PART: usize = 255;

#[cfg(test)]
mod tests;
