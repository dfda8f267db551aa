//! A server with a listener on this machine.

use crate::client::Client;
use gatehouse_base::SystemRandom;
use gatehouse_coap::{Common, Config, Framing, Routes, Server, Traces};
use gatehouse_net::{DatagramGate, DatagramListener, Gate, Listener, Shutdown};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// How long anything that a test waits for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) traces: Arc<Traces>,
    running: JoinHandle<()>,
}

impl World {
    pub(crate) fn new(routes: Routes) -> Self {
        Self::with(routes, Framing::Standard, Config::default())
    }

    pub(crate) fn with(routes: Routes, framing: Framing, config: Config) -> Self {
        let listener = Listener::bind("test", "127.0.0.1:0".parse().unwrap(), None).unwrap();
        let (address, shutdown) = (listener.address(), Shutdown::new());
        let traces = Traces::new();
        let common = Common::new(&config, Arc::clone(&traces));
        let server = Arc::new(Server::new(routes, framing, config, &common, Arc::new(SystemRandom)));
        let running = tokio::spawn(listener.run(server, Gate::new(gatehouse_net::Config::default()), shutdown.clone()));
        Self { address, shutdown, traces, running }
    }

    /// The same over UDP in the clear, until it is told to stop.
    pub(crate) fn datagrams(routes: Routes, config: Config) -> (SocketAddr, Shutdown) {
        let common = Common::new(&config, Traces::new());
        let server = Arc::new(Server::new(routes, Framing::Standard, config, &common, Arc::new(SystemRandom)));
        let gate = DatagramGate::new(&gatehouse_net::Config::default());
        let listener = DatagramListener::bind("test", "127.0.0.1:0".parse().unwrap(), gate, None).unwrap();
        let (address, shutdown) = (listener.address(), Shutdown::new());
        tokio::spawn(listener.run(server, shutdown.clone()));
        (address, shutdown)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Drains, and waits until the last connection has ended.
    pub(crate) async fn drained(self) {
        self.shutdown.start_draining();
        within(self.running).await.unwrap();
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}
