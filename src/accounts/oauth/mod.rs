//! The OAuth 2 and OpenID provider: programs get access tokens that our keys sign, for themselves or for people who let them.
//!
//! Programs prove themselves in [`http`], where their requests come in; people are asked in [`browser`], on pages of ours. What a person
//! lets a program do is a grant ([`grants`]), which begins with an [authorization code](code) or a [device code](device), goes on by
//! refresh tokens, and ends with the person's password, role or wish.
//!
//! An access token is a JWT in the profile of RFC 9068, so that whoever trusts this issuer can check one without asking. Our own
//! doors ask all the same: a token ends with its client and its grant, and when it is revoked, at once.

mod assertion;
mod browser;
mod client;
mod code;
mod consent;
mod device;
mod device_pages;
mod foreign_pages;
mod forms;
mod grant;
mod grants;
mod http;
mod jwt;
mod keys;
mod metadata;
mod mutual_tls;
mod pages;
mod passkey_pages;
mod queue;
mod redirect;
mod request;
mod scope;
mod token;

pub use assertion::{Jwk, JwkError};
pub use client::{Authentication, COMMAND_LINE, ClientError, ClientId, ClientInfo, NewClient};
pub use consent::ConsentInfo;
pub(crate) use http::routes;
pub use keys::{KeyError, SigningKeys};
pub use mutual_tls::CertificateRule;
pub use redirect::{RedirectUri, RedirectUriError};

pub(crate) use assertion::ASSERTIONS;
pub(crate) use client::{CLIENTS, CLIENTS_OF, Client, ClientKey};
pub(crate) use code::CODES;
pub(crate) use consent::CONSENTS;
pub(crate) use device::{DEVICE_CODES, USER_CODES};
pub(crate) use grant::{Bearer, GrantError, Issued, REVOKED};
pub(crate) use grants::{GRANTS, GRANTS_OF, Proof, REFRESH};
pub(crate) use keys::SIGNING_KEYS;
pub(crate) use mutual_tls::Certified;
pub(crate) use queue::Queue;
#[cfg(test)]
pub(crate) use redirect::encoded;
pub(crate) use request::AuthorizationRequest;
pub(crate) use scope::{Scope, Word};
