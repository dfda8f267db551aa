//! One DTLS association, at either end.
//!
//! OpenSSL does the handshake. It reads datagrams from a [`Pipe`] and writes them to it, and does nothing by itself: whoever holds the
//! association brings datagrams and calls when a deadline is over. OpenSSL asks the system for the time when it sets the
//! timers of a handshake; the deadlines that are told here are made of what it says is left.
//!
//! When a server's handshake is finished, [`Connected`] goes on and OpenSSL's part is freed. Clients, of which there are few, stay with it,
//! and so do the rare peers that have asked for short records. What anybody writes under a peer's address keeps nobody there: as soon as
//! both ends have keys, OpenSSL gets of the encrypted records only those that the peer has made.

use super::{
    connected::Connected,
    protection::{Agreed, Progress, Protection, Suite, may_be_early},
    record::{has_plain_alert, has_room, is_encrypted, part},
    sessions::Sessions,
};
use crate::{
    openssl::{ffi, found, refusal},
    udp::engine::{Association, Closed, Event, Proof, SendError},
};
use bytes::Bytes;
use gatehouse_types::Secret;
use openssl::ssl::{ErrorCode, Ssl, SslRef, SslStream};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

/// What a record takes beside its content: its head, and eight bytes of nonce and sixteen of tag, which is the most that
/// any of the suites takes.
pub(crate) const OVERHEAD: usize = 13 + 8 + 16;

/// No record holds more (RFC 5246 §6.2.1).
const MAX_PLAINTEXT: usize = 16_384;

/// Encrypted records that are kept for when there are keys for them, because the network has changed their order. OpenSSL would
/// keep a hundred, each in a buffer of its own of 16 kB.
const MAX_EARLY: usize = 4;

/// Records that say something and have overtaken the end of the handshake. OpenSSL would keep a hundred of them, too.
const MAX_OVERTAKEN: usize = 4;

/// How OpenSSL calls the state in which the peer has announced its keys, so that encrypted datagrams are not early any more.
const KEYS_ANNOUNCED: &str = "TRCCS";

/// All that OpenSSL takes in before a handshake is over: several times what chain and repetitions are long.
const MAX_HANDSHAKE: usize = 96 * 1024;

/// A master secret (RFC 5246 §8.1).
const MASTER: usize = 48;

/// Content type (RFC 5246 §6.2.1).
const APPLICATION_DATA: u8 = 23;

/// The random bytes of either side.
const RANDOM: usize = 32;

/// A deadline of OpenSSL's is at least so far away, so that a timer that it finds to be not quite over is not asked for in a
/// circle.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// After this time without a record an association on OpenSSL gives its buffers back, which is a third of what it takes. In a server's
/// handshake they go back whenever it waits: crowds that wait are what peers can make us hold.
const REST_AFTER: Duration = Duration::from_secs(10);

/// A conversation with one peer.
pub(crate) struct DtlsAssociation(State);

enum State {
    OpenSsl(Box<OnOpenSsl>),
    Connected(Connected),
}

