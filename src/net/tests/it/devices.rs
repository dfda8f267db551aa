//! The hello that real devices send, and those of constrained ones: which engine serves them, and who is refused although
//! OpenSSL's security level is 0.

use crate::support::{Port, Presenting, WELCOME, credentials, file, kept, new_credentials};
use gatehouse_certs::chain::Question;
use gatehouse_net::Engine;
use openssl::ssl::{SslConnector, SslContextBuilder, SslFiletype, SslMethod, SslStream, SslVerifyMode, SslVersion};
use std::{io::Read, net::TcpStream};

/// A client in OpenSSL with the chain of a good device, and with what the test sets besides.
pub(crate) fn client(port: &Port, set: impl FnOnce(&mut SslContextBuilder)) -> Result<SslStream<TcpStream>, String> {
    client_with("good/p256-long", port, set)
}

pub(crate) fn client_with(chain: &str, port: &Port, set: impl FnOnce(&mut SslContextBuilder)) -> Result<SslStream<TcpStream>, String> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL");
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_security_level(0);
    builder.set_certificate_chain_file(file(chain, "chain.pem")).expect("the chain");
    builder.set_private_key_file(file(chain, "leaf-key.pem"), SslFiletype::PEM).expect("the key");
    set(&mut builder);
    let mut configured = builder.build().configure().expect("OpenSSL");
    // No server name: devices send none.
    configured.set_use_server_name_indication(false);
    configured.set_verify_hostname(false);
    let tcp = TcpStream::connect(port.address).expect("connected");
    configured.connect("", tcp).map_err(|error| error.to_string())
}

/// The welcome, or why there is none.
pub(crate) fn welcomed(stream: Result<SslStream<TcpStream>, String>) -> Result<SslStream<TcpStream>, String> {
    let mut stream = stream?;
    let mut welcome = [0; WELCOME.len()];
    stream.read_exact(&mut welcome).map_err(|error| error.to_string())?;
    if welcome == WELCOME { Ok(stream) } else { Err("something else was said".to_owned()) }
}

fn real_device(builder: &mut SslContextBuilder) {
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).expect("TLS 1.2");
    builder.set_max_proto_version(Some(SslVersion::TLS1_2)).expect("TLS 1.2");
    let suites = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384:\
                  ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
    builder.set_cipher_list(suites).expect("suites");
    builder.set_groups_list("P-256:P-384").expect("groups");
    builder.set_sigalgs_list("ECDSA+SHA512:RSA+SHA512:ECDSA+SHA384:RSA+SHA384:ECDSA+SHA256:RSA+SHA256").expect("signatures");
    builder.set_options(openssl::ssl::SslOptions::NO_TICKET);
}

