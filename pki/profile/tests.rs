//! What profiles approve and refuse, and which documents are none.

use super::*;
use crate::key::SoftwareKey;

const NOW: UnixTime = UnixTime::from_secs(1_795_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn request(algorithm: KeyAlgorithm) -> SignedCsr {
    let key = SoftwareKey::generate(algorithm).expect("issued with");
    SignedCsr::for_key(&key).expect("it signs")
}

fn named<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn device() -> DeviceName {
    named("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4")
}

/// Everything that the profile requires.
fn needed(builtin: Builtin) -> Facts {
    let profile = Profile::builtin(builtin);
    let mut facts = Facts::new();
    for fact in [Fact::Device, Fact::Hub, Fact::SerialNumber, Fact::CommonName, Fact::Organisation, Fact::Hosts, Fact::Crl] {
        if profile.need(fact) == Need::Required {
            facts = with(facts, fact);
        }
    }
    facts
}

fn with(facts: Facts, fact: Fact) -> Facts {
    match fact {
        Fact::Device => facts.device(device()),
        Fact::Hub => facts.hub(device()),
        Fact::SerialNumber => facts.serial_number(named("SN-1")),
        Fact::CommonName => facts.common_name(named("Acme Root")),
        Fact::Organisation => facts.organisation(named("Acme")),
        Fact::Hosts => facts.host(named("a.example")),
        Fact::Crl => facts.crl(named("http://a.example/crl")),
    }
}

fn refusal(builtin: Builtin, facts: &Facts) -> Refusal {
    Profile::builtin(builtin).approve(request(KeyAlgorithm::P256), facts, NOW).expect_err("refused")
}

#[test]
fn every_builtin_profile_is_read_and_approves_what_it_needs() {
    let mut names = Vec::new();
    for builtin in Builtin::ALL {
        let profile = Profile::from_toml(builtin.toml()).unwrap_or_else(|error| panic!("{builtin:?}: {error}"));
        assert!(!names.contains(&profile.name), "{}", profile.name);
        names.push(profile.name.clone());
        let approved = profile.approve(request(KeyAlgorithm::P256), &needed(builtin), NOW).expect("all that it needs");
        assert!(approved.not_before <= NOW - Duration::from_secs(65 * 60), "{builtin:?}");
    }
}

#[test]
fn a_missing_fact_is_refused_by_its_name() {
    for builtin in Builtin::ALL {
        let refused = refusal(builtin, &Facts::new());
        assert!(matches!(refused, Refusal::Missing { .. }), "{builtin:?}: {refused}");
    }
    let refused = refusal(Builtin::ApiServer, &Facts::new());
    assert_eq!(refused.to_string(), "a certificate of the profile \"api-server\" needs a host name or address, and it was not given");
}

#[test]
fn a_fact_that_the_profile_does_not_use_is_refused() {
    for builtin in Builtin::ALL {
        let profile = Profile::builtin(builtin);
        for fact in [Fact::Device, Fact::Hub, Fact::SerialNumber, Fact::CommonName, Fact::Organisation, Fact::Hosts, Fact::Crl] {
            let approved = profile.approve(request(KeyAlgorithm::P256), &with(needed(builtin), fact), NOW);
            match profile.need(fact) {
                Need::Refused => assert!(matches!(approved, Err(Refusal::Superfluous { fact: found, .. }) if found == fact)),
                Need::Optional => assert!(approved.is_ok(), "{builtin:?} {fact}"),
                // The host is there twice now; the others replaced themselves.
                Need::Required => assert_eq!(approved.is_err(), fact == Fact::Hosts, "{builtin:?} {fact}"),
            }
        }
    }
}

#[test]
fn options_add_their_purposes_and_unknown_ones_are_refused() {
    let plain = needed(Builtin::ManufacturerDevice);
    let profile = Profile::builtin(Builtin::ManufacturerDevice);
    let approved = profile.approve(request(KeyAlgorithm::P256), &plain, NOW).expect("plain");
    assert_eq!(approved.purposes, [Purpose::ClientAuth]);
    let onboarding = plain.clone().option("ocf-onboarding");
    let approved = profile.approve(request(KeyAlgorithm::P256), &onboarding, NOW).expect("with the option");
    assert_eq!(approved.purposes, [Purpose::ClientAuth, Purpose::ServerAuth, Purpose::OcfIdentity]);
    let refused = refusal(Builtin::ManufacturerDevice, &plain.option("ocf"));
    assert!(refused.to_string().contains("no option \"ocf\"; it has: ocf-onboarding"), "{refused}");
}

#[test]
fn keys_that_the_profile_does_not_take_are_refused() {
    let profile = Profile::builtin(Builtin::OcfIdentity);
    let refused = profile.approve(request(KeyAlgorithm::Ed25519), &needed(Builtin::OcfIdentity), NOW).expect_err("refused");
    assert_eq!(refused.to_string(), "the profile \"ocf-identity\" takes no Ed25519 keys; make one of: P-256, P-384");
    let agent = Profile::builtin(Builtin::AgentClient);
    assert!(agent.approve(request(KeyAlgorithm::Ed25519), &needed(Builtin::AgentClient), NOW).is_ok());
}

#[test]
fn a_shorter_lifetime_may_be_wanted_and_a_longer_one_not() {
    let profile = Profile::builtin(Builtin::OcfIdentity);
    let wanted = |lifetime| profile.approve(request(KeyAlgorithm::P256), &needed(Builtin::OcfIdentity).lifetime(lifetime), NOW);
    assert_eq!(wanted(DAY).expect("shorter").not_after, NOW + DAY);
    assert_eq!(wanted(365 * DAY).expect("all of it").not_after, NOW + 365 * DAY);
    for lifetime in [366 * DAY, Duration::from_secs(3600), Duration::ZERO] {
        assert!(matches!(wanted(lifetime), Err(Refusal::Lifetime { .. })), "{lifetime:?}");
    }
}

#[test]
fn a_device_for_life_ends_with_the_year_9999() {
    let profile = Profile::builtin(Builtin::ManufacturerDevice);
    let approved = profile.approve(request(KeyAlgorithm::P256), &needed(Builtin::ManufacturerDevice), NOW).expect("approved");
    assert_eq!(approved.not_after, UnixTime::NO_END);
}

#[test]
fn a_request_of_another_device_is_refused() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "uuid:11111111-5ff7-4559-60d9-bf03bc730cc4");
    let csr = params.serialize_request(&key).expect("a request");
    let request = || crate::Csr::from_der(csr.der()).and_then(crate::Csr::verify).expect("a good request");
    let profile = Profile::builtin(Builtin::OcfIdentity);
    let refused = profile.approve(request(), &Facts::new().device(device()), NOW);
    assert!(matches!(refused, Err(Refusal::OtherDevice { .. })), "{refused:?}");
    let same = Facts::new().device(named("uuid:11111111-5ff7-4559-60d9-bf03bc730cc4"));
    assert!(profile.approve(request(), &same, NOW).is_ok());
}

