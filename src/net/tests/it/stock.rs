//! Clients of other makers: `openssl s_client` and `gnutls-cli`.

use crate::support::{Port, WELCOME, file};
use gatehouse_net::Engine;
use gatehouse_testkit::{process::command, require_tool};
use std::{io::Read, process::Stdio};

/// Runs a client until the welcome has come, or it has ended. Returns everything that it wrote.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = command(require_tool(program)?);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    let mut out = child.stdout.take().expect("a pipe");
    while !contains(&said, WELCOME) {
        match out.read(&mut buffer).expect("read") {
            0 => break,
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
    // With its input closed it says good-bye and ends.
    drop(child.stdin.take());
    out.read_to_end(&mut said).expect("read");
    let rest = child.wait_with_output().expect("ended");
    said.extend_from_slice(&rest.stderr);
    Some(String::from_utf8_lossy(&said).into_owned())
}

fn contains(said: &[u8], wanted: &[u8]) -> bool {
    said.windows(wanted.len()).any(|window| window == wanted)
}

fn s_client(port: &Port, chain: &str, more: &[&str]) -> Option<String> {
    let (address, key) = (port.address.to_string(), file(chain, "leaf-key.pem"));
    let (certificates, key) = (file(chain, "chain.pem").display().to_string(), key.display().to_string());
    let shared = ["s_client", "-connect", &address, "-cert", &certificates, "-cert_chain", &certificates, "-key", &key];
    run("openssl", &[&shared, more].concat())
}

fn welcome() -> &'static str {
    std::str::from_utf8(WELCOME).expect("ASCII")
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_s_client_comes_in_with_either_version_and_is_answered_its_application_protocol() {
    let mut port = Port::for_devices(None);
    for (arguments, engine) in [
        (&["-tls1_2"][..], Engine::Rustls),
        (&["-tls1_3"], Engine::Rustls),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"], Engine::OpenSsl),
        (&["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], Engine::OpenSsl),
    ] {
        let Some(said) = s_client(&port, "good/p256-long", arguments) else { return };
        assert!(
            said.contains(welcome()) && said.contains("No ALPN negotiated") && said.contains("No client certificate CA names sent"),
            "{said}"
        );
        assert!(!said.contains("New Session Ticket"), "{said}");
        let peer = port.came.try_recv().expect("came in");
        assert_eq!((peer.engine(), peer.alpn()), (Some(engine), None));
        for (offered, answered) in [("coap", Some("coap")), ("h2,coap", Some("coap"))] {
            let said = s_client(&port, "good/p256-long", &[arguments, &["-alpn", offered]].concat()).expect("installed");
            assert!(said.contains(welcome()) && said.contains("ALPN protocol: coap"), "{said}");
            assert_eq!(port.came.try_recv().expect("came in").alpn(), answered.map(str::as_bytes));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_s_client_is_refused_with_a_rogue_chain_or_none() {
    let port = Port::for_devices(None);
    for cipher in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"] {
        let Some(said) = s_client(&port, "good/p384-long", &["-tls1_2", "-cipher", cipher]) else { return };
        assert!(!said.contains(welcome()) && said.contains("alert unknown ca"), "{said}");
        let none = ["s_client", "-connect", &port.address.to_string(), "-tls1_2", "-cipher", cipher];
        let said = run("openssl", &none).expect("installed");
        assert!(!said.contains(welcome()) && said.contains("alert"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_s_client_reconnects_without_a_session_being_resumed() {
    let port = Port::for_devices(None);
    for cipher in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"] {
        let Some(said) = s_client(&port, "good/p256-long", &["-tls1_2", "-cipher", cipher, "-reconnect"]) else { return };
        // Once, and then five times with the session of the first.
        assert!(said.contains(welcome()) && said.matches("New, TLSv1.2").count() == 6 && !said.contains("Reused"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gnutls_cli_comes_in_through_either_engine() {
    let mut port = Port::for_devices(None);
    let number = port.address.port().to_string();
    let (chain, key) =
        (file("good/p256-long", "chain.pem").display().to_string(), file("good/p256-long", "leaf-key.pem").display().to_string());
    for (priority, engine) in [
        ("NORMAL:-VERS-TLS1.3", Engine::Rustls),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.3", Engine::Rustls),
        ("NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+AES-128-CCM-8:+AES-128-CCM", Engine::OpenSsl),
    ] {
        let arguments = [
            "--insecure",
            "--x509certfile",
            &chain,
            "--x509keyfile",
            &key,
            "--priority",
            priority,
            "--alpn",
            "coap",
            "-p",
            &number,
            "127.0.0.1",
        ];
        let Some(said) = run("gnutls-cli", &arguments) else { return };
        assert!(said.contains(welcome()), "{priority}: {said}");
        let peer = port.came.try_recv().expect("came in");
        assert_eq!((peer.engine(), peer.alpn()), (Some(engine), Some(&b"coap"[..])), "{priority}");
    }
}
