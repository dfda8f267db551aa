//! A device whose certificate is revoked is shown out: what it has open ends, over TLS and over DTLS, and nobody else's.

use crate::support::{ForeignAuthority, PROGRAM, block_on};
use gatehouse_client::{Client, ConnectError, Expected, Observation, Request, Security, Settings, Trust, Update};
use gatehouse_net::Credentials;
use gatehouse_pki::{Anchors, Certificate};
use gatehouse_testkit::server::{Installation, PATIENCE, Server};
use gatehouse_types::Secret;
use gatehouse_wire::coap::{Code, Uri};
use rcgen::{ExtendedKeyUsagePurpose, RevocationReason};
use std::{fs, sync::Arc, time::Instant};
use tokio::time::timeout;

const DEVICES: &str = "
[listener.tcp]
address = \"127.0.0.1:0\"
role = \"coaps+tcp\"
certificate = \"chain.pem\"
key = \"key.pem\"
client_anchors = \"ca.pem\"
client_crls = [\"revoked.pem\"]
[listener.udp]
address = \"127.0.0.1:0\"
role = \"coaps\"
certificate = \"chain.pem\"
key = \"key.pem\"
client_anchors = \"ca.pem\"
client_crls = [\"revoked.pem\"]
";

/// A certificate with this serial number and its key, as a device presents them.
fn device(authority: &ForeignAuthority, serial: u64) -> Arc<Credentials> {
    let (chain, key) = authority.leaf(serial, ExtendedKeyUsagePurpose::ClientAuth);
    let key = Secret::new(key.into_bytes());
    Arc::new(Credentials::from_pem(chain.as_bytes(), &key).expect("credentials"))
}

fn uri(server: &Server, listener: &str) -> Uri {
    let scheme = if listener == "tcp" { "coaps+tcp" } else { "coaps" };
    format!("{scheme}://127.0.0.1:{}/health", server.address(listener).port()).parse().expect("a URI")
}

async fn connect(server: &Server, listener: &str, ca: &str, device: &Arc<Credentials>) -> Result<Client, ConnectError> {
    let anchor = Certificate::chain_from_pem(ca.as_bytes()).expect("a certificate").remove(0);
    let anchors = Arc::new(Anchors::builder().anchor(anchor).build().expect("an anchor"));
    let trust = Trust::Anchors { anchors, name: Expected::Name("localhost".to_owned()) };
    let security = Security { trust, credentials: Some(Arc::clone(device)) };
    Client::connect(&uri(server, listener), Settings { security, ..Settings::default() }).await
}

async fn is_served(client: &Client, uri: &Uri) -> bool {
    let request = Request::new(Code::GET).options(uri.to_options(uri.port()).build()).timeout(PATIENCE);
    client.request(request).await.is_ok_and(|answer| answer.code == Code::CONTENT)
}

/// Begins to observe, and waits for the first state.
async fn observe(client: &Client, uri: &Uri) -> Observation {
    let mut observation = client.observe(Request::new(Code::GET).options(uri.to_options(uri.port()).build())).expect("begun");
    assert!(matches!(observation.next().await, Ok(Some(Update::State(_)))));
    observation
}

#[test]
fn what_a_revoked_device_has_open_ends_and_what_others_and_its_renewed_certificate_have_does_not() {
    let authority = ForeignAuthority::new("Foreign Root");
    let installation = Installation::new(PROGRAM, DEVICES).expect("installation");
    authority.deploy(installation.folder(), 1);
    let list = installation.folder().join("revoked.pem");
    fs::write(&list, authority.list(1, &[])).expect("written");
    let server = installation.start().expect("the server starts");
    let [renewed, lost, new, other] = [5, 6, 7, 8].map(|serial| device(&authority, serial));
    block_on(async {
        let mut inside = Vec::new();
        for listener in ["tcp", "udp"] {
            let uri = uri(&server, listener);
            let mut all = Vec::new();
            for device in [&renewed, &lost, &other] {
                let client = connect(&server, listener, &authority.pem, device).await.expect("let in");
                let observation = observe(&client, &uri).await;
                all.push((client, observation));
            }
            inside.push((listener, uri, all));
        }
        let list_2 = authority.list(2, &[(5, RevocationReason::Superseded), (6, RevocationReason::KeyCompromise)]);
        fs::write(&list, list_2).expect("written");
        let began = Instant::now();
        server.command(&["reload"]);
        for (listener, uri, all) in &mut inside {
            let [(renewed_client, _), (_, lost_observation), (other_client, _)] = &mut all[..] else { unreachable!("three were let in") };
            let end = timeout(PATIENCE, lost_observation.next()).await.expect("it ends");
            assert!(end.is_err(), "{listener}: {end:?}");
            println!("{listener}: a revoked device was shown out {:?} after the operator said so", began.elapsed());
            // The one whose certificate was replaced goes on with the old one, and so does whom nothing concerns.
            assert!(is_served(renewed_client, uri).await && is_served(other_client, uri).await, "{listener}");
            // Its new certificate brings it in beside itself, and that ends nothing.
            let client = connect(&server, listener, &authority.pem, &new).await.expect("let in");
            assert!(is_served(&client, uri).await && is_served(renewed_client, uri).await, "{listener}");
        }
        for (listener, uri, _) in &inside {
            for device in [&lost, &renewed] {
                // TLS 1.3 tells a client that it is refused after its handshake is done.
                let served = match connect(&server, listener, &authority.pem, device).await {
                    Ok(client) => is_served(&client, uri).await,
                    Err(_) => false,
                };
                assert!(!served, "{listener}: a certificate on the list opens nothing new");
            }
        }
    });
}
