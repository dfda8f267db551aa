//! One DTLS association on OpenSSL, at either end.
//!
//! OpenSSL reads datagrams from a [`Pipe`] and writes them to it, and does nothing by itself: whoever holds the
//! association brings datagrams and calls when a deadline is over. OpenSSL asks the system for the time when it sets the
//! timers of a handshake; the deadlines that are told here are made of what it says is left.

use super::record::{has_room, is_encrypted};
use crate::{
    openssl::{ffi, found, refusal},
    udp::engine::{Association, Closed, Event, Proof, SendError},
};
use bytes::Bytes;
use openssl::ssl::{ErrorCode, ShutdownState, Ssl, SslStream};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    time::{Duration, Instant},
};

/// What a record takes beside its content: its head, and eight bytes of nonce and sixteen of tag, which is the most that
/// any of the suites takes.
pub(crate) const OVERHEAD: usize = 13 + 8 + 16;

/// No record holds more (RFC 5246 §6.2.1).
const MAX_PLAINTEXT: usize = 16_384;

/// Encrypted datagrams that are kept for when there are keys for them, because the network has changed their order. OpenSSL would
/// keep a hundred, each in a buffer of its own of 16 kB.
const MAX_EARLY: u8 = 4;

/// How OpenSSL calls the state in which the peer has announced its keys, so that encrypted datagrams are not early any more.
const KEYS_ANNOUNCED: &str = "TRCCS";

/// All that a peer may send before its handshake is over: several times what chain and repetitions take.
const MAX_HANDSHAKE: usize = 96 * 1024;

/// A deadline of OpenSSL's is at least so far away, so that a timer that it finds to be not quite over is not asked for in a
/// circle.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// After this time without a record an association gives its buffers back, which is a fifth of what it takes.
const REST_AFTER: Duration = Duration::from_secs(10);

/// A conversation with one peer.
pub(crate) struct DtlsAssociation {
    stream: SslStream<Pipe>,
    mtu: usize,
    demanded: Demanded,
    phase: Phase,
    /// When OpenSSL wants to send a flight again.
    deadline: Option<Instant>,
    /// When the buffers are given back, while they are there.
    rest: Option<Instant>,
    events: VecDeque<Event>,
    early: u8,
    received: usize,
    /// What OpenSSL said when it broke off.
    fault: Option<String>,
}

/// What a peer must have shown when its handshake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demanded {
    /// A chain that was found good.
    Chain,
    /// What the context has asked for: servers may share a key with us, or be known by a fingerprint.
    AsAgreed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Established,
    Over,
}

