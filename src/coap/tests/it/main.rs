//! The door on real sockets of this machine, driven by the endpoint that it is made of.
#![allow(missing_docs, reason = "tests say what they are by their names")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod conditions;
mod doorstep;
mod endings;
mod limits;
mod observing;
mod remote;
mod requests;
mod secure;
mod sessions;
mod tracing;
mod world;
