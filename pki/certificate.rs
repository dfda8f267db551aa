//! A certificate as it was presented or configured, read once.
//!
//! Reading accepts what RFC 5280 §4.1 and §4.2 let a conforming CA write and nothing else, so that judging a chain
//! can look at fields instead of bytes. It does not say that a certificate is good: that is judged
//! with its chain.

use crate::{
    der::{self, DerError, Element, Reader, tag, write},
    distinguished_name::DistinguishedName,
    extensions::{ExtendedKeyUsage, Extensions, KeyUsage},
    general_name::GeneralName,
    key::{AlgorithmError, Fingerprint, KeyError, PublicKey, SignatureAlgorithm},
    pem::{self, PemError},
    rule::Rule,
    serial::Serial,
};
use gatehouse_types::UnixTime;
use std::{fmt, ops::Range};

/// The largest certificate that is read; a chain may not be larger in all either.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

/// How many certificates a file may hold.
pub const MAX_CHAIN: usize = 32;

/// An X.509 version 3 certificate whose form was checked completely.
///
/// Two are equal when their bytes are.
#[derive(Clone)]
pub struct Certificate {
    der: Box<[u8]>,
    to_be_signed: Range<usize>,
    signature: Range<usize>,
    signature_algorithm: SignatureAlgorithm,
    serial: Serial,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    not_before: UnixTime,
    not_after: UnixTime,
    public_key: PublicKey,
    pub(crate) extensions: Extensions,
}

