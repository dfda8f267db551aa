//! The fuzz targets over their seeds and every crash that was ever found, without a fuzzer.

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

#[path = "../../../fuzz/replay.rs"]
mod replay;

use gatehouse_certs::folder;
use replay::replay;

#[test]
fn the_seeds_and_crashes_of_every_fuzz_target_do_no_harm() {
    for (target, body) in
        [("csr", bodies::csr as fn(&[u8])), ("certificate", bodies::certificate), ("crl", bodies::crl), ("chain", bodies::chain)]
    {
        assert!(replay(&folder::home().join("../fuzz"), target, body) >= 5, "{target}");
    }
}
