//! The OAuth 2 and OpenID provider, as far as programs need it: clients with secrets get access tokens that our keys sign.
//!
//! An access token is a JWT in the profile of RFC 9068, so that whoever trusts this issuer can check one without asking. Our own
//! doors ask all the same: a token ends with its client, and when it is revoked, at once.

mod client;
mod grant;
mod http;
mod jwt;
mod keys;

pub use client::{ClientError, ClientId, ClientInfo, NewClient};
pub(crate) use http::routes;
pub use keys::{KeyError, SigningKeys};

pub(crate) use client::{CLIENTS, CLIENTS_OF, Client};
pub(crate) use grant::{GrantError, REVOKED};
pub(crate) use keys::SIGNING_KEYS;
