//! Datagrams as they are: no handshake, no secrets, and no proof of who sent them.

use super::engine::{Association, Class, Closed, Engine, Event, Meeting, Proof, SendError};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Takes every address for a peer until it is silent, or others want its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainEngine {
    mtu: usize,
}

impl PlainEngine {
    /// Sends datagrams of at most so many bytes.
    pub(crate) fn new(mtu: usize) -> Self {
        Self { mtu }
    }
}

impl Engine for PlainEngine {
    type Association = Plain;

    // Anybody can write any sender on a datagram: what is kept for one may go for the next.
    const PATIENCE: Duration = Duration::ZERO;

    fn class(&self, datagram: &[u8]) -> Class {
        if datagram.is_empty() { Class::Noise } else { Class::Record }
    }

    // Each may begin a service.
    fn takes_time(&self, _now: Instant, _from: SocketAddr, _datagram: &[u8]) -> bool {
        true
    }

    fn meet(&mut self, now: Instant, _from: SocketAddr, datagram: &[u8]) -> Meeting<Plain> {
        let mut plain = Plain {
            mtu: self.mtu,
            events: VecDeque::from([Event::Established { proof: Proof::Nothing, alpn: None }]),
            transmits: VecDeque::new(),
        };
        plain.handle_datagram(now, datagram);
        Meeting::Begun(plain)
    }
}

/// The conversation with one address.
#[derive(Debug)]
pub(crate) struct Plain {
    mtu: usize,
    events: VecDeque<Event>,
    transmits: VecDeque<Bytes>,
}

impl Association for Plain {
    fn handle_datagram(&mut self, _now: Instant, datagram: &[u8]) {
        self.events.push_back(Event::Data(Bytes::copy_from_slice(datagram)));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn send(&mut self, _now: Instant, record: &[u8]) -> Result<(), SendError> {
        if record.len() > self.mtu {
            return Err(SendError::TooLong);
        }
        self.transmits.push_back(Bytes::copy_from_slice(record));
        Ok(())
    }

    fn close(&mut self, _now: Instant) {
        self.events.push_back(Event::Closed(Closed::Local));
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
