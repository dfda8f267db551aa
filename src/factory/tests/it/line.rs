//! A line from its first key to a device's bundle.

use crate::support::{House, bundles};
use gatehouse_factory::{BatchOrder, BundleKey, Delivery, FactoryError, Progress, Recipient, What};
use std::fs;

fn plain(house: &House, what: What) -> BatchOrder {
    BatchOrder { what, line: None, order: None, out: house.path("out"), delivery: Delivery::DangerPlain }
}

/// A folder holds one batch.
fn elsewhere(house: &House, what: What, out: &str) -> BatchOrder {
    BatchOrder { out: house.path(out), ..plain(house, what) }
}

fn sealed(house: &House, what: What) -> BatchOrder {
    let recipient = Recipient::from_pem(&fs::read(house.recipient().0).expect("file")).expect("recipient");
    BatchOrder { delivery: Delivery::Sealed(recipient), ..plain(house, what) }
}

#[test]
fn a_counted_batch_gives_every_serial_once_and_openssl_accepts_each_chain() {
    let house = House::new();
    let mut factory = house.factory();
    let mut heard = Vec::new();
    let report = factory.batch(&plain(&house, What::Count(25)), &house.unlock, &mut |progress| heard.push(progress)).expect("batch");
    assert_eq!((report.total, report.made, report.before), (25, 25, 0));
    assert_eq!(heard.last(), Some(&Progress { done: 25, total: 25, before: 0 }));
    let bundles = bundles(&house.path("out"));
    let names: Vec<_> = bundles.iter().map(|bundle| bundle.about.device.to_string()).collect();
    let expected: Vec<_> = (1..=25).map(|number| format!("GH-{number:06}")).collect();
    assert_eq!(names, expected);
    for (bundle, name) in bundles.iter().zip(names) {
        house.write("leaf.pem", bundle.chain[0].pem());
        house.write("line.pem", bundle.chain[1].pem());
        let BundleKey::Plain(key) = &bundle.key else { panic!("the key is plain") };
        house.write("leaf.key", key.expose());
        let root = "factory/certificates/device-root.pem";
        house.openssl(&format!("verify -x509_strict -purpose sslclient -CAfile {root} -untrusted line.pem leaf.pem"));
        let of_certificate = house.openssl("x509 -in leaf.pem -noout -pubkey");
        assert_eq!(of_certificate, house.openssl("pkey -in leaf.key -pubout"));
        let subject = house.openssl("x509 -in leaf.pem -noout -subject -nameopt multiline");
        assert!(subject.contains(&format!("serialNumber              = {name}")), "{subject}");
    }
}

#[test]
fn sealed_keys_open_with_stock_openssl_and_belong_to_their_certificates() {
    let house = House::new();
    let mut factory = house.factory();
    factory.batch(&sealed(&house, What::Count(12)), &house.unlock, &mut |_| {}).expect("batch");
    for bundle in bundles(&house.path("out")) {
        let BundleKey::Sealed(message) = &bundle.key else { panic!("the key is sealed") };
        house.write("key.cms", message);
        house.write("leaf.pem", bundle.chain[0].pem());
        house.openssl("cms -decrypt -inform DER -in key.cms -inkey recipient.key -out leaf.key");
        assert_eq!(house.openssl("x509 -in leaf.pem -noout -pubkey"), house.openssl("pkey -in leaf.key -pubout"));
    }
}

#[test]
fn a_batch_of_requests_makes_no_keys_and_keeps_each_name_with_its_key() {
    let house = House::new();
    let mut factory = house.factory();
    fs::create_dir(house.path("requests")).expect("folder");
    for name in ["MX-1", "MX-2", "MX-3"] {
        house.request(&format!("requests/{name}.csr"));
        fs::rename(house.path(&format!("requests/{name}.csr.key")), house.path(&format!("{name}.key"))).expect("rename");
    }
    factory.batch(&plain(&house, What::Requests(house.path("requests"))), &house.unlock, &mut |_| {}).expect("batch");
    let bundles = bundles(&house.path("out"));
    assert_eq!(bundles.len(), 3);
    for bundle in bundles {
        assert!(matches!(bundle.key, BundleKey::InDevice));
        house.write("leaf.pem", bundle.chain[0].pem());
        let key = house.openssl(&format!("pkey -in {}.key -pubout", bundle.about.device));
        assert_eq!(house.openssl("x509 -in leaf.pem -noout -pubkey"), key);
    }
}

