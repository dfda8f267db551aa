//! Foreign OpenID providers: who may sign people in, and who vouches for devices.
//!
//! An organisation has providers of its own, and the operator has those of the whole installation ([`provider`]). A provider is known by
//! its issuer; what it publishes and signs is `gatehouse-openid`'s to judge. What it says about somebody is believed as far as it goes: an
//! organisation's provider speaks for that organisation and nobody else.
//!
//! Whose a device is follows from the issuer and what its tokens say about an owner, mapped to an organisation by hand ([`owner`]): an
//! id that a provider chose is never an organisation's. [`verify`] says which organisation a token speaks for, and why not; [`devices`] gets
//! tokens for devices, and lets devices in by them.

mod devices;
mod enter;
mod error;
mod identity;
mod owner;
mod provider;
mod settings;
mod verify;

pub use devices::{ANY_PROVIDER, DeviceCode, DeviceExchangeError, DeviceTokens};
pub use error::ProviderError;
pub use owner::OwnerInfo;
pub use provider::{ProviderId, ProviderInfo, Tested};
pub use settings::{DeviceSettings, NewProvider, Trust};
pub use verify::{DeviceToken, DeviceTokenError};

pub(crate) use devices::Authority;
pub(crate) use enter::Entered;
pub(crate) use identity::{IDENTITIES, IDENTITIES_OF, Via};
pub use identity::{LinkError, LinkInfo, LinkedBy};
pub(crate) use owner::OWNERS;
pub(crate) use provider::{PROVIDERS, PROVIDERS_BY_ISSUER, PROVIDERS_OF, Provider};
