//! Manifests: what a maker tells a customer about the devices that were shipped.
//!
//! A manifest is JSON in a signed message ([`crate::cms`]). It names the customer, the order, a sequence number that
//! counts the customer's manifests, and the hash of the manifest before it: nothing can be left out, repeated, or
//! handed to somebody else without being noticed. [`Manifest::verify`] is what a customer's import calls;
//! [`Received`] is what it remembers.

use crate::{
    bundle::Entry,
    cms::signed::{self, MAX_MESSAGE, SignedError},
    error::FactoryError,
    files,
    home::{Books, Factory, MANIFESTS},
    ledger::Sent,
    name::{CustomerName, OrderName},
    record::{Record, Sha256},
    serial::DeviceSerial,
};
use gatehouse_ca::unlock::Unlock;
use gatehouse_pki::{Certificate, OrganisationName};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

/// The version of the manifest's form.
const FORM: u32 = 1;

/// The most devices of one manifest; an order of more is shipped in parts.
pub const MAX_SHIPMENT: usize = 100_000;

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Its signature, its signer or its shape is wrong.
    #[error("the manifest is refused")]
    Signed(#[from] SignedError),
    /// What was signed is not a manifest.
    #[error("what was signed is not a manifest: {0}")]
    Content(String),
    /// It is another manufacturer's.
    #[error("the manifest is from {found} and not from {expected}")]
    OtherManufacturer {
        /// Who it says made the devices.
        found: OrganisationName,
        /// Who should have.
        expected: OrganisationName,
    },
    /// It is for another customer.
    #[error("the manifest is for {found} and not for {expected}")]
    OtherCustomer {
        /// For whom it is.
        found: CustomerName,
        /// For whom it should be.
        expected: CustomerName,
    },
    /// It was received before.
    #[error("manifest {found} was received before; the next one is {expected}")]
    Replayed {
        /// Its number.
        found: u64,
        /// The number that is next.
        expected: u64,
    },
    /// One before it is missing.
    #[error("manifest {found} came and {expected} is the next one: receive those before it first")]
    Missing {
        /// Its number.
        found: u64,
        /// The number that is next.
        expected: u64,
    },
    /// It does not follow the one that was received.
    #[error("manifest {found} does not follow the one that was received before it: their hashes differ")]
    OtherHistory {
        /// Its number.
        found: u64,
    },
    /// A serial or a key is in it twice.
    #[error("device {device} is in the manifest twice, by its serial or by its key")]
    Twice {
        /// Which device.
        device: DeviceSerial,
    },
    /// More devices than a manifest holds.
    #[error("a manifest has at most {MAX_SHIPMENT} devices and {count} are shipped; name them in parts")]
    Many {
        /// How many.
        count: usize,
    },
    /// No manifest of this order was signed.
    #[error("no manifest was signed for customer {customer}")]
    None {
        /// For whom.
        customer: CustomerName,
    },
}

/// What a maker says about shipped devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    form: u32,
    /// Who made the devices.
    pub manufacturer: OrganisationName,
    /// Who receives them.
    pub customer: CustomerName,
    /// For which order.
    pub order: OrderName,
    /// Counts the customer's manifests from one.
    pub sequence: u64,
    /// SHA-256 over the customer's manifest before this one, as it was sent.
    pub previous: Option<Sha256>,
    /// When it was signed.
    pub signed: UnixTime,
    /// The devices, in the order of their serials.
    pub devices: Vec<Entry>,
}

/// A manifest whose signature is good. Whether it is new and ours is for [`Received::accept`] to say.
#[derive(Debug)]
pub struct SignedManifest {
    manifest: Manifest,
    hash: Sha256,
}

impl Manifest {
    /// Checks the signature and who signed.
    ///
    /// # Errors
    /// The message was altered, or the anchor does not vouch for its signer, or it is no manifest.
    pub fn verify(message: &[u8], anchor: &Certificate, now: UnixTime) -> Result<SignedManifest, ManifestError> {
        if message.len() > MAX_MESSAGE {
            return Err(ManifestError::Content(format!("it is larger than {MAX_MESSAGE} bytes")));
        }
        let content = signed::verify(message, anchor, now)?;
        let manifest: Self = serde_json::from_slice(content).map_err(|error| ManifestError::Content(error.to_string()))?;
        if manifest.form != FORM {
            return Err(ManifestError::Content(format!("form {} is not known to this program", manifest.form)));
        }
        if manifest.devices.len() > MAX_SHIPMENT {
            return Err(ManifestError::Many { count: manifest.devices.len() });
        }
        let (mut serials, mut keys) = (HashSet::new(), HashSet::new());
        for entry in &manifest.devices {
            if !serials.insert(&entry.device) || !keys.insert(&entry.key) {
                return Err(ManifestError::Twice { device: entry.device.clone() });
            }
        }
        Ok(SignedManifest { manifest, hash: Sha256::of(message) })
    }
}

impl SignedManifest {
    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 over the message.
    pub fn hash(&self) -> Sha256 {
        self.hash
    }

