//! Everything that goes on with one peer, over UDP or TCP, without any I/O.
//!
//! RFC 7252 and RFC 8323 know no clients and servers on the wire: either side may ask and answer at any time. So an
//! [`Endpoint`] is both at once. Its driver hands it what arrived ([`Endpoint::handle_datagram`], [`Endpoint::handle_bytes`])
//! and the time ([`Endpoint::handle_timeout`]), and then takes out what it has to say until there is nothing:
//! [`Endpoint::poll_event`] for the application, [`Endpoint::poll_transmit`] for the peer, [`Endpoint::poll_timeout`] for
//! when to call again. The application asks with [`Endpoint::request`] and answers with [`Endpoint::respond`].
//!
//! It takes care of
//! - repetition, acknowledgement and duplicates (RFC 7252 §4), signals (RFC 8323 §5), and finding out that a peer is gone;
//! - bodies of any size: applications see them whole, whatever blocks they travel in (RFC 7959);
//! - observation in both roles (RFC 7641), Echo and Request-Tag (RFC 9175), and No-Response (RFC 7967).
//!
//! What a peer can make it hold is bounded by [`Limits`]. It does not look at paths, content formats or entity tags, and it
//! takes for granted that the peer is where it says it is: over plain UDP, [`super::doorstep`] makes sure of that before.

mod assembly;
mod client;
mod config;
mod datagrams;
mod dedup;
mod download;
mod echo;
mod event;
mod fit;
mod freshness;
mod keep_alive;
mod limits;
mod message_ids;
mod observers;
mod outbox;
mod probing;
mod reliability;
mod request;
mod served;
mod server;
mod signalling;
mod stream;
mod upload;
mod watch;

pub use config::{Config, KeepAlive, Reliability, TcpStyle};
pub use event::{Closed, Ended, Event, Exchange, Failure, Gone, Incoming, ObservationId, PingId, RequestId, RespondError};
pub use limits::{Counters, Limits, Usage};
pub use observers::Delivery;
pub use request::{Request, RequestError};

use client::Client;
use datagrams::Udp;
use gatehouse_types::Random;
use keep_alive::Silence;
use outbox::Outbox;
use server::Server;
use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};
use stream::Tcp;

use super::OptionNumber;
use bytes::Bytes;

/// Everything that goes on with one peer.
pub struct Endpoint {
    config: Arc<Config>,
    random: Arc<dyn Random>,
    link: Link,
    outbox: Outbox,
    events: VecDeque<Event>,
    client: Client,
    server: Server,
    keep_alive: Option<keep_alive::KeepAlive>,
    phase: Phase,
    counters: Counters,
    last_received: Instant,
    last_id: u64,
}

/// How messages travel.
#[derive(Debug)]
enum Link {
    Udp(Box<Udp>),
    Tcp(Box<Tcp>),
}

/// How far the connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing new is begun; what is under way is finished.
    Releasing,
    Closed,
}

/// Whose message it is that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Request(RequestId),
    Notification(ObservationId),
    Ping(PingId),
    /// An answer: nothing follows from its fate.
    Answer,
}

impl Endpoint {
    /// An endpoint for a peer behind a socket of UDP, or an association of DTLS.
    pub fn udp(config: Arc<Config>, random: Arc<dyn Random>, now: Instant) -> Self {
        let mut first = [0; 2];
        random.fill(&mut first);
        Self::new(config, random, now, Link::Udp(Box::new(Udp::new(u16::from_be_bytes(first)))))
    }

    /// An endpoint for a peer at the other end of a connection of TCP or TLS. Its CSM is the first message to send.
    pub fn tcp(config: Arc<Config>, random: Arc<dyn Random>, now: Instant) -> Self {
        let link = Link::Tcp(Box::new(Tcp::new(&config)));
        let mut endpoint = Self::new(config, random, now, link);
        endpoint.introduce();
        endpoint
    }

    fn new(config: Arc<Config>, random: Arc<dyn Random>, now: Instant, link: Link) -> Self {
        Self {
            keep_alive: config.keep_alive.map(|settings| keep_alive::KeepAlive::new(settings, now)),
            config,
            random,
            link,
            outbox: Outbox::default(),
            events: VecDeque::new(),
            client: Client::default(),
            server: Server::default(),
            phase: Phase::Open,
            counters: Counters::default(),
            last_received: now,
            last_id: 0,
        }
    }

