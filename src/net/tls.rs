//! TLS by rustls, with our own judge of clients' chains.

use crate::{CertificateSource, Gate, Peer, Stream};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

/// Why a handshake did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("it took too long")]
    Timeout,
    #[error("the client's certificate was refused: {0}")]
    Certificate(rustls::Error),
    #[error("the peer does not speak TLS as we do: {0}")]
    Protocol(rustls::Error),
    #[error("the connection was lost: {0}")]
    Io(io::Error),
}

impl HandshakeError {
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Certificate(_) => "certificate",
            Self::Protocol(_) => "protocol",
            Self::Io(_) => "io",
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) => {
                Self::Certificate(inner.clone())
            }
            Some(inner) => Self::Protocol(inner.clone()),
            None => Self::Io(error),
        }
    }
}

impl Tls {
    /// Presents the source's certificate, asks clients for none, and offers these application protocols, the most
    /// wanted first.
    pub fn new(source: Arc<dyn CertificateSource>, alpn: &[&[u8]]) -> Self {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().expect("ring's suites cover TLS 1.2 and 1.3");
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Resolver(source)));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        forget_sessions(&mut config);
        Self { config: Arc::new(config) }
    }

    pub(crate) async fn accept(&self, tcp: TcpStream, address: SocketAddr, gate: &Gate) -> Result<(Stream, Peer), HandshakeError> {
        // A peer that sends nothing waits here and takes nobody's turn.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        let _turn = gate.handshake().await;
        let stream = hello.into_stream(Arc::clone(&self.config)).await?;
        let peer = Peer::unproven(address).speaking(stream.get_ref().1.alpn_protocol());
        Ok((Stream::tls(stream), peer))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A resumed session calls no verifier and shows no new certificate: every connection proves itself anew.
fn forget_sessions(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

#[derive(Debug)]
struct Resolver(Arc<dyn CertificateSource>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current()?.certified())
    }
}