/// A certificate that is refused before any chain is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError {
    rule: Rule,
    detail: Detail,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Detail {
    What(&'static str),
    Der(DerError),
    Key(KeyError),
    Algorithm(AlgorithmError),
    Pem(PemError),
}

impl Certificate {
    /// Reads one certificate in DER; nothing may follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::too_large());
        }
        der::check(der, MAX_CERTIFICATE)?;
        Self::from_checked(der)
    }

    /// Reads one certificate in bytes that [`der::check`] found to be one element in DER.
    pub(crate) fn from_checked(der: &[u8]) -> Result<Self, CertificateError> {
        let (to_be_signed, algorithm, signature) = outer_parts(der)?;
        let mut fields = Reader::new(to_be_signed.content);
        read_version(&mut fields)?;
        let serial = read_serial(&mut fields)?;
        if fields.expect(tag::SEQUENCE)?.raw != algorithm {
            return Err(CertificateError::new(Rule::AlgorithmsDiffer, "the two algorithm identifiers are not the same"));
        }
        let signature_algorithm = SignatureAlgorithm::from_identifier_der(algorithm)?;
        let issuer = read_name(&mut fields, Rule::Issuer)?;
        let (not_before, not_after) = read_validity(&mut fields)?;
        let subject = read_name(&mut fields, Rule::Subject)?;
        let public_key = PublicKey::from_spki_der(fields.expect(tag::SEQUENCE)?.raw)?;
        if fields.optional(tag::context(1))?.is_some() || fields.optional(tag::context(2))?.is_some() {
            return Err(CertificateError::new(Rule::UniqueId, "there is a unique identifier beside the names"));
        }
        let extensions = match fields.optional(tag::context_constructed(3))? {
            Some(list) => Extensions::read(Reader::only(list.content, tag::SEQUENCE)?)?,
            None => Extensions::default(),
        };
        fields.finish()?;

        let certificate = Self {
            der: der.into(),
            to_be_signed: range_in(der, to_be_signed.raw),
            signature: range_in(der, signature),
            signature_algorithm,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            extensions,
        };
        certificate.check_fields_together()?;
        Ok(certificate)
    }

    /// Reads one or more PEM certificates (RFC 7468 §5), in the order in which they stand in the file. Text between
    /// them is skipped; a block of another kind, such as a private key, is refused.
    pub fn chain_from_pem(text: &[u8]) -> Result<Vec<Self>, CertificateError> {
        pem::blocks(text, pem::CERTIFICATE, MAX_CHAIN)?.iter().map(|der| Self::from_der(der)).collect()
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM, ending with a line break.
    pub fn pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der)
    }

    /// SHA-256 over the DER.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// Whom it is for.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// Who says to have issued it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// The serial number that its issuer gave it.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The first second of its validity.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The last second of its validity.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// How it is signed.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.signature_algorithm
    }

    /// Whether its basic constraints say that it is a CA's.
    pub fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    /// How many CAs may follow below it.
    pub fn path_length(&self) -> Option<u32> {
        self.extensions.basic_constraints.and_then(|constraints| constraints.path_length)
    }

    /// What the key may be used for, when it says so.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.extensions.key_usage
    }

    /// The purposes it may be used for, when it names them.
    pub fn extended_key_usages(&self) -> Option<&[ExtendedKeyUsage]> {
        self.extensions.extended_key_usages.as_deref()
    }

    /// Other names of whom it is for.
    pub fn subject_alternative_names(&self) -> &[GeneralName] {
        &self.extensions.alternative_names
    }

    /// How its issuer calls its key.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.extensions.subject_key_id.as_deref()
    }

    /// How its issuer calls the issuer's key.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.extensions.authority_key_id.as_ref().and_then(|authority| authority.key_id.as_deref())
    }

    /// The addresses at which its issuer's revocation lists are.
    pub fn crl_distribution_points(&self) -> impl Iterator<Item = &str> {
        self.extensions.distribution_points.iter().flat_map(|point| point.uris.iter().map(String::as_str))
    }

    /// Whether issuer and subject have the same name: a root, or a CA that certifies its own next key.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The bytes that the signature is over.
    pub(crate) fn to_be_signed(&self) -> &[u8] {
        &self.der[self.to_be_signed.clone()]
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.der[self.signature.clone()]
    }

    /// The same certificate with another signature by its algorithm. The signature says nothing about any field, so that
    /// none is read again.
    pub(crate) fn with_signature(self, signature: &[u8]) -> Result<Self, CertificateError> {
        let algorithm = outer_parts(&self.der)?.1;
        let der = write::signed(self.to_be_signed(), algorithm, signature);
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::too_large());
        }
        let (to_be_signed, _, signature) = outer_parts(&der)?;
        let (to_be_signed, signature) = (range_in(&der, to_be_signed.raw), range_in(&der, signature));
        Ok(Self { der: der.into(), to_be_signed, signature, ..self })
    }

    /// What no field can say alone.
    fn check_fields_together(&self) -> Result<(), CertificateError> {
        if self.subject.is_empty() && (self.is_ca() || !self.extensions.alternative_names_critical) {
            return Err(CertificateError::new(Rule::Subject, "the subject is empty and there is no critical alternative name instead"));
        }
        if self.not_after < self.not_before {
            return Err(CertificateError::new(Rule::Validity, "it ends before it begins"));
        }
        let signs_certificates = self.extensions.key_usage.is_some_and(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN));
        if signs_certificates && !self.is_ca() {
            return Err(CertificateError::new(
                Rule::BasicConstraints,
                "the key usage says certificate signing and the basic constraints do not",
            ));
        }
        if self.extensions.name_constraints.is_some() && !self.is_ca() {
            return Err(CertificateError::new(Rule::NameConstraintForm, "there are name constraints in a certificate that is no CA's"));
        }
        Ok(())
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Certificate({}, issued by {}, serial {})", self.subject, self.issuer, self.serial)
    }
}

impl CertificateError {
    pub(crate) fn new(rule: Rule, what: &'static str) -> Self {
        Self { rule, detail: Detail::What(what) }
    }

    fn too_large() -> Self {
        Self::new(Rule::TooLarge, "the certificate is larger than 16 KiB")
    }

    /// The rule that was broken.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The same fault in a place whose rule says more than "encoding".
    pub(crate) fn in_place_of(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Detail::What(what) => write!(out, "{what}")?,
            Detail::Der(error) => write!(out, "{error}")?,
            Detail::Key(error) => write!(out, "{error}")?,
            Detail::Algorithm(error) => write!(out, "{error}")?,
            Detail::Pem(error) => write!(out, "{error}")?,
        }
        write!(out, " ({})", self.rule.section())
    }
}

