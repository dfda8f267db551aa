//! PASS or FAIL: bundles and running devices against what is written, and whom devices trust.

use crate::support::{House, SETTINGS, bundles};
use gatehouse_base::SystemRandom;
use gatehouse_factory::{
    Against, BatchOrder, Bundle, BundleKey, Delivery, Factory, Reason, Reception, Recipient, RecipientPrivateKey, Verdict, What,
};
use gatehouse_net::Credentials;
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose};
use gatehouse_types::Secret;
use std::{fs, net::SocketAddr, process::Stdio};

fn made(house: &House, factory: &mut Factory, count: u64, delivery: Delivery) -> Vec<Bundle> {
    let order = BatchOrder { what: What::Count(count), line: None, order: None, out: house.path("out"), delivery };
    factory.batch(&order, &house.unlock, &mut |_| {}).expect("batch");
    bundles(&house.path("out"))
}

fn judge(house: &House, factory: &Factory, bundle: &Bundle) -> Verdict {
    bundle.verify(&Against::Books(factory.books()), None, &SystemRandom, house.now()).expect("verdict")
}

fn failed(verdict: &Verdict) -> Vec<&'static str> {
    verdict.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
}

#[test]
fn a_good_bundle_passes_and_each_mistake_is_named() {
    let house = House::new();
    let mut factory = house.factory();
    let mut bundles = made(&house, &mut factory, 3, Delivery::DangerPlain);
    assert!(judge(&house, &factory, &bundles[0]).passed(), "{}", judge(&house, &factory, &bundles[0]));
    let third = bundles.pop().expect("three");
    let second = bundles.pop().expect("two");
    let first = bundles.pop().expect("one");
    let chain = first.chain.clone();
    let exchanged = Bundle { key: second.key, chain, about: first.about.clone(), service_anchors: first.service_anchors.clone() };
    assert_eq!(failed(&judge(&house, &factory, &exchanged)), ["key"]);
    let trusting = Bundle { service_anchors: vec![factory.books().device_root().expect("root")], ..first };
    assert_eq!(failed(&judge(&house, &factory, &trusting)), ["service anchors"]);
    let mixed = Bundle { chain: third.chain.clone(), ..second_with(trusting, &third) };
    assert_eq!(failed(&judge(&house, &factory, &mixed)), ["device.json"]);
    factory.revoke(&third.about.device, Reason::KeyCompromise).expect("revoked");
    assert_eq!(failed(&judge(&house, &factory, &third)), ["revocation"]);
}

/// The third device's key and anchors with the first device's `device.json`.
fn second_with(first: Bundle, third: &Bundle) -> Bundle {
    let BundleKey::Plain(pem) = &third.key else { panic!("the key is plain") };
    Bundle { key: BundleKey::Plain(Secret::new(pem.expose().to_vec())), service_anchors: third.service_anchors.clone(), ..first }
}

#[test]
fn a_device_of_another_factory_fails() {
    let house = House::new();
    let mut factory = house.factory();
    let bundle = made(&house, &mut factory, 1, Delivery::DangerPlain).remove(0);
    let other = house.factory_with("other", SETTINGS);
    let verdict = judge(&house, &other, &bundle);
    assert!(!verdict.passed());
    assert!(failed(&verdict).contains(&"chain") && failed(&verdict).contains(&"entry"), "{verdict}");
}

#[test]
fn a_sealed_key_is_challenged_with_the_recipients_key_only() {
    let house = House::new();
    let mut factory = house.factory();
    let (certificate, key) = house.recipient();
    let recipient = Recipient::from_pem(&fs::read(certificate).expect("file")).expect("recipient");
    let bundle = made(&house, &mut factory, 1, Delivery::Sealed(recipient)).remove(0);
    assert_eq!(failed(&judge(&house, &factory, &bundle)), ["key"]);
    let key = RecipientPrivateKey::from_pem(&Secret::new(fs::read(key).expect("file"))).expect("key");
    let verdict = bundle.verify(&Against::Books(factory.books()), Some(&key), &SystemRandom, house.now()).expect("verdict");
    assert!(verdict.passed(), "{verdict}");
}

