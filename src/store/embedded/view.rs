//! Reading an embedded store.
//!
//! Reads run on the caller's thread. They are short: a lookup, or a range with a limit.

use super::{Shared, history};
use crate::{
    Answer, Entry, Head, KeyedEntry, Position, Range, RawRow, ReadError, Record, Stream, Table, Version, View,
    error::readable,
    row::{self, Damaged},
    table::successor,
};
use std::{ops::Bound, sync::Arc};

/// How many rows are taken from the engine at a time.
const CHUNK: usize = 1024;

/// The store as it is now, or as it was at a commit.
pub(super) struct EmbeddedView {
    shared: Arc<Shared>,
    at: Option<Version>,
}

impl EmbeddedView {
    pub(super) fn latest(shared: Arc<Shared>) -> Self {
        Self { shared, at: None }
    }

    pub(super) fn pinned(shared: Arc<Shared>) -> (Version, Self) {
        let at = shared.history.pin();
        (at, Self { shared, at: Some(at) })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let found = self.shared.engine.get(key)?;
        self.shared.history.correct(self.at, key, found)
    }

    /// At most `limit` rows with `from <= key < to`, all as of one commit.
    fn rows(&self, from: &[u8], to: &[u8], reversed: bool, limit: usize) -> Result<Vec<RawRow>, ReadError> {
        let pin = Pin::new(&self.shared.history, self.at);
        let (mut from, mut to) = (from.to_vec(), to.to_vec());
        let mut rows = Vec::new();
        while rows.len() < limit && from < to {
            let found = self.shared.engine.range(&from, &to, reversed, (limit - rows.len()).min(CHUNK))?;
            // The engine was asked for so many rows; it answered for the keys up to the last one, or for all.
            let last = (found.len() == (limit - rows.len()).min(CHUNK)).then(|| found.last().map(|(key, _)| key.clone())).flatten();
            let covered = match (&last, reversed) {
                (None, _) => (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice())),
                (Some(last), false) => (Bound::Included(from.as_slice()), Bound::Included(last.as_slice())),
                (Some(last), true) => (Bound::Included(last.as_slice()), Bound::Excluded(to.as_slice())),
            };
            let corrected = self.shared.history.correct_range(pin.at, covered, found)?;
            let wanted = limit - rows.len();
            if reversed {
                rows.extend(corrected.into_iter().rev().take(wanted));
            } else {
                rows.extend(corrected.into_iter().take(wanted));
            }
            match last {
                None => break,
                Some(last) if reversed => to = last,
                Some(last) => from = [last.as_slice(), &[0]].concat(),
            }
        }
        Ok(rows)
    }

    fn get_now(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, ReadError> {
        let raw = row::value_key(table, key);
        self.row(&raw)?.map(|sealed| entry(table, key, &raw, &sealed)).transpose()
    }

    fn scan_now(&self, table: Table, range: &Range, limit: usize) -> Result<Vec<KeyedEntry>, ReadError> {
        let prefix = row::value_key(table, &[]);
        let from = row::value_key(table, &range.from);
        let to = match &range.to {
            Some(to) => row::value_key(table, to),
            None => successor(&prefix).expect("a table's prefix does not consist of 0xff"),
        };
        let rows = self.rows(&from, &to, range.reversed, limit)?;
        let value = |(raw, sealed): RawRow| {
            let key = raw[prefix.len()..].to_vec();
            let entry = entry(table, &key, &raw, &sealed)?;
            Ok((key, entry))
        };
        rows.into_iter().map(value).collect()
    }

    fn head_now(&self, stream: &Stream) -> Result<Head, ReadError> {
        let raw = row::head_key(stream);
        self.row(&raw)?.map_or(Ok(Head::EMPTY), |sealed| head(stream, &raw, &sealed))
    }

    fn read_now(&self, stream: &Stream, from: Position, limit: usize) -> Result<Vec<Record>, ReadError> {
        let (from, to) = (row::record_key(stream, from), row::record_key(stream, Position(u64::MAX)));
        let rows = self.rows(&from, &to, false, limit)?;
        let records: Vec<Record> = rows.iter().map(|(raw, sealed)| record(stream, raw, sealed)).collect::<Result<_, _>>()?;
        for pair in records.windows(2) {
            let linked = pair[1].position == pair[0].position.next()
                && pair[1].hash == pair[0].hash.next(stream, pair[1].position, &pair[1].payload);
            if !linked {
                return Err(ReadError::Damaged { what: format!("the chain of stream {stream} behind {}", pair[0].position) });
            }
        }
        Ok(records)
    }

    fn walk_now(&self, behind: &[u8], limit: usize) -> Result<Vec<RawRow>, ReadError> {
        self.rows(&[behind, &[0]].concat(), &[0xff], false, limit)
    }
}

