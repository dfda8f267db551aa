//! Who shows a code or a token: a device over a connection whose chain was judged, at one of our hubs.

use gatehouse_pki::{DeviceName, Fingerprint, VerifiedChain};
use gatehouse_types::{DeviceId, HubId, OrganisationId};

/// A device as its connection proves it. Nothing that it says in a request is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presenter {
    pub(super) organisation: OrganisationId,
    pub(super) device: DeviceId,
    pub(super) hub: HubId,
    /// The fingerprint of the certificate's key: a renewed certificate with the same key is the same presenter.
    pub(super) key: Fingerprint,
}

/// A certificate that names no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is no device's: its common name is not `uuid:` and an id")]
pub struct NotADevice;

impl Presenter {
    /// The device at the other end of a connection to this hub. Whose it is follows from the anchor of its chain, which the caller knows:
    /// the authority of one organisation says nothing about the devices of another.
    ///
    /// # Errors
    /// The certificate is not a device's.
    pub fn new(chain: &VerifiedChain, organisation: OrganisationId, hub: HubId) -> Result<Self, NotADevice> {
        let leaf = chain.leaf();
        let name: DeviceName = leaf.subject().common_name().and_then(|name| name.parse().ok()).ok_or(NotADevice)?;
        Ok(Self { organisation, device: name.id(), hub, key: leaf.public_key().fingerprint() })
    }

    /// Which device.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Whose.
    pub fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Where.
    pub fn hub(&self) -> HubId {
        self.hub
    }

    #[cfg(test)]
    pub(crate) fn of_key(organisation: OrganisationId, device: DeviceId, hub: HubId, key: u8) -> Self {
        Self { organisation, device, hub, key: Fingerprint::from([key; Fingerprint::LEN]) }
    }
}
