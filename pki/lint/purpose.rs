//! What the world that a certificate is made for demands beyond RFC 5280.

use super::{
    Expected,
    content::{DIGITAL_SIGNATURE, KEY_AGREEMENT, or_unreadable},
    finding::{Findings, LintRule},
    tbs::Tbs,
};
use crate::{
    der::{DerError, tag},
    key::{KeyAlgorithm, SignatureAlgorithm},
    name::DeviceName,
    oid::{attribute, usage},
    profile::{Kind, Rules},
};
use std::net::IpAddr;

pub(super) fn examine(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) {
    for rules in &expected.approved.rules {
        match rules {
            Rules::DeviceIdentity => or_unreadable(device_identity(tbs, expected, findings), LintRule::DevicePurpose, findings),
            Rules::OcfIdentity => or_unreadable(ocf_identity(tbs, expected, findings), LintRule::OcfPurpose, findings),
            Rules::TlsServer => or_unreadable(tls_server(tbs, findings), LintRule::ServerName, findings),
        }
    }
}

/// IEEE 802.1AR-2018 §8.
fn device_identity(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let serial_numbers = tbs.attributes()?.iter().filter(|found| found.oid == attribute::SERIAL_NUMBER).count();
    findings.demand(serial_numbers == 1, LintRule::DeviceSerialNumber, || format!("there are {serial_numbers}"));
    let client = tbs.purposes()?.contains(&usage::CLIENT_AUTH) && tbs.key_usage()? & DIGITAL_SIGNATURE != 0;
    findings.demand(client, LintRule::DevicePurpose, || "it does not authenticate a client".to_owned());
    findings.demand(expected.approved.kind == Kind::Leaf, LintRule::DevicePurpose, || "it is a CA".to_owned());
    Ok(())
}

/// What OCF devices demand of each other.
fn ocf_identity(tbs: &Tbs<'_>, expected: &Expected<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let attributes = tbs.attributes()?;
    let named = match attributes.as_slice() {
        [only] if only.oid == attribute::COMMON_NAME => {
            str::from_utf8(only.value.content).is_ok_and(|text| text.parse::<DeviceName>().is_ok())
        }
        _ => false,
    };
    findings.demand(named, LintRule::OcfName, || "it is something else".to_owned());
    let bits = tbs.key_usage()?;
    findings.demand(bits == DIGITAL_SIGNATURE | KEY_AGREEMENT, LintRule::OcfKeyUsage, || format!("the bits {bits:#b} are set"));
    let purposes = tbs.purposes()?;
    let all = [usage::CLIENT_AUTH, usage::SERVER_AUTH, usage::OCF_IDENTITY].iter().all(|purpose| purposes.contains(purpose));
    let others = [usage::ANY, OCF_ROLE].iter().any(|purpose| purposes.contains(purpose));
    findings.demand(all && !others, LintRule::OcfPurpose, || "the purposes are others".to_owned());
    let key = expected.approved.key.algorithm();
    let known = matches!(key, KeyAlgorithm::P256 | KeyAlgorithm::P384);
    let signature = expected.issuing.signature_algorithm;
    let signed = matches!(signature, SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::EcdsaSha384);
    findings.demand(known && signed, LintRule::OcfKey, || format!("the key is {key} and the signature {signature}"));
    Ok(())
}

/// RFC 9525, and what browsers make of it.
fn tls_server(tbs: &Tbs<'_>, findings: &mut Findings) -> Result<(), DerError> {
    let server = tbs.purposes()?.contains(&usage::SERVER_AUTH) && tbs.key_usage()? & DIGITAL_SIGNATURE != 0;
    findings.demand(server, LintRule::ServerPurpose, || "it does not".to_owned());
    let names = tbs.alternative_names()?;
    findings.demand(!names.is_empty(), LintRule::ServerName, || "there is no alternative name".to_owned());
    let texts: Vec<String> = names.iter().map(|name| text(name.tag, name.content)).collect();
    let attributes = tbs.attributes()?;
    let common_names = attributes.iter().filter(|found| found.oid == attribute::COMMON_NAME);
    for common_name in common_names {
        let said = String::from_utf8_lossy(common_name.value.content);
        findings
            .demand(texts.iter().any(|text| *text == said), LintRule::ServerName, || format!("the common name {said:?} is none of them"));
    }
    Ok(())
}

/// A `dNSName` or `iPAddress` as people write it.
fn text(kind: u8, content: &[u8]) -> String {
    match (kind == tag::context(7), <[u8; 4]>::try_from(content), <[u8; 16]>::try_from(content)) {
        (true, Ok(bytes), _) => IpAddr::from(bytes).to_string(),
        (true, _, Ok(bytes)) => IpAddr::from(bytes).to_string(),
        _ => String::from_utf8_lossy(content).into_owned(),
    }
}

/// 1.3.6.1.4.1.44924.1.7: the certificate of a role, which an identity is not.
const OCF_ROLE: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0xde, 0x7c, 1, 7];
