//! What a way to secure datagrams has to do for the sockets that carry them.
//!
//! An [`Engine`] meets strangers and an [`Association`] is the conversation with one peer. Both are free of sockets and
//! clocks: they take datagrams and the time, and give datagrams, events and the next deadline. [`Associations`] drives
//! them; there is one engine for DTLS, one for datagrams as they are, and room for others.
//!
//! [`Associations`]: super::associations::Associations

use bytes::Bytes;
use gatehouse_pki::VerifiedChain;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Tells datagrams apart and makes associations.
pub(crate) trait Engine: Send + 'static {
    /// The conversation with one peer.
    type Association: Association;

    /// A peer that has proved nothing keeps its place at least so long when others want it.
    const PATIENCE: Duration;

    /// What a datagram looks like from outside. Decides nothing but whom it is given to.
    fn class(&self, datagram: &[u8]) -> Class;

    /// Whether a stranger's datagram, by itself, is of the sort that takes time to [meet](Self::meet).
    fn takes_time(&self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool;

    /// Looks at the datagram of a stranger. Keeps nothing about an address that has not proved to be the sender's.
    fn meet(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Meeting<Self::Association>;
}

/// What a datagram looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It begins an association; the bytes are the peer's for this one attempt.
    Hello([u8; 32]),
    /// It belongs to an association that is being made.
    Handshake,
    /// It belongs to an association that is made.
    Record,
    /// It is nothing that is spoken here.
    Noise,
}

/// What comes of a stranger's datagram.
#[derive(Debug)]
pub(crate) enum Meeting<A> {
    /// Nothing.
    Ignored,
    /// An answer, and nothing is kept.
    Answered(Bytes),
    /// A conversation, which has taken in the datagram.
    Begun(A),
}

/// The conversation with one peer.
pub(crate) trait Association: Send + 'static {
    /// Takes in a datagram of the peer.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]);

    /// Does what was due.
    fn handle_timeout(&mut self, now: Instant);

    /// Sends one record.
    ///
    /// # Errors
    /// It cannot be sent now or in this size.
    fn send(&mut self, now: Instant, record: &[u8]) -> Result<(), SendError>;

    /// Takes leave. What is to be told to the peer is still asked for by `poll_transmit`; nothing else follows.
    fn close(&mut self, now: Instant);

    /// The next datagram for the peer.
    fn poll_transmit(&mut self) -> Option<Bytes>;

    /// The next thing that happened.
    fn poll_event(&mut self) -> Option<Event>;

    /// When to call `handle_timeout`.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What happened in an association.
#[derive(Debug)]
pub(crate) enum Event {
    /// Records can be exchanged, in the protocol that both ends agreed on in their handshake, where they did (RFC 7301).
    Established { proof: Proof, alpn: Option<Vec<u8>> },
    /// One record of the peer.
    Data(Bytes),
    /// It is over.
    Closed(Closed),
}

/// What a peer has proved when records can be exchanged.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// Nothing: anybody can write any sender on a datagram.
    Nothing,
    /// That it receives what is sent to its address, and nothing more.
    Address,
    /// That it holds the key of a certificate.
    Chain(Arc<VerifiedChain>),
}

/// Why an association is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer took leave, or broke off.
    Peer,
    /// We took leave.
    Local,
    /// The peer was silent for as long as configuration allows.
    Idle,
    /// The handshake did not come to its end in time.
    Timeout,
    /// The peer's certificate was refused.
    Certificate,
    /// The peer does not speak the protocol as we do.
    Protocol,
    /// Another peer needed the place more.
    Evicted,
    /// The peer began anew and finished a handshake.
    Replaced,
    /// There was no place when the handshake was finished.
    Refused,
}

impl Closed {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Local => "local",
            Self::Idle => "idle",
            Self::Timeout => "timeout",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Refused => "refused",
        }
    }
}

/// Why a record was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The association is over, or not yet made.
    #[error("the peer is not connected")]
    Closed,
    /// It does not fit into a datagram of `mtu` bytes.
    #[error("the message does not fit into one datagram")]
    TooLong,
    /// As much waits to be sent as configuration allows.
    #[error("too much waits to be sent")]
    Full,
}