impl std::error::Error for CertificateError {}

impl From<DerError> for CertificateError {
    fn from(error: DerError) -> Self {
        Self { rule: Rule::Encoding, detail: Detail::Der(error) }
    }
}

impl From<KeyError> for CertificateError {
    fn from(error: KeyError) -> Self {
        Self { rule: Rule::Key, detail: Detail::Key(error) }
    }
}

impl From<AlgorithmError> for CertificateError {
    fn from(error: AlgorithmError) -> Self {
        Self { rule: Rule::SignatureAlgorithm, detail: Detail::Algorithm(error) }
    }
}

impl From<PemError> for CertificateError {
    fn from(error: PemError) -> Self {
        Self { rule: Rule::Encoding, detail: Detail::Pem(error) }
    }
}

/// What is signed, the identifier of the algorithm in DER, and the signature.
fn outer_parts(der: &[u8]) -> Result<(Element<'_>, &[u8], &[u8]), DerError> {
    let mut outer = Reader::only(der, tag::SEQUENCE)?;
    let parts = (outer.expect(tag::SEQUENCE)?, outer.expect(tag::SEQUENCE)?.raw, outer.bytes_in_bits()?);
    outer.finish()?;
    Ok(parts)
}

fn read_version(fields: &mut Reader<'_>) -> Result<(), CertificateError> {
    // Version 1, the default, has no field, and version 2 is a 1 in it.
    match fields.optional(tag::context_constructed(0))? {
        Some(version) if version.content == [tag::INTEGER, 1, 2] => Ok(()),
        _ => Err(CertificateError::new(Rule::Version, "it is not an X.509 version 3 certificate")),
    }
}

fn read_serial(fields: &mut Reader<'_>) -> Result<Serial, CertificateError> {
    let content = fields.expect(tag::INTEGER)?.content;
    Serial::from_integer(content)
        .map_err(|_| CertificateError::new(Rule::Serial, "the serial number is not positive or longer than 20 octets"))
}

fn read_name(fields: &mut Reader<'_>, rule: Rule) -> Result<DistinguishedName, CertificateError> {
    let name = DistinguishedName::from_checked(fields.expect(tag::SEQUENCE)?.raw)
        .map_err(|error| CertificateError::from(error).in_place_of(rule))?;
    if rule == Rule::Issuer && name.is_empty() {
        return Err(CertificateError::new(rule, "the issuer's name is empty"));
    }
    Ok(name)
}

fn read_validity(fields: &mut Reader<'_>) -> Result<(UnixTime, UnixTime), CertificateError> {
    let malformed = |error: DerError| CertificateError::from(error).in_place_of(Rule::Validity);
    let mut validity = fields.nested(tag::SEQUENCE)?;
    let times = (validity.time().map_err(malformed)?, validity.time().map_err(malformed)?);
    validity.finish()?;
    Ok(times)
}

