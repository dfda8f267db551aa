//! The words that every other crate shares: ids, times and secrets.
//!
//! This is the bottom of the workspace. Nothing here does I/O, reads a clock or draws a random number, and
//! nothing here knows what a certificate, a device or a store is.

mod id;
mod random;
mod secret;
mod time;

pub use id::{DeviceId, GroupId, HubId, IdError, OrganisationId, PersonId};
pub use random::Random;
pub use secret::Secret;
pub use time::{TimeError, UnixTime};
