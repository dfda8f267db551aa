//! The same certificates as `rcgen` writes them: what tests hold our bytes to, and where tests of the lint take others from.

use super::{
    Issuer,
    encode::{EncoderError, PublicInfo, tapped},
};
use crate::{
    key::PublicKey,
    lint::Expected,
    name::Host,
    profile::{
        Approved, Kind,
        usage::{KeyUse, Purpose},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};
use std::cell::RefCell;

/// The bytes to be signed by the issuer, or without one by the key itself, as the encoder writes them.
pub(crate) fn encoded(parameters: &CertificateParams, subject: &PublicKey, issuer: Option<&Issuer>) -> Vec<u8> {
    let seen = RefCell::new(Vec::new());
    let sign = |to_be_signed: &[u8]| -> Result<Vec<u8>, EncoderError> {
        seen.replace(to_be_signed.to_vec());
        Ok(Vec::new())
    };
    let signing = issuer.map_or(subject, |issuer| issuer.certificate().public_key());
    let (subject, signing) = (PublicInfo::new(subject).expect("issued with"), PublicInfo::new(signing).expect("issued with"));
    let encoded = tapped(signing, &sign, |tap| match issuer {
        Some(issuer) => parameters.signed_by(&subject, &rcgen::Issuer::from_params(issuer.written(), tap)),
        None => parameters.self_signed(&tap),
    });
    encoded.expect("the encoder writes it");
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
