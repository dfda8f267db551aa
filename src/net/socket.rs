//! A TCP stream whose first bytes can be read twice.
//!
//! Whoever decides by what a peer says first (which engine serves it, whether a balancer stands in front of it) records what it reads
//! and then turns the stream back, so that the next reader begins at the beginning. Once the recording has stopped this is the stream
//! itself and one comparison.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The most that is recorded, above what the readers of hellos and of PROXY headers look at.
const MAX_RECORDED: usize = 20 * 1024;

/// A TCP stream, and of its first bytes those that are to be read again.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    recorded: Vec<u8>,
    /// Of the recorded bytes, how many were read.
    at: usize,
    is_recording: bool,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, recorded: Vec::new(), at: 0, is_recording: false }
    }

    /// Keeps what is read from now on.
    pub(crate) fn record(&mut self) {
        self.is_recording = true;
    }

    /// What was read since [`Self::record`].
    pub(crate) fn recorded(&self) -> &[u8] {
        self.recorded.get(..self.at).unwrap_or_default()
    }

    /// Stops keeping; what was kept beyond the first `count` bytes is read again. What lies behind cannot be unread.
    pub(crate) fn continue_after(&mut self, count: usize) {
        self.is_recording = false;
        self.recorded = self.recorded.split_off(count.min(self.recorded.len()));
        self.at = 0;
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(rest @ [_, ..]) = this.recorded.get(this.at..) {
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(rest.get(..count).unwrap_or_default());
            this.at += count;
            if !this.is_recording && this.at == this.recorded.len() {
                this.recorded = Vec::new();
                this.at = 0;
            }
            return Poll::Ready(Ok(()));
        }
        if !this.is_recording {
            return Pin::new(&mut this.tcp).poll_read(context, buffer);
        }
        let room = MAX_RECORDED - this.recorded.len();
        if room == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the peer's first message is too long")));
        }
        let wanted = room.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(wanted));
        std::task::ready!(Pin::new(&mut this.tcp).poll_read(context, &mut part))?;
        this.recorded.extend_from_slice(part.filled());
        this.at = this.recorded.len();
        let count = part.filled().len();
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
