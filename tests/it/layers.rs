//! The dependency rule, read from the manifests: a crate uses only what lies below it, and rooms never meet.

use std::{collections::BTreeMap, fs, path::Path};
use toml::Table;

/// The levels from the bottom up, each with the sentence that a wrong dependency breaks. A crate may use any
/// crate of a lower level, and of its own level only where `may_use_peers` says so.
const LEVELS: &[Level] = &[
    Level { members: &["types"], may_use_peers: false, rule: "types is the bottom and uses no other crate" },
    Level { members: &["pki", "wire", "proto"], may_use_peers: false, rule: "rule crates use only types, and never each other" },
    Level { members: &["base"], may_use_peers: false, rule: "base knows rules and types, not what is built on it" },
    Level {
        members: &["store", "net", "outgoing", "pkcs11", "postgres"],
        may_use_peers: true,
        rule: "engines know no events, doors, cores or rooms",
    },
    Level { members: &["events", "nats"], may_use_peers: true, rule: "events stand on the store and know no doors, cores or rooms" },
    Level {
        members: &["http", "grpc", "coap", "dns"],
        may_use_peers: false,
        rule: "doors know no cores and no rooms, and never each other",
    },
    Level { members: &["mail", "ca", "openid"], may_use_peers: false, rule: "cores use doors and what is below them, not rooms" },
    Level { members: &["accounts"], may_use_peers: false, rule: "accounts use mail, ca and openid, not rooms" },
    Level {
        members: &["devices", "domains", "satellites", "leases", "zones", "factory", "console", "client"],
        may_use_peers: false,
        rule: "rooms never use each other: they meet through a core's trait or a committed event",
    },
    Level { members: &["virtual"], may_use_peers: false, rule: "simulated devices stand beside the rooms that they visit" },
    Level { members: &["gatehouse"], may_use_peers: false, rule: "only the program assembles everything" },
];

/// What only tests and development use; a `[dependencies]` entry on one of these ships test code.
const DEVELOPMENT: &[&str] = &["testkit", "certs", "diskfault"];

struct Level {
    members: &'static [&'static str],
    may_use_peers: bool,
    rule: &'static str,
}

#[test]
fn every_crate_uses_only_what_lies_below_it() {
    let broken = broken_rules(&manifests(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn an_upward_dependency_is_named_with_its_rule() {
    let broken = broken_rules(&invented(&[("store", "ca"), ("ca", "store")]));
    assert_eq!(broken, ["store uses ca: engines know no events, doors, cores or rooms"]);
}

#[test]
fn a_dependency_between_rooms_is_named_with_its_rule() {
    let broken = broken_rules(&invented(&[("devices", "zones"), ("zones", "devices")]));
    assert_eq!(broken.len(), 2);
    assert!(broken[0].contains("rooms never use each other"), "{broken:?}");
}

#[test]
fn shipping_test_code_and_crates_without_a_place_are_named() {
    let broken = broken_rules(&invented(&[("ca", "testkit"), ("attic", "types")]));
    assert_eq!(broken[0], "attic stands on no level: give it a place in this test and in ARCHITECTURE.md");
    assert_eq!(broken[1], "ca uses testkit: test code is a dev-dependency or it ships");
}

fn invented(edges: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    let mut manifests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (user, used) in edges {
        manifests.entry((*user).to_owned()).or_default().push((*used).to_owned());
    }
    manifests
}

fn broken_rules(manifests: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut broken = Vec::new();
    for (user, dependencies) in manifests.iter().filter(|(user, _)| !DEVELOPMENT.contains(&user.as_str())) {
        let Some((height, level)) = level_of(user) else {
            broken.push(format!("{user} stands on no level: give it a place in this test and in ARCHITECTURE.md"));
            continue;
        };
        for used in dependencies {
            if DEVELOPMENT.contains(&used.as_str()) {
                broken.push(format!("{user} uses {used}: test code is a dev-dependency or it ships"));
                continue;
            }
            let allowed = level_of(used).is_some_and(|(below, _)| below < height || (below == height && level.may_use_peers));
            if !allowed {
                broken.push(format!("{user} uses {used}: {}", level.rule));
            }
        }
    }
    broken
}

fn level_of(name: &str) -> Option<(usize, &'static Level)> {
    LEVELS.iter().enumerate().find(|(_, level)| level.members.contains(&name))
}

/// Every workspace crate with the workspace crates that its shipped code depends on.
fn manifests(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut folders = vec![root.to_owned(), root.join("pki"), root.join("certs")];
    folders.extend(fs::read_dir(root.join("src")).expect("src").map(|entry| entry.expect("entry").path()));
    let texts = folders.iter().filter_map(|folder| fs::read_to_string(folder.join("Cargo.toml")).ok());
    texts.map(|text| dependencies_of(&text.parse().expect("manifest"))).collect()
}

fn dependencies_of(manifest: &Table) -> (String, Vec<String>) {
    let short = |name: &str| name.strip_prefix("gatehouse-").unwrap_or(name).to_owned();
    let name = manifest["package"]["name"].as_str().expect("package name");
    let sections = ["dependencies", "build-dependencies"].iter().filter_map(|section| manifest.get(*section)?.as_table());
    let used = sections.flat_map(Table::keys).filter(|used| used.starts_with("gatehouse-")).map(|used| short(used));
    (short(name), used.collect())
}
