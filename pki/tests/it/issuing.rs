//! Certificates and revocation lists of every profile before OpenSSL's judgement.

use crate::openssl::OpenSsl;
use gatehouse_pki::{
    Builtin, Certificate, CrlContent, Facts, Issuer, KeyAlgorithm, Profile, RevocationReason, RevokedCertificate, SignedCsr, SoftwareKey,
};
use gatehouse_types::{Random, Secret, UnixTime};
use std::{fmt::Debug, num::NonZeroU64, str::FromStr, sync::Arc, time::Duration};

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_000_000);

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        use ring::rand::SecureRandom;
        ring::rand::SystemRandom::new().fill(buffer).expect("the operating system has some");
    }
}

fn named<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

pub(crate) fn key(algorithm: KeyAlgorithm) -> Arc<SoftwareKey> {
    Arc::new(SoftwareKey::generate(algorithm).expect("issued with"))
}

pub(crate) fn root(builtin: Builtin, algorithm: KeyAlgorithm) -> Issuer {
    let key = key(algorithm);
    let facts = Facts::new().organisation(named("Acme")).common_name(named("Acme Root"));
    let approved = Profile::builtin(builtin).approve(SignedCsr::for_key(&*key).expect("it signs"), &facts, NOW).expect("approved");
    let certificate = Issuer::self_signed(approved, &*key, &SystemRandom).expect("a root");
    Issuer::new(vec![certificate], key).expect("it issues")
}

pub(crate) fn below(issuer: &Issuer, builtin: Builtin, algorithm: KeyAlgorithm) -> Issuer {
    let key = key(algorithm);
    let facts = Facts::new().organisation(named("Acme")).common_name(named("Acme Line 1"));
    let approved = Profile::builtin(builtin).approve(SignedCsr::for_key(&*key).expect("it signs"), &facts, NOW).expect("approved");
    let certificate = issuer.issue(approved, &SystemRandom).expect("an intermediate");
    Issuer::new([vec![certificate], issuer.chain().to_vec()].concat(), key).expect("it issues")
}

fn leaf(issuer: &Issuer, builtin: Builtin, algorithm: KeyAlgorithm, facts: &Facts) -> Certificate {
    let request = SignedCsr::for_key(&*key(algorithm)).expect("it signs");
    issuer.issue(Profile::builtin(builtin).approve(request, facts, NOW).expect("approved"), &SystemRandom).expect("a leaf")
}

fn device() -> Facts {
    Facts::new().device(named("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4"))
}

fn hosts() -> Facts {
    Facts::new().host(named("hub.example")).host(named("10.0.0.1")).host(named("2001:db8::1"))
}

/// A leaf, its issuer, and the purposes that OpenSSL shall find it good for, and not.
type Judged = (Certificate, Arc<Issuer>, &'static [&'static str], &'static [&'static str]);

/// One of every leaf profile.
fn leaves(algorithm: KeyAlgorithm) -> Vec<Judged> {
    let manufacturer = Arc::new(below(&root(Builtin::ManufacturerRoot, algorithm), Builtin::ManufacturerIntermediate, algorithm));
    let service = Arc::new(root(Builtin::ServiceRoot, algorithm));
    let customer = Arc::new(below(&root(Builtin::CustomerRoot, algorithm), Builtin::CustomerIntermediate, algorithm));
    let hub = || Facts::new().hub(named("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc5")).host(named("hub.example"));
    let serial = || Facts::new().serial_number(named("SN-1")).organisation(named("Acme"));
    let made =
        |issuer: &Issuer, builtin, facts: &Facts| leaf(issuer, builtin, algorithm, &facts.clone().crl(named("http://ca.example/crl")));
    let (both, client, server): (&[&str], &[&str], &[&str]) = (&["sslclient", "sslserver"], &["sslclient"], &["sslserver"]);
    vec![
        (made(&manufacturer, Builtin::ManufacturerDevice, &serial()), manufacturer.clone(), client, server),
        (made(&manufacturer, Builtin::ManufacturerDevice, &serial().option("ocf-onboarding")), manufacturer.clone(), both, &[]),
        (made(&service, Builtin::ProvisioningServer, &hosts()), service, server, client),
        (made(&customer, Builtin::OcfIdentity, &device()), customer.clone(), both, &[]),
        (made(&customer, Builtin::HubServer, &hub()), customer.clone(), both, &[]),
        (made(&customer, Builtin::ApiServer, &hosts()), customer.clone(), server, client),
        (made(&customer, Builtin::AgentClient, &Facts::new().common_name(named("agent"))), customer, client, server),
    ]
}

