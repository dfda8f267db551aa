//! How a listener speaks TLS: with rustls, and on device ports with OpenSSL beside it.
//!
//! Devices cannot be changed, and some have nothing but CCM suites. rustls, which has none, costs little more than half of OpenSSL's time
//! and memory. So the first message of a peer on a device port is read and kept: where it offers a suite, a group and a signature that
//! rustls has, rustls serves it, and OpenSSL serves the rest. Both ask the same [`ClientJudge`], and both make the same [`Stream`] and
//! [`Peer`]. HTTPS has rustls alone.

mod constrained;
mod error;
mod modern;

pub(crate) use error::HandshakeError;

use crate::{
    CertificateSource, ClientJudge, Gate, Peer, Stream,
    clients::Clients,
    live::Live,
    metrics,
    openssl::{ServerContexts, Transport},
    socket::Socket,
};
use gatehouse_base::Clock;
use gatehouse_wire::tls::{ClientHello, HelloError};
use modern::Modern;
use rustls::server::Acceptor;
use std::{fmt, io, net::SocketAddr, sync::Arc};
use tokio::io::AsyncReadExt;
use tokio_rustls::LazyConfigAcceptor;

/// Which of the two served a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// rustls with ring.
    Rustls,
    /// The system's OpenSSL.
    OpenSsl,
}

impl Engine {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Rustls => "rustls",
            Self::OpenSsl => "openssl",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.label())
    }
}

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct Tls {
    modern: Modern,
    /// On device ports, what serves those that rustls cannot.
    constrained: Option<ServerContexts>,
    /// Where clients present chains, the connections that these let in.
    live: Option<Arc<Live>>,
    only: Option<Engine>,
}

impl Tls {
    /// Presents the source's certificate, asks clients for none, and offers these application protocols, the most
    /// wanted first.
    pub fn new(source: Arc<dyn CertificateSource>, alpn: &[&[u8]]) -> Self {
        Self { modern: Modern::new(source, alpn, None), constrained: None, live: None, only: None }
    }

    /// The same, and lets in only clients whose chain the judge finds good.
    pub fn with_clients(source: Arc<dyn CertificateSource>, alpn: &[&[u8]], judge: Arc<dyn ClientJudge>, clock: Arc<dyn Clock>) -> Self {
        let clients = Clients { judge, clock };
        let live = Some(Live::new(clients.clone()));
        Self { modern: Modern::new(source, alpn, Some(clients)), constrained: None, live, only: None }
    }

    /// A device port: the same with both engines. No record is longer than a device's buffer ([`MAX_RECORD`](crate::MAX_RECORD)).
    /// The certificate must be ECDSA's, on P-256 or P-384. The listener's name keeps its sessions apart from others'.
    pub fn for_devices(
        listener: &str,
        source: Arc<dyn CertificateSource>,
        alpn: &[&[u8]],
        judge: Arc<dyn ClientJudge>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let clients = Clients { judge, clock };
        let constrained = ServerContexts::new(Transport::Stream, listener, Arc::clone(&source), Some(clients.clone()), alpn);
        let live = Some(Live::new(clients.clone()));
        Self { modern: Modern::new(source, alpn, Some(clients)).with_short_records(), constrained: Some(constrained), live, only: None }
    }

    /// The same device port with one engine for everybody, so that the two can be compared.
    #[must_use]
    pub fn only(mut self, engine: Engine) -> Self {
        self.only = Some(engine);
        self
    }

    pub(crate) fn source(&self) -> Arc<dyn CertificateSource> {
        self.modern.source()
    }

    pub(crate) fn live(&self) -> Option<&Arc<Live>> {
        self.live.as_ref()
    }

    pub(crate) async fn accept(
        &self,
        mut socket: Socket,
        address: SocketAddr,
        gate: &Gate,
        listener: &Arc<str>,
    ) -> Result<(Stream, Peer), HandshakeError> {
        // A peer that sends nothing waits for its hello, and takes nobody's turn.
        let served = match &self.constrained {
            Some(contexts) if self.engine_for(&look(&mut socket, gate.first_message()).await?) == Engine::OpenSsl => {
                let _turn = gate.handshake().await;
                constrained::accept(contexts, socket, address).await
            }
            _ => {
                let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
                let _turn = gate.handshake().await;
                self.modern.accept(hello, address).await
            }
        };
        if let Ok((_, peer)) = &served {
            let engine = peer.engine().map_or("none", Engine::label);
            ::metrics::counter!(metrics::SERVED, "listener" => Arc::clone(listener), "engine" => engine).increment(1);
        }
        served
    }

    fn engine_for(&self, hello: &ClientHello) -> Engine {
        self.only.unwrap_or_else(|| if self.modern.serves(hello) { Engine::Rustls } else { Engine::OpenSsl })
    }
}

/// Reads a hello, and leaves it there to be read again. The reader bounds its length, and the caller the time.
async fn look(socket: &mut Socket, most: usize) -> Result<ClientHello, HandshakeError> {
    socket.record(most);
    let mut buffer = [0; 2048];
    loop {
        match ClientHello::from_stream(socket.recorded()) {
            Ok(hello) => {
                socket.continue_after(0);
                return Ok(hello);
            }
            Err(HelloError::Incomplete) if socket.read(&mut buffer).await? > 0 => {}
            Err(HelloError::Incomplete) => return Err(HandshakeError::Io(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(HandshakeError::Hello(error)),
        }
    }
}
