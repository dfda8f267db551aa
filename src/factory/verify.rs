//! Whether a finished device is what the books say: chain, serial, entry, and that it has its key.
//!
//! A bundle is challenged here: its key signs a random text. A running device is challenged by the TLS handshake that it
//! makes with us as its provisioning service (see [`crate::live`]). Every check is told, not only the first that failed.

use crate::{
    bundle::{Bundle, BundleKey, Entry, key_from_pem},
    cms::sealed::RecipientPrivateKey,
    error::FactoryError,
    home::Books,
    manifest::SignedManifest,
    serial::DeviceSerial,
};
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose, Signer, SoftwareKey};
use gatehouse_types::{Random, Secret, UnixTime};
use serde::Serialize;
use std::fmt;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

/// What is to be said about a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which device, if it says so.
    pub device: Option<String>,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

impl Verdict {
    pub(crate) fn new(device: Option<String>) -> Self {
        Self { device, checks: Vec::new() }
    }

    pub(crate) fn check(&mut self, name: &'static str, found: Result<String, String>) {
        let passed = found.is_ok();
        self.checks.push(Check { name, passed, found: found.unwrap_or_else(|problem| problem) });
    }

    /// Whether everything is as it should be.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed() { "PASS" } else { "FAIL" };
        write!(out, "{word} {}", self.device.as_deref().unwrap_or("unknown device"))?;
        for Check { name, passed, found } in &self.checks {
            write!(out, "\n  {} {name}: {found}", if *passed { "ok  " } else { "FAIL" })?;
        }
        Ok(())
    }
}

/// What a device is compared with.
pub enum Against<'a> {
    /// The factory's own books.
    Books(&'a Books),
    /// A manifest whose signature is good, and the roots that its maker publishes.
    Manifest {
        /// The manifest.
        manifest: &'a SignedManifest,
        /// The device root.
        device_root: Box<Certificate>,
        /// Whom devices of this maker trust as provisioning service, when that is known.
        service_anchors: Option<Vec<Certificate>>,
    },
}

impl Against<'_> {
    pub(crate) fn device_root(&self) -> Result<Certificate, FactoryError> {
        match self {
            Self::Books(books) => books.device_root(),
            Self::Manifest { device_root, .. } => Ok(Certificate::clone(device_root)),
        }
    }

    fn service_anchors(&self) -> Result<Option<Vec<Certificate>>, FactoryError> {
        match self {
            Self::Books(books) => books.service_anchors().map(Some),
            Self::Manifest { service_anchors, .. } => Ok(service_anchors.clone()),
        }
    }

    fn entry(&self, device: &DeviceSerial) -> Option<Entry> {
        match self {
            Self::Books(books) => books.entry(device),
            Self::Manifest { manifest, .. } => manifest.entry(device).cloned(),
        }
    }

    /// Compares a certificate that was shown with what is written.
    pub(crate) fn compare(&self, verdict: &mut Verdict, leaf: &Certificate) {
        let serial = leaf.subject().serial_number().map(|text| text.into_owned());
        let device = serial.as_deref().and_then(|text| text.parse::<DeviceSerial>().ok());
        let Some(device) = device else {
            return verdict.check("serial", Err("the certificate names no device".into()));
        };
        verdict.check("serial", Ok(device.to_string()));
        let Some(entry) = self.entry(&device) else {
            return verdict.check("entry", Err(format!("{device} is not written there")));
        };
        let shown = Entry::new(device, leaf);
        let differ = |what: &str| Err(format!("its {what} is another one than the one that is written"));
        let found = if shown.key != entry.key {
            differ("key")
        } else if shown.fingerprint != entry.fingerprint || shown.certificate != entry.certificate {
            differ("certificate")
        } else {
            Ok(format!("certificate {} and its key are as written", entry.certificate))
        };
        verdict.check("entry", found);
        if let Self::Books(books) = self {
            let state = books.ledger.device(&entry.device).map(|device| books.ledger.is_revoked(device));
            verdict.check(
                "revocation",
                if state == Some(false) { Ok("not revoked".into()) } else { Err("the certificate is revoked".into()) },
            );
        }
    }
}

impl Bundle {
    /// Checks the bundle against what is written, and challenges its key. A sealed key needs the recipient's.
    ///
    /// # Errors
    /// The books cannot be read. What is wrong with the device is in the verdict.
    pub fn verify(
        &self,
        against: &Against<'_>,
        recipient: Option<&RecipientPrivateKey>,
        random: &dyn Random,
        now: UnixTime,
    ) -> Result<Verdict, FactoryError> {
        let mut verdict = Verdict::new(Some(self.about.device.to_string()));
        verdict.check("chain", chain(&self.chain, &against.device_root()?, now));
        if let Some(leaf) = self.chain.first() {
            against.compare(&mut verdict, leaf);
            let says = Entry::new(self.about.device.clone(), leaf) == self.about.entry();
            let named = leaf.subject().serial_number().as_deref() == Some(self.about.device.as_str());
            let problem = "device.json says something else than the certificate";
            verdict.check("device.json", if says && named { Ok("fits the certificate".into()) } else { Err(problem.into()) });
            verdict.check("key", self.challenge(leaf, recipient, random));
        }
        if let Some(expected) = against.service_anchors()? {
            let same = self.service_anchors.iter().map(Certificate::fingerprint).eq(expected.iter().map(Certificate::fingerprint));
            let problem = "the bundle makes the device trust another provisioning service";
            verdict.check("service anchors", if same { Ok("the maker's anchor and its spare".into()) } else { Err(problem.into()) });
        }
        Ok(verdict)
    }

    /// Lets the key sign a text that nobody could know before.
    fn challenge(&self, leaf: &Certificate, recipient: Option<&RecipientPrivateKey>, random: &dyn Random) -> Result<String, String> {
        let pem = match (&self.key, recipient) {
            (BundleKey::Plain(pem), _) => Secret::new(pem.expose().to_vec()),
            (BundleKey::Sealed(message), Some(recipient)) => recipient.open(message).map_err(|error| error.to_string())?,
            (BundleKey::Sealed(_), None) => return Err("the key is sealed; give the recipient's key to challenge it".into()),
            (BundleKey::InDevice, _) => return Err("the key is in the device; challenge the device itself with --listen".into()),
        };
        let key = key_from_pem(&pem).and_then(|pkcs8| SoftwareKey::from_pkcs8(pkcs8).ok()).ok_or("the bundle holds no private key")?;
        let mut nonce = [0; 32];
        random.fill(&mut nonce);
        // No DER begins like this, so that the signature is good for nothing else.
        let challenge = [b"Gatehouse factory challenge\n", nonce.as_slice()].concat();
        let signature = key.sign(&challenge).map_err(|error| error.to_string())?;
        match leaf.public_key().verify(key.signature_algorithm(), &challenge, &signature) {
            Ok(()) => Ok("answers a challenge".into()),
            Err(_) => Err("the key is not the certificate's".into()),
        }
    }
}

/// Whether the chain is a device's below the root.
fn chain(presented: &[Certificate], root: &Certificate, now: UnixTime) -> Result<String, String> {
    let anchors = Anchors::builder().anchor(root.clone()).build().map_err(|error| error.to_string())?;
    let presented: Vec<&[u8]> = presented.iter().map(Certificate::der).collect();
    match anchors.verify(&presented, &Policy::new(Purpose::Client), now) {
        Ok(chain) => Ok(format!("leads to {}", chain.anchor().subject())),
        Err(rejection) => Err(rejection.to_string()),
    }
}
