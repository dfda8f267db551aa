//! Why there is no answer.

use crate::{BadUrl, Forbidden, Target};
use gatehouse_base::{Fault, Kind};
use std::{io, time::Duration};

/// There is no answer. Nothing here tells what was sent.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The URL is not one that is asked.
    #[error("the URL is not asked: {0}")]
    Url(#[from] BadUrl),
    /// It is in the clear.
    #[error("{target} is not asked: it is in the clear, and [outgoing] does not allow that there")]
    Unencrypted {
        /// What was to be asked.
        target: Target,
    },
    /// The name has no address, or nobody says.
    #[error("the name in {target} has no address")]
    Name {
        /// What was to be asked.
        target: Target,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// One of its addresses is none of the public Internet.
    #[error("{target} is not asked: its address is {}, and [outgoing] does not allow it", why.name())]
    Forbidden {
        /// What was to be asked.
        target: Target,
        /// What the address is.
        why: Forbidden,
    },
    /// No address accepts.
    #[error("{target} cannot be reached")]
    Unreachable {
        /// What was asked.
        target: Target,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// TLS was not agreed on, or the server's certificate is not believed.
    #[error("the server of {target} is not believed")]
    Tls {
        /// What was asked.
        target: Target,
        /// What rustls said.
        #[source]
        source: io::Error,
    },
    /// The answer is no HTTP, its head is too large, or the connection broke.
    #[error("{target} did not answer properly")]
    Broken {
        /// What was asked.
        target: Target,
        /// What happened.
        #[source]
        source: hyper::Error,
    },
    /// The body is too large.
    #[error("the answer of {target} is larger than {most} bytes")]
    TooLarge {
        /// What was asked.
        target: Target,
        /// How large it may be.
        most: usize,
    },
    /// The answer leads elsewhere.
    #[error("{target} answers with a redirection ({status}), and none is followed")]
    Redirection {
        /// What was asked.
        target: Target,
        /// With which status.
        status: u16,
    },
    /// It took too long.
    #[error("{target} did not answer in time")]
    Timeout {
        /// What was asked.
        target: Target,
    },
    /// Too many requests are under way.
    #[error("too many requests to other servers are under way")]
    Busy,
}

impl OutgoingError {
    /// The word for it in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Unencrypted { .. } => "unencrypted",
            Self::Name { .. } => "name",
            Self::Forbidden { why, .. } => why.name(),
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::Broken { .. } => "broken",
            Self::TooLarge { .. } => "too-large",
            Self::Redirection { .. } => "redirection",
            Self::Timeout { .. } => "timeout",
            Self::Busy => "busy",
        }
    }
}

impl Fault for OutgoingError {
    fn kind(&self) -> Kind {
        match self {
            Self::Url(_) | Self::Unencrypted { .. } | Self::Forbidden { .. } => Kind::Invalid,
            _ => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "outgoing-url",
            Self::Unencrypted { .. } => "outgoing-unencrypted",
            Self::Forbidden { .. } => "outgoing-forbidden",
            Self::Name { .. } => "outgoing-name",
            Self::Unreachable { .. } => "outgoing-unreachable",
            Self::Tls { .. } => "outgoing-tls",
            Self::Broken { .. } => "outgoing-broken",
            Self::TooLarge { .. } => "outgoing-too-large",
            Self::Redirection { .. } => "outgoing-redirection",
            Self::Timeout { .. } => "outgoing-timeout",
            Self::Busy => "outgoing-busy",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Busy).then_some(Duration::from_secs(1))
    }
}

/// Nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file with further authorities.
    #[error("the authorities in {path} cannot be used: {reason}")]
    Anchors {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The TLS library.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

impl Fault for SetupError {
    fn kind(&self) -> Kind {
        match self {
            Self::Anchors { .. } => Kind::Conflict,
            Self::Tls(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Anchors { .. } => "outgoing-anchors",
            Self::Tls(_) => "internal",
        }
    }
}