/// The text with single blanks; versions of OpenSSL differ in the others.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes chain and leaf, and returns the options by which OpenSSL verifies them.
fn laid_out(openssl: &OpenSsl, leaf: &Certificate, issuer: &Issuer) -> String {
    let (root, between) = issuer.chain().split_last().expect("a chain");
    openssl.write("root.pem", root.pem());
    openssl.write("between.pem", between.iter().map(Certificate::pem).collect::<String>());
    openssl.write("leaf.pem", leaf.pem());
    let untrusted = if between.is_empty() { "" } else { "-untrusted between.pem" };
    format!("verify -x509_strict -check_ss_sig -attime {} -CAfile root.pem {untrusted}", NOW.secs())
}

#[test]
fn openssl_accepts_every_profile_for_its_purposes_and_no_other() {
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384] {
        for (leaf, issuer, good_for, not_good_for) in leaves(algorithm) {
            let openssl = OpenSsl::new();
            let verify = laid_out(&openssl, &leaf, &issuer);
            for purpose in good_for {
                openssl.run(&format!("{verify} -purpose {purpose} leaf.pem"));
            }
            for purpose in not_good_for {
                let refused = openssl.try_run(&format!("{verify} -purpose {purpose} leaf.pem"));
                assert!(
                    refused.is_err_and(
                        |text| text.contains("unsuitable certificate purpose") || text.contains("unsupported certificate purpose")
                    ),
                    "{}",
                    leaf.subject()
                );
            }
        }
    }
}

#[test]
fn openssl_reads_in_a_certificate_what_the_profile_says() {
    let issuer = below(&root(Builtin::ManufacturerRoot, KeyAlgorithm::P256), Builtin::ManufacturerIntermediate, KeyAlgorithm::P256);
    let device = leaf(&issuer, Builtin::ManufacturerDevice, KeyAlgorithm::P256, &Facts::new().serial_number(named("SN-1")));
    let openssl = OpenSsl::new();
    openssl.write("leaf.pem", device.pem());
    let text = words(&openssl.run("x509 -in leaf.pem -noout -text -nameopt RFC2253"));
    for line in [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Not After : Dec 31 23:59:59 9999 GMT",
        "Subject: CN=SN-1,serialNumber=SN-1",
        "NIST CURVE: P-256",
        "X509v3 Key Usage: critical Digital Signature, Key Agreement",
        "X509v3 Extended Key Usage: TLS Web Client Authentication X509v3",
        "X509v3 Basic Constraints: critical CA:FALSE",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    openssl.write("ca.pem", issuer.certificate().pem());
    let text = words(&openssl.run("x509 -in ca.pem -noout -text"));
    for line in ["X509v3 Basic Constraints: critical CA:TRUE, pathlen:0", "X509v3 Key Usage: critical Certificate Sign, CRL Sign"] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("Extended Key Usage"), "{text}");
}

