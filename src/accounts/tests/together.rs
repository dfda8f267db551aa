//! A store on which two decide at the same moment: commits wait for each other, so that each was decided without seeing the other.

use gatehouse_store::{
    Answer, Backend, Batch, Commit, CommitError, Entry, Head, Health, KeyedEntry, Metrics, Position, Range, RawRow, ReadError, Record,
    Snapshot, Store, Stream, Table, View,
};
use std::sync::{Arc, Mutex};
use tokio::sync::Barrier;

/// Who still has to come before the commits go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meeting(Arc<Mutex<Option<Places>>>);

#[derive(Debug)]
struct Places {
    left: usize,
    barrier: Arc<Barrier>,
}

/// The store itself.
pub(super) struct Together {
    store: Store,
    meeting: Meeting,
}

impl Meeting {
    /// The next two commits arrive together.
    pub(super) fn of_two(&self) {
        *self.0.lock().expect("unpoisoned") = Some(Places { left: 2, barrier: Arc::new(Barrier::new(2)) });
    }

    /// Waits until the first of them is there, so that whoever comes next is the second, and goes on first.
    pub(super) async fn first(&self) {
        while self.0.lock().expect("unpoisoned").as_ref().is_some_and(|places| places.left > 1) {
            tokio::task::yield_now().await;
        }
    }

    fn place(&self) -> Option<Arc<Barrier>> {
        let mut meeting = self.0.lock().expect("unpoisoned");
        let Places { left, barrier } = meeting.take()?;
        if left > 1 {
            *meeting = Some(Places { left: left - 1, barrier: Arc::clone(&barrier) });
        }
        Some(barrier)
    }
}

impl Together {
    pub(super) fn store(meeting: &Meeting) -> Store {
        Store::on(Self { store: Store::memory().expect("a store"), meeting: meeting.clone() })
    }
}

impl View for Together {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Answer<'a, Result<Option<Entry>, ReadError>> {
        Box::pin(self.store.get(table, key))
    }

    fn scan<'a>(&'a self, table: Table, range: Range, limit: usize) -> Answer<'a, Result<Vec<KeyedEntry>, ReadError>> {
        Box::pin(self.store.scan(table, range, limit))
    }

    fn head<'a>(&'a self, stream: &'a Stream) -> Answer<'a, Result<Head, ReadError>> {
        Box::pin(self.store.head(stream))
    }

    fn read<'a>(&'a self, stream: &'a Stream, from: Position, limit: usize) -> Answer<'a, Result<Vec<Record>, ReadError>> {
        Box::pin(self.store.read(stream, from, limit))
    }

    fn walk<'a>(&'a self, _: &'a [u8], _: usize) -> Answer<'a, Result<Vec<RawRow>, ReadError>> {
        unreachable!("nobody exports this store")
    }
}

impl Backend for Together {
    fn commit(&self, batch: Batch) -> Answer<'_, Result<Commit, CommitError>> {
        Box::pin(async move {
            if let Some(barrier) = self.meeting.place() {
                barrier.wait().await;
            }
            self.store.commit(batch).await
        })
    }

    fn snapshot(&self) -> Answer<'_, Result<Snapshot, ReadError>> {
        Box::pin(self.store.snapshot())
    }

    fn import(&self, _: Vec<RawRow>, _: bool) -> Answer<'_, Result<(), CommitError>> {
        unreachable!("nobody imports into this store")
    }

    fn health(&self) -> Health {
        self.store.health()
    }

    fn metrics(&self) -> Arc<Metrics> {
        self.store.metrics()
    }
}
