//! Custody of certificate authorities.
//!
//! The `pki` crate knows what a good certificate is; this crate keeps the private keys that sign them and remembers
//! what they signed. The composition root opens the [`Keyring`] when the process starts, after [`process::harden`];
//! the command line does the same when no server runs. Backups go through [`sealed_stream`].
//!
//! Private keys lie in the store, each sealed under a data key of its own; the data keys are wrapped under the
//! key-encryption key, which is kept elsewhere ([`unlock`]) and never in a backup. Keys may also live in a token.
//!
//! What it does not do: it talks to no peer, terminates no TLS and decides no profile.

mod codec;
mod keyring;
pub mod process;
pub mod recipient;
mod seal;
pub mod sealed_stream;
pub mod unlock;

pub use keyring::{KeyInfo, Keyring, KeyringError, NewKey, Tokens};
pub use seal::{LockError, StretchCost};
