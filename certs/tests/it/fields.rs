//! `x509-parser` as a second reader: what `pki` reads in a certificate, it reads too.
//!
//! It is lenient where `pki` is strict, so only certificates that `pki` takes are compared.

use crate::mutations;
use gatehouse_certs::{chain::Keys, folder, good, mutation};
use gatehouse_pki::{Certificate, ExtendedKeyUsage, GeneralName, KeyUsage};
use std::{collections::HashSet, net::IpAddr};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName as TheirName, ParsedExtension},
    prelude::FromDer,
};

/// The first field in which the two differ.
fn difference(der: &[u8], ours: &Certificate) -> Option<&'static str> {
    let Ok((rest, theirs)) = X509Certificate::from_der(der) else { return Some("everything") };
    let fields = [
        ("length", rest.is_empty()),
        ("subject", theirs.subject().as_raw() == ours.subject().der()),
        ("issuer", theirs.issuer().as_raw() == ours.issuer().der()),
        ("serial", theirs.raw_serial() == ours.serial().to_integer()),
        ("notBefore", theirs.validity().not_before.timestamp() == ours.not_before().secs()),
        ("notAfter", theirs.validity().not_after.timestamp() == ours.not_after().secs()),
        ("key", theirs.public_key().raw == ours.public_key().spki_der()),
        ("basicConstraints", basic_constraints(&theirs) == (ours.is_ca(), ours.path_length())),
        ("keyUsage", key_usage(&theirs) == ours.key_usage().map(named_bits)),
        ("extendedKeyUsage", extended_key_usages(&theirs) == ours.extended_key_usages().map(purposes)),
        ("subjectAltName", same_names(&theirs, ours.subject_alternative_names())),
        ("subjectKeyIdentifier", subject_key_id(&theirs) == ours.subject_key_id()),
        ("authorityKeyIdentifier", authority_key_id(&theirs) == ours.authority_key_id()),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
}

fn basic_constraints(certificate: &X509Certificate<'_>) -> (bool, Option<u32>) {
    let extension = certificate.basic_constraints().expect("one at most");
    extension.map_or((false, None), |extension| (extension.value.ca, extension.value.path_len_constraint))
}

fn key_usage(certificate: &X509Certificate<'_>) -> Option<[bool; 7]> {
    let theirs = certificate.key_usage().expect("one at most")?.value;
    Some([
        theirs.digital_signature(),
        theirs.non_repudiation(),
        theirs.key_encipherment(),
        theirs.data_encipherment(),
        theirs.key_agreement(),
        theirs.key_cert_sign(),
        theirs.crl_sign(),
    ])
}

fn named_bits(usage: KeyUsage) -> [bool; 7] {
    [
        KeyUsage::DIGITAL_SIGNATURE,
        KeyUsage::NON_REPUDIATION,
        KeyUsage::KEY_ENCIPHERMENT,
        KeyUsage::DATA_ENCIPHERMENT,
        KeyUsage::KEY_AGREEMENT,
        KeyUsage::KEY_CERT_SIGN,
        KeyUsage::CRL_SIGN,
    ]
    .map(|bit| usage.contains(bit))
}

/// Whether any, server, client and OCF identity are among the purposes. `x509-parser` does not keep their order.
fn extended_key_usages(certificate: &X509Certificate<'_>) -> Option<[bool; 4]> {
    let theirs = certificate.extended_key_usage().expect("one at most")?.value;
    let ocf = theirs.other.iter().any(|oid| oid.to_id_string() == "1.3.6.1.4.1.44924.1.6");
    Some([theirs.any, theirs.server_auth, theirs.client_auth, ocf])
}

fn purposes(usages: &[ExtendedKeyUsage]) -> [bool; 4] {
    [ExtendedKeyUsage::Any, ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth, ExtendedKeyUsage::OcfIdentity]
        .map(|usage| usages.contains(&usage))
}

fn same_names(certificate: &X509Certificate<'_>, ours: &[GeneralName]) -> bool {
    let theirs = certificate.subject_alternative_name().expect("one at most");
    let theirs: &[TheirName<'_>] = theirs.as_ref().map_or(&[], |extension| &extension.value.general_names);
    theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(theirs, ours)| same_name(theirs, ours))
}

fn same_name(theirs: &TheirName<'_>, ours: &GeneralName) -> bool {
    match (theirs, ours) {
        (TheirName::RFC822Name(theirs), GeneralName::Email(ours))
        | (TheirName::DNSName(theirs), GeneralName::Dns(ours))
        | (TheirName::URI(theirs), GeneralName::Uri(ours)) => theirs == ours,
        (TheirName::DirectoryName(theirs), GeneralName::Directory(ours)) => theirs.as_raw() == ours.der(),
        (TheirName::IPAddress(theirs), GeneralName::Ip(IpAddr::V4(ours))) => *theirs == ours.octets(),
        (TheirName::IPAddress(theirs), GeneralName::Ip(IpAddr::V6(ours))) => *theirs == ours.octets(),
        (_, GeneralName::Other(_)) => true,
        _ => false,
    }
}

fn subject_key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

fn authority_key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })
}

#[test]
fn what_pki_reads_in_a_certificate_another_parser_reads_too() {
    let home = folder::home();
    let keys = Keys::load(&home.join("keys")).expect("the keys are kept");
    let (bases, mutations) = (good::bases(&keys).expect("bases"), mutation::all());
    let kept = folder::names(&home).expect("chains").into_iter().map(|name| {
        let bundle = folder::read(&home.join(&name)).expect("the chain is kept");
        (name, bundle)
    });
    let mutated = mutations::rows().into_iter().map(|row| (row.key(), mutation::make(&row, &bases, &mutations, &keys).expect("a chain")));
    let (mut compared, mut differences) = (HashSet::new(), Vec::new());
    for (name, bundle) in kept.chain(mutated) {
        for der in [bundle.presented, bundle.intermediates, bundle.anchors].concat() {
            if let Ok(ours) = Certificate::from_der(&der)
                && compared.insert(ours.fingerprint())
                && let Some(field) = difference(&der, &ours)
            {
                differences.push(format!("{name}: {field}"));
            }
        }
    }
    assert_eq!(differences, Vec::<String>::new());
    assert!(compared.len() > 1000, "{} certificates", compared.len());
}
