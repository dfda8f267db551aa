//! Why there is no connection, and why there is no answer.

use gatehouse_base::{Fault, Kind};
use gatehouse_net as net;
use gatehouse_wire::coap::{
    endpoint::{self, Failure},
    uri::Scheme,
};
use std::{io, net::SocketAddr, sync::Arc};

/// Why a server could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name is not known.
    #[error("the address of {host} could not be found")]
    Lookup {
        /// The host.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The name has no address of the wanted family.
    #[error("{host} has no address of the wanted family")]
    NoAddress {
        /// The host.
        host: String,
    },
    /// A group of hosts cannot be connected to.
    #[error("{0} is a multicast address; one server is asked at a time")]
    Multicast(SocketAddr),
    /// Nothing was said about whom to believe.
    #[error("{0} needs to know which servers are believed: anchors, a fingerprint or a shared key")]
    NoTrust(Scheme),
    /// The system refuses, or nobody listens there.
    #[error("{address} could not be reached")]
    Unreachable {
        /// Where the last attempt went.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] net::ConnectError),
    /// The chain is good and belongs to another server.
    #[error("the server's certificate is not for {expected}, but for {found}")]
    WrongName {
        /// Whom it should be for.
        expected: String,
        /// Whom it is for.
        found: String,
    },
    /// It all took too long.
    #[error("the server did not answer in time")]
    Timeout,
    /// The connection ended before it could be used.
    #[error("the connection ended at once: {0}")]
    Ended(Ending),
}

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] endpoint::RequestError),
    /// It was sent in vain.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// No-Response asked the server to be silent, and it was.
    #[error("the server was asked for silence and kept it")]
    Silent,
    /// The connection ended first.
    #[error("the connection has ended: {0}")]
    Ended(Ending),
}

/// Why a connection is over.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Ending {
    /// We wanted it.
    #[error("it was closed here")]
    Closed,
    /// The server closed it.
    #[error("the server closed it")]
    ByServer,
    /// The server took leave before it closed it.
    #[error("the server took leave")]
    Released,
    /// The server aborted it, for this reason.
    #[error("the server aborted it: {0}")]
    Aborted(String),
    /// The server broke this rule.
    #[error("the server broke a rule: {0}")]
    Broken(String),
    /// The server was silent for longer than keep-alive allows.
    #[error("the server is silent")]
    Silent,
    /// The server does not take what is sent.
    #[error("the server takes nothing")]
    Congested,
    /// The network lost it.
    #[error("{0}")]
    Lost(Arc<io::Error>),
}

impl Fault for ConnectError {
    fn kind(&self) -> Kind {
        match self {
            Self::Multicast(_) | Self::NoTrust(_) => Kind::Invalid,
            Self::Handshake(error) => error.kind(),
            Self::WrongName { .. } => Kind::Unauthenticated,
            Self::Ended(Ending::Broken(_)) => Kind::Invalid,
            Self::Lookup { .. } | Self::NoAddress { .. } | Self::Unreachable { .. } | Self::Timeout | Self::Ended(_) => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Lookup { .. } => "host-lookup",
            Self::NoAddress { .. } => "host-family",
            Self::Multicast(_) => "multicast",
            Self::NoTrust(_) => "no-trust",
            Self::Unreachable { .. } => "unreachable",
            Self::Handshake(error) => error.code(),
            Self::WrongName { .. } => "server-name",
            Self::Timeout => "timeout",
            Self::Ended(_) => "connection-ended",
        }
    }
}

impl Fault for RequestError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotSent(endpoint::RequestError::TooLarge | endpoint::RequestError::NoRequest(_)) => Kind::Invalid,
            Self::NotSent(endpoint::RequestError::Busy) => Kind::Exhausted,
            // What the server sent is wrong; the same request gets the same.
            Self::Failed(Failure::TooLarge | Failure::BadOption | Failure::BadBlocks) | Self::Ended(Ending::Broken(_)) => Kind::Invalid,
            Self::Failed(Failure::Reset) => Kind::Conflict,
            Self::NotSent(_) | Self::Failed(_) | Self::Silent | Self::Ended(_) => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotSent(endpoint::RequestError::Closed) => "closed",
            Self::NotSent(endpoint::RequestError::Busy) => "busy",
            Self::NotSent(endpoint::RequestError::TooLarge) => "request-size",
            Self::NotSent(endpoint::RequestError::NoRequest(_)) => "request-code",
            Self::Failed(Failure::Timeout) => "timeout",
            Self::Failed(Failure::Reset) => "reset",
            Self::Failed(Failure::Cancelled) => "cancelled",
            Self::Failed(Failure::Closed) | Self::Ended(_) => "connection-ended",
            Self::Failed(Failure::TooLarge) => "size",
            Self::Failed(Failure::BadOption) => "unknown-option",
            Self::Failed(Failure::BadBlocks) => "blocks",
            Self::Failed(Failure::Unstable) => "unstable",
            Self::Silent => "silent",
        }
    }
}
