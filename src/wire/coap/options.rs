//! The options of a message: bytes that were checked once and are walked over in place (RFC 7252 §3.1, §5.4).

use super::{
    Block, BlockError, ContentFormat, Format, OptionNumber, OptionRule, OptionsBuilder,
    option_format::{self, Step},
};
use bytes::{Buf, Bytes};
use std::fmt;

/// All options of one message in ascending order of their numbers. Cloning shares the bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// What [`option_format::read`] accepts to its end, without a payload marker.
    encoded: Bytes,
}

/// An option that has to be treated as one that nobody knows (RFC 7252 §5.4.1, §5.4.3, §5.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{number} {why}")]
pub struct Unrecognised {
    /// Its number; a critical one makes the message refused, an elective one is passed over.
    pub number: OptionNumber,
    /// What is unusual about it.
    pub why: WhyUnrecognised,
}

/// What makes an option one that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WhyUnrecognised {
    /// The receiver does not know the number.
    #[error("is not known here")]
    Unknown,
    /// The value is shorter or longer than its number allows.
    #[error("has a value of a length that it cannot have")]
    Length,
    /// It may occur once only, and this is one too many.
    #[error("occurs more than once")]
    Repeated,
    /// Its value is text and is not UTF-8.
    #[error("is not UTF-8")]
    NotText,
}

impl Options {
    /// Starts to make options.
    pub fn builder() -> OptionsBuilder {
        OptionsBuilder::default()
    }

    /// Checks everything behind the token: the options, and the payload behind them.
    pub(super) fn split(mut bytes: Bytes, most: usize) -> Result<(Self, Bytes), OptionRule> {
        let (mut rest, mut previous, mut count) = (&bytes[..], 0, 0usize);
        let payload = loop {
            match option_format::read(rest, previous)? {
                Step::Option { number, rest: after, .. } => {
                    count += 1;
                    if count > most {
                        return Err(OptionRule::TooMany);
                    }
                    (previous, rest) = (number, after);
                }
                Step::Payload([]) => return Err(OptionRule::EmptyPayload),
                Step::Payload(payload) => break payload.len(),
                Step::End if count == 0 => return Ok((Self::default(), Bytes::new())),
                Step::End => return Ok((Self { encoded: bytes }, Bytes::new())),
            }
        };
        let payload = bytes.len() - payload;
        if count == 0 {
            bytes.advance(payload);
            return Ok((Self::default(), bytes));
        }
        let payload = bytes.split_off(payload);
        bytes.truncate(bytes.len() - 1);
        Ok((Self { encoded: bytes }, payload))
    }

    pub(super) fn from_encoded(encoded: Bytes) -> Self {
        Self { encoded }
    }

