//! RFC 5280, and agreement with what was approved: the rules for every certificate.

use super::{
    Expected,
    finding::{Findings, LintRule},
    tbs::Tbs,
};
use crate::{
    der::{DerError, Element, Reader, tag},
    key::Role,
    name::{Host, looks_like_a_device},
    oid::{self, attribute, extension},
    profile::{Kind, Rules, usage::KeyUse},
    serial::Serial,
};
use std::{fmt::Display, net::IpAddr, time::Duration};

pub(super) fn examine(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) {
    fields(tbs, expected, findings);
    validity(tbs, expected, findings);
    or_unreadable(subject(tbs, expected, findings), LintRule::Subject, findings);
    extension_list(tbs, findings);
    or_unreadable(key_ids(tbs, expected, findings), LintRule::SubjectKeyId, findings);
    or_unreadable(key_usage(tbs, expected, findings), LintRule::KeyUsage, findings);
    or_unreadable(basic_constraints(tbs, expected, findings), LintRule::BasicConstraints, findings);
    or_unreadable(extended_key_usage(tbs, expected, findings), LintRule::ExtendedKeyUsage, findings);
    or_unreadable(alternative_names(tbs, expected, findings), LintRule::AlternativeName, findings);
    or_unreadable(distribution_point(tbs, expected, findings), LintRule::DistributionPoint, findings);
}

/// Adds a finding for a part that could not be taken apart.
pub(super) fn or_unreadable(read: Result<(), DerError>, rule: LintRule, findings: &mut Findings) {
    if let Err(error) = read {
        findings.add(rule, error.to_string());
    }
}

fn fields(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) {
    // Version 3 is written as 2.
    findings.demand(tbs.version == [2], LintRule::Version, || format!("it is written as {:?}", tbs.version));
    match Serial::from_integer(tbs.serial) {
        Ok(serial) if serial == expected.serial && serial.as_bytes().len() >= ENTROPY => {}
        Ok(serial) => findings.add(LintRule::Serial, format!("it is {serial}, and {} was drawn", expected.serial)),
        Err(error) => findings.add(LintRule::Serial, error.to_string()),
    }
    let issuing = &expected.issuing;
    let algorithm = tbs.signature_algorithm == issuing.signature_algorithm.identifier_der();
    findings.demand(algorithm, LintRule::SignatureAlgorithm, || format!("it is not {}", issuing.signature_algorithm));
    let issuer = if issuing.name.is_empty() { tbs.subject } else { issuing.name };
    // An empty name is two bytes long.
    findings.demand(tbs.issuer == issuer && tbs.issuer.len() > 2, LintRule::Issuer, || "it is another name".to_owned());
    findings.demand(tbs.unique_ids == 0, LintRule::UniqueId, || format!("there are {}", tbs.unique_ids));

    let key = &expected.approved.key;
    let role = match expected.approved.kind {
        Kind::Leaf => Role::Leaf,
        Kind::Intermediate { .. } => Role::Intermediate,
        Kind::Root { .. } => Role::Anchor,
    };
    findings.demand(tbs.key == key.spki_der(), LintRule::Key, || "it is another key".to_owned());
    findings.demand(role.issues(key.algorithm()), LintRule::Key, || format!("it is {}", key.algorithm()));
}

fn validity(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) {
    let mut reader = tbs.validity.clone();
    let read = reader.time().and_then(|begin| Ok((begin, reader.time()?))).and_then(|dates| reader.finish().map(|()| dates));
    let (begin, end) = match read {
        Ok(dates) => dates,
        Err(error) => return findings.add(LintRule::Validity, error.to_string()),
    };
    findings.demand(begin < end, LintRule::Validity, || format!("{begin} is not before {end}"));
    let approved = begin.secs() == expected.not_before.secs() && end.secs() == expected.not_after.secs();
    findings.demand(approved, LintRule::Validity, || format!("they are {begin} and {end}"));
    let issuer_begins = expected.issuing.window.map(|(first, _)| first);
    if let Some((first, last)) = expected.issuing.window {
        findings.demand(first <= begin && end <= last, LintRule::WithinIssuer, || format!("they are valid from {first} to {last}"));
    }
    let early = begin <= expected.approved.approved_at - BACK_DATED || issuer_begins == Some(begin);
    findings.demand(early, LintRule::BackDated, || format!("it begins {begin} and is made {}", expected.approved.approved_at));
}

