//! Profiles: what a certificate says, decided by us.
//!
//! A profile is a small TOML document; the built-in ones are in `pki/profiles`. It names the facts that it needs and
//! fixes everything else: usages, lifetime, extensions. [`Profile::approve`] takes a request whose signature was
//! checked, and the facts, and yields an [`Approved`]: the only thing that an issuer takes. From the request it
//! takes the key and nothing else.

mod document;
mod facts;
#[cfg(test)]
mod tests;
pub(crate) mod usage;

pub use facts::{Fact, Facts};

use crate::{
    csr::SignedCsr,
    key::{KeyAlgorithm, PublicKey},
    name::{CommonName, CrlAddress, DeviceName, Host, OrganisationName, SerialNumber},
};
use gatehouse_types::UnixTime;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, time::Duration};
use usage::{KeyUse, Purpose};

/// The profiles that come with the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// The anchor of a manufacturer's devices.
    ManufacturerRoot,
    /// A production line's CA.
    ManufacturerIntermediate,
    /// A device's first certificate (IEEE 802.1AR), for life.
    ManufacturerDevice,
    /// The anchor that devices trust provisioning servers by; signs nothing else.
    ServiceRoot,
    /// A provisioning server, as devices see it.
    ProvisioningServer,
    /// The anchor of a customer's devices.
    CustomerRoot,
    /// A CA below a customer's root.
    CustomerIntermediate,
    /// A device's identity in its owner's domain.
    OcfIdentity,
    /// A hub, as devices see it.
    HubServer,
    /// The API and console, as browsers and programs see it.
    ApiServer,
    /// A program that signs in with a certificate.
    AgentClient,
}

impl Builtin {
    /// All of them, anchors first.
    pub const ALL: [Self; 11] = [
        Self::ManufacturerRoot,
        Self::ManufacturerIntermediate,
        Self::ManufacturerDevice,
        Self::ServiceRoot,
        Self::ProvisioningServer,
        Self::CustomerRoot,
        Self::CustomerIntermediate,
        Self::OcfIdentity,
        Self::HubServer,
        Self::ApiServer,
        Self::AgentClient,
    ];

    /// The document, which is also a start for a profile of one's own.
    pub fn toml(self) -> &'static str {
        match self {
            Self::ManufacturerRoot => include_str!("profiles/manufacturer-root.toml"),
            Self::ManufacturerIntermediate => include_str!("profiles/manufacturer-intermediate.toml"),
            Self::ManufacturerDevice => include_str!("profiles/manufacturer-device.toml"),
            Self::ServiceRoot => include_str!("profiles/service-root.toml"),
            Self::ProvisioningServer => include_str!("profiles/provisioning-server.toml"),
            Self::CustomerRoot => include_str!("profiles/customer-root.toml"),
            Self::CustomerIntermediate => include_str!("profiles/customer-intermediate.toml"),
            Self::OcfIdentity => include_str!("profiles/ocf-identity.toml"),
            Self::HubServer => include_str!("profiles/hub-server.toml"),
            Self::ApiServer => include_str!("profiles/api-server.toml"),
            Self::AgentClient => include_str!("profiles/agent-client.toml"),
        }
    }
}

/// A text that is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, or with a key or value that profiles do not have. The text shows the place.
    #[error("the profile cannot be read: {0}")]
    Toml(String),
    /// Longer than any profile.
    #[error("the profile has {0} bytes; at most {MAX_DOCUMENT} are read")]
    TooLong(usize),
    /// It contradicts itself or a rule about certificates.
    #[error("the profile {profile:?} cannot be used: {rule}")]
    Rule {
        /// The profile's name.
        profile: String,
        /// The rule, and what to do.
        rule: String,
    },
}

/// What a kind of certificate says, and which facts it needs.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    about: String,
    kind: Kind,
    rules: Vec<Rules>,
    keys: Vec<KeyAlgorithm>,
    key_uses: Vec<KeyUse>,
    purposes: Vec<Purpose>,
    hosts: Need,
    crl: Need,
    organisation: Organisation,
    serial_number: Need,
    common_name: CommonNameFrom,
    lifetime: Duration,
    shortest: Duration,
    back_dated: Duration,
    options: BTreeMap<String, Addition>,
}

/// Where in a chain the certificates of a profile stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Root { path_length: u8 },
    Intermediate { path_length: u8 },
    Leaf,
}

/// Rules beyond RFC 5280 that the pre-issuance lint holds a leaf to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub(crate) enum Rules {
    /// IEEE 802.1AR: a device's certificate for life.
    #[serde(rename = "802.1ar")]
    DeviceIdentity,
    /// What OCF devices demand of each other and of hubs.
    #[serde(rename = "ocf-identity")]
    OcfIdentity,
    /// What programs demand of a TLS server.
    #[serde(rename = "tls-server")]
    TlsServer,
}

