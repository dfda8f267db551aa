//! DTLS 1.2 (RFC 6347), on OpenSSL: the only stack with chains, CCM8 and a usable licence.
//!
//! A [`Dtls`] given to [`DatagramListener`](crate::DatagramListener) makes an engine for each of its sockets. A first hello is
//! answered with a cookie and forgotten; only one that brings a valid cookie back becomes an association. What a peer presents is
//! judged by `pki` inside the handshake, also where a session is resumed. One record is one message. When a handshake is finished,
//! the keys are all that is kept of it.
//!
//! Not here: sockets and places (`udp` has them), DTLS 1.3 and connection ids (RFC 9146), which OpenSSL lacks. A device whose address
//! changes resumes its session instead.

mod association;
mod client;
mod connected;
mod cookie;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod protection;
mod record;
mod server;
mod sessions;

pub(crate) use association::OVERHEAD;
pub use client::{DtlsClient, DtlsConnector};
pub use server::Dtls;

#[cfg(test)]
mod tests;
