//! Certificate revocation lists (RFC 5280 §5), read.
//!
//! A list that is malformed is refused. One that is well-formed and of a kind that is not judged here (a delta, an
//! indirect one, one for some reasons only, or one with a critical extension that nobody knows) is kept with that
//! mark: whoever meets it must refuse what it might be about instead of passing over it (RFC 5280 §5.2, §5.3).

use crate::{
    certificate::{Certificate, CertificateError, range_in},
    der::{self, Element, Reader, tag},
    distinguished_name::DistinguishedName,
    extensions::{self, AuthorityKeyId, RawExtension},
    key::{PublicKey, SignatureAlgorithm},
    oid::extension,
    pem,
    rule::Rule,
    serial::Serial,
};
use gatehouse_types::UnixTime;
use std::{fmt, ops::Range};

/// The largest list that is read; it holds some 200,000 entries.
pub const MAX_REVOCATION_LIST: usize = 8 * 1024 * 1024;

/// A version 2 revocation list whose form was checked.
#[derive(Clone)]
pub struct CertificateList {
    der: Box<[u8]>,
    to_be_signed: Range<usize>,
    signature: Range<usize>,
    signature_algorithm: SignatureAlgorithm,
    issuer: DistinguishedName,
    this_update: UnixTime,
    next_update: UnixTime,
    number: Option<Serial>,
    pub(crate) authority_key_id: Option<AuthorityKeyId>,
    scope: Scope,
    /// Sorted by serial number.
    entries: Vec<RevokedCertificate>,
}

/// One certificate that its issuer took back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// Since when it is revoked.
    pub time: UnixTime,
    /// Why.
    pub reason: RevocationReason,
}

/// Why a certificate was revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// Not said.
    Unspecified,
    /// Its private key may be known to others.
    KeyCompromise,
    /// The issuer's private key may be known to others.
    CaCompromise,
    /// What it says about its subject has changed.
    AffiliationChanged,
    /// Another one replaced it.
    Superseded,
    /// It is no longer needed.
    CessationOfOperation,
    /// On hold. Treated like every other reason.
    CertificateHold,
    /// What it was allowed to do was withdrawn.
    PrivilegeWithdrawn,
    /// The private key of an attribute authority may be known to others.
    AaCompromise,
}

/// Which certificates a list speaks about.
#[derive(Clone, Debug, Default)]
struct Scope {
    only_leaves: bool,
    only_cas: bool,
    only_attribute_certificates: bool,
    /// General names in DER, of which a certificate must have one in its distribution points.
    point: Option<Vec<Box<[u8]>>>,
    /// A reason why nothing can be concluded from the list.
    not_judged: bool,
}