/// A conversation that OpenSSL does.
struct OnOpenSsl {
    stream: SslStream<Pipe>,
    mtu: usize,
    demanded: Demanded,
    phase: Phase,
    /// The encrypted records that came before there were keys.
    early: Vec<Bytes>,
    /// How many records have overtaken the end of the handshake.
    overtaken: usize,
    /// A server's keys, once both ends have them, and with them which records came.
    keys: Option<Protection>,
    /// Whether somebody else goes on behind the handshake. It is tried once: from then on OpenSSL reads what nobody else counts.
    may_hand_over: bool,
    /// Where a server's sessions are.
    sessions: Option<Arc<Sessions>>,
    /// When OpenSSL wants to send a flight again.
    deadline: Option<Instant>,
    /// When the buffers are given back, while they are there.
    rest: Option<Instant>,
    events: VecDeque<Event>,
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
    sent: Progress,
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
        self.sent.note(datagram);
        self.outgoing.push_back(Bytes::copy_from_slice(datagram));
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DtlsAssociation {
    /// Goes on with a connection that OpenSSL has listened with, and that holds the hello with a valid cookie.
    pub(crate) fn accepted(stream: SslStream<Pipe>, mtu: usize, now: Instant, sessions: Arc<Sessions>) -> Self {
        let mut begun = OnOpenSsl::new(stream, mtu, Demanded::Chain, Some(sessions));
        begun.step(now);
        Self(State::OpenSsl(Box::new(begun)))
    }

    /// Begins a handshake as the client.
    pub(crate) fn connect(mut ssl: Ssl, mtu: usize, now: Instant) -> Result<Self, openssl::error::ErrorStack> {
        ssl.set_connect_state();
        let mut begun = OnOpenSsl::new(SslStream::new(ssl, Pipe::default())?, mtu, Demanded::AsAgreed, None);
        begun.step(now);
        Ok(Self(State::OpenSsl(Box::new(begun))))
    }

    /// The connection, for what was agreed upon, while OpenSSL has it: at a client's end, always.
    pub(crate) fn ssl(&self) -> Option<&SslRef> {
        match &self.0 {
            State::OpenSsl(begun) => Some(begun.stream.ssl()),
            State::Connected(_) => None,
        }
    }

    /// Why the peer broke off, in OpenSSL's words, while OpenSSL has it.
    pub(crate) fn fault(&self) -> Option<&str> {
        match &self.0 {
            State::OpenSsl(begun) => begun.fault.as_deref(),
            State::Connected(_) => None,
        }
    }

    /// A client's end behind its handshake, so that tests say what OpenSSL would not.
    #[cfg(test)]
    pub(super) fn clients_protection(&self) -> Option<Protection> {
        match &self.0 {
            State::OpenSsl(begun) => Some(begun.agreed()?.go_on(begun.stream.get_ref().sent)?.turned()),
            State::Connected(_) => None,
        }
    }

    /// Goes on without OpenSSL where that is possible.
    fn hand_over(&mut self) {
        if let State::OpenSsl(begun) = &mut self.0
            && let Some(connected) = begun.connected()
        {
            self.0 = State::Connected(connected);
        }
    }
}

impl OnOpenSsl {
    fn new(stream: SslStream<Pipe>, mtu: usize, demanded: Demanded, sessions: Option<Arc<Sessions>>) -> Self {
        Self {
            stream,
            mtu,
            demanded,
            phase: Phase::Handshake,
            early: Vec::new(),
            overtaken: 0,
            keys: None,
            may_hand_over: sessions.is_some(),
            sessions,
            deadline: None,
            rest: None,
            events: VecDeque::new(),
            received: 0,
            fault: None,
        }
    }

    /// What goes on from here, once a server's handshake is finished and OpenSSL has told all that it has read.
    fn connected(&mut self) -> Option<Connected> {
        if self.phase != Phase::Established || !std::mem::take(&mut self.may_hand_over) {
            return None;
        }
        self.keys();
        let (keys, sessions) = (self.keys.take()?, self.sessions.clone()?);
        let ssl = self.stream.ssl();
        // A client whose buffers are small is left to who heeds them.
        if ffi::limits_fragments(ssl) {
            return None;
        }
        let id = ssl.session()?.id().to_vec();
        let protection = keys.go_on(self.stream.get_ref().sent)?;
        let (events, outgoing) = (std::mem::take(&mut self.events), self.stream.get_ref().outgoing.clone());
        Some(Connected::new(protection, self.mtu, outgoing, events, sessions, id))
    }

    /// A server's keys, once the client has announced its own. What came early counts as come.
    fn keys(&mut self) -> Option<&mut Protection> {
        if self.keys.is_none() && self.sessions.is_some() {
            let mut keys = self.agreed()?;
            for record in self.early.drain(..) {
                // What it says OpenSSL hears, or nobody.
                drop(keys.open(&record));
            }
            self.keys = Some(keys);
        }
        self.keys.as_mut()
    }

    /// A server's end of what the handshake has agreed on.
    fn agreed(&self) -> Option<Protection> {
        let ssl = self.stream.ssl();
        let (mut master, mut client_random, mut server_random) = (vec![0; MASTER], [0; RANDOM], [0; RANDOM]);
        let lengths =
            (ssl.session()?.master_key(&mut master), ssl.client_random(&mut client_random), ssl.server_random(&mut server_random));
        let master = Secret::new(master);
        if lengths != (MASTER, RANDOM, RANDOM) {
            return None;
        }
        let suite = Suite::named(ffi::suite(ssl)?)?;
        let agreed = Agreed { suite, master: master.expose(), client_random: &client_random, server_random: &server_random };
        Protection::new(&agreed)
    }