    /// What has happened, in order. Ask until there is nothing.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() && self.events.capacity() > KEPT_EVENTS {
            self.events = VecDeque::new();
        }
        event
    }

    /// What has to go out: one datagram, or one whole message that no other may share a TLS record with. Ask until there is
    /// nothing, or until the transport takes no more.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if self.outbox.is_empty() {
            self.flush(now);
        }
        let item = self.outbox.pop()?;
        self.counters.sent += 1;
        Some(item)
    }

    /// When [`Endpoint::handle_timeout`] has to be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed {
            return None;
        }
        [
            self.link_timeout(),
            self.client_timeout(),
            self.server_timeout(),
            self.observers_timeout(),
            self.keep_alive.as_ref().map(keep_alive::KeepAlive::next_timeout),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due. Calling it early, late or twice does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Closed {
            return;
        }
        match self.keep_alive.as_mut().and_then(|keep_alive| keep_alive.handle_timeout(now)) {
            Some(Silence::Dead) => return self.close(Closed::Silent),
            Some(Silence::Ping) => self.ping_for_life(now),
            None => {}
        }
        self.link_handle_timeout(now);
        self.client_handle_timeout(now);
        self.server_handle_timeout(now);
        self.flush(now);
        self.settle();
        self.give_back();
    }

    /// Gives back the room of what is empty. A peer that is silent for months holds nothing for what it said once.
    fn give_back(&mut self) {
        self.client.give_back();
        self.server.give_back();
        self.outbox.give_back();
        emptied(&mut self.events);
        let unwatched = self.client.requests.is_empty() && self.server.observers.is_empty();
        match &mut self.link {
            Link::Udp(udp) => udp.give_back(unwatched),
            Link::Tcp(tcp) => emptied(&mut tcp.custody),
        }
    }

    /// Ends everything at once without a word to the peer: the transport is gone, or the application wants it gone. Requests
    /// that are under way fail.
    pub fn close(&mut self, why: Closed) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.close_client();
        self.close_server();
        self.events.push_back(Event::Closed { why });
    }

    /// Whether [`Event::Closed`] was reported. What is left in [`Endpoint::poll_transmit`] may still be sent.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether neither side waits for the other: no request, observation, body or unacknowledged message is under way.
    pub fn is_idle(&self) -> bool {
        self.client.is_idle() && self.server.is_idle() && self.link_is_idle() && self.outbox.is_empty()
    }

    /// When a message of the peer last arrived.
    pub fn last_received(&self) -> Instant {
        self.last_received
    }

    /// How often what happened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is held now.
    pub fn usage(&self) -> Usage {
        let (waiting, dedup_entries, dedup_bytes) = match &self.link {
            Link::Udp(udp) => udp.usage(),
            Link::Tcp(_) => (0, 0, 0),
        };
        Usage {
            exchanges_in: self.server.exchanges.len(),
            exchanges_out: self.client.requests.len(),
            observations: self.server.observers.len(),
            bodies: self.server.assemblies.len(),
            body_bytes: self.body_bytes(),
            served_bytes: self.server.served.bytes(),
            dedup_entries,
            dedup_bytes,
            queue_bytes: self.outbox.bytes(),
            waiting,
        }
    }

    /// Bytes of unfinished bodies of both roles.
    fn body_bytes(&self) -> usize {
        self.client.body_bytes() + self.server.assemblies.bytes()
    }

    /// Something of the peer arrived whole.
    fn heard(&mut self, now: Instant) {
        self.counters.received += 1;
        self.last_received = now;
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.heard(now);
        }
    }

    /// Sends whatever waited for room or for its time.
    fn flush(&mut self, now: Instant) {
        self.pump(now);
        self.flush_observers(now);
    }

    /// Finishes a release once nothing is under way any more.
    fn settle(&mut self) {
        if self.phase == Phase::Releasing && self.client.is_settled() && self.server.is_settled() && self.link_is_idle() {
            self.close(Closed::Released);
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn draw<const N: usize>(&self) -> [u8; N] {
        let mut drawn = [0; N];
        self.random.fill(&mut drawn);
        drawn
    }

    /// Whether somebody here understands a critical option.
    fn knows(&self, number: OptionNumber) -> bool {
        UNDERSTOOD.contains(&number) || self.config.known_options.contains(&number)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("phase", &self.phase).field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// Gives back a queue's room, if nothing is in it.
fn emptied<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
}

/// How many places for events a quiet peer keeps.
const KEPT_EVENTS: usize = 8;

/// The critical options that a request or an answer may have for all that concerns the endpoint. Conditions, names and proxies
/// are judged by the application.
const UNDERSTOOD: &[OptionNumber] = &[
    OptionNumber::IF_MATCH,
    OptionNumber::URI_HOST,
    OptionNumber::IF_NONE_MATCH,
    OptionNumber::URI_PORT,
    OptionNumber::URI_PATH,
    OptionNumber::URI_QUERY,
    OptionNumber::ACCEPT,
    OptionNumber::BLOCK2,
    OptionNumber::BLOCK1,
    OptionNumber::PROXY_URI,
    OptionNumber::PROXY_SCHEME,
];
