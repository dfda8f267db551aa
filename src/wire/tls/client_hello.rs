//! A ClientHello, read by peeking (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1, RFC 8446 §4.1.2).
//!
//! A listener with two TLS engines looks at what a client offers before it hands the untouched bytes to one of them. This
//! reader judges nothing: it says what is offered, that more bytes are needed, or that no hello will ever come of this. A
//! hello may be spread over many records, and its records over many segments. All of it fits into [`MAX_HELLO`] bytes as
//! they arrive, or it is refused.

/// The most bytes that are looked at, record headers included. The largest hellos of today, with post-quantum key shares
/// of several groups, have less than a quarter of it.
pub const MAX_HELLO: usize = 16 * 1024;

/// What a client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// Protocol versions in the client's order: `0x0303` is TLS 1.2, `0x0304` TLS 1.3, `0xfefd` DTLS 1.2. From the
    /// supported_versions extension where there is one, else the one version of the hello.
    pub versions: Vec<u16>,
    /// Cipher suites in the client's order, signalling values such as `0x00ff` among them.
    pub cipher_suites: Vec<u16>,
    /// Groups for the key exchange in the client's order: `0x0017` is P-256, `0x001d` x25519.
    pub groups: Vec<u16>,
    /// Signature algorithms in the client's order: `0x0403` is ECDSA with P-256 and SHA-256.
    pub signature_algorithms: Vec<u16>,
    /// Whether it offers the extended master secret (RFC 7627).
    pub extended_master_secret: bool,
    /// Whether it names a server (RFC 6066 §3).
    pub server_name: bool,
    /// The application protocols in the client's order (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// Whether it names a session that it wants to resume.
    pub session_id: bool,
    /// Whether a DTLS client returns a cookie (RFC 6347 §4.2.1).
    pub cookie: bool,
}

/// Why there is no hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HelloError {
    /// So far it may become one.
    #[error("the hello is not complete")]
    Incomplete,
    /// Whatever follows, this is no client that begins a handshake.
    #[error("this is no ClientHello")]
    NotTls,
    /// It does not fit into [`MAX_HELLO`].
    #[error("the hello is longer than {MAX_HELLO} bytes")]
    TooLong,
    /// It is one, and its lengths contradict each other or an extension occurs twice.
    #[error("the hello is malformed")]
    Malformed,
}

impl ClientHello {
    /// Whether it offers this version.
    pub fn offers_version(&self, version: u16) -> bool {
        self.versions.contains(&version)
    }

    /// Reads the beginning of a TLS connection. [`HelloError::Incomplete`] asks to come back with more.
    pub fn from_stream(bytes: &[u8]) -> Result<Self, HelloError> {
        let seen = bytes.get(..MAX_HELLO).unwrap_or(bytes);
        let more = if seen.len() == MAX_HELLO { HelloError::TooLong } else { HelloError::Incomplete };
        let (mut rest, mut handshake) = (seen, Vec::new());
        loop {
            let fragment = record(&mut rest)?;
            let whole = fragment.whole;
            handshake.extend_from_slice(fragment.bytes);
            if let Some(length) = announced(&handshake)? {
                if length > MAX_HELLO - RECORD_HEADER {
                    return Err(HelloError::TooLong);
                }
                if let Some(body) = handshake.get(HANDSHAKE_HEADER..length) {
                    return body_of(body, Transport::Stream);
                }
            }
            if !whole || rest.is_empty() {
                return Err(more);
            }
        }
    }

    /// Reads the first record of a datagram. A hello that is spread over several datagrams is [`HelloError::Incomplete`].
    pub fn from_datagram(bytes: &[u8]) -> Result<Self, HelloError> {
        if !matches!(bytes, [] | [HANDSHAKE] | [HANDSHAKE, 0xfe, ..]) {
            return Err(HelloError::NotTls);
        }
        let mut rest = bytes;
        let _kind_and_version = take(&mut rest, 3)?;
        let epoch = number(&mut rest, 2)?;
        let _sequence = take(&mut rest, 6)?;
        if epoch != 0 {
            return Err(HelloError::NotTls);
        }
        let length = number(&mut rest, 2)?;
        let mut record = take(&mut rest, length)?;
        let message = byte(&mut record)?;
        if message != CLIENT_HELLO {
            return Err(HelloError::NotTls);
        }
        let length = number(&mut record, 3)?;
        let _sequence = number(&mut record, 2)?;
        let (offset, fragment) = (number(&mut record, 3)?, number(&mut record, 3)?);
        if length > MAX_HELLO {
            return Err(HelloError::TooLong);
        }
        if offset.checked_add(fragment).is_none_or(|end| end > length) {
            return Err(HelloError::Malformed);
        }
        if fragment < length {
            return Err(HelloError::Incomplete);
        }
        body_of(take(&mut record, length)?, Transport::Datagram)
    }
}