/// What a profile does with a fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Need {
    Required,
    Optional,
    #[default]
    Refused,
}

#[derive(Clone, Debug)]
enum Organisation {
    Fact(Need),
    Fixed(OrganisationName),
}

/// Which fact becomes the common name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CommonNameFrom {
    Device,
    Hub,
    CommonName,
    SerialNumber,
    FirstHost,
}

/// What an option adds.
#[derive(Clone, Debug)]
struct Addition {
    purposes: Vec<Purpose>,
}

/// A certificate that a profile does not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A fact is missing.
    #[error("a certificate of the profile {profile:?} needs {fact}, and it was not given")]
    Missing {
        /// The profile.
        profile: String,
        /// What it needs.
        fact: Fact,
    },
    /// A fact would not be in the certificate.
    #[error("a certificate of the profile {profile:?} does not say {fact}; leave it out or choose another profile")]
    Superfluous {
        /// The profile.
        profile: String,
        /// What it does not use.
        fact: Fact,
    },
    /// There is no such option.
    #[error("the profile {profile:?} has no option {option:?}; {}", options(.known))]
    UnknownOption {
        /// The profile.
        profile: String,
        /// What was asked for.
        option: String,
        /// The options that it has.
        known: Vec<String>,
    },
    /// The requester's key is of a kind that the profile does not take.
    #[error("the profile {profile:?} takes no {key} keys; make one of: {}", list(.accepted))]
    Key {
        /// The profile.
        profile: String,
        /// The kind of the requester's key.
        key: KeyAlgorithm,
        /// The kinds that are accepted.
        accepted: Vec<KeyAlgorithm>,
    },
    /// The wanted lifetime is not one that the profile gives.
    #[error("the profile {profile:?} gives lifetimes from {} to {}, and {} was wanted", span(.shortest), span(.longest), span(.wanted))]
    Lifetime {
        /// The profile.
        profile: String,
        /// What was wanted.
        wanted: Duration,
        /// The shortest that is given.
        shortest: Duration,
        /// The longest that is given.
        longest: Duration,
    },
    /// The request names another device than the one that the certificate is for.
    #[error(
        "the request was made by {claimed}, and the certificate is for {approved}: a device keeps only a certificate with its own name"
    )]
    OtherDevice {
        /// Who the request says made it.
        claimed: DeviceName,
        /// Whom the certificate is for.
        approved: DeviceName,
    },
    /// The same host twice, or more than are written.
    #[error("the hosts are at most {MAX_HOSTS}, each once; {0} is one too many")]
    Hosts(Host),
    /// The first host does not fit into a common name.
    #[error("the first host becomes the common name, which has at most 64 characters; put a shorter one than {0} first")]
    LongHost(Host),
}

/// A certificate that a profile gives: all that it says is decided. Only an [`Issuer`](crate::Issuer) does something with it.
#[derive(Debug)]
pub struct Approved {
    pub(crate) profile: String,
    pub(crate) key: PublicKey,
    pub(crate) kind: Kind,
    pub(crate) rules: Vec<Rules>,
    pub(crate) organisation: Option<OrganisationName>,
    pub(crate) serial_number: Option<SerialNumber>,
    pub(crate) common_name: String,
    pub(crate) hosts: Vec<Host>,
    pub(crate) crl: Option<CrlAddress>,
    pub(crate) key_uses: Vec<KeyUse>,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) approved_at: UnixTime,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) shortest: Duration,
}

impl Profile {
    /// One of the profiles that come with the product.
    pub fn builtin(builtin: Builtin) -> Self {
        Self::from_toml(builtin.toml()).expect("a test reads every built-in profile")
    }

