//! The one thread that writes.
//!
//! Callers hand in batches; the committer takes all that are waiting, checks each one's conditions against what
//! the ones before it leave behind, writes the lot as one atomic set of rows, waits until that is durable, and
//! only then answers anybody. Many callers so share one flush, and nobody sees a race.
//!
//! When the engine fails the store is poisoned. A failed fsync may have thrown dirty pages away, so a second one
//! that succeeds proves nothing: everything after it is refused until the files were opened again.

use super::{Shared, view};
use crate::{
    Batch, Commit, CommitError, Head, MAX_BATCH_OPERATIONS, Metrics, Position, RawRow, ReadError, Record, Stream, Version,
    batch::{Condition, Operation},
    error::readable,
    metrics::count,
    row::{self, State},
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::{mpsc, oneshot};

/// The most batches that share one flush.
const GROUP: usize = 512;
/// A group takes no more batches when it is as large as this.
const GROUP_BYTES: usize = 16 << 20;

pub(super) enum Job {
    Commit { batch: Batch, answer: oneshot::Sender<Result<Commit, CommitError>> },
    Import { rows: Vec<RawRow>, last: bool, answer: oneshot::Sender<Result<(), CommitError>> },
}

/// Starts the thread. It ends when all senders of the queue are gone and the queue is empty.
pub(super) fn spawn(shared: Arc<Shared>, state: State, mut queue: mpsc::Receiver<Job>) -> io::Result<JoinHandle<()>> {
    let mut committer = Committer { shared, state, import: Import::None };
    std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            let mut bytes = group[0].bytes();
            while group.len() < GROUP && bytes < GROUP_BYTES {
                let Ok(job) = queue.try_recv() else { break };
                bytes += job.bytes();
                group.push(job);
            }
            // Whatever panicked, the rows that were on their way are in an unknown state.
            if catch_unwind(AssertUnwindSafe(|| committer.serve(group))).is_err() {
                committer.shared.poison("the committer panicked");
            }
        }
    })
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit { batch, .. } => batch.bytes(),
            Self::Import { rows, .. } => rows.iter().map(|(key, value)| key.len() + value.len()).sum(),
        }
    }

    fn refuse(self, error: CommitError) {
        // A caller that went away does not want the answer.
        match self {
            Self::Commit { answer, .. } => drop(answer.send(Err(error))),
            Self::Import { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// Answers a caller, once it is known whether the group is durable.
type Reply = Box<dyn FnOnce(Result<(), CommitError>)>;

struct Committer {
    shared: Arc<Shared>,
    /// The state after the last durable group.
    state: State,
    import: Import,
}

/// How far an import into this store has come.
#[derive(Clone, Copy)]
enum Import {
    None,
    /// Rows arrive. The state that the exported store had is known when its row has come by.
    Running {
        exported: Option<State>,
    },
}

impl Committer {
    fn serve(&mut self, group: Vec<Job>) {
        if let Some(refusal) = self.refusal() {
            for job in group {
                count(&self.shared.metrics.failures, 1);
                job.refuse(refusal.clone());
            }
            return;
        }
        let (mut rows, mut state) = (Rows::default(), self.state);
        let mut answers: Vec<Reply> = Vec::with_capacity(group.len());
        for job in group {
            match job {
                Job::Commit { batch, answer } => {
                    let outcome = self.decide(&batch, &rows, state.sequence).map(|(written, commit)| {
                        rows.add(written, &mut state);
                        state.sequence = commit.version.0;
                        commit
                    });
                    count_outcome(&self.shared.metrics, &outcome, batch.bytes());
                    // A caller that went away does not want the answer.
                    answers.push(Box::new(move |durable| drop(answer.send(durable.and(outcome)))));
                }
                Job::Import { rows: exported, last, answer } => {
                    let outcome = self.import(exported, last, &mut rows, &mut state);
                    answers.push(Box::new(move |durable| drop(answer.send(durable.and(outcome)))));
                }
            }
        }
        // A refusal may rest on what an earlier batch of the group writes, so it waits for the disk as well.
        let durable = self.write(rows, state).map_err(|reason| {
            self.shared.poison(&reason);
            CommitError::Uncertain { reason }
        });
        for answer in answers {
            answer(durable.clone());
        }
    }

    /// Why no batch is taken now, whatever is in it.
    fn refusal(&self) -> Option<CommitError> {
        if let Some(reason) = self.shared.poison.get() {
            return Some(CommitError::Poisoned { reason: reason.clone() });
        }
        self.shared.short_of_room().map(|free| CommitError::DiskFull { free, reserve: self.shared.reserve_bytes })
    }

    /// Checks a batch's conditions and finds the rows it writes.
    fn decide(&self, batch: &Batch, group: &Rows, sequence: u64) -> Result<(Rows, Commit), CommitError> {
        if let Import::Running { .. } = self.import {
            return Err(CommitError::Importing);
        }
        let version = Version(sequence + 1);
        let mut work = Work { shared: &self.shared, group, rows: Rows::default(), version };
        for condition in &batch.conditions {
            work.check(condition)?;
        }
        let mut appended = Vec::new();
        for operation in &batch.operations {
            match operation {
                Operation::Put(table, key, value) => work.set(row::value_key(*table, key), Some(value))?,
                Operation::Delete(table, key) => work.set(row::value_key(*table, key), None)?,
                Operation::Append(stream, payload) => appended.push(work.append(stream, payload)?),
                Operation::Truncate(stream, through) => work.truncate(stream, *through)?,
            }
        }
        Ok((work.rows, Commit { version, appended }))
    }

    /// Takes exported rows as they are. Until the last ones a mark says that rows are missing; at the end the sum
    /// over all that came must be the one that the exported store had.
    fn import(&mut self, exported: Vec<RawRow>, last: bool, rows: &mut Rows, state: &mut State) -> Result<(), CommitError> {
        let mut source = match self.import {
            Import::Running { exported } => exported,
            Import::None if *state == State::default() => None,
            Import::None => return Err(CommitError::NotEmpty),
        };
        let mut taken = Rows::default();
        for (key, sealed) in exported {
            let damaged = || ReadError::Damaged { what: format!("the exported row {}", readable(&key)) };
            let (_, content) = row::unseal(&key, &sealed).map_err(|_| damaged())?;
            if key == row::STATE {
                source = Some(State::decode(content).ok_or_else(damaged)?);
            } else {
                taken.0.insert(key, Change { before: None, after: Some(sealed) });
            }
        }
        rows.add(taken, state);
        if last {
            let source = source.filter(|source| source.sum == state.sum);
            let source = source.ok_or_else(|| ReadError::Damaged { what: "the export (rows are missing or came twice)".to_owned() })?;
            state.sequence = source.sequence;
            rows.0.insert(row::IMPORTING.to_vec(), Change { before: None, after: None });
            self.import = Import::None;
        } else {
            let mark = row::seal(row::IMPORTING, Version(0), &[]);
            rows.0.insert(row::IMPORTING.to_vec(), Change { before: None, after: Some(mark) });
            self.import = Import::Running { exported: source };
        }
        Ok(())
    }

    /// Makes the rows durable, together with the state, and shows them to readers.
    fn write(&mut self, mut rows: Rows, state: State) -> Result<(), String> {
        if rows.0.is_empty() && state == self.state {
            return Ok(());
        }
        let version = Version(state.sequence);
        let before = self.shared.engine.get(row::STATE).map_err(|error| error.0)?;
        rows.0.insert(row::STATE.to_vec(), Change { before, after: Some(row::seal(row::STATE, version, &state.encode())) });
        self.shared.history.keep(version, rows.0.iter_mut().map(|(key, change)| (key.clone(), change.before.take())));

        let written: Vec<_> = rows.0.iter().map(|(key, change)| (key.as_slice(), change.after.as_deref())).collect();
        let started = Instant::now();
        self.shared.engine.write(&written).map_err(|error| error.0)?;
        let metrics = &self.shared.metrics;
        count(&metrics.flushes, 1);
        count(&metrics.flush_micros, u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));

        if let Some(directory) = &self.shared.directory {
            directory.witness(state.sequence).map_err(|error| error.to_string())?;
        }
        self.shared.history.publish(version);
        self.state = state;
        Ok(())
    }
}

fn count_outcome(metrics: &Metrics, outcome: &Result<Commit, CommitError>, bytes: usize) {
    match outcome {
        Ok(_) => {
            count(&metrics.commits, 1);
            count(&metrics.bytes, bytes as u64);
        }
        Err(CommitError::Conflict { .. }) => count(&metrics.conflicts, 1),
        Err(_) => count(&metrics.failures, 1),
    }
}

/// Rows to write, by key.
#[derive(Default)]
struct Rows(BTreeMap<Vec<u8>, Change>);

struct Change {
    /// The sealed value that is there before.
    before: Option<Vec<u8>>,
    /// The one that is there afterwards.
    after: Option<Vec<u8>>,
}

impl Rows {
    /// Adds what the next batch of the group writes, and keeps the sum over all rows.
    fn add(&mut self, later: Self, state: &mut State) {
        for (key, change) in later.0 {
            if let Some(before) = &change.before {
                state.sum.remove(&key, before);
            }
            if let Some(after) = &change.after {
                state.sum.add(&key, after);
            }
            match self.0.entry(key) {
                Entry::Vacant(entry) => drop(entry.insert(change)),
                Entry::Occupied(mut entry) => entry.get_mut().after = change.after,
            }
        }
    }
}

/// One batch, being worked on: sees what the batches before it in the group leave behind.
struct Work<'a> {
    shared: &'a Shared,
    group: &'a Rows,
    rows: Rows,
    version: Version,
}

impl Work<'_> {
    fn check(&self, condition: &Condition) -> Result<(), CommitError> {
        let (table, key) = condition.place();
        let raw = row::value_key(table, key);
        let found = self.current(&raw)?.map(|sealed| view::entry(table, key, &raw, &sealed)).transpose()?;
        let holds = match condition {
            Condition::Absent(..) => found.is_none(),
            Condition::AtVersion(_, _, version) => found.is_some_and(|entry| entry.version == *version),
        };
        if holds { Ok(()) } else { Err(CommitError::Conflict { table, key: key.to_vec() }) }
    }

    fn append(&mut self, stream: &Stream, payload: &[u8]) -> Result<Position, CommitError> {
        let mut head = self.head(stream)?;
        head.position = head.position.next();
        head.hash = head.hash.next(stream, head.position, payload);
        let record = Record { position: head.position, payload: payload.to_vec(), hash: head.hash };
        self.set(row::record_key(stream, head.position), Some(&record.encode()))?;
        self.set(row::head_key(stream), Some(&head.encode()))?;
        Ok(head.position)
    }

    fn truncate(&mut self, stream: &Stream, through: Position) -> Result<(), CommitError> {
        let mut head = self.head(stream)?;
        if through > head.position {
            return Err(CommitError::BehindTheEnd { stream: stream.clone(), end: head.position, through });
        }
        if through <= head.truncated {
            return Ok(());
        }
        let operations = usize::try_from(through.0 - head.truncated.0).unwrap_or(usize::MAX);
        if operations > MAX_BATCH_OPERATIONS {
            return Err(CommitError::TooMany { operations, most: MAX_BATCH_OPERATIONS });
        }
        let last = row::record_key(stream, through);
        let sealed = self.current(&last)?;
        head.truncated_hash =
            sealed.map_or_else(|| Err(view::missing(stream, through)), |sealed| view::record(stream, &last, &sealed))?.hash;
        for position in head.truncated.0 + 1..=through.0 {
            self.set(row::record_key(stream, Position(position)), None)?;
        }
        head.truncated = through;
        self.set(row::head_key(stream), Some(&head.encode()))
    }

    fn head(&self, stream: &Stream) -> Result<Head, CommitError> {
        let raw = row::head_key(stream);
        Ok(self.current(&raw)?.map_or(Ok(Head::EMPTY), |sealed| view::head(stream, &raw, &sealed))?)
    }

    /// The sealed value that a row has at this point of the batch.
    fn current(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.rows.0.get(key).or_else(|| self.group.0.get(key)) {
            Some(change) => Ok(change.after.clone()),
            None => Ok(self.shared.engine.get(key)?),
        }
    }

    fn set(&mut self, key: Vec<u8>, content: Option<&[u8]>) -> Result<(), CommitError> {
        let after = content.map(|content| row::seal(&key, self.version, content));
        if let Some(change) = self.rows.0.get_mut(&key) {
            change.after = after;
            return Ok(());
        }
        let before = self.current(&key)?;
        // What is overwritten is checked like what is read: damage must not vanish unseen.
        if before.as_ref().is_some_and(|sealed| row::unseal(&key, sealed).is_err()) {
            return Err(ReadError::Damaged { what: format!("the row {}", readable(&key)) }.into());
        }
        self.rows.0.insert(key, Change { before, after });
        Ok(())
    }
}