impl Drop for EmbeddedView {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            self.shared.history.unpin(at);
        }
    }
}

impl View for EmbeddedView {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Answer<'a, Result<Option<Entry>, ReadError>> {
        Box::pin(async move { self.get_now(table, key) })
    }

    fn scan<'a>(&'a self, table: Table, range: Range, limit: usize) -> Answer<'a, Result<Vec<KeyedEntry>, ReadError>> {
        Box::pin(async move { self.scan_now(table, &range, limit) })
    }

    fn head<'a>(&'a self, stream: &'a Stream) -> Answer<'a, Result<Head, ReadError>> {
        Box::pin(async move { self.head_now(stream) })
    }

    fn read<'a>(&'a self, stream: &'a Stream, from: Position, limit: usize) -> Answer<'a, Result<Vec<Record>, ReadError>> {
        Box::pin(async move { self.read_now(stream, from, limit) })
    }

    fn walk<'a>(&'a self, behind: &'a [u8], limit: usize) -> Answer<'a, Result<Vec<RawRow>, ReadError>> {
        Box::pin(async move { self.walk_now(behind, limit) })
    }
}

/// Holds on to a commit for the length of one read: the view's own, or the last durable one.
struct Pin<'a> {
    history: &'a history::History,
    at: Version,
    ours: bool,
}

impl<'a> Pin<'a> {
    fn new(history: &'a history::History, at: Option<Version>) -> Self {
        Self { history, at: at.unwrap_or_else(|| history.pin()), ours: at.is_none() }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        if self.ours {
            self.history.unpin(self.at);
        }
    }
}

pub(super) fn entry(table: Table, key: &[u8], raw: &[u8], sealed: &[u8]) -> Result<Entry, ReadError> {
    let damaged = |Damaged| ReadError::Damaged { what: format!("table {table} at the key {}", readable(key)) };
    let (version, content) = row::unseal(raw, sealed).map_err(damaged)?;
    Ok(Entry { value: content.to_vec(), version })
}

pub(super) fn head(stream: &Stream, raw: &[u8], sealed: &[u8]) -> Result<Head, ReadError> {
    let content = row::unseal(raw, sealed).ok().and_then(|(_, content)| Head::decode(content));
    content.ok_or_else(|| ReadError::Damaged { what: format!("the head of stream {stream}") })
}

pub(super) fn record(stream: &Stream, raw: &[u8], sealed: &[u8]) -> Result<Record, ReadError> {
    let position = match row::Row::parse(raw) {
        Some(row::Row::Record(_, position)) => position,
        _ => return Err(ReadError::Damaged { what: format!("a key of stream {stream}") }),
    };
    let content = row::unseal(raw, sealed).ok().and_then(|(_, content)| Record::decode(position, content));
    content.ok_or_else(|| ReadError::Damaged { what: format!("stream {stream} at {position}") })
}

pub(super) fn missing(stream: &Stream, position: Position) -> ReadError {
    ReadError::Damaged { what: format!("stream {stream} (nothing at {position})") }
}
