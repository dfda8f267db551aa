//! `openssl s_client` and `gnutls-cli`: requests as bytes into stock TLS, and the bytes of the answers.

use crate::{
    hex,
    house::{House, files},
    unhex,
};
use gatehouse_coap::Framing;
use gatehouse_testkit::{
    process::{Process, command},
    require_tool,
};
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

/// RFC 8323 §3.2: `GET /whoami` with a token.
const GET: &str = "710172b677686f616d69";

/// RFC 7252 §3: the same, confirmable.
const GET_IN_A_DATAGRAM: &str = "4101abcd72b677686f616d69";

/// RFC 8323 §3.2: 2.05 with the token, Content-Format 0 and a text.
fn told(text: &str) -> String {
    let length = u8::try_from(2 + text.len() - 13).expect("a short text");
    format!("d1{length:02x}4572c0ff{}", hex(text.as_bytes()))
}

/// RFC 7252 §5.2.1: the same, in the acknowledgement.
fn told_in_a_datagram(text: &str) -> String {
    format!("6145abcd72c0ff{}", hex(text.as_bytes()))
}

/// Lets a client say something, and reads what it is answered until the answer ends so, or the client has ended.
fn answer(mut client: Command, said: &str, end: &str) -> String {
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = Process::start("client", client).expect("the client starts");
    let child = client.child();
    let (mut input, mut output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    // One that was refused may be gone by now.
    let _ = input.write_all(&unhex(said)).and_then(|()| input.flush());
    let (mut arrived, mut buffer) = (String::new(), [0; 4096]);
    while !arrived.ends_with(end) {
        match output.read(&mut buffer).expect("read") {
            0 => break,
            count => arrived.push_str(&hex(&buffer[..count])),
        }
    }
    arrived
}

fn s_client(house: &House, chain: Option<&str>, more: &[&str]) -> Option<Command> {
    let mut client = command(require_tool("openssl")?);
    client.args(["s_client", "-quiet", "-nocommands", "-connect", &house.address.to_string()]).args(more);
    if let Some([chain, key]) = chain.map(files) {
        client.arg("-cert").arg(&chain).arg("-cert_chain").arg(&chain).arg("-key").arg(&key);
    }
    Some(client)
}

fn gnutls_cli(house: &House, chain: Option<&str>, more: &[&str]) -> Option<Command> {
    let mut client = command(require_tool("gnutls-cli")?);
    client.args(["--insecure", "--logfile=/dev/null", "-p", &house.address.port().to_string(), "127.0.0.1"]).args(more);
    if let Some([chain, key]) = chain.map(files) {
        client.arg("--x509certfile").arg(&chain).arg("--x509keyfile").arg(&key);
    }
    Some(client)
}

/// The clients with each version of TLS, and the engine that serves it.
fn clients(house: &House, chain: Option<&str>, alpn: Option<&str>) -> Option<Vec<(Command, &'static str)>> {
    let mut clients = Vec::new();
    let alpn: Vec<_> = alpn.iter().flat_map(|name| ["-alpn", name]).collect();
    for (more, engine) in [
        (&["-tls1_2"][..], "Rustls"),
        (&["-tls1_3"], "Rustls"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"], "OpenSsl"),
    ] {
        clients.push((s_client(house, chain, &[more, &alpn].concat())?, engine));
    }
    let alpn: Vec<_> = alpn.iter().map(|word| word.replace("-alpn", "--alpn")).collect();
    for (priority, engine) in [
        ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "Rustls"),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "Rustls"),
        ("NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+AES-128-CCM-8", "OpenSsl"),
    ] {
        let more = [&["--priority", priority][..], &alpn.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        clients.push((gnutls_cli(house, chain, &more)?, engine));
    }
    Some(clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_tls_brings_requests_in_and_answers_out_unchanged_with_alpn_and_without() {
    let house = House::tls("good/p256-long", Framing::Devices);
    for alpn in [Some("coap"), None] {
        let Some(clients) = clients(&house, Some("good/p256-long"), alpn) else { return };
        for (client, engine) in clients {
            let expected = told(&format!("Some({engine}) {} 4", alpn.unwrap_or("none")));
            let named = format!("{client:?}");
            let arrived = answer(client, GET, &expected);
            // Before it there is only the door's first message, with a token of eight bytes.
            assert!(
                arrived.starts_with("08e1") && arrived.len() == 20 + expected.len() && arrived.ends_with(&expected),
                "{named}: {arrived}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_tls_with_a_strangers_chain_or_without_one_is_told_nothing() {
    let house = House::tls("good/p256-long", Framing::Devices);
    for chain in [Some("good/p384-long"), None] {
        let Some(clients) = clients(&house, chain, None) else { return };
        for (client, _) in clients {
            let named = format!("{client:?}");
            assert_eq!(answer(client, GET, "nothing"), "", "{named}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_dtls_brings_requests_in_and_answers_out_unchanged_with_alpn_and_without() {
    let house = House::dtls("good/p256-long");
    let [none, coap] = ["none", "coap"].map(|alpn| told_in_a_datagram(&format!("Some(OpenSsl) {alpn} 4")));
    for (alpn, expected) in [(&[][..], &none), (&["-alpn", "coap"], &coap), (&["-alpn", "h2"], &none)] {
        let Some(client) = s_client(&house, Some("good/p256-long"), &[&["-dtls1_2"], alpn].concat()) else { return };
        assert_eq!(answer(client, GET_IN_A_DATAGRAM, expected), *expected);
    }
    for (alpn, expected) in [(&[][..], &none), (&["--alpn", "coap"], &coap)] {
        let more = [&["--udp", "--priority", "NORMAL"], alpn].concat();
        let Some(client) = gnutls_cli(&house, Some("good/p256-long"), &more) else { return };
        assert_eq!(answer(client, GET_IN_A_DATAGRAM, expected), *expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_dtls_with_a_strangers_chain_or_without_one_is_told_nothing() {
    let house = House::dtls("good/p256-long");
    for chain in [Some("good/p384-long"), None] {
        let Some(client) = s_client(&house, chain, &["-dtls1_2"]) else { return };
        assert_eq!(answer(client, GET_IN_A_DATAGRAM, "nothing"), "", "{chain:?}");
        let Some(client) = gnutls_cli(&house, chain, &["--udp"]) else { return };
        assert_eq!(answer(client, GET_IN_A_DATAGRAM, "nothing"), "", "{chain:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_clients_come_in_with_a_leaf_whose_issuers_are_known() {
    for (chain, length) in [("good/root-leaf", 2), ("good/intermediates-configured", 4)] {
        let house = House::tls(chain, Framing::Devices);
        let Some(clients) = clients(&house, Some(chain), None) else { return };
        for (client, engine) in clients {
            let (expected, named) = (told(&format!("Some({engine}) none {length}")), format!("{client:?}"));
            assert!(answer(client, GET, &expected).ends_with(&expected), "{named}");
        }
        let house = House::dtls(chain);
        let expected = told_in_a_datagram(&format!("Some(OpenSsl) none {length}"));
        for client in [s_client(&house, Some(chain), &["-dtls1_2"]), gnutls_cli(&house, Some(chain), &["--udp"])] {
            let Some(client) = client else { return };
            assert_eq!(answer(client, GET_IN_A_DATAGRAM, &expected), expected, "{chain}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_leaf_is_refused_although_the_level_is_0_and_one_with_a_longer_key_is_not() {
    for (chain, let_in) in [("bad/weak-rsa-leaf", false), ("bad/sha1-leaf", false), ("good/rsa2048", true)] {
        let (house, datagrams) = (House::tls(chain, Framing::Devices), House::dtls(chain));
        for (house, said, more) in [
            (&house, GET, &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"][..]),
            (&house, GET, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"]),
            (&house, GET, &["-tls1_3", "-cipher", "ALL:@SECLEVEL=0"]),
            (&datagrams, GET_IN_A_DATAGRAM, &["-dtls1_2", "-cipher", "ALL:@SECLEVEL=0"]),
        ] {
            let Some(client) = s_client(house, Some(chain), more) else { return };
            let (named, end) = (format!("{client:?}"), hex(b" none "));
            let arrived = answer(client, said, if let_in { "33" } else { "nothing" });
            assert_eq!(arrived.contains(&end), let_in, "{named}: {arrived}");
        }
    }
}
