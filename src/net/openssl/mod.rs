//! OpenSSL, for peers that rustls cannot serve: constrained devices with CCM suites, and everything over DTLS.
//!
//! [`ServerContexts`] makes the server's end of a connection and [`ClientContext`] the client's, for TLS and for DTLS alike. What a peer
//! presents is judged by `pki` inside the handshake and kept with the connection; OpenSSL's own store decides nothing. The
//! contexts offer ephemeral key agreement with authenticated encryption and nothing else.
//!
//! Nothing here moves bytes: `tls` puts a connection on a TCP stream, and `dtls` on datagrams.

mod client;
mod context;
pub(crate) mod ffi;
mod keys;
mod presented;
mod prf;

pub(crate) use client::ClientContext;
pub(crate) use context::{ContextError, ServerContexts, Transport};
pub(crate) use ffi::{cipher, forget_errors};
pub(crate) use presented::{found, judge_again, refusal};
pub(crate) use prf::expand;