    /// The entry of a device.
    pub fn entry(&self, device: &DeviceSerial) -> Option<&Entry> {
        self.manifest.devices.iter().find(|entry| entry.device == *device)
    }
}

/// What a customer remembers of the manifests of one manufacturer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    manufacturer: OrganisationName,
    customer: CustomerName,
    sequence: u64,
    manifest: Option<Sha256>,
}

impl Received {
    /// Nothing was received yet.
    pub fn new(manufacturer: OrganisationName, customer: CustomerName) -> Self {
        Self { manufacturer, customer, sequence: 0, manifest: None }
    }

    /// Whose manifests.
    pub fn manufacturer(&self) -> &OrganisationName {
        &self.manufacturer
    }

    /// For whom.
    pub fn customer(&self) -> &CustomerName {
        &self.customer
    }

    /// Keeps it in a file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FactoryError> {
        Ok(files::replace(path, &serde_json::to_vec(self).expect("names, hashes and numbers are JSON"))?)
    }

    /// The number of the last manifest that was accepted.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What is remembered once this manifest is accepted. The caller keeps it together with what it imported.
    ///
    /// # Errors
    /// The manifest is another manufacturer's or for another customer, was received before, or does not follow the
    /// last one.
    pub fn accept(&self, signed: &SignedManifest) -> Result<Self, ManifestError> {
        let Manifest { manufacturer, customer, sequence: found, previous, .. } = &signed.manifest;
        if *manufacturer != self.manufacturer {
            return Err(ManifestError::OtherManufacturer { found: manufacturer.clone(), expected: self.manufacturer.clone() });
        }
        if *customer != self.customer {
            return Err(ManifestError::OtherCustomer { found: customer.clone(), expected: self.customer.clone() });
        }
        let (found, expected) = (*found, self.sequence + 1);
        if found < expected {
            return Err(ManifestError::Replayed { found, expected });
        }
        if found > expected {
            return Err(ManifestError::Missing { found, expected });
        }
        if *previous != self.manifest {
            return Err(ManifestError::OtherHistory { found });
        }
        Ok(Self { sequence: found, manifest: Some(signed.hash), ..self.clone() })
    }
}

/// A manifest that was signed, and where it is.
#[derive(Debug)]
pub struct Shipment {
    /// What it says.
    pub manifest: Manifest,
    /// The signed message.
    pub message: Vec<u8>,
    /// SHA-256 over the message.
    pub hash: Sha256,
}

impl Factory {
    /// Notes that devices leave for an order and signs the manifest that goes with them: the named ones, or all that were
    /// made for the order and are in hand.
    ///
    /// # Errors
    /// The order or a device does not allow it, or the records key cannot be used.
    pub fn ship(&mut self, order: &OrderName, named: Option<&[DeviceSerial]>, unlock: &Unlock) -> Result<Shipment, FactoryError> {
        self.books.at_factory()?;
        let devices = self.books.ledger.to_ship(order, named)?;
        if devices.len() > MAX_SHIPMENT {
            return Err(ManifestError::Many { count: devices.len() }.into());
        }
        let customer = self.books.ledger.order(order)?.customer;
        let before = self.books.ledger.sent(&customer);
        let at = self.now();
        let manifest = Manifest {
            form: FORM,
            manufacturer: self.books.settings.manufacturer.clone(),
            sequence: before.map_or(0, |sent| sent.sequence) + 1,
            previous: before.map(|sent| sent.manifest),
            customer,
            order: order.clone(),
            signed: at,
            devices: devices.iter().filter_map(|serial| self.books.entry(serial)).collect(),
        };
        let (certificate, key) = self.books.records(unlock)?;
        let content = serde_json::to_vec(&manifest).expect("names, hashes and numbers are JSON");
        let message = signed::sign(&content, &certificate, &key, at)?;
        let hash = Sha256::of(&message);
        // The message is kept before the journal says that it exists, so that the journal never names what is lost.
        files::replace(&self.books.manifest_path(hash), &message)?;
        self.write(vec![Record::Shipped { order: order.clone(), sequence: manifest.sequence, manifest: hash, devices, at }])?;
        Ok(Shipment { manifest, message, hash })
    }
}

impl Books {
    /// A device's entry as manifests have it.
    pub fn entry(&self, serial: &DeviceSerial) -> Option<Entry> {
        let device = self.ledger.device(serial)?;
        let certificate = device.certificate.clone();
        Some(Entry { device: serial.clone(), certificate, key: device.key, fingerprint: device.fingerprint })
    }

    /// The last manifest that was signed for a customer, again.
    ///
    /// # Errors
    /// None was signed, or the file cannot be read.
    pub fn last_manifest(&self, customer: &CustomerName) -> Result<Vec<u8>, FactoryError> {
        let Some(Sent { manifest, .. }) = self.ledger.sent(customer) else {
            return Err(ManifestError::None { customer: customer.clone() }.into());
        };
        Ok(files::read(&self.manifest_path(manifest), MAX_MESSAGE as u64)?)
    }

    fn manifest_path(&self, hash: Sha256) -> PathBuf {
        self.folder.join(MANIFESTS).join(format!("{hash}.p7m"))
    }
}
