//! What a TLS or DTLS client says first, read before any TLS library sees it.

pub mod client_hello;

pub use client_hello::{ClientHello, HelloError};
