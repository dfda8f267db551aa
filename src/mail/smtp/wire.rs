//! The connection to a mail server, secured as configured, in the form that the SMTP library takes.

use super::{Config, Security, preface};
use crate::carrier::{Blame, NotCarried};
use lettre::transport::smtp::{client::AsyncTokioStream, extension::ClientId};
use rustls::pki_types::ServerName;
use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Connects and secures.
pub(super) async fn open(config: &Config, tls: &TlsConnector, name: &ClientId) -> Result<Box<dyn AsyncTokioStream>, NotCarried> {
    let connected = TcpStream::connect((config.host.as_str(), config.port)).await;
    let refused = |error: io::Error| {
        NotCarried::new(Blame::Server, "connection", format!("{}:{} cannot be reached: {error}", config.host, config.port))
    };
    let mut stream = connected.map_err(refused)?;
    let peer = stream.peer_addr().map_err(refused)?;
    let greeting: &'static [u8] = match config.security {
        Security::Plain => return Ok(Box::new(stream)),
        Security::Tls => b"",
        Security::StartTls => {
            preface::ask_for_tls(&mut stream, name).await?;
            // The library waits for a greeting; the server's own was heard in the clear.
            b"220 secured\r\n"
        }
    };
    let distrusted = |error: String| NotCarried::new(Blame::Server, "tls", format!("{} is not trusted: {error}", config.host));
    let host = ServerName::try_from(config.host.clone()).map_err(|error| distrusted(error.to_string()))?;
    let secured = tls.connect(host, stream).await.map_err(|error| distrusted(error.to_string()))?;
    Ok(Box::new(Wire { greeting, stream: Box::new(secured), peer }))
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

struct Wire {
    /// What is read before anything of the stream.
    greeting: &'static [u8],
    stream: Box<dyn Stream>,
    peer: SocketAddr,
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let (now, later) = self.greeting.split_at(self.greeting.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Wire({})", self.peer)
    }
}
