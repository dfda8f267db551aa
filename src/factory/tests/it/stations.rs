//! Stations: disjoint allotments, offline batches, and journals that come home.

use crate::support::{House, SETTINGS};
use gatehouse_ca::StretchCost;
use gatehouse_factory::{
    AllotmentError, BatchOrder, Delivery, Duplicate, Factory, FactoryError, Refusal, SerialRange, Share, What, awaits_allotment,
};
use gatehouse_types::UnixTime;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn until() -> UnixTime {
    "2027-06-01T00:00:00Z".parse().expect("time")
}

fn station(house: &House, factory: &Factory, name: &str) -> PathBuf {
    let folder = house.path(name);
    let root = factory.books().device_root().expect("root");
    Factory::init_station(&folder, &name.parse().expect("station"), &root, &house.unlock, StretchCost::DEFAULT, &house.around())
        .expect("station");
    folder
}

fn allot(house: &House, factory: &mut Factory, name: &str, share: Share) -> Vec<u8> {
    let request = house.path(name).join("station.csr");
    factory.allot(&name.parse().expect("station"), share, until(), Some(&request), &house.unlock).expect("allotment").1
}

fn make(house: &House, folder: &Path, what: What, out: &str) -> Result<u64, FactoryError> {
    let mut station = Factory::open(folder, house.around())?;
    let order = BatchOrder { what, line: None, order: None, out: house.path(out), delivery: Delivery::DangerPlain };
    station.batch(&order, &house.unlock, &mut |_| {}).map(|report| report.made)
}

#[test]
fn a_station_makes_its_serials_offline_and_no_others() {
    let house = House::new();
    let mut factory = house.factory();
    let folder = station(&house, &factory, "east");
    assert!(awaits_allotment(&folder));
    assert!(matches!(Factory::open(&folder, house.around()), Err(FactoryError::NoFactory { .. })));
    let allotment = allot(&house, &mut factory, "east", Share::Count(10));
    let taken = Factory::accept(&folder, &allotment, &house.unlock, house.around()).expect("accepted");
    assert_eq!(taken.range.to_string(), "GH-000001 to GH-000010");
    assert!(!awaits_allotment(&folder));
    assert_eq!(make(&house, &folder, What::Count(7), "a").expect("batch"), 7);
    let outside = house.write("outside.csv", "serial\nGH-000011\nMX-1\n");
    let error = make(&house, &folder, What::Csv(outside), "b").expect_err("outside").to_string();
    assert!(error.contains(":2: serial GH-000011 is in none of this station's allotments"), "{error}");
    assert!(matches!(
        make(&house, &folder, What::Count(4), "c"),
        Err(FactoryError::Refused(Refusal::AllotmentsUsedUp { wanted: 4, left: 3 }))
    ));
    assert_eq!(make(&house, &folder, What::Count(3), "d").expect("batch"), 3);
    // The factory counts on behind what it gave away.
    let order = BatchOrder { what: What::Count(1), line: None, order: None, out: house.path("own"), delivery: Delivery::DangerPlain };
    factory.batch(&order, &house.unlock, &mut |_| {}).expect("batch");
    assert!(factory.books().entry(&"GH-000011".parse().expect("serial")).is_some());
}

#[test]
fn a_chain_from_a_station_leads_to_the_factorys_root() {
    let house = House::new();
    let mut factory = house.factory();
    let folder = station(&house, &factory, "east");
    let allotment = allot(&house, &mut factory, "east", Share::Count(1));
    Factory::accept(&folder, &allotment, &house.unlock, house.around()).expect("accepted");
    make(&house, &folder, What::Count(1), "a").expect("batch");
    let bundle = crate::support::bundles(&house.path("a")).remove(0);
    house.write("leaf.pem", bundle.chain[0].pem());
    house.write("line.pem", bundle.chain[1].pem());
    house.openssl("verify -x509_strict -purpose sslclient -CAfile factory/certificates/device-root.pem -untrusted line.pem leaf.pem");
}

