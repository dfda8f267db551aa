//! What tests of several crates share: other people's servers, processes that cannot be left behind, and a disk
//! that fails on purpose.
//!
//! * [`Postgres`], [`Nats`] and [`openssl`] start real services and tools in temporary directories, on ports that
//!   were free, and take them away again. [`require_tool`] skips with a printed reason what a developer's machine
//!   lacks and fails in continuous integration.
//! * [`mail`] starts a mail server that treats some letters badly.
//! * [`provider`] is an OpenID provider that does what a test wants.
//! * [`server`] starts the product itself, on ports that the system chooses.
//! * [`process`] starts children that die with the test.
//! * [`cores`] gives a server a core for itself and says what it takes.
//! * [`faults`] holds the store to its promise under power loss, killing, full and failing disks and flipped bits.
//!
//! Nothing in the product depends on this crate.

pub mod cores;
pub mod faults;
pub mod mail;
mod nats;
mod openssl;
mod postgres;
pub mod process;
pub mod provider;
pub mod server;
mod tools;

pub use nats::Nats;
pub use openssl::openssl;
pub use postgres::{Durability, Postgres};
pub use tools::{is_root, missing, require_python, require_tool};
