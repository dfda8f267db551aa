//! The OpenSSL engine over TCP.

use super::{Engine, HandshakeError};
use crate::{
    Peer, Stream,
    openssl::{ServerContexts, found, refusal},
    socket::Socket,
};
use std::{net::SocketAddr, pin::Pin};
use tokio_openssl::SslStream;

pub(super) async fn accept(contexts: &ServerContexts, socket: Socket, address: SocketAddr) -> Result<(Stream, Peer), HandshakeError> {
    let ssl = contexts.connection()?;
    let mut stream = Box::new(SslStream::new(ssl, socket).map_err(|error| HandshakeError::Context(error.into()))?);
    let done = Pin::new(stream.as_mut()).accept().await;
    done.map_err(|error| HandshakeError::constrained(error, refusal(stream.ssl())))?;
    let peer =
        Peer::unproven(address).served_by(Engine::OpenSsl).speaking(stream.ssl().selected_alpn_protocol()).proven(found(stream.ssl()));
    Ok((Stream::openssl(stream), peer))
}
