//! What passes between a device and us, as values: bytes come in, typed messages or the broken rule come out.
//!
//! - [`coap`] reads and writes CoAP messages over UDP (RFC 7252) and over TCP (RFC 8323), with the option values that
//!   RFC 7641, 7959, 7967, 8132 and 9175 add. Its endpoint keeps what goes on with one peer: exchanges, repetition, bodies
//!   in blocks, observations, and the bounds of all that.
//! - [`cbor`] walks over payloads whose meaning is the device's own, shows them, and changes them to JSON and back.
//! - [`proxy`] reads what a balancer says of the connection that it brings.
//! - [`tls`] reads what a TLS or DTLS client offers, before any TLS library sees it.
//! - [`webauthn`] takes apart what an authenticator says of a passkey.
//!
//! Doors, clients and the protocol drivers of `net` use it. Nothing here opens a socket, reads a clock, draws a random
//! number or keeps a task; a peer's bytes never panic, and nothing is reserved for what a peer only announces.

pub mod cbor;
pub mod coap;
pub mod proxy;
pub mod tls;
pub mod webauthn;
