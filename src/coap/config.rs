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
    /// Options of one message. One with more is treated like one that is too long. Default 64.
    pub options: usize,
    /// The body of a request, whole or in blocks. A longer one is answered with 4.13. Default 1 MiB.
    pub body_size: Size,
    /// Bodies of one peer that are on their way in blocks. One more is answered with 5.03. Default 4.
    pub bodies: usize,
    /// What all bodies of one peer that are on their way may take together, and once more what it fetches in blocks.
    /// Default 2 MiB.
    pub body_memory: Size,
    /// How long a body that is on its way in blocks is kept after the last of them, and an answer that is fetched in blocks.
    /// Default 60 s.
    pub body_pause: Duration,
    /// How long a body may be on its way in blocks, however steadily they come. Default 10 min.
    pub body_time: Duration,
    /// Answers to one peer that are kept while it fetches them in blocks. The oldest makes room. Default 4.
    pub kept_answers: usize,
    /// Messages of one peer over UDP of which copies are recognised. The oldest makes room. Default 512.
    pub duplicates: usize,
    /// What the answers take that are kept for such copies. A copy whose answer made room is only acknowledged. Default 64 KiB.
    pub duplicate_memory: Size,
    /// What may wait to be sent to one peer. Over TCP a connection with more is closed, and over UDP what is more is lost; much
    /// earlier than that nothing more is read. Default 1 MiB.
    pub send_queue: Size,
    /// Messages to one peer over UDP that wait for the acknowledgement of others. One more is lost, or refused to whoever asks
    /// the peer. Default 64.
    pub waiting: usize,
    /// Requests to one peer that it has not answered, observations included. One more is refused to whoever asks. Default 256.
    pub requests_to_peer: usize,
    /// Requests of one peer that are worked on at once. One more is answered with 5.03. Default 32.
    pub requests_per_peer: usize,
    /// Requests of all peers that are worked on at once. One more is answered with 5.03. Default 4096.
    pub requests: usize,
    /// What one peer may observe here. One more is answered once and not observed. Default 64.
    pub observations: usize,
    /// What all peers may observe here together. One more is answered once and not observed. Default 16384.
    pub observers: usize,
    /// After so many notifications of one observation over UDP its peer has to acknowledge one, so that it is found out when
    /// nobody listens any more. 0 counts none. Default 16.
    pub confirm_notifications: u32,
    /// After this time without such a notification the next one is to be acknowledged, or the last one once more where there
    /// is no next one. Default 10 min; RFC 7641 §4.5 allows 24 h.
    pub confirm_observation: Duration,
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
            options: from.within("options", defaults.options, 8..=1024),
            body_size: from.within("body_size", defaults.body_size, Size::kib(1)..=Size::mib(64)),
            bodies: from.within("bodies", defaults.bodies, 1..=1024),
            body_memory: from.within("body_memory", defaults.body_memory, Size::kib(1)..=Size::mib(1024)),
            body_pause: from.within("body_pause", defaults.body_pause, seconds(1, 3600)),
            body_time: from.within("body_time", defaults.body_time, seconds(1, 86_400)),
            kept_answers: from.within("kept_answers", defaults.kept_answers, 1..=1024),
            duplicates: from.within("duplicates", defaults.duplicates, 1..=65_536),
            duplicate_memory: from.within("duplicate_memory", defaults.duplicate_memory, Size::kib(1)..=Size::mib(64)),
            send_queue: from.within("send_queue", defaults.send_queue, Size::kib(16)..=Size::mib(1024)),
            waiting: from.within("waiting", defaults.waiting, 1..=10_000),
            requests_to_peer: from.within("requests_to_peer", defaults.requests_to_peer, 1..=10_000),
            requests_per_peer: from.within("requests_per_peer", defaults.requests_per_peer, 1..=10_000),
            requests: from.within("requests", defaults.requests, 1..=1_000_000),
            observations: from.within("observations", defaults.observations, 0..=10_000),
            observers: from.within("observers", defaults.observers, 0..=1_000_000),
            confirm_notifications: from.within("confirm_notifications", defaults.confirm_notifications, 0..=65_536),
            confirm_observation: from.within("confirm_observation", defaults.confirm_observation, seconds(1, 86_400)),
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
        if config.send_queue < config.message_size {
            from.remark("send_queue", "is less than `message_size`, so that a message as long as we take cannot be sent");
        }
        Some(config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_size: Size::kib(256),
            options: 64,
            body_size: Size::mib(1),
            bodies: 4,
            body_memory: Size::mib(2),
            body_pause: Duration::from_secs(60),
            body_time: Duration::from_secs(600),
            kept_answers: 4,
            duplicates: 512,
            duplicate_memory: Size::kib(64),
            send_queue: Size::mib(1),
            waiting: 64,
            requests_to_peer: 256,
            requests_per_peer: 32,
            requests: 4096,
            observations: 64,
            observers: 16_384,
            confirm_notifications: 16,
            confirm_observation: Duration::from_secs(600),
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
            options: self.options,
            body: self.body_size.as_usize(),
            bodies: self.bodies,
            body_bytes: self.body_memory.as_usize(),
            body_lifetime: self.body_pause,
            body_time: self.body_time,
            served_bodies: self.kept_answers,
            served_bytes: self.body_memory.as_usize(),
            exchanges_in: self.requests_per_peer,
            exchanges_out: self.requests_to_peer,
            observations: self.observations,
            dedup_entries: self.duplicates,
            dedup_bytes: self.duplicate_memory.as_usize(),
            queue_bytes: self.send_queue.as_usize(),
            waiting: self.waiting,
            retry_after: self.retry_after,
        };
        let reliability = Reliability {
            ack_timeout: self.ack_timeout,
            max_retransmit: self.max_retransmit,
            confirm_observation: self.confirm_observation,
            confirm_notifications: self.confirm_notifications,
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
