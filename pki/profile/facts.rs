//! What the caller knows about a subject, typed.

use crate::name::{CommonName, CrlAddress, DeviceName, Host, OrganisationName, SerialNumber};
use std::{collections::BTreeSet, fmt, time::Duration};

/// What is known about whoever gets a certificate. A profile says which facts it needs; one too few is refused, and
/// one too many as well, because it would silently not be in the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub(crate) device: Option<DeviceName>,
    pub(crate) hub: Option<DeviceName>,
    pub(crate) serial_number: Option<SerialNumber>,
    pub(crate) common_name: Option<CommonName>,
    pub(crate) organisation: Option<OrganisationName>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) crl: Option<CrlAddress>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) options: BTreeSet<String>,
}

impl Facts {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The device that the certificate identifies.
    pub fn device(self, device: DeviceName) -> Self {
        Self { device: Some(device), ..self }
    }

    /// The hub that the certificate identifies to devices.
    pub fn hub(self, hub: DeviceName) -> Self {
        Self { hub: Some(hub), ..self }
    }

    /// The serial number that the maker gave the product.
    pub fn serial_number(self, serial_number: SerialNumber) -> Self {
        Self { serial_number: Some(serial_number), ..self }
    }

    /// The name of a CA or a program.
    pub fn common_name(self, common_name: CommonName) -> Self {
        Self { common_name: Some(common_name), ..self }
    }

    /// The organisation that the subject belongs to.
    pub fn organisation(self, organisation: OrganisationName) -> Self {
        Self { organisation: Some(organisation), ..self }
    }

    /// One more host that the certificate is good for. The first may become the common name.
    pub fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    /// Where the issuer's revocation list is fetched.
    pub fn crl(self, crl: CrlAddress) -> Self {
        Self { crl: Some(crl), ..self }
    }

    /// How long the certificate is wanted; never longer than the profile gives.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }

    /// How long the certificate is wanted, if that was said.
    pub fn wanted_lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Switches one of the profile's options on.
    pub fn option(mut self, name: &str) -> Self {
        self.options.insert(name.to_owned());
        self
    }

    /// The facts that are there, of those that a profile may refuse.
    pub(crate) fn given(&self) -> impl Iterator<Item = Fact> {
        let given = [
            (Fact::Device, self.device.is_some()),
            (Fact::Hub, self.hub.is_some()),
            (Fact::SerialNumber, self.serial_number.is_some()),
            (Fact::CommonName, self.common_name.is_some()),
            (Fact::Organisation, self.organisation.is_some()),
            (Fact::Hosts, !self.hosts.is_empty()),
            (Fact::Crl, self.crl.is_some()),
        ];
        given.into_iter().filter_map(|(fact, there)| there.then_some(fact))
    }
}

/// The kinds of facts that profiles ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// [`Facts::device`].
    Device,
    /// [`Facts::hub`].
    Hub,
    /// [`Facts::serial_number`].
    SerialNumber,
    /// [`Facts::common_name`].
    CommonName,
    /// [`Facts::organisation`].
    Organisation,
    /// [`Facts::host`].
    Hosts,
    /// [`Facts::crl`].
    Crl,
}

impl fmt::Display for Fact {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Device => "the device's name",
            Self::Hub => "the hub's name",
            Self::SerialNumber => "the product's serial number",
            Self::CommonName => "a common name",
            Self::Organisation => "the organisation's name",
            Self::Hosts => "a host name or address",
            Self::Crl => "the address of the revocation list",
        })
    }
}