#[test]
fn altered_repeated_and_foreign_allotments_are_refused() {
    let house = House::new();
    let mut factory = house.factory();
    let (east, west) = (station(&house, &factory, "east"), station(&house, &factory, "west"));
    let first = allot(&house, &mut factory, "east", Share::Count(10));
    let second = allot(&house, &mut factory, "east", Share::Count(10));
    let accept = |folder: &Path, message: &[u8]| Factory::accept(folder, message, &house.unlock, house.around());
    let refused = |result: Result<_, FactoryError>| match result {
        Err(FactoryError::Allotment(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(accept(&west, &first)), AllotmentError::Other { .. }));
    for at in (0..first.len()).step_by(7) {
        let mut altered = first.clone();
        altered[at] ^= 1;
        assert!(accept(&east, &altered).is_err(), "byte {at}");
    }
    accept(&east, &second).expect("one may overtake the other");
    accept(&east, &first).expect("the first");
    for repeated in [&first, &second] {
        assert!(matches!(refused(accept(&east, repeated)), AllotmentError::Repeated { .. }));
    }
    let mut foreign = house.factory_with("foreign", SETTINGS);
    let theirs = foreign.allot(&"west".parse().expect("station"), Share::Count(5), until(), Some(&west.join("station.csr")), &house.unlock);
    assert!(matches!(refused(accept(&west, &theirs.expect("allotment").1)), AllotmentError::Signed(_)));
}

#[test]
fn allotments_are_disjoint() {
    let house = House::new();
    let mut factory = house.factory();
    station(&house, &factory, "east");
    station(&house, &factory, "west");
    let range = |first: &str, last: &str| {
        Share::Range(SerialRange::new(&first.parse().expect("serial"), &last.parse().expect("serial")).expect("range"))
    };
    allot(&house, &mut factory, "east", range("MX-10", "MX-20"));
    let mut west = |share| {
        let request = house.path("west").join("station.csr");
        factory.allot(&"west".parse().expect("station"), share, until(), Some(&request), &house.unlock).map(|_| ())
    };
    assert!(matches!(west(range("MX-20", "MX-30")), Err(FactoryError::Refused(Refusal::Overlap { .. }))));
    assert!(matches!(west(range("GH-000500", "GH-000600")), Err(FactoryError::Refused(Refusal::Overlap { .. }))));
    west(range("MX-21", "MX-30")).expect("free");
}

#[test]
fn a_journal_is_merged_once_and_continued() {
    let house = House::new();
    let mut factory = house.factory();
    let folder = station(&house, &factory, "east");
    let allotment = allot(&house, &mut factory, "east", Share::Count(10));
    Factory::accept(&folder, &allotment, &house.unlock, house.around()).expect("accepted");
    let journal = folder.join("journal");
    make(&house, &folder, What::Count(4), "a").expect("batch");
    assert_eq!(factory.merge(&journal, false).expect("merged").taken, 4);
    assert_eq!(factory.merge(&journal, false).expect("merged").taken, 0);
    make(&house, &folder, What::Count(6), "b").expect("batch");
    assert_eq!(factory.merge(&journal, false).expect("merged").taken, 6);
    let status = factory.books().status();
    assert_eq!((status.devices, status.stations[0].merged), (10, 10));
    // Another history with the same station's name is noticed.
    fs::write(
        house.path("short"),
        fs::read(&journal).expect("file").split_inclusive(|b| *b == b'\n').take(3).flatten().copied().collect::<Vec<_>>(),
    )
    .expect("write");
    assert!(matches!(factory.merge(&house.path("short"), false), Err(FactoryError::OtherHistory { .. })));
}

#[test]
fn every_serial_that_is_used_twice_is_told() {
    let house = House::new();
    let mut factory = house.factory();
    let folder = station(&house, &factory, "east");
    let allotment = allot(&house, &mut factory, "east", Share::Count(5));
    // The station's folder was copied, and both copies went to work: each serial and no key is used twice.
    Factory::accept(&folder, &allotment, &house.unlock, house.around()).expect("accepted");
    let copy = house.path("copy");
    let run = std::process::Command::new("cp").arg("-a").arg(&folder).arg(&copy).status().expect("cp runs");
    assert!(run.success());
    make(&house, &folder, What::Count(5), "a").expect("batch");
    make(&house, &copy, What::Count(3), "b").expect("batch");
    factory.merge(&folder.join("journal"), false).expect("merged");
    let told = match factory.merge(&copy.join("journal"), true) {
        Err(FactoryError::Duplicates(told)) => told,
        other => panic!("{other:?}"),
    };
    let mut serials: Vec<_> = told.iter().map(|duplicate| duplicate.brought().to_string()).collect();
    serials.sort();
    assert_eq!(serials, ["GH-000001", "GH-000002", "GH-000003"]);
    assert!(told.iter().all(|duplicate| matches!(duplicate, Duplicate::Serial { .. })));
    assert_eq!(factory.books().status().devices, 5);
}

#[test]
fn keys_and_serials_used_twice_between_stations_are_told_and_can_be_left_out() {
    let house = House::new();
    let mut factory = house.factory();
    let (east, west) = (station(&house, &factory, "east"), station(&house, &factory, "west"));
    for (name, folder) in [("east", &east), ("west", &west)] {
        let allotment = allot(&house, &mut factory, name, Share::Count(3));
        Factory::accept(folder, &allotment, &house.unlock, house.around()).expect("accepted");
    }
    // One device's request was carried to both stations.
    let request = house.request("one.csr");
    for (folder, serial) in [("e", "GH-000002"), ("w", "GH-000005")] {
        fs::create_dir(house.path(folder)).expect("folder");
        fs::copy(&request, house.path(&format!("{folder}/{serial}.csr"))).expect("copy");
    }
    make(&house, &east, What::Requests(house.path("e")), "a").expect("batch");
    make(&house, &west, What::Requests(house.path("w")), "b").expect("batch");
    make(&house, &west, What::Count(2), "c").expect("batch");
    factory.merge(&east.join("journal"), false).expect("merged");
    let told = match factory.merge(&west.join("journal"), false) {
        Err(FactoryError::Duplicates(told)) => told,
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(&told[..], [Duplicate::Key { known, brought, .. }] if known.as_str() == "GH-000002" && brought.as_str() == "GH-000005")
    );
    assert_eq!(factory.books().status().devices, 1);
    let report = factory.merge(&west.join("journal"), true).expect("the rest");
    assert_eq!((report.taken, report.left_out.len()), (2, 1));
}
