//! A device port as a process of its own, its certificates, and DTLS clients that go as far as they are told.
//!
//! The handshake benchmark wants a server whose memory and processor time are its own, on a core of its own. The hostile suite, which
//! attacks the program itself, has the certificates and the clients from here.

pub(crate) mod chains;
pub(crate) mod client;
pub(crate) mod port;
