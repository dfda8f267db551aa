//! HTTP/1.1 and HTTP/2 on one connection, from its first byte to a drained end.

use crate::{
    Authenticate, ClientAddress, Config, Limits, Problem, RateKey, Routes,
    activity::{Activity, WatchedBody},
    cors, counters,
    lent::Lent,
    problem::PROBLEM_JSON,
    routes::Pattern,
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header},
    response::IntoResponse,
};
use gatehouse_net::{Connection, Peer, Service, Shutdown};
use gatehouse_types::Random;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    body::{Body as _, Incoming},
    rt::Executor,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tower::ServiceExt;
use tracing::{Instrument, debug, error, info_span};

/// How long a connection that was asked to close may take to write out what it still holds.
const CLOSING: Duration = Duration::from_secs(5);

/// How long what a peer still sends is thrown away after the last answer. It does not cost us anything but the wait.
const LINGER: Duration = Duration::from_secs(2);

/// A resource of one origin never needs what these forbid; a page that does says so itself.
static SECURITY_HEADERS: [(header::HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The longest id of a balancer's that is taken over.
const MOST_ID: usize = 64;

const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-request-id");

/// The request's id, for handlers that write to the log on their own or start work that outlives the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Serves routes on the connections that the accept loop hands over.
pub struct Server {
    router: Router,
    config: Config,
    limits: Arc<Limits>,
    /// RFC 6797 §6.1.1.
    strict_transport: Option<HeaderValue>,
    random: Arc<dyn Random>,
    authenticate: Option<Arc<dyn Authenticate>>,
}

impl Server {
    /// A server of these routes, all of whose callers are strangers.
    pub fn new(routes: Routes, config: Config, limits: Arc<Limits>, random: Arc<dyn Random>) -> Self {
        let seconds = config.strict_transport.as_secs();
        let strict_transport = HeaderValue::from_str(&format!("max-age={seconds}")).ok().filter(|_| seconds > 0);
        Self { router: routes.into_router(), config, limits, strict_transport, random, authenticate: None }
    }

    /// The same server, which finds out who is calling.
    #[must_use]
    pub fn authenticating(self, by: Arc<dyn Authenticate>) -> Self {
        Self { authenticate: Some(by), ..self }
    }

    fn protocol(&self, peer: &Peer) -> auto::Builder<Streams> {
        let mut builder = auto::Builder::new(Streams::default());
        let header_size = self.config.header_size.as_usize();
        // hyper's own limit would also hold for a kept connection that rests between two requests.
        builder.http1().header_read_timeout(None).max_buf_size(header_size);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.config.streams)
            .max_header_list_size(u32::try_from(header_size).unwrap_or(u32::MAX))
            .keep_alive_interval(self.config.idle_timeout / 2)
            .keep_alive_timeout(self.config.header_timeout);
        // Guessing the protocol from the first bytes would wait for them without a limit; the handshake settled it.
        if peer.alpn() == Some(b"h2") { builder.http2_only() } else { builder.http1_only() }
    }

    async fn answer(&self, request: Request<Incoming>, connection: &Shared) -> Response<WatchedBody> {
        let start = Instant::now();
        let work = connection.activity.work();
        let in_flight = InFlight::start();
        let id = self.request_id(request.headers(), connection);
        let origin = cors::allowed(&self.config.origins, request.headers());
        let client = ClientAddress::of(connection.peer.address(), request.headers(), &self.config.proxies, self.config.proxy_header);
        let turn = self.limits.turn(client.0, self.limits.now());
        let (method, version) = (method_label(request.method()), request.version());
        let span = info_span!("request", %id, method, path = request.uri().path());
        let mut response = match &turn {
            Err(problem) => problem.clone().into_response(),
            Ok(_) if origin.is_some() && cors::is_preflight(&request) => cors::preflight(),
            Ok(_) => self.route(request, connection, client, &id).instrument(span.clone()).await,
        };
        let route = response.extensions().get::<Pattern>().map_or("none", |pattern| pattern.0);
        if let Some(problem) = problem(&response) {
            if let Some(cause) = problem.for_the_log() {
                span.in_scope(|| error!(status = response.status().as_u16(), cause, "request failed"));
            }
            let allow = response.headers_mut().remove(header::ALLOW);
            response = problem.answer(&id.0);
            response.headers_mut().extend(allow.map(|methods| (header::ALLOW, methods)));
        }
        self.complete(&mut response, connection, version, &id);
        if !self.config.origins.is_empty() {
            cors::let_read(response.headers_mut(), origin);
        }
        let (status, seconds) = (response.status().as_str().to_owned(), start.elapsed());
        span.in_scope(|| debug!(status, route, ?seconds, "answered"));
        ::metrics::counter!(counters::REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
        ::metrics::histogram!(counters::REQUEST_SECONDS, "route" => route).record(seconds);
        drop((work, in_flight));
        response.map(|body| WatchedBody::new(body, Arc::clone(&connection.activity), turn.ok()))
    }

    /// A balancer's id, so that its log and ours fit together; a stranger could make lines of ours look like another's.
    fn request_id(&self, headers: &HeaderMap, connection: &Shared) -> RequestId {
        let peer = connection.peer.address().ip();
        let is_balancer = || self.config.proxies.iter().any(|network| network.contains(peer));
        let is_plain =
            |id: &str| (1..=MOST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let theirs = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_plain(id) && is_balancer());
        if let Some(id) = theirs {
            return RequestId(id.into());
        }
        let mut id = [0; 16];
        self.random.fill(&mut id);
        RequestId(id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    async fn route(&self, request: Request<Incoming>, connection: &Shared, client: ClientAddress, id: &RequestId) -> Response<Body> {
        let limit = self.config.body_size.as_usize();
        // What is announced as too large is refused before it is sent.
        if request.body().size_hint().lower() > self.config.body_size.get() {
            counters::refused("body_size");
            return status_only(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let mut request = request.map(|body| Body::new(Limited::new(body, limit)));
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(connection.peer.clone());
        request.extensions_mut().insert(id.clone());
        let answer = async {
            if let Some(authenticate) = &self.authenticate {
                request = match self.authenticated(&**authenticate, request).await {
                    Ok(request) => request,
                    Err(problem) => return Ok(problem.into_response()),
                };
            }
            self.router.clone().oneshot(request).await
        };
        match timeout(self.config.request_timeout, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                counters::refused("request_timeout");
                status_only(StatusCode::GATEWAY_TIMEOUT)
            }
        }
    }

    /// The request with who is calling, as that is when all of it is here: who sends a body slowly may have lost meanwhile what they were
    /// allowed when they began.
    async fn authenticated(&self, authenticate: &dyn Authenticate, request: Request<Body>) -> Result<Request<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let mut known = parts.clone();
        authenticate.authenticate(&mut known).await?;
        let Some(whose) = known.extensions.get::<RateKey>() else { return Ok(Request::from_parts(known, body)) };
        self.limits.credential(whose, self.limits.now())?;
        if body.is_end_stream() {
            return Ok(Request::from_parts(known, body));
        }
        let whole = body.collect().await.map_err(|error| unreadable(&error))?.to_bytes();
        known = parts;
        authenticate.authenticate(&mut known).await?;
        Ok(Request::from_parts(known, Body::from(whole)))
    }

    fn complete(&self, response: &mut Response<Body>, connection: &Shared, version: Version, id: &RequestId) {
        let headers = response.headers_mut();
        for (name, value) in &SECURITY_HEADERS {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(strict) = self.strict_transport.as_ref().filter(|_| connection.encrypted) {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, strict.clone());
        }
        if let Ok(id) = HeaderValue::from_str(&id.0) {
            headers.insert(REQUEST_ID, id);
        }
        // RFC 9112 §9.6. HTTP/2 has GOAWAY for this.
        if connection.shutdown.is_draining() && version <= Version::HTTP_11 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Server")
    }
}

impl Service for Server {
    async fn serve(self: Arc<Self>, connection: Connection) {
        let Connection { stream, peer, shutdown, standing } = connection;
        let is_http2 = peer.alpn() == Some(b"h2");
        let protocol = self.protocol(&peer);
        let shared = Arc::new(Shared { activity: Activity::new(), encrypted: stream.is_encrypted(), peer, shutdown: shutdown.clone() });
        let (server, requests) = (Arc::clone(&self), Arc::clone(&shared));
        let service = service_fn(move |request| {
            let (server, shared) = (Arc::clone(&server), Arc::clone(&requests));
            async move { Ok::<_, Infallible>(server.answer(request, &shared).await) }
        });
        let (lent, given_back) = Lent::new(stream, Arc::clone(&shared.activity));
        let mut served = Box::pin(protocol.serve_connection(TokioIo::new(lent), service));
        // The bytes of HTTP/2 need not be the start of a request.
        let head_late_at = || if is_http2 { None } else { shared.activity.head_late_at(self.config.header_timeout) };
        let mut phase = Phase::Open;
        loop {
            let deadline = match phase {
                Phase::Open => {
                    let idle_at = shared.activity.idle_at(self.config.idle_timeout);
                    head_late_at().map_or(idle_at, |late_at| late_at.min(idle_at))
                }
                Phase::LameDuck(end) => end,
                Phase::Closing => shared.activity.idle_at(CLOSING),
            };
            tokio::select! {
                result = served.as_mut() => {
                    if let Err(error) = result {
                        if is_too_large(&*error) {
                            counters::refused("header_size");
                        }
                        debug!(%error, "connection ended with an error");
                    }
                    break;
                }
                () = shutdown.draining(), if phase == Phase::Open => {
                    phase = if is_http2 {
                        // hyper sends a second GOAWAY when the streams that crossed the first are known: none is lost.
                        served.as_mut().graceful_shutdown();
                        Phase::Closing
                    } else {
                        Phase::LameDuck(Instant::now() + self.config.drain_idle)
                    };
                }
                // Nothing that was asked for is answered any more.
                () = standing.lost() => break,
                // The deadline is nearer now.
                () = shared.activity.head_began() => {}
                () = sleep_until(deadline) => match phase {
                    Phase::Open if head_late_at().is_some_and(|late_at| late_at <= Instant::now()) => {
                        counters::refused("header_timeout");
                        break;
                    }
                    // Something happened since the deadline was computed.
                    Phase::Open if shared.activity.idle_at(self.config.idle_timeout) > Instant::now() => {}
                    Phase::Closing if shared.activity.idle_at(CLOSING) > Instant::now() => {}
                    Phase::Closing => return,
                    Phase::Open | Phase::LameDuck(_) => {
                        served.as_mut().graceful_shutdown();
                        phase = Phase::Closing;
                    }
                },
            }
        }
        drop(served);
        if let Some(stream) = given_back.take() {
            stream.linger(LINGER).await;
        }
    }
}

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It may bring requests.
    Open,
    /// We drain, and until this time an idle connection may bring one more request: closing it now would cross one
    /// that is on its way, and its sender could not know whether it was worked on.
    LameDuck(Instant),
    /// It was told to finish.
    Closing,
}

/// What all requests of a connection share.
struct Shared {
    activity: Arc<Activity>,
    peer: Peer,
    encrypted: bool,
    shutdown: Shutdown,
}

/// Runs the streams of one HTTP/2 connection; they end with it.
#[derive(Clone, Debug, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = streams.try_join_next() {
            if let Err(error) = ended {
                error!(%error, "a stream's task failed");
            }
        }
        streams.spawn(stream.in_current_span());
    }
}

