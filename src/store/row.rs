//! What lies on disk: every row's key, and the seal around every value.
//!
//! All tables and streams of an embedded store share one ordered key space. A row's key says what it is:
//!
//! | key | value |
//! |---|---|
//! | `m` name | state of the store itself |
//! | `t` table `0` key | a value |
//! | `h` stream | the head of a stream |
//! | `r` stream `0` position | a record |
//!
//! Every value is sealed: commit sequence, checksum, content. The checksum covers the key too, so that a row
//! that an engine serves under another key, or mixes with another version, is noticed as surely as a flipped bit.
//! It finds accidents. It does not stop somebody who can write to the disk; signed checkpoints are for that.

use crate::{Head, Position, ReadError, Stream, Table, Version};
use ring::digest::{Context, Digest, SHA256};

/// The row that holds [`State`].
pub(crate) const STATE: &[u8] = b"mstate";

/// A row that is there while an import has not come to its end.
pub(crate) const IMPORTING: &[u8] = b"mimporting";

const SEAL_BYTES: usize = 16;

/// A row that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

pub(crate) fn value_key(table: Table, key: &[u8]) -> Vec<u8> {
    [b"t", table.name().as_bytes(), &[0], key].concat()
}

pub(crate) fn head_key(stream: &Stream) -> Vec<u8> {
    [b"h", stream.name().as_bytes()].concat()
}

/// Before the first head.
pub(crate) fn heads() -> Vec<u8> {
    b"h".to_vec()
}

/// The stream and the head in a row; nothing when the row is no head.
pub(crate) fn stream_head(key: &[u8], sealed: &[u8]) -> Result<Option<(Stream, Head)>, ReadError> {
    let Some(Row::Head(stream)) = Row::parse(key) else { return Ok(None) };
    let content = unseal(key, sealed).ok().and_then(|(_, content)| Head::decode(content));
    let head = content.ok_or_else(|| ReadError::Damaged { what: format!("the head of stream {stream}") })?;
    Ok(Some((stream, head)))
}

pub(crate) fn record_key(stream: &Stream, position: Position) -> Vec<u8> {
    [b"r", stream.name().as_bytes(), &[0], &position.0.to_be_bytes()].concat()
}

/// What a row is, read from its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row<'a> {
    Meta,
    Value { table: &'a str, key: &'a [u8] },
    Head(Stream),
    Record(Stream, Position),
}

impl<'a> Row<'a> {
    pub(crate) fn parse(key: &'a [u8]) -> Option<Self> {
        let (kind, rest) = key.split_first()?;
        let split = || rest.iter().position(|byte| *byte == 0).map(|at| (&rest[..at], &rest[at + 1..]));
        let stream = |name: &[u8]| std::str::from_utf8(name).ok()?.parse::<Stream>().ok();
        match kind {
            b'm' => Some(Self::Meta),
            b't' => split().and_then(|(table, key)| Some(Self::Value { table: std::str::from_utf8(table).ok()?, key })),
            b'h' => stream(rest).map(Self::Head),
            b'r' => {
                split().and_then(|(name, place)| Some(Self::Record(stream(name)?, Position(u64::from_be_bytes(place.try_into().ok()?)))))
            }
            _ => None,
        }
    }
}

/// Whether the row is about the store itself, and so not in the sum over all rows.
pub(crate) fn is_meta(key: &[u8]) -> bool {
    key.starts_with(b"m")
}

/// Puts the seal around a value.
pub(crate) fn seal(key: &[u8], version: Version, content: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(SEAL_BYTES + content.len());
    sealed.extend_from_slice(&version.0.to_be_bytes());
    sealed.extend_from_slice(&checksum(key, version, content));
    sealed.extend_from_slice(content);
    sealed
}

/// Checks the seal and takes it off.
pub(crate) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<(Version, &'a [u8]), Damaged> {
    let mut cursor = Cursor(sealed);
    let (Some(version), Some(found)) = (cursor.number().map(Version), cursor.array::<8>()) else { return Err(Damaged) };
    if found == checksum(key, version, cursor.0) { Ok((version, cursor.0)) } else { Err(Damaged) }
}

