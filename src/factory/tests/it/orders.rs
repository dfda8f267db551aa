//! Orders add up, re-issue has its price, and lists say what is revoked.

use crate::support::{House, bundles};
use gatehouse_factory::FactoryError;
use gatehouse_factory::{BatchOrder, Delivery, Factory, OrderReport, Reason, Refusal, SingleOrder, What};

fn order(house: &House, count: u64, out: &str) -> BatchOrder {
    BatchOrder {
        what: What::Count(count),
        line: None,
        order: Some("O-1".parse().expect("order")),
        out: house.path(out),
        delivery: Delivery::DangerPlain,
    }
}

fn report(factory: &Factory) -> OrderReport {
    factory.books().orders().remove(0)
}

fn refused(result: Result<impl std::fmt::Debug, FactoryError>) -> Refusal {
    match result {
        Err(FactoryError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn planned_is_shipped_and_scrapped_and_open_at_every_step() {
    let house = House::new();
    let mut factory = house.factory();
    let name = || "O-1".parse().expect("order");
    factory.order(name(), "ACME".parse().expect("name"), 6).expect("order");
    let counts = |factory: &Factory| {
        let report = report(factory);
        assert!(report.balances(), "{report}");
        (report.shipped, report.scrapped, report.open, report.in_hand)
    };
    assert_eq!(counts(&factory), (0, 0, 6, 0));
    factory.batch(&order(&house, 4, "a"), &house.unlock, &mut |_| {}).expect("batch");
    assert_eq!(counts(&factory), (0, 0, 6, 4));
    assert!(matches!(
        refused(factory.batch(&order(&house, 3, "b"), &house.unlock, &mut |_| {})),
        Refusal::Planned { made: 4, wanted: 3, .. }
    ));
    let serial = |number: u32| format!("GH-{number:06}").parse().expect("serial");
    factory.scrap(vec![serial(1)], "fell").expect("scrapped");
    assert_eq!(counts(&factory), (0, 1, 5, 3));
    assert!(matches!(refused(factory.scrap(vec![serial(1)], "again")), Refusal::Scrapped { .. }));
    assert!(matches!(refused(factory.ship(&name(), Some(&[serial(1)]), &house.unlock)), Refusal::Scrapped { .. }));
    factory.ship(&name(), Some(&[serial(2)]), &house.unlock).expect("shipped");
    assert_eq!(counts(&factory), (1, 1, 4, 2));
    assert!(matches!(refused(factory.ship(&name(), Some(&[serial(2)]), &house.unlock)), Refusal::Shipped { .. }));
    assert!(matches!(refused(factory.close_order(&name())), Refusal::Open { open: 4, .. }));
    factory.batch(&order(&house, 2, "c"), &house.unlock, &mut |_| {}).expect("batch");
    factory.ship(&name(), None, &house.unlock).expect("shipped");
    assert_eq!(counts(&factory), (5, 1, 0, 0));
    assert!(factory.close_order(&name()).expect("closed").closed);
    assert!(matches!(refused(factory.ship(&name(), None, &house.unlock)), Refusal::Closed { .. }));
}

#[test]
fn another_certificate_needs_replaces_and_revokes_the_old_one_on_the_list() {
    let house = House::new();
    let mut factory = house.factory();
    factory.batch(&BatchOrder { order: None, ..order(&house, 2, "a") }, &house.unlock, &mut |_| {}).expect("batch");
    let old = bundles(&house.path("a")).remove(0);
    let device = old.about.device.clone();
    let single = |replaces, out: &str| SingleOrder {
        serial: Some(device.clone()),
        request: None,
        line: None,
        order: None,
        replaces,
        out: house.path(out),
        delivery: Delivery::DangerPlain,
    };
    assert!(matches!(refused(factory.single(&single(None, "b.tar"), &house.unlock)), Refusal::Reserved { .. } | Refusal::Made { .. }));
    let entry = factory.single(&single(Some(Reason::KeyCompromise), "b.tar"), &house.unlock).expect("another certificate");
    assert_eq!(factory.books().entry(&device), Some(entry.clone()));
    let unknown = SingleOrder { serial: Some("MX-1".parse().expect("serial")), ..single(Some(Reason::Superseded), "c.tar") };
    assert!(matches!(refused(factory.single(&unknown, &house.unlock)), Refusal::NotMade { .. }));

    let list = factory.revocation_list(&"line-1".parse().expect("line"), &house.unlock).expect("list");
    assert_eq!(list.entries().iter().map(|entry| &entry.serial).collect::<Vec<_>>(), [&old.about.certificate]);
    house.write("list.crl", list.der());
    house.openssl("crl -inform DER -in list.crl -out list.pem");
    let text = house.openssl("crl -in list.pem -noout -text");
    assert!(text.contains("Key Compromise"), "{text}");
    let new = crate::support::read(&house.path("b.tar")).remove(0);
    for (bundle, good) in [(&old, false), (&new, true)] {
        house.write("leaf.pem", bundle.chain[0].pem());
        house.write("line.pem", bundle.chain[1].pem());
        let judged = house.try_openssl(&format!(
            "verify -x509_strict -crl_check -attime {} -CAfile factory/certificates/device-root.pem -untrusted line.pem -CRLfile list.pem leaf.pem",
            house.now().secs()
        ));
        assert_eq!(judged.is_ok(), good, "{judged:?}");
    }
    let next = factory.revocation_list(&"line-1".parse().expect("line"), &house.unlock).expect("list");
    assert!(next.number() > list.number());
}

#[test]
fn a_key_belongs_to_one_device() {
    let house = House::new();
    let mut factory = house.factory();
    let request = house.request("device.csr");
    let single = |serial: &str| SingleOrder {
        serial: Some(serial.parse().expect("serial")),
        request: Some(request.clone()),
        line: None,
        order: None,
        replaces: None,
        out: house.path(&format!("{serial}.tar")),
        delivery: Delivery::DangerPlain,
    };
    factory.single(&single("MX-1"), &house.unlock).expect("signed");
    assert!(matches!(refused(factory.single(&single("MX-2"), &house.unlock)), Refusal::KeyUsed { .. }));
    let again = SingleOrder { out: house.path("again.tar"), ..single("MX-1") };
    assert!(matches!(refused(factory.single(&again, &house.unlock)), Refusal::Made { .. }));
}

#[test]
fn a_revoked_device_does_not_leave() {
    let house = House::new();
    let mut factory = house.factory();
    factory.order("O-1".parse().expect("order"), "ACME".parse().expect("name"), 2).expect("order");
    factory.batch(&order(&house, 2, "a"), &house.unlock, &mut |_| {}).expect("batch");
    let serial = "GH-000001".parse().expect("serial");
    factory.revoke(&serial, Reason::KeyCompromise).expect("revoked");
    assert!(matches!(refused(factory.revoke(&serial, Reason::KeyCompromise)), Refusal::Revoked { .. }));
    let name = "O-1".parse().expect("order");
    assert!(matches!(refused(factory.ship(&name, Some(&[serial]), &house.unlock)), Refusal::Revoked { .. }));
    let shipment = factory.ship(&name, None, &house.unlock).expect("the other one");
    assert_eq!(shipment.manifest.devices.len(), 1);
}

#[test]
fn a_single_device_that_is_in_the_journal_is_made_visible_and_another_file_is_made_again() {
    let house = House::new();
    let mut factory = house.factory();
    let single = |out: &str| SingleOrder {
        serial: None,
        request: None,
        line: None,
        order: None,
        replaces: None,
        out: house.path(out),
        delivery: Delivery::DangerPlain,
    };
    let entry = factory.single(&single("a.tar"), &house.unlock).expect("signed");
    // As after a kill between the record and the new name.
    std::fs::rename(house.path("a.tar"), house.path(".making-a.tar")).expect("rename");
    assert_eq!(factory.single(&single("a.tar"), &house.unlock).expect("the same one"), entry);
    assert_eq!(factory.books().status().devices, 1);
    // As after a kill before the record.
    house.write(".making-b.tar", "half a bundle");
    assert_ne!(factory.single(&single("b.tar"), &house.unlock).expect("another one").device, entry.device);
    assert!(!house.path(".making-b.tar").exists());
}
