//! Runs a fuzz target over its seeds and every crash that was ever found, without a fuzzer.

use std::{fs, path::Path};

/// How many seeds there were. `fuzz` is this folder.
pub(crate) fn replay(fuzz: &Path, target: &str, body: fn(&[u8])) -> usize {
    let files = |kind: &str| -> Vec<_> {
        let folder = fuzz.join(kind).join(target);
        fs::read_dir(&folder).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect()).unwrap_or_default()
    };
    let (seeds, crashes) = (files("seeds"), files("crashes"));
    for path in seeds.iter().chain(&crashes) {
        let data = fs::read(path).expect("a file of the corpus");
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
