//! Who is at the other end of a connection.

use crate::Engine;
use gatehouse_pki::VerifiedChain;
use openssl::ssl::SslRef;
use std::{net::SocketAddr, sync::Arc};

/// The other end of a connection, as far as its handshake has shown it.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    engine: Option<Engine>,
    agreed: Option<(&'static str, String)>,
    alpn: Option<Vec<u8>>,
    chain: Option<Arc<VerifiedChain>>,
}

impl Peer {
    /// A peer that has shown nothing but its address.
    pub(crate) fn unproven(address: SocketAddr) -> Self {
        Self { address, engine: None, agreed: None, alpn: None, chain: None }
    }

    pub(crate) fn served_by(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// What OpenSSL has agreed on with a server.
    pub(crate) fn agreeing(mut self, ssl: &SslRef) -> Self {
        self.agreed = Some((ssl.version_str(), ssl.current_cipher().map_or_else(String::new, |cipher| cipher.name().to_owned())));
        self
    }

    pub(crate) fn speaking(mut self, alpn: Option<&[u8]>) -> Self {
        self.alpn = alpn.map(<[u8]>::to_vec);
        self
    }

    pub(crate) fn proven(mut self, chain: Option<Arc<VerifiedChain>>) -> Self {
        self.chain = chain;
        self
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Which TLS engine carries the connection, if it is encrypted.
    pub fn engine(&self) -> Option<Engine> {
        self.engine
    }

    /// Which version of TLS or DTLS was agreed on with a server that we have connected to, as OpenSSL calls it.
    pub fn version(&self) -> Option<&str> {
        self.agreed.as_ref().map(|(version, _)| *version)
    }

    /// Which suite was agreed on with a server that we have connected to, as OpenSSL calls it.
    pub fn suite(&self) -> Option<&str> {
        self.agreed.as_ref().map(|(_, suite)| suite.as_str())
    }

    /// The protocol that both ends agreed on in the handshake (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The chain that it presented, if this listener asks for one. It was good when the connection began.
    pub fn chain(&self) -> Option<&Arc<VerifiedChain>> {
        self.chain.as_ref()
    }
}