#[test]
fn hosts_are_bounded_and_the_first_fits_into_the_common_name() {
    let long = format!("{}.{}.example", "a".repeat(40), "b".repeat(40));
    let facts = Facts::new().host(named(&long)).host(named("a.example"));
    assert!(matches!(refusal(Builtin::ApiServer, &facts), Refusal::LongHost(_)));
    let facts = Facts::new().host(named("a.example")).host(named(&long));
    assert!(Profile::builtin(Builtin::ApiServer).approve(request(KeyAlgorithm::P256), &facts, NOW).is_ok());
    let many = (0..=MAX_HOSTS).fold(Facts::new(), |facts, number| facts.host(named(&format!("h{number}.example"))));
    assert!(matches!(refusal(Builtin::ApiServer, &many), Refusal::Hosts(_)));
}

#[test]
fn unknown_keys_in_a_profile_are_refused_with_their_place() {
    let misspelt = Builtin::ManufacturerDevice.toml().replace("extended-key-usage = [\"client-auth\"]", "extended-key-usages = []");
    let Err(ProfileError::Toml(text)) = Profile::from_toml(&misspelt) else { panic!("accepted") };
    assert!(text.contains("line") && text.contains("extended-key-usages"), "{text}");
}

#[test]
fn a_profile_that_contradicts_the_rules_is_refused_with_the_rule() {
    let leaf = Builtin::OcfIdentity.toml();
    let ca = Builtin::CustomerIntermediate.toml();
    for (document, from, to, rule) in [
        (leaf, "name = \"ocf-identity\"", "name = \"OCF\"", "name has"),
        (leaf, "kind = \"leaf\"", "kind = \"leaf\"\npath-length = 0", "no `path-length`"),
        (leaf, "[\"digital-signature\", \"key-agreement\"]", "[]", "needs a `key-usage`"),
        (leaf, "[\"digital-signature\", \"key-agreement\"]", "[\"key-agreement\", \"key-agreement\"]", "each once"),
        (leaf, "[\"client-auth\", \"server-auth\", \"ocf-identity\"]", "[]", "needs an `extended-key-usage`"),
        (leaf, "[\"P-256\", \"P-384\"]", "[]", "`keys` lists"),
        (leaf, "[\"P-256\", \"P-384\"]", "[\"P-256\", \"P-256\"]", "`keys` lists"),
        (leaf, "[\"P-256\", \"P-384\"]", "[\"Ed25519\"]", "RFC 8410 §5"),
        (leaf, "common-name = \"device\"", "common-name = \"common-name\"", "a device or a hub"),
        (leaf, "lifetime = \"365d\"", "lifetime = \"1h\"", "not below `shortest`"),
        (leaf, "lifetime = \"365d\"", "lifetime = \"365d\"\nshortest = \"1h\"", "at least 2h"),
        (leaf, "lifetime = \"365d\"", "lifetime = \"365d\"\nback-dated = \"64m\"", "at least 65m"),
        (leaf, "rules = [\"ocf-identity\"]", "rules = []", "names its `hosts`"),
        (ca, "path-length = 0", "", "needs a `path-length`"),
        (ca, "crl = \"optional\"", "key-usage = [\"digital-signature\"]", "a CA has no"),
        (ca, "crl = \"optional\"", "hosts = \"optional\"", "no hosts"),
        (ca, "crl = \"optional\"", "rules = [\"tls-server\"]", "for leaves"),
        (ca, "organisation = \"required\"", "organisation = { fixed = \"uuid:\" }", "devices look for it"),
        (
            ca,
            "lifetime = \"3652d\"",
            "lifetime = \"1d\"\n[option.x]\nabout = \"x\"\nextended-key-usage = [\"client-auth\"]",
            "a CA does not have",
        ),
    ] {
        assert!(document.contains(from), "{from}");
        match Profile::from_toml(&document.replacen(from, to, 1)) {
            Err(ProfileError::Rule { rule: text, .. }) => assert!(text.contains(rule), "{to}: {text}"),
            other => panic!("{to}: {other:?}"),
        }
    }
    for (from, to) in [
        ("365d", "365"),
        ("365d", "0d"),
        ("365d", "d"),
        ("client-auth", "any"),
        ("P-384", "RSA"),
        ("digital-signature", "key-encipherment"),
    ] {
        let read = Profile::from_toml(&leaf.replacen(from, to, 1));
        assert!(matches!(read, Err(ProfileError::Toml(_))), "{to}: {read:?}");
    }
    assert!(matches!(Profile::from_toml(&"#".repeat(MAX_DOCUMENT + 1)), Err(ProfileError::TooLong(_))));
}

#[test]
fn a_fixed_organisation_is_written_and_not_asked_for() {
    let document = Builtin::CustomerRoot.toml().replace("organisation = \"required\"", "organisation = { fixed = \"Acme\" }");
    let profile = Profile::from_toml(&document).expect("a profile");
    let facts = Facts::new().common_name(named("Acme Root"));
    let approved = profile.approve(request(KeyAlgorithm::P384), &facts, NOW).expect("approved");
    assert_eq!(approved.organisation, Some(named("Acme")));
}
