//! The rustls engine.

use super::{Engine, HandshakeError};
use crate::{
    CertificateSource, MAX_RECORD, Peer, Stream,
    clients::{Clients, Verifier},
    socket::Socket,
};
use gatehouse_wire::tls::ClientHello as Hello;
use rustls::{
    ConfigBuilder, ServerConfig, SignatureScheme, SupportedCipherSuite, WantsVerifier,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WantsServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{net::SocketAddr, sync::Arc};
use tokio_rustls::StartHandshake;

/// What rustls counts to a record beside its plaintext.
const RECORD_HEADER: usize = 5;

/// What is presented and asked for.
#[derive(Debug)]
pub(super) struct Modern {
    resolver: Arc<Resolver>,
    provider: Arc<CryptoProvider>,
    alpn: Vec<Vec<u8>>,
    max_record: Option<usize>,
    /// Each connection gets a configuration of its own, whose verifier keeps the chain that it found; making one costs
    /// microseconds beside a handshake.
    clients: Option<Clients>,
    /// Where nothing is asked for, one configuration serves all connections.
    shared: Option<Arc<ServerConfig>>,
}

impl Modern {
    pub(super) fn new(source: Arc<dyn CertificateSource>, alpn: &[&[u8]], clients: Option<Clients>) -> Self {
        let alpn = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let provider = Arc::new(ring::default_provider());
        let mut this = Self { resolver: Arc::new(Resolver(source)), provider, alpn, max_record: None, clients, shared: None };
        if this.clients.is_none() {
            this.shared = Some(Arc::new(this.finish(this.builder().with_no_client_auth())));
        }
        this
    }

    /// The same with records that fit into a device's buffer.
    pub(super) fn with_short_records(mut self) -> Self {
        self.max_record = Some(MAX_RECORD + RECORD_HEADER);
        self.shared = self.shared.take().map(|_| Arc::new(self.finish(self.builder().with_no_client_auth())));
        self
    }

    pub(super) fn source(&self) -> Arc<dyn CertificateSource> {
        Arc::clone(&self.resolver.0)
    }

    /// Whether a handshake with this peer can succeed here: it must offer a suite, a group and a signature that we have.
    pub(super) fn serves(&self, hello: &Hello) -> bool {
        let Some(key) = self.resolver.0.current().map(|credentials| credentials.certified()) else { return true };
        // Who offers TLS 1.3 gets it, and then no suite of TLS 1.2 is used.
        let Some(version) = [&TLS13, &TLS12].into_iter().find(|version| hello.offers_version(version.version.into())) else { return false };
        let is_offered = |suite: &&SupportedCipherSuite| {
            suite.version() == version
                && hello.cipher_suites.contains(&suite.suite().into())
                && suite.usable_for_signature_algorithm(key.key.algorithm())
        };
        let has_suite = self.provider.cipher_suites.iter().any(|suite| is_offered(&suite));
        let has_group = self.provider.kx_groups.iter().any(|group| hello.groups.contains(&group.name().into()));
        let schemes: Vec<_> = hello.signature_algorithms.iter().map(|scheme| SignatureScheme::from(*scheme)).collect();
        has_suite && has_group && key.key.choose_scheme(&schemes).is_some()
    }

    pub(super) async fn accept(&self, hello: StartHandshake<Socket>, address: SocketAddr) -> Result<(Stream, Peer), HandshakeError> {
        let (config, verifier) = self.config();
        let stream = hello.into_stream(config).await?;
        let chain = verifier.and_then(|verifier| verifier.found());
        let peer = Peer::unproven(address).served_by(Engine::Rustls).speaking(stream.get_ref().1.alpn_protocol()).proven(chain);
        Ok((Stream::rustls(stream), peer))
    }

    fn config(&self) -> (Arc<ServerConfig>, Option<Arc<Verifier>>) {
        match (&self.shared, &self.clients) {
            (_, Some(clients)) => {
                let verifier = Arc::new(Verifier::new(clients.clone()));
                let builder = self.builder().with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>);
                (Arc::new(self.finish(builder)), Some(verifier))
            }
            (Some(shared), None) => (Arc::clone(shared), None),
            (None, None) => (Arc::new(self.finish(self.builder().with_no_client_auth())), None),
        }
    }

    fn builder(&self) -> ConfigBuilder<ServerConfig, WantsVerifier> {
        ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("ring's suites cover TLS 1.2 and 1.3")
    }

    fn finish(&self, builder: ConfigBuilder<ServerConfig, WantsServerCert>) -> ServerConfig {
        let mut config = builder.with_cert_resolver(Arc::clone(&self.resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols.clone_from(&self.alpn);
        config.max_fragment_size = self.max_record;
        // A resumed session calls no verifier and shows no new certificate: every connection proves itself anew.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    }
}

#[derive(Debug)]
struct Resolver(Arc<dyn CertificateSource>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current()?.certified())
    }
}
