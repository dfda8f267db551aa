//! The client's side of TLS over TCP, for our own client of device services.
//!
//! OpenSSL serves it alone: a client needs no thousand connections a second, and it must reach peers that have shared keys or
//! CCM suites only. What the server presents is judged by `pki`, or held against the fingerprint that is expected.

use crate::{
    Credentials, Engine, Peer, PresharedKey, Refusal, ServerTrust, Stream,
    openssl::{ClientContext, ContextError, Transport, found, refusal},
    socket::Socket,
    tls::HandshakeError,
};
use std::{io, pin::Pin};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// How a client speaks TLS over TCP. Made once for any number of connections.
#[derive(Debug)]
pub struct Connector {
    context: ClientContext,
}

/// What a client has and wants.
#[derive(Debug)]
pub struct ClientOptions<'a> {
    /// What the server has to present.
    pub trust: ServerTrust,
    /// What is presented to a server that asks for it; its key is ECDSA's, on P-256 or P-384.
    pub credentials: Option<&'a Credentials>,
    /// A key that the server knows. Then the only suites offered are those of shared keys, and the server presents nothing.
    pub shared: Option<PresharedKey>,
    /// The application protocols that are offered, the most wanted first.
    pub alpn: &'a [&'a [u8]],
}

/// No connection to a server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The key cannot be used for this.
    #[error("the key is not ECDSA's, on P-256 or P-384")]
    Key,
    /// The server presented what is not believed.
    #[error("the server's certificate was refused: {0}")]
    Refused(#[source] Refusal),
    /// The two do not speak the same TLS, or the server refuses the client.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// The connection was lost.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
}

impl gatehouse_base::Fault for ConnectError {
    fn kind(&self) -> gatehouse_base::Kind {
        match self {
            Self::Key => gatehouse_base::Kind::Invalid,
            Self::Refused(_) => gatehouse_base::Kind::Unauthenticated,
            Self::Handshake(_) | Self::Lost(_) => gatehouse_base::Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Key => "client-key",
            Self::Refused(_) => "server-refused",
            Self::Handshake(_) => "handshake",
            Self::Lost(_) => "connection-lost",
        }
    }
}

impl Connector {
    /// Prepares what all connections have in common.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(options: ClientOptions<'_>) -> Result<Self, ConnectError> {
        let ClientOptions { trust, credentials, shared, alpn } = options;
        Ok(Self { context: ClientContext::new(Transport::Stream, trust, credentials, shared.as_ref(), alpn)? })
    }

    /// Does the handshake on a connected stream. The name, where there is one, is told to the server, and no more: whoever
    /// wants the certificate to have it compares it with the peer's chain. The caller limits the time.
    ///
    /// # Errors
    /// The server is refused or refuses.
    pub async fn connect(&self, tcp: TcpStream, name: Option<&str>) -> Result<(Stream, Peer), ConnectError> {
        let address = tcp.peer_addr().map_err(ConnectError::Lost)?;
        // Messages are small and written whole: waiting to fill a segment only delays them.
        tcp.set_nodelay(true).map_err(ConnectError::Lost)?;
        let ssl = self.context.connection(name)?;
        let mut stream = Box::new(SslStream::new(ssl, Socket::new(tcp)).map_err(ContextError::from)?);
        let done = Pin::new(stream.as_mut()).connect().await;
        done.map_err(|error| HandshakeError::constrained(error, refusal(stream.ssl())))?;
        let peer = Peer::unproven(address).served_by(Engine::OpenSsl).agreeing(stream.ssl());
        let peer = peer.speaking(stream.ssl().selected_alpn_protocol()).proven(found(stream.ssl()));
        Ok((Stream::openssl(stream), peer))
    }
}

impl From<ContextError> for ConnectError {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::Key | ContextError::NoCredentials => Self::Key,
            ContextError::OpenSsl(errors) => Self::Handshake(errors.to_string()),
        }
    }
}

impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Refused(refusal) => Self::Refused(refusal),
            HandshakeError::Io(error) => Self::Lost(error),
            other => Self::Handshake(other.to_string()),
        }
    }
}
