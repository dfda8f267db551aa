//! aiocoap: methods, a mebibyte in both directions, and observation.

use crate::house::{House, files};
use gatehouse_coap::Framing;
use gatehouse_testkit::{
    process::{command, run},
    require_python,
};
use std::{path::Path, process::Output, time::Duration};

/// Runs the client. `None` where it cannot run.
fn run_client(scheme: &str, house: &House, chain: Option<&str>) -> Option<Output> {
    let mut client = command(require_python()?);
    client.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/referees/aiocoap_client.py"));
    client.arg(format!("{scheme}://{}", house.address)).args(chain.map(files).iter().flatten());
    Some(run(client).expect("aiocoap's client runs"))
}

/// Has everything asked once.
fn ask_everything(scheme: &str, house: &House, chain: Option<&str>) {
    let Some(output) = run_client(scheme, house, chain) else { return };
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said == "methods\nblocks\nobserved\n", "{said}{complaint}");
}

/// Waits until the observed resource is let go of.
async fn nobody_observes(house: &House) {
    tokio::time::timeout(Duration::from_secs(60), house.forgotten()).await.expect("nobody observes any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn aiocoap_gets_everything_over_tcp() {
    let house = House::clear();
    ask_everything("coap+tcp", &house, None);
    nobody_observes(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aiocoap_gets_everything_over_tls_with_a_certificate() {
    let house = House::tls("good/p256-long", Framing::Standard);
    ask_everything("coaps+tcp", &house, Some("good/p256-long"));
    nobody_observes(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aiocoap_comes_in_with_a_leaf_whose_issuers_are_known_and_not_with_a_strangers_chain_or_none() {
    ask_everything("coaps+tcp", &House::tls("good/root-leaf", Framing::Standard), Some("good/root-leaf"));
    let house = House::tls("good/p256-long", Framing::Standard);
    for chain in [Some("good/p384-long"), Some("good/intermediates-configured"), None] {
        let Some(output) = run_client("coaps+tcp", &house, chain) else { return };
        assert!(!output.status.success() && output.stdout.is_empty(), "{chain:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aiocoap_gets_everything_over_udp_once_it_has_shown_where_it_is() {
    // Whether it still observes is found out later, by a confirmable notification: it resets no other kind.
    ask_everything("coap", &House::datagrams(), None);
}
