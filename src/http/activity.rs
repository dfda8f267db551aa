//! Whether anything happens on a connection.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// What is known about a connection's requests.
#[derive(Debug)]
pub(crate) struct Activity {
    working: AtomicUsize,
    last: Mutex<Instant>,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { working: AtomicUsize::new(0), last: Mutex::new(Instant::now()) })
    }

    /// A request is worked on until the answer is dropped. Its own time limit holds meanwhile.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.working.fetch_add(1, Ordering::SeqCst);
        Work(Arc::clone(self))
    }

    /// When the connection will have been idle for this long, as far as can be told now.
    pub(crate) fn idle_at(&self, timeout: Duration) -> Instant {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = if self.working.load(Ordering::SeqCst) > 0 { Instant::now() } else { last };
        since + timeout
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// A request that is worked on.
#[derive(Debug)]
pub(crate) struct Work(Arc<Activity>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.touch();
        self.0.working.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An answer's body that reports when a piece of it is taken. A peer that reads nothing makes its connection idle,
/// because nothing is taken from here once the buffers are full.
#[derive(Debug)]
pub(crate) struct WatchedBody {
    body: Body,
    activity: Arc<Activity>,
}

impl WatchedBody {
    pub(crate) fn new(body: Body, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.activity.touch();
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
