//! What readers see: the last durable commit, or an earlier one that a snapshot holds on to.
//!
//! Engines differ in what a reader sees while a batch is written, and sled has no snapshots at all. So the
//! committer puts the old value of every row that it is about to write here, and readers look at the engine
//! first and then here: if the row was replaced by a commit later than theirs, the old value is the right one.
//! A value is therefore never seen before it is durable, and a snapshot costs only what is overwritten under it.

use crate::{RawRow, ReadError, Version};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub(super) struct History {
    inner: Mutex<Inner>,
    /// How many bytes of old values snapshots may hold on to.
    most_bytes: usize,
}

struct Inner {
    durable: Version,
    /// Snapshots in use, and how many readers share each.
    pinned: BTreeMap<Version, usize>,
    /// Snapshots of commits before this one were given up.
    oldest: Version,
    replaced: BTreeMap<Vec<u8>, VecDeque<Replaced>>,
    /// The keys of `replaced`, in the order in which they were added.
    order: VecDeque<(Version, Vec<u8>)>,
    bytes: usize,
}

/// A value that readers of commits before `by` still see.
struct Replaced {
    by: Version,
    old: Option<Vec<u8>>,
}

impl History {
    pub(super) fn new(durable: Version, most_bytes: usize) -> Self {
        let inner =
            Inner { durable, pinned: BTreeMap::new(), oldest: Version(0), replaced: BTreeMap::new(), order: VecDeque::new(), bytes: 0 };
        Self { inner: Mutex::new(inner), most_bytes }
    }

    /// Holds on to the last durable commit. Every pin is undone by [`History::unpin`].
    pub(super) fn pin(&self) -> Version {
        let mut inner = self.lock();
        let durable = inner.durable;
        *inner.pinned.entry(durable).or_default() += 1;
        durable
    }

    pub(super) fn unpin(&self, at: Version) {
        let mut inner = self.lock();
        if let Some(count) = inner.pinned.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                inner.pinned.remove(&at);
            }
        }
        inner.forget();
    }

    /// Keeps what the commits up to `by` are about to replace. Called before the engine writes.
    pub(super) fn keep(&self, by: Version, old: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
        let mut inner = self.lock();
        for (key, old) in old {
            inner.bytes += cost(&key, old.as_deref());
            inner.order.push_back((by, key.clone()));
            inner.replaced.entry(key).or_default().push_back(Replaced { by, old });
        }
    }

    /// The commits up to `by` are durable; readers see them from now on.
    pub(super) fn publish(&self, by: Version) {
        let mut inner = self.lock();
        inner.durable = by;
        inner.forget();
        if inner.bytes > self.most_bytes {
            inner.oldest = by;
            inner.forget();
        }
    }

    /// Turns what the engine said about a key into what a reader sees: at a pinned commit, or now.
    pub(super) fn correct(&self, at: Option<Version>, key: &[u8], found: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, ReadError> {
        let inner = self.lock();
        let at = inner.allow(at)?;
        let old = inner.replaced.get(key).and_then(|replaced| replaced.iter().find(|replaced| replaced.by > at));
        Ok(old.map_or(found, |replaced| replaced.old.clone()))
    }

    /// The same for rows of the engine that cover all of `from..to`, in the order of their keys.
    pub(super) fn correct_range(
        &self,
        at: Version,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        found: Vec<RawRow>,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
        let mut rows: BTreeMap<_, _> = found.into_iter().collect();
        let inner = self.lock();
        inner.allow(Some(at))?;
        for (key, replaced) in inner.replaced.range::<[u8], _>((from, to)) {
            match replaced.iter().find(|replaced| replaced.by > at) {
                Some(Replaced { old: Some(old), .. }) => rows.insert(key.clone(), old.clone()),
                Some(Replaced { old: None, .. }) => rows.remove(key),
                None => None,
            };
        }
        Ok(rows)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn allow(&self, at: Option<Version>) -> Result<Version, ReadError> {
        let at = at.unwrap_or(self.durable);
        if at < self.oldest { Err(ReadError::SnapshotExpired) } else { Ok(at) }
    }

    /// Drops the old values that no reader can ask for any more.
    fn forget(&mut self) {
        let first = self.pinned.range(self.oldest..).next().map_or(self.durable, |(version, _)| *version);
        while let Some((_, key)) = self.order.pop_front_if(|(by, _)| *by <= first) {
            let Some(replaced) = self.replaced.get_mut(&key) else { continue };
            if let Some(gone) = replaced.pop_front() {
                self.bytes -= cost(&key, gone.old.as_deref());
            }
            if replaced.is_empty() {
                self.replaced.remove(&key);
            }
        }
    }
}

/// What an old value costs, with the key (kept twice) and the containers around it.
fn cost(key: &[u8], old: Option<&[u8]>) -> usize {
    2 * key.len() + old.map_or(0, <[u8]>::len) + 128
}
