//! For each rule, bytes that break it and are refused. Each case starts from a certificate that would be signed.

use super::*;
use crate::{
    crafted::{element, name, oid, sequence, set},
    csr::SignedCsr,
    der::{Reader, tag},
    issue::{
        Issuer, encoded, parameters,
        tests::{NOW, approve, below, ca_facts, device_facts, key, named, random, root},
    },
    key::{KeyAlgorithm, Signer, SoftwareKey},
    profile::{Builtin, Facts, Kind, Profile},
};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyUsagePurpose, SanType,
};
use std::{collections::BTreeSet, time::Duration};

const DAY: Duration = Duration::from_secs(86_400);
/// Where the fields of a `TBSCertificate` are.
const VERSION: usize = 0;
const SERIAL: usize = 1;
const ALGORITHM: usize = 2;
const ISSUER: usize = 3;
const VALIDITY: usize = 4;
const SUBJECT: usize = 5;
const KEY: usize = 6;

fn issuer_of_profile(builtin: Builtin) -> Issuer {
    match builtin {
        Builtin::ManufacturerDevice => below(&root(Builtin::ManufacturerRoot), Builtin::ManufacturerIntermediate),
        Builtin::CustomerIntermediate => root(Builtin::CustomerRoot),
        Builtin::ApiServer => root(Builtin::ServiceRoot),
        _ => below(&root(Builtin::CustomerRoot), Builtin::CustomerIntermediate),
    }
}

fn facts(builtin: Builtin) -> Facts {
    match builtin {
        Builtin::ManufacturerDevice => Facts::new().serial_number(named("SN-1")),
        Builtin::CustomerIntermediate => ca_facts("Acme Line 1"),
        Builtin::ApiServer => {
            Facts::new().host(named("a.example")).host(named("10.0.0.1")).host(named("::1")).crl(named("http://a.example/c"))
        }
        _ => device_facts(),
    }
}

/// The rules that the bytes break after the parameters were changed.
fn broken(builtin: Builtin, change: impl FnOnce(&mut CertificateParams)) -> BTreeSet<LintRule> {
    examined(builtin, |_| {}, change, |bytes| bytes)
}

/// The rules that the bytes break after one of their fields was replaced.
fn broken_field(builtin: Builtin, at: usize, field: &[u8]) -> BTreeSet<LintRule> {
    examined(builtin, |_| {}, |_| {}, |bytes| with_field(&bytes, at, field))
}

fn examined(
    builtin: Builtin,
    approve_else: impl FnOnce(&mut Approved),
    change: impl FnOnce(&mut CertificateParams),
    rewrite: impl FnOnce(Vec<u8>) -> Vec<u8>,
) -> BTreeSet<LintRule> {
    let issuer = issuer_of_profile(builtin);
    let mut approved = approve(builtin, &*key(), &facts(builtin));
    approve_else(&mut approved);
    let expected = issuer.expected(&approved, named("41".repeat(16).as_str())).expect("the issuer is valid");
    let mut parameters = parameters(&expected).expect("they are written");
    change(&mut parameters);
    let bytes = rewrite(encoded(&parameters, &approved.key, Some(&issuer)));
    match examine(&bytes, &expected) {
        Ok(_) => BTreeSet::new(),
        Err(findings) => findings.iter().map(Finding::rule).collect(),
    }
}

fn with_field(bytes: &[u8], at: usize, field: &[u8]) -> Vec<u8> {
    let mut fields = Reader::only(bytes, tag::SEQUENCE).expect("a sequence");
    let mut rebuilt = Vec::new();
    for position in 0.. {
        if fields.is_empty() {
            break;
        }
        let old = fields.element().expect("an element").raw;
        rebuilt.push(if position == at { field } else { old });
    }
    sequence(&rebuilt)
}

fn rules(list: &[LintRule]) -> BTreeSet<LintRule> {
    list.iter().copied().collect()
}

fn extension(arcs: &[u64], content: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(arcs, content.to_vec())
}

