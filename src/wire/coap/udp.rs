//! A message in a datagram (RFC 7252 §3).

use super::{Code, Limits, Message, OptionRule, Options, Token, option_format::MARKER};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// A message with what UDP needs beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// How it is delivered.
    pub kind: Kind,
    /// Ties acknowledgement and reset to it, and tells a copy from a new one.
    pub id: MessageId,
    /// What it says.
    pub message: Message,
}

/// How a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Repeated until it is acknowledged.
    Confirmable,
    /// Sent and forgotten.
    NonConfirmable,
    /// Answers a confirmable message.
    Acknowledgement,
    /// Says that a message cannot be placed.
    Reset,
}

/// The id of a message between two endpoints (RFC 7252 §4.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u16);

/// Why a datagram is none of ours, or a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct DatagramError {
    /// The rule that it breaks.
    pub rule: Rule,
    /// What could be read of it. Absent where the datagram has to be ignored silently.
    pub header: Option<Header>,
}

/// The front of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it was delivered.
    pub kind: Kind,
    /// Its id.
    pub id: MessageId,
    /// Its code.
    pub code: Code,
    /// Its token, as far as it has one that can be read.
    pub token: Option<Token>,
}

/// The rules of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rule {
    /// Fewer than four bytes.
    #[error("the datagram is shorter than a header")]
    Short,
    /// Longer than [`Limits`] allows.
    #[error("the datagram is too long")]
    Long,
    /// RFC 7252 §3: another version than 1, which has to be ignored silently.
    #[error("the datagram is of another version")]
    Version,
    /// RFC 7252 §3: lengths 9 to 15 are reserved, and a shorter token has to be there.
    #[error("the token is longer than eight bytes or than the datagram")]
    Token,
    /// RFC 7252 §4.2: classes 1, 6 and 7 are reserved.
    #[error("the code is of a reserved class")]
    Class,
    /// RFC 7252 §4.1: an empty message is its header and nothing else.
    #[error("an empty message is followed by something")]
    Empty,
    /// Its options, or the payload behind them.
    #[error("{0}")]
    Options(OptionRule),
}

impl Datagram {
    /// An empty message: acknowledgement, reset, or a confirmable one that asks for a sign of life (RFC 7252 §4.3).
    pub fn empty(kind: Kind, id: MessageId) -> Self {
        Self { kind, id, message: Message::new(Code::EMPTY, Token::EMPTY) }
    }

    /// Reads a datagram whole.
    pub fn parse(mut bytes: Bytes, limits: &Limits) -> Result<Self, DatagramError> {
        let silent = |rule| DatagramError { rule, header: None };
        let &[first, code, high, low, ref rest @ ..] = &bytes[..] else { return Err(silent(Rule::Short)) };
        if first >> 6 != VERSION {
            return Err(silent(Rule::Version));
        }
        let (code, id, kind) = (Code::from_byte(code), MessageId(u16::from_be_bytes([high, low])), Kind::from_bits(first >> 4));
        let token_length = usize::from(first & 15);
        let token = rest.get(..token_length).and_then(|token| Token::new(token).ok());
        let broken = |rule| DatagramError { rule, header: Some(Header { kind, id, code, token }) };
        if bytes.len() > limits.message {
            return Err(broken(Rule::Long));
        }
        if matches!(code.class(), 1 | 6 | 7) {
            return Err(broken(Rule::Class));
        }
        if code.is_empty() && (token_length > 0 || !rest.is_empty()) {
            return Err(broken(Rule::Empty));
        }
        let token = token.ok_or_else(|| broken(Rule::Token))?;
        bytes.advance(HEADER + token_length);
        let (options, payload) = Options::split(bytes, limits.options).map_err(|rule| broken(Rule::Options(rule)))?;
        Ok(Self { kind, id, message: Message { code, token, options, payload } })
    }

    /// How many bytes it takes on the wire.
    pub fn encoded_length(&self) -> usize {
        if self.message.code.is_empty() { HEADER } else { HEADER + self.message.token.len() + self.message.body_length() }
    }

    /// Appends it to `into`. Of an empty message the header alone is written.
    pub fn encode(&self, into: &mut BytesMut) {
        into.reserve(self.encoded_length());
        let Message { code, token, options, payload } = &self.message;
        let token = if code.is_empty() { &Token::EMPTY } else { token };
        into.put_u8(VERSION << 6 | self.kind.bits() << 4 | token.len() as u8);
        into.put_u8(code.byte());
        into.put_u16(self.id.0);
        if code.is_empty() {
            return;
        }
        into.put_slice(token.as_bytes());
        into.put_slice(options.encoded());
        if !payload.is_empty() {
            into.put_u8(MARKER);
            into.put_slice(payload);
        }
    }
}

impl DatagramError {
    /// The message that a reset has to name: a confirmable one that cannot be processed (RFC 7252 §4.2). A
    /// non-confirmable one may be answered in the same way (§4.3); acknowledgements and resets never are.
    pub fn reset(&self) -> Option<MessageId> {
        self.header.filter(|header| header.kind == Kind::Confirmable).map(|header| header.id)
    }
}

impl Kind {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }
}

impl MessageId {
    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

const VERSION: u8 = 1;
const HEADER: usize = 4;

#[cfg(test)]
mod tests;