    /// Reads a profile.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        if text.len() > MAX_DOCUMENT {
            return Err(ProfileError::TooLong(text.len()));
        }
        toml::from_str::<document::Document>(text).map_err(|error| ProfileError::Toml(error.to_string()))?.check()
    }

    /// How records and configuration name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in a sentence.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Whether its certificates are CAs.
    pub fn is_ca(&self) -> bool {
        self.kind != Kind::Leaf
    }

    /// How long its certificates live at most.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Decides what the certificate says. Nothing but the key is taken from the request.
    pub fn approve(&self, request: SignedCsr, facts: &Facts, now: UnixTime) -> Result<Approved, Refusal> {
        let key = request.key().algorithm();
        if !self.keys.contains(&key) {
            return Err(Refusal::Key { profile: self.name.clone(), key, accepted: self.keys.clone() });
        }
        self.check_facts(facts)?;
        self.check_hosts(facts)?;
        let purposes = self.purposes_with(facts)?;
        let lifetime = facts.lifetime.unwrap_or(self.lifetime);
        if !(self.shortest..=self.lifetime).contains(&lifetime) {
            let profile = self.name.clone();
            return Err(Refusal::Lifetime { profile, wanted: lifetime, shortest: self.shortest, longest: self.lifetime });
        }
        if let (Some(claimed), Some(approved)) = (request.claimed_device(), facts.device)
            && claimed != approved
        {
            return Err(Refusal::OtherDevice { claimed, approved });
        }
        let common_name = self.common_name(facts)?;
        Ok(Approved {
            profile: self.name.clone(),
            key: request.into_key(),
            kind: self.kind,
            rules: self.rules.clone(),
            organisation: match &self.organisation {
                Organisation::Fact(_) => facts.organisation.clone(),
                Organisation::Fixed(name) => Some(name.clone()),
            },
            serial_number: facts.serial_number.clone(),
            common_name,
            hosts: facts.hosts.clone(),
            crl: facts.crl.clone(),
            key_uses: self.key_uses.clone(),
            purposes,
            approved_at: now,
            not_before: now - self.back_dated,
            not_after: (now + lifetime).min(UnixTime::NO_END),
            shortest: self.shortest,
        })
    }

    fn check_facts(&self, facts: &Facts) -> Result<(), Refusal> {
        let profile = || self.name.clone();
        for fact in [Fact::Device, Fact::Hub, Fact::SerialNumber, Fact::CommonName, Fact::Organisation, Fact::Hosts, Fact::Crl] {
            match (self.need(fact), facts.given().any(|given| given == fact)) {
                (Need::Required, false) => return Err(Refusal::Missing { profile: profile(), fact }),
                (Need::Refused, true) => return Err(Refusal::Superfluous { profile: profile(), fact }),
                _ => {}
            }
        }
        Ok(())
    }

    fn need(&self, fact: Fact) -> Need {
        let named_by = |from| if self.common_name == from { Need::Required } else { Need::Refused };
        match fact {
            Fact::Device => named_by(CommonNameFrom::Device),
            Fact::Hub => named_by(CommonNameFrom::Hub),
            Fact::CommonName => named_by(CommonNameFrom::CommonName),
            Fact::SerialNumber if self.common_name == CommonNameFrom::SerialNumber => Need::Required,
            Fact::SerialNumber => self.serial_number,
            Fact::Hosts if self.common_name == CommonNameFrom::FirstHost => Need::Required,
            Fact::Hosts => self.hosts,
            Fact::Crl => self.crl,
            Fact::Organisation => match self.organisation {
                Organisation::Fact(need) => need,
                Organisation::Fixed(_) => Need::Refused,
            },
        }
    }

    fn check_hosts(&self, facts: &Facts) -> Result<(), Refusal> {
        match facts.hosts.iter().enumerate().find(|(at, host)| *at >= MAX_HOSTS || facts.hosts[..*at].contains(host)) {
            Some((_, host)) => Err(Refusal::Hosts(host.clone())),
            None => Ok(()),
        }
    }

    fn purposes_with(&self, facts: &Facts) -> Result<Vec<Purpose>, Refusal> {
        let mut purposes = self.purposes.clone();
        for option in &facts.options {
            let addition = self.options.get(option).ok_or_else(|| Refusal::UnknownOption {
                profile: self.name.clone(),
                option: option.clone(),
                known: self.options.keys().cloned().collect(),
            })?;
            let new = addition.purposes.iter().filter(|purpose| !purposes.contains(purpose)).cloned().collect::<Vec<_>>();
            purposes.extend(new);
        }
        Ok(purposes)
    }

    fn common_name(&self, facts: &Facts) -> Result<String, Refusal> {
        let text = match self.common_name {
            CommonNameFrom::Device => facts.device.map(|name| name.to_string()),
            CommonNameFrom::Hub => facts.hub.map(|name| name.to_string()),
            CommonNameFrom::CommonName => facts.common_name.as_ref().map(CommonName::to_string),
            CommonNameFrom::SerialNumber => facts.serial_number.as_ref().map(SerialNumber::to_string),
            CommonNameFrom::FirstHost => match facts.hosts.first() {
                Some(host) if host.to_string().len() > 64 => return Err(Refusal::LongHost(host.clone())),
                host => host.map(Host::to_string),
            },
        };
        Ok(text.expect("`check_facts` found the fact that names the subject"))
    }
}

impl Approved {
    /// The key that the certificate will be for.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The profile that gave it.
    pub fn profile(&self) -> &str {
        &self.profile
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn options(options: &[String]) -> String {
    if options.is_empty() { "it has none".to_owned() } else { format!("it has: {}", list(options)) }
}

fn span(span: &Duration) -> String {
    match span.as_secs() {
        secs if secs % 86_400 == 0 => format!("{} days", secs / 86_400),
        secs if secs % 3600 == 0 => format!("{} hours", secs / 3600),
        secs => format!("{secs} seconds"),
    }
}

const MAX_DOCUMENT: usize = 16 * 1024;
/// A certificate crosses device links; names beyond these belong into another certificate.
const MAX_HOSTS: usize = 32;
