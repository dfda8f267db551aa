//! Writing certificates with `rcgen`.

use super::IssueError;
use crate::{
    certificate::Certificate,
    der::{DerError, Element, Reader, tag},
    extensions::KeyUsage,
    key::{KeyAlgorithm, PublicKey, SignatureAlgorithm, Signer},
    lint::{self, Expected},
    name::Host,
    oid,
    profile::{
        Approved, Kind,
        usage::{KeyUse, Purpose},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SigningKey,
};
use std::cell::RefCell;

/// What the encoder says when it does not write something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encoder does not write it: {0}")]
pub struct EncoderError(String);

impl From<rcgen::Error> for EncoderError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

/// What looks at to-be-signed bytes and signs them or not.
type Sign<'a, E> = dyn Fn(&[u8]) -> Result<Vec<u8>, E> + 'a;

/// What `rcgen` takes for a key: it examines what is to be signed and then has the real key sign it.
pub(super) struct Tap<'a, E> {
    public: PublicInfo<'a>,
    sign: &'a Sign<'a, E>,
    /// `rcgen`'s error has no room for ours.
    refusal: &'a RefCell<Option<E>>,
}

/// A public key as `rcgen` takes it.
#[derive(Clone, Copy)]
pub(super) struct PublicInfo<'a>(&'a PublicKey, &'static rcgen::SignatureAlgorithm);

impl<'a> PublicInfo<'a> {
    pub(super) fn new(key: &'a PublicKey) -> Result<Self, EncoderError> {
        let algorithm = match key.algorithm() {
            KeyAlgorithm::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            // No profile approves one and no issuer has one.
            KeyAlgorithm::Rsa { .. } => return Err(EncoderError("RSA keys are verified only".to_owned())),
        };
        Ok(Self(key, algorithm))
    }
}

impl PublicKeyData for PublicInfo<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.subject_public_key()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.1
    }
}