impl CertificateList {
    /// Reads one list in DER; nothing may follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_REVOCATION_LIST {
            return Err(CertificateError::new(Rule::TooLarge, "the revocation list is larger than 8 MiB"));
        }
        Self::read(der)
            .map_err(|error| if error.rule() == Rule::SignatureAlgorithm { error } else { error.in_place_of(Rule::RevocationListForm) })
    }

    /// Reads one PEM revocation list.
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        match pem::blocks(text, pem::REVOCATION_LIST, 1)?.as_slice() {
            [der] => Self::from_der(der),
            _ => Err(CertificateError::new(Rule::RevocationListForm, "the text does not hold one revocation list")),
        }
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The list as PEM.
    pub fn pem(&self) -> String {
        pem::encode(pem::REVOCATION_LIST, &self.der)
    }

    /// Who issued it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// When it was made.
    pub fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// By when the next one is there.
    pub fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// Its number, which grows from list to list; absent where the issuer numbers from zero and this is that one.
    pub fn number(&self) -> Option<&Serial> {
        self.number.as_ref()
    }

    /// The certificates that are revoked, by serial number.
    pub fn entries(&self) -> &[RevokedCertificate] {
        &self.entries
    }

    /// What it says about a serial number.
    pub fn find(&self, serial: &Serial) -> Option<&RevokedCertificate> {
        let at = self.entries.binary_search_by(|entry| entry.serial.cmp(serial)).ok()?;
        Some(&self.entries[at])
    }

    /// How it is signed.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.signature_algorithm
    }

    /// Whether the key made its signature.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify(self.signature_algorithm, &self.der[self.to_be_signed.clone()], &self.der[self.signature.clone()]).is_ok()
    }

    /// Whether nothing may be concluded from it, because it is of a kind that is not judged.
    pub(crate) fn is_not_judged(&self) -> bool {
        self.scope.not_judged
    }

    /// Whether the certificate is one of those that it speaks about (RFC 5280 §6.3.3 (b)).
    pub(crate) fn covers(&self, certificate: &Certificate) -> bool {
        let kind = match certificate.is_ca() {
            true => !self.scope.only_leaves,
            false => !self.scope.only_cas,
        };
        let points = &certificate.extensions.distribution_points;
        let is_named =
            self.scope.point.as_ref().is_none_or(|names| names.iter().any(|name| points.iter().any(|point| point.names.contains(name))));
        kind && is_named
    }

    /// Whether it is about attribute certificates only, which are none of ours.
    pub(crate) fn is_about_attributes(&self) -> bool {
        self.scope.only_attribute_certificates
    }

    fn read(der: &[u8]) -> Result<Self, CertificateError> {
        der::check(der, MAX_REVOCATION_LIST)?;
        let mut outer = Reader::only(der, tag::SEQUENCE)?;
        let to_be_signed = outer.expect(tag::SEQUENCE)?;
        let algorithm = outer.expect(tag::SEQUENCE)?.raw;
        let signature = outer.bytes_in_bits()?;
        outer.finish()?;

        let mut fields = Reader::new(to_be_signed.content);
        if fields.optional(tag::INTEGER)?.is_none_or(|version| version.content != [1]) {
            return refuse("it is not a version 2 revocation list");
        }
        if fields.expect(tag::SEQUENCE)?.raw != algorithm {
            return refuse("the two algorithm identifiers are not the same");
        }
        let signature_algorithm = SignatureAlgorithm::from_identifier_der(algorithm)?;
        let issuer = DistinguishedName::from_der(fields.expect(tag::SEQUENCE)?.raw)?;
        if issuer.is_empty() {
            return refuse("the issuer's name is empty");
        }
        let this_update = fields.time()?;
        // RFC 5280 §5.1.2.5: conforming issuers write the next update, and without it nothing is ever stale.
        let next_update = fields.time()?;
        let mut list = Self {
            der: der.into(),
            to_be_signed: range_in(der, to_be_signed.raw),
            signature: range_in(der, signature),
            signature_algorithm,
            issuer,
            this_update,
            next_update,
            number: None,
            authority_key_id: None,
            scope: Scope::default(),
            entries: Vec::new(),
        };
        if let Some(entries) = fields.optional(tag::SEQUENCE)? {
            list.read_entries(Reader::new(entries.content))?;
        }
        // RFC 5280 §5.2: conforming issuers write a number at least.
        let Some(extensions) = fields.optional(tag::context_constructed(0))? else { return refuse("the list has no extensions") };
        list.read_extensions(Reader::only(extensions.content, tag::SEQUENCE)?)?;
        fields.finish()?;
        if list.next_update < list.this_update {
            return refuse("the next update comes before this one");
        }
        Ok(list)
    }

    fn read_entries(&mut self, mut entries: Reader<'_>) -> Result<(), CertificateError> {
        if entries.is_empty() {
            return refuse("the list of revoked certificates is empty and should be left out (RFC 5280 §5.1.2.6)");
        }
        while !entries.is_empty() {
            let mut entry = entries.nested(tag::SEQUENCE)?;
            let serial = entry.expect(tag::INTEGER)?.content;
            let time = entry.time()?;
            let mut reason = RevocationReason::Unspecified;
            if let Some(list) = entry.optional(tag::SEQUENCE)? {
                for extension in extensions::raw_extensions(Reader::new(list.content))? {
                    self.take_entry_extension(&extension, &mut reason)?;
                }
            }
            entry.finish()?;
            // Some lists name serial numbers that are not positive; no certificate that is read here has one.
            if let Ok(serial) = Serial::from_integer(serial) {
                self.entries.push(RevokedCertificate { serial, time, reason });
            }
        }
        self.entries.sort_by(|a, b| a.serial.cmp(&b.serial));
        Ok(())
    }

    fn take_entry_extension(&mut self, extension: &RawExtension<'_>, reason: &mut RevocationReason) -> Result<(), CertificateError> {
        if extension.critical && [extension::REASON_CODE, extension::INVALIDITY_DATE].contains(&extension.oid) {
            return refuse("an entry's reason or date is critical (RFC 5280 §5.3.1, §5.3.2)");
        }
        match extension.oid {
            extension::REASON_CODE => *reason = read_reason(extension.value)?,
            extension::INVALIDITY_DATE => {
                let mut reader = Reader::new(extension.value);
                der::check(extension.value, extension.value.len())?;
                reader.expect(tag::GENERALIZED_TIME)?;
            }
            // RFC 5280 §5.3.3: the entry is about another issuer's certificate.
            extension::CERTIFICATE_ISSUER => self.scope.not_judged = true,
            _ => self.scope.not_judged |= extension.critical,
        }
        Ok(())
    }

    fn read_extensions(&mut self, list: Reader<'_>) -> Result<(), CertificateError> {
        let mut is_numbered = false;
        for extension in extensions::raw_extensions(list)? {
            if extension.critical && [extension::AUTHORITY_KEY_ID, extension::CRL_NUMBER].contains(&extension.oid) {
                return refuse("the number or the authority key identifier is critical (RFC 5280 §5.2.1, §5.2.3)");
            }
            match extension.oid {
                extension::AUTHORITY_KEY_ID => self.authority_key_id = Some(extensions::read_authority_key_id(extension.value)?),
                extension::CRL_NUMBER => {
                    let number = Reader::new(extension.value).expect(tag::INTEGER)?;
                    der::check(extension.value, extension.value.len())?;
                    if number.content.len() > 20 || number.content[0] & 0x80 != 0 {
                        return refuse("the number is negative or longer than 20 octets (RFC 5280 §5.2.3)");
                    }
                    self.number = Serial::from_integer(number.content).ok();
                    is_numbered = true;
                }
                extension::ISSUING_DISTRIBUTION_POINT => {
                    if !extension.critical {
                        return refuse("the issuing distribution point is not critical (RFC 5280 §5.2.5)");
                    }
                    self.read_issuing_distribution_point(extension.value)?;
                }
                extension::DELTA_CRL_INDICATOR => self.scope.not_judged = true,
                _ => self.scope.not_judged |= extension.critical,
            }
        }
        if is_numbered { Ok(()) } else { refuse("the list has no number (RFC 5280 §5.2.3)") }
    }

    fn read_issuing_distribution_point(&mut self, value: &[u8]) -> Result<(), CertificateError> {
        der::check(value, value.len())?;
        let mut fields = Reader::only(value, tag::SEQUENCE)?;
        if fields.is_empty() {
            return refuse("the issuing distribution point is empty (RFC 5280 §5.2.5)");
        }
        let scope = &mut self.scope;
        if let Some(point) = fields.optional(tag::context_constructed(0))? {
            let names = extensions::read_distribution_point_name(Reader::new(point.content))?.names;
            // A name relative to the issuer's is not put together here, so nobody can say whom the list is about.
            scope.not_judged |= names.is_empty();
            scope.point = Some(names);
        }
        let flag = |element: Option<Element<'_>>| element.map_or(Ok(false), |element| der::flag(element.content));
        scope.only_leaves = flag(fields.optional(tag::context(1))?)?;
        scope.only_cas = flag(fields.optional(tag::context(2))?)?;
        scope.not_judged |= fields.optional(tag::context(3))?.is_some();
        scope.not_judged |= flag(fields.optional(tag::context(4))?)?;
        scope.only_attribute_certificates = flag(fields.optional(tag::context(5))?)?;
        fields.finish()?;
        if [scope.only_leaves, scope.only_cas, scope.only_attribute_certificates].into_iter().filter(|only| *only).count() > 1 {
            return refuse("the issuing distribution point contradicts itself");
        }
        Ok(())
    }
}

impl fmt::Debug for CertificateList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CertificateList({}, {} to {}, {} entries)", self.issuer, self.this_update, self.next_update, self.entries.len())
    }
}

impl RevocationReason {
    /// Every reason that a complete list can give.
    pub(crate) const ALL: [Self; 9] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The number that stands in the entry.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }
}

fn read_reason(value: &[u8]) -> Result<RevocationReason, CertificateError> {
    let [tag::ENUMERATED, 1, code] = value else { return refuse("an entry's reason is malformed") };
    // 7 does not exist, and 8 (removeFromCRL) has its place in delta lists only: in a whole list nobody can
    // say whether the certificate is revoked or not.
    RevocationReason::ALL
        .into_iter()
        .find(|reason| reason.code() == *code)
        .ok_or(CertificateError::new(Rule::RevocationListForm, "an entry has a reason that a complete list cannot have (RFC 5280 §5.3.1)"))
}

fn refuse<T>(what: &'static str) -> Result<T, CertificateError> {
    Err(CertificateError::new(Rule::RevocationListForm, what))
}
