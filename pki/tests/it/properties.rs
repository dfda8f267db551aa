//! Whatever the facts are, what was approved is what is read in the certificate, and it verifies.

use crate::issuing::{NOW, below, key, root};
use gatehouse_pki::{
    Anchors, Builtin, Certificate, Facts, GeneralName, Host, Issuer, KeyAlgorithm, Policy, Profile, Purpose, Serial, SerialNumber,
    SignedCsr,
};
use gatehouse_types::Random;
use proptest::prelude::*;
use std::{sync::LazyLock, time::Duration};

struct Drawn(Vec<u8>);

impl Random for Drawn {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0[..buffer.len()]);
    }
}

static MANUFACTURER: LazyLock<Issuer> =
    LazyLock::new(|| below(&root(Builtin::ManufacturerRoot, KeyAlgorithm::P256), Builtin::ManufacturerIntermediate, KeyAlgorithm::P256));
static CUSTOMER: LazyLock<Issuer> =
    LazyLock::new(|| below(&root(Builtin::CustomerRoot, KeyAlgorithm::P384), Builtin::CustomerIntermediate, KeyAlgorithm::P256));

fn issued(issuer: &Issuer, builtin: Builtin, facts: &Facts, random: &dyn Random) -> Certificate {
    let device = key(KeyAlgorithm::P256);
    let approved = Profile::builtin(builtin).approve(SignedCsr::for_software_key(&device), facts, NOW).expect("approved");
    let certificate = issuer.issue(approved, random).expect("issued");
    assert_eq!(certificate.public_key(), gatehouse_pki::Signer::public_key(&*device));
    certificate
}

fn verifies(certificate: &Certificate, issuer: &Issuer, purpose: Purpose) {
    let root = issuer.chain().last().expect("a root").clone();
    let anchors = Anchors::builder().anchor(root).build().expect("anchors");
    let presented: Vec<&[u8]> = [certificate].into_iter().chain(issuer.chain()).map(Certificate::der).collect();
    let verified = anchors.verify(&presented, &Policy::new(purpose), NOW).unwrap_or_else(|rejection| panic!("{rejection}"));
    assert_eq!(verified.leaf(), certificate);
}

fn host() -> impl Strategy<Value = Host> {
    let name = "[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,5})?(\\.[a-z]{2,6}){1,3}";
    prop_oneof![
        name.prop_map(|text| text.parse().expect("a host name")),
        any::<std::net::IpAddr>().prop_map(Host::Address),
        name.prop_map(|text| format!("*.{text}").parse().expect("a host name")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn devices(serial_number in "[A-Za-z0-9'()+,./:=-]([A-Za-z0-9 '()+,./:=-]{0,62}[A-Za-z0-9])?", organisation in "\\PC{1,64}", drawn in any::<[u8; 16]>()) {
        let Ok(serial_number) = serial_number.parse::<SerialNumber>() else { return Ok(()) };
        let mut facts = Facts::new().serial_number(serial_number.clone());
        if let Ok(organisation) = organisation.parse() { facts = facts.organisation(organisation); }
        let certificate = issued(&MANUFACTURER, Builtin::ManufacturerDevice, &facts, &Drawn(drawn.to_vec()));
        let read = certificate.subject().serial_number().map(|text| text.into_owned());
        prop_assert_eq!(read.as_deref(), Some(serial_number.as_str()));
        prop_assert_eq!(certificate.serial(), &Serial::random(&Drawn(drawn.to_vec())));
        verifies(&certificate, &MANUFACTURER, Purpose::Client);
    }

    #[test]
    fn servers(hosts in proptest::collection::vec(host(), 1..8), hours in 2..(90 * 24_u64)) {
        let mut unique = hosts.clone();
        unique.sort();
        unique.dedup();
        prop_assume!(unique.len() == hosts.len() && hosts[0].to_string().len() <= 64);
        let lifetime = Duration::from_secs(hours * 3600);
        let facts = hosts.iter().cloned().fold(Facts::new(), Facts::host).lifetime(lifetime);
        let certificate = issued(&CUSTOMER, Builtin::ApiServer, &facts, &Drawn(vec![7; 16]));
        let meant: Vec<GeneralName> = hosts.iter().map(|host| match host {
            Host::Name(name) => GeneralName::Dns(name.to_string()),
            Host::Address(address) => GeneralName::Ip(*address),
        }).collect();
        prop_assert_eq!(certificate.subject_alternative_names(), meant);
        prop_assert_eq!(certificate.not_after(), NOW + lifetime);
        verifies(&certificate, &CUSTOMER, Purpose::Server);
    }

    #[test]
    fn identities(id in any::<[u8; 16]>()) {
        let name = gatehouse_pki::DeviceName::from(gatehouse_types::DeviceId::from_random(id));
        let certificate = issued(&CUSTOMER, Builtin::OcfIdentity, &Facts::new().device(name), &Drawn(vec![7; 16]));
        let subject = certificate.subject().to_string();
        prop_assert_eq!(subject, format!("CN={name}"));
        verifies(&certificate, &CUSTOMER, Purpose::OcfDevice);
    }
}
