//! Whether an unknown peer over plain UDP is where it says it is, before anything is kept for it (RFC 9175 §2.4).
//!
//! A source address costs an attacker nothing. So the first request of an address is only answered with 4.01 and an Echo value
//! that nobody else can know, and the request that brings the value back is let in. Nothing is remembered in between: the value
//! is a code over the address and the time, made with a key of the caller's. Whatever is answered here is no longer than what
//! it answers: nobody can be made to send more than was sent to him. RFC 9175 §2.6 would allow three times as much; we do not, and
//! the price is that a request of very few bytes leaves no room for an Echo value. Its sender is refused until it asks with more.
//!
//! Peers of DTLS have shown where they are in their handshake and do not come here.

use super::{Code, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options};
use bytes::{Bytes, BytesMut};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// A code over a message, with a secret key: a MAC cut to eight bytes.
pub trait EchoKey: Send + Sync {
    /// The code over an address and a number.
    fn code(&self, peer: &[u8], number: u64) -> [u8; LONGEST_ECHO];
}

/// The guard before the endpoints of a socket.
#[derive(Clone)]
pub struct Doorstep {
    key: Arc<dyn EchoKey>,
    began: Instant,
    lifetime: Duration,
}

/// What becomes of a datagram of an unknown address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knock {
    /// The peer is there. An endpoint may be made for it, which gets this datagram first.
    Enter,
    /// It gets an Echo value to bring back, and is forgotten.
    Challenge(Bytes),
    /// Its request is so short that an Echo value does not fit into an answer of the same length: it is refused without one,
    /// and forgotten. It gets in with a request that is long enough, as by a token or a longer path.
    TooShort(Bytes),
    /// It is rejected (RFC 7252 §4.2), and forgotten.
    Reject(Bytes),
    /// Nothing.
    Ignore,
}

impl Doorstep {
    /// A guard whose Echo values are good for one to two lifetimes.
    pub fn new(key: Arc<dyn EchoKey>, began: Instant, lifetime: Duration) -> Self {
        Self { key, began, lifetime }
    }

    /// Judges a datagram from an address, given as its bytes.
    pub fn knock(&self, now: Instant, peer: &[u8], datagram: &Bytes, limits: &Limits) -> Knock {
        let asked = match Datagram::parse(datagram.clone(), limits) {
            Ok(asked) => asked,
            Err(error) => return error.reset().map_or(Knock::Ignore, reject),
        };
        match asked.kind {
            Kind::Acknowledgement | Kind::Reset => Knock::Ignore,
            Kind::Confirmable | Kind::NonConfirmable if asked.message.code.is_request() => self.request(now, peer, datagram.len(), &asked),
            // RFC 7252 §4.2, §4.3: an answer to nothing, and a ping.
            Kind::Confirmable => reject(asked.id),
            Kind::NonConfirmable => Knock::Ignore,
        }
    }

    fn request(&self, now: Instant, peer: &[u8], length: usize, asked: &Datagram) -> Knock {
        let number = self.number(now);
        if let Some(echo) = asked.message.options.first(OptionNumber::ECHO)
            && [number, number.wrapping_sub(1)].iter().any(|number| matches(echo, &self.key.code(peer, *number)))
        {
            return Knock::Enter;
        }
        let kind = if asked.kind == Kind::Confirmable { Kind::Acknowledgement } else { Kind::NonConfirmable };
        let bare = Datagram { kind, id: asked.id, message: Message::new(Code::UNAUTHORIZED, asked.message.token) };
        let room = length.saturating_sub(bare.encoded_length() + OPTION_HEADER).min(LONGEST_ECHO);
        let code = self.key.code(peer, number);
        match code.get(..room).filter(|echo| echo.len() >= SHORTEST_ECHO) {
            Some(echo) => {
                let options = Options::builder().push(OptionNumber::ECHO, echo).map(|options| options.build()).unwrap_or_default();
                Knock::Challenge(encoded(&Datagram { message: bare.message.with_options(options), ..bare }))
            }
            None => Knock::TooShort(encoded(&bare)),
        }
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / self.lifetime.as_secs().max(1)
    }
}

impl fmt::Debug for Doorstep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorstep").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

fn reject(id: MessageId) -> Knock {
    Knock::Reject(encoded(&Datagram::empty(Kind::Reset, id)))
}

fn encoded(datagram: &Datagram) -> Bytes {
    let mut bytes = BytesMut::with_capacity(datagram.encoded_length());
    datagram.encode(&mut bytes);
    bytes.freeze()
}

/// Whether a value is the beginning of the code. It takes as long for a wrong value as for a right one.
fn matches(echo: &[u8], code: &[u8]) -> bool {
    (SHORTEST_ECHO..=LONGEST_ECHO).contains(&echo.len()) && echo.iter().zip(code).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

/// How long an Echo value of ours is, where the request leaves room for it.
pub const LONGEST_ECHO: usize = 8;
/// A shorter one could be guessed: this one takes eight million datagrams, and lets one address in.
const SHORTEST_ECHO: usize = 3;
/// RFC 7252 §3.1: number 252 behind nothing takes one byte more.
const OPTION_HEADER: usize = 2;
