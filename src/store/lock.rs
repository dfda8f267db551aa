//! Locks with an end and a fencing number: one node at a time does what must be done once.
//!
//! A lock ends by itself when its holder goes away, so a holder that slept may believe in it a little too long.
//! Therefore what it writes demands the lock's fencing number ([`Batch::require_lock`]): the batch conflicts as
//! soon as somebody else has taken the lock, whatever the holder's clock says.

use crate::{Batch, CommitError, Entry, Key, ReadError, Store, Table, Version};
use gatehouse_base::{Fault, Kind};
use gatehouse_types::UnixTime;
use std::time::Duration;

pub(crate) const LOCKS: Table = Table::new("store-locks");

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    name: String,
    fence: Version,
    lease: Version,
    ends: UnixTime,
}

/// Why a lock was not taken or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("the lock {name} is held by {holder} until {until}")]
    Held {
        /// The lock.
        name: String,
        /// Who has it.
        holder: String,
        /// When it ends, unless it is kept.
        until: UnixTime,
    },
    /// It ended, and somebody else took it, or it was given back.
    #[error("the lock {name} was lost")]
    Lost {
        /// The lock.
        name: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Lock {
    /// The fencing number: higher than that of every holder before.
    pub fn fence(&self) -> Version {
        self.fence
    }

    /// When the lock ends, unless it is kept.
    pub fn ends(&self) -> UnixTime {
        self.ends
    }
}

impl Batch {
    /// Demands that nobody took the lock since.
    #[must_use]
    pub fn require_lock(self, lock: &Lock) -> Self {
        self.require_version(LOCKS, fence_key(&lock.name), lock.fence)
    }
}

impl Store {
    /// Takes a lock for a time. A holder that has it already gets it with a new fencing number: it may be the
    /// same name in a new process.
    pub async fn lock(&self, name: &str, holder: &str, time: Duration, now: UnixTime) -> Result<Lock, LockError> {
        let lease = self.get(LOCKS, lease_key(name)).await?;
        let fence = self.get(LOCKS, fence_key(name)).await?;
        if let (Some(until), Some(other)) = (lease.as_ref().and_then(ends), &fence)
            && until > now
            && other.value != holder.as_bytes()
        {
            let holder = String::from_utf8_lossy(&other.value).into_owned();
            return Err(LockError::Held { name: name.to_owned(), holder, until });
        }
        let ends = now + time;
        let batch = Batch::new()
            .require_unchanged(LOCKS, lease_key(name), lease.as_ref())
            .require_unchanged(LOCKS, fence_key(name), fence.as_ref())
            .put(LOCKS, fence_key(name), holder)
            .put(LOCKS, lease_key(name), ends.millis().to_be_bytes());
        match self.commit(batch).await {
            Ok(commit) => Ok(Lock { name: name.to_owned(), fence: commit.version, lease: commit.version, ends }),
            Err(CommitError::Conflict { .. }) => Err(LockError::Lost { name: name.to_owned() }),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a lock for a time from now on. The fencing number stays.
    pub async fn keep_lock(&self, lock: &mut Lock, time: Duration, now: UnixTime) -> Result<(), LockError> {
        let ends = now + time;
        let batch = Batch::new().require_lock(lock).require_version(LOCKS, lease_key(&lock.name), lock.lease).put(
            LOCKS,
            lease_key(&lock.name),
            ends.millis().to_be_bytes(),
        );
        lock.lease = self.commit(batch).await.map_err(|error| lost(lock, error))?.version;
        lock.ends = ends;
        Ok(())
    }

    /// Gives a lock back before it ends.
    pub async fn unlock(&self, lock: Lock) -> Result<(), LockError> {
        let batch = Batch::new().require_lock(&lock).delete(LOCKS, fence_key(&lock.name)).delete(LOCKS, lease_key(&lock.name));
        self.commit(batch).await.map_err(|error| lost(&lock, error))?;
        Ok(())
    }
}

fn lost(lock: &Lock, error: CommitError) -> LockError {
    match error {
        CommitError::Conflict { .. } => LockError::Lost { name: lock.name.clone() },
        error => error.into(),
    }
}

/// Who holds the lock. Written when it is taken, so its version is the fencing number.
fn fence_key(name: &str) -> Key {
    Key::new().text(name).text("fence")
}

/// When the lock ends. Written when it is kept, too.
fn lease_key(name: &str) -> Key {
    Key::new().text(name).text("lease")
}

fn ends(lease: &Entry) -> Option<UnixTime> {
    lease.value.as_slice().try_into().ok().map(|bytes| UnixTime::from_millis(i64::from_be_bytes(bytes)))
}

impl Fault for LockError {
    fn kind(&self) -> Kind {
        match self {
            Self::Held { .. } | Self::Lost { .. } => Kind::Conflict,
            Self::Read(error) => error.kind(),
            Self::Commit(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "lock-held",
            Self::Lost { .. } => "lock-lost",
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
        }
    }
}
