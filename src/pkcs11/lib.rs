//! Signing keys that never leave a token: PKCS#11 behind the [`Signer`](gatehouse_pki::Signer) of the rule crate.
//!
//! Custody and the factory open a [`Token`] (a security module, a smart card, or SoftHSM) and find or generate a
//! [`TokenKey`] in it, which then stands wherever a key in memory could. P-256 and P-384 are supported; that is what
//! tokens have and devices understand.
//!
//! What goes wrong with tokens shapes this crate. They come and go: a session that was lost is opened again, with a new login,
//! once for each signature. They lock themselves after a few wrong PINs: a PIN that was refused is not tried again.
//! They answer slowly and to few at a time: sessions are pooled, and whoever finds none free waits. They are made by others:
//! each signature is checked before it is believed, with the public key that was found beside the private one.
//!
//! Calls block for as long as the token takes. A vendor's module is foreign code in our process; load only one that is trusted with
//! everything.

mod encoding;
mod error;
mod key;
mod pool;
mod token;

pub use error::TokenError;
pub use key::TokenKey;
pub use token::{Token, TokenLocation};
