//! Batches: what is written together, and on which conditions.

use crate::{CommitError, MAX_KEY_BYTES, Position, Stream, Table};
use std::fmt;

/// The largest value or record.
pub const MAX_VALUE_BYTES: usize = 8 << 20;
/// The most operations and conditions that a batch holds.
pub const MAX_BATCH_OPERATIONS: usize = 20_000;
/// The largest batch: keys, values and records together.
pub const MAX_BATCH_BYTES: usize = 32 << 20;

/// When a value was written: the sequence of its commit. Later commits have higher ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A value and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// The commit that wrote it; what [`Batch::require_version`] compares.
    pub version: Version,
}

/// Writes that happen together or not at all, if all conditions hold.
///
/// Conditions are about the state before the batch. Of several writes to one key the last one counts.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) operations: Vec<Operation>,
    bytes: usize,
}

/// What must be true for a batch to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Absent(Table, Vec<u8>),
    AtVersion(Table, Vec<u8>, Version),
}

/// One thing that a batch writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    Append(Stream, Vec<u8>),
    Truncate(Stream, Position),
}

impl Batch {
    /// A batch that writes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a value, over the one that may be there.
    #[must_use]
    pub fn put(self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.operation(Operation::Put(table, key.into(), value.into()))
    }

    /// Deletes a value, if there is one.
    #[must_use]
    pub fn delete(self, table: Table, key: impl Into<Vec<u8>>) -> Self {
        self.operation(Operation::Delete(table, key.into()))
    }

    /// Appends a record. Its position is assigned when the batch is committed; see [`Commit::appended`].
    #[must_use]
    pub fn append(self, stream: &Stream, payload: impl Into<Vec<u8>>) -> Self {
        self.operation(Operation::Append(stream.clone(), payload.into()))
    }

    /// Drops the records of a stream up to and with this position. The head keeps the link there, so that the
    /// chain of what is left can still be checked. Positions that are gone already are no error; a position
    /// behind the end is.
    #[must_use]
    pub fn truncate(self, stream: &Stream, through: Position) -> Self {
        self.operation(Operation::Truncate(stream.clone(), through))
    }

    /// Demands that there is no value under the key.
    #[must_use]
    pub fn require_absent(self, table: Table, key: impl Into<Vec<u8>>) -> Self {
        self.condition(Condition::Absent(table, key.into()))
    }

    /// Demands that the value under the key is still the one that this commit wrote.
    #[must_use]
    pub fn require_version(self, table: Table, key: impl Into<Vec<u8>>, version: Version) -> Self {
        self.condition(Condition::AtVersion(table, key.into(), version))
    }

    /// Demands what [`crate::Store::get`] answered: this version, or no value.
    #[must_use]
    pub fn require_unchanged(self, table: Table, key: impl Into<Vec<u8>>, read: Option<&Entry>) -> Self {
        match read {
            Some(entry) => self.require_version(table, key, entry.version),
            None => self.require_absent(table, key),
        }
    }

    /// Adds all that another batch demands and writes.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.operations.extend(other.operations);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self
    }

    /// The streams that the batch appends to, once for each record.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.operations.iter().filter_map(|operation| match operation {
            Operation::Append(stream, _) => Some(stream),
            Operation::Put(..) | Operation::Delete(..) | Operation::Truncate(..) => None,
        })
    }

    /// Whether there is nothing to write and nothing to demand.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.conditions.is_empty()
    }

    /// Keys, values and records, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks the batch against the limits of this module.
    pub(crate) fn check(&self) -> Result<(), CommitError> {
        let keys = self.conditions.iter().map(Condition::place).chain(self.operations.iter().filter_map(Operation::place));
        if let Some((table, key)) = keys.into_iter().find(|(_, key)| key.len() > MAX_KEY_BYTES) {
            return Err(CommitError::TooLarge { what: "a key", table: Some(table), bytes: key.len(), most: MAX_KEY_BYTES });
        }
        if let Some((table, bytes)) = self.operations.iter().map(Operation::content).find(|(_, bytes)| *bytes > MAX_VALUE_BYTES) {
            return Err(CommitError::TooLarge { what: "a value", table, bytes, most: MAX_VALUE_BYTES });
        }
        let operations = self.operations.len() + self.conditions.len();
        if operations > MAX_BATCH_OPERATIONS {
            return Err(CommitError::TooMany { operations, most: MAX_BATCH_OPERATIONS });
        }
        if self.bytes > MAX_BATCH_BYTES {
            return Err(CommitError::TooLarge { what: "a batch", table: None, bytes: self.bytes, most: MAX_BATCH_BYTES });
        }
        Ok(())
    }

    fn operation(mut self, operation: Operation) -> Self {
        let key = operation.place().map_or(0, |(_, key)| key.len());
        self.bytes = self.bytes.saturating_add(key + operation.content().1);
        self.operations.push(operation);
        self
    }

    fn condition(mut self, condition: Condition) -> Self {
        self.bytes = self.bytes.saturating_add(condition.place().1.len());
        self.conditions.push(condition);
        self
    }
}

impl Condition {
    pub(crate) fn place(&self) -> (Table, &[u8]) {
        match self {
            Self::Absent(table, key) | Self::AtVersion(table, key, _) => (*table, key),
        }
    }
}

impl Operation {
    fn place(&self) -> Option<(Table, &[u8])> {
        match self {
            Self::Put(table, key, _) | Self::Delete(table, key) => Some((*table, key)),
            Self::Append(..) | Self::Truncate(..) => None,
        }
    }

    fn content(&self) -> (Option<Table>, usize) {
        match self {
            Self::Put(table, _, value) => (Some(*table), value.len()),
            Self::Append(_, payload) => (None, payload.len()),
            Self::Delete(..) | Self::Truncate(..) => (None, 0),
        }
    }
}

/// The answer to a batch that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The version of every value that the batch wrote.
    pub version: Version,
    /// The positions of the records that the batch appended, in its order.
    pub appended: Vec<Position>,
}
