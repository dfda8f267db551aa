//! Representations that follow one another.
//!
//! Observation promises that a peer ends up with the last state, and not that it sees every one (RFC 7641 §1.3). So the
//! source is a [`watch`] channel: a slow peer misses states in between, and nothing is kept for it.

use crate::{Refusal, Response};
use std::{pin::Pin, time::Duration};
use tokio::{sync::watch, time::timeout};

/// A representation that is waited for: `None` when there will be none.
pub(crate) type Next<'a> = Pin<Box<dyn Future<Output = Option<State>> + Send + 'a>>;

/// A representation, or why there is none any more.
pub(crate) struct State {
    pub(crate) shown: Result<Response, Refusal>,
    /// Whether nothing has changed, and it is only time to see whether anybody still listens.
    pub(crate) again: bool,
}

/// Where the representations after the first come from.
pub(crate) trait Changes: Send + 'static {
    /// The next one, or after so long without one the present one again.
    fn next(&mut self, longest: Option<Duration>) -> Next<'_>;
}

impl Response {
    /// The present state, and for a peer that observes every later one. An error, or the end of the channel, ends the
    /// observation.
    ///
    /// # Errors
    /// The present state cannot be shown.
    pub fn observed<T, F>(mut states: watch::Receiver<T>, show: F) -> Result<Self, Refusal>
    where
        T: Send + Sync + 'static,
        F: Fn(&T) -> Result<Self, Refusal> + Send + Sync + 'static,
    {
        let mut response = show(&states.borrow_and_update())?;
        response.changes = Some(Box::new(Watched { states, show }));
        Ok(response)
    }
}

struct Watched<T, F> {
    states: watch::Receiver<T>,
    show: F,
}

impl<T, F> Changes for Watched<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> Result<Response, Refusal> + Send + Sync + 'static,
{
    fn next(&mut self, longest: Option<Duration>) -> Next<'_> {
        Box::pin(async move {
            let changed = match longest {
                Some(longest) => timeout(longest, self.states.changed()).await,
                None => Ok(self.states.changed().await),
            };
            let again = match changed {
                Ok(changed) => changed.map(|()| false).ok()?,
                Err(_) => true,
            };
            Some(State { shown: (self.show)(&self.states.borrow_and_update()), again })
        })
    }
}
