//! Events: facts that are committed with the state they changed, and read by whoever comes later.
//!
//! A part of the program that changes something adds its events to the batch that changes the state
//! ([`Record::record`]) and commits both through [`Events::commit`]. Neither exists without the other. An event may
//! go to several streams: its aggregate's (`device/…`) and a topic's (`enrolments`).
//!
//! Readers follow a stream with a [`Subscription`], which remembers in the store how far its consumer came and goes
//! on from there after a restart: at least once, in order, without gaps. The [`Bus`] only wakes them up. It may lose
//! wake-ups; the truth is the log.
//!
//! Streams do not grow for ever. [`Events::retain`] drops the beginning of a stream and leaves a signed
//! [`Checkpoint`] of what was there, so that [`verify`] can tell retention from tampering; [`Events::checkpoint`]
//! signs how far a stream has come. Content about a device or a person is encrypted under a key of that subject
//! ([`ContentKey`]); [`Events::erase`] destroys the key, and the chain over the ciphertext stays whole.
//!
//! This crate decides no retention times and keeps no signing key: it is told what to drop, given a signer, and
//! given the time.

mod bus;
mod checkpoint;
#[cfg(feature = "contract")]
pub mod contract;
mod envelope;
mod erasure;
mod error;
mod subscription;
mod verify;

pub use bus::{Bus, BusError, Listener, LocalBus, Waiting};
pub use checkpoint::{Checkpoint, CheckpointKind};
pub use ciborium::Value;
pub use envelope::{Content, DecodeError, Event, Record, Recorded};
pub use erasure::{ContentKey, KeySealer, SealError};
pub use error::EventError;
pub use subscription::{Delivery, Subscription};
pub use verify::{CheckpointReport, Tampering, verify};

use gatehouse_store::{Batch, Commit, CommitError, Position, Schema, Store, Stream};
use gatehouse_types::Random;
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

/// What this crate keeps in the store, for [`Store::prepare`].
pub const SCHEMA: Schema =
    Schema { name: "events", tables: &[subscription::CURSORS, checkpoint::CHECKPOINTS, erasure::CONTENT_KEYS], migrations: &[] };

/// The log of events, over a store and a bus. Clones are the same log.
#[derive(Clone)]
pub struct Events {
    store: Store,
    bus: Arc<dyn Bus>,
    sealer: Arc<dyn KeySealer>,
    random: Arc<dyn Random>,
    look: Duration,
}

impl Events {
    /// The events in this store. The bus wakes subscribers, the sealer protects content keys at rest.
    pub fn new(store: Store, bus: Arc<dyn Bus>, sealer: Arc<dyn KeySealer>, random: Arc<dyn Random>) -> Self {
        Self { store, bus, sealer, random, look: subscription::LOOK }
    }

    /// How long a subscriber waits for a wake-up before it looks into the log by itself: at most so long does a bus
    /// delay an event when it loses a wake-up, or another process commits without one. Default: 5 seconds.
    #[must_use]
    pub fn look_every(mut self, span: Duration) -> Self {
        self.look = span;
        self
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Listens for wake-ups of a stream, for who keeps no cursor because the work itself is in the store.
    ///
    /// # Errors
    /// The bus takes no more listeners.
    pub fn listen(&self, stream: &Stream) -> Result<Box<dyn Listener>, BusError> {
        self.bus.listen(stream)
    }

    /// Commits a batch, and wakes those who follow the streams that it appends to.
    pub async fn commit(&self, batch: Batch) -> Result<Commit, CommitError> {
        let streams: BTreeSet<Stream> = batch.streams().cloned().collect();
        let commit = self.store.commit(batch).await?;
        for stream in &streams {
            self.bus.wake(stream);
        }
        Ok(commit)
    }

    /// At most `limit` events of a stream from a position on, readable as far as they were not erased.
    pub async fn read(&self, stream: &Stream, from: Position, limit: usize) -> Result<Vec<Recorded>, EventError> {
        let records = self.store.read(stream, from, limit).await?;
        let mut keys = erasure::Keys::new(self);
        let mut events = Vec::with_capacity(records.len());
        for record in records {
            let damaged = |error| EventError::Damaged { stream: stream.clone(), position: record.position, error };
            let envelope = envelope::Envelope::decode(&record.payload).map_err(damaged)?;
            let content = keys.open(&envelope).await?.ok_or_else(|| damaged("its content does not decrypt"))?;
            events.push(Recorded::new(&record, envelope, content));
        }
        Ok(events)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Events").field("store", &self.store).finish_non_exhaustive()
    }
}