#[test]
fn mistakes_in_requests_are_told_together_and_nothing_is_signed() {
    let house = House::new();
    let mut factory = house.factory();
    fs::create_dir(house.path("requests")).expect("folder");
    house.request("requests/MX-1.csr");
    fs::remove_file(house.path("requests/MX-1.csr.key")).expect("remove");
    let request = fs::read_to_string(house.path("requests/MX-1.csr")).expect("file");
    house.write("requests/MX-2.csr", &request);
    house.write("requests/..csr", &request);
    house.write("requests/notes.txt", "hello");
    let der = house.openssl("req -in requests/MX-1.csr -outform DER -out damaged.der");
    assert_eq!(der, "");
    let mut damaged = fs::read(house.path("damaged.der")).expect("file");
    *damaged.last_mut().expect("not empty") ^= 1;
    house.write("requests/MX-3.csr", damaged);
    let order = plain(&house, What::Requests(house.path("requests")));
    let error = factory.batch(&order, &house.unlock, &mut |_| {}).expect_err("mistakes").to_string();
    for part in [
        "MX-2.csr: its key is the key of MX-1.csr",
        "..csr: a serial is made of",
        "notes.txt: a request is called",
        "MX-3.csr: the request is refused",
    ] {
        assert!(error.contains(part), "{part} is not in:\n{error}");
    }
    assert_eq!(factory.books().status().devices, 0);
    assert_eq!(fs::read_dir(house.path("out")).expect("folder").count(), 0);
}

#[test]
fn a_list_names_serials_once_over_all_batches() {
    let house = House::new();
    let mut factory = house.factory();
    let list = house.write("a.csv", "serial\nMX-1\nMX-2\n");
    factory.batch(&plain(&house, What::Csv(list)), &house.unlock, &mut |_| {}).expect("batch");
    let list = house.write("b.csv", "serial\nMX-3\nMX-2\nGH-000001\n");
    let error = factory.batch(&elsewhere(&house, What::Csv(list), "b"), &house.unlock, &mut |_| {}).expect_err("mistakes").to_string();
    assert!(error.contains("b.csv:3: device MX-2 was made already"), "{error}");
    assert!(error.contains("b.csv:4: serial GH-000001 is kept for --count"), "{error}");
    assert_eq!(factory.books().status().devices, 2);
}

#[test]
fn a_line_signs_within_its_budget_and_until_its_date() {
    let house = House::new();
    let mut factory = house.factory_with("factory", &crate::support::SETTINGS.replace("budget = 10000", "budget = 10"));
    factory.batch(&plain(&house, What::Count(8)), &house.unlock, &mut |_| {}).expect("batch");
    let error = factory.batch(&elsewhere(&house, What::Count(3), "b"), &house.unlock, &mut |_| {}).expect_err("budget").to_string();
    assert!(error.contains("3 certificates are wanted and the budget of line-1 allows 2 more"), "{error}");
    factory.batch(&elsewhere(&house, What::Count(2), "b"), &house.unlock, &mut |_| {}).expect("batch");
    house.clock.set("2030-01-01T00:00:00Z".parse().expect("time"));
    let error = factory.batch(&elsewhere(&house, What::Count(1), "c"), &house.unlock, &mut |_| {}).expect_err("date");
    assert!(matches!(error, FactoryError::Refused(_)) && error.to_string().contains("line-1 may sign until 2030"), "{error}");
    assert_eq!(factory.books().status().devices, 10);
}

#[test]
fn the_same_order_for_the_same_folder_is_done_once_and_another_is_refused() {
    let house = House::new();
    let mut factory = house.factory();
    factory.batch(&plain(&house, What::Count(5)), &house.unlock, &mut |_| {}).expect("batch");
    let again = factory.batch(&plain(&house, What::Count(5)), &house.unlock, &mut |_| {}).expect("batch");
    assert_eq!((again.batch, again.total, again.made, again.before), (1, 5, 0, 5));
    let other = factory.batch(&plain(&house, What::Count(6)), &house.unlock, &mut |_| {}).expect_err("another batch");
    assert!(other.to_string().contains("holds another batch"), "{other}");
    assert_eq!(factory.books().status().devices, 5);
}
