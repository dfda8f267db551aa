//! Manifests: signed once, read by stock OpenSSL, refused when altered, replayed or foreign.

use crate::support::{House, SETTINGS};
use gatehouse_factory::{BatchOrder, Delivery, Factory, Manifest, ManifestError, Received, Shipment, SignedError, What};
use gatehouse_pki::Certificate;

fn batch(house: &House, factory: &mut Factory, order: &str, count: u64) {
    let out = house.path(&format!("out-{order}-{count}"));
    let order = BatchOrder {
        what: What::Count(count),
        line: None,
        order: Some(order.parse().expect("order")),
        out,
        delivery: Delivery::DangerPlain,
    };
    factory.batch(&order, &house.unlock, &mut |_| {}).expect("batch");
}

fn ship(house: &House, factory: &mut Factory, order: &str) -> Shipment {
    factory.ship(&order.parse().expect("order"), None, &house.unlock).expect("shipment")
}

fn opened(factory: &mut Factory, order: &str, customer: &str, planned: u64) {
    factory.order(order.parse().expect("order"), customer.parse().expect("customer"), planned).expect("order");
}

fn root(factory: &Factory) -> Certificate {
    factory.books().device_root().expect("root")
}

fn received(customer: &str) -> Received {
    Received::new("Example Devices".parse().expect("name"), customer.parse().expect("name"))
}

#[test]
fn stock_openssl_verifies_a_manifest_and_reads_what_it_says() {
    let house = House::new();
    let mut factory = house.factory();
    opened(&mut factory, "O-1", "ACME", 3);
    batch(&house, &mut factory, "O-1", 3);
    let shipment = ship(&house, &mut factory, "O-1");
    house.write("m.p7m", &shipment.message);
    let root = "factory/certificates/device-root.pem";
    let content = house.openssl(&format!("cms -verify -inform DER -in m.p7m -CAfile {root}"));
    let manifest: Manifest = serde_json::from_str(&content).expect("a manifest");
    assert_eq!(manifest, shipment.manifest);
    assert_eq!((manifest.sequence, manifest.previous, manifest.devices.len()), (1, None, 3));
    // A service root says nothing about devices.
    let other = house.try_openssl("cms -verify -inform DER -in m.p7m -CAfile factory/certificates/service-root.pem");
    assert!(other.is_err());
}

#[test]
fn manifests_of_a_customer_are_accepted_in_their_order_and_each_once() {
    let house = House::new();
    let mut factory = house.factory();
    opened(&mut factory, "O-1", "ACME", 5);
    opened(&mut factory, "O-2", "Other", 2);
    let mut messages = Vec::new();
    for (order, count) in [("O-1", 1), ("O-2", 2), ("O-1", 3)] {
        batch(&house, &mut factory, order, count);
        messages.push(ship(&house, &mut factory, order).message);
    }
    let verified = |message: &[u8]| Manifest::verify(message, &root(&factory), house.now()).expect("signed");
    let (first, foreign, second) = (verified(&messages[0]), verified(&messages[1]), verified(&messages[2]));
    assert_eq!(second.manifest().previous, Some(first.hash()));
    let none = received("ACME");
    assert!(matches!(none.accept(&second), Err(ManifestError::Missing { found: 2, expected: 1 })));
    let one = none.accept(&first).expect("the first");
    assert!(matches!(one.accept(&first), Err(ManifestError::Replayed { found: 1, expected: 2 })));
    assert!(matches!(one.accept(&foreign), Err(ManifestError::OtherCustomer { .. })));
    let two = one.accept(&second).expect("the second");
    assert_eq!(two.sequence(), 2);
    assert!(matches!(two.accept(&second), Err(ManifestError::Replayed { .. })));
}

#[test]
fn an_altered_manifest_is_refused_wherever_it_was_altered() {
    let house = House::new();
    let mut factory = house.factory();
    opened(&mut factory, "O-1", "ACME", 1);
    batch(&house, &mut factory, "O-1", 1);
    let message = ship(&house, &mut factory, "O-1").message;
    let root = root(&factory);
    assert!(Manifest::verify(&message, &root, house.now()).is_ok());
    for at in 0..message.len() {
        let mut altered = message.clone();
        altered[at] ^= 1;
        let verified = Manifest::verify(&altered, &root, house.now());
        // The signing time is signed and used by nobody; everything else has one form.
        assert!(verified.is_err(), "byte {at} of {}", message.len());
    }
    assert!(Manifest::verify(&[message.as_slice(), b"x"].concat(), &root, house.now()).is_err());
}