const PROFILES: [Builtin; 4] = [Builtin::OcfIdentity, Builtin::ManufacturerDevice, Builtin::ApiServer, Builtin::CustomerIntermediate];

#[test]
fn the_certificates_of_the_profiles_break_no_rule() {
    for builtin in PROFILES {
        assert_eq!(broken(builtin, |_| {}), rules(&[]), "{builtin:?}");
    }
}

#[test]
fn encoding() {
    for builtin in PROFILES {
        let trailing = examined(builtin, |_| {}, |_| {}, |bytes| [bytes.as_slice(), &[0]].concat());
        assert_eq!(trailing, rules(&[LintRule::Encoding]));
        let cut = examined(builtin, |_| {}, |_| {}, |bytes| bytes[..bytes.len() - 1].to_vec());
        assert_eq!(cut, rules(&[LintRule::Encoding]));
        let one_more_field = examined(builtin, |_| {}, |_| {}, |bytes| sequence(&[&bytes[4..], &[5, 0]]));
        assert!(one_more_field.contains(&LintRule::Encoding));
        // The long form of a length that fits into the short one.
        let padded_length = broken_field(builtin, SERIAL, b"\x02\x81\x01\x01");
        assert_eq!(padded_length, rules(&[LintRule::Encoding]));
    }
}

#[test]
fn version() {
    for version in [&element(0xa0, &[2, 1, 0])[..], &element(0xa0, &[2, 1, 1]), &element(0xa0, &[2, 1, 3]), &[]] {
        assert_eq!(broken_field(Builtin::OcfIdentity, VERSION, version), rules(&[LintRule::Version, LintRule::NotAccepted]));
    }
}

#[test]
fn serial() {
    for (serial, accepted) in
        [(vec![0x41; 15], true), (vec![0], false), (vec![0x80; 16], false), (vec![0x41; 21], false), (vec![0x41], true)]
    {
        let mut found = broken_field(Builtin::OcfIdentity, SERIAL, &element(tag::INTEGER, &serial));
        assert!(found.remove(&LintRule::Serial), "{serial:?}");
        assert_eq!(found, if accepted { rules(&[]) } else { rules(&[LintRule::NotAccepted]) });
    }
}

#[test]
fn signature_algorithm() {
    let other = SignatureAlgorithm::EcdsaSha384.identifier_der();
    assert_eq!(broken_field(Builtin::OcfIdentity, ALGORITHM, other), rules(&[LintRule::SignatureAlgorithm, LintRule::NotAccepted]));
    let sha1 = b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01";
    assert!(broken_field(Builtin::OcfIdentity, ALGORITHM, sha1).contains(&LintRule::SignatureAlgorithm));
}

#[test]
fn issuer() {
    let other = name(&[(&[0x55, 4, 3], tag::UTF8_STRING, "Acme Line 2")]);
    assert_eq!(broken_field(Builtin::OcfIdentity, ISSUER, &other), rules(&[LintRule::Issuer]));
    assert!(broken_field(Builtin::OcfIdentity, ISSUER, &sequence(&[])).contains(&LintRule::Issuer));
}

#[test]
fn validity() {
    let dates = |begin: &[u8], end: &[u8]| broken_field(Builtin::OcfIdentity, VALIDITY, &sequence(&[begin, end]));
    // RFC 5280 §4.1.2.5: GeneralizedTime only from 2050 on, no fractions, no offset.
    assert!(dates(b"\x18\x0f20261118110000Z", b"\x17\x0d271118110000Z").contains(&LintRule::Validity));
    assert!(dates(b"\x17\x0d271118110000Z", b"\x17\x0d261118110000Z").contains(&LintRule::Validity));
    assert_eq!(dates(b"\x17\x11261118110000+0000", b"\x17\x0d271118110000Z"), rules(&[LintRule::Encoding]));
    let longer = broken(Builtin::OcfIdentity, |parameters| parameters.not_after += time::Duration::days(1));
    assert_eq!(longer, rules(&[LintRule::Validity]));
}

