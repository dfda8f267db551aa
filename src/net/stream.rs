//! A connection's bytes, encrypted or not.

use crate::socket::Socket;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tokio_openssl::SslStream;
use tokio_rustls::TlsStream;

/// The most plaintext of one TLS record. Devices have buffers of this size, and no larger ones.
pub const MAX_RECORD: usize = 8192;

/// The most that is thrown away for a peer's sake. More than sockets hold on the way means that it does not listen.
const LINGER_BYTES: u64 = 4 << 20;

/// Bytes from and to a peer.
#[derive(Debug)]
pub struct Stream(Inner);

#[derive(Debug)]
enum Inner {
    Plain(Socket),
    Rustls(Box<TlsStream<Socket>>),
    OpenSsl(Box<SslStream<Socket>>),
}

impl Stream {
    pub(crate) fn plain(socket: Socket) -> Self {
        Self(Inner::Plain(socket))
    }

    pub(crate) fn rustls(tls: impl Into<TlsStream<Socket>>) -> Self {
        Self(Inner::Rustls(Box::new(tls.into())))
    }

    pub(crate) fn openssl(tls: Box<SslStream<Socket>>) -> Self {
        Self(Inner::OpenSsl(tls))
    }

    /// Writes one message in records of its own: no record has the end of one message and the beginning of another.
    ///
    /// Constrained OCF devices read one message from a record and believe the rest to be the next, which never comes. A
    /// message of up to [`MAX_RECORD`] bytes is one record, a longer one several. Whoever writes to a device writes all of
    /// its messages so; over a stream that is not encrypted there are no records, and nothing is lost.
    ///
    /// # Errors
    /// The connection is lost. When the future is dropped before it is done, half a message may have been written.
    pub async fn write_message(&mut self, message: &[u8]) -> io::Result<()> {
        // Both engines make a record of each write and begin a new one with the next.
        self.write_all(message).await?;
        self.flush().await
    }

    /// Closes the connection so that the peer gets what was written. A socket that is closed while the peer still sends
    /// makes the kernel answer with a reset, and a reset takes with it what the peer has not read yet. So our half is
    /// closed first, and what still comes is thrown away until the peer closes its half, the time is over, or it is too much.
    pub async fn linger(mut self, limit: Duration) {
        let throw_away = async {
            self.shutdown().await?;
            // Nobody wants to know what it was: it needs no decryption.
            let socket = match &mut self.0 {
                Inner::Plain(socket) => socket,
                Inner::Rustls(tls) => tls.get_mut().0,
                Inner::OpenSsl(tls) => tls.get_mut(),
            };
            tokio::io::copy(&mut socket.take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // A peer that is gone already, or takes too long, has had its chance.
        let _ = timeout(limit, throw_away).await;
    }

    /// Whether the bytes are encrypted on their way.
    pub fn is_encrypted(&self) -> bool {
        !matches!(self.0, Inner::Plain(_))
    }
}

macro_rules! inner {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match &mut $self.get_mut().0 {
            Inner::Plain(socket) => Pin::new(socket).$method($($argument),*),
            Inner::Rustls(tls) => Pin::new(tls.as_mut()).$method($($argument),*),
            Inner::OpenSsl(tls) => Pin::new(tls.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        inner!(self, poll_write, context, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        inner!(self, poll_write_vectored, context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Inner::Plain(socket) => socket.is_write_vectored(),
            Inner::Rustls(tls) => tls.is_write_vectored(),
            Inner::OpenSsl(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_shutdown, context)
    }
}
