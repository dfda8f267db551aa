//! Shows every message that comes and goes, as it is on the wire, to whoever wants to see, and what a server presented before.
//!
//! Messages are seen as they are after decryption and before anything is done with them, copies and broken ones included.

use bytes::{Bytes, BytesMut};
use gatehouse_net::Peer;
use gatehouse_wire::coap::{Datagram, Limits, Message, tcp};
use std::fmt;

/// Sees messages. It is called in the task of the connection, and so it must not block for long.
pub trait Tap: Send + Sync {
    /// A message came or went.
    fn see(&self, direction: Direction, seen: &Seen);

    /// The server has presented these certificates in DER, its own first, and is not believed yet. Called inside the handshake.
    fn presented(&self, _certificates: &[&[u8]]) {}

    /// The handshake is done: with whom, and what was agreed on.
    fn secured(&self, _server: &Peer) {}
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Sent,
    /// From the server.
    Received,
}

/// A message with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum Seen {
    /// A datagram.
    Datagram(Datagram, Bytes),
    /// A message of a stream.
    Frame(Message, Bytes),
    /// Bytes that are no message, and why.
    Broken(String, Bytes),
}

impl Seen {
    /// The bytes on the wire, without encryption.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Datagram(_, bytes) | Self::Frame(_, bytes) | Self::Broken(_, bytes) => bytes,
        }
    }

    pub(crate) fn datagram(bytes: Bytes) -> Self {
        match Datagram::parse(bytes.clone(), &Limits::default()) {
            Ok(datagram) => Self::Datagram(datagram, bytes),
            Err(error) => Self::Broken(error.to_string(), bytes),
        }
    }

    /// One message that is sent, and so is whole.
    pub(crate) fn frame(bytes: Bytes) -> Self {
        let everything = Limits { message: usize::MAX, options: usize::MAX };
        match tcp::Decoder::new(everything).decode(&mut BytesMut::from(&bytes[..])) {
            Ok(Some(message)) => Self::Frame(message, bytes),
            Ok(None) => Self::Broken("the message is cut off".to_owned(), bytes),
            Err(error) => Self::Broken(error.to_string(), bytes),
        }
    }
}

/// Payloads hold secrets: only sizes are shown.
impl fmt::Debug for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagram(datagram, _) => datagram.fmt(out),
            Self::Frame(message, _) => message.fmt(out),
            Self::Broken(why, bytes) => write!(out, "{why} ({} bytes)", bytes.len()),
        }
    }
}

/// Cuts a stream into the messages that a tap sees.
#[derive(Debug)]
pub(crate) struct Frames {
    decoder: tcp::Decoder,
    arrived: BytesMut,
    broken: bool,
}

impl Frames {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { decoder: tcp::Decoder::new(limits), arrived: BytesMut::new(), broken: false }
    }

    /// The messages that are whole with these bytes. After one that is broken nothing can be told apart any more.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        self.arrived.extend_from_slice(bytes);
        while !self.broken && !self.arrived.is_empty() {
            let before = Bytes::copy_from_slice(&self.arrived);
            match self.decoder.decode(&mut self.arrived) {
                Ok(Some(message)) => seen.push(Seen::Frame(message, before.slice(..before.len() - self.arrived.len()))),
                Ok(None) => break,
                Err(error) => {
                    self.broken = true;
                    seen.push(Seen::Broken(error.to_string(), before));
                }
            }
        }
        if self.broken {
            self.arrived.clear();
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_wire::coap::{Code, Token};

    #[test]
    fn a_stream_is_seen_as_its_messages_wherever_it_is_cut() {
        let mut stream = BytesMut::new();
        let messages = [Message::new(Code::CSM, Token::EMPTY), Message::new(Code::GET, Token::from([7; 8])).with_payload("body")];
        messages.iter().for_each(|message| tcp::encode(message, &mut stream));
        for at in 0..=stream.len() {
            let mut frames = Frames::new(Limits::default());
            let seen = [frames.add(&stream[..at]), frames.add(&stream[at..])].concat();
            let found: Vec<_> = seen.iter().map(|seen| matches!(seen, Seen::Frame(message, _) if messages.contains(message))).collect();
            assert_eq!(found, [true, true], "cut at {at}: {seen:?}");
            assert_eq!(seen.iter().map(|seen| seen.bytes().len()).sum::<usize>(), stream.len());
        }
    }

    #[test]
    fn what_follows_a_broken_message_is_not_collected() {
        let mut frames = Frames::new(Limits::default());
        assert!(matches!(frames.add(&[0x0f, 1, 2, 3])[..], [Seen::Broken(..)]));
        assert!(frames.add(&[0; 1000]).is_empty());
        assert!(frames.arrived.is_empty());
    }
}
