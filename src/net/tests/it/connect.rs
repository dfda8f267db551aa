//! Our own client of device services against our own port and a stock server.

use crate::support::{Port, WELCOME, credentials, file, kept, key_of};
use gatehouse_base::SimulatedClock;
use gatehouse_certs::chain::Question;
use gatehouse_net::{ClientOptions, ConnectError, Connector, Credentials, Engine, PresharedKey, Refusal, ServerTrust};
use gatehouse_pki::{Anchors, Certificate, Fingerprint, Rule};
use gatehouse_testkit::{
    process::{Process, command, free_port, poll_until},
    require_tool,
};
use gatehouse_types::{Secret, UnixTime};
use std::{fs, net::SocketAddr, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn device() -> Credentials {
    let chain = fs::read(file("good/p256-long", "chain.pem")).expect("kept");
    Credentials::from_pem(&chain, &Secret::new(key_of("good/p256-long").expect("kept"))).expect("credentials")
}

fn pin() -> ServerTrust {
    ServerTrust::fingerprint(Fingerprint::of(credentials().chain().next().expect("its own")))
}

fn anchored(chain: &str) -> ServerTrust {
    let anchor = Certificate::from_der(&kept(chain).anchors[0]).expect("a certificate");
    let anchors = Anchors::builder().anchor(anchor).build().expect("anchors");
    ServerTrust::anchors(Arc::new(anchors), Arc::new(SimulatedClock::new(UnixTime::from(Question::CLIENT.at))))
}

fn options(trust: ServerTrust, credentials: Option<&Credentials>) -> ClientOptions<'_> {
    ClientOptions { trust, credentials, shared: None, alpn: &[b"coap"] }
}

#[tokio::test]
async fn the_client_comes_in_with_its_chain_and_believes_the_pinned_server() {
    let mut port = Port::for_devices(None);
    let device = device();
    let connector = Connector::new(options(pin(), Some(&device))).expect("usable");
    let (mut stream, server) = connector.connect(TcpStream::connect(port.address).await.expect("connected"), None).await.expect("let in");
    let mut welcome = [0; WELCOME.len()];
    stream.read_exact(&mut welcome).await.expect("welcome");
    assert_eq!((server.engine(), server.alpn()), (Some(Engine::OpenSsl), Some(&b"coap"[..])));
    let seen = port.came.recv().await.expect("came in");
    assert_eq!(seen.alpn(), Some(&b"coap"[..]));
    assert_eq!(seen.chain().expect("presented").leaf().der(), device.chain().next().expect("its own"));
}

#[tokio::test]
async fn a_server_that_is_not_believed_is_refused_and_the_reason_is_told() {
    let port = Port::for_devices(None);
    let device = device();
    for (trust, expected) in
        [(ServerTrust::fingerprint(Fingerprint::of(b"another")), Refusal::NotPinned), (ServerTrust::nothing(), Refusal::NotTrusted)]
    {
        let connector = Connector::new(options(trust, Some(&device))).expect("usable");
        let refused = connector.connect(TcpStream::connect(port.address).await.expect("connected"), None).await.expect_err("refused");
        assert!(matches!(refused, ConnectError::Refused(refusal) if refusal == expected));
    }
    let connector = Connector::new(options(anchored("good/server"), Some(&device))).expect("usable");
    let refused = connector.connect(TcpStream::connect(port.address).await.expect("connected"), None).await.expect_err("refused");
    assert!(matches!(refused, ConnectError::Refused(Refusal::Chain(_))), "{refused}");
}

#[tokio::test]
async fn a_client_without_a_certificate_does_not_come_in() {
    let mut port = Port::for_devices(None);
    let connector = Connector::new(options(pin(), None)).expect("usable");
    let tcp = TcpStream::connect(port.address).await.expect("connected");
    // In TLS 1.3 the client is done before the server has judged it.
    if let Ok((mut stream, _)) = connector.connect(tcp, None).await {
        assert!(stream.read_u8().await.is_err());
    }
    assert!(port.came.try_recv().is_err());
}

