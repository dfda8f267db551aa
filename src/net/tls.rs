//! TLS by rustls, with our own judge of clients' chains.

use crate::{CertificateSource, ClientJudge, Gate, Peer, Stream, clients::Verifier};
use gatehouse_base::Clock;
use rustls::{
    ConfigBuilder, ServerConfig, WantsVerifier,
    crypto::{CryptoProvider, ring},
    server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert, WantsServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct Tls {
    resolver: Arc<Resolver>,
    alpn: Vec<Vec<u8>>,
    clients: Clients,
}

/// What clients have to present.
#[derive(Debug)]
enum Clients {
    /// Nothing: one configuration serves all connections.
    Nothing(Arc<ServerConfig>),
    /// A chain. Each connection gets a configuration of its own, whose verifier keeps the chain that it found; making
    /// one costs microseconds beside a handshake.
    Chain { judge: Arc<dyn ClientJudge>, clock: Arc<dyn Clock>, provider: Arc<CryptoProvider> },
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
        let (resolver, alpn) = (Arc::new(Resolver(source)), owned(alpn));
        let config = finish(builder(provider()).with_no_client_auth(), &resolver, &alpn);
        Self { resolver, alpn, clients: Clients::Nothing(Arc::new(config)) }
    }

    /// The same, and lets in only clients whose chain the judge finds good.
    pub fn with_clients(source: Arc<dyn CertificateSource>, alpn: &[&[u8]], judge: Arc<dyn ClientJudge>, clock: Arc<dyn Clock>) -> Self {
        Self { resolver: Arc::new(Resolver(source)), alpn: owned(alpn), clients: Clients::Chain { judge, clock, provider: provider() } }
    }

    pub(crate) fn source(&self) -> Arc<dyn CertificateSource> {
        Arc::clone(&self.resolver.0)
    }

    pub(crate) async fn accept(&self, tcp: TcpStream, address: SocketAddr, gate: &Gate) -> Result<(Stream, Peer), HandshakeError> {
        // A peer that sends nothing waits here and takes nobody's turn.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        let _turn = gate.handshake().await;
        let (config, verifier) = self.config();
        let stream = hello.into_stream(config).await?;
        let chain = verifier.and_then(|verifier| verifier.found());
        let peer = Peer::unproven(address).speaking(stream.get_ref().1.alpn_protocol()).proven(chain);
        Ok((Stream::tls(stream), peer))
    }

    fn config(&self) -> (Arc<ServerConfig>, Option<Arc<Verifier>>) {
        match &self.clients {
            Clients::Nothing(config) => (Arc::clone(config), None),
            Clients::Chain { judge, clock, provider } => {
                let verifier = Arc::new(Verifier::new(Arc::clone(judge), Arc::clone(clock)));
                let builder = builder(Arc::clone(provider)).with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>);
                (Arc::new(finish(builder, &self.resolver, &self.alpn)), Some(verifier))
            }
        }
    }
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

fn builder(provider: Arc<CryptoProvider>) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("ring's suites cover TLS 1.2 and 1.3")
}

fn finish(builder: ConfigBuilder<ServerConfig, WantsServerCert>, resolver: &Arc<Resolver>, alpn: &[Vec<u8>]) -> ServerConfig {
    let mut config = builder.with_cert_resolver(Arc::clone(resolver) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = alpn.to_vec();
    // A resumed session calls no verifier and shows no new certificate: every connection proves itself anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[derive(Debug)]
struct Resolver(Arc<dyn CertificateSource>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current()?.certified())
    }
}
