//! How options stand in a message: one step of the parser that both transports use, and its opposite (RFC 7252 §3.1).

use super::OptionNumber;
use bytes::{BufMut, BytesMut};

/// What is wrong with the options of a message. Each is a message format error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OptionRule {
    /// RFC 7252 §3.1: a delta of 15 in a byte that is not the payload marker.
    #[error("an option has the reserved delta 15")]
    Delta,
    /// RFC 7252 §3.1: a length of 15.
    #[error("an option has the reserved length 15")]
    Length,
    /// RFC 7252 §5.4.6: numbers end at 65535.
    #[error("an option number is beyond 65535")]
    Number,
    /// The message ends within an option.
    #[error("the message ends within an option")]
    Truncated,
    /// RFC 7252 §3: a payload marker with nothing behind it.
    #[error("a payload marker is followed by no payload")]
    EmptyPayload,
    /// More options than [`super::Limits`] allows.
    #[error("the message has too many options")]
    TooMany,
}

/// What stands at the front of the bytes.
pub(super) enum Step<'a> {
    /// An option, and what follows it.
    Option { number: u16, value: &'a [u8], rest: &'a [u8] },
    /// The payload marker, and what follows it.
    Payload(&'a [u8]),
    /// Nothing.
    End,
}

/// The byte between options and payload.
pub(super) const MARKER: u8 = 0xff;
/// The longest value that an option header can announce.
pub(super) const MAX_VALUE: usize = 269 + 0xffff;

/// Reads one option that follows an option of number `previous`.
#[inline]
pub(super) fn read(bytes: &[u8], previous: u16) -> Result<Step<'_>, OptionRule> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(Step::End) };
    if first == MARKER {
        return Ok(Step::Payload(rest));
    }
    let (delta, rest) = extended(first >> 4, rest, OptionRule::Delta)?;
    let (length, rest) = extended(first & 15, rest, OptionRule::Length)?;
    let number = u16::try_from(u32::from(previous) + delta).map_err(|_| OptionRule::Number)?;
    let (value, rest) = rest.split_at_checked(length as usize).ok_or(OptionRule::Truncated)?;
    Ok(Step::Option { number, value, rest })
}

#[inline]
fn extended(nibble: u8, rest: &[u8], reserved: OptionRule) -> Result<(u32, &[u8]), OptionRule> {
    match (nibble, rest) {
        (0..=12, _) => Ok((u32::from(nibble), rest)),
        (13, [byte, rest @ ..]) => Ok((u32::from(*byte) + 13, rest)),
        (14, [high, low, rest @ ..]) => Ok((u32::from(u16::from_be_bytes([*high, *low])) + 269, rest)),
        (15, _) => Err(reserved),
        _ => Err(OptionRule::Truncated),
    }
}

/// Writes an option whose number is not below `previous` and whose value is no longer than [`MAX_VALUE`].
pub(super) fn write(into: &mut BytesMut, previous: OptionNumber, number: OptionNumber, value: &[u8]) {
    debug_assert!(number >= previous && value.len() <= MAX_VALUE);
    let delta = number.0.saturating_sub(previous.0);
    let length = value.len().min(MAX_VALUE);
    into.reserve(5 + length);
    into.put_u8(nibble(usize::from(delta)) << 4 | nibble(length));
    extend(into, usize::from(delta));
    extend(into, length);
    into.put_slice(value);
}

fn nibble(value: usize) -> u8 {
    match value {
        0..=12 => value as u8,
        13..=268 => 13,
        _ => 14,
    }
}

fn extend(into: &mut BytesMut, value: usize) {
    match value {
        0..=12 => {}
        13..=268 => into.put_u8((value - 13) as u8),
        _ => into.put_u16((value - 269) as u16),
    }
}
