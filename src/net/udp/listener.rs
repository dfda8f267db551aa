//! The sockets of a listener: a task for each, which moves bytes between the socket, the peers' associations and the
//! services.
//!
//! Peers that are known come first. Datagrams of strangers that take time wait, as many as [`Config::strangers`](super::Config::strangers),
//! and are looked at a few at a time between those of peers. With DTLS these are hellos that bring a good cookie; a first hello is answered
//! at once, so that a flood of them fills no line.

use super::{
    associations::{Associations, Id, PeerEvent, Transmit},
    config::DatagramGate,
    connection::{DatagramConnection, DatagramSender, DatagramService, Order},
    engine::{Closed, Engine},
    meter::{Dropped, Meter},
    plain::PlainEngine,
};
use crate::{
    BindError, CertificateSource, Dtls, Peer, Shutdown, Standing, dtls,
    live::{Live, serve_while_good},
};
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Instant,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tracing::{Instrument, debug, debug_span, error};

/// After so many datagrams, or orders of services, the task looks at everything else.
const BATCH: usize = 64;

/// Bound sockets with a name, in front of a service. On a machine with several addresses, listen on each of them: an
/// answer from a wildcard address may leave by another one than its request came to.
pub struct DatagramListener {
    name: Arc<str>,
    sockets: Vec<UdpSocket>,
    address: SocketAddr,
    gate: Arc<DatagramGate>,
    dtls: Option<Dtls>,
}

impl DatagramListener {
    /// Binds as many sockets as the gate's configuration says. From here on the kernel keeps some datagrams until
    /// [`DatagramListener::run`].
    ///
    /// # Errors
    /// The address is taken, not ours, or not permitted.
    pub fn bind(name: &str, address: SocketAddr, gate: Arc<DatagramGate>, dtls: Option<Dtls>) -> Result<Self, BindError> {
        let bind = || {
            let (count, buffer) = (gate.config.sockets, gate.config.receive_buffer.as_usize());
            let first = socket(address, count > 1, buffer)?;
            // Port zero was asked for once; all others get what the first one got.
            let address = first.local_addr()?;
            let rest = (1..count).map(|_| socket(address, true, buffer));
            let sockets = std::iter::once(Ok(first)).chain(rest).collect::<io::Result<Vec<_>>>()?;
            Ok((sockets, address))
        };
        let (sockets, address) = bind().map_err(|source| BindError { listener: name.to_owned(), address, source })?;
        Ok(Self { name: name.into(), sockets, address, gate, dtls })
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
        self.dtls.as_ref().map(Dtls::source)
    }

    /// Serves each peer in a task of its own, until draining begins. Returns when the last service has ended.
    pub async fn run<S: DatagramService>(mut self, service: Arc<S>, shutdown: Shutdown) {
        let mtu = self.gate.config.mtu;
        match self.dtls.take() {
            Some(dtls) => {
                let live = dtls.live();
                let running = self.run_engine(|| dtls.engine(), mtu.saturating_sub(dtls::OVERHEAD), Some(&live), service, shutdown);
                // Ends with the last peer.
                tokio::select! {
                    () = running => {}
                    () = live.run() => {}
                }
            }
            None => self.run_engine(|| PlainEngine::new(mtu), mtu, None, service, shutdown).await,
        }
    }

    /// Every socket gets an engine of its own.
    async fn run_engine<E: Engine, S: DatagramService>(
        self,
        engine: impl Fn() -> E,
        largest: usize,
        live: Option<&Arc<Live>>,
        service: Arc<S>,
        shutdown: Shutdown,
    ) {
        let mut tasks = JoinSet::new();
        let meter = Meter::new(Arc::clone(&self.name));
        for socket in self.sockets {
            let (orders, inbox) = mpsc::channel(self.gate.config.send_queue);
            let task = SocketTask {
                name: Arc::clone(&self.name),
                socket,
                associations: Associations::new(engine(), Arc::clone(&self.gate), meter.clone()),
                strangers: VecDeque::with_capacity(self.gate.config.strangers),
                meter: meter.clone(),
                gate: Arc::clone(&self.gate),
                largest,
                live: live.cloned(),
                service: Arc::clone(&service),
                shutdown: shutdown.clone(),
                orders,
                served: HashMap::new(),
                services: JoinSet::new(),
                tasks: HashMap::new(),
            };
            tasks.spawn(task.run(inbox));
        }
        while let Some(ended) = tasks.join_next().await {
            // Only a panic gets here: peers of the other sockets are still served.
            if let Err(error) = ended {
                error!(listener = &*self.name, %error, "a socket's task failed");
            }
        }
    }
}

impl fmt::Debug for DatagramListener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DatagramListener({} on {})", self.name, self.address)
    }
}

