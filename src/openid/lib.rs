//! The other side of OpenID: providers that are not ours, as somebody who relies on them sees them.
//!
//! [`Directory`] knows what providers publish about themselves and with which keys they sign: fetched when needed, kept while fresh,
//! used while stale, and asked again for an unknown key only so often, whatever strangers send. [`Signed`] is a token whose signature
//! one of these keys made, by an asymmetric algorithm that goes with the key; [`Signed::access`] and [`Signed::identity`] judge its
//! claims. [`Relying`] asks for authorization, exchanges codes and refreshes tokens as a client of a provider.
//!
//! Every request goes through `gatehouse-outgoing`. The time is an argument or a [`Clock`](gatehouse_base::Clock)'s. Who may rely on
//! which provider, and what follows from a token, is the caller's affair: nothing here knows accounts.

mod client;
mod config;
mod counters;
mod crypto;
mod directory;
mod error;
mod issuer;
mod keys;
mod metadata;
#[cfg(test)]
mod tests;
mod token;

pub use client::{Ask, ExchangeError, Relying, Tokens};
pub use config::Config;
pub use counters::METRICS;
pub use directory::{Directory, Probe};
pub use error::{DirectoryError, TokenRefused};
pub use issuer::{Issuer, IssuerError};
pub use metadata::{Metadata, MixUp};
pub use token::{Access, AccessExpected, Identity, IdentityExpected, Signed, issuer_of};
