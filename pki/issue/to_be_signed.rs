//! Writing what is going to be signed: the `TBSCertificate` (RFC 5280 §4.1) of what was approved.
//!
//! Issuing calls it once a certificate, and a factory's line tens of thousands of times a second, so that it writes into one
//! buffer. It decides nothing and checks nothing: what it wrote is read back by the [lint](crate::lint), which shares none of
//! this code and none of these constants. Tests hold its bytes to those of `rcgen`.

use crate::{
    der::{
        append::{self, element, within},
        tag, write,
    },
    lint::Expected,
    name::Host,
    profile::{Approved, Kind, usage::KeyUse},
};
use std::net::IpAddr;

/// The bytes to be signed for a certificate that says what is expected.
pub(super) fn to_be_signed(expected: &Expected<'_>) -> Vec<u8> {
    let (approved, issuing) = (expected.approved, &expected.issuing);
    let mut out = Vec::with_capacity(USUAL);
    within(&mut out, tag::SEQUENCE, |out| {
        // Version 3 is written as 2.
        within(out, tag::context_constructed(0), |out| out.extend_from_slice(&write::small(2)));
        element(out, tag::INTEGER, &expected.serial.to_integer());
        out.extend_from_slice(issuing.signature_algorithm.identifier_der());
        match approved.kind {
            Kind::Root { .. } => subject(out, approved),
            _ => out.extend_from_slice(issuing.name),
        }
        within(out, tag::SEQUENCE, |out| {
            append::time(out, expected.not_before);
            append::time(out, expected.not_after);
        });
        subject(out, approved);
        out.extend_from_slice(approved.key.spki_der());
        within(out, tag::context_constructed(3), |out| within(out, tag::SEQUENCE, |out| extensions(out, expected)));
    });
    out
}

fn subject(out: &mut Vec<u8>, approved: &Approved) {
    let attribute = |out: &mut Vec<u8>, kind: u64, tag: u8, text: &str| {
        within(out, tag::SET, |out| {
            within(out, tag::SEQUENCE, |out| {
                append::oid(out, &[2, 5, 4, kind]);
                element(out, tag, text.as_bytes());
            });
        });
    };
    within(out, tag::SEQUENCE, |out| {
        if let Some(organisation) = &approved.organisation {
            attribute(out, ORGANISATION, tag::UTF8_STRING, organisation.as_str());
        }
        if let Some(serial_number) = &approved.serial_number {
            // X.520 §6.2.9: a PrintableString, always.
            attribute(out, SERIAL_NUMBER, tag::PRINTABLE_STRING, serial_number.as_str());
        }
        attribute(out, COMMON_NAME, tag::UTF8_STRING, &approved.common_name);
    });
}

fn extensions(out: &mut Vec<u8>, expected: &Expected<'_>) {
    let approved = expected.approved;
    // RFC 5280 §4.2.1.1: everything but a root names its issuer's key.
    if !matches!(approved.kind, Kind::Root { .. }) {
        extension(out, AUTHORITY_KEY_ID, false, |out| {
            within(out, tag::SEQUENCE, |out| element(out, tag::context(0), expected.issuing.key_id));
        });
    }
    if !approved.hosts.is_empty() {
        extension(out, SUBJECT_ALTERNATIVE_NAME, false, |out| {
            within(out, tag::SEQUENCE, |out| approved.hosts.iter().for_each(|name| host(out, name)));
        });
    }
    extension(out, KEY_USAGE, true, |out| append::named_bits(out, key_usage(approved)));
    if !approved.purposes.is_empty() {
        extension(out, EXTENDED_KEY_USAGE, false, |out| {
            within(out, tag::SEQUENCE, |out| approved.purposes.iter().for_each(|purpose| append::oid(out, &purpose.arcs())));
        });
    }
    if let Some(address) = &approved.crl {
        extension(out, CRL_DISTRIBUTION_POINTS, false, |out| distribution_point(out, address.as_str()));
    }
    extension(out, SUBJECT_KEY_ID, false, |out| element(out, tag::OCTET_STRING, approved.key.key_id().as_bytes()));
    extension(out, BASIC_CONSTRAINTS, true, |out| {
        within(out, tag::SEQUENCE, |out| match approved.kind {
            Kind::Root { path_length } | Kind::Intermediate { path_length } => {
                element(out, tag::BOOLEAN, &[0xff]);
                out.extend_from_slice(&write::unsigned(&[path_length]));
            }
            // That it is none is the default, which is left out (X.690 §11.5).
            Kind::Leaf => {}
        });
    });
}

fn extension(out: &mut Vec<u8>, kind: u64, critical: bool, value: impl FnOnce(&mut Vec<u8>)) {
    within(out, tag::SEQUENCE, |out| {
        append::oid(out, &[2, 5, 29, kind]);
        if critical {
            element(out, tag::BOOLEAN, &[0xff]);
        }
        within(out, tag::OCTET_STRING, value);
    });
}

