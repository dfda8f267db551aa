//! A connection's bytes, encrypted or not.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

/// The most that is thrown away for a peer's sake. More than sockets hold on the way means that it does not listen.
const LINGER_BYTES: u64 = 4 << 20;

/// Bytes from and to a peer.
#[derive(Debug)]
pub struct Stream(Inner);

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn plain(tcp: TcpStream) -> Self {
        Self(Inner::Plain(tcp))
    }

    pub(crate) fn tls(tls: TlsStream<TcpStream>) -> Self {
        Self(Inner::Tls(Box::new(tls)))
    }

    /// Closes the connection so that the peer gets what was written. A socket that is closed while the peer still sends
    /// makes the kernel answer with a reset, and a reset takes with it what the peer has not read yet. So our half is
    /// closed first, and what still comes is thrown away until the peer closes its half, the time is over, or it is too much.
    pub async fn linger(mut self, limit: Duration) {
        let throw_away = async {
            self.shutdown().await?;
            // Nobody wants to know what it was: it needs no decryption.
            let tcp = match self.0 {
                Inner::Plain(tcp) => tcp,
                Inner::Tls(tls) => tls.into_inner().0,
            };
            tokio::io::copy(&mut tcp.take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // A peer that is gone already, or takes too long, has had its chance.
        let _ = timeout(limit, throw_away).await;
    }

    /// Whether the bytes are encrypted on their way.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.0, Inner::Tls(_))
    }
}

macro_rules! inner {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match &mut $self.get_mut().0 {
            Inner::Plain(tcp) => Pin::new(tcp).$method($($argument),*),
            Inner::Tls(tls) => Pin::new(tls.as_mut()).$method($($argument),*),
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
            Inner::Plain(tcp) => tcp.is_write_vectored(),
            Inner::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_shutdown, context)
    }
}
