//! The settings of an endpoint, which all its peers share.

use super::Limits;
use crate::coap::{BlockSize, Code, OptionNumber};
use std::time::Duration;

/// How an endpoint behaves. A door makes one of its own configuration and shares it between its peers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bounds on what a peer feeds.
    pub limits: Limits,
    /// How messages are repeated over UDP.
    pub reliability: Reliability,
    /// How a connection over TCP introduces itself.
    pub tcp: TcpStyle,
    /// Whether silence of the peer is found out.
    pub keep_alive: Option<KeepAlive>,
    /// The longest message over TCP to a peer that knows blocks, whatever that announces: a longer one holds up everything that follows
    /// it, would fill the queue with a few of its kind, and is more than some libraries take in one piece.
    pub longest_whole: usize,
    /// What Max-Message-Size asks the peer for over TCP, where that is less than what is taken ([`Limits::message`]).
    pub longest_wanted: Option<usize>,
    /// The largest block that is used over UDP, and over TCP with a peer that cannot do better.
    pub block_size: BlockSize,
    /// How long the application may take for an answer before the peer gets [`Config::unanswered`].
    pub answer_timeout: Duration,
    /// What a peer gets whose request the application never answered: 5.03 or 5.04.
    pub unanswered: Code,
    /// How long a Ping with Custody waits for the requests before it; its Pong then comes without Custody.
    pub custody_patience: Duration,
    /// How old an Echo value may be that shows a request to be fresh.
    pub echo_lifetime: Duration,
    /// How often a request is repeated because the server wants an Echo value.
    pub echo_attempts: u8,
    /// Critical options that the application understands, beyond those of RFC 7252 and RFC 7959.
    pub known_options: Vec<OptionNumber>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            reliability: Reliability::default(),
            tcp: TcpStyle::default(),
            keep_alive: None,
            longest_whole: 64 << 10,
            longest_wanted: None,
            block_size: BlockSize::MAX,
            answer_timeout: Duration::from_secs(30),
            unanswered: Code::SERVICE_UNAVAILABLE,
            custody_patience: Duration::from_secs(2),
            echo_lifetime: Duration::from_secs(60),
            echo_attempts: 2,
            known_options: Vec::new(),
        }
    }
}

/// RFC 7252 §4.8: the parameters of transmission over UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reliability {
    /// ACK_TIMEOUT: the shortest wait before the first repetition.
    pub ack_timeout: Duration,
    /// ACK_RANDOM_FACTOR in hundredths: the longest first wait is this share of [`Reliability::ack_timeout`].
    pub ack_random_percent: u32,
    /// MAX_RETRANSMIT: how often a message is repeated.
    pub max_retransmit: u32,
    /// NSTART: how many confirmable messages may wait for their acknowledgement at once.
    pub nstart: usize,
    /// The longest datagram that is sent. RFC 7252 §4.6 advises 1152 bytes, which fit where the path is not known.
    pub datagram: usize,
    /// PROBING_RATE in bytes per second: how fast non-confirmable messages go to a peer that says nothing.
    pub probing_rate: u32,
    /// How many bytes may go to a peer that says nothing before [`Reliability::probing_rate`] applies.
    pub probing_burst: usize,
    /// MAX_LATENCY: how long a datagram may be on its way.
    pub max_latency: Duration,
    /// How long an answer is awaited from the application before the request is acknowledged without one.
    pub ack_delay: Duration,
    /// How long a notification may be the last confirmable one. RFC 7641 §4.5 allows no more than 24 hours.
    pub confirm_observation: Duration,
    /// How many notifications of one observation go out until one of them is confirmable. Zero counts none.
    pub confirm_notifications: u32,
    /// The shortest time between two non-confirmable notifications of one observation.
    pub notification_spacing: Duration,
}

impl Default for Reliability {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(2),
            ack_random_percent: 150,
            max_retransmit: 4,
            nstart: 1,
            datagram: 1152,
            probing_rate: 1,
            probing_burst: 4096,
            max_latency: Duration::from_secs(100),
            ack_delay: Duration::from_millis(500),
            confirm_observation: Duration::from_secs(24 * 60 * 60),
            confirm_notifications: 0,
            notification_spacing: Duration::from_secs(3),
        }
    }
}

impl Reliability {
    /// MAX_TRANSMIT_SPAN: from the first transmission of a confirmable message to its last.
    pub fn max_transmit_span(&self) -> Duration {
        self.longest(2u32.saturating_pow(self.max_retransmit).saturating_sub(1))
    }

    /// MAX_TRANSMIT_WAIT: from the first transmission of a confirmable message to giving up.
    pub fn max_transmit_wait(&self) -> Duration {
        self.longest(2u32.saturating_pow(self.max_retransmit.saturating_add(1)).saturating_sub(1))
    }

    /// EXCHANGE_LIFETIME: how long a message id of a confirmable message is taken.
    pub fn exchange_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_latency.saturating_mul(2)).saturating_add(self.ack_timeout)
    }

    /// NON_LIFETIME: how long a message id of a non-confirmable message is taken.
    pub fn non_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_latency)
    }

    fn longest(&self, times: u32) -> Duration {
        self.ack_timeout.saturating_mul(times).saturating_mul(self.ack_random_percent.max(100)) / 100
    }
}

/// What a connection over TCP announces and assumes (RFC 8323 §5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TcpStyle {
    /// For devices that cannot be changed: a CSM without options, no block-wise transfer, nothing expected of the peer's CSM,
    /// and bounds on what is sent, since the device announces none.
    Device {
        /// The longest message that is sent.
        longest: usize,
        /// The shortest message that is sent. Shorter ones are padded with an option that nobody has to know.
        shortest: usize,
    },
    /// As RFC 8323 has it: Max-Message-Size and Block-Wise-Transfer are announced, and the peer gets 1152 bytes until its CSM
    /// allows more.
    #[default]
    General,
}

impl TcpStyle {
    /// What unmodified OCF devices can take: whole messages of 7 to 7168 bytes.
    pub const DEVICE: Self = Self::Device { longest: 7 << 10, shortest: 7 };
}

/// How the silence of a peer is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// The silence that a connection does not survive. A ping goes out when half of it has passed.
    pub timeout: Duration,
    /// How long after the ping something must have arrived.
    pub check: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(20), check: Duration::from_secs(4) }
    }
}