/// The service anchors are all that a device has to judge a provisioning service by.
#[test]
fn another_device_is_no_provisioning_service_even_with_server_authentication() {
    let house = House::new();
    let mut factory = house.factory_with("factory", &SETTINGS.replace("part = 10", "part = 10\n    profile = \"ocf-onboarding\""));
    let bundles = made(&house, &mut factory, 2, Delivery::DangerPlain);
    let (device, impostor) = (&bundles[0], &bundles[1]);
    let anchors = device.service_anchors.iter().fold(Anchors::builder(), |builder, anchor| builder.anchor(anchor.clone()));
    let anchors = anchors.build().expect("anchors");
    let server = Policy::new(Purpose::Server);
    let request = house.request("dps.csr");
    let chain = factory.sign_server(&request, &["dps.example.com".parse().expect("host")], &house.unlock).expect("signed");
    let presented = |chain: &[Certificate]| chain.iter().map(|certificate| certificate.der().to_vec()).collect::<Vec<_>>();
    assert!(anchors.verify(&presented(&chain), &server, house.now()).is_ok(), "the provisioning server is good");
    assert!(anchors.verify(&presented(&impostor.chain), &server, house.now()).is_err());
    let mut with_root = impostor.chain.clone();
    with_root.push(factory.books().device_root().expect("root"));
    assert!(anchors.verify(&presented(&with_root), &server, house.now()).is_err());

    // OpenSSL as a device: the impostor's certificate does say server authentication, and is refused for its root alone.
    house.write("impostor.pem", impostor.chain[0].pem());
    house.write("line.pem", impostor.chain[1].pem());
    house.write("dps.pem", chain[0].pem());
    house.write("anchors.pem", device.service_anchors.iter().map(Certificate::pem).collect::<String>());
    let root = "factory/certificates/device-root.pem";
    house.openssl(&format!("verify -purpose sslserver -CAfile {root} -untrusted line.pem impostor.pem"));
    assert!(house.try_openssl("verify -purpose sslserver -CAfile anchors.pem -untrusted line.pem impostor.pem").is_err());
    house.openssl(&format!("verify -purpose sslserver -attime {} -CAfile anchors.pem dps.pem", house.now().secs()));
}

#[test]
fn the_service_root_vouches_for_no_device() {
    let house = House::new();
    let factory = house.factory();
    let anchors = factory.books().service_anchors().expect("anchors");
    assert_eq!(anchors.len(), 2);
    let root = factory.books().device_root().expect("root");
    for anchor in anchors {
        assert_ne!(anchor.public_key(), root.public_key());
        assert_eq!(anchor.path_length(), Some(0), "it signs servers and no CA");
    }
    // The spare's key does not lie with the others.
    assert!(house.path("factory/offline/service-spare.key").exists() && !house.path("factory/keys/service-spare.key").exists());
}

/// A running device, played by stock OpenSSL, over TLS 1.2 as devices speak it.
#[test]
fn a_running_device_passes_by_its_handshake_and_fails_without_its_key() {
    let house = House::at_the_systems_time();
    let mut factory = house.factory();
    let bundles = made(&house, &mut factory, 2, Delivery::DangerPlain);
    let request = house.request("dps.csr");
    let chain = factory.sign_server(&request, &["127.0.0.1".parse().expect("host")], &house.unlock).expect("signed");
    let pem: String = chain.iter().map(Certificate::pem).collect();
    let key = Secret::new(fs::read(house.path("dps.csr.key")).expect("file"));
    for (number, bundle) in bundles.iter().enumerate() {
        let BundleKey::Plain(key) = &bundle.key else { panic!("the key is plain") };
        house.write(&format!("{number}.key"), key.expose());
        house.write(&format!("{number}.pem"), bundle.chain.iter().map(Certificate::pem).collect::<String>());
    }
    house.write("anchors.pem", bundles[0].service_anchors.iter().map(Certificate::pem).collect::<String>());
    house.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout alien.key -subj /CN=alien/serialNumber=GH-000001 -days 3 -out alien.pem");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let identity = Credentials::from_pem(pem.as_bytes(), &key).expect("identity");
        let against = Against::Books(factory.books());
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        let mut reception = Reception::open(any, identity, &against, house.clock.clone()).expect("bound");
        let address = reception.address();
        let device = |certificate: &str, key: &str| {
            let arguments = format!("s_client -connect {address} -tls1_2 -cert {certificate} -cert_chain {certificate} -key {key} -CAfile anchors.pem -verify_return_error");
            let mut command = tokio::process::Command::new("openssl");
            command.args(arguments.split_whitespace()).current_dir(house.dir.path()).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("openssl runs")
        };
        let mut running = device("0.pem", "0.key");
        let verdict = reception.next(&against).await.expect("verdict");
        assert!(verdict.passed() && verdict.device.as_deref() == Some("GH-000001"), "{verdict}");
        running.wait().await.expect("it ends");
        let mut running = device("alien.pem", "alien.key");
        let verdict = reception.next(&against).await.expect("verdict");
        assert_eq!(failed(&verdict), ["chain"]);
        running.wait().await.expect("it ends");
        reception.close().await;
    });
}
