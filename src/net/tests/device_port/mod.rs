//! A device port as a process of its own, its certificates, and DTLS clients that go as far as they are told.
//!
//! The hostile suite and the handshake benchmark share it: both want a server whose memory and processor time are its own, on a
//! core of its own.

pub(crate) mod chains;
pub(crate) mod client;
pub(crate) mod port;
