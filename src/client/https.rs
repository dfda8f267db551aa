//! Asking a server over HTTPS: one request, one answer, on a connection of its own.
//!
//! Made for our own API: bodies and times are bounded, no redirection is followed, no proxy is used and no cookie is kept. The server's
//! chain leads to an authority that the system trusts, or to the one certificate that is pinned; `gatehouse-pki` judges it, and its name
//! is compared here. Who asks, and with which token, is the caller's affair.

use crate::names;
use gatehouse_base::{Fault, Kind, SystemClock};
use gatehouse_net::{ClientOptions, ConnectError, Connector, Refusal, ServerTrust};
use gatehouse_pki::{Anchors, Certificate, Fingerprint};
use gatehouse_wire::coap::uri::Host;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use std::{
    env, fmt, fs, io,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Connecting, the handshake and the whole answer together.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// The largest file of authorities.
const MOST_AUTHORITIES: u64 = 16 * 1024 * 1024;
/// Where Debian and its like keep the authorities that the system trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Who we say that we are.
const AGENT: &str = concat!("gatehouse/", env!("CARGO_PKG_VERSION"));

/// A server: `https://`, a host and perhaps a port, and nothing behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    host: Host,
    port: u16,
}

/// A text that is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server is written like https://gatehouse.example.com:8443, without a path")]
pub struct ServerError;

