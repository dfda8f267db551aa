//! How a client connects and behaves.

use crate::Tap;
use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_net::{Credentials, MAX_RECORD, PresharedKey};
use gatehouse_pki::{Anchors, Fingerprint};
use gatehouse_types::Random;
use gatehouse_wire::coap::endpoint::{Config, Limits};
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

/// The settings of one connection.
#[derive(Clone)]
pub struct Settings {
    /// What is presented and believed. Without encryption it is of no consequence.
    pub security: Security,
    /// How long finding the host, connecting, the handshake and, over TCP, the server's introduction may take together.
    pub connect_timeout: Duration,
    /// Only addresses of this family.
    pub family: Option<Family>,
    /// How messages are repeated, cut into blocks and bounded.
    pub endpoint: Config,
    /// What sees every message.
    pub tap: Option<Arc<dyn Tap>>,
    /// Where tokens and message ids come from.
    pub random: Arc<dyn Random>,
    /// By which time certificates are judged.
    pub clock: Arc<dyn Clock>,
}

/// What is presented to a server and what is believed of it.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// What the server has to be.
    pub trust: Trust,
    /// What is presented to a server that asks for it.
    pub credentials: Option<Arc<Credentials>>,
}

/// What a server has to be.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// No server is believed: a secure connection is refused before it is begun.
    #[default]
    Nobody,
    /// One whose chain leads to an anchor, and whose certificate has the expected name.
    Anchors {
        /// The anchors.
        anchors: Arc<Anchors>,
        /// The name.
        name: Expected,
    },
    /// One that presents this certificate itself, by the SHA-256 of its DER.
    Fingerprint(Fingerprint),
    /// One that knows this key.
    Shared(PresharedKey),
    /// Any: whoever sits between can read and change everything.
    DangerAnybody,
}

/// Which name the certificate of a server must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// The host of the URI.
    #[default]
    Host,
    /// This name, which is told to the server too (RFC 6066 §3).
    Name(String),
    /// This address.
    Address(IpAddr),
    /// Any: every holder of a certificate below the anchors can pretend to be the server.
    DangerAny,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            security: Security::default(),
            connect_timeout: Duration::from_secs(30),
            family: None,
            endpoint: Self::bounded(DEFAULT_BODY),
            tap: None,
            random: Arc::new(SystemRandom),
            clock: Arc::new(SystemClock),
        }
    }
}

impl Settings {
    /// The behaviour of RFC 7252 with bodies of up to so many bytes in either direction. Over TCP, a server that knows blocks gets and is
    /// asked for messages that are no longer than a TLS record: libcoap's server on GnuTLS never gets to the second, and never sends it.
    pub fn bounded(body: usize) -> Config {
        // One message of TCP may carry a whole body, and leaves through the queue.
        let queue_bytes = body.saturating_add(QUEUE_BESIDE);
        let limits = Limits { body, body_bytes: body.saturating_mul(2), queue_bytes, ..Limits::default() };
        Config { limits, longest_whole: MAX_RECORD, longest_wanted: Some(LONGEST_RECORD), ..Config::default() }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings").field("security", &self.security).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// RFC 8446 §5.1: no record holds more.
const LONGEST_RECORD: usize = 16 << 10;
/// The largest body where nothing else is said.
const DEFAULT_BODY: usize = 16 << 20;
/// What may wait to be sent beside a whole body.
const QUEUE_BESIDE: usize = 1 << 20;