#[test]
fn within_issuer() {
    let beyond = broken(Builtin::OcfIdentity, |parameters| parameters.not_after += time::Duration::days(40 * 365));
    assert_eq!(beyond, rules(&[LintRule::Validity, LintRule::WithinIssuer]));
    let before = broken(Builtin::OcfIdentity, |parameters| parameters.not_before -= time::Duration::days(1));
    assert_eq!(before, rules(&[LintRule::Validity, LintRule::WithinIssuer]));
}

#[test]
fn back_dated() {
    let begin = NOW - Duration::from_secs(64 * 60);
    let late = examined(
        Builtin::OcfIdentity,
        |approved| approved.not_before = begin,
        |parameters| parameters.not_before = begin.to_date_time(),
        |bytes| bytes,
    );
    assert_eq!(late, rules(&[LintRule::BackDated]));
}

#[test]
fn subject() {
    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];
    let device = "uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4";
    let written = |subject: &[u8]| broken_field(Builtin::OcfIdentity, SUBJECT, subject);
    assert!(written(&sequence(&[])).contains(&LintRule::Subject));
    assert!(written(&name(&[(CN, tag::UTF8_STRING, device), (CN, tag::UTF8_STRING, device)])).contains(&LintRule::Subject));
    assert!(written(&name(&[(CN, tag::IA5_STRING, device)])).contains(&LintRule::Subject));
    assert!(written(&name(&[(O, tag::UTF8_STRING, &"x".repeat(65))])).contains(&LintRule::Subject));
    assert!(written(&name(&[(O, tag::UTF8_STRING, "")])).contains(&LintRule::Subject));
    let together = |kind: &[u8]| sequence(&[&oid(kind), &element(tag::UTF8_STRING, b"x")]);
    assert!(written(&sequence(&[&set(&[&together(CN), &together(O)])])).contains(&LintRule::Subject));
    // X.520 §6.2.9: a serialNumber is a PrintableString.
    let utf8 = broken(Builtin::ManufacturerDevice, |parameters| {
        parameters.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), DnValue::Utf8String("SN-1".to_owned()));
    });
    assert_eq!(utf8, rules(&[LintRule::Subject]));
}

#[test]
fn subject_content() {
    let other = broken(Builtin::ManufacturerDevice, |parameters| parameters.distinguished_name.push(DnType::CommonName, "SN-2"));
    assert_eq!(other, rules(&[LintRule::SubjectContent]));
    let more = broken(Builtin::ManufacturerDevice, |parameters| parameters.distinguished_name.push(DnType::LocalityName, "Here"));
    assert_eq!(more, rules(&[LintRule::SubjectContent]));
}

#[test]
fn device_name() {
    let in_the_name = broken(Builtin::ManufacturerDevice, |parameters| parameters.distinguished_name.push(DnType::CommonName, "Uuid:x"));
    assert_eq!(in_the_name, rules(&[LintRule::SubjectContent, LintRule::DeviceName]));
    let beside = broken(Builtin::OcfIdentity, |parameters| {
        let uri = "uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4".try_into().expect("IA5");
        parameters.subject_alt_names.push(SanType::URI(uri));
    });
    assert_eq!(beside, rules(&[LintRule::AlternativeName, LintRule::DeviceName]));
}

#[test]
fn key_and_key_ids() {
    let stranger = key();
    let other = broken_field(Builtin::OcfIdentity, KEY, stranger.public_key().spki_der());
    assert_eq!(other, rules(&[LintRule::Key]));
    let other_id = broken(Builtin::OcfIdentity, |parameters| parameters.key_identifier_method = KeyIdMethod::Sha384);
    assert_eq!(other_id, rules(&[LintRule::SubjectKeyId]));
    let none = broken(Builtin::OcfIdentity, |parameters| parameters.is_ca = IsCa::NoCa);
    assert_eq!(none, rules(&[LintRule::SubjectKeyId, LintRule::BasicConstraints]));
    let no_authority = broken(Builtin::OcfIdentity, |parameters| parameters.use_authority_key_identifier_extension = false);
    assert_eq!(no_authority, rules(&[LintRule::AuthorityKeyId]));
    let other_authority = broken(Builtin::OcfIdentity, |parameters| {
        parameters.use_authority_key_identifier_extension = false;
        parameters.custom_extensions.push(extension(&[2, 5, 29, 35], &sequence(&[&element(0x80, &[7; 20])])));
    });
    assert_eq!(other_authority, rules(&[LintRule::AuthorityKeyId]));
}