fn only(builder: &mut SslContextBuilder, suites: &str) {
    builder.set_max_proto_version(Some(SslVersion::TLS1_2)).expect("TLS 1.2");
    builder.set_cipher_list(&format!("{suites}:@SECLEVEL=0")).expect("suites");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_devices_hello_is_served_by_rustls() {
    let mut port = Port::for_devices(None);
    let stream = welcomed(client(&port, real_device)).expect("let in");
    assert_eq!(stream.ssl().current_cipher().map(|cipher| cipher.name()), Some("ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert_eq!(stream.ssl().selected_alpn_protocol(), None);
    let peer = port.came.try_recv().expect("came in");
    assert_eq!((peer.engine(), peer.chain().map(|chain| chain.path().len())), (Some(Engine::Rustls), Some(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_devices_hello_works_with_openssl_alone_too() {
    let mut port = Port::for_devices(Some(Engine::OpenSsl));
    welcomed(client(&port, real_device)).expect("let in");
    assert_eq!(port.came.try_recv().expect("came in").engine(), Some(Engine::OpenSsl));
}

#[tokio::test(flavor = "multi_thread")]
async fn constrained_devices_are_served_by_openssl_with_the_same_chain() {
    let mut port = Port::for_devices(None);
    let suites = ["ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES256-CCM8", "ECDHE-ECDSA-AES256-CCM"];
    for suite in suites {
        let stream = welcomed(client(&port, |builder| only(builder, suite))).expect(suite);
        assert_eq!(stream.ssl().current_cipher().map(|cipher| cipher.name()), Some(suite));
        let peer = port.came.try_recv().expect("came in");
        assert_eq!((peer.engine(), peer.chain().map(|chain| chain.path().len())), (Some(Engine::OpenSsl), Some(4)));
    }
    // TLS 1.3 with the one suite that rustls lacks.
    let stream = welcomed(client(&port, |builder| builder.set_ciphersuites("TLS_AES_128_CCM_SHA256").expect("a suite"))).expect("let in");
    assert_eq!(stream.ssl().version_str(), "TLSv1.3");
    assert_eq!(port.came.try_recv().expect("came in").engine(), Some(Engine::OpenSsl));
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_1024_sha_1_and_cbc_are_refused_although_the_level_is_0() {
    let mut port = Port::for_devices(None);
    for suites in [
        "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384",
        "ECDHE-ECDSA-AES128-SHA",
        "AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ] {
        assert!(welcomed(client(&port, |builder| only(builder, suites))).is_err(), "{suites}");
    }
    let sha_1 = |builder: &mut SslContextBuilder| {
        only(builder, "ECDHE-ECDSA-AES128-CCM8");
        builder.set_sigalgs_list("ECDSA+SHA1").expect("signatures");
    };
    assert!(welcomed(client(&port, sha_1)).is_err());
    let group = |builder: &mut SslContextBuilder| {
        only(builder, "ECDHE-ECDSA-AES128-CCM8");
        builder.set_groups_list("P-521").expect("groups");
    };
    assert!(welcomed(client(&port, group)).is_err());
    let old = |builder: &mut SslContextBuilder| {
        builder.set_min_proto_version(Some(SslVersion::TLS1)).expect("TLS 1.0");
        builder.set_max_proto_version(Some(SslVersion::TLS1_1)).expect("TLS 1.1");
        builder.set_cipher_list("ALL:@SECLEVEL=0").expect("suites");
    };
    assert!(welcomed(client(&port, old)).is_err());
    assert!(port.said.try_recv().is_err(), "none of them came so far as to present a chain");
    let ccm = |builder: &mut SslContextBuilder| only(builder, "ECDHE-ECDSA-AES128-CCM8");
    for chain in ["bad/weak-rsa-leaf", "bad/sha1-leaf"] {
        let port = Port::open(&kept(chain), &Question::CLIENT, None).expect("good anchors");
        assert!(welcomed(client_with(chain, &port, ccm)).is_err(), "{chain}");
        assert!(welcomed(client_with(chain, &port, |_| ())).is_err(), "{chain}");
    }
    // And beside them one that differs in nothing but the size of its key.
    let port = Port::open(&kept("good/rsa2048"), &Question::CLIENT, None).expect("good anchors");
    welcomed(client_with("good/rsa2048", &port, ccm)).expect("let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_handshake_of_either_engine_presents_the_new_certificate() {
    let source = Presenting::new(credentials());
    let port = Port::with(&kept("good/p256-long"), &Question::CLIENT, None, source.clone(), &[WELCOME]).expect("good anchors");
    let presented = |stream: &SslStream<TcpStream>| stream.ssl().peer_certificate().expect("presented").to_der().expect("DER");
    let ccm = |builder: &mut SslContextBuilder| only(builder, "ECDHE-ECDSA-AES128-CCM8");
    let first = [welcomed(client(&port, ccm)).expect("let in"), welcomed(client(&port, |_| ())).expect("let in")];
    let renewed = new_credentials();
    let new = renewed.chain().next().expect("its own").to_vec();
    source.put(renewed);
    let second = [welcomed(client(&port, ccm)).expect("let in"), welcomed(client(&port, |_| ())).expect("let in")];
    assert!(first.iter().all(|stream| presented(stream) != new) && second.iter().all(|stream| presented(stream) == new));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_speak_tls_is_closed() {
    use std::io::Write;
    let mut port = Port::for_devices(None);
    for first in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x08, 0xe1, 1, 2, 3, 4, 5, 6, 7, 8], &[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0], &[0; 64]]
    {
        let mut tcp = TcpStream::connect(port.address).expect("connected");
        tcp.write_all(first).expect("sent");
        // What is left to read is an alert at most.
        let mut rest = Vec::new();
        let _ = tcp.read_to_end(&mut rest);
        assert!(rest.len() <= 7, "{rest:02x?}");
    }
    assert!(port.came.try_recv().is_err());
    welcomed(client(&port, real_device)).expect("the next one is let in");
}
