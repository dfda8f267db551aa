//! Passkeys (Web Authentication Level 3): keys that an authenticator holds for us and nobody else, and signs with when its owner is there.
//!
//! A passkey is a second factor beside the password, and a way in without one where the authenticator has seen a finger or a PIN.
//!
//! - [`ceremony`] holds what both halves check, [`registration`] the steps of §7.1 and [`assertion`] those of §7.2. They take bytes and
//!   what is expected, and answer with values that only they make.
//! - [`challenge`] makes what authenticators sign, each good once, for five minutes and for one purpose.
//! - [`keeping`] adds, lists, names and removes, [`sign_in`] lets people in, and [`options`] is what browsers are told to ask for.
//!
//! Who made an authenticator is not asked: statements about that (attestation) are passed over, whatever their format.

mod assertion;
mod ceremony;
mod challenge;
mod error;
mod keeping;
mod options;
mod public_key;
mod registration;
mod sign_in;

pub use assertion::Assertion;
pub use ceremony::Rejection;
pub use error::PasskeyError;
pub use keeping::{NewPasskey, PasskeyInfo};
pub use options::{CreationOptions, RequestOptions};
pub use registration::Registration;

pub(crate) use challenge::{Challenge, Purpose, SPENT};
pub(crate) use keeping::{PASSKEYS, ending_passkeys};
pub(crate) use sign_in::Whose;
