//! The one accept loop.

use crate::{
    CertificateSource, Gate, Network, Peer, Shutdown, Standing, Stream, Tls, live::serve_while_good, metrics, places::Admission,
    proxy::read_header, socket::Socket, tls::HandshakeError,
};
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::{Instrument, Span, debug, debug_span, error, field::Empty, warn};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: u32 = 1024;

/// How long accepting rests when the process has no file descriptors left. Without it the loop would spin.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// What is done with a connection that was let in and has finished its handshake.
pub trait Service: Send + Sync + 'static {
    /// Serves the connection to its end. When draining begins it finishes what the peer has asked for and returns;
    /// the accept loop drops it when everything has to end at once.
    fn serve(self: Arc<Self>, connection: Connection) -> impl Future<Output = ()> + Send;
}

/// A connection as a service gets it.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// Who is at the other end.
    pub peer: Peer,
    /// When to finish.
    pub shutdown: Shutdown,
    /// Whether the peer may stay.
    pub standing: Standing,
}

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener `{listener}` cannot listen on {address}")]
pub struct BindError {
    /// The listener's name in the configuration.
    pub listener: String,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl gatehouse_base::Fault for BindError {
    fn kind(&self) -> gatehouse_base::Kind {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => gatehouse_base::Kind::Conflict,
            io::ErrorKind::PermissionDenied => gatehouse_base::Kind::Forbidden,
            _ => gatehouse_base::Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        "bind"
    }
}

/// A bound socket with a name, in front of a service.
pub struct Listener {
    name: Arc<str>,
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    balancers: Vec<Network>,
}

impl Listener {
    /// Binds the socket. From here on the kernel takes connections, and they wait until [`Listener::run`].
    ///
    /// # Errors
    /// The address is taken, not ours, or not permitted.
    pub fn bind(name: &str, address: SocketAddr, tls: Option<Tls>) -> Result<Self, BindError> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // Or a restart would have to wait for the last connections of the previous process.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let (socket, address) = bind().map_err(|source| BindError { listener: name.to_owned(), address, source })?;
        Ok(Self { name: name.into(), socket, address, tls: tls.map(Arc::new), balancers: Vec::new() })
    }

    /// Has connections from these networks begin with the PROXY protocol's header (version 1 or 2), which says whose they are.
    #[must_use]
    pub fn behind(mut self, balancers: Vec<Network>) -> Self {
        self.balancers = balancers;
        self
    }

    /// The listener's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that is listened on, with the port that the system chose where zero was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the certificate comes from that is presented here, if one is.
    pub fn certificate_source(&self) -> Option<Arc<dyn CertificateSource>> {
        self.tls.as_ref().map(|tls| tls.source())
    }

    /// Accepts connections and serves each in a task of its own, until draining begins. Returns when the last
    /// connection has ended.
    pub async fn run<S: Service>(self, service: Arc<S>, gate: Arc<Gate>, shutdown: Shutdown) {
        let live = self.tls.as_ref().and_then(|tls| tls.live().cloned());
        let door = Arc::new(Door { name: self.name, tls: self.tls, balancers: self.balancers, gate, service, shutdown });
        let accepting = accept(self.socket, door);
        match live {
            None => accepting.await,
            // Ends with the last connection.
            Some(live) => tokio::select! {
                () = accepting => {}
                () = live.run() => {}
            },
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Listener({} on {})", self.name, self.address)
    }
}

async fn accept<S: Service>(socket: TcpListener, door: Arc<Door<S>>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                door.ended(ended);
                continue;
            }
            () = door.shutdown.draining() => break,
        };
        match accepted {
            Ok((tcp, address)) => door.open(tcp, address, &mut connections),
            Err(error) if is_out_of_files(&error) => {
                warn!(listener = &*door.name, %error, "cannot accept");
                tokio::time::sleep(OUT_OF_FILES).await;
            }
            // The peer gave up before we came to it.
            Err(error) => debug!(listener = &*door.name, %error, "a connection was lost before it was accepted"),
        }
    }
    // Whoever the kernel has taken on our behalf believes to be connected, and is served.
    for (tcp, address) in waiting(socket) {
        door.open(tcp, address, &mut connections);
    }
    while let Some(ended) = connections.join_next().await {
        door.ended(ended);
    }
}

/// What all connections of a listener share.
struct Door<S> {
    name: Arc<str>,
    tls: Option<Arc<Tls>>,
    balancers: Vec<Network>,
    gate: Arc<Gate>,
    service: Arc<S>,
    shutdown: Shutdown,
}

