//! Streams: append-only, numbered without gaps, hash-chained.

use crate::row::Cursor;
use ring::digest::{Context, SHA256};
use std::{fmt, str::FromStr};

/// The longest name of a stream.
pub const MAX_STREAM_NAME_BYTES: usize = 200;

/// The name of a stream, like `device/921e7b6e-5ff7-4559-60d9-bf03bc730cc4`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream(String);

/// A text that cannot name a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream's name is 1 to 200 lower-case letters, digits and any of - . _ / :")]
pub struct StreamNameError;

impl Stream {
    /// The name as text.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Stream {
    type Err = StreamNameError;

    fn from_str(name: &str) -> Result<Self, StreamNameError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' | b':');
        let fits = (1..=MAX_STREAM_NAME_BYTES).contains(&name.len());
        if fits && name.bytes().all(allowed) { Ok(Self(name.to_owned())) } else { Err(StreamNameError) }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Stream({})", self.0)
    }
}

/// The place of a record in its stream: 1, 2, 3 and so on. Zero is the place before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A link of a stream's chain: covers the record, its place, and all records before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What the first record of every stream is chained to.
    pub const START: Self = Self([0; 32]);

    /// The link of the record that follows the one with this link.
    #[must_use]
    pub fn next(self, stream: &Stream, position: Position, payload: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"gatehouse stream 1\0");
        context.update(&self.0);
        // A name holds no zero byte, so what follows it cannot be moved into it.
        context.update(stream.name().as_bytes());
        context.update(&[0]);
        context.update(&position.0.to_be_bytes());
        context.update(payload);
        Self(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ChainHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ChainHash({self})")
    }
}

/// What a stream holds at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The place.
    pub position: Position,
    /// What was appended.
    pub payload: Vec<u8>,
    /// The link of the chain at this place.
    pub hash: ChainHash,
}

/// Where a stream begins and ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The place of the last record; zero when nothing was ever appended.
    pub position: Position,
    /// The link of the last record.
    pub hash: ChainHash,
    /// The last place that was truncated away; zero when all records are there.
    pub truncated: Position,
    /// The link at that place, which the first record that is left is chained to.
    pub truncated_hash: ChainHash,
}

impl Head {
    /// The head of a stream that nothing was appended to.
    pub const EMPTY: Self =
        Self { position: Position::START, hash: ChainHash::START, truncated: Position::START, truncated_hash: ChainHash::START };

    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.position.0.to_be_bytes().as_slice(), &self.hash.0, &self.truncated.0.to_be_bytes(), &self.truncated_hash.0].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let head = Self {
            position: Position(cursor.number()?),
            hash: ChainHash(cursor.array()?),
            truncated: Position(cursor.number()?),
            truncated_hash: ChainHash(cursor.array()?),
        };
        cursor.0.is_empty().then_some(head)
    }
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.hash.0.as_slice(), &self.payload].concat()
    }

    pub(crate) fn decode(position: Position, bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let hash = ChainHash(cursor.array()?);
        Some(Self { position, hash, payload: cursor.0.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_depends_on_everything_before_it() {
        let (a, b): (Stream, Stream) = ("a".parse().expect("name"), "b".parse().expect("name"));
        let link = ChainHash::START.next(&a, Position(1), b"x");
        for other in [
            ChainHash::START.next(&b, Position(1), b"x"),
            ChainHash::START.next(&a, Position(2), b"x"),
            ChainHash::START.next(&a, Position(1), b"y"),
            link.next(&a, Position(1), b"x"),
        ] {
            assert_ne!(link, other);
        }
    }

    #[test]
    fn other_names_of_streams_are_refused() {
        for name in ["", "A", "a b", "a\0", "ä", &"a".repeat(201)] {
            assert_eq!(name.parse::<Stream>(), Err(StreamNameError), "{name}");
        }
        assert!("group/7.x_y:z-1".parse::<Stream>().is_ok());
    }
}
