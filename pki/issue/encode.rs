//! An issuer as `rcgen` takes it, which writes the revocation lists.
//!
//! Its signing key here is a [`Tap`] between encoder and real key: it sees the finished bytes, and whoever asked for the list
//! examines them before the real key signs.

use crate::{
    certificate::Certificate,
    der::{DerError, Element, Reader, tag},
    extensions::KeyUsage,
    key::{KeyAlgorithm, PublicKey},
    lint, oid,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SigningKey};
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

/// The CA as the encoder knows an issuer, made once.
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
