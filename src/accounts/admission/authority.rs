//! By whose word a device is let in: the seam between what devices show at sign-up and those who vouch for them.
//!
//! Our own codes are rows of ours ([`code`](super::code)). Everything else is a token of somebody's, read by a [`DeviceAuthority`]: our own
//! JWT ([`own_token`](super::own_token)), or a foreign issuer that the composition root adds by the provider name that devices send along
//! (`authprovider`). An authority only reads and judges a token. That it is good once, for one key, in one family, is not its business:
//! [`Admissions`](super::Admissions) sees to that for all of them in the same way.

use gatehouse_types::{DeviceId, GroupId, HubId, OrganisationId, Secret, UnixTime};
use std::{error::Error, fmt, pin::Pin};

/// What an authority says about a token.
pub type Judgement<'a> = Pin<Box<dyn Future<Output = Result<Option<Entitlement>, Away>> + Send + 'a>>;

/// Somebody whose tokens let devices in.
pub trait DeviceAuthority: Send + Sync + fmt::Debug {
    /// What a token entitles to at this time; nothing when it is not one of this authority's, or not good. One whose time is over and that
    /// is good otherwise is told with the end that it had: it lets nobody in, and a device may repeat it that got no answer in time.
    ///
    /// # Errors
    /// It could not be found out. The device is told to come again: only a definite no is an answer of nothing.
    fn judge<'a>(&'a self, shown: &'a Secret, now: UnixTime) -> Judgement<'a>;
}

/// Which device may come in, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// What names the token among all of this authority: its `jti`, or the digest of what was signed where there is none. Never the
    /// digest of the whole text: one signature may be written in several ways.
    pub once: String,
    /// Whose the device becomes.
    pub organisation: OrganisationId,
    /// Which one; nothing where the token does not say, and the certificate alone decides.
    pub device: Option<DeviceId>,
    /// At which hub; nothing where it may go to any.
    pub hub: Option<HubId>,
    /// As one of which group.
    pub group: Option<GroupId>,
    /// Until when the token is good.
    pub ends: UnixTime,
}

/// Who vouches cannot be asked at this moment.
#[derive(Debug, thiserror::Error)]
#[error("who vouches for this device cannot be asked now")]
pub struct Away(#[source] pub Box<dyn Error + Send + Sync>);
