//! What stands behind [`crate::Store`]: an embedded engine, or a database on the network.

use crate::{Batch, Commit, CommitError, Entry, Head, Health, Metrics, Position, Range, ReadError, Record, Snapshot, Stream, Table};
use std::{pin::Pin, sync::Arc};

/// An answer that is on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A row as it lies on disk: its key, and its sealed value.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// A key of a table, with its value.
pub type KeyedEntry = (Vec<u8>, Entry);

/// Reads the store, as it is now or as it was at one commit.
pub trait View: Send + Sync {
    /// The value under a key.
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Answer<'a, Result<Option<Entry>, ReadError>>;

    /// At most `limit` values of a range, in its order, all as of one commit.
    fn scan<'a>(&'a self, table: Table, range: Range, limit: usize) -> Answer<'a, Result<Vec<KeyedEntry>, ReadError>>;

    /// Where a stream begins and ends.
    fn head<'a>(&'a self, stream: &'a Stream) -> Answer<'a, Result<Head, ReadError>>;

    /// At most `limit` records from a position on; from the first that is left when that one was truncated.
    fn read<'a>(&'a self, stream: &'a Stream, from: Position, limit: usize) -> Answer<'a, Result<Vec<Record>, ReadError>>;

    /// At most `limit` rows behind a raw key, in the order of their raw keys, in the layout of embedded stores
    /// and with their seals on: what export and verification walk over.
    fn walk<'a>(&'a self, behind: &'a [u8], limit: usize) -> Answer<'a, Result<Vec<RawRow>, ReadError>>;
}

/// A store's engine room.
pub trait Backend: View {
    /// Writes a batch and answers when it is durable.
    fn commit(&self, batch: Batch) -> Answer<'_, Result<Commit, CommitError>>;

    /// The state at the last durable commit, whatever is written after it.
    fn snapshot(&self) -> Answer<'_, Result<Snapshot, ReadError>>;

    /// Takes rows of an export as they are. Only an empty store takes any, and it is not usable until `last`.
    fn import(&self, rows: Vec<RawRow>, last: bool) -> Answer<'_, Result<(), CommitError>>;

    /// Whether the store takes batches.
    fn health(&self) -> Health;

    /// What the store counted.
    fn metrics(&self) -> Arc<Metrics>;
}
