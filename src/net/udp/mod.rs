//! Peers that speak in datagrams: the sockets, and everything about them that is not cryptography.
//!
//! [`DatagramListener`] binds the sockets and gives each peer to a [`DatagramService`] as a [`DatagramConnection`]. A task for
//! each socket drives `Associations`, which knows whom a datagram is for and who may have a place. How a conversation is
//! secured is an `Engine`: [`dtls`](crate::dtls) is one, and datagrams as they are another. Nothing but the task touches a
//! socket or asks for the time.
//!
//! Whatever peers feed has a limit, in [`Config`] and in the metrics; where one is reached a datagram is thrown away, as
//! every network may do.

pub(crate) mod associations;
mod config;
mod connection;
pub(crate) mod engine;
mod listener;
pub(crate) mod meter;
mod plain;

pub use config::{Config, DatagramGate};
pub use connection::{DatagramConnection, DatagramSender, DatagramService};
pub use engine::{Closed, SendError};
pub use listener::DatagramListener;