    /// Their bytes on the wire.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// All of them, as they stand.
    pub fn iter(&self) -> OptionsIter<'_> {
        OptionsIter { rest: &self.encoded, previous: 0 }
    }

    /// Every value with this number, as they stand.
    pub fn all(&self, number: OptionNumber) -> impl Iterator<Item = &[u8]> {
        self.iter().skip_while(move |(found, _)| *found < number).take_while(move |(found, _)| *found == number).map(|(_, value)| value)
    }

    /// The first value with this number. One whose length the number does not allow is passed over, as RFC 7252 §5.4.3
    /// asks; where that makes a critical option disappear, [`Options::refuse_critical`] has refused the message.
    pub fn first(&self, number: OptionNumber) -> Option<&[u8]> {
        let value = self.all(number).next()?;
        number.lengths().is_none_or(|lengths| lengths.contains(&value.len())).then_some(value)
    }

    /// Like [`Options::first`], sharing the bytes of the message.
    pub fn first_shared(&self, number: OptionNumber) -> Option<Bytes> {
        self.first(number).map(|value| self.encoded.slice_ref(value))
    }

    /// Whether the number occurs with a value that it may have.
    pub fn has(&self, number: OptionNumber) -> bool {
        self.first(number).is_some()
    }

    /// The first value with this number as a number. Leading zeros may stand (RFC 7252 §3.2).
    pub fn uint(&self, number: OptionNumber) -> Option<u32> {
        self.first(number).and_then(uint)
    }

    /// The segments of the path that a request names. One that is not UTF-8 appears as a replacement character, which no
    /// path of ours has; [`Options::refuse_critical`] refuses the message.
    pub fn path(&self) -> Segments<'_> {
        self.texts(OptionNumber::URI_PATH)
    }

    /// The arguments of a request, like [`Options::path`].
    pub fn query(&self) -> Segments<'_> {
        self.texts(OptionNumber::URI_QUERY)
    }

    /// The values of a text option, like [`Options::path`].
    pub fn texts(&self, number: OptionNumber) -> Segments<'_> {
        Segments { options: self.iter(), number }
    }

    /// What the payload is.
    pub fn content_format(&self) -> Option<ContentFormat> {
        self.uint(OptionNumber::CONTENT_FORMAT).and_then(|number| u16::try_from(number).ok()).map(ContentFormat)
    }

    /// What the client wants the payload of the answer to be.
    pub fn accept(&self) -> Option<ContentFormat> {
        self.uint(OptionNumber::ACCEPT).and_then(|number| u16::try_from(number).ok()).map(ContentFormat)
    }

    /// The number of a notification, or 0 and 1 for register and cancel in a request (RFC 7641 §2).
    pub fn observe(&self) -> Option<u32> {
        self.uint(OptionNumber::OBSERVE)
    }

    /// For how many seconds an answer is fresh: 60 where it does not say (RFC 7252 §5.10.5).
    pub fn max_age(&self) -> u32 {
        self.uint(OptionNumber::MAX_AGE).unwrap_or(60)
    }

    /// Which part of a request this is.
    pub fn block1(&self) -> Option<Block> {
        self.block(OptionNumber::BLOCK1)
    }

    /// Which part of an answer this is, or is asked for.
    pub fn block2(&self) -> Option<Block> {
        self.block(OptionNumber::BLOCK2)
    }

    fn block(&self, number: OptionNumber) -> Option<Block> {
        self.first(number).map(Block::from_value).and_then(|block: Result<_, BlockError>| block.ok())
    }

    /// The options that one who knows these numbers must treat as unknown. Elective ones among them are passed over.
    pub fn unrecognised<K: Fn(OptionNumber) -> bool>(&self, knows: K) -> impl Iterator<Item = Unrecognised> {
        let mut previous = None;
        self.iter().filter_map(move |(number, value)| {
            let repeated = previous.replace(number) == Some(number);
            why(number, value, repeated, &knows).map(|why| Unrecognised { number, why })
        })
    }

    /// Refuses a message with a critical option that one who knows these numbers must treat as unknown. A request is then
    /// answered 4.02, a confirmable response is rejected (RFC 7252 §5.4.1).
    pub fn refuse_critical<K: Fn(OptionNumber) -> bool>(&self, knows: K) -> Result<(), Unrecognised> {
        self.unrecognised(knows).find(|found| found.number.is_critical()).map_or(Ok(()), Err)
    }
}

fn why(number: OptionNumber, value: &[u8], repeated: bool, knows: &impl Fn(OptionNumber) -> bool) -> Option<WhyUnrecognised> {
    if !knows(number) {
        Some(WhyUnrecognised::Unknown)
    } else if number.lengths().is_some_and(|lengths| !lengths.contains(&value.len())) {
        Some(WhyUnrecognised::Length)
    } else if repeated && !number.is_repeatable() {
        Some(WhyUnrecognised::Repeated)
    } else if number.format() == Some(Format::Text) && std::str::from_utf8(value).is_err() {
        Some(WhyUnrecognised::NotText)
    } else {
        None
    }
}

/// A number of up to four bytes in network byte order.
pub(super) fn uint(value: &[u8]) -> Option<u32> {
    (value.len() <= 4).then(|| value.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(number, value)| Shown(number, value))).finish()
    }
}

struct Shown<'a>(OptionNumber, &'a [u8]);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.0)?;
        match (self.0.format(), std::str::from_utf8(self.1), uint(self.1)) {
            (Some(Format::Text), Ok(text), _) => write!(f, "{text:?}"),
            (Some(Format::Uint), _, Some(number)) => write!(f, "{number}"),
            _ => self.1.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl<'a> IntoIterator for &'a Options {
    type Item = (OptionNumber, &'a [u8]);
    type IntoIter = OptionsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Options with their numbers, in ascending order.
#[derive(Clone, Debug)]
pub struct OptionsIter<'a> {
    rest: &'a [u8],
    previous: u16,
}

impl<'a> Iterator for OptionsIter<'a> {
    type Item = (OptionNumber, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match option_format::read(self.rest, self.previous) {
            Ok(Step::Option { number, value, rest }) => {
                (self.previous, self.rest) = (number, rest);
                Some((OptionNumber(number), value))
            }
            _ => None,
        }
    }
}

/// The texts of one repeatable option, in order.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    options: OptionsIter<'a>,
    number: OptionNumber,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let number = self.number;
        let (_, value) = self.options.by_ref().take_while(|(found, _)| *found <= number).find(|(found, _)| *found == number)?;
        Some(std::str::from_utf8(value).unwrap_or("\u{fffd}"))
    }
}
