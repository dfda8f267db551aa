//! The servers of a listener: a task for each peer that the accept loop hands over.

use crate::{
    Config, Framing, Routes,
    caller::{Caller, Transport},
    link::StreamLink,
    remote::Remote,
    routes::Router,
    session::{Session, now},
};
use gatehouse_net::{Connection, Service};
use gatehouse_types::Random;
use gatehouse_wire::coap::endpoint::{self, Endpoint};
use std::{fmt, sync::Arc};
use tokio::sync::Semaphore;

/// What all listeners share: the count of requests that are worked on.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many as the configuration allows.
    pub fn new(config: &Config) -> Self {
        Self(Arc::new(Semaphore::new(config.requests)))
    }
}

/// Serves routes to the peers of one listener.
pub struct Server {
    shared: Arc<Shared>,
    streams: Arc<endpoint::Config>,
    random: Arc<dyn Random>,
}

/// What all peers of a server share.
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) config: Config,
    pub(crate) turns: Arc<Semaphore>,
}

impl Server {
    /// A server of these routes.
    pub fn new(routes: Routes, framing: Framing, config: Config, turns: &Turns, random: Arc<dyn Random>) -> Self {
        let streams = Arc::new(config.endpoint(framing, None));
        let shared = Shared { router: routes.into_router(), config, turns: Arc::clone(&turns.0) };
        Self { shared: Arc::new(shared), streams, random }
    }
}

impl Service for Server {
    async fn serve(self: Arc<Self>, connection: Connection) {
        let Connection { stream, peer, shutdown } = connection;
        let transport = if stream.is_encrypted() { Transport::Tls } else { Transport::Tcp };
        let (remote, orders) = Remote::new();
        let caller = Arc::new(Caller { peer, transport, remote });
        let endpoint = Endpoint::tcp(Arc::clone(&self.streams), Arc::clone(&self.random), now());
        let session = Session::new(StreamLink::new(stream), endpoint, Arc::clone(&self.shared), caller, orders, shutdown);
        session.run().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Server")
    }
}
