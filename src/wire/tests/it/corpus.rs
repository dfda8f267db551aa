//! The fuzz targets of the wire formats over their seeds and every crash that was ever found, without a fuzzer.

#[path = "../../../../fuzz/replay.rs"]
mod replay;
#[path = "../../../../fuzz/wire.rs"]
mod wire;

use replay::replay;
use std::path::Path;

#[test]
fn the_seeds_and_crashes_of_every_fuzz_target_do_no_harm() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (target, body) in [
        ("coap_udp", wire::coap_udp as fn(&[u8])),
        ("coap_tcp", wire::coap_tcp),
        ("coap_endpoint", wire::coap_endpoint),
        ("coap_uri", wire::coap_uri),
        ("link_format", wire::link_format),
        ("client_hello", wire::client_hello),
        ("proxy", wire::proxy),
        ("cbor", wire::cbor),
        ("webauthn", wire::webauthn),
    ] {
        assert!(replay(&fuzz, target, body) >= 5, "{target}");
    }
}