/// What OpenSSL takes for a socket.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) incoming: Option<Bytes>,
    pub(crate) outgoing: VecDeque<Bytes>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.take().ok_or(io::ErrorKind::WouldBlock)?;
        // What does not fit is lost, as with a socket.
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push_back(Bytes::copy_from_slice(datagram));
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DtlsAssociation {
    /// Goes on with a connection that OpenSSL has listened with, and that holds the hello with a valid cookie.
    pub(crate) fn accepted(stream: SslStream<Pipe>, mtu: usize, now: Instant) -> Self {
        let mut association = Self::new(stream, mtu, Demanded::Chain);
        association.step(now);
        association
    }

    /// Begins a handshake as the client.
    pub(crate) fn connect(mut ssl: Ssl, mtu: usize, now: Instant) -> Result<Self, openssl::error::ErrorStack> {
        ssl.set_connect_state();
        let mut association = Self::new(SslStream::new(ssl, Pipe::default())?, mtu, Demanded::AsAgreed);
        association.step(now);
        Ok(association)
    }

    fn new(stream: SslStream<Pipe>, mtu: usize, demanded: Demanded) -> Self {
        let (phase, events) = (Phase::Handshake, VecDeque::new());
        Self { stream, mtu, demanded, phase, deadline: None, rest: None, events, early: 0, received: 0, fault: None }
    }

    /// The connection, for what was agreed upon.
    pub(crate) fn ssl(&self) -> &openssl::ssl::SslRef {
        self.stream.ssl()
    }

    /// Why the handshake failed, in OpenSSL's words.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Lets OpenSSL do what it can with what is there.
    fn step(&mut self, now: Instant) {
        if self.phase == Phase::Handshake {
            match self.stream.do_handshake() {
                Ok(()) => match (found(self.stream.ssl()), self.demanded) {
                    (Some(chain), _) => self.establish(Proof::Chain(chain)),
                    (None, Demanded::AsAgreed) => self.establish(Proof::Address),
                    // OpenSSL would have to let somebody in whom it did not have judged.
                    (None, Demanded::Chain) => self.end(Closed::Certificate),
                },
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                Err(error) => {
                    self.fault = Some(error.to_string());
                    let refused = refusal(self.stream.ssl()).is_some();
                    self.end(if refused { Closed::Certificate } else { Closed::Protocol });
                }
            }
        }
        if self.phase == Phase::Established {
            if self.wake(now) { self.read() } else { self.end(Closed::Protocol) }
        }
        self.deadline = ffi::time_left(&mut self.stream).map(|left| now + left.max(SHORTEST_WAIT));
        ffi::forget_errors();
    }

    /// Takes the buffers back where they were given back; OpenSSL does not do so by itself in all cases.
    fn wake(&mut self, now: Instant) -> bool {
        let awake = self.rest.is_some() || ffi::allocate_buffers(&mut self.stream);
        self.rest = Some(now + REST_AFTER);
        awake
    }

    /// What each encrypted record takes at least: the tag, and mostly a nonce. Before there is a suite, nobody can have made one.
    fn least(&self) -> usize {
        match ffi::suite(self.stream.ssl()) {
            None => usize::MAX,
            // A tag of half the length behind a nonce, or no nonce.
            Some(name) if name.ends_with("CCM8") || name.contains("CHACHA20") => 16,
            Some(_) => 8 + 16,
        }
    }

    fn establish(&mut self, proof: Proof) {
        self.phase = Phase::Established;
        self.events.push_back(Event::Established(proof));
    }

    fn read(&mut self) {
        let mut buffer = [0; MAX_PLAINTEXT];
        loop {
            match self.stream.ssl_read(&mut buffer) {
                Ok(length) => self.events.push_back(Event::Data(Bytes::copy_from_slice(&buffer[..length]))),
                Err(error) if error.code() == ErrorCode::WANT_READ => return,
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    // RFC 5246 §7.2.1: a goodbye is answered with one.
                    self.goodbye();
                    return self.end(Closed::Peer);
                }
                Err(_) => return self.end(Closed::Protocol),
            }
        }
    }

    fn goodbye(&mut self) {
        // It is sent or it is not; in both cases there is nobody any more.
        drop(self.stream.shutdown());
    }

    fn end(&mut self, why: Closed) {
        self.phase = Phase::Over;
        self.events.push_back(Event::Closed(why));
    }
}

impl Association for DtlsAssociation {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if !has_room(datagram, self.least()) {
            return;
        }
        match self.phase {
            Phase::Over => return,
            Phase::Established => {}
            Phase::Handshake => {
                self.received = self.received.saturating_add(datagram.len());
                if self.received > MAX_HANDSHAKE {
                    return self.end(Closed::Protocol);
                }
                if is_encrypted(datagram) && self.stream.ssl().state_string() != KEYS_ANNOUNCED {
                    self.early = self.early.saturating_add(1);
                    if self.early > MAX_EARLY {
                        return;
                    }
                }
            }
        }
        self.stream.get_mut().incoming = Some(Bytes::copy_from_slice(datagram));
        self.step(now);
        // What OpenSSL has not asked for is of no use to it later either.
        self.stream.get_mut().incoming = None;
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Over {
            (self.deadline, self.rest) = (None, None);
            return;
        }
        if self.rest.is_some_and(|rest| rest <= now) {
            self.rest = None;
            ffi::free_buffers(&mut self.stream);
        }
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        if ffi::handle_timeout(&mut self.stream) {
            self.deadline = ffi::time_left(&mut self.stream).map(|left| now + left.max(SHORTEST_WAIT));
        } else {
            self.deadline = None;
            self.end(Closed::Timeout);
        }
    }

    fn send(&mut self, now: Instant, record: &[u8]) -> Result<(), SendError> {
        if self.phase != Phase::Established {
            return Err(SendError::Closed);
        }
        if record.len() > self.mtu.saturating_sub(OVERHEAD) {
            return Err(SendError::TooLong);
        }
        if self.wake(now) && self.stream.ssl_write(record).is_ok() {
            return Ok(());
        }
        ffi::forget_errors();
        self.end(Closed::Protocol);
        Err(SendError::Closed)
    }

    fn close(&mut self, now: Instant) {
        if self.phase == Phase::Established && self.wake(now) {
            self.goodbye();
            ffi::forget_errors();
        }
        self.phase = Phase::Over;
        (self.deadline, self.rest) = (None, None);
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.stream.get_mut().outgoing.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.rest).min()
    }
}

impl Drop for DtlsAssociation {
    fn drop(&mut self) {
        // An association that fell silent, or that its own device replaced, may be taken up again; OpenSSL would forget its session.
        // One that broke was forgotten when it did.
        if self.stream.ssl().is_init_finished() {
            self.stream.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
        }
    }
}