#[test]
fn unique_id() {
    let with_ids = examined(
        Builtin::OcfIdentity,
        |_| {},
        |_| {},
        |bytes| {
            let key = Reader::only(&bytes, tag::SEQUENCE).and_then(|mut fields| (0..=KEY).map(|_| fields.element()).last().expect("a key"));
            let key = key.expect("a key").raw;
            with_field(&bytes, KEY, &[key, &element(0x81, &[0, 1])].concat())
        },
    );
    assert_eq!(with_ids, rules(&[LintRule::UniqueId, LintRule::NotAccepted]));
}

#[test]
fn extensions() {
    let twice = broken(Builtin::OcfIdentity, |parameters| parameters.custom_extensions.push(extension(&[2, 5, 29, 14], &element(4, &[1]))));
    assert_eq!(twice, rules(&[LintRule::DuplicateExtension, LintRule::NotAccepted]));
    let unknown = broken(Builtin::OcfIdentity, |parameters| parameters.custom_extensions.push(extension(&[1, 2, 3], &[5, 0])));
    assert_eq!(unknown, rules(&[LintRule::UnknownExtension]));
    let critical = broken(Builtin::OcfIdentity, |parameters| {
        let purposes = parameters.extended_key_usages.iter().map(|purpose| match purpose {
            ExtendedKeyUsagePurpose::ServerAuth => oid(crate::oid::usage::SERVER_AUTH),
            ExtendedKeyUsagePurpose::ClientAuth => oid(crate::oid::usage::CLIENT_AUTH),
            _ => oid(crate::oid::usage::OCF_IDENTITY),
        });
        let mut list = extension(&[2, 5, 29, 37], &element(tag::SEQUENCE, &purposes.flatten().collect::<Vec<_>>()));
        list.set_criticality(true);
        parameters.extended_key_usages.clear();
        parameters.custom_extensions.push(list);
    });
    assert_eq!(critical, rules(&[LintRule::Criticality]));
    let not_critical = broken(Builtin::CustomerIntermediate, |parameters| {
        parameters.key_usages.clear();
        parameters.custom_extensions.push(extension(&[2, 5, 29, 15], &[3, 2, 1, 6]));
    });
    assert_eq!(not_critical, rules(&[LintRule::Criticality]));
}

#[test]
fn key_usage() {
    let with = |builtin, uses: &[KeyUsagePurpose]| broken(builtin, |parameters| parameters.key_usages = uses.to_vec());
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyAgreement, KeyCertSign, KeyEncipherment};
    assert_eq!(with(Builtin::ApiServer, &[DigitalSignature, KeyEncipherment]), rules(&[LintRule::KeyUsage]));
    assert!(with(Builtin::ApiServer, &[]).contains(&LintRule::KeyUsage));
    assert!(with(Builtin::ApiServer, &[DigitalSignature, KeyCertSign]).contains(&LintRule::KeyUsage));
    assert_eq!(with(Builtin::CustomerIntermediate, &[KeyCertSign]), rules(&[LintRule::KeyUsage]));
    assert_eq!(with(Builtin::CustomerIntermediate, &[KeyCertSign, CrlSign, DigitalSignature]), rules(&[LintRule::KeyUsage]));
    assert!(with(Builtin::OcfIdentity, &[DigitalSignature, KeyAgreement, KeyEncipherment]).contains(&LintRule::OcfKeyUsage));
}

