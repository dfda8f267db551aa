//! One CoAP message in a record of its own: seen on the bytes of the records, for both engines.

use crate::support::{Port, Presenting, credentials, file, kept};
use gatehouse_certs::chain::Question;
use gatehouse_net::{Engine, MAX_RECORD};
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream, SslVerifyMode, SslVersion};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

/// A stream that keeps every byte that came.
#[derive(Debug)]
struct Tapped {
    tcp: TcpStream,
    came: Vec<u8>,
}

impl Read for Tapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tcp.read(buffer)?;
        self.came.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Tapped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client of the port that keeps what comes.
fn tapped(port: &Port, version: SslVersion, suite: &str) -> SslStream<Tapped> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL");
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_max_proto_version(Some(version)).expect("a version");
    builder.set_cipher_list(&format!("{suite}:@SECLEVEL=0")).expect("a suite");
    builder.set_certificate_chain_file(file("good/p256-long", "chain.pem")).expect("the chain");
    builder.set_private_key_file(file("good/p256-long", "leaf-key.pem"), SslFiletype::PEM).expect("the key");
    let configured = builder.build().configure().expect("OpenSSL").verify_hostname(false);
    let tapped = Tapped { tcp: TcpStream::connect(port.address).expect("connected"), came: Vec::new() };
    configured.connect("localhost", tapped).expect("let in")
}

/// The lengths of the records of application data.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 23 {
            lengths.push(length);
        }
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "half a record");
    lengths
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_a_record_and_a_long_one_fits_into_a_devices_buffer() {
    let sizes = [10, 7, 1, 1000, 1, MAX_RECORD - 1, 20, MAX_RECORD, 3];
    let messages: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'm'; *size]).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    // What a record has beside its plaintext: explicit nonce and tag, and in TLS 1.3 the type and the tag.
    let (gcm, ccm8, modern) = (8 + 16, 8 + 8, 1 + 16);
    let cases = [
        (Engine::Rustls, SslVersion::TLS1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", gcm),
        (Engine::OpenSsl, SslVersion::TLS1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", gcm),
        (Engine::OpenSsl, SslVersion::TLS1_2, "ECDHE-ECDSA-AES128-CCM8", ccm8),
        (Engine::Rustls, SslVersion::TLS1_3, "ECDHE-ECDSA-AES128-GCM-SHA256", modern),
        (Engine::OpenSsl, SslVersion::TLS1_3, "ECDHE-ECDSA-AES128-GCM-SHA256", modern),
    ];
    for (engine, version, suite, overhead) in cases {
        let source = Presenting::new(credentials());
        let port = Port::with(&kept("good/p256-long"), &Question::CLIENT, Some(engine), source, &messages).expect("good anchors");
        let mut stream = tapped(&port, version, suite);
        let mut all = vec![0; sizes.iter().sum()];
        stream.read_exact(&mut all).expect("the messages");
        let lengths = records(&stream.get_ref().came);
        let expected: Vec<usize> = sizes.iter().map(|size| size + overhead).collect();
        // In TLS 1.3 the handshake's own records come first and look the same.
        let of_messages = &lengths[lengths.len() - sizes.len()..];
        assert_eq!(of_messages, expected, "{engine} {version:?} {suite}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_a_record_shares_none_with_the_next() {
    let long = vec![b'm'; MAX_RECORD + 100];
    for engine in [Engine::Rustls, Engine::OpenSsl] {
        let source = Presenting::new(credentials());
        let port = Port::with(&kept("good/p256-long"), &Question::CLIENT, Some(engine), source, &[&long, b"next"]).expect("good anchors");
        let mut stream = tapped(&port, SslVersion::TLS1_2, "ECDHE-ECDSA-AES128-GCM-SHA256");
        let mut all = vec![0; long.len() + 4];
        stream.read_exact(&mut all).expect("the messages");
        assert_eq!(records(&stream.get_ref().came), [MAX_RECORD + 24, 100 + 24, 4 + 24], "{engine}");
    }
}