    /// Lets OpenSSL do what it can with what is there.
    fn step(&mut self, now: Instant) {
        // What others on this thread left in OpenSSL's queue would be taken for a fault of this peer's.
        ffi::forget_errors();
        if self.phase == Phase::Handshake {
            if !ffi::allocate_buffers(&mut self.stream) {
                return self.end(Closed::Protocol);
            }
            match self.stream.do_handshake() {
                Ok(()) => match (found(self.stream.ssl()), self.demanded) {
                    (Some(chain), _) => self.establish(Proof::Chain(chain)),
                    (None, Demanded::AsAgreed) => self.establish(Proof::Address),
                    // OpenSSL would have to let somebody in whom it did not have judged.
                    (None, Demanded::Chain) => self.end(Closed::Certificate),
                },
                Err(error) if error.code() == ErrorCode::WANT_READ => self.pause(),
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

    /// Gives OpenSSL a datagram, or a part of it.
    fn take(&mut self, now: Instant, part: &[u8]) {
        self.stream.get_mut().incoming = Some(Bytes::copy_from_slice(part));
        self.step(now);
        // What OpenSSL has not asked for is of no use to it later either.
        self.stream.get_mut().incoming = None;
    }

    /// Whether OpenSSL is to get an encrypted record of the handshake.
    fn hears(&mut self, record: &[u8]) -> bool {
        if self.stream.ssl().state_string() != KEYS_ANNOUNCED {
            let is_known = self.early.iter().any(|known| known == record);
            let hears = may_be_early(record) && (is_known || self.early.len() < MAX_EARLY);
            if hears && !is_known {
                self.early.push(Bytes::copy_from_slice(record));
            }
            return hears;
        }
        let overtakes = record.first() == Some(&APPLICATION_DATA);
        if overtakes && self.overtaken == MAX_OVERTAKEN {
            return false;
        }
        // A client's end has OpenSSL alone.
        let hears = self.keys().is_none_or(|keys| keys.open(record).is_ok());
        self.overtaken += usize::from(overtakes && hears);
        hears
    }

    /// Takes in a datagram up to the end of the handshake. What is behind that is the answer.
    fn shake_hands<'a>(&mut self, now: Instant, datagram: &'a [u8]) -> &'a [u8] {
        // Nobody could refuse a certificate where none is presented: an alert in the clear is a stranger's (RFC 6347 §4.1.2.7).
        if self.sessions.is_some() && self.stream.ssl().session_reused() && has_plain_alert(datagram) {
            return &[];
        }
        let mut rest = datagram;
        while !rest.is_empty() && self.phase == Phase::Handshake {
            let (part, behind) = part(rest);
            if has_room(part, self.least()) && (!is_encrypted(part) || self.hears(part)) {
                self.received = self.received.saturating_add(part.len());
                if self.received > MAX_HANDSHAKE {
                    self.end(Closed::Protocol);
                } else {
                    self.take(now, part);
                }
            }
            rest = behind;
        }
        rest
    }

    /// Gives the buffers back while a server waits for more of a handshake.
    fn pause(&mut self) {
        if self.phase == Phase::Handshake && self.sessions.is_some() {
            ffi::free_buffers(&mut self.stream);
        }
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
        let alpn = self.stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec);
        self.events.push_back(Event::Established { proof, alpn });
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
                Err(error) => {
                    // RFC 5246 §7.2: what has failed must not be taken up.
                    if let (Some(sessions), Some(session)) = (&self.sessions, self.stream.ssl().session()) {
                        sessions.forget(session.id());
                    }
                    self.fault = Some(error.to_string());
                    return self.end(Closed::Protocol);
                }
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
        match &mut self.0 {
            State::OpenSsl(begun) if begun.phase == Phase::Handshake => {
                let rest = begun.shake_hands(now, datagram);
                self.hand_over();
                if !rest.is_empty() {
                    self.handle_datagram(now, rest);
                }
            }
            State::OpenSsl(begun) => begun.hear(now, datagram),
            State::Connected(connected) => connected.handle_datagram(datagram),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.0 {
            State::OpenSsl(begun) => begun.handle_timeout(now),
            State::Connected(_) => {}
        }
    }

    fn send(&mut self, now: Instant, record: &[u8]) -> Result<(), SendError> {
        match &mut self.0 {
            State::OpenSsl(begun) => begun.send(now, record),
            State::Connected(connected) => connected.send(record),
        }
    }

    fn close(&mut self, now: Instant) {
        match &mut self.0 {
            State::OpenSsl(begun) => begun.close(now),
            State::Connected(connected) => connected.close(),
        }
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            State::OpenSsl(begun) => begun.poll_transmit(),
            State::Connected(connected) => connected.outgoing.pop_front(),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match &mut self.0 {
            State::OpenSsl(begun) => begun.poll_event(),
            State::Connected(connected) => connected.events.pop_front(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.0 {
            State::OpenSsl(begun) => begun.poll_timeout(),
            State::Connected(_) => None,
        }
    }
}

/// What an association is asked, as far as OpenSSL answers it.
impl OnOpenSsl {
    /// Takes in a datagram behind the handshake.
    fn hear(&mut self, now: Instant, datagram: &[u8]) {
        if self.phase == Phase::Established && has_room(datagram, self.least()) {
            self.take(now, datagram);
        }
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
        if ffi::allocate_buffers(&mut self.stream) && ffi::handle_timeout(&mut self.stream) {
            self.pause();
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
