//! Making one device: its key where the device brings none, its certificate, its bundle.
//!
//! Batches and single devices do it here, each with its own books around it: nothing in this file knows which serials are
//! free, and nothing writes to the journal.

use crate::{
    batch::Delivery,
    bundle::{BundleFile, BundleKey, Entry, Packer, key_pem},
    cms::sealed::Session,
    error::FactoryError,
    home::{Factory, Surroundings},
    name::LineName,
    record::{Made, Replaced},
    serial::DeviceSerial,
    settings::DeviceProfile,
};
use gatehouse_ca::unlock::Unlock;
use gatehouse_pki::{Builtin, Certificate, Facts, Issuer, KeyAlgorithm, NewKey, Profile, SerialNumber, SignedCsr};
use gatehouse_types::{Random, UnixTime};

/// Everything that making a device of a line takes.
pub(crate) struct Bench<'a> {
    pub(crate) line: LineName,
    issuer: Issuer,
    profile: Profile,
    facts: Facts,
    packer: Packer,
    delivery: &'a Delivery,
    pub(crate) around: Surroundings,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(factory: &Factory, line: &LineName, delivery: &'a Delivery, unlock: &Unlock) -> Result<Self, FactoryError> {
        let books = &factory.books;
        let settings = &books.settings;
        let mut facts = Facts::new().organisation(settings.manufacturer.clone());
        if settings.profile == DeviceProfile::OcfOnboarding {
            facts = facts.option("ocf-onboarding");
        }
        if let Some(lifetime) = settings.lifetime {
            facts = facts.lifetime(lifetime);
        }
        if let Some(crl) = &settings.crl {
            facts = facts.crl(crl.clone());
        }
        let chain = books.line_chain(line)?;
        let (manufacturer, provisioning) = (settings.manufacturer.clone(), settings.provisioning.as_str().to_owned());
        Ok(Self {
            line: line.clone(),
            issuer: books.issuer(line, unlock)?,
            profile: Profile::builtin(Builtin::ManufacturerDevice),
            facts,
            packer: Packer::new(manufacturer, provisioning, &chain[..1], &books.service_anchors()?),
            delivery,
            around: factory.surroundings.clone(),
        })
    }

    pub(crate) fn session(&self) -> Result<Option<Session<'_>>, FactoryError> {
        match self.delivery {
            Delivery::Sealed(recipient) => Ok(Some(recipient.session()?)),
            Delivery::DangerPlain => Ok(None),
        }
    }

    /// Makes one device: its certificate and its bundle.
    pub(crate) fn make(
        &self,
        file: &mut BundleFile,
        serial: DeviceSerial,
        request: Option<SignedCsr>,
        session: Option<&mut Session<'_>>,
        random: &dyn Random,
        now: UnixTime,
    ) -> Result<Entry, FactoryError> {
        let (request, key) = match request {
            Some(request) => (request, None),
            None => {
                let key = NewKey::generate(KeyAlgorithm::P256)?;
                (SignedCsr::for_new_key(&key), Some(key))
            }
        };
        let certificate = self.sign(&serial, request, random, now)?;
        let key = match (key, session) {
            (None, _) => BundleKey::InDevice,
            (Some(key), Some(session)) => BundleKey::Sealed(session.seal(&key_pem(key.to_pkcs8()), random)?),
            (Some(key), None) => BundleKey::Plain(key_pem(key.to_pkcs8())),
        };
        let entry = Entry::new(serial, &certificate);
        file.add(|out| self.packer.pack(out, &entry, &certificate, &key, now))?;
        Ok(entry)
    }

    fn sign(&self, serial: &DeviceSerial, request: SignedCsr, random: &dyn Random, now: UnixTime) -> Result<Certificate, FactoryError> {
        let number: SerialNumber =
            serial.as_str().parse().map_err(|error: gatehouse_pki::NameError| FactoryError::Names(error.to_string()))?;
        let approved = self.profile.approve(request, &self.facts.clone().serial_number(number), now)?;
        Ok(self.issuer.issue(approved, random)?)
    }
}

/// The record of a device.
pub(crate) fn made(entry: Entry, replaces: Option<Replaced>) -> Made {
    let Entry { device, certificate, key, fingerprint } = entry;
    Made { device, certificate, key, fingerprint, replaces }
}