fn subject(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let approved = expected.approved;
    let attributes = tbs.attributes()?;
    findings.demand(!attributes.is_empty(), LintRule::Subject, || "it is empty".to_owned());
    for (at, attribute) in attributes.iter().enumerate() {
        let shown = || oid::dotted(attribute.oid);
        let repeated = attributes[..at].iter().any(|earlier| earlier.oid == attribute.oid);
        findings.demand(!repeated && attribute.in_set == 1, LintRule::Subject, || format!("{} is not once and alone", shown()));
        // X.520 §6.2.9 and §6.3.1: serial numbers and countries are PrintableStrings. RFC 5280 §4.1.2.4: the others are
        // UTF8Strings, or PrintableStrings where that is enough.
        let typed = match attribute.value.tag {
            tag::PRINTABLE_STRING => true,
            tag::UTF8_STRING => ![attribute::SERIAL_NUMBER, COUNTRY].contains(&attribute.oid),
            _ => false,
        };
        findings.demand(typed, LintRule::Subject, || format!("{} has the wrong string type", shown()));
        let text = String::from_utf8_lossy(attribute.value.content);
        let fits = (1..=UPPER_BOUND).contains(&text.chars().count());
        findings.demand(fits, LintRule::Subject, || format!("{} has {} characters", shown(), text.chars().count()));
        let may_name_a_device = attribute.oid == attribute::COMMON_NAME && approved.rules.contains(&Rules::OcfIdentity);
        let harmless = may_name_a_device || !looks_like_a_device(&text);
        findings.demand(harmless, LintRule::DeviceName, || format!("{} is {text:?}", shown()));
    }
    let said: Vec<(&[u8], &[u8])> = attributes.iter().map(|attribute| (attribute.oid, attribute.value.content)).collect();
    let organisation = approved.organisation.iter().map(|name| (ORGANISATION, name.as_str().as_bytes()));
    let serial_number = approved.serial_number.iter().map(|number| (attribute::SERIAL_NUMBER, number.as_str().as_bytes()));
    let common_name = (attribute::COMMON_NAME, approved.common_name.as_bytes());
    let meant: Vec<(&[u8], &[u8])> = organisation.chain(serial_number).chain([common_name]).collect();
    findings.demand(said == meant, LintRule::SubjectContent, || "it says something else".to_owned());
    Ok(())
}

fn extension_list(tbs: &Tbs<'_>, findings: &mut Findings) {
    for (at, found) in tbs.extensions.iter().enumerate() {
        let shown = || oid::dotted(found.oid);
        let repeated = tbs.extensions[..at].iter().any(|earlier| earlier.oid == found.oid);
        findings.demand(!repeated, LintRule::DuplicateExtension, || format!("{} is", shown()));
        findings.demand(KNOWN.contains(&found.oid), LintRule::UnknownExtension, || format!("{} is one", shown()));
        let critical = [extension::KEY_USAGE, extension::BASIC_CONSTRAINTS].contains(&found.oid);
        findings.demand(found.critical == critical, LintRule::Criticality, || {
            format!("{} is {}", shown(), if critical { "not" } else { "too" })
        });
    }
}

