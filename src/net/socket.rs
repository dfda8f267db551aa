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

/// More is to be recorded than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer's first message is longer than {0} bytes")]
pub(crate) struct TooLong(usize);

/// A TCP stream, and of its first bytes those that are to be read again.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    recorded: Vec<u8>,
    /// Of the recorded bytes, how many were read.
    at: usize,
    /// How much is recorded, while it is.
    recording: Option<usize>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, recorded: Vec::new(), at: 0, recording: None }
    }

    /// Keeps what is read from now on. Who reads more than so many bytes gets [`TooLong`].
    pub(crate) fn record(&mut self, most: usize) {
        self.recording = Some(most);
    }

    /// What was read since [`Self::record`].
    pub(crate) fn recorded(&self) -> &[u8] {
        self.recorded.get(..self.at).unwrap_or_default()
    }

    /// Stops keeping; what was kept beyond the first `count` bytes is read again. What lies behind cannot be unread.
    pub(crate) fn continue_after(&mut self, count: usize) {
        self.recording = None;
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
            if this.recording.is_none() && this.at == this.recorded.len() {
                this.recorded = Vec::new();
                this.at = 0;
            }
            return Poll::Ready(Ok(()));
        }
        let Some(most) = this.recording else { return Pin::new(&mut this.tcp).poll_read(context, buffer) };
        let room = most.saturating_sub(this.recorded.len());
        if room == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TooLong(most))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::HandshakeError;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// A stream on which so many bytes have been sent.
    async fn having_sent(count: usize) -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let mut peer = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (tcp, _) = listener.accept().await.expect("accepted");
        peer.write_all(&vec![7; count]).await.expect("sent");
        (peer, Socket::new(tcp))
    }

    #[tokio::test]
    async fn what_was_recorded_is_read_again_and_no_more_is_recorded_than_was_said() {
        let (mut peer, mut socket) = having_sent(1024).await;
        socket.record(1024);
        socket.read_exact(&mut [0; 1024]).await.expect("as much as may be");
        socket.continue_after(24);
        peer.write_all(&[8]).await.expect("sent");
        let mut again = [0; 1001];
        socket.read_exact(&mut again).await.expect("read again");
        assert_eq!((again[..1000] == [7; 1000], again[1000]), (true, 8));

        let (_peer, mut socket) = having_sent(1025).await;
        socket.record(1024);
        let error = socket.read_exact(&mut [0; 1025]).await.expect_err("one byte more");
        let error = HandshakeError::from(error);
        assert_eq!((error.label(), error.to_string()), ("length", "the peer's first message is longer than 1024 bytes".to_owned()));
    }
}