/// `openssl s_server` with these arguments; it sends what it is told, and ends with the test.
fn s_server(arguments: &[&str]) -> Option<(Process, SocketAddr)> {
    let program = require_tool("openssl")?;
    for _ in 0..5 {
        let port = free_port().expect("a port");
        let mut command = command(&program);
        command.args(["s_server", "-accept", &port.to_string(), "-quiet"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Process::start("s_server", command).expect("started");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listens = || std::net::TcpStream::connect(address).ok();
        if poll_until(Duration::from_secs(10), || if server.is_running() { listens().map(|_| true) } else { Some(false) }) == Some(true) {
            return Some((server, address));
        }
    }
    panic!("no port was free five times")
}

#[tokio::test]
async fn a_stock_server_is_believed_by_its_chain_for_servers_only() {
    let name = |chain: &str, name: &str| file(chain, name).display().to_string();
    for (chain, verdict) in [("good/server", None), ("good/p256-long", Some(Rule::ExtendedKeyUsage))] {
        let (certificates, key) = (name(chain, "chain.pem"), name(chain, "leaf-key.pem"));
        let Some((_server, address)) = s_server(&["-cert", &certificates, "-cert_chain", &certificates, "-key", &key]) else { return };
        let connector = Connector::new(options(anchored(chain), None)).expect("usable");
        let connected = connector.connect(TcpStream::connect(address).await.expect("connected"), Some("localhost")).await;
        match (connected, verdict) {
            (Ok((_, server)), None) => assert!(server.chain().is_some()),
            (Err(ConnectError::Refused(Refusal::Chain(refused))), Some(rule)) => assert_eq!(refused.rule(), rule),
            (other, _) => panic!("{chain}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stock_server_that_knows_the_root_alone_is_presented_the_whole_chain() {
    let name = |chain: &str, name: &str| file(chain, name).display().to_string();
    let (own, key, anchors) =
        (name("good/server", "chain.pem"), name("good/server", "leaf-key.pem"), name("good/p256-long", "anchors.pem"));
    let at = UnixTime::from(Question::CLIENT.at).secs().to_string();
    let whole = device();
    assert!(whole.chain().count() > 1, "with intermediates");
    let chain = fs::read(file("good/p256-long", "chain.pem")).expect("kept");
    let leaf = Certificate::chain_from_pem(&chain).expect("a chain").remove(0).pem();
    let leaf = Credentials::from_pem(leaf.as_bytes(), &Secret::new(key_of("good/p256-long").expect("kept"))).expect("credentials");
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments =
            ["-cert", &own, "-key", &key, "-Verify", "5", "-verify_return_error", "-CAfile", &anchors, "-attime", &at, "-rev", version];
        let Some((_server, address)) = s_server(&arguments) else { return };
        for (credentials, is_let_in) in [(&whole, true), (&leaf, false)] {
            let connector = Connector::new(options(ServerTrust::danger_anything(), Some(credentials))).expect("usable");
            let answer = async {
                // In TLS 1.3 the client is done before the server has judged it.
                let (mut stream, _) = connector.connect(TcpStream::connect(address).await.ok()?, None).await.ok()?;
                stream.write_all(b"abc\n").await.ok()?;
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).await.ok()?;
                Some(answer)
            };
            assert_eq!(answer.await, is_let_in.then_some(*b"cba\n"), "{version}");
        }
    }
}

#[tokio::test]
async fn a_shared_key_connects_and_a_wrong_one_does_not() {
    let arguments = ["-nocert", "-psk", "73656372657421", "-psk_identity", "device", "-tls1_2", "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"];
    let Some((_server, address)) = s_server(&arguments) else { return };
    for (secret, connects) in [(b"secret!", true), (b"guessed", false)] {
        let shared = PresharedKey::new(b"device", Secret::new(secret.to_vec()));
        assert!(shared.is_some());
        let options = ClientOptions { trust: ServerTrust::nothing(), credentials: None, shared, alpn: &[] };
        let connector = Connector::new(options).expect("usable");
        let connected = connector.connect(TcpStream::connect(address).await.expect("connected"), None).await;
        assert_eq!(connected.is_ok(), connects);
    }
}

#[test]
fn a_shared_key_has_its_limits() {
    let key = |identity: &[u8], length: usize| PresharedKey::new(identity, Secret::new(vec![7; length]));
    assert!(key(&[b'i'; 128], 64).is_some());
    for (identity, length) in [(&[b'i'; 129][..], 16), (b"a\0b", 16), (b"device", 0), (b"device", 65)] {
        assert!(key(identity, length).is_none());
    }
}
