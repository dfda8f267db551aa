//! Sessions that are lent out one at a time, up to a limit.

use crate::error::TokenError;
use cryptoki::{object::ObjectHandle, session::Session};
use std::{
    num::NonZeroUsize,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Idle sessions, and how many there may be in all.
pub(crate) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
    limit: usize,
}

struct State {
    idle: Vec<Open>,
    /// Idle ones and those that are lent out.
    open: usize,
    /// Sessions of an earlier generation are closed when they come back.
    generation: u64,
}

/// An open session and the keys that were found in it.
struct Open {
    session: Session,
    handles: Vec<(String, ObjectHandle)>,
    generation: u64,
}

/// A borrowed session. Dropped without [`give_back`](Seat::give_back) it is closed.
pub(crate) struct Seat<'a> {
    pool: &'a Pool,
    open: Option<Open>,
    /// Whether its place in the count of open sessions is to be freed with it.
    counted: bool,
}

impl Pool {
    pub(crate) fn new(limit: NonZeroUsize) -> Self {
        let state = State { idle: Vec::new(), open: 0, generation: 0 };
        Self { state: Mutex::new(state), returned: Condvar::new(), limit: limit.get() }
    }

    /// An idle session, or a new one, or the first one that comes back.
    pub(crate) fn take(&self, open: impl FnOnce() -> Result<Session, TokenError>) -> Result<Seat<'_>, TokenError> {
        let mut state = self.lock();
        loop {
            if let Some(open) = state.idle.pop() {
                return Ok(Seat { pool: self, open: Some(open), counted: true });
            }
            if state.open < self.limit {
                break;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.open += 1;
        let generation = state.generation;
        drop(state);
        // The seat counts already; when opening fails its drop frees it.
        let mut seat = Seat { pool: self, open: None, counted: true };
        seat.open = Some(Open { session: open()?, handles: Vec::new(), generation });
        Ok(seat)
    }

    /// Closes the idle sessions, and those that are lent out when they come back.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.generation += 1;
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        drop(state);
        // Closing talks to the token; nobody waits for the lock meanwhile.
        drop(idle);
        self.returned.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    pub(crate) fn session(&self) -> &Session {
        &self.open().session
    }

    /// The handle of a key, looked for once in each session.
    pub(crate) fn handle(
        &mut self,
        label: &str,
        find: impl FnOnce(&Session, &str) -> Result<ObjectHandle, TokenError>,
    ) -> Result<ObjectHandle, TokenError> {
        if let Some((_, handle)) = self.open().handles.iter().find(|(known, _)| known == label) {
            return Ok(*handle);
        }
        let handle = find(self.session(), label)?;
        if let Some(open) = &mut self.open {
            open.handles.push((label.to_owned(), handle));
        }
        Ok(handle)
    }

    /// Leaves the session to the next one.
    pub(crate) fn give_back(mut self) {
        let mut state = self.pool.lock();
        if let Some(open) = self.open.take_if(|open| open.generation == state.generation) {
            state.idle.push(open);
            self.counted = false;
            drop(state);
            self.pool.returned.notify_one();
        }
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect("a seat holds its session until it is given back")
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // Closing talks to the token; nobody waits for the lock meanwhile.
        drop(self.open.take());
        if self.counted {
            self.pool.lock().open -= 1;
            self.pool.returned.notify_one();
        }
    }
}
