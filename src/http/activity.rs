//! Whether anything happens on a connection.

use crate::limits::Turn;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// What is known about a connection's requests.
#[derive(Debug)]
pub(crate) struct Activity {
    working: AtomicUsize,
    last: Mutex<Instant>,
    /// Since when the head of a request is awaited or on its way.
    head: Mutex<Option<Instant>>,
    head_began: Notify,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self { working: AtomicUsize::new(0), last: Mutex::new(now), head: Mutex::new(Some(now)), head_began: Notify::new() })
    }

    /// A request is worked on until the answer is dropped. Its own time limit holds meanwhile.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.working.fetch_add(1, Ordering::SeqCst);
        *self.head() = None;
        Work(Arc::clone(self))
    }

    /// Bytes came. When no request is worked on they are the start of one, or more of it.
    pub(crate) fn received(&self) {
        let mut head = self.head();
        if self.working.load(Ordering::SeqCst) == 0 && head.is_none() {
            *head = Some(Instant::now());
            self.head_began.notify_one();
        }
    }

    /// Returns when the first byte of a later head has come.
    pub(crate) async fn head_began(&self) {
        self.head_began.notified().await;
    }

    /// When the head of a request, if one is awaited or on its way, will have taken this long. The first one is awaited
    /// from the start; a later one only from its first byte, because a kept connection may rest.
    pub(crate) fn head_late_at(&self, timeout: Duration) -> Option<Instant> {
        self.head().map(|since| since + timeout)
    }

    /// When the connection will have been idle for this long, as far as can be told now.
    pub(crate) fn idle_at(&self, timeout: Duration) -> Instant {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = if self.working.load(Ordering::SeqCst) > 0 { Instant::now() } else { last };
        since + timeout
    }

    fn head(&self) -> MutexGuard<'_, Option<Instant>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The request's place, held until its answer is gone.
    _turn: Option<Turn>,
}

impl WatchedBody {
    pub(crate) fn new(body: Body, activity: Arc<Activity>, turn: Option<Turn>) -> Self {
        Self { body, activity, _turn: turn }
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
