//! The section `[net.udp]`: how many peers speak in datagrams at once, and how much is kept for each.

use crate::places::{Places, Prefixes};
use gatehouse_base::config::{Configure, Section, Size};
use std::{sync::Arc, time::Duration};

/// Limits of sockets that carry datagrams, encrypted (DTLS) or not. They hold for all such listeners together where
/// nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Peers that are connected, in total. The one that was silent for longest is closed for one more. One that is
    /// idle takes 8 kB with DTLS, and several times as much if it has asked for short records (RFC 6066 §4). Default 16384.
    pub peers: usize,
    /// Of those, from one peer network. Default 2048.
    pub peers_per_network: usize,
    /// Peers that are not done with their handshake, or without DTLS have not proved their address. Default 1024.
    pub half_open: usize,
    /// Of those, from one peer network. Default 128.
    pub half_open_per_network: usize,
    /// From the first proof of an address to the end of the handshake. Default 60 s.
    pub handshake_timeout: Duration,
    /// After this time without an answer a flight of the handshake is sent again, then after twice of it, and so on
    /// up to a minute. Default 1 s (RFC 6347 §4.2.4.1).
    pub retransmit_after: Duration,
    /// A connected peer that is silent for so long is closed. Default 1 h.
    pub idle_timeout: Duration,
    /// Datagrams of a peer that wait for its service; what comes more is lost, as datagrams are. Default 32.
    pub queue: usize,
    /// Messages of all services of a socket that wait to be sent; then services wait. Default 1024.
    pub send_queue: usize,
    /// The longest datagram that is sent, in bytes. Default 1200, which passes every network.
    pub mtu: usize,
    /// The longest datagram that is taken in, in bytes. Default 8192.
    pub largest_datagram: usize,
    /// Sockets for one listener, each served by one task. More than one let several cores share the work. Default 1.
    pub sockets: usize,
    /// What the kernel may keep of a socket while we are busy, as far as it lets us (`net.core.rmem_max`): what a flood brings must not push
    /// out what peers say. Default 4 MiB.
    pub receive_buffer: Size,
    /// Datagrams of strangers on one socket that wait to be looked at; with DTLS, hellos with a good cookie. One more is lost. Default 256.
    pub strangers: usize,
    /// Of those, how many are looked at before everything else has its turn. Each may cost a signature. Default 4.
    pub strangers_at_once: usize,
    /// An attempt of one address is not given up for its next one before this time: each costs a signature, and a cookie is good for any
    /// number of them. A device that begins anew sooner says its hello again in any case. Default 500 ms.
    pub attempt_pause: Duration,
    /// Sessions of a listener that a device can take up again without a full handshake. Its chain is judged anew
    /// each time. 0 keeps none. Default 16384.
    pub sessions: usize,
    /// How long a session is kept. Default 24 h.
    pub session_lifetime: Duration,
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let config = Self {
            peers: from.within("peers", defaults.peers, 1..=1_000_000),
            peers_per_network: from.within("peers_per_network", defaults.peers_per_network, 1..=1_000_000),
            half_open: from.within("half_open", defaults.half_open, 1..=65_536),
            half_open_per_network: from.within("half_open_per_network", defaults.half_open_per_network, 1..=65_536),
            handshake_timeout: from.within("handshake_timeout", defaults.handshake_timeout, second..=300 * second),
            retransmit_after: from.within("retransmit_after", defaults.retransmit_after, second / 10..=60 * second),
            idle_timeout: from.within("idle_timeout", defaults.idle_timeout, second..=30 * day),
            queue: from.within("queue", defaults.queue, 1..=4096),
            send_queue: from.within("send_queue", defaults.send_queue, 1..=65_536),
            mtu: from.within("mtu", defaults.mtu, 256..=9000),
            largest_datagram: from.within("largest_datagram", defaults.largest_datagram, 1280..=65_535),
            sockets: from.within("sockets", defaults.sockets, 1..=64),
            receive_buffer: from.within("receive_buffer", defaults.receive_buffer, Size::kib(64)..=Size::mib(1024)),
            strangers: from.within("strangers", defaults.strangers, 1..=65_536),
            strangers_at_once: from.within("strangers_at_once", defaults.strangers_at_once, 1..=1024),
            attempt_pause: from.within("attempt_pause", defaults.attempt_pause, Duration::ZERO..=60 * second),
            sessions: from.within("sessions", defaults.sessions, 0..=1_000_000),
            session_lifetime: from.within("session_lifetime", defaults.session_lifetime, second..=7 * day),
        };
        if config.peers_per_network > config.peers {
            from.remark("peers_per_network", "is above `peers`, so that one network can use them all");
        }
        if config.half_open_per_network > config.half_open {
            from.remark("half_open_per_network", "is above `half_open`, so that one network can use them all");
        }
        Some(config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peers: 16_384,
            peers_per_network: 2048,
            half_open: 1024,
            half_open_per_network: 128,
            handshake_timeout: Duration::from_secs(60),
            retransmit_after: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(3600),
            queue: 32,
            send_queue: 1024,
            mtu: 1200,
            largest_datagram: 8192,
            sockets: 1,
            receive_buffer: Size::mib(4),
            strangers: 256,
            strangers_at_once: 4,
            attempt_pause: Duration::from_millis(500),
            sessions: 16_384,
            session_lifetime: Duration::from_secs(86_400),
        }
    }
}

/// The places for peers of every listener that carries datagrams.
#[derive(Debug)]
pub struct DatagramGate {
    pub(crate) config: Config,
    pub(crate) connected: Arc<Places>,
    pub(crate) half_open: Arc<Places>,
}

impl DatagramGate {
    /// A gate with nobody inside. The peer networks are those of `[net]`.
    pub fn new(net: &crate::Config) -> Arc<Self> {
        Self::with(net.udp.clone(), net.prefixes())
    }

    pub(crate) fn with(config: Config, prefixes: Prefixes) -> Arc<Self> {
        let connected = Places::new(config.peers, config.peers_per_network, prefixes);
        let half_open = Places::new(config.half_open, config.half_open_per_network, prefixes);
        Arc::new(Self { config, connected, half_open })
    }

    /// How many peers are connected.
    pub fn connected(&self) -> usize {
        self.connected.taken()
    }

    /// How many peers have proved nothing yet.
    pub fn half_open(&self) -> usize {
        self.half_open.taken()
    }
}