#[test]
fn basic_constraints_and_path_length() {
    let with = |builtin, is_ca: IsCa| broken(builtin, |parameters| parameters.is_ca = is_ca);
    let ca = |length| IsCa::Ca(BasicConstraints::Constrained(length));
    assert!(with(Builtin::OcfIdentity, ca(0)).contains(&LintRule::BasicConstraints));
    assert!(with(Builtin::CustomerIntermediate, IsCa::ExplicitNoCa).contains(&LintRule::BasicConstraints));
    assert!(with(Builtin::CustomerIntermediate, IsCa::Ca(BasicConstraints::Unconstrained)).contains(&LintRule::BasicConstraints));
    assert_eq!(with(Builtin::CustomerIntermediate, ca(5)), rules(&[LintRule::BasicConstraints]));
    let too_deep =
        examined(Builtin::CustomerIntermediate, |approved| approved.kind = Kind::Intermediate { path_length: 1 }, |_| {}, |bytes| bytes);
    assert_eq!(too_deep, rules(&[LintRule::PathLength]));
}

#[test]
fn extended_key_usage() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let with =
        |builtin, purposes: &[ExtendedKeyUsagePurpose]| broken(builtin, |parameters| parameters.extended_key_usages = purposes.to_vec());
    assert_eq!(with(Builtin::ManufacturerDevice, &[ClientAuth, ServerAuth]), rules(&[LintRule::ExtendedKeyUsage]));
    assert_eq!(with(Builtin::ManufacturerDevice, &[ClientAuth, Any]), rules(&[LintRule::ExtendedKeyUsage]));
    assert_eq!(with(Builtin::ManufacturerDevice, &[ClientAuth, ClientAuth]), rules(&[LintRule::ExtendedKeyUsage]));
    assert!(with(Builtin::ManufacturerDevice, &[]).contains(&LintRule::ExtendedKeyUsage));
    assert_eq!(with(Builtin::CustomerIntermediate, &[ClientAuth]), rules(&[LintRule::ExtendedKeyUsage]));
}

#[test]
fn purposes_of_ones_own_are_written_whatever_their_arcs() {
    let purposes = "\"client-auth\", \"2.999.4294967295\", \"0.39.0\", \"1.0.127.128.16383.16384\"";
    let document = Builtin::AgentClient.toml().replace("\"client-auth\"", purposes);
    let profile = Profile::from_toml(&document).expect("a profile");
    let facts = Facts::new().common_name(named("agent"));
    let approved = profile.approve(SignedCsr::for_software_key(&key()), &facts, NOW).expect("approved");
    let certificate = issuer_of_profile(Builtin::AgentClient).issue(approved, &random()).expect("no rule is broken");
    assert_eq!(certificate.extended_key_usages().map(<[_]>::len), Some(4));
}

#[test]
fn alternative_name() {
    let with = |change: fn(&mut Vec<SanType>)| broken(Builtin::ApiServer, |parameters| change(&mut parameters.subject_alt_names));
    assert_eq!(with(|names| names.truncate(2)), rules(&[LintRule::AlternativeName]));
    assert_eq!(with(|names| names.push(SanType::DnsName("b.example".try_into().expect("IA5")))), rules(&[LintRule::AlternativeName]));
    assert!(with(|names| names.push(SanType::DnsName("B_.example".try_into().expect("IA5")))).contains(&LintRule::AlternativeName));
    assert_eq!(with(|names| names.push(SanType::Rfc822Name("a@a.example".try_into().expect("IA5")))), rules(&[LintRule::AlternativeName]));
    let empty =
        broken(Builtin::ManufacturerDevice, |parameters| parameters.custom_extensions.push(extension(&[2, 5, 29, 17], &sequence(&[]))));
    assert_eq!(empty, rules(&[LintRule::AlternativeName, LintRule::NotAccepted]));
}

