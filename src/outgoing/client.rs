//! One request, one answer, on a connection of its own to an address that was judged.

use crate::{
    Config, Destinations, OutgoingError, Resolve, SetupError, SystemResolver, Target,
    counters::{self, UnderWay},
    destination::Judged,
    resolve::MOST_ADDRESSES,
    trust,
};
use gatehouse_base::{Clock, SystemClock};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, Response,
    body::{Body, Bytes},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{fmt, io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Addresses of one name that are tried.
const MOST_TRIED: usize = 4;
/// Fields in the head of an answer.
const MOST_FIELDS: usize = 100;
/// Who we say that we are.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("gatehouse/", env!("CARGO_PKG_VERSION")));

/// What a request is for: a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose(pub &'static str);

/// Asks servers that somebody else names. Clones share the bounds.
#[derive(Clone)]
pub struct Outgoing {
    config: Arc<Config>,
    destinations: Arc<Destinations>,
    resolver: Arc<dyn Resolve>,
    tls: TlsConnector,
    places: Arc<Semaphore>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Outgoing {
    /// A client with the system's resolver.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let resolver = Arc::new(SystemResolver::new(config.at_once));
        Self::with_resolver(config, resolver)
    }

    /// A client with another resolver.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn with_resolver(config: Config, resolver: Arc<dyn Resolve>) -> Result<Self, SetupError> {
        let tls = trust::connector(config.anchors.as_deref())?;
        let destinations = Arc::new(Destinations::new(config.allow.clone()));
        let places = Arc::new(Semaphore::new(config.at_once));
        Ok(Self { config: Arc::new(config), destinations, resolver, tls, places })
    }

    /// Sends a request whose URI is absolute, and reads the whole answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&self, purpose: Purpose, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, OutgoingError> {
        let began = SystemClock.elapsed();
        let sent = self.bounded(request).await;
        let result = sent.as_ref().map_or_else(|error| error.reason(), |_| "answered");
        counters::ended(purpose.0, result, SystemClock.elapsed().saturating_sub(began));
        sent
    }

    /// Asks for a document by GET.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, purpose: Purpose, target: &Target) -> Result<Response<Vec<u8>>, OutgoingError> {
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = target.as_str().parse().map_err(|_| crate::BadUrl::Syntax)?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        self.send(purpose, request).await
    }

    #[cfg(test)]
    pub(crate) fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    async fn bounded(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, OutgoingError> {
        let target = Target::parse(&request.uri().to_string())?;
        let _place = self.places.try_acquire().map_err(|_| OutgoingError::Busy)?;
        let _under_way = UnderWay::new();
        let exchanged = timeout(self.config.timeout, self.exchange(&target, request)).await;
        exchanged.map_err(|_| OutgoingError::Timeout { target })?
    }

    async fn exchange(&self, target: &Target, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, OutgoingError> {
        let stream = self.connect(target).await?;
        let broken = |source| OutgoingError::Broken { target: target.clone(), source };
        let mut http = http1::Builder::new();
        http.max_buf_size(self.config.head_size.as_usize()).max_headers(MOST_FIELDS);
        let (mut requests, connection) = http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with this future, whoever gives it up.
        let mut driven = JoinSet::new();
        driven.spawn(connection);
        let response = requests.send_request(prepared(target, request)).await.map_err(broken)?;
        if response.status().is_redirection() {
            return Err(OutgoingError::Redirection { target: target.clone(), status: response.status().as_u16() });
        }
        let most = self.config.body_size.as_usize();
        let too_large = || OutgoingError::TooLarge { target: target.clone(), most };
        let (head, body) = response.into_parts();
        if body.size_hint().lower() > most as u64 {
            return Err(too_large());
        }
        let body = Limited::new(body, most).collect().await.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => broken(*error),
            Err(error) if error.is::<LengthLimitError>() => too_large(),
            Err(_) => too_large(),
        })?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }

    /// A connection to the first judged address that accepts.
    async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, OutgoingError> {
        let judged = self.judged(target).await?;
        let in_the_clear = self.config.danger_unencrypted && judged.iter().all(|judged| judged.allowed);
        if !target.is_encrypted() && !in_the_clear {
            return Err(OutgoingError::Unencrypted { target: target.clone() });
        }
        let mut last: io::Error = io::ErrorKind::AddrNotAvailable.into();
        for Judged { address, .. } in judged.into_iter().take(MOST_TRIED) {
            match timeout(self.config.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.secured(target, stream).await,
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(OutgoingError::Unreachable { target: target.clone(), source: last })
    }

    /// The addresses of the host, resolved once, every one of which may be connected to: a name that leads to a public and to a private
    /// address is not half good.
    async fn judged(&self, target: &Target) -> Result<Vec<Judged>, OutgoingError> {
        let addresses = match target.host() {
            Err(address) => vec![address],
            Ok(name) => {
                let failed = |source| OutgoingError::Name { target: target.clone(), source };
                let found = self.resolver.resolve(&name).await.map_err(failed)?;
                if found.is_empty() {
                    return Err(failed(io::ErrorKind::NotFound.into()));
                }
                found
            }
        };
        let judge = |address| self.destinations.judge(SocketAddr::new(address, target.port()));
        let judged: Result<Vec<_>, _> = addresses.into_iter().take(MOST_ADDRESSES).map(judge).collect();
        judged.map_err(|why| OutgoingError::Forbidden { target: target.clone(), why })
    }

    async fn secured(&self, target: &Target, stream: TcpStream) -> Result<Box<dyn Stream>, OutgoingError> {
        if !target.is_encrypted() {
            return Ok(Box::new(stream));
        }
        let failed = |source| OutgoingError::Tls { target: target.clone(), source };
        let name = match target.host() {
            Ok(name) => ServerName::try_from(name).map_err(|error| failed(io::Error::other(error)))?,
            Err(address) => ServerName::from(address),
        };
        Ok(Box::new(self.tls.connect(name, stream).await.map_err(failed)?))
    }
}

/// The request as it goes over the wire: what says where it goes is ours to say.
fn prepared(target: &Target, request: Request<Vec<u8>>) -> Request<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    head.uri = target.path_and_query().parse().unwrap_or_default();
    for field in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::UPGRADE, header::COOKIE] {
        head.headers.remove(field);
    }
    if let Ok(host) = HeaderValue::from_str(&target.authority()) {
        head.headers.insert(header::HOST, host);
    }
    head.headers.insert(header::USER_AGENT, AGENT);
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Request::from_parts(head, Full::new(Bytes::from(body)))
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outgoing").field("config", &self.config).finish_non_exhaustive()
    }
}
