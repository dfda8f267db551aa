//! The two CMS messages (RFC 5652) that a factory makes: signed ones, which customers and stations check, and
//! sealed ones, which only a recipient opens. Stock `openssl cms` reads both.
//!
//! They are written here, not by OpenSSL, for two reasons: a signing key may live in a token behind
//! [`gatehouse_pki::Signer`], and sealing a hundred thousand keys with one key agreement each would take longer than
//! making them.

mod agreement;
pub(crate) mod sealed;
pub(crate) mod signed;