impl<S: Service> Door<S> {
    fn open(self: &Arc<Self>, tcp: TcpStream, address: SocketAddr, connections: &mut JoinSet<()>) {
        // A dual-stack socket shows IPv4 peers as mapped addresses; nobody behind here wants to know.
        let address = canonical(address);
        let is_balancer = self.balancers.iter().any(|network| network.contains(address.ip()));
        // Whose connection a balancer brings is not known yet: it counts in total only.
        let admitted = if is_balancer { self.gate.admit_unnamed() } else { self.gate.admit(address.ip()) };
        match admitted {
            Ok(admission) => {
                ::metrics::counter!(metrics::ACCEPTED, "listener" => Arc::clone(&self.name)).increment(1);
                let span = debug_span!("connection", listener = &*self.name, peer = %address, client = Empty);
                let door = Arc::clone(self);
                let arrival = Arrival { tcp, address, admission, is_balancer, at: Instant::now() };
                let whole = async move {
                    tokio::select! {
                        () = door.connection(arrival) => {}
                        () = door.shutdown.stopped() => {}
                    }
                };
                connections.spawn(whole.instrument(span));
            }
            Err(refused) => self.refused(refused.label(), &refused),
        }
    }

    async fn connection(&self, arrival: Arrival) {
        let Arrival { tcp, mut address, mut admission, is_balancer, at } = arrival;
        let deadline = at + self.gate.handshake_timeout();
        // Answers are small and written whole: waiting to fill a segment only delays them.
        if tcp.set_nodelay(true).is_err() {
            return;
        }
        let mut socket = Socket::new(tcp);
        if is_balancer {
            match timeout_at(deadline, Box::pin(read_header(&mut socket, self.gate.first_message()))).await {
                Ok(Ok(client)) => address = client.map_or(address, canonical),
                Ok(Err(error)) => return self.refused("header", &error),
                Err(_) => return self.refused("header", &HandshakeError::Timeout),
            }
            Span::current().record("client", tracing::field::display(address));
            if let Err(refused) = admission.name(address.ip()) {
                return self.refused(refused.label(), &refused);
            }
        }
        let gauge = ::metrics::gauge!(metrics::CONNECTIONS, "listener" => Arc::clone(&self.name));
        let _open = OpenConnection { _admission: admission, gauge: gauge.clone() };
        gauge.increment(1);
        let (stream, peer) = match &self.tls {
            None => (Stream::plain(socket), Peer::unproven(address)),
            // In a box, because a connection lives for months after it.
            Some(tls) => match Box::pin(self.handshake(tls, socket, address, at)).await {
                Ok(secured) => secured,
                Err(error) => {
                    ::metrics::counter!(metrics::HANDSHAKE_FAILURES, "listener" => Arc::clone(&self.name), "reason" => error.label())
                        .increment(1);
                    debug!(%error, "handshake failed");
                    return;
                }
            },
        };
        let live = self.tls.as_ref().and_then(|tls| tls.live());
        let chain = peer.chain().cloned();
        let standing = Standing::default();
        let connection = Connection { stream, peer, shutdown: self.shutdown.clone(), standing: standing.clone() };
        serve_while_good(live, &self.name, chain, standing, Box::pin(Arc::clone(&self.service).serve(connection))).await;
    }

    fn refused(&self, reason: &'static str, refused: &dyn fmt::Display) {
        ::metrics::counter!(metrics::REFUSED, "listener" => Arc::clone(&self.name), "reason" => reason).increment(1);
        debug!(listener = &*self.name, %refused, "connection refused");
    }

    async fn handshake(&self, tls: &Tls, socket: Socket, address: SocketAddr, start: Instant) -> Result<(Stream, Peer), HandshakeError> {
        let deadline = start + self.gate.handshake_timeout();
        let secured =
            timeout_at(deadline, tls.accept(socket, address, &self.gate, &self.name)).await.map_err(|_| HandshakeError::Timeout)??;
        ::metrics::histogram!(metrics::HANDSHAKE_SECONDS, "listener" => Arc::clone(&self.name)).record(start.elapsed());
        Ok(secured)
    }

    fn ended(&self, result: Result<(), tokio::task::JoinError>) {
        // Only a panic gets here. It ends its connection and nothing else, and must not go unseen.
        if let Err(error) = result {
            error!(listener = &*self.name, %error, "a connection's task failed");
        }
    }
}

/// A connection as it was accepted.
struct Arrival {
    tcp: TcpStream,
    address: SocketAddr,
    admission: Admission,
    /// Whether it begins with the header of a balancer.
    is_balancer: bool,
    at: Instant,
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Gives the place back and counts down, also when the task is dropped.
struct OpenConnection {
    _admission: Admission,
    gauge: ::metrics::Gauge,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.gauge.decrement(1);
    }
}

/// The connections that the kernel holds for us already; then closes the socket. Asks the kernel itself, because the
/// runtime may not have heard of the newest ones yet.
fn waiting(socket: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(socket) = socket.into_std() else { return Vec::new() };
    let accept = || {
        let (tcp, address) = socket.accept().ok()?;
        tcp.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(tcp).ok()?, address))
    };
    std::iter::from_fn(accept).collect()
}

fn is_out_of_files(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS and ENOMEM: the process or the machine is out of something.
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}