#[test]
fn openssl_takes_our_revocation_lists_and_refuses_what_they_list() {
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384] {
        let issuer = root(Builtin::CustomerRoot, algorithm);
        let (good, bad) =
            (leaf(&issuer, Builtin::OcfIdentity, algorithm, &device()), leaf(&issuer, Builtin::OcfIdentity, algorithm, &device()));
        let list = issuer
            .sign_crl(&CrlContent {
                number: NonZeroU64::new(300).expect("not zero"),
                this_update: NOW - Duration::from_secs(60),
                next_update: NOW + Duration::from_secs(3600),
                revoked: vec![RevokedCertificate {
                    serial: bad.serial().clone(),
                    time: NOW - Duration::from_secs(120),
                    reason: RevocationReason::KeyCompromise,
                }],
            })
            .expect("a list");
        for (leaf, revoked) in [(&good, false), (&bad, true)] {
            let openssl = OpenSsl::new();
            let verify = laid_out(&openssl, leaf, &issuer);
            openssl.write("list.der", list.der());
            let text = openssl.run("crl -inform DER -in list.der -out list.pem -text -CAfile root.pem");
            assert!(text.contains("verify OK"), "{text}");
            let text = words(&String::from_utf8(openssl.read("list.pem")).expect("text"));
            assert!(text.contains("X509v3 CRL Number: 300") && text.contains("Key Compromise"), "{text}");
            let verdict = openssl.try_run(&format!("{verify} -crl_check -CRLfile list.pem leaf.pem"));
            assert_eq!(verdict.is_err_and(|text| text.contains("certificate revoked")), revoked);
        }
    }
}

#[test]
fn a_thousand_serial_numbers_differ() {
    let issuer = root(Builtin::CustomerRoot, KeyAlgorithm::P256);
    let profile = Profile::builtin(Builtin::OcfIdentity);
    let device_key = key(KeyAlgorithm::P256);
    let serials: std::collections::BTreeSet<_> = (0..1000)
        .map(|_| {
            let approved = profile.approve(SignedCsr::for_software_key(&device_key), &device(), NOW).expect("approved");
            issuer.issue(approved, &SystemRandom).expect("an identity").serial().clone()
        })
        .collect();
    assert_eq!(serials.len(), 1000);
}

/// A root as another tool makes it, and its key.
fn foreign_root(name: &str) -> (Certificate, Arc<SoftwareKey>) {
    let openssl = OpenSsl::new();
    openssl.write(
        "config",
        format!(
            "[req]\nprompt = no\nstring_mask = nombstr\ndistinguished_name = name\nx509_extensions = ca\n[name]\n{name}\n\
             [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n"
        ),
    );
    openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
    openssl.run("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.p8");
    openssl.run("req -x509 -new -key key.pem -days 3650 -config config -out root.pem");
    let root = Certificate::chain_from_pem(&openssl.read("root.pem")).expect("a certificate").remove(0);
    (root, Arc::new(SoftwareKey::from_pkcs8(Secret::new(openssl.read("key.p8"))).expect("a key")))
}

#[test]
fn a_foreign_root_issues_under_its_own_name_and_key_identifier() {
    let (root, key) = foreign_root("C = DE\nO = Acme (Old) Ltd.\nCN = Root: 1");
    let issuer = Issuer::new(vec![root.clone()], key.clone()).expect("it issues");
    let now = root.not_before() + Duration::from_secs(1);
    let device_key = self::key(KeyAlgorithm::P256);
    let approved = Profile::builtin(Builtin::OcfIdentity).approve(SignedCsr::for_key(&*device_key).expect("it signs"), &device(), now);
    let leaf = issuer.issue(approved.expect("approved"), &SystemRandom).expect("an identity");
    assert_eq!(leaf.issuer().der(), root.subject().der());
    assert_eq!(leaf.authority_key_id(), root.subject_key_id());
    // OpenSSL makes identifiers in another way (RFC 5280 §4.2.1.2 (1)) than we.
    assert_ne!(root.subject_key_id(), Some(&root.public_key().key_id().as_bytes()[..]));
    let list = issuer.sign_crl(&CrlContent {
        number: NonZeroU64::MIN,
        this_update: now,
        next_update: now + Duration::from_secs(60),
        revoked: vec![],
    });
    assert!(list.expect("a list").is_signed_by(root.public_key()));
}

#[test]
fn names_that_would_not_be_written_as_they_are_cannot_issue() {
    for name in ["O = Acme?\nCN = Root", "0.OU = One\n1.OU = Two\nCN = Root", "O = Acme\n+CN = Root"] {
        let (root, key) = foreign_root(name);
        let refused = Issuer::new(vec![root], key).map(drop);
        assert!(matches!(refused, Err(gatehouse_pki::IssuerError::Name { .. })), "{name}: {refused:?}");
    }
}