fn host(out: &mut Vec<u8>, host: &Host) {
    match host {
        Host::Name(name) => element(out, tag::context(2), name.as_str().as_bytes()),
        Host::Address(IpAddr::V4(address)) => element(out, tag::context(7), &address.octets()),
        Host::Address(IpAddr::V6(address)) => element(out, tag::context(7), &address.octets()),
    }
}

/// What devices demand of a CA, or the uses that were approved; bit 0 first.
fn key_usage(approved: &Approved) -> u16 {
    let bit = |key_use: &KeyUse| match key_use {
        KeyUse::DigitalSignature => 0,
        KeyUse::KeyAgreement => 4,
    };
    match approved.kind {
        Kind::Root { .. } | Kind::Intermediate { .. } => 1 << KEY_CERT_SIGN | 1 << CRL_SIGN,
        Kind::Leaf => approved.key_uses.iter().fold(0, |bits, key_use| bits | 1 << bit(key_use)),
    }
}

/// One point, with one full name, which is a URI (RFC 5280 §4.2.1.13).
fn distribution_point(out: &mut Vec<u8>, address: &str) {
    within(out, tag::SEQUENCE, |out| {
        within(out, tag::SEQUENCE, |out| {
            within(out, tag::context_constructed(0), |out| {
                within(out, tag::context_constructed(0), |out| element(out, tag::context(6), address.as_bytes()));
            });
        });
    });
}

/// More than a device's certificate takes.
const USUAL: usize = 1024;

/// Below id-at, 2.5.4 (X.520).
const COMMON_NAME: u64 = 3;
const SERIAL_NUMBER: u64 = 5;
const ORGANISATION: u64 = 10;

/// Below id-ce, 2.5.29 (RFC 5280 §4.2.1).
const SUBJECT_KEY_ID: u64 = 14;
const KEY_USAGE: u64 = 15;
const SUBJECT_ALTERNATIVE_NAME: u64 = 17;
const BASIC_CONSTRAINTS: u64 = 19;
const CRL_DISTRIBUTION_POINTS: u64 = 31;
const AUTHORITY_KEY_ID: u64 = 35;
const EXTENDED_KEY_USAGE: u64 = 37;

/// RFC 5280 §4.2.1.3.
const KEY_CERT_SIGN: u16 = 5;
const CRL_SIGN: u16 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        issue::{
            Issuer, encoded, parameters,
            tests::{NOW, approve, below, ca_facts, device_facts, named, root},
        },
        key::{KeyAlgorithm, SoftwareKey},
        profile::{Builtin, Facts},
    };
    use std::time::Duration;

    fn facts(builtin: Builtin) -> Facts {
        let hosts = || Facts::new().host(named("a.example")).host(named("10.0.0.1")).host(named("2001:db8::1"));
        match builtin {
            Builtin::ManufacturerDevice => {
                Facts::new().serial_number(named("SN-1")).organisation(named("Acme & Söhne")).option("ocf-onboarding")
            }
            Builtin::ProvisioningServer | Builtin::ApiServer => hosts(),
            Builtin::OcfIdentity => device_facts(),
            Builtin::HubServer => hosts().hub(named("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc5")),
            Builtin::AgentClient => Facts::new().common_name(named("agent")),
            _ => ca_facts("Acme CA"),
        }
    }

    #[test]
    fn every_profile_is_written_in_the_bytes_of_another_encoder() {
        let issuer = below(&root(Builtin::CustomerRoot), Builtin::CustomerIntermediate);
        for builtin in Builtin::ALL {
            let agent: &[KeyAlgorithm] = if builtin == Builtin::AgentClient { &[KeyAlgorithm::Ed25519] } else { &[] };
            for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384].iter().chain(agent) {
                let key = SoftwareKey::generate(*algorithm).expect("issued with");
                same_bytes(&issuer, builtin, &key, &facts(builtin));
                // Roots name no list.
                if !matches!(builtin, Builtin::ManufacturerRoot | Builtin::CustomerRoot | Builtin::ServiceRoot) {
                    same_bytes(&issuer, builtin, &key, &facts(builtin).crl(named("http://ca.example/1.crl")));
                }
            }
        }
    }

    fn same_bytes(issuer: &Issuer, builtin: Builtin, key: &SoftwareKey, facts: &Facts) {
        let mut approved = approve(builtin, key, facts);
        let is_root = matches!(approved.kind, Kind::Root { .. });
        // A serial of the longest form, whose highest bit is set; and dates on both sides of the year 2050.
        for (serial, end) in [("ff".repeat(19), NOW + Duration::from_secs(86_400)), ("41".repeat(16), approved.not_after)] {
            approved.not_after = end;
            let expected = match is_root {
                true => Issuer::expected_of_root(&approved, key, named(&serial)),
                false => issuer.expected(&approved, named(&serial)).expect("the issuer is valid"),
            };
            let parameters = parameters(&expected).expect("they are written");
            let theirs = encoded(&parameters, &approved.key, (!is_root).then_some(issuer));
            assert_eq!(to_be_signed(&expected), theirs, "{builtin:?} {facts:?}");
        }
    }
}