/// Which servers are believed.
#[derive(Clone, Debug)]
pub enum Belief {
    /// Those whose chain leads to an authority that the system trusts: `SSL_CERT_FILE`, or Debian's list.
    System,
    /// Those whose chain leads to this authority; or, where it is none, those that present this certificate itself.
    Pinned(Box<Certificate>),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// What is sent besides method and path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sending<'a> {
    /// A token, by `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// A body with its type.
    pub body: Option<(&'a str, &'a [u8])>,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The system's authorities cannot be read.
    #[error("the authorities that the system trusts cannot be read from {path}")]
    Authorities {
        /// Where they were looked for.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server cannot be reached.
    #[error("{server} cannot be reached")]
    Unreachable {
        /// Which one.
        server: Server,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server's certificate is not believed.
    #[error("the certificate of {server} is not believed: {why}")]
    NotBelieved {
        /// Which one.
        server: Server,
        /// What is wrong with it.
        why: Box<Refusal>,
    },
    /// The chain is good and belongs to another server.
    #[error("the certificate of {server} is for {found}")]
    WrongName {
        /// Which server was asked.
        server: Server,
        /// Whom its certificate is for.
        found: String,
    },
    /// The handshake failed.
    #[error(transparent)]
    Handshake(Box<ConnectError>),
    /// The connection broke, or the answer cannot be read.
    #[error("{server} did not answer properly: {why}")]
    Broken {
        /// Which one.
        server: Server,
        /// What happened.
        why: String,
    },
    /// It took too long.
    #[error("{server} did not answer in time")]
    Timeout {
        /// Which one.
        server: Server,
    },
}

impl Server {
    /// Asks the server.
    ///
    /// # Errors
    /// It is not believed, or gives no answer.
    pub async fn ask(&self, belief: &Belief, method: &str, path: &str, sending: Sending<'_>) -> Result<Answer, HttpsError> {
        let asked = timeout(PATIENCE, self.exchange(belief, method, path, sending)).await;
        asked.map_err(|_| HttpsError::Timeout { server: self.clone() })?
    }

    /// The chain that the server presents, its own certificate first. Nothing is sent to it, and nothing is believed.
    ///
    /// # Errors
    /// It cannot be reached, or presents nothing that can be read.
    pub async fn presented(&self) -> Result<Vec<Certificate>, HttpsError> {
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let shown = Arc::clone(&seen);
        // Refused after it was shown: the handshake ends here.
        let trust = ServerTrust::nothing().shown_to(move |chain| {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = chain.iter().map(|der| der.to_vec()).collect();
        });
        let looked = timeout(PATIENCE, async {
            self.connector(trust)?.connect(self.tcp().await?, self.name()).await.map_err(|error| HttpsError::Handshake(Box::new(error)))
        });
        let failed = looked.await.map_err(|_| HttpsError::Timeout { server: self.clone() })?.err();
        let chain = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let chain: Vec<Certificate> = chain.iter().map_while(|der| Certificate::from_der(der).ok()).collect();
        match failed {
            Some(error) if chain.is_empty() => Err(error),
            _ if chain.is_empty() => Err(self.broken("it presents no certificate")),
            _ => Ok(chain),
        }
    }

    async fn exchange(&self, belief: &Belief, method: &str, path: &str, sending: Sending<'_>) -> Result<Answer, HttpsError> {
        let connector = self.connector(belief.trust()?)?;
        let connected = connector.connect(self.tcp().await?, self.name()).await;
        let (stream, peer) = connected.map_err(|error| match error {
            ConnectError::Refused(why) => HttpsError::NotBelieved { server: self.clone(), why: Box::new(why) },
            other => HttpsError::Handshake(Box::new(other)),
        })?;
        // A certificate that is pinned itself is this server whatever it calls itself.
        if let Some(leaf) = peer.chain().map(|chain| chain.leaf())
            && !names::is_for(leaf, &self.host)
        {
            return Err(HttpsError::WrongName { server: self.clone(), found: names::list(leaf) });
        }
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let driven = tokio::spawn(connection);
        let answer = async {
            let response = requests.send_request(self.request(method, path, sending)?).await.map_err(|error| self.broken(error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MOST_BYTES).collect().await.map_err(|error| self.broken(error))?;
            Ok(Answer { status, body: body.to_bytes().to_vec() })
        }
        .await;
        driven.abort();
        answer
    }

    fn request(&self, method: &str, path: &str, sending: Sending<'_>) -> Result<Request<Full<Bytes>>, HttpsError> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, self.authority());
        let mut request = request.header(header::USER_AGENT, AGENT).header(header::ACCEPT, "application/json");
        if let Some(token) = sending.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let (kind, body) = sending.body.unwrap_or_default();
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        request.body(Full::new(Bytes::copy_from_slice(body))).map_err(|error| self.broken(error))
    }

    fn connector(&self, trust: ServerTrust) -> Result<Connector, HttpsError> {
        let options = ClientOptions { trust, credentials: None, shared: None, alpn: &[b"http/1.1"] };
        Connector::new(options).map_err(|error| HttpsError::Handshake(Box::new(error)))
    }

    /// The first address that accepts.
    async fn tcp(&self) -> Result<TcpStream, HttpsError> {
        let unreachable = |source| HttpsError::Unreachable { server: self.clone(), source };
        let host = self.host.to_string();
        let found = lookup_host((host.trim_matches(['[', ']']), self.port)).await.map_err(unreachable)?;
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for address in found.take(8) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// What the server is told that we want, where that is a name.
    fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    fn authority(&self) -> String {
        if self.port == 443 { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    fn broken(&self, why: impl fmt::Display) -> HttpsError {
        HttpsError::Broken { server: self.clone(), why: why.to_string() }
    }
}

impl Belief {
    fn trust(&self) -> Result<ServerTrust, HttpsError> {
        let anchors = match self {
            Self::Pinned(certificate) if !certificate.is_ca() => return Ok(ServerTrust::fingerprint(certificate.fingerprint())),
            Self::Pinned(certificate) => vec![certificate.as_ref().clone()],
            Self::System => system_authorities()?,
        };
        let anchors = anchors.into_iter().fold(Anchors::builder(), |all, one| all.anchor(one)).build();
        // None at all: then nobody is believed.
        Ok(anchors.map_or_else(|_| ServerTrust::nothing(), |anchors| ServerTrust::anchors(Arc::new(anchors), Arc::new(SystemClock))))
    }
}

/// What the system trusts, without what cannot be read of it.
fn system_authorities() -> Result<Vec<Certificate>, HttpsError> {
    let path = env::var("SSL_CERT_FILE").unwrap_or_else(|_| AUTHORITIES.to_owned());
    let read = || {
        let length = fs::metadata(&path)?.len();
        if length > MOST_AUTHORITIES { Err(io::ErrorKind::FileTooLarge.into()) } else { fs::read_to_string(&path) }
    };
    let text = read().map_err(|source| HttpsError::Authorities { path: path.clone(), source })?;
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = text.split_inclusive(END).filter(|block| block.ends_with(END));
    Ok(blocks.filter_map(|block| Certificate::chain_from_pem(block.as_bytes()).ok()?.into_iter().next()).collect())
}

/// A SHA-256 fingerprint: 64 hexadecimal digits, with or without colons.
pub fn fingerprint_from_text(text: &str) -> Option<Fingerprint> {
    let digits: Vec<u8> = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    let bytes: [u8; Fingerprint::LEN] = bytes.try_into().ok()?;
    rest.is_empty().then(|| bytes.into())
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let authority = text.strip_prefix("https://").ok_or(ServerError)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(ServerError)?;
                let address: Ipv6Addr = address.parse().map_err(|_| ServerError)?;
                (Host::Address(IpAddr::V6(address)), port.strip_prefix(':').or(port.is_empty().then_some("443")))
            }
            None => {
                let (name, port) = authority.split_once(':').unwrap_or((authority, "443"));
                let is_label = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                (name.split('.').all(is_label).then(|| Host::named(name)).ok_or(ServerError)?, Some(port))
            }
        };
        let port = port.and_then(|port| port.parse().ok()).filter(|port| *port != 0).ok_or(ServerError)?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "https://{}", self.authority())
    }
}

impl Fault for HttpsError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotBelieved { .. } | Self::WrongName { .. } => Kind::Unauthenticated,
            Self::Handshake(error) => error.kind(),
            Self::Authorities { .. } | Self::Unreachable { .. } | Self::Broken { .. } | Self::Timeout { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Authorities { .. } => "system-authorities",
            Self::Unreachable { .. } => "unreachable",
            Self::NotBelieved { .. } => "server-refused",
            Self::WrongName { .. } => "server-name",
            Self::Handshake(error) => error.code(),
            Self::Broken { .. } => "answer-broken",
            Self::Timeout { .. } => "timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_without_anything_behind_it() {
        for (text, shown) in [
            ("https://gatehouse.example.com", "https://gatehouse.example.com"),
            ("https://Gatehouse.example.com:8443/", "https://gatehouse.example.com:8443"),
            ("https://192.0.2.1:443", "https://192.0.2.1"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(text.parse::<Server>().map(|server| server.to_string()).as_deref(), Ok(shown));
        }
        for wrong in [
            "",
            "gatehouse.example.com",
            "http://gatehouse.example.com",
            "https://",
            "https://a b",
            "https://user@host",
            "https://host/path",
            "https://host?x",
            "https://host:0",
            "https://host:99999",
            "https://[::1",
            "https://[::1]x",
        ] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let plain = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
        let colons = plain.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":");
        assert!(fingerprint_from_text(plain).is_some());
        assert_eq!(fingerprint_from_text(plain), fingerprint_from_text(&colons));
        for wrong in ["", "00", &plain[2..], &format!("{plain}00"), &plain.replace('a', "g")] {
            assert!(fingerprint_from_text(wrong).is_none(), "{wrong}");
        }
    }
}
