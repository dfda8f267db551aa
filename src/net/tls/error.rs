//! Why a handshake did not come to its end.

use crate::{
    Refusal,
    openssl::{ContextError, forget_errors},
    socket::TooLong,
};
use gatehouse_wire::tls::HelloError;
use std::io;

/// Why a handshake did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("it took too long")]
    Timeout,
    #[error("the client's certificate was refused: {0}")]
    Certificate(rustls::Error),
    #[error("the client's certificate was refused: {0}")]
    Refused(Refusal),
    #[error("the peer does not speak TLS as we do: {0}")]
    Protocol(rustls::Error),
    #[error("the peer does not speak TLS as we do: {0}")]
    Constrained(openssl::ssl::Error),
    #[error("the peer does not speak TLS: {0}")]
    Hello(HelloError),
    #[error("nothing can be presented to this peer: {0}")]
    Context(#[from] ContextError),
    #[error(transparent)]
    TooLong(TooLong),
    #[error("the connection was lost: {0}")]
    Io(io::Error),
}

impl HandshakeError {
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Certificate(_) | Self::Refused(_) => "certificate",
            Self::Hello(HelloError::TooLong) | Self::TooLong(_) => "length",
            Self::Protocol(_) | Self::Constrained(_) | Self::Hello(_) => "protocol",
            Self::Context(_) => "presented",
            Self::Io(_) => "io",
        }
    }

    /// What OpenSSL says, with what the judge has said before.
    pub(crate) fn constrained(error: openssl::ssl::Error, refusal: Option<&Refusal>) -> Self {
        forget_errors();
        match (refusal, error.into_io_error()) {
            (Some(refusal), _) => Self::Refused(refusal.clone()),
            (None, Ok(lost)) => Self::Io(lost),
            (None, Err(error)) => Self::Constrained(error),
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        if let Some(too_long) = error.get_ref().and_then(|inner| inner.downcast_ref::<TooLong>()) {
            return Self::TooLong(*too_long);
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) => {
                Self::Certificate(inner.clone())
            }
            Some(inner) => Self::Protocol(inner.clone()),
            None => Self::Io(error),
        }
    }
}
