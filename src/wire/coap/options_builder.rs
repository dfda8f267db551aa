//! Makes the options of a message, in whatever order they come to mind.

use super::{Block, ContentFormat, OptionNumber, Options, option_format};
use bytes::BytesMut;

/// Options in the making. They may be added in any order; those of one number keep the order in which they were added.
/// Adding them in ascending order is the fastest.
#[derive(Clone, Debug, Default)]
pub struct OptionsBuilder {
    encoded: BytesMut,
    last: u16,
}

/// A value whose length its option cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{number} cannot have a value of {length} bytes")]
pub struct ValueLength {
    /// The option.
    pub number: OptionNumber,
    /// How long the value is.
    pub length: usize,
}

impl OptionsBuilder {
    /// Adds an option whose length its number allows.
    pub fn push(self, number: OptionNumber, value: &[u8]) -> Result<Self, ValueLength> {
        match number.lengths() {
            Some(lengths) if !lengths.contains(&value.len()) => Err(ValueLength { number, length: value.len() }),
            _ => self.push_raw(number, value),
        }
    }

    /// Adds an option whatever is known of its number; only what no option header can say is refused. Signals, whose
    /// numbers are their own, and tests of refusals need this.
    pub fn push_raw(self, number: OptionNumber, value: &[u8]) -> Result<Self, ValueLength> {
        if value.len() > option_format::MAX_VALUE {
            return Err(ValueLength { number, length: value.len() });
        }
        Ok(self.with(number, value))
    }

    /// Adds a number without leading zeros (RFC 7252 §3.2).
    pub fn uint(mut self, number: OptionNumber, value: u32) -> Self {
        let bytes = value.to_be_bytes();
        self.insert(number, bytes.get(value.leading_zeros() as usize / 8..).unwrap_or_default());
        self
    }

    /// Adds an option without a value.
    pub fn empty(mut self, number: OptionNumber) -> Self {
        self.insert(number, &[]);
        self
    }

    /// Adds one Uri-Path for each segment of a path such as `/oic/sec/session`, as it stands: nothing is percent-decoded.
    /// The root (`/` or nothing) has no options.
    pub fn path(self, path: &str) -> Result<Self, ValueLength> {
        match path.strip_prefix('/').unwrap_or(path) {
            "" => Ok(self),
            path => path.split('/').try_fold(self, |options, segment| options.push(OptionNumber::URI_PATH, segment.as_bytes())),
        }
    }

    /// Adds an argument such as `rt=oic.wk.d`, as it stands.
    pub fn query(self, argument: &str) -> Result<Self, ValueLength> {
        self.push(OptionNumber::URI_QUERY, argument.as_bytes())
    }

    /// Says what the payload is.
    pub fn content_format(self, format: ContentFormat) -> Self {
        self.uint(OptionNumber::CONTENT_FORMAT, u32::from(format.0))
    }

    /// Says what the payload of the answer is to be.
    pub fn accept(self, format: ContentFormat) -> Self {
        self.uint(OptionNumber::ACCEPT, u32::from(format.0))
    }

    /// Adds Observe; only the lower 24 bits count (RFC 7641 §2).
    pub fn observe(self, value: u32) -> Self {
        self.uint(OptionNumber::OBSERVE, value & 0xff_ffff)
    }

    /// Says for how many seconds the answer is fresh.
    pub fn max_age(self, seconds: u32) -> Self {
        self.uint(OptionNumber::MAX_AGE, seconds)
    }

    /// Says which part of the request this is.
    pub fn block1(self, block: Block) -> Self {
        self.uint(OptionNumber::BLOCK1, block.to_uint())
    }

    /// Says which part of the answer this is, or which is wanted.
    pub fn block2(self, block: Block) -> Self {
        self.uint(OptionNumber::BLOCK2, block.to_uint())
    }

    /// Adds everything that another message has, except the options that `without` names.
    pub fn copy(mut self, from: &Options, without: impl Fn(OptionNumber) -> bool) -> Self {
        for (number, value) in from.iter().filter(|(number, _)| !without(*number)) {
            self.insert(number, value);
        }
        self
    }

    /// The options.
    pub fn build(self) -> Options {
        Options::from_encoded(self.encoded.freeze())
    }

    /// Adds a value that is known to be no longer than [`option_format::MAX_VALUE`].
    pub(super) fn with(mut self, number: OptionNumber, value: &[u8]) -> Self {
        self.insert(number, value);
        self
    }

    fn insert(&mut self, number: OptionNumber, value: &[u8]) {
        if self.encoded.is_empty() {
            self.encoded.reserve(USUAL);
        }
        if number.0 >= self.last {
            option_format::write(&mut self.encoded, OptionNumber(self.last), number, value);
            self.last = number.0;
            return;
        }
        let before = Options::from_encoded(std::mem::take(&mut self.encoded).freeze());
        self.encoded.reserve(before.encoded().len() + value.len() + 8);
        let (lower, higher) = (before.iter().filter(|(found, _)| *found <= number), before.iter().filter(|(found, _)| *found > number));
        let mut previous = OptionNumber(0);
        for (number, value) in lower.chain([(number, value)]).chain(higher) {
            option_format::write(&mut self.encoded, previous, number, value);
            previous = number;
        }
    }
}

/// Room for the options of a usual message, made at once.
const USUAL: usize = 96;
