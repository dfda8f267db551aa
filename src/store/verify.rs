//! Reads everything once and says what is wrong.

use crate::{
    Head, Position, RawRow, ReadError, Record, Snapshot, Stream,
    error::readable,
    row::{self, Row, State, Sum},
};
use std::collections::BTreeMap;

/// How many rows are read at a time.
const ROWS: usize = 1024;
/// Damage is counted in full, but only so much of it is told.
const TOLD: usize = 100;

/// What is in a store, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The commit that was looked at.
    pub version: u64,
    /// Values, by table.
    pub tables: BTreeMap<String, Count>,
    /// Streams that something was ever appended to.
    pub streams: u64,
    /// Records that are left in them.
    pub records: Count,
    /// How much is damaged. Zero is what you want.
    pub damaged: u64,
    /// What is damaged, up to a hundred.
    pub damage: Vec<String>,
}

/// How many, and how large with their keys and seals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Count {
    /// How many.
    pub number: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Report {
    /// Values and records, in all tables and streams.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|count| count.number).sum::<u64>() + self.records.number
    }

    fn damaged(&mut self, what: impl FnOnce() -> String) {
        self.damaged += 1;
        if self.damage.len() < TOLD {
            self.damage.push(what());
        }
    }
}

impl Count {
    fn add(&mut self, (key, value): &RawRow) {
        self.number += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }
}

impl Snapshot {
    /// Checks every seal, every chain of every stream, and that the rows that are there are exactly those that
    /// were written. Needs little memory, whatever the size of the store; calls `progress` now and then.
    pub async fn verify(&self, mut progress: impl FnMut(&Report)) -> Result<Report, ReadError> {
        let mut walk = Walk { report: Report { version: self.version.0, ..Report::default() }, ..Walk::default() };
        let mut behind = Vec::new();
        loop {
            let rows = self.view.walk(&behind, ROWS).await?;
            let Some((last, _)) = rows.last() else { break };
            behind.clone_from(last);
            for row in &rows {
                walk.row(self, row).await?;
            }
            progress(&walk.report);
            // A walk does not wait for anything, so it has to let others run by itself.
            tokio::task::yield_now().await;
        }
        Ok(walk.finish())
    }
}

#[derive(Default)]
struct Walk {
    report: Report,
    state: Option<State>,
    sum: Sum,
    chain: Option<Chain>,
}

/// The stream whose records come by: what its head says, and how far the chain was followed.
struct Chain {
    stream: Stream,
    head: Head,
    reached: Head,
}

impl Walk {
    async fn row(&mut self, snapshot: &Snapshot, row: &RawRow) -> Result<(), ReadError> {
        let (key, sealed) = row;
        let Ok((_, content)) = row::unseal(key, sealed) else {
            self.report.damaged(|| format!("the row {}", readable(key)));
            self.sum.add(key, sealed);
            return Ok(());
        };
        match Row::parse(key) {
            Some(Row::Meta) => {
                self.state = State::decode(content);
                return Ok(());
            }
            Some(Row::Value { table, .. }) => self.report.tables.entry(table.to_owned()).or_default().add(row),
            Some(Row::Head(stream)) => {
                self.report.streams += 1;
                self.head(snapshot, &stream, Head::decode(content)).await?;
            }
            Some(Row::Record(stream, position)) => {
                self.report.records.add(row);
                self.record(snapshot, stream, Record::decode(position, content), position).await?;
            }
            None => self.report.damaged(|| format!("the key {}", readable(key))),
        }
        self.sum.add(key, sealed);
        Ok(())
    }

    /// A head must not promise records when there are none; if there are, they are checked when they come by.
    async fn head(&mut self, snapshot: &Snapshot, stream: &Stream, head: Option<Head>) -> Result<(), ReadError> {
        match head {
            None => self.report.damaged(|| format!("the head of stream {stream}")),
            Some(head) if head.position > head.truncated => {
                if let Ok(records) = snapshot.read(stream, Position::START, 1).await
                    && records.is_empty()
                {
                    self.report.damaged(|| format!("all records of stream {stream} are missing"));
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    async fn record(&mut self, snapshot: &Snapshot, stream: Stream, record: Option<Record>, position: Position) -> Result<(), ReadError> {
        if self.chain.as_ref().is_none_or(|chain| chain.stream != stream) {
            self.close_chain();
            // A head that cannot be read was reported when it came by itself.
            let head = snapshot.head(&stream).await.unwrap_or(Head::EMPTY);
            let reached = Head { position: head.truncated, hash: head.truncated_hash, ..head };
            self.chain = Some(Chain { stream, head, reached });
        }
        let Some(Chain { stream, reached, .. }) = &mut self.chain else { return Ok(()) };
        let linked = record.as_ref().is_some_and(|record| {
            position == reached.position.next() && record.hash == reached.hash.next(stream, position, &record.payload)
        });
        if !linked {
            self.report.damaged(|| format!("the chain of stream {stream} does not lead to {position}"));
        }
        reached.position = position;
        reached.hash = record.map_or(reached.hash, |record| record.hash);
        Ok(())
    }

    fn close_chain(&mut self) {
        if let Some(Chain { stream, head, reached }) = self.chain.take()
            && (head.position, head.hash) != (reached.position, reached.hash)
        {
            self.report.damaged(|| format!("stream {stream} ends at {}, but its head says {}", reached.position, head.position));
        }
    }

    fn finish(mut self) -> Report {
        self.close_chain();
        match self.state {
            Some(state) if state.sum == self.sum => {}
            // A store that nothing was ever written to has no state.
            None if self.sum == Sum::default() => {}
            _ => self.report.damaged(|| "the rows are not those that were written: one is missing, changed or too many".to_owned()),
        }
        self.report
    }
}
