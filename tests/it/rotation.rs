//! Certificates change under a running server, and no connection notices.

use crate::support::{ForeignAuthority, HTTPS, UNHURRIED, block_on, connect_tls, connector, exchange, start_https};
use gatehouse_testkit::{
    process::poll_until,
    server::{PATIENCE, Server},
};
use rustls::pki_types::CertificateDer;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio_rustls::TlsConnector;

const ROTATIONS: u64 = 20;
const CONNECTIONS: usize = 50;

#[test]
fn twenty_new_certificates_drop_no_connection() {
    let (server, authority) = start_https(&format!("[http]\n{UNHURRIED}{HTTPS}"));
    let address = server.address("api");
    let connector = connector(&authority, b"http/1.1");
    let requests = block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicUsize::new(0));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut stream = connect_tls(&connector, address).await.expect("connected");
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = exchange(&mut stream, "/health").await.expect("the old connection still works");
                    assert!(answer.status == 200 && !answer.closes);
                    requests.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for serial in 2..2 + ROTATIONS {
            rotate(&server, &authority, serial);
            let before = requests.load(Ordering::Relaxed);
            let presented = presented(&connector, address).await;
            assert_eq!(serial_of(&presented), serial, "a new handshake presents the new certificate");
            // Every connection goes on: the old ones answer requests that were sent after the change.
            while requests.load(Ordering::Relaxed) < before + CONNECTIONS {
                tokio::task::yield_now().await;
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(clients.join_all().await.len(), CONNECTIONS);
        requests.load(Ordering::Relaxed)
    });
    println!("{ROTATIONS} rotations under {CONNECTIONS} connections that made {requests} requests: none dropped");
}

#[test]
fn a_certificate_that_does_not_fit_its_key_is_refused_and_the_old_one_stays() {
    let (server, authority) = start_https(HTTPS);
    let folder = server.installation().folder();
    let (other_chain, _) = authority.leaf(99, rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    fs::write(folder.join("chain.pem"), other_chain).expect("written");
    let reload = server.installation().run(&["reload"]).expect("runs");
    assert_eq!(reload.status.code(), Some(4));
    let message = String::from_utf8_lossy(&reload.stderr).into_owned();
    assert!(message.contains("the key does not belong to the first certificate"), "{message}");
    let connector = connector(&authority, b"http/1.1");
    let presented = block_on(presented(&connector, server.address("api")));
    assert_eq!(serial_of(&presented), 1);
}

#[test]
fn a_hang_up_signal_and_a_changed_file_have_the_same_effect_as_the_command() {
    let (mut server, authority) = start_https(HTTPS);
    let connector = connector(&authority, b"http/1.1");
    let folder = server.installation().folder().to_owned();
    authority.deploy(&folder, 7);
    server.process().signal(rustix::process::Signal::HUP).expect("signalled");
    server.logged("reloaded");
    assert_eq!(serial_of(&block_on(presented(&connector, server.address("api")))), 7);
    authority.deploy(&folder, 8);
    let serial = || serial_of(&block_on(presented(&connector, server.address("api"))));
    assert!(poll_until(PATIENCE, || (serial() == 8).then_some(())).is_some(), "{}", server.log());
    server.logged("files changed, new handshakes use them");
}

fn rotate(server: &Server, authority: &ForeignAuthority, serial: u64) {
    authority.deploy(server.installation().folder(), serial);
    assert_eq!(server.command(&["reload"]), "reloaded\n");
}

async fn presented(connector: &TlsConnector, address: std::net::SocketAddr) -> CertificateDer<'static> {
    let stream = connect_tls(connector, address).await.expect("connected");
    stream.get_ref().1.peer_certificates().expect("presented")[0].clone().into_owned()
}

fn serial_of(certificate: &CertificateDer<'_>) -> u64 {
    let certificate = gatehouse_pki::Certificate::from_der(certificate).expect("certificate");
    certificate.serial().as_bytes().iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
