//! aiocoap: methods, a mebibyte in both directions, and observation.

use crate::house::{House, files};
use gatehouse_coap::Framing;
use gatehouse_testkit::{
    process::{command, run},
    require_python,
};
use std::{path::Path, time::Duration};

/// Has everything asked once.
fn ask_everything(scheme: &str, house: &House, chain: Option<&str>) {
    let Some(python) = require_python() else { return };
    let mut client = command(python);
    client.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/referees/aiocoap_client.py"));
    client.arg(format!("{scheme}://{}", house.address)).args(chain.map(files).iter().flatten());
    let output = run(client).expect("aiocoap's client runs");
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
async fn aiocoap_gets_everything_over_udp_once_it_has_shown_where_it_is() {
    // Whether it still observes is found out later, by a confirmable notification: it resets no other kind.
    ask_everything("coap", &House::datagrams(), None);
}
