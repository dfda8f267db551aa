//! Messages in a stream (RFC 8323 §3.2).
//!
//! The [`Decoder`] takes whatever has arrived and yields whole messages. It looks at the announced length before it makes
//! room for anything, and makes room in small steps: a peer that announces much and sends little occupies little.

use super::{Code, Limits, Message, OptionRule, Options, Token, option_format::MARKER};
use bytes::{Buf, BufMut, BytesMut};

/// Cuts a stream into messages.
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    broken: Option<FrameError>,
}

/// Why a stream cannot be read on. The connection is aborted (RFC 8323 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct FrameError {
    /// The rule that is broken.
    pub rule: FrameRule,
    /// Code and token of the message, where they could be read: a request may get a last answer.
    pub header: Option<(Code, Token)>,
}

/// The rules of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FrameRule {
    /// RFC 8323 §3.2, RFC 7252 §3: lengths 9 to 15 are reserved.
    #[error("the token is longer than eight bytes")]
    Token,
    /// Longer than [`Limits`] allows, which the peer was told in our CSM (RFC 8323 §5.3.1).
    #[error("a message of {length} bytes is longer than {limit}")]
    Long {
        /// How long the message is, with its header.
        length: u64,
        /// How long it may be.
        limit: usize,
    },
    /// RFC 7252 §12.1: classes 1 and 6 are reserved.
    #[error("the code is of a reserved class")]
    Class,
    /// Its options, or the payload behind them.
    #[error("{0}")]
    Options(OptionRule),
}

impl Decoder {
    /// A decoder for the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, broken: None }
    }

    /// Takes one message from the front of what has arrived, if it is there whole. Empty messages (0.00) come out too; a
    /// receiver ignores them (RFC 8323 §3.4). After an error nothing comes out but that error.
    pub fn decode(&mut self, arrived: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        match self.broken {
            Some(error) => Err(error),
            None => self.frame(arrived).inspect_err(|error| self.broken = Some(*error)),
        }
    }

    fn frame(&self, arrived: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        let Some(head) = Head::read(arrived)? else { return Ok(None) };
        let broken = |rule| FrameError { rule, header: Some((head.code, head.token)) };
        let total = head.length as u64 + head.body;
        let whole = usize::try_from(total).ok().filter(|total| *total <= self.limits.message);
        let whole = whole.ok_or_else(|| broken(FrameRule::Long { length: total, limit: self.limits.message }))?;
        if matches!(head.code.class(), 1 | 6) {
            return Err(broken(FrameRule::Class));
        }
        if arrived.len() < whole {
            arrived.reserve((whole - arrived.len()).min(RESERVE_STEP));
            return Ok(None);
        }
        let mut frame = arrived.split_to(whole).freeze();
        frame.advance(head.length);
        let (options, payload) = Options::split(frame, self.limits.options).map_err(|rule| broken(FrameRule::Options(rule)))?;
        Ok(Some(Message { code: head.code, token: head.token, options, payload }))
    }
}

/// What stands before the options of a frame.
struct Head {
    code: Code,
    token: Token,
    /// Its own length.
    length: usize,
    /// The length of options and payload.
    body: u64,
}

impl Head {
    /// `None` while it is not there whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let token_length = usize::from(first & 15);
        if token_length > Token::MAX {
            return Err(FrameError { rule: FrameRule::Token, header: None });
        }
        let (extension, base) = match first >> 4 {
            13 => (1, LENGTH_8),
            14 => (2, LENGTH_16),
            15 => (4, LENGTH_32),
            nibble => (0, u64::from(nibble)),
        };
        let Some((extended, rest)) = rest.split_at_checked(extension) else { return Ok(None) };
        let Some((&code, rest)) = rest.split_first() else { return Ok(None) };
        let Some(token) = rest.get(..token_length) else { return Ok(None) };
        let token = Token::new(token).map_err(|_| FrameError { rule: FrameRule::Token, header: None })?;
        let body = base + extended.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Ok(Some(Self { code: Code::from_byte(code), token, length: 2 + extension + token_length, body }))
    }
}

/// How many bytes a message takes on the wire.
pub fn encoded_length(message: &Message) -> usize {
    let body = message.body_length();
    let extension = match body as u64 {
        0..LENGTH_8 => 0,
        LENGTH_8..LENGTH_16 => 1,
        LENGTH_16..LENGTH_32 => 2,
        _ => 4,
    };
    2 + extension + message.token.len() + body
}

/// Appends a message to `into`. A body of 4 GiB and more, which no frame can announce, is cut off nowhere: senders have a
/// limit far below it.
pub fn encode(message: &Message, into: &mut BytesMut) {
    into.reserve(encoded_length(message));
    let Message { code, token, options, payload } = message;
    let (body, token_length) = (message.body_length() as u64, token.len() as u8);
    match body {
        0..LENGTH_8 => into.put_u8((body as u8) << 4 | token_length),
        LENGTH_8..LENGTH_16 => {
            into.put_u8(13 << 4 | token_length);
            into.put_u8((body - LENGTH_8) as u8);
        }
        LENGTH_16..LENGTH_32 => {
            into.put_u8(14 << 4 | token_length);
            into.put_u16((body - LENGTH_16) as u16);
        }
        _ => {
            into.put_u8(15 << 4 | token_length);
            into.put_u32((body - LENGTH_32) as u32);
        }
    }
    into.put_u8(code.byte());
    into.put_slice(token.as_bytes());
    into.put_slice(options.encoded());
    if !payload.is_empty() {
        into.put_u8(MARKER);
        into.put_slice(payload);
    }
}

/// The least lengths that one, two and four more bytes announce (RFC 8323 §3.2).
const LENGTH_8: u64 = 13;
const LENGTH_16: u64 = 269;
const LENGTH_32: u64 = 65_805;
/// How much room is made at once for what has not arrived yet.
const RESERVE_STEP: usize = 4096;

#[cfg(test)]
mod tests;
