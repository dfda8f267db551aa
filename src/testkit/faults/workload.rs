//! What the writers write: a function of the seed, so that everything a store should hold can be computed from how
//! far each writer came.
//!
//! Every writer works alone, one batch after the other, so at most its last batch is in doubt. A batch changes
//! several rows of its writer, moves the writer's head row under the condition that nobody else did, and appends to
//! the writer's own stream and to one that all writers share. So a batch that is there in half, twice, or under
//! somebody else's shows in more than one place.

use super::seed::Chance;
use gatehouse_store::{Batch, Key, Position, Stream, Table, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rows that the batches change.
pub const ROWS: Table = Table::new("fault-rows");
/// One row a writer: how many batches it wrote.
pub const HEADS: Table = Table::new("fault-heads");
/// What is written after a failure, to see whether the store still acknowledges.
pub const PROBES: Table = Table::new("fault-probes");

/// Rows per writer.
const SLOTS: u64 = 24;
/// A writer's own stream is truncated every so many batches, and then keeps so many records.
const TRUNCATE_EVERY: u64 = 16;
const KEEP: u64 = 8;

/// The plan of all writers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// Where all content comes from.
    pub seed: u64,
    /// How many write at the same time.
    pub writers: u64,
    /// Whether some values are larger than what an engine keeps in one piece.
    pub large_values: bool,
}

/// What one batch does to its writer's rows: `None` deletes.
pub type Changes = BTreeMap<u64, Option<Vec<u8>>>;

impl Workload {
    /// What the `number`-th batch (from 1) of a writer does to its rows.
    pub fn changes(&self, writer: u64, number: u64) -> Changes {
        let mut chance = Chance::of(self.seed, &[writer, number]);
        let count = 1 + chance.below(5);
        (0..count)
            .map(|_| {
                let slot = chance.below(SLOTS);
                if chance.percent(15) {
                    return (slot, None);
                }
                // One seed in four writes mostly large values, so that batches span many pages of the disk.
                let length = match chance.below(if self.seed.is_multiple_of(4) { 10 } else { 100 }) {
                    0 if self.large_values && chance.percent(20) => 600_000 + chance.below(600_000),
                    0..=2 => 20_000 + chance.below(80_000),
                    3..=12 => 2_000 + chance.below(6_000),
                    _ => chance.below(500),
                };
                (slot, Some(chance.bytes(length as usize)))
            })
            .collect()
    }

    /// What the `number`-th batch of a writer appends to its own stream.
    pub fn record(&self, writer: u64, number: u64) -> Vec<u8> {
        let mut chance = Chance::of(self.seed, &[writer, number, 1]);
        let length = chance.below(300) as usize;
        let mut payload = format!("{writer} {number} ").into_bytes();
        payload.extend(chance.bytes(length));
        payload
    }

    /// The whole batch. `head` is the version of the writer's head row, if it has one.
    pub fn batch(&self, writer: u64, number: u64, head: Option<Version>) -> Batch {
        let mut batch = match head {
            Some(version) => Batch::new().require_version(HEADS, head_key(writer), version),
            None => Batch::new().require_absent(HEADS, head_key(writer)),
        };
        for (slot, value) in self.changes(writer, number) {
            let key = row_key(writer, slot);
            batch = match value {
                Some(value) => batch.put(ROWS, key, value),
                None => batch.delete(ROWS, key),
            };
        }
        batch = batch.put(HEADS, head_key(writer), number.to_be_bytes());
        batch = batch.append(&own_stream(writer), self.record(writer, number));
        batch = batch.append(&shared_stream(), shared_record(writer, number));
        match truncated(number) {
            Position::START => batch,
            through if number.is_multiple_of(TRUNCATE_EVERY) => batch.truncate(&own_stream(writer), through),
            _ => batch,
        }
    }

    /// A batch that writes the same but has a condition that does not hold.
    pub fn refused(&self, writer: u64) -> Batch {
        Batch::new().put(ROWS, Key::new().text("never"), "never").require_version(HEADS, head_key(writer), Version(u64::MAX))
    }

    /// All rows of a writer after so many batches.
    pub fn rows(&self, writer: u64, batches: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        for number in 1..=batches {
            for (slot, value) in self.changes(writer, number) {
                match value {
                    Some(value) => drop(rows.insert(row_key(writer, slot).into(), value)),
                    None => drop(rows.remove(row_key(writer, slot).as_ref())),
                }
            }
        }
        rows
    }
}

/// The key of a writer's head row.
pub fn head_key(writer: u64) -> Key {
    Key::new().number(writer)
}

/// The key of one of a writer's rows.
pub fn row_key(writer: u64, slot: u64) -> Key {
    Key::new().text("writer").number(writer).number(slot)
}

/// The stream of one writer.
pub fn own_stream(writer: u64) -> Stream {
    format!("fault/{writer}").parse().expect("a stream's name")
}

/// The stream of all writers.
pub fn shared_stream() -> Stream {
    "fault/all".parse().expect("a stream's name")
}

/// What a batch appends to the shared stream.
pub fn shared_record(writer: u64, number: u64) -> Vec<u8> {
    [writer.to_be_bytes(), number.to_be_bytes()].concat()
}

/// Through where a writer's own stream is truncated after so many batches.
pub fn truncated(batches: u64) -> Position {
    let last = batches - batches % TRUNCATE_EVERY;
    Position(last.saturating_sub(KEEP))
}
