//! Representations that follow one another.
//!
//! Observation promises that a peer ends up with the last state, and not that it sees every one (RFC 7641 §1.3). So the
//! source is a [`watch`] channel: a slow peer misses states in between, and nothing is kept for it.

use crate::{Refusal, Response};
use std::pin::Pin;
use tokio::sync::watch;

/// A representation that is waited for: `None` when there will be none.
pub(crate) type Next<'a> = Pin<Box<dyn Future<Output = Option<Result<Response, Refusal>>> + Send + 'a>>;

/// Where the representations after the first come from.
pub(crate) trait Changes: Send + 'static {
    /// The next one.
    fn next(&mut self) -> Next<'_>;
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
    fn next(&mut self) -> Next<'_> {
        Box::pin(async {
            self.states.changed().await.ok()?;
            Some((self.show)(&self.states.borrow_and_update()))
        })
    }
}
