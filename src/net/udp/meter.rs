//! What the sockets of datagrams count, for one listener.

use super::engine::Closed;
use crate::{metrics, places::Refused};
use metrics::{CHALLENGES, CLOSED, CONNECTIONS, DROPPED, HALF_OPEN, HANDSHAKE_FAILURES};
use std::{sync::Arc, time::Duration};

/// Why a datagram was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It is nothing that is spoken here.
    Noise,
    /// A stranger sent it, and it begins nothing.
    Stranger,
    /// More strangers wait than are looked at.
    Strangers,
    /// Its sender has begun another handshake a moment ago.
    Again,
    /// No half-open peer may be added.
    HalfOpen,
    /// None of this network may be added.
    Network,
    /// The server is about to stop.
    Draining,
    /// It is longer than configuration allows.
    Length,
    /// The peer's service has not taken what came before.
    Queue,
    /// The system did not take it for sending.
    Send,
}

impl Dropped {
    fn label(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Stranger => "stranger",
            Self::Strangers => "strangers",
            Self::Again => "again",
            Self::HalfOpen => "half_open",
            Self::Network => "network",
            Self::Draining => "draining",
            Self::Length => "length",
            Self::Queue => "queue",
            Self::Send => "send",
        }
    }
}

impl From<Refused> for Dropped {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::HalfOpen,
            Refused::PeerFull => Self::Network,
        }
    }
}

/// Counts under the listener's name.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    listener: Arc<str>,
}

impl Meter {
    pub(crate) fn new(listener: Arc<str>) -> Self {
        Self { listener }
    }

    pub(crate) fn dropped(&self, why: Dropped) {
        ::metrics::counter!(DROPPED, "listener" => Arc::clone(&self.listener), "reason" => why.label()).increment(1);
    }

    pub(crate) fn challenged(&self) {
        ::metrics::counter!(CHALLENGES, "listener" => Arc::clone(&self.listener)).increment(1);
    }

    pub(crate) fn half_open(&self, change: i8) {
        ::metrics::gauge!(HALF_OPEN, "listener" => Arc::clone(&self.listener)).increment(f64::from(change));
    }

    pub(crate) fn connected(&self, change: i8) {
        if change > 0 {
            ::metrics::counter!(metrics::ACCEPTED, "listener" => Arc::clone(&self.listener)).increment(1);
        }
        ::metrics::gauge!(CONNECTIONS, "listener" => Arc::clone(&self.listener)).increment(f64::from(change));
    }

    pub(crate) fn closed(&self, why: Closed) {
        ::metrics::counter!(CLOSED, "listener" => Arc::clone(&self.listener), "reason" => why.label()).increment(1);
    }

    pub(crate) fn handshake_failed(&self, why: Closed) {
        let reason = match why {
            // Nobody's failure: the peer tries again, or we stop.
            Closed::Replaced | Closed::Local => return,
            Closed::Certificate | Closed::Timeout => why.label(),
            Closed::Evicted | Closed::Refused => "full",
            Closed::Peer | Closed::Idle | Closed::Protocol => "protocol",
        };
        ::metrics::counter!(HANDSHAKE_FAILURES, "listener" => Arc::clone(&self.listener), "reason" => reason).increment(1);
    }

    pub(crate) fn handshake_took(&self, time: Duration) {
        ::metrics::histogram!(metrics::HANDSHAKE_SECONDS, "listener" => Arc::clone(&self.listener)).record(time);
    }

    pub(crate) fn resumption(&self, result: &'static str) {
        ::metrics::counter!(metrics::RESUMPTIONS, "listener" => Arc::clone(&self.listener), "result" => result).increment(1);
    }
}