/// With several sockets on one port the kernel keeps each peer with one of them.
fn socket(address: SocketAddr, one_of_many: bool, buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if one_of_many {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    // With less we are slower under fire, and no worse otherwise.
    drop(socket.set_recv_buffer_size(buffer));
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// One socket with its peers.
struct SocketTask<E: Engine, S> {
    name: Arc<str>,
    socket: UdpSocket,
    associations: Associations<E>,
    strangers: VecDeque<(SocketAddr, Bytes)>,
    meter: Meter,
    gate: Arc<DatagramGate>,
    largest: usize,
    /// Where peers present chains, and with that encrypt.
    live: Option<Arc<Live>>,
    service: Arc<S>,
    shutdown: Shutdown,
    orders: mpsc::Sender<Order>,
    served: HashMap<Id, Served>,
    services: JoinSet<()>,
    tasks: HashMap<tokio::task::Id, Id>,
}

/// The way to a peer's service.
struct Served {
    records: mpsc::Sender<Bytes>,
    closed: Arc<OnceLock<Closed>>,
}

impl<E: Engine, S: DatagramService> SocketTask<E, S> {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        // One byte more than is taken, so that what is longer is seen to be.
        let mut buffer = vec![0; self.gate.config.largest_datagram + 1];
        let shutdown = self.shutdown.clone();
        let mut draining = false;
        while !(draining && self.services.is_empty()) {
            let deadline = self.associations.poll_timeout();
            tokio::select! {
                ready = self.socket.readable() => {
                    if ready.is_ok() {
                        self.receive(&mut buffer);
                        self.meet();
                    }
                }
                // Behind all others whose turn it is, the services of peers among them.
                () = tokio::task::yield_now(), if !self.strangers.is_empty() => self.meet(),
                Some(order) = inbox.recv() => {
                    let more = std::iter::from_fn(|| inbox.try_recv().ok()).take(BATCH);
                    for order in std::iter::once(order).chain(more) {
                        self.obey(order);
                    }
                }
                Some(ended) = self.services.join_next_with_id(), if !self.services.is_empty() => {
                    // What the service has sent before it ended goes before the goodbye, and is among what waits now.
                    for order in std::iter::from_fn(|| inbox.try_recv().ok()).take(self.gate.config.send_queue) {
                        self.obey(order);
                    }
                    self.ended(ended);
                }
                () = until(deadline) => self.associations.handle_timeout(now()),
                () = shutdown.draining(), if !draining => {
                    draining = true;
                    self.associations.stop_admitting();
                }
                () = shutdown.stopped() => break,
            }
            self.flush().await;
        }
        self.associations.close_all(now());
        self.flush().await;
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            match self.socket.try_recv_from(buffer) {
                Ok((length, from)) => match buffer.get(..length) {
                    Some(datagram) if length < buffer.len() => self.sort(from, datagram),
                    _ => self.meter.dropped(Dropped::Length),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // About a peer that is gone, mostly; the socket itself does not end.
                Err(error) => return debug!(listener = &*self.name, %error, "cannot receive"),
            }
        }
    }

    fn sort(&mut self, from: SocketAddr, datagram: &[u8]) {
        if !self.associations.takes_time(now(), from, datagram) {
            self.associations.handle_datagram(now(), from, datagram);
        } else if self.strangers.len() < self.gate.config.strangers {
            self.strangers.push_back((from, Bytes::copy_from_slice(datagram)));
        } else {
            self.meter.dropped(Dropped::Strangers);
        }
    }

    /// Looks at those strangers who have waited for longest.
    fn meet(&mut self) {
        for (from, datagram) in self.strangers.drain(..self.strangers.len().min(self.gate.config.strangers_at_once)) {
            self.associations.handle_datagram(now(), from, &datagram);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            // A peer that has gone meanwhile has lost a datagram: its service is being told.
            Order::Send(id, record) => drop(self.associations.send(now(), id, &record)),
            Order::Prove(id) => self.associations.prove(now(), id),
        }
    }

    async fn flush(&mut self) {
        while let Some(event) = self.associations.poll_event() {
            match event {
                PeerEvent::Established { id, from, chain, alpn, begun } => {
                    self.meter.handshake_took(now().saturating_duration_since(begun));
                    // A dual-stack socket shows IPv4 peers as mapped addresses; nobody behind here wants to know.
                    let address = SocketAddr::new(from.ip().to_canonical(), from.port());
                    let peer = Peer::unproven(address).speaking(alpn.as_deref()).proven(chain);
                    self.serve(id, if self.live.is_some() { peer.served_by(crate::Engine::OpenSsl) } else { peer });
                }
                PeerEvent::Data { id, record } => {
                    let full = self.served.get(&id).is_some_and(|served| served.records.try_send(record).is_err());
                    if full {
                        self.meter.dropped(Dropped::Queue);
                    }
                }
                PeerEvent::Closed { id, why } => {
                    if let Some(served) = self.served.remove(&id) {
                        let _ = served.closed.set(why);
                    }
                }
            }
        }
        while let Some(Transmit { to, datagram }) = self.associations.poll_transmit() {
            if self.socket.send_to(&datagram, to).await.is_err() {
                self.meter.dropped(Dropped::Send);
            }
        }
    }

    fn serve(&mut self, id: Id, peer: Peer) {
        let (records, receiver) = mpsc::channel(self.gate.config.queue);
        let closed = Arc::new(OnceLock::new());
        self.served.insert(id, Served { records, closed: Arc::clone(&closed) });
        let sender = DatagramSender { id, orders: self.orders.clone(), closed, largest: self.largest, encrypted: self.live.is_some() };
        let span = debug_span!("peer", listener = &*self.name, peer = %peer.address());
        let (live, name, chain) = (self.live.clone(), Arc::clone(&self.name), peer.chain().cloned());
        let standing = Standing::default();
        let connection =
            DatagramConnection { peer, shutdown: self.shutdown.clone(), standing: standing.clone(), records: receiver, sender };
        let (service, shutdown) = (Arc::clone(&self.service), self.shutdown.clone());
        let served = Box::pin(service.serve(connection));
        let whole = async move {
            tokio::select! {
                () = serve_while_good(live.as_ref(), &name, chain, standing, served) => {}
                () = shutdown.stopped() => {}
            }
        };
        let task = self.services.spawn(whole.instrument(span));
        self.tasks.insert(task.id(), id);
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                // Only a panic gets here. It ends its peer and nothing else, and must not go unseen.
                error!(listener = &*self.name, %error, "a peer's task failed");
                error.id()
            }
        };
        if let Some(id) = self.tasks.remove(&task) {
            self.associations.close(now(), id, Closed::Local);
        }
    }
}

/// The runtime's time, which tests may hold still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
