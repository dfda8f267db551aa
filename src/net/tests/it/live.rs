//! Live connections end when their chain is no longer good, and for no other reason.

use crate::{
    devices::{client_with, welcomed},
    support::{Port, configure, kept},
};
use gatehouse_certs::chain::{Bundle, Question};
use gatehouse_net::Engine;
use openssl::ssl::SslStream;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

type Client = SslStream<TcpStream>;

/// A port of each kind, each with one client inside.
fn ports(chain: &str, bundle: &Bundle) -> Vec<(Port, Client)> {
    let device = |engine| Port::open(bundle, &Question::CLIENT, Some(engine)).expect("good anchors");
    let all = [device(Engine::Rustls), device(Engine::OpenSsl), Port::https(bundle, &Question::CLIENT)];
    let inside = |port: Port| {
        let client = welcomed(client_with(chain, &port, |_| ())).expect("let in");
        (port, client)
    };
    all.into_iter().map(inside).collect()
}

fn lives(client: &mut Client) -> bool {
    let mut answer = [0; 5];
    client.write_all(b"alive").is_ok() && client.read_exact(&mut answer).is_ok() && answer == *b"alive"
}

/// Waits for the end; nothing else can come.
fn ends(client: &mut Client) -> bool {
    matches!(client.read(&mut [0]), Ok(0) | Err(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_the_connection_of_whom_it_names_and_no_other() {
    let mut revoked = kept("bad/revoked-leaf");
    let lists = std::mem::take(&mut revoked.lists);
    let other = kept("good/p384-long");
    let mut both = revoked.clone();
    both.anchors.extend(other.anchors.clone());
    for (port, mut named) in ports("bad/revoked-leaf", &both) {
        let mut unnamed = welcomed(client_with("good/p384-long", &port, |_| ())).expect("let in");
        assert!(lives(&mut named) && lives(&mut unnamed));
        let with_lists = Bundle { lists: lists.clone(), ..both.clone() };
        port.judge.believe(configure(&with_lists, &Question::CLIENT).expect("good anchors"));
        assert!(ends(&mut named));
        assert!(lives(&mut unnamed));
        assert!(welcomed(client_with("bad/revoked-leaf", &port, |_| ())).is_err(), "nor does it come in again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_when_its_chain_expires() {
    for (mut port, mut client) in ports("good/p256-long", &kept("good/p256-long")) {
        assert!(lives(&mut client));
        let until = port.came.recv().await.expect("came in").chain().expect("presented").valid_until();
        port.clock.set(until);
        assert!(lives(&mut client), "its last second is good");
        port.clock.set(until + std::time::Duration::from_secs(1));
        assert!(ends(&mut client));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_anchor_is_ended_and_a_change_that_concerns_nobody_ends_nothing() {
    let own = kept("good/p256-long");
    let stranger = kept("good/p384-long");
    for (port, mut client) in ports("good/p256-long", &own) {
        let mut both = own.clone();
        both.anchors.extend(stranger.anchors.clone());
        port.judge.believe(configure(&both, &Question::CLIENT).expect("good anchors"));
        let mut other = welcomed(client_with("good/p384-long", &port, |_| ())).expect("let in");
        // The first change was seen before the second: it has ended nobody.
        port.judge.believe(configure(&own, &Question::CLIENT).expect("good anchors"));
        assert!(ends(&mut other));
        assert!(lives(&mut client));
    }
}
