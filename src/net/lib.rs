//! Sockets: the one accept loop, TLS, and who is at the other end.
//!
//! The composition root binds a [`Listener`] for each entry of the configuration and runs it in front of a
//! [`Service`], which a door implements (`gatehouse-http` does). A connection passes the [`Gate`], which counts them in
//! total and for each peer network, finishes its handshake within a time limit, and arrives at the service as a
//! [`Connection`]: bytes, a [`Peer`], and the [`Shutdown`] signal that tells it when to finish. Certificates come from a
//! [`CertificateSource`] that is asked in every handshake, so that they change under a running listener. Where clients have
//! to present a chain, a [`ClientJudge`] sees it inside the handshake, and the service gets what `gatehouse-pki` found.
//!
//! Peers that speak in datagrams come through a [`DatagramListener`] to a [`DatagramService`], whole records at a time; the
//! [`DatagramGate`] counts them.
//!
//! Stopping has two steps. When draining begins, the loop takes what the kernel has accepted for it, closes its
//! socket, and waits for the services to finish; when everything has to stop, it drops them.
//!
//! This crate knows no protocol above TLS, reads no configuration but its own section, and decides about no chain
//! itself: `gatehouse-pki` is the only judge.

mod certs;
mod clients;
mod config;
mod connect;
mod dtls;
mod files;
mod gate;
mod listener;
mod live;
mod metrics;
mod openssl;
mod peer;
mod places;
mod proxy;
mod servers;
mod shutdown;
mod socket;
mod stream;
mod tls;
mod udp;

pub use certs::{CertificateSource, Credentials, CredentialsError, FileCertificates};
pub use clients::{ClientJudge, FileClients};
pub use config::Config;
pub use connect::{ClientOptions, ConnectError, Connector};
#[cfg(any(test, fuzzing))]
pub use dtls::fuzzed;
pub use dtls::{Dtls, DtlsClient, DtlsConnector};
pub use files::{FromFiles, watch};
pub use gate::Gate;
pub use listener::{BindError, Connection, Listener, Service};
pub use metrics::METRICS;
pub use peer::Peer;
pub use places::Refused;
pub use proxy::{Network, NetworkError};
pub use servers::{PresharedKey, Refusal, ServerTrust};
pub use shutdown::{Shutdown, Standing};
pub use stream::{MAX_RECORD, Stream};
pub use tls::{Engine, Tls};
pub use udp::{
    Closed, Config as UdpConfig, DatagramConnection, DatagramGate, DatagramListener, DatagramSender, DatagramService, SendError,
};
