//! Reads one item as a sequence of events, and refuses what is not well-formed (RFC 8949 §3, appendix C).

/// How many arrays, maps, tags and chunked strings may be within each other.
pub const MAX_DEPTH: usize = 64;

/// Walks over one item. Every container that begins ends with [`Event::End`], whether its length was told or not.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// What has begun and not ended, at most [`MAX_DEPTH`].
    open: Vec<Open>,
    done: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A number from 0 up.
    Unsigned(u64),
    /// The number −1 − n.
    Negative(u64),
    /// A whole byte string, or one chunk of one.
    Bytes(&'a [u8]),
    /// A whole text, or one chunk of one.
    Text(&'a str),
    /// A byte string in chunks begins.
    BytesChunks,
    /// A text in chunks begins.
    TextChunks,
    /// An array begins, of so many items if that was told.
    Array(Option<u64>),
    /// A map begins, of so many pairs if that was told; keys and values take turns.
    Map(Option<u64>),
    /// A tag, which belongs to the one item before its end.
    Tag(u64),
    /// A number with a fraction. Half and single ones are widened, which changes no value.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Nothing.
    Null,
    /// No value at all.
    Undefined,
    /// Another simple value.
    Simple(u8),
    /// What began last and has not ended yet, ends.
    End,
}

/// Why bytes are no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The item goes on behind the last byte.
    #[error("the item is not complete")]
    Truncated,
    /// Something follows the item.
    #[error("{0} bytes follow the item")]
    Trailing(usize),
    /// More than [`MAX_DEPTH`] within each other.
    #[error("the item is deeper than {MAX_DEPTH} levels")]
    Deep,
    /// An initial byte that has no meaning, or a simple value in two bytes that fits into one.
    #[error("the initial byte {0:#04x} has no meaning here")]
    Initial(u8),
    /// A break where nothing of unknown length could end.
    #[error("a break that ends nothing")]
    Break,
    /// A chunk of another kind, or of unknown length itself.
    #[error("a string has a chunk that is none")]
    Chunk,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// So many items are still to come; twice the pairs of a map.
    Counted(u128),
    /// Items up to a break.
    Array,
    /// Pairs up to a break; whether a value is due.
    Map {
        value: bool,
    },
    BytesChunks,
    TextChunks,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of an item.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, open: Vec::new(), done: false }
    }

    /// How many containers have begun and not ended.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next event; `None` behind the end of the item, which is the end of the bytes.
    pub fn read(&mut self) -> Result<Option<Event<'a>>, CborError> {
        if self.done {
            return if self.rest.is_empty() { Ok(None) } else { Err(CborError::Trailing(self.rest.len())) };
        }
        if self.open.last() == Some(&Open::Counted(0)) {
            return Ok(Some(self.end()));
        }
        let initial = self.take(1)?.first().copied().ok_or(CborError::Truncated)?;
        if initial == BREAK {
            return match self.open.last() {
                Some(Open::Array | Open::BytesChunks | Open::TextChunks | Open::Map { value: false }) => Ok(Some(self.end())),
                _ => Err(CborError::Break),
            };
        }
        let (major, short) = (initial >> 5, initial & 31);
        match (self.open.last(), major, short) {
            (Some(Open::BytesChunks), 2, 0..=27) | (Some(Open::TextChunks), 3, 0..=27) => {}
            (Some(Open::BytesChunks | Open::TextChunks), ..) => return Err(CborError::Chunk),
            _ => {}
        }
        self.count_item();
        let event = self.item(initial, major, short)?;
        self.done = self.open.is_empty();
        Ok(Some(event))
    }

    /// Reads to the end of the item.
    pub fn finish(mut self) -> Result<(), CborError> {
        while self.read()?.is_some() {}
        Ok(())
    }

    fn item(&mut self, initial: u8, major: u8, short: u8) -> Result<Event<'a>, CborError> {
        if short == UNKNOWN_LENGTH {
            return match major {
                2 => self.begin(Open::BytesChunks, Event::BytesChunks),
                3 => self.begin(Open::TextChunks, Event::TextChunks),
                4 => self.begin(Open::Array, Event::Array(None)),
                5 => self.begin(Open::Map { value: false }, Event::Map(None)),
                _ => Err(CborError::Initial(initial)),
            };
        }
        let argument = match short {
            0..=23 => u64::from(short),
            24..=27 => self.take(1 << (short - 24))?.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
            _ => return Err(CborError::Initial(initial)),
        };
        match major {
            0 => Ok(Event::Unsigned(argument)),
            1 => Ok(Event::Negative(argument)),
            2 => self.string(argument).map(Event::Bytes),
            3 => std::str::from_utf8(self.string(argument)?).map(Event::Text).map_err(|_| CborError::Text),
            4 => self.begin(Open::Counted(u128::from(argument)), Event::Array(Some(argument))),
            5 => self.begin(Open::Counted(u128::from(argument) * 2), Event::Map(Some(argument))),
            6 => self.begin(Open::Counted(1), Event::Tag(argument)),
            _ => simple(initial, short, argument),
        }
    }

    fn begin(&mut self, open: Open, event: Event<'a>) -> Result<Event<'a>, CborError> {
        if self.open.len() == MAX_DEPTH {
            return Err(CborError::Deep);
        }
        self.open.push(open);
        Ok(event)
    }

    fn end(&mut self) -> Event<'a> {
        self.open.pop();
        self.done = self.open.is_empty();
        Event::End
    }

    fn count_item(&mut self) {
        match self.open.last_mut() {
            Some(Open::Counted(remaining)) => *remaining = remaining.saturating_sub(1),
            Some(Open::Map { value }) => *value = !*value,
            _ => {}
        }
    }

    fn string(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        usize::try_from(length).map_err(|_| CborError::Truncated).and_then(|length| self.take(length))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CborError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn simple<'a>(initial: u8, short: u8, argument: u64) -> Result<Event<'a>, CborError> {
    match (short, argument) {
        (20 | 21, _) => Ok(Event::Bool(short == 21)),
        (22, _) => Ok(Event::Null),
        (23, _) => Ok(Event::Undefined),
        (24, 0..=31) => Err(CborError::Initial(initial)),
        (25, _) => Ok(Event::Float(half(argument as u16))),
        (26, _) => Ok(Event::Float(f64::from(f32::from_bits(argument as u32)))),
        (27, _) => Ok(Event::Float(f64::from_bits(argument))),
        _ => Ok(Event::Simple(argument as u8)),
    }
}

/// RFC 8949 appendix D.
pub(super) fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let value = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { value } else { -value }
}

const BREAK: u8 = 0xff;
const UNKNOWN_LENGTH: u8 = 31;

#[cfg(test)]
mod tests;