fn checksum(key: &[u8], version: Version, content: &[u8]) -> [u8; 8] {
    let mut context = Context::new(&SHA256);
    context.update(&version.0.to_be_bytes());
    // The length keeps the end of the key from passing for the beginning of the content.
    context.update(&(key.len() as u64).to_be_bytes());
    context.update(key);
    context.update(content);
    first_eight(&context.finish())
}

pub(crate) fn first_eight(digest: &Digest) -> [u8; 8] {
    digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes")
}

/// What the store knows about itself, written with every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The sequence of the last commit.
    pub(crate) sequence: u64,
    /// The sum over all rows.
    pub(crate) sum: Sum,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.sequence.to_be_bytes().as_slice(), &self.sum.to_bytes()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let state = Self { sequence: cursor.number()?, sum: Sum::from_bytes(&mut cursor)? };
        cursor.0.is_empty().then_some(state)
    }
}

/// A sum over a set of rows that does not depend on their order and is kept up to date row by row. When an
/// engine loses a row, brings one back or returns to an older value, each row by itself still looks good; the
/// sum of what is there then differs from the sum that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    pub(crate) fn add(&mut self, key: &[u8], sealed: &[u8]) {
        self.combine(key, sealed, u64::wrapping_add);
    }

    pub(crate) fn remove(&mut self, key: &[u8], sealed: &[u8]) {
        self.combine(key, sealed, u64::wrapping_sub);
    }

    fn combine(&mut self, key: &[u8], sealed: &[u8], with: fn(u64, u64) -> u64) {
        let mut context = Context::new(&SHA256);
        context.update(&(key.len() as u64).to_be_bytes());
        context.update(key);
        context.update(sealed);
        let digest = context.finish();
        let mut cursor = Cursor(digest.as_ref());
        for limb in &mut self.0 {
            *limb = with(*limb, cursor.number().expect("SHA-256 has four times eight bytes"));
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        self.0.iter().flat_map(|limb| limb.to_be_bytes()).collect()
    }

    fn from_bytes(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self([cursor.number()?, cursor.number()?, cursor.number()?, cursor.number()?]))
    }
}

/// Takes numbers and arrays off the front of a slice.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl Cursor<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_sealed_value_is_noticed() {
        let sealed = seal(b"key", Version(7), b"content");
        assert_eq!(unseal(b"key", &sealed), Ok((Version(7), b"content".as_slice())));
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(b"key", &damaged), Err(Damaged), "bit {bit}");
        }
        assert_eq!(unseal(b"kez", &sealed), Err(Damaged), "a value under another key");
        assert_eq!(unseal(b"key", &sealed[..10]), Err(Damaged), "a cut value");
    }

    #[test]
    fn keys_say_what_their_rows_are() {
        let stream: Stream = "device/1".parse().expect("name");
        const DEVICES: Table = Table::new("devices");
        assert_eq!(Row::parse(&value_key(DEVICES, b"a\0b")), Some(Row::Value { table: "devices", key: b"a\0b" }));
        assert_eq!(Row::parse(&head_key(&stream)), Some(Row::Head(stream.clone())));
        assert_eq!(Row::parse(&record_key(&stream, Position(9))), Some(Row::Record(stream, Position(9))));
        assert_eq!(Row::parse(b"x"), None);
    }

    #[test]
    fn a_sum_returns_to_where_it_was() {
        let (mut sum, mut other) = (Sum::default(), Sum::default());
        sum.add(b"a", b"1");
        sum.add(b"b", b"2");
        other.add(b"b", b"2");
        other.add(b"a", b"1");
        assert_eq!(sum, other);
        sum.remove(b"a", b"1");
        sum.remove(b"b", b"2");
        assert_eq!(sum, Sum::default());
    }
}
