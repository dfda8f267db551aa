//! The end of a connection: what it remembered is given to whoever wanted to know.
//!
//! A session has one [`Life`]. Whatever becomes of the session, the hooks run: it ends the life itself, or its task is
//! dropped or panics, and then they run in tasks of their own for which nobody waits.

use crate::{Connection, Ending, caller::Caller, server::Shared, state::Last};
use std::{any::Any, fmt, pin::Pin, sync::Arc};
use tokio::runtime::Handle;
use tracing::{Instrument, Span, error};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done when a connection has ended.
#[derive(Clone)]
pub(crate) struct Hook(Arc<Begin>);

/// Begins the work, where a value of its type was remembered.
type Begin = dyn Fn(&Last, Connection, Ending) -> Option<Work> + Send + Sync;

impl Hook {
    pub(crate) fn new<T, F, U>(then: F) -> Self
    where
        T: Any + Send + Sync,
        F: Fn(Arc<T>, Connection, Ending) -> U + Send + Sync + 'static,
        U: Future<Output = ()> + Send + 'static,
    {
        let then = Arc::new(then);
        Self(Arc::new(move |last, connection, why| {
            let (then, value) = (Arc::clone(&then), last.get()?);
            Some(Box::pin(async move { then(value, connection, why).await }))
        }))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hook")
    }
}

/// A connection that is not over.
pub(crate) struct Life {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    is_over: bool,
}

impl Life {
    pub(crate) fn new(shared: Arc<Shared>, caller: Arc<Caller>) -> Self {
        Self { shared, caller, is_over: false }
    }

    /// Ends it, and waits until everybody has done what there was to do.
    pub(crate) async fn end(mut self, why: Ending) {
        // Who gives up waiting does not stop what was begun.
        let begun: Vec<_> = self.over(why).into_iter().map(|work| tokio::spawn(work.instrument(Span::current()))).collect();
        for work in begun {
            if let Err(failure) = work.await {
                error!(%failure, "what is done at the end of a connection failed");
            }
        }
    }

    fn over(&mut self, why: Ending) -> Vec<Work> {
        self.is_over = true;
        let last = self.caller.state.seal();
        let connection = || Connection::new(Arc::clone(&self.caller));
        self.shared.router.hooks.iter().filter_map(|hook| (hook.0)(&last, connection(), why)).collect()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.is_over
            && let Ok(handle) = Handle::try_current()
        {
            for work in self.over(Ending::Stopped) {
                handle.spawn(work);
            }
        }
    }
}