#[test]
fn distribution_point() {
    let with = |uris: &[&[&str]]| {
        broken(Builtin::ApiServer, |parameters| {
            let point = |uris: &&[&str]| CrlDistributionPoint { uris: uris.iter().map(|uri| (*uri).to_owned()).collect() };
            parameters.crl_distribution_points = uris.iter().map(point).collect();
        })
    };
    assert_eq!(with(&[&["http://a.example/c"]]), rules(&[]));
    assert_eq!(with(&[]), rules(&[LintRule::DistributionPoint]));
    assert_eq!(with(&[&["http://b.example/c"]]), rules(&[LintRule::DistributionPoint]));
    assert_eq!(with(&[&["http://a.example/c", "http://b.example/c"]]), rules(&[LintRule::DistributionPoint]));
    assert_eq!(with(&[&["http://a.example/c"], &["http://b.example/c"]]), rules(&[LintRule::DistributionPoint]));
}

#[test]
fn ieee_802_1ar_devices() {
    let nameless = broken(Builtin::ManufacturerDevice, |parameters| {
        parameters.distinguished_name.remove(DnType::CustomDnType(vec![2, 5, 4, 5]));
    });
    assert_eq!(nameless, rules(&[LintRule::SubjectContent, LintRule::DeviceSerialNumber]));
    let server =
        broken(Builtin::ManufacturerDevice, |parameters| parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_eq!(server, rules(&[LintRule::ExtendedKeyUsage, LintRule::DevicePurpose]));
    let silent = broken(Builtin::ManufacturerDevice, |parameters| parameters.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert_eq!(silent, rules(&[LintRule::KeyUsage, LintRule::DevicePurpose]));
}

#[test]
fn ocf_identities() {
    let device = "uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4";
    for name in ["device", "", &device.to_uppercase(), "uuid:921e7b6e"] {
        let renamed = broken(Builtin::OcfIdentity, |parameters| parameters.distinguished_name.push(DnType::CommonName, name));
        assert!(renamed.contains(&LintRule::OcfName), "{name}");
    }
    let more = broken(Builtin::OcfIdentity, |parameters| parameters.distinguished_name.push(DnType::OrganizationName, "Acme"));
    assert_eq!(more, rules(&[LintRule::SubjectContent, LintRule::OcfName]));
    let signs_only = broken(Builtin::OcfIdentity, |parameters| parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert_eq!(signs_only, rules(&[LintRule::KeyUsage, LintRule::OcfKeyUsage]));
    let client_only = broken(Builtin::OcfIdentity, |parameters| parameters.extended_key_usages.truncate(1));
    assert_eq!(client_only, rules(&[LintRule::ExtendedKeyUsage, LintRule::OcfPurpose]));
    let role = broken(Builtin::OcfIdentity, |parameters| {
        parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 44924, 1, 7]));
    });
    assert_eq!(role, rules(&[LintRule::ExtendedKeyUsage, LintRule::OcfPurpose]));
    let edwards = SoftwareKey::generate(KeyAlgorithm::Ed25519).expect("Ed25519");
    let curve = examined(Builtin::OcfIdentity, |approved| approved.key = edwards.public_key().clone(), |_| {}, |bytes| bytes);
    assert_eq!(curve, rules(&[LintRule::OcfKey]));
}

#[test]
fn tls_servers() {
    let unnamed = broken(Builtin::ApiServer, |parameters| parameters.subject_alt_names.clear());
    assert_eq!(unnamed, rules(&[LintRule::AlternativeName, LintRule::ServerName]));
    let other = broken(Builtin::ApiServer, |parameters| parameters.distinguished_name.push(DnType::CommonName, "b.example"));
    assert_eq!(other, rules(&[LintRule::SubjectContent, LintRule::ServerName]));
    let client = broken(Builtin::ApiServer, |parameters| parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert_eq!(client, rules(&[LintRule::ExtendedKeyUsage, LintRule::ServerPurpose]));
}

#[test]
fn a_root_has_no_authority_and_is_its_own_issuer() {
    let root = root(Builtin::CustomerRoot);
    assert_eq!(root.certificate().authority_key_id(), None);
    assert_eq!(root.certificate().issuer(), root.certificate().subject());
    assert!(root.certificate().not_after() < NOW + 7306 * DAY);
}
