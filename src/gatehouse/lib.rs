//! Gatehouse: one program in which devices prove who they are, get an identity and find their cloud.
//!
//! This crate is the composition root, and the only one that knows every other:
//!
//! - [`app`] builds the server: what is configured, bound, served, drained.
//! - [`cli`] is what an operator types, one file a subcommand.
//!
//! Rules about certificates are in `pki`, what is kept is in `store` and `events`, custody of our own keys is in
//! `ca`, sockets and TLS are in `net`, HTTP is in `http`. Each of those crates opens with a page about itself.

pub mod app;
pub mod cli;
mod files;
