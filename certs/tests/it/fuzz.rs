//! The fuzz targets over their seeds and every crash that was ever found, without a fuzzer.

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

use gatehouse_certs::folder;
use std::{fs, path::Path};

/// How many files there were.
fn replay(target: &str, body: fn(&[u8])) -> usize {
    let files = |kind: &str| -> Vec<_> {
        let folder = folder::home().join("../fuzz").join(kind).join(target);
        fs::read_dir(&folder).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect()).unwrap_or_default()
    };
    let (seeds, crashes) = (files("seeds"), files("crashes"));
    for path in seeds.iter().chain(&crashes) {
        let data = read(path);
        body(&data);
        // What a fuzzer tries first: less of it, and other bits.
        for at in (0..data.len()).step_by(1 + data.len() / 64) {
            body(&data[..at]);
            let mut flipped = data.clone();
            flipped[at] ^= 1 << (at % 8);
            body(&flipped);
        }
    }
    seeds.len()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("a file of the corpus")
}

#[test]
fn the_seeds_and_crashes_of_every_fuzz_target_do_no_harm() {
    for (target, body) in
        [("csr", bodies::csr as fn(&[u8])), ("certificate", bodies::certificate), ("crl", bodies::crl), ("chain", bodies::chain)]
    {
        assert!(replay(target, body) >= 5, "{target}");
    }
}
