//! Requests that this installation makes of servers that somebody else names: foreign providers, and whatever is told by a URL.
//!
//! A URL that a stranger wrote must not make us a door into our own network. [`Outgoing`] therefore resolves a name once, judges every
//! address that comes out ([`Destinations`]), and connects to the very address that was judged; it follows no redirection, uses no
//! proxy, keeps no cookie and no connection, and bounds time, head, body and the number of requests. Servers are held against the
//! authorities of the system, or of a file, by rustls: like those of mail servers these are chains of the public web, which
//! `gatehouse-pki` does not judge.
//!
//! What is asked, and whether an answer is believed, is the caller's affair.

mod client;
mod config;
mod counters;
mod destination;
mod error;
mod resolve;
mod target;
#[cfg(test)]
mod tests;
mod trust;

pub use client::{Outgoing, Purpose};
pub use config::Config;
pub use counters::METRICS;
pub use destination::{Destinations, Forbidden};
pub use error::{OutgoingError, SetupError};
pub use resolve::{Resolve, Resolved, SystemResolver};
pub use target::{BadUrl, Target};
