//! The child that writes until it is stopped, killed or refused.

use super::{
    marks::{Mark, Marks},
    workload::{HEADS, PROBES, Workload, head_key},
};
use gatehouse_store::{Batch, CommitError, Config, Health, Key, Store, Version};
use std::{error::Error, io, path::Path, sync::Arc};

/// After a failure each writer tries so many more batches.
const PROBES_AFTER_FAILURE: usize = 3;

/// What the child does.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// What it writes.
    pub workload: Workload,
    /// Batches per writer; the child goes on from where the store stands.
    pub batches: u64,
    /// How often it closes and opens the store, the work divided between.
    pub sittings: u64,
    /// A fault on purpose, to see whether the suite finds it.
    pub planted: Option<Planted>,
}

/// A store that breaks its promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Planted {
    /// Acknowledges a batch before it is on disk.
    EarlyAcknowledgement,
    /// Writes a batch in two halves.
    HalfApplied,
    /// Forgets one row of a batch.
    ForgottenRow,
    /// Writes another value than the one it was given.
    WrongValue,
    /// Goes on acknowledging after a failure, without writing.
    DeafToFailure,
}

type Failure = Box<dyn Error + Send + Sync>;

/// Opens the store, lets all writers write, and leaves marks.
pub async fn write(config: &Config, marks: &Path, task: Task) -> Result<(), Failure> {
    let marks = Arc::new(Marks::append_to(marks)?);
    for sitting in 1..=task.sittings {
        let store = Store::open(config).await?;
        marks.leave(Mark::Opened)?;
        let until = task.batches * sitting / task.sittings;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..task.workload.writers {
            writers.spawn(Writer { store: store.clone(), marks: Arc::clone(&marks), task, writer }.run(until));
        }
        while let Some(result) = writers.join_next().await {
            result??;
        }
        if matches!(store.health(), Health::Poisoned { .. }) {
            marks.leave(Mark::Poisoned)?;
            return Ok(());
        }
        drop(store);
        marks.leave(Mark::Closed)?;
    }
    Ok(())
}

struct Writer {
    store: Store,
    marks: Arc<Marks>,
    task: Task,
    writer: u64,
}

impl Writer {
    async fn run(self, until: u64) -> Result<(), Failure> {
        let writer = self.writer;
        let head = self.store.get(HEADS, head_key(writer)).await?;
        let mut version = head.as_ref().map(|entry| entry.version);
        let done = head.and_then(|entry| entry.value.try_into().ok()).map_or(0, u64::from_be_bytes);
        for number in done + 1..=until {
            self.marks.leave(Mark::Began { writer, number })?;
            if self.task.planted == Some(Planted::EarlyAcknowledgement) {
                self.marks.leave(Mark::Acknowledged { writer, number })?;
            }
            match self.commit(number, version).await {
                Ok(written) => version = Some(written),
                Err(error @ (CommitError::Uncertain { .. } | CommitError::Poisoned { .. } | CommitError::Read(_))) => {
                    eprintln!("writer {writer}, batch {number}: {error}");
                    self.marks.leave(Mark::Failed { writer, number })?;
                    return self.probe().await;
                }
                Err(error) => return Err(error.into()),
            }
            if self.task.planted != Some(Planted::EarlyAcknowledgement) {
                self.marks.leave(Mark::Acknowledged { writer, number })?;
            }
            if number.is_multiple_of(10)
                && !matches!(self.store.commit(self.task.workload.refused(writer)).await, Err(error) if is_refusal(&error))
            {
                return Err(io::Error::other("a condition that does not hold was not noticed").into());
            }
        }
        Ok(())
    }

    async fn commit(&self, number: u64, version: Option<Version>) -> Result<Version, CommitError> {
        let workload = &self.task.workload;
        let mut plan = *workload;
        let batch = match self.task.planted {
            Some(Planted::HalfApplied) => {
                let rows = workload.changes(self.writer, number).into_iter().filter_map(|(slot, value)| Some((slot, value?)));
                let half = rows.fold(Batch::new(), |batch, (slot, value)| {
                    batch.put(super::workload::ROWS, super::workload::row_key(self.writer, slot), value)
                });
                self.store.commit(half).await?;
                workload.batch(self.writer, number, version)
            }
            Some(Planted::ForgottenRow) if number.is_multiple_of(4) => {
                let slot = workload.changes(self.writer, number).into_keys().next().unwrap_or_default();
                workload.batch(self.writer, number, version).delete(super::workload::ROWS, super::workload::row_key(self.writer, slot))
            }
            Some(Planted::WrongValue) if number.is_multiple_of(4) => {
                plan.seed ^= 1;
                plan.batch(self.writer, number, version)
            }
            _ => workload.batch(self.writer, number, version),
        };
        Ok(self.store.commit(batch).await?.version)
    }

    /// After a failure: does the store still acknowledge anything?
    async fn probe(&self) -> Result<(), Failure> {
        for _ in 0..PROBES_AFTER_FAILURE {
            let batch = Batch::new().put(PROBES, Key::new().number(self.writer), "probe");
            if self.store.commit(batch).await.is_ok() || self.task.planted == Some(Planted::DeafToFailure) {
                self.marks.leave(Mark::ProbeAcknowledged { writer: self.writer })?;
            }
        }
        Ok(())
    }
}

/// A poisoned store refuses for its own reason.
fn is_refusal(error: &CommitError) -> bool {
    matches!(error, CommitError::Conflict { .. } | CommitError::Poisoned { .. } | CommitError::Uncertain { .. })
}