fn key_ids(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let own = match tbs.extension(extension::SUBJECT_KEY_ID) {
        Some(value) => only(value, tag::OCTET_STRING)?,
        None => &[],
    };
    findings.demand(own == expected.approved.key.key_id().as_bytes(), LintRule::SubjectKeyId, || hexadecimal(own));
    let authority = match tbs.extension(extension::AUTHORITY_KEY_ID) {
        Some(value) => only(only(value, tag::SEQUENCE)?, tag::context(0)).unwrap_or(b"something else"),
        None => &[],
    };
    findings.demand(authority == expected.issuing.key_id, LintRule::AuthorityKeyId, || hexadecimal(authority));
    Ok(())
}

fn key_usage(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let bit = |key_use: &KeyUse| match key_use {
        KeyUse::DigitalSignature => DIGITAL_SIGNATURE,
        KeyUse::KeyAgreement => KEY_AGREEMENT,
    };
    let meant = match expected.approved.kind {
        Kind::Root { .. } | Kind::Intermediate { .. } => KEY_CERT_SIGN | CRL_SIGN,
        Kind::Leaf => expected.approved.key_uses.iter().map(bit).fold(0, |bits, bit| bits | bit),
    };
    let found = tbs.key_usage()?;
    findings.demand(found == meant && found != 0, LintRule::KeyUsage, || format!("the bits {found:#b} are set"));
    Ok(())
}

fn basic_constraints(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let found = match tbs.extension(extension::BASIC_CONSTRAINTS) {
        Some(value) => {
            let mut inside = Reader::only(value, tag::SEQUENCE)?;
            let ca = inside.default_false()?;
            let path_length = inside.optional(tag::INTEGER)?.map(|element| crate::der::small(element.content)).transpose()?;
            inside.finish()?;
            Some((ca, path_length))
        }
        None => None,
    };
    match expected.approved.kind {
        Kind::Leaf => findings.demand(found == Some((false, None)), LintRule::BasicConstraints, || format!("a leaf says {found:?}")),
        Kind::Root { path_length } | Kind::Intermediate { path_length } => {
            let meant = Some((true, Some(u32::from(path_length))));
            findings.demand(found == meant, LintRule::BasicConstraints, || format!("a CA says {found:?}"));
            let allowed = expected.issuing.cas_below.is_none_or(|left| left > u32::from(path_length));
            findings.demand(allowed, LintRule::PathLength, || format!("{:?} CAs are left below the issuer", expected.issuing.cas_below));
        }
    }
    Ok(())
}

fn extended_key_usage(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let found = tbs.purposes()?;
    let meant: Vec<Vec<u8>> = expected.approved.purposes.iter().map(|purpose| content_of(&purpose.arcs())).collect();
    let repeats = found.iter().enumerate().any(|(at, purpose)| found[..at].contains(purpose));
    let fits_kind = found.is_empty() == (expected.approved.kind != Kind::Leaf);
    let kept = found == meant && fits_kind && !repeats && !found.contains(&oid::usage::ANY);
    let shown = || found.iter().map(|purpose| oid::dotted(purpose)).collect::<Vec<_>>().join(", ");
    findings.demand(kept, LintRule::ExtendedKeyUsage, || format!("there are: {}", shown()));
    Ok(())
}

/// The content of an OBJECT IDENTIFIER with these arcs (X.690 §8.19).
fn content_of(arcs: &[u64]) -> Vec<u8> {
    let [first, second, rest @ ..] = arcs else { return Vec::new() };
    let mut content = Vec::with_capacity(10);
    for arc in [&[first * 40 + second], rest].concat() {
        // Seven bits a byte, the highest first; all bytes but the last of an arc are marked.
        let groups = (u64::BITS - arc.leading_zeros()).div_ceil(7).max(1);
        content.extend((0..groups).rev().map(|group| (arc >> (7 * group)) as u8 & 0x7f | if group > 0 { 0x80 } else { 0 }));
    }
    content
}