/// Where a part lies in the whole that it was cut from.
pub(crate) fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SerialNumber};

    /// A CA's certificate as `rcgen` writes it.
    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "maker");
        params.serial_number = Some(SerialNumber::from_slice(&[0x42; 16]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec()
    }

    /// Replaces bytes that occur once.
    fn replaced(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = der.windows(from.len()).position(|window| window == from).expect("the bytes are there");
        [&der[..at], to, &der[at + from.len()..]].concat()
    }

    fn rule(der: &[u8]) -> Option<Rule> {
        Certificate::from_der(der).err().map(|error| error.rule())
    }

    #[test]
    fn a_certificate_tells_what_is_in_it() {
        let der = made(|_| {});
        let certificate = Certificate::from_der(&der).expect("a good certificate");
        assert_eq!(certificate.der(), der);
        assert_eq!(certificate.subject().common_name().as_deref(), Some("maker"));
        assert_eq!(certificate.serial().to_string(), "42".repeat(16));
        assert!(certificate.is_ca() && certificate.is_self_issued());
        assert_eq!(certificate.path_length(), Some(1));
        assert!(certificate.key_usage().expect("there").contains(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN));
        assert_eq!(certificate.not_before().to_string(), "1975-01-01T00:00:00Z");
        assert_eq!(
            certificate.public_key().verify(certificate.signature_algorithm(), certificate.to_be_signed(), certificate.signature()),
            Ok(())
        );
        assert_eq!(Certificate::chain_from_pem(certificate.pem().as_bytes()).expect("PEM"), [certificate]);
    }

    /// Every field; `==` compares bytes only.
    fn assert_same(one: Certificate, other: Certificate) {
        let Certificate {
            der,
            to_be_signed,
            signature,
            signature_algorithm,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            extensions,
        } = one;
        assert_eq!((der, to_be_signed, signature), (other.der, other.to_be_signed, other.signature));
        assert_eq!((signature_algorithm, serial, issuer), (other.signature_algorithm, other.serial, other.issuer));
        assert_eq!((subject, not_before, not_after), (other.subject, other.not_before, other.not_after));
        assert_eq!((public_key, extensions), (other.public_key, other.extensions));
    }

    #[test]
    fn a_certificate_with_another_signature_is_what_its_bytes_are_read_as() {
        let certificate = Certificate::from_der(&made(|_| {})).expect("a good certificate");
        // Lengths around those at which a header gets one more byte, of the signature's element and of the whole one.
        for len in [0, 1, 64, 70, 71, 72, 126, 127, 128, 255, 256, 512, 8000] {
            let signature = vec![0x5a; len];
            let other = certificate.clone().with_signature(&signature).expect("it is not too large");
            assert_eq!((other.signature(), other.to_be_signed()), (signature.as_slice(), certificate.to_be_signed()));
            assert_same(Certificate::from_der(&other.der).expect("still a good certificate"), other);
        }
        let large = certificate.with_signature(&vec![0; MAX_CERTIFICATE]).map(drop);
        assert_eq!(large.map_err(|error| error.rule()), Err(Rule::TooLarge));
    }

    #[test]
    fn each_field_is_held_to_its_rule() {
        let der = made(|_| {});
        assert_eq!(rule(&der), None);
        for (from, to, broken) in [
            (&b"\xa0\x03\x02\x01\x02"[..], &b"\xa0\x03\x02\x01\x01"[..], Rule::Version),
            (b"\x02\x10\x42", b"\x02\x10\xc2", Rule::Serial),
            // sha256 becomes sha384 inside only
            (b"\x3d\x04\x03\x02", b"\x3d\x04\x03\x03", Rule::AlgorithmsDiffer),
            (b"750101000000Z", b"751301000000Z", Rule::Encoding),
            (b"\x55\x1d\x0f", b"\x55\x1d\x13", Rule::DuplicateExtension),
            (b"\x01\x01\xff", b"\x01\x01\x01", Rule::Encoding),
        ] {
            assert_eq!(rule(&replaced(&der, from, to)), Some(broken), "{from:02x?}");
        }
        assert_eq!(rule(&[der.as_slice(), &[0]].concat()), Some(Rule::Encoding));
        assert_eq!(rule(&vec![0x30; MAX_CERTIFICATE + 1]), Some(Rule::TooLarge));
        assert_eq!(rule(&made(|params| params.not_before = params.not_after + time::Duration::days(1))), Some(Rule::Validity));
        assert_eq!(rule(&made(|params| params.is_ca = IsCa::NoCa)), Some(Rule::BasicConstraints));
    }

    #[test]
    fn every_prefix_is_refused_and_no_byte_flipped_makes_a_panic() {
        let der = made(|_| {});
        for end in 0..der.len() {
            assert_eq!(rule(&der[..end]), Some(Rule::Encoding));
        }
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut flipped = der.clone();
                flipped[at] ^= 1 << bit;
                if let Ok(certificate) = Certificate::from_der(&flipped) {
                    assert_eq!(certificate.der(), flipped);
                }
            }
        }
    }
}