/// Counts a request while it is worked on, also when its connection is dropped.
struct InFlight(::metrics::Gauge);

impl InFlight {
    fn start() -> Self {
        let gauge = ::metrics::gauge!(counters::IN_FLIGHT);
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// The problem that the answer is to become: the handler's own, or that of a bare error status from the router.
fn problem(response: &Response<Body>) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    // Errors of OAuth 2 are JSON of another form, and people read pages: both are complete.
    let is_complete = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| *kind == PROBLEM_JSON || kind == "application/json" || kind == "text/html; charset=utf-8");
    (is_error && !is_complete).then(|| Problem::of_status(status))
}

/// hyper has answered such a head itself, with 431.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large)
}

/// A body that is too long, or that broke off.
fn unreadable(error: &axum::Error) -> Problem {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    if causes.any(|cause| cause.is::<LengthLimitError>()) {
        counters::refused("body_size");
        return Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Problem::of_status(StatusCode::BAD_REQUEST)
}

fn status_only(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Methods are the peer's words; as labels they would be without number.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: &[(&Method, &str)] = &[
        (&Method::GET, "GET"),
        (&Method::HEAD, "HEAD"),
        (&Method::POST, "POST"),
        (&Method::PUT, "PUT"),
        (&Method::PATCH, "PATCH"),
        (&Method::DELETE, "DELETE"),
        (&Method::OPTIONS, "OPTIONS"),
    ];
    KNOWN.iter().find(|(known, _)| *known == method).map_or("other", |(_, label)| label)
}
