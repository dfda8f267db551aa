//! The control socket: how the command line talks to the server that runs.
//!
//! An embedded store has one opener, so that a command which needs the store asks the server when one runs. The socket
//! lies in the data directory, only its owner may open it, and the kernel says who is at the other end: this user and
//! root are answered, nobody else. A request is one line of JSON, an answer is one line of JSON, and a connection
//! carries one of each.
//!
//! A part adds its own requests without touching this module: a type that implements [`Request`], one line in the
//! [`Handlers`] that the composition root collects, and [`ask`] on the command line's side.

mod client;
mod protocol;
mod server;

pub use client::{Unreachable, ask};
pub use protocol::{Refusal, Request};
pub use server::{ControlError, ControlSocket, Handlers};
