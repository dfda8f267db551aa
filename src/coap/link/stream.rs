//! The way to a peer over TCP or TLS.
//!
//! Reading and writing go on at the same time: two ends that both wait to be read would wait for ever. Each item of the
//! endpoint is written alone and flushed before the next one, so that it gets TLS records of its own: constrained devices
//! take a record for one message. An idle connection holds no buffer.

use super::{Link, Progress};
use crate::trace::Tap;
use bytes::{Buf, Bytes, BytesMut};
use gatehouse_net::Stream;
use gatehouse_wire::coap::endpoint::Endpoint;
use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once; what a TLS record holds at most.
const READ: usize = 16 * 1024;

/// How long what a peer still sends is thrown away after the last message. It costs us nothing but the wait.
const LINGER: Duration = Duration::from_secs(2);

/// A connection's bytes.
pub(crate) struct StreamLink {
    stream: Stream,
    arrived: BytesMut,
    /// How much of that is the beginning of a message that was not there whole.
    kept: usize,
    outgoing: Outgoing,
}

enum Outgoing {
    Nothing,
    Item(Bytes),
    Flush,
}

impl StreamLink {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, arrived: BytesMut::new(), kept: 0, outgoing: Outgoing::Nothing }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.outgoing {
                Outgoing::Nothing => return Poll::Pending,
                Outgoing::Item(item) => {
                    let written = ready!(Pin::new(&mut self.stream).poll_write(context, item))?;
                    if written == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    item.advance(written);
                    if item.is_empty() {
                        self.outgoing = Outgoing::Flush;
                    }
                }
                Outgoing::Flush => {
                    ready!(Pin::new(&mut self.stream).poll_flush(context))?;
                    self.outgoing = Outgoing::Nothing;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // On the stack, because most connections wait most of the time and would all hold one.
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.arrived.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_progress(&mut self, context: &mut Context<'_>, read: bool) -> Poll<io::Result<Progress>> {
        if self.poll_write(context)?.is_ready() {
            return Poll::Ready(Ok(Progress::Sent));
        }
        if !read {
            return Poll::Pending;
        }
        let length = ready!(self.poll_read(context))?;
        Poll::Ready(Ok(if length == 0 { Progress::Lost } else { Progress::Arrived }))
    }
}

impl Link for StreamLink {
    fn is_free(&self) -> bool {
        matches!(self.outgoing, Outgoing::Nothing)
    }

    fn send(&mut self, item: Bytes) {
        self.outgoing = if item.is_empty() { Outgoing::Flush } else { Outgoing::Item(item) };
    }

    async fn progress(&mut self, read: bool) -> Progress {
        // A lost connection is the end of it, whatever the reason.
        poll_fn(|context| self.poll_progress(context, read)).await.unwrap_or(Progress::Lost)
    }

    fn deliver(&mut self, endpoint: &mut Endpoint, tap: &mut Tap, now: Instant) {
        tap.received(self.arrived.get(self.kept..).unwrap_or_default(), self.kept == 0);
        endpoint.handle_bytes(now, &mut self.arrived);
        if self.arrived.is_empty() {
            self.arrived = BytesMut::new();
        }
        self.kept = self.arrived.len();
    }

    async fn finish(self) {
        self.stream.linger(LINGER).await;
    }
}