impl<E> PublicKeyData for Tap<'_, E> {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl<E> SigningKey for Tap<'_, E> {
    fn sign(&self, to_be_signed: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        (self.sign)(to_be_signed).map_err(|error| {
            self.refusal.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}

/// Runs an encoder with a tap, and brings back the error that stopped it.
pub(super) fn tapped<T, E: From<EncoderError>>(
    public: PublicInfo<'_>,
    sign: &Sign<'_, E>,
    encode: impl FnOnce(Tap<'_, E>) -> Result<T, rcgen::Error>,
) -> Result<T, E> {
    let refusal = RefCell::new(None);
    let outcome = encode(Tap { public, sign, refusal: &refusal });
    outcome.map_err(|error| refusal.take().unwrap_or_else(|| EncoderError(error.to_string()).into()))
}

/// A certificate signed by the CA.
pub(super) fn signed_by(expected: &Expected<'_>, ca: &CertificateParams, signer: &dyn Signer) -> Result<Certificate, IssueError> {
    let parameters = parameters(expected)?;
    let subject = PublicInfo::new(&expected.approved.key)?;
    let sign = |to_be_signed: &[u8]| examine_and_sign(expected, to_be_signed, signer);
    let encoded =
        tapped(PublicInfo::new(signer.public_key())?, &sign, |tap| parameters.signed_by(&subject, &rcgen::Issuer::from_params(ca, tap)))?;
    Ok(Certificate::from_der(encoded.der())?)
}

/// A root.
pub(super) fn self_signed(expected: &Expected<'_>, signer: &dyn Signer) -> Result<Certificate, IssueError> {
    let parameters = parameters(expected)?;
    let sign = |to_be_signed: &[u8]| examine_and_sign(expected, to_be_signed, signer);
    let encoded = tapped(PublicInfo::new(signer.public_key())?, &sign, |tap| parameters.self_signed(&tap))?;
    Ok(Certificate::from_der(encoded.der())?)
}

/// The CA as the encoder knows an issuer, made once: for each certificate anew it would cost a tenth of issuing it.
///
/// Nothing when the encoder does not write the CA's name in the same bytes; it folds what is rare in names.
pub(super) fn issuing_parameters(ca: &Certificate, key: &PublicKey) -> Option<CertificateParams> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = encoder_name(ca.subject().der()).ok()??;
    parameters.key_identifier_method = KeyIdMethod::PreSpecified(ca.subject_key_id()?.to_vec());
    let usages = [(KeyUsage::KEY_CERT_SIGN, KeyUsagePurpose::KeyCertSign), (KeyUsage::CRL_SIGN, KeyUsagePurpose::CrlSign)];
    let allowed = ca.key_usage()?;
    parameters.key_usages = usages.into_iter().filter(|(bit, _)| allowed.contains(*bit)).map(|(_, purpose)| purpose).collect();

    let same = RefCell::new(false);
    let look = |to_be_signed: &[u8]| -> Result<Vec<u8>, EncoderError> {
        same.replace(lint::issuer_of(to_be_signed) == Some(ca.subject().der()));
        Ok(Vec::new())
    };
    let public = PublicInfo::new(key).ok()?;
    let encoded =
        tapped(public, &look, |tap| CertificateParams::default().signed_by(&public, &rcgen::Issuer::from_params(&parameters, tap)));
    (encoded.is_ok() && same.take()).then_some(parameters)
}

/// The name as the encoder takes it; nothing when it has something that cannot be handed over.
fn encoder_name(name: &[u8]) -> Result<Option<DistinguishedName>, DerError> {
    let mut written = DistinguishedName::new();
    let mut sets = Reader::only(name, tag::SEQUENCE)?;
    while !sets.is_empty() {
        let mut set = sets.nested(tag::SET)?;
        let mut attribute = set.nested(tag::SEQUENCE)?;
        let kind = attribute.oid()?;
        let value = attribute.element()?;
        let (Some(kind), Some(value), true) = (encoder_kind(kind), encoder_value(value), set.is_empty()) else { return Ok(None) };
        written.push(kind, value);
    }
    Ok(Some(written))
}

fn encoder_kind(oid: &[u8]) -> Option<DnType> {
    let arcs: Option<Vec<u64>> = oid::dotted(oid).split('.').map(|arc| arc.parse().ok()).collect();
    Some(DnType::from_oid(&arcs?))
}

fn encoder_value(value: Element<'_>) -> Option<DnValue> {
    let text = std::str::from_utf8(value.content).ok()?;
    match value.tag {
        tag::UTF8_STRING => Some(DnValue::Utf8String(text.to_owned())),
        // `yasna` panics at a question mark in a PrintableString, although X.680 §41.4 has it.
        tag::PRINTABLE_STRING if !text.contains('?') => Some(DnValue::PrintableString(text.try_into().ok()?)),
        tag::IA5_STRING => Some(DnValue::Ia5String(text.try_into().ok()?)),
        tag::TELETEX_STRING => Some(DnValue::TeletexString(text.try_into().ok()?)),
        _ => None,
    }
}

fn examine_and_sign(expected: &Expected<'_>, to_be_signed: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, IssueError> {
    let findings = lint::examine(to_be_signed, expected);
    if findings.is_empty() { Ok(signer.sign(to_be_signed)?) } else { Err(IssueError::Lint(findings)) }
}

/// The bytes that would be signed, for tests of the lint that show it others than those.
#[cfg(test)]
pub(crate) fn to_be_signed(parameters: &CertificateParams, subject: &PublicKey, issuer: &super::Issuer) -> Vec<u8> {
    let seen = RefCell::new(Vec::new());
    let sign = |to_be_signed: &[u8]| -> Result<Vec<u8>, EncoderError> {
        seen.replace(to_be_signed.to_vec());
        Ok(Vec::new())
    };
    let subject = PublicInfo::new(subject).expect("issued with");
    let public = PublicInfo::new(issuer.certificate().public_key()).expect("issued with");
    tapped(public, &sign, |tap| parameters.signed_by(&subject, &rcgen::Issuer::from_params(issuer.written(), tap)))
        .expect("the encoder writes it");
    seen.take()
}

/// Everything that the certificate says, in `rcgen`'s words.
pub(crate) fn parameters(expected: &Expected<'_>) -> Result<CertificateParams, EncoderError> {
    let approved = expected.approved;
    let mut parameters = CertificateParams::default();
    parameters.not_before = expected.not_before.to_date_time();
    parameters.not_after = expected.not_after.to_date_time();
    parameters.serial_number = Some(SerialNumber::from_slice(expected.serial.as_bytes()));
    parameters.distinguished_name = subject(approved)?;
    parameters.subject_alt_names = approved.hosts.iter().map(alternative_name).collect::<Result<_, _>>()?;
    parameters.is_ca = match approved.kind {
        Kind::Root { path_length } | Kind::Intermediate { path_length } => IsCa::Ca(BasicConstraints::Constrained(path_length)),
        Kind::Leaf => IsCa::ExplicitNoCa,
    };
    parameters.key_usages = match approved.kind {
        // What devices demand of a CA, and nothing else.
        Kind::Root { .. } | Kind::Intermediate { .. } => vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
        Kind::Leaf => approved
            .key_uses
            .iter()
            .map(|key_use| match key_use {
                KeyUse::DigitalSignature => KeyUsagePurpose::DigitalSignature,
                KeyUse::KeyAgreement => KeyUsagePurpose::KeyAgreement,
            })
            .collect(),
    };
    parameters.extended_key_usages = approved
        .purposes
        .iter()
        .map(|purpose| match purpose {
            Purpose::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
            Purpose::OcfIdentity | Purpose::Other(_) => ExtendedKeyUsagePurpose::Other(purpose.arcs()),
        })
        .collect();
    parameters.crl_distribution_points =
        approved.crl.iter().map(|address| CrlDistributionPoint { uris: vec![address.to_string()] }).collect();
    parameters.key_identifier_method = KeyIdMethod::PreSpecified(approved.key.key_id().as_bytes().to_vec());
    // RFC 5280 §4.2.1.1: everything but a root names its issuer's key.
    parameters.use_authority_key_identifier_extension = !matches!(approved.kind, Kind::Root { .. });
    Ok(parameters)
}

fn subject(approved: &Approved) -> Result<DistinguishedName, EncoderError> {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = &approved.organisation {
        name.push(DnType::OrganizationName, organisation.as_str());
    }
    if let Some(serial_number) = &approved.serial_number {
        // X.520 §6.2.9: a PrintableString, always.
        let printable = serial_number.as_str().try_into()?;
        name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), DnValue::PrintableString(printable));
    }
    name.push(DnType::CommonName, approved.common_name.as_str());
    Ok(name)
}

fn alternative_name(host: &Host) -> Result<SanType, EncoderError> {
    match host {
        Host::Name(name) => Ok(SanType::DnsName(name.as_str().try_into()?)),
        Host::Address(address) => Ok(SanType::IpAddress(*address)),
    }
}

/// A certificate or list as it will be, with a signature of no bytes, for readers that want a whole one.
pub(crate) fn with_dummy_signature(to_be_signed: &[u8], algorithm: SignatureAlgorithm) -> Vec<u8> {
    let content = [to_be_signed, algorithm.identifier_der(), &[tag::BIT_STRING, 1, 0]].concat();
    let len = content.len();
    let header = match len {
        0..=0x7f => vec![tag::SEQUENCE, len as u8],
        0x80..=0xff => vec![tag::SEQUENCE, 0x81, len as u8],
        0x100..=0xffff => vec![tag::SEQUENCE, 0x82, (len >> 8) as u8, len as u8],
        // No limit of a reader lies beyond three bytes.
        _ => vec![tag::SEQUENCE, 0x83, (len >> 16) as u8, (len >> 8) as u8, len as u8],
    };
    [header, content].concat()
}