/// What has arrived of the content of one record.
struct Fragment<'a> {
    bytes: &'a [u8],
    whole: bool,
}

/// The content of the next record, as far as it is there. What cannot be the record of a hello is refused as soon as the
/// first byte shows it.
fn record<'a>(rest: &mut &'a [u8]) -> Result<Fragment<'a>, HelloError> {
    let bytes = *rest;
    if !matches!(bytes, [] | [HANDSHAKE] | [HANDSHAKE, 3, ..]) {
        return Err(HelloError::NotTls);
    }
    let Some((header, content)) = bytes.split_at_checked(RECORD_HEADER) else {
        *rest = &[];
        return Ok(Fragment { bytes: &[], whole: false });
    };
    let length = header.iter().skip(3).fold(0, |all, byte| all << 8 | usize::from(*byte));
    // RFC 8446 §5.1: a handshake record holds at least one byte, and no record more than 2^14.
    if length == 0 || length > 1 << 14 {
        return Err(HelloError::NotTls);
    }
    let whole = content.len() >= length;
    let (content, after) = content.split_at(length.min(content.len()));
    *rest = after;
    Ok(Fragment { bytes: content, whole })
}

/// The length of the handshake message with its header, once that is there.
fn announced(handshake: &[u8]) -> Result<Option<usize>, HelloError> {
    match *handshake {
        [CLIENT_HELLO, high, middle, low, ..] => {
            Ok(Some(HANDSHAKE_HEADER + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))))
        }
        [] | [CLIENT_HELLO, ..] => Ok(None),
        _ => Err(HelloError::NotTls),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Stream,
    Datagram,
}

/// The whole message is there: whatever is missing now is a contradiction.
fn body_of(body: &[u8], transport: Transport) -> Result<ClientHello, HelloError> {
    hello(body, transport).map_err(|_| HelloError::Malformed)
}

fn hello(mut body: &[u8], transport: Transport) -> Result<ClientHello, HelloError> {
    let body = &mut body;
    let version = number(body, 2)? as u16;
    let _random = take(body, 32)?;
    let session_id = !vector(body, 1)?.is_empty();
    let cookie = transport == Transport::Datagram && !vector(body, 1)?.is_empty();
    let cipher_suites = numbers(vector(body, 2)?)?;
    let _compression = vector(body, 1)?;
    let mut hello = ClientHello { versions: vec![version], cipher_suites, session_id, cookie, ..ClientHello::default() };
    if body.is_empty() {
        return Ok(hello);
    }
    let mut extensions = vector(body, 2)?;
    let mut seen = Vec::new();
    while !extensions.is_empty() {
        let kind = number(&mut extensions, 2)? as u16;
        let value = vector(&mut extensions, 2)?;
        seen.push(kind);
        hello.extension(kind, value)?;
    }
    seen.sort_unstable();
    // RFC 8446 §4.2: one extension of each kind, and nothing behind them.
    let unique = seen.windows(2).all(|pair| pair.first() != pair.last());
    if unique && body.is_empty() { Ok(hello) } else { Err(HelloError::Malformed) }
}

impl ClientHello {
    fn extension(&mut self, kind: u16, mut value: &[u8]) -> Result<(), HelloError> {
        let value = &mut value;
        match kind {
            SERVER_NAME => self.server_name = true,
            EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            SUPPORTED_GROUPS => self.groups = numbers(vector(value, 2)?)?,
            SIGNATURE_ALGORITHMS => self.signature_algorithms = numbers(vector(value, 2)?)?,
            SUPPORTED_VERSIONS => self.versions = numbers(vector(value, 1)?)?,
            ALPN => {
                let mut names = vector(value, 2)?;
                while !names.is_empty() {
                    self.alpn.push(vector(&mut names, 1)?.to_vec());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], HelloError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(HelloError::Incomplete)?;
    *rest = after;
    Ok(taken)
}

fn byte(rest: &mut &[u8]) -> Result<u8, HelloError> {
    number(rest, 1).map(|byte| byte as u8)
}

fn number(rest: &mut &[u8], length: usize) -> Result<usize, HelloError> {
    Ok(take(rest, length)?.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)))
}

/// Bytes after their length, which has `width` bytes itself.
fn vector<'a>(rest: &mut &'a [u8], width: usize) -> Result<&'a [u8], HelloError> {
    let length = number(rest, width)?;
    take(rest, length)
}

fn numbers(bytes: &[u8]) -> Result<Vec<u16>, HelloError> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    if odd.is_empty() { Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect()) } else { Err(HelloError::Malformed) }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 5;
const HANDSHAKE_HEADER: usize = 4;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;

#[cfg(test)]
mod tests;