#[test]
fn a_manifest_of_another_manufacturer_is_refused() {
    let house = House::new();
    let mut ours = house.factory();
    let mut theirs = house.factory_with("theirs", &SETTINGS.replace("Example Devices", "Foreign Devices"));
    // The same name does not help: the root is another one.
    let mut namesake = house.factory_with("namesake", SETTINGS);
    opened(&mut ours, "O-1", "ACME", 1);
    for factory in [&mut theirs, &mut namesake] {
        opened(factory, "O-9", "ACME", 1);
        let name = factory.books().settings().manufacturer.as_str().to_owned();
        let out = house.path(&format!("out-{name}"));
        let order = BatchOrder {
            what: What::Count(1),
            line: None,
            order: Some("O-9".parse().expect("order")),
            out,
            delivery: Delivery::DangerPlain,
        };
        factory.batch(&order, &house.unlock, &mut |_| {}).expect("batch");
        let message = ship(&house, factory, "O-9").message;
        assert!(matches!(Manifest::verify(&message, &root(&ours), house.now()), Err(ManifestError::Signed(_))));
        let verified = Manifest::verify(&message, &root(factory), house.now()).expect("signed by them");
        if name == "Foreign Devices" {
            assert!(matches!(received("ACME").accept(&verified), Err(ManifestError::OtherManufacturer { .. })));
        }
    }
}

#[test]
fn a_device_cannot_sign_manifests_although_the_root_vouches_for_it() {
    let house = House::new();
    let mut factory = house.factory();
    let out = house.path("out");
    let order = BatchOrder { what: What::Count(1), line: None, order: None, out: out.clone(), delivery: Delivery::DangerPlain };
    factory.batch(&order, &house.unlock, &mut |_| {}).expect("batch");
    let bundle = crate::support::bundles(&out).remove(0);
    let gatehouse_factory::BundleKey::Plain(key) = &bundle.key else { panic!("the key is plain") };
    house.write("leaf.key", key.expose());
    house.write("leaf.pem", bundle.chain[0].pem());
    house.write("line.pem", bundle.chain[1].pem());
    house.write("content", "{}");
    house.openssl(
        "cms -sign -binary -nodetach -md sha256 -in content -signer leaf.pem -inkey leaf.key -certfile line.pem -outform DER -out m.p7m",
    );
    let message = std::fs::read(house.path("m.p7m")).expect("file");
    let error = Manifest::verify(&message, &root(&factory), house.now()).expect_err("a device is no manufacturer");
    let ManifestError::Signed(signed) = error else { panic!("{error}") };
    assert!(matches!(signed, SignedError::Signer(_)), "{signed}");
}

#[test]
fn what_openssl_signs_with_the_records_key_is_read_as_ours_is() {
    let house = House::new();
    let mut factory = house.factory();
    opened(&mut factory, "O-1", "ACME", 1);
    batch(&house, &mut factory, "O-1", 1);
    let shipment = ship(&house, &mut factory, "O-1");
    // Without a signature in the shape that we read, it is refused for its shape.
    house.write("content", serde_json::to_vec(&shipment.manifest).expect("json"));
    house.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -subj /O=Example/CN=own -days 3 -addext extendedKeyUsage=emailProtection -out own.pem");
    house.openssl("cms -sign -binary -nodetach -md sha256 -in content -signer own.pem -inkey own.key -outform DER -out m.p7m");
    let message = std::fs::read(house.path("m.p7m")).expect("file");
    let error = Manifest::verify(&message, &root(&factory), house.now()).expect_err("nobody vouches for it");
    assert!(matches!(error, ManifestError::Signed(SignedError::Signer(_))), "{error:?}");
}

#[test]
fn the_last_manifest_can_be_written_again() {
    let house = House::new();
    let mut factory = house.factory();
    opened(&mut factory, "O-1", "ACME", 1);
    batch(&house, &mut factory, "O-1", 1);
    let shipment = ship(&house, &mut factory, "O-1");
    assert_eq!(factory.books().last_manifest(&"ACME".parse().expect("name")).expect("manifest"), shipment.message);
    assert!(factory.books().last_manifest(&"Other".parse().expect("name")).is_err());
}
