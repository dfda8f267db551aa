//! The section `[coap]`: how much a peer may hold and how long things may take.

use gatehouse_base::config::{Choice, Configure, Section, Size};
use gatehouse_wire::coap::{
    BlockSize, OptionNumber,
    endpoint::{self, KeepAlive, Limits, Reliability, TcpStyle},
};
use std::time::Duration;

/// Limits of every CoAP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// One message of a peer over TCP. A longer one ends the connection. Default 256 KiB.
    pub message_size: Size,
    /// The body of a request, whole or in blocks. A longer one is answered with 4.13. Default 1 MiB.
    pub body_size: Size,
    /// Bodies of one peer that are on their way in blocks. One more is answered with 5.03. Default 4.
    pub bodies: usize,
    /// What all bodies of one peer that are on their way may take together, and once more what it fetches in blocks.
    /// Default 2 MiB.
    pub body_memory: Size,
    /// Requests of one peer that are worked on at once. One more is answered with 5.03. Default 32.
    pub requests_per_peer: usize,
    /// Requests of all peers that are worked on at once. One more is answered with 5.03. Default 4096.
    pub requests: usize,
    /// What one peer may observe here. One more is answered once and not observed. Default 64.
    pub observations: usize,
    /// From the last block of a request to its answer; a later one is 5.03. Default 30 s.
    pub request_timeout: Duration,
    /// When a peer that got 5.03 is told to come back. Default 5 s.
    pub retry_after: Duration,
    /// How long a peer over TCP may be silent. It gets a ping when half of that has passed, and is closed when nothing came
    /// at the next check. Default 20 s.
    pub keep_alive: Duration,
    /// How long after the ping that check is. Default 4 s.
    pub keep_alive_check: Duration,
    /// How long a connection is kept over which nothing is asked or observed in either direction; pings do not count.
    /// Default 10 min.
    pub idle_timeout: Duration,
    /// How long a peer may refuse to take what it asked for. Default 30 s.
    pub send_timeout: Duration,
    /// How long draining waits for requests that are worked on before it takes leave of their peer, which from then on
    /// may be deaf. Default 5 s.
    pub drain_wait: Duration,
    /// The largest block over UDP. Default 1 KiB; one of 16 to 1024 bytes that is a power of two.
    pub block_size: Size,
    /// How long an acknowledgement is awaited over UDP before a message is sent again. Default 2 s (RFC 7252 §4.8).
    pub ack_timeout: Duration,
    /// How often a message is sent again. Default 4.
    pub max_retransmit: u32,
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let seconds = |low: u64, high: u64| Duration::from_secs(low)..=Duration::from_secs(high);
        let config = Self {
            message_size: from.within("message_size", defaults.message_size, Size::kib(2)..=Size::mib(64)),
            body_size: from.within("body_size", defaults.body_size, Size::kib(1)..=Size::mib(64)),
            bodies: from.within("bodies", defaults.bodies, 1..=1024),
            body_memory: from.within("body_memory", defaults.body_memory, Size::kib(1)..=Size::mib(1024)),
            requests_per_peer: from.within("requests_per_peer", defaults.requests_per_peer, 1..=10_000),
            requests: from.within("requests", defaults.requests, 1..=1_000_000),
            observations: from.within("observations", defaults.observations, 0..=10_000),
            request_timeout: from.within("request_timeout", defaults.request_timeout, seconds(1, 3600)),
            retry_after: from.within("retry_after", defaults.retry_after, seconds(1, 3600)),
            keep_alive: from.within("keep_alive", defaults.keep_alive, seconds(2, 86_400)),
            keep_alive_check: from.within("keep_alive_check", defaults.keep_alive_check, seconds(1, 3600)),
            idle_timeout: from.within("idle_timeout", defaults.idle_timeout, seconds(1, 30 * 86_400)),
            send_timeout: from.within("send_timeout", defaults.send_timeout, seconds(1, 3600)),
            drain_wait: from.within("drain_wait", defaults.drain_wait, seconds(0, 3600)),
            block_size: from.within("block_size", defaults.block_size, Size::bytes(16)..=Size::bytes(1024)),
            ack_timeout: from.within("ack_timeout", defaults.ack_timeout, Duration::from_millis(100)..=Duration::from_secs(60)),
            max_retransmit: from.within("max_retransmit", defaults.max_retransmit, 0..=10),
        };
        if BlockSize::from_bytes(config.block_size.as_usize()).is_none() {
            from.refuse("block_size", "is to be a power of two from 16 to 1024 bytes");
        }
        if config.body_memory < config.body_size {
            from.refuse("body_memory", "is less than `body_size`, so that no body of that size could ever arrive");
        }
        Some(config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_size: Size::kib(256),
            body_size: Size::mib(1),
            bodies: 4,
            body_memory: Size::mib(2),
            requests_per_peer: 32,
            requests: 4096,
            observations: 64,
            request_timeout: Duration::from_secs(30),
            retry_after: Duration::from_secs(5),
            keep_alive: Duration::from_secs(20),
            keep_alive_check: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(600),
            send_timeout: Duration::from_secs(30),
            drain_wait: Duration::from_secs(5),
            block_size: Size::kib(1),
            ack_timeout: Duration::from_secs(2),
            max_retransmit: 4,
        }
    }
}

/// How connections over TCP introduce themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// As RFC 8323 has it: for libraries and tools.
    #[default]
    Standard,
    /// For OCF devices that cannot be changed: no options in the first message, no blocks, and nothing shorter or longer
    /// than what they survive.
    Devices,
}

impl Choice for Framing {
    const ALL: &'static [(&'static str, Self)] = &[("standard", Self::Standard), ("devices", Self::Devices)];
}

impl Config {
    /// What an endpoint of ours is told. `longest` is how much a datagram holds.
    pub(crate) fn endpoint(&self, framing: Framing, longest: Option<usize>) -> endpoint::Config {
        let limits = Limits {
            message: self.message_size.as_usize(),
            body: self.body_size.as_usize(),
            bodies: self.bodies,
            body_bytes: self.body_memory.as_usize(),
            served_bytes: self.body_memory.as_usize(),
            exchanges_in: self.requests_per_peer,
            observations: self.observations,
            retry_after: self.retry_after,
            ..Limits::default()
        };
        let reliability = Reliability {
            ack_timeout: self.ack_timeout,
            max_retransmit: self.max_retransmit,
            datagram: longest.unwrap_or(Reliability::default().datagram),
            ..Reliability::default()
        };
        endpoint::Config {
            limits,
            reliability,
            tcp: match framing {
                Framing::Standard => TcpStyle::General,
                Framing::Devices => TcpStyle::DEVICE,
            },
            // A datagram that is lost must not end a connection, and one nobody asked for must not wake a sleeping device.
            keep_alive: longest.is_none().then_some(KeepAlive { timeout: self.keep_alive, check: self.keep_alive_check }),
            block_size: BlockSize::at_most(self.block_size.as_usize()),
            // Ours comes first, and says more.
            answer_timeout: self.request_timeout + Duration::from_secs(5),
            known_options: vec![OptionNumber::OCF_ACCEPT_VERSION, OptionNumber::OCF_VERSION],
            ..endpoint::Config::default()
        }
    }
}
