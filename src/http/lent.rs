//! A stream that comes back when hyper drops it.

use crate::activity::Activity;
use gatehouse_net::Stream;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream on loan. hyper drops what it reads from when a connection has ended, and that would close it abruptly.
#[derive(Debug)]
pub(crate) struct Lent {
    /// There until the drop.
    stream: Option<Stream>,
    back: Arc<Mutex<Option<Stream>>>,
    activity: Arc<Activity>,
}

/// Where the stream is when the loan has ended.
#[derive(Debug)]
pub(crate) struct GivenBack(Arc<Mutex<Option<Stream>>>);

impl Lent {
    /// Lends the stream. What is read from it is reported.
    pub(crate) fn new(stream: Stream, activity: Arc<Activity>) -> (Self, GivenBack) {
        let back = Arc::default();
        (Self { stream: Some(stream), back: Arc::clone(&back), activity }, GivenBack(back))
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut Stream>> {
        self.get_mut().stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl GivenBack {
    /// The stream, if the loan has ended.
    pub(crate) fn take(&self) -> Option<Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

impl AsyncRead for Lent {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.as_mut().stream()?.poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        read
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
