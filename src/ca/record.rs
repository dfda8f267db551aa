//! What is remembered of every certificate, and the life it leads.
//!
//! *Current* until its renewal *supersedes* it. A superseded certificate is still good until the new one is first
//! used or a grace ends, because the device may not have got the new one. *Revoked* ends it at once, whatever it was
//! before; *expired* is what its own dates say.

use crate::{codec::Bytes, seat::CaId};
use gatehouse_pki::{Certificate, Fingerprint, KeyId, Serial};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Which certificate: the key that signed it, and its serial number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId {
    issuer: [u8; KeyId::LEN],
    serial: Vec<u8>,
}

impl CertificateId {
    /// The id of a certificate that this key signed.
    pub fn new(issuer: KeyId, serial: &Serial) -> Self {
        Self { issuer: *issuer.as_bytes(), serial: serial.as_bytes().to_vec() }
    }

    /// The key identifier of the authority that signed it.
    pub fn issuer(&self) -> &[u8; KeyId::LEN] {
        &self.issuer
    }

    /// The serial number's bytes.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The row's key: the issuer has one length, so nothing has to be escaped.
    pub(crate) fn row(&self) -> Vec<u8> {
        [self.issuer.as_slice(), &self.serial].concat()
    }

    pub(crate) fn from_row(row: &[u8]) -> Option<Self> {
        let (issuer, serial) = row.split_first_chunk()?;
        Some(Self { issuer: *issuer, serial: serial.to_vec() })
    }

    /// The serial number as people read it.
    pub fn serial_text(&self) -> String {
        hexadecimal(&self.serial)
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", hexadecimal(&self.issuer), hexadecimal(&self.serial))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CertificateId({self})")
    }
}

/// A text that is no certificate's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a certificate is named by its issuer's key identifier, a colon and its serial number, both in hexadecimal")]
pub struct CertificateIdError;

impl FromStr for CertificateId {
    type Err = CertificateIdError;

    fn from_str(text: &str) -> Result<Self, CertificateIdError> {
        let (issuer, serial) = text.split_once(':').ok_or(CertificateIdError)?;
        let issuer = parse_hexadecimal(issuer).and_then(|bytes| bytes.try_into().ok()).ok_or(CertificateIdError)?;
        let serial = parse_hexadecimal(serial).filter(|bytes| (1..=20).contains(&bytes.len())).ok_or(CertificateIdError)?;
        Ok(Self { issuer, serial })
    }
}

impl Serialize for CertificateId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CertificateId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A serial number as people write it: hexadecimal, colons between the bytes or not.
pub fn serial_from_text(text: &str) -> Option<Vec<u8>> {
    parse_hexadecimal(text).filter(|serial| serial.len() <= 20)
}

/// The other way; colons between the bytes are accepted, as tools print them.
fn parse_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Why a certificate was revoked (RFC 5280 §5.3.1). `removeFromCRL` and holds are not used: a revocation is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No reason is given.
    Unspecified,
    /// Somebody else may have the private key.
    KeyCompromise,
    /// Somebody else may have the authority's private key.
    CaCompromise,
    /// The subject no longer belongs to the organisation.
    AffiliationChanged,
    /// A newer certificate took its place.
    Superseded,
    /// The subject no longer exists.
    CessationOfOperation,
    /// The subject may no longer do what the certificate allows.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The word for it in commands and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|reason| reason.name() == text).ok_or_else(|| format!("the reasons are {}", names()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Where in its life a certificate is, at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub enum Standing {
    /// Good, and the newest of its kind.
    Current,
    /// Still good; a renewal was issued.
    Superseded {
        /// The renewal.
        by: CertificateId,
        /// When it stops being good, if the renewal is not used before.
        good_until: UnixTime,
    },
    /// Not good any more.
    Revoked {
        /// Since when.
        at: UnixTime,
        /// Why.
        reason: Reason,
    },
    /// Its own dates have passed.
    Expired,
}

impl Standing {
    /// Whether somebody who shows the certificate may come in.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Current | Self::Superseded { .. })
    }
}

/// What is remembered of a certificate. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The authority that signed it.
    pub authority: CaId,
    /// The profile by which it was approved.
    pub profile: String,
    /// Its subject as text.
    pub subject: String,
    /// When we signed it.
    pub issued: UnixTime,
    /// Its first second.
    pub not_before: UnixTime,
    /// Its last second.
    pub not_after: UnixTime,
    pub(crate) key: Bytes,
    pub(crate) der: Bytes,
    pub(crate) life: Life,
}

/// The part of the life that is decided, not told by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    Current { renews: Option<CertificateId> },
    Superseded { by: CertificateId, good_until: UnixTime, renews: Option<CertificateId> },
    Revoked { at: UnixTime, reason: Reason },
}

impl Record {
    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of its public key.
    pub fn key(&self) -> Fingerprint {
        Fingerprint::from(<[u8; Fingerprint::LEN]>::try_from(&*self.key).unwrap_or_default())
    }

    /// Where in its life it is.
    pub fn standing(&self, now: UnixTime) -> Standing {
        match &self.life {
            // Revocation outlives expiry: a revoked certificate never was a good one that merely ended.
            Life::Revoked { at, reason } => Standing::Revoked { at: *at, reason: *reason },
            _ if now > self.not_after => Standing::Expired,
            Life::Current { .. } => Standing::Current,
            Life::Superseded { good_until, .. } if now > *good_until => Standing::Revoked { at: *good_until, reason: Reason::Superseded },
            Life::Superseded { by, good_until, .. } => Standing::Superseded { by: by.clone(), good_until: *good_until },
        }
    }

    pub(crate) fn new(authority: CaId, profile: &str, certificate: &Certificate, issued: UnixTime, renews: Option<CertificateId>) -> Self {
        Self {
            authority,
            profile: profile.to_owned(),
            subject: certificate.subject().to_string(),
            issued,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            key: certificate.public_key().fingerprint().as_bytes().to_vec().into(),
            der: certificate.der().to_vec().into(),
            life: Life::Current { renews },
        }
    }

    /// The certificate that this one renews and that is still waiting for it.
    pub(crate) fn renews(&self) -> Option<&CertificateId> {
        match &self.life {
            Life::Current { renews } | Life::Superseded { renews, .. } => renews.as_ref(),
            Life::Revoked { .. } => None,
        }
    }

    /// The same record, superseded. What is not current stays as it is.
    pub(crate) fn superseded(mut self, by: CertificateId, good_until: UnixTime) -> Self {
        if let Life::Current { renews } = self.life {
            self.life = Life::Superseded { by, good_until, renews };
        }
        self
    }

    /// The same record, revoked.
    pub(crate) fn revoked(mut self, at: UnixTime, reason: Reason) -> Self {
        self.life = Life::Revoked { at, reason };
        self
    }

    /// The same record after its first use: it no longer waits.
    pub(crate) fn used(mut self) -> Self {
        if let Life::Current { renews } | Life::Superseded { renews, .. } = &mut self.life {
            *renews = None;
        }
        self
    }
}
