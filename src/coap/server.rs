//! The servers of a listener: a task for each peer that the accept loop hands over.

use crate::{
    Config, Framing, Routes,
    caller::{Caller, Transport},
    counters::Meters,
    doorstep::Guard,
    link::{DatagramLink, StreamLink},
    remote::Remote,
    routes::Router,
    session::{Session, Signals, now},
    trace::Traces,
};
use gatehouse_net::{Connection, DatagramConnection, DatagramService, Service};
use gatehouse_types::Random;
use gatehouse_wire::coap::{
    Limits,
    endpoint::{self, Endpoint},
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tokio::sync::Semaphore;

/// What all listeners share: the counts of requests that are worked on and of observations, and who is traced.
#[derive(Clone)]
pub struct Common {
    turns: Arc<Semaphore>,
    observers: Arc<Semaphore>,
    traces: Arc<Traces>,
    meters: Arc<Meters>,
}

impl Common {
    /// As many requests and observations as the configuration allows. To be made after the process's metrics.
    pub fn new(config: &Config, traces: Arc<Traces>) -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        Self { turns: places(config.requests), observers: places(config.observers), traces, meters: Arc::new(Meters::new()) }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Common")
    }
}

/// Serves routes to the peers of one listener.
pub struct Server {
    shared: Arc<Shared>,
    streams: Arc<endpoint::Config>,
    /// Made for the first peer: its socket says how much a datagram holds.
    datagrams: OnceLock<Arc<endpoint::Config>>,
    guard: Guard,
    random: Arc<dyn Random>,
}

/// What all peers of a server share.
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) config: Config,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) observers: Arc<Semaphore>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) traces: Arc<Traces>,
}

impl Server {
    /// A server of these routes.
    pub fn new(routes: Routes, framing: Framing, config: Config, common: &Common, random: Arc<dyn Random>) -> Self {
        let streams = Arc::new(config.endpoint(framing, None));
        let Common { turns, observers, traces, meters } = common.clone();
        let shared = Shared { router: routes.into_router(), config, turns, observers, meters, traces };
        Self { shared: Arc::new(shared), streams, datagrams: OnceLock::new(), guard: Guard::new(&*random), random }
    }
}

impl Service for Server {
    async fn serve(self: Arc<Self>, connection: Connection) {
        let Connection { stream, peer, shutdown, standing } = connection;
        let transport = if stream.is_encrypted() { Transport::Tls } else { Transport::Tcp };
        let (remote, orders) = Remote::new();
        let caller = Arc::new(Caller::new(peer, transport, remote));
        let endpoint = Endpoint::tcp(Arc::clone(&self.streams), Arc::clone(&self.random), now());
        let signals = Signals { shutdown, standing };
        let session = Session::new(StreamLink::new(stream), endpoint, Arc::clone(&self.shared), caller, orders, signals);
        session.run().await;
    }
}

impl DatagramService for Server {
    async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
        let (peer, shutdown, standing) = (connection.peer.clone(), connection.shutdown.clone(), connection.standing.clone());
        let largest = connection.sender().largest();
        let config = self.datagrams.get_or_init(|| Arc::new(self.shared.config.endpoint(Framing::Standard, Some(largest))));
        let (mut transport, mut first) = (Transport::Dtls, None);
        if !connection.sender().is_encrypted() {
            transport = Transport::Udp;
            let limits = Limits { message: config.limits.message, options: config.limits.options };
            first = self.guard.let_in(&mut connection, &limits, &self.shared.meters.strangers).await;
            if first.is_none() {
                return;
            }
        }
        let (remote, orders) = Remote::new();
        let caller = Arc::new(Caller::new(peer, transport, remote));
        let endpoint = Endpoint::udp(Arc::clone(config), Arc::clone(&self.random), now());
        let signals = Signals { shutdown, standing };
        let session = Session::new(DatagramLink::new(connection, first), endpoint, Arc::clone(&self.shared), caller, orders, signals);
        session.run().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Server")
    }
}