fn alternative_names(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let names = tbs.alternative_names()?;
    let empty = tbs.extension(extension::SUBJECT_ALTERNATIVE_NAME).is_some() && names.is_empty();
    findings.demand(!empty, LintRule::AlternativeName, || "the list is there and empty".to_owned());
    let read: Vec<Option<Host>> = names.iter().map(host).collect();
    let meant: Vec<Option<Host>> = expected.approved.hosts.iter().cloned().map(Some).collect();
    findings.demand(read == meant, LintRule::AlternativeName, || format!("there are {}", shown(&read)));
    for name in names {
        let text = String::from_utf8_lossy(name.content);
        findings.demand(!looks_like_a_device(&text), LintRule::DeviceName, || format!("an alternative name is {text:?}"));
    }
    Ok(())
}

/// A `dNSName` or `iPAddress`; nothing for any other form.
fn host(name: &Element<'_>) -> Option<Host> {
    match name.tag {
        DNS_NAME => str::from_utf8(name.content).ok()?.parse().ok().map(Host::Name),
        IP_ADDRESS => match name.content.len() {
            4 => <[u8; 4]>::try_from(name.content).ok().map(|bytes| Host::Address(IpAddr::from(bytes))),
            _ => <[u8; 16]>::try_from(name.content).ok().map(|bytes| Host::Address(IpAddr::from(bytes))),
        },
        _ => None,
    }
}

fn distribution_point(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let found = match tbs.extension(extension::CRL_DISTRIBUTION_POINTS) {
        // One point, with one full name, which is a URI.
        Some(value) => {
            let point = only(only(value, tag::SEQUENCE)?, tag::SEQUENCE)?;
            let full_name = only(only(point, tag::context_constructed(0))?, tag::context_constructed(0))?;
            only(full_name, URI)?
        }
        None => &[],
    };
    let meant = expected.approved.crl.as_ref().map_or("", |address| address.as_str());
    findings.demand(found == meant.as_bytes(), LintRule::DistributionPoint, || format!("it is {:?}", String::from_utf8_lossy(found)));
    Ok(())
}

/// The content of the one element that the bytes are.
fn only(bytes: &[u8], tag: u8) -> Result<&[u8], DerError> {
    let mut reader = Reader::new(bytes);
    let element = reader.expect(tag)?;
    reader.finish()?;
    Ok(element.content)
}

fn shown<T: Display>(hosts: &[Option<T>]) -> String {
    let each: Vec<String> = hosts.iter().map(|host| host.as_ref().map_or("no host".to_owned(), T::to_string)).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

fn hexadecimal(bytes: &[u8]) -> String {
    if bytes.is_empty() { "there is none".to_owned() } else { format!("it is {bytes:02x?}") }
}

/// RFC 5280 §4.2.1.3, bit 0 first.
pub(super) const DIGITAL_SIGNATURE: u16 = 1;
pub(super) const KEY_AGREEMENT: u16 = 1 << 4;
const KEY_CERT_SIGN: u16 = 1 << 5;
const CRL_SIGN: u16 = 1 << 6;

const KNOWN: [&[u8]; 7] = [
    extension::AUTHORITY_KEY_ID,
    extension::SUBJECT_KEY_ID,
    extension::KEY_USAGE,
    extension::BASIC_CONSTRAINTS,
    extension::EXTENDED_KEY_USAGE,
    extension::SUBJECT_ALTERNATIVE_NAME,
    extension::CRL_DISTRIBUTION_POINTS,
];

const COUNTRY: &[u8] = &[0x55, 4, 6];
const ORGANISATION: &[u8] = &[0x55, 4, 10];
/// `GeneralName` (RFC 5280 §4.2.1.6).
const DNS_NAME: u8 = tag::context(2);
const URI: u8 = tag::context(6);
const IP_ADDRESS: u8 = tag::context(7);
/// ub-common-name, ub-organization-name and ub-serial-number (RFC 5280 appendix A.1, X.520).
const UPPER_BOUND: usize = 64;
/// 64 bits that nobody can foresee.
const ENTROPY: usize = 8;
/// Devices' clocks may be an hour slow.
const BACK_DATED: Duration = Duration::from_secs(65 * 60);
