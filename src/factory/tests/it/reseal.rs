//! Another key for the factory's private keys.

use crate::support::House;
use gatehouse_base::SystemRandom;
use gatehouse_ca::{
    StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_factory::{Delivery, Entry, Factory, FactoryError, Resealed, SingleOrder};
use std::{fs, path::PathBuf};

fn another() -> Unlock {
    Unlock::Key(Key::generate(&SystemRandom))
}

fn sign(house: &House, factory: &mut Factory, out: &str, unlock: &Unlock) -> Result<Entry, FactoryError> {
    let delivery = Delivery::DangerPlain;
    let order = SingleOrder { serial: None, request: None, line: None, order: None, replaces: None, out: house.path(out), delivery };
    factory.single(&order, unlock)
}

fn reseal(factory: &mut Factory, old: &Unlock, new: &Unlock) -> Result<Resealed, FactoryError> {
    factory.reseal(old, new, StretchCost::DEFAULT)
}

fn names(paths: &[PathBuf]) -> Vec<&str> {
    paths.iter().map(|path| path.file_name().and_then(|name| name.to_str()).expect("a name")).collect()
}

#[test]
fn after_resealing_only_the_new_key_opens_and_what_was_away_follows_later() {
    let (house, new) = (House::new(), another());
    let mut factory = house.factory();
    let (place, safe) = (house.path("factory/keys/device-root.key"), house.path("safe.key"));
    fs::rename(&place, &safe).expect("taken away");
    let first = reseal(&mut factory, &house.unlock, &new).expect("resealed");
    assert_eq!(names(&first.resealed), ["service-root.key", "records.key", "service-spare.key", "line-line-1.key"]);
    assert_eq!((names(&first.away), names(&first.before)), (vec!["device-root.key"], vec![]));
    assert!(matches!(sign(&house, &mut factory, "a.tar", &house.unlock), Err(FactoryError::Custody(_))));
    sign(&house, &mut factory, "a.tar", &new).expect("the new key opens");

    fs::rename(&safe, &place).expect("brought back");
    let second = reseal(&mut factory, &house.unlock, &new).expect("resealed");
    assert_eq!((names(&second.resealed), second.before.len()), (vec!["device-root.key"], 4));
}

#[test]
fn a_key_that_opens_with_neither_changes_nothing() {
    let house = House::new();
    let mut factory = house.factory();
    let keys = |folder: &str| {
        let files = fs::read_dir(house.path(folder)).expect("folder").map(|entry| entry.expect("entry").path());
        let mut files: Vec<_> = files.map(|path| (fs::read(&path).expect("file"), path)).collect();
        files.sort();
        files
    };
    let before = (keys("factory/keys"), keys("factory/offline"));
    assert!(matches!(reseal(&mut factory, &another(), &another()), Err(FactoryError::Custody(_))));
    assert_eq!((keys("factory/keys"), keys("factory/offline")), before);
    // Exchanged files are keys of other certificates.
    let (line, records) = (house.path("factory/keys/line-line-1.key"), house.path("factory/keys/records.key"));
    fs::copy(&records, &line).expect("copied");
    let before = (keys("factory/keys"), keys("factory/offline"));
    assert!(matches!(reseal(&mut factory, &house.unlock, &another()), Err(FactoryError::Custody(_))));
    assert_eq!((keys("factory/keys"), keys("factory/offline")), before);
}
