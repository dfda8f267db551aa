//! DTLS over real sockets: every kept chain, suites, and clients of other makers.

use crate::support::{Judge, configure, credentials, file, kept, key_of, policy};
use bytes::Bytes;
use gatehouse_base::{Clock, SimulatedClock, SystemRandom};
use gatehouse_certs::{
    chain::{Bundle, Question},
    verdict,
};
use gatehouse_net::{
    ClientOptions, Config, ConnectError, Credentials, DatagramConnection, DatagramGate, DatagramListener, DatagramService, Dtls,
    DtlsConnector, Peer, PresharedKey, Refusal, ServerTrust, Shutdown, UdpConfig,
};
use gatehouse_pki::{Fingerprint, Rule};
use gatehouse_testkit::{process::command, require_tool};
use gatehouse_types::{Secret, UnixTime};
use openssl::{
    pkey::PKey,
    ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslStream, SslVerifyMode, SslVersion},
    x509::X509,
};
use std::{
    io::{self, BufRead, Read, Write},
    net::{SocketAddr, UdpSocket},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

/// A device port for datagrams that runs until it is dropped.
struct DatagramPort {
    address: SocketAddr,
    said: UnboundedReceiver<Result<(), Rule>>,
    came: UnboundedReceiver<Peer>,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl Drop for DatagramPort {
    fn drop(&mut self) {
        self.shutdown.stop();
        self.running.abort();
    }
}

/// Answers CoAP requests with a text, and everything else with itself.
struct Desk(UnboundedSender<Peer>);

impl DatagramService for Desk {
    async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
        let _ = self.0.send(connection.peer.clone());
        while let Some(record) = connection.receive().await {
            if connection.sender().send(coap_answer(&record).unwrap_or(record)).await.is_err() {
                return;
            }
        }
    }
}

/// RFC 7252 §3: an acknowledgement with code 2.05, the request's id and token, and a payload.
fn coap_answer(request: &[u8]) -> Option<Bytes> {
    let [first @ 0x40..=0x48, 1, id_high, id_low, rest @ ..] = request else { return None };
    let token = rest.get(..usize::from(first & 15))?;
    Some([&[0x60 | (first & 15), 0x45, *id_high, *id_low], token, b"\xffwelcome to the gatehouse"].concat().into())
}

impl DatagramPort {
    fn open(bundle: &Bundle, question: &Question) -> Result<Self, Rule> {
        let (sender, said) = unbounded_channel();
        let judge = Arc::new(Judge::new(configure(bundle, question)?, policy(question), sender));
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(UnixTime::from(question.at)));
        let gate = DatagramGate::new(&Config { udp: UdpConfig { sockets: 2, ..UdpConfig::default() }, ..Config::default() });
        let source = crate::support::Presenting::new(credentials());
        let dtls = Dtls::new("datagrams", &gate, source, &[b"coap"], judge, clock, &SystemRandom);
        let listener = DatagramListener::bind("datagrams", ([127, 0, 0, 1], 0).into(), gate, Some(dtls)).expect("bound");
        let address = listener.address();
        let (sender, came) = unbounded_channel();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(listener.run(Arc::new(Desk(sender)), shutdown.clone()));
        Ok(Self { address, said, came, shutdown, running })
    }

    fn for_devices() -> Self {
        Self::open(&kept("good/p256-long"), &Question::CLIENT).expect("good anchors")
    }
}

/// A socket as OpenSSL wants it.
#[derive(Debug)]
struct Udp(UdpSocket);

impl Read for Udp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }
}

impl Write for Udp {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.send(datagram)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const UNPRESENTABLE: &str = "OpenSSL's client cannot";

/// A client in OpenSSL that presents this chain, and what the test sets besides.
fn client(
    port: &DatagramPort,
    presents: Option<(&[Vec<u8>], Vec<u8>)>,
    set: impl FnOnce(&mut SslContextBuilder),
) -> Result<SslStream<Udp>, String> {
    let mut builder = SslContext::builder(SslMethod::dtls_client()).expect("OpenSSL");
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_security_level(0);
    builder.set_options(SslOptions::NO_QUERY_MTU);
    if let Some((chain, key)) = presents {
        for (at, der) in chain.iter().enumerate() {
            let certificate = X509::from_der(der).map_err(|_| format!("{UNPRESENTABLE} read it"))?;
            if certificate.to_der().expect("DER") != *der {
                return Err(format!("{UNPRESENTABLE} present it as it is"));
            }
            let done = if at == 0 { builder.set_certificate(&certificate) } else { builder.add_extra_chain_cert(certificate) };
            done.map_err(|_| format!("{UNPRESENTABLE} present it"))?;
        }
        let key = PKey::private_key_from_pem(&key).expect("a key");
        builder.set_private_key(&key).map_err(|_| format!("{UNPRESENTABLE} use the key"))?;
    }
    set(&mut builder);
    let mut ssl = Ssl::new(&builder.build()).expect("a connection");
    ssl.set_mtu(1200).expect("an MTU");
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("bound");
    socket.connect(port.address).expect("connected");
    // Nothing is lost on the way; it is there for a server that hangs.
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let mut stream = SslStream::new(ssl, Udp(socket)).expect("a stream");
    stream.connect().map_err(|error| format!("handshake: {error}"))?;
    Ok(stream)
}

/// Whether the server has let it in: it returns what is sent.
fn echoed(stream: Result<SslStream<Udp>, String>) -> Result<SslStream<Udp>, String> {
    let mut stream = stream?;
    stream.ssl_write(b"echo").map_err(|error| error.to_string())?;
    let mut buffer = [0; 64];
    match stream.ssl_read(&mut buffer) {
        Ok(4) => Ok(stream),
        Ok(other) => Err(format!("{other} bytes")),
        Err(error) => Err(format!("echo: {error}")),
    }
}

fn device(set: impl FnOnce(&mut SslContextBuilder), port: &DatagramPort) -> Result<SslStream<Udp>, String> {
    let bundle = kept("good/p256-long");
    echoed(client(port, Some((&bundle.presented, key_of("good/p256-long").expect("a key"))), set))
}

fn only(suites: &'static str) -> impl FnOnce(&mut SslContextBuilder) {
    move |builder| builder.set_cipher_list(&format!("{suites}:@SECLEVEL=0")).expect("suites")
}

#[tokio::test(flavor = "multi_thread")]
async fn dtls_says_of_every_chain_what_pki_says() {
    let rows = verdict::read(include_str!("../../../../certs/verdicts.toml")).expect("a well-formed table");
    let (mut wrong, mut unsent, mut accepted) = (Vec::new(), Vec::new(), 0);
    for row in &rows {
        let bundle = kept(&row.chain);
        let Ok(anchors) = configure(&bundle, &row.question) else { continue };
        let expected = anchors.verify(&bundle.presented, &policy(&row.question), UnixTime::from(row.question.at)).map_err(|no| no.rule());
        let expected = expected.map(|_| ());
        let mut port = DatagramPort::open(&bundle, &row.question).expect("good anchors");
        let result = match key_of(&row.chain) {
            Some(key) => echoed(client(&port, Some((&bundle.presented, key)), |_| ())),
            None => Err(format!("{UNPRESENTABLE} use a key that is not kept")),
        };
        if let Err(why) = &result
            && why.starts_with(UNPRESENTABLE)
        {
            unsent.push((&row.chain, why.clone()));
            continue;
        }
        assert_eq!(port.came.try_recv().is_ok(), result.is_ok(), "{}", row.chain);
        accepted += usize::from(result.is_ok());
        let said = port.said.try_recv().ok();
        // What OpenSSL cannot read it refuses before the judge has seen it.
        if result.is_ok() != expected.is_ok() || said.is_some_and(|said| said != expected) {
            wrong.push(format!("{}: {said:?}, not {expected:?}; {:?}", row.chain, result.err()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    println!("{accepted} of {} chains were let in; not presented: {unsent:?}", rows.len());
    assert!(accepted > 20 && unsent.len() < rows.len() / 4, "{accepted}: {unsent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn constrained_devices_come_in_with_ccm_8() {
    let mut port = DatagramPort::for_devices();
    for suite in ["ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
        let stream = device(only(suite), &port).expect(suite);
        assert_eq!(stream.ssl().current_cipher().map(|cipher| cipher.name()), Some(suite));
        assert_eq!(stream.ssl().version_str(), "DTLSv1.2");
        let peer = port.came.try_recv().expect("came in");
        assert_eq!(peer.chain().map(|chain| chain.path().len()), Some(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_brings_no_chain_or_a_rogue_one_is_refused() {
    let mut port = DatagramPort::for_devices();
    assert!(echoed(client(&port, None, |_| ())).is_err());
    let rogue = kept("good/p384-long");
    let refused = echoed(client(&port, Some((&rogue.presented, key_of("good/p384-long").expect("a key"))), |_| ()));
    assert!(refused.expect_err("refused").contains("unknown ca"));
    assert_eq!(port.said.try_recv(), Ok(Err(Rule::UnknownIssuer)));
    assert!(port.came.try_recv().is_err());
    device(|_| (), &port).expect("and beside them a good one");
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_1024_sha_1_cbc_and_dtls_1_0_are_refused_over_datagrams_too() {
    let mut port = DatagramPort::for_devices();
    for suites in ["ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "PSK-AES128-CCM8"] {
        assert!(device(only(suites), &port).is_err(), "{suites}");
    }
    let sha_1 = |builder: &mut SslContextBuilder| {
        only("ECDHE-ECDSA-AES128-CCM8")(builder);
        builder.set_sigalgs_list("ECDSA+SHA1").expect("signatures");
    };
    assert!(device(sha_1, &port).is_err());
    assert!(device(|builder| builder.set_max_proto_version(Some(SslVersion::DTLS1)).expect("DTLS 1.0"), &port).is_err());
    assert!(port.said.try_recv().is_err(), "none of them came so far as to present a chain");
    for chain in ["bad/weak-rsa-leaf", "bad/sha1-leaf"] {
        let bundle = kept(chain);
        let port = DatagramPort::open(&bundle, &Question::CLIENT).expect("good anchors");
        assert!(echoed(client(&port, Some((&bundle.presented, key_of(chain).expect("a key"))), |_| ())).is_err(), "{chain}");
    }
    let bundle = kept("good/rsa2048");
    let port = DatagramPort::open(&bundle, &Question::CLIENT).expect("good anchors");
    echoed(client(&port, Some((&bundle.presented, key_of("good/rsa2048").expect("a key"))), |_| ())).expect("the size of its key is good");
}

/// Runs a client until it has ended, or has said what is wanted; then its input ends.
fn run(program: &str, arguments: &[&str], wanted: &str) -> Option<String> {
    let mut command = command(require_tool(program)?);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    let mut out = child.stdout.take().expect("a pipe");
    while !said.contains(wanted) {
        match out.read(&mut buffer).expect("read") {
            0 => break,
            count => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
    }
    drop(child.stdin.take());
    let rest = child.wait_with_output().expect("ended");
    said.push_str(&String::from_utf8_lossy(&rest.stderr));
    Some(said)
}

fn paths(chain: &str) -> [String; 2] {
    ["chain.pem", "leaf-key.pem"].map(|name| file(chain, name).display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_s_client_comes_in_over_datagrams_and_takes_its_session_up() {
    let mut port = DatagramPort::for_devices();
    let [chain, key] = paths("good/p256-long");
    let folder = tempfile::tempdir().expect("a folder");
    let session = folder.path().join("session").display().to_string();
    let address = port.address.to_string();
    let shared = ["s_client", "-dtls1_2", "-mtu", "1200", "-connect", &address, "-cert", &chain, "-cert_chain", &chain, "-key", &key];
    for (more, wanted) in [(["-sess_out", &session], "New, TLSv1.2"), (["-sess_in", &session], "Reused, TLSv1.2")] {
        let Some(said) = run("openssl", &[&shared[..], &more].concat(), "Verify return code") else { return };
        assert!(said.contains(wanted) && said.contains("DTLSv1.2") && said.contains("Extended master secret: yes"), "{said}");
        assert!(port.came.recv().await.expect("came in").chain().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_libcoap_come_in_and_are_answered() {
    // The OpenSSL build presents its leaf only.
    let mut known = kept("good/p256-long");
    known.intermediates = known.presented.split_off(1);
    let mut port = DatagramPort::open(&known, &Question::CLIENT).expect("good anchors");
    let [chain, key] = paths("good/p256-long");
    let uri = format!("coaps://{}/hello", port.address);
    for program in ["coap-client-openssl", "coap-client-gnutls"] {
        // It is asked to believe any server: ours is signed by itself.
        let Some(said) = run(program, &["-v", "6", "-B", "20", "-c", &chain, "-j", &key, "-n", &uri], "welcome to the gatehouse") else {
            return;
        };
        assert!(said.contains("welcome to the gatehouse"), "{program}: {said}");
        let peer = port.came.recv().await.expect("came in");
        assert!(peer.chain().is_some());
    }
}

fn options<'a>(trust: ServerTrust, credentials: Option<&'a Credentials>) -> ClientOptions<'a> {
    ClientOptions { trust, credentials, shared: None, alpn: &[b"coap"] }
}

fn device_credentials() -> Credentials {
    let [chain, key] = ["chain.pem", "leaf-key.pem"].map(|name| std::fs::read(file("good/p256-long", name)).expect("read"));
    Credentials::from_pem(&chain, &Secret::new(key)).expect("credentials")
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client_comes_in_and_knows_the_server_by_its_fingerprint() {
    let mut port = DatagramPort::for_devices();
    let own = credentials();
    let trust = ServerTrust::fingerprint(Fingerprint::of(own.chain().next().expect("a leaf")));
    let mut client =
        DtlsConnector::new(options(trust, Some(&device_credentials()))).expect("a key").connect(port.address, None).await.expect("let in");
    assert_eq!(client.peer().alpn(), Some(&b"coap"[..]));
    client.send(b"echo").await.expect("sent");
    assert_eq!(client.receive().await.expect("received").as_deref(), Some(&b"echo"[..]));
    assert!(port.came.try_recv().expect("came in").chain().is_some());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_stops_takes_leave_of_its_peers() {
    let port = DatagramPort::for_devices();
    let trust = ServerTrust::fingerprint(Fingerprint::of(credentials().chain().next().expect("a leaf")));
    let connector = DtlsConnector::new(options(trust, Some(&device_credentials()))).expect("a key");
    let mut client = connector.connect(port.address, None).await.expect("let in");
    client.send(b"echo").await.expect("sent");
    assert!(client.receive().await.expect("received").is_some());
    port.shutdown.stop();
    assert_eq!(client.receive().await.expect("received"), None);
    assert!(client.send(b"late").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client_refuses_a_server_that_it_does_not_know_and_says_so() {
    let port = DatagramPort::for_devices();
    let refused = DtlsConnector::new(options(ServerTrust::fingerprint(Fingerprint::of(b"another")), Some(&device_credentials())))
        .expect("a key")
        .connect(port.address, None)
        .await
        .expect_err("refused");
    assert!(matches!(refused, ConnectError::Refused(Refusal::NotPinned)), "{refused}");
    let trust = ServerTrust::fingerprint(Fingerprint::of(credentials().chain().next().expect("a leaf")));
    let nameless = DtlsConnector::new(options(trust, None)).expect("a client").connect(port.address, None).await.expect_err("refused");
    assert!(matches!(nameless, ConnectError::Handshake(_)), "{nameless}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client_hears_that_nobody_listens() {
    let free = UdpSocket::bind(("127.0.0.1", 0)).expect("bound");
    let address = free.local_addr().expect("an address");
    drop(free);
    let trust = ServerTrust::fingerprint(Fingerprint::of(b"any"));
    let lost = DtlsConnector::new(options(trust, None)).expect("a client").connect(address, None).await.expect_err("nobody");
    assert!(matches!(lost, ConnectError::Lost(_)), "{lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client_shares_a_key_with_a_server_of_another_maker() {
    let Some(program) = require_tool("openssl") else { return };
    let mut command = command(program);
    let shared = ["-psk_identity", "device", "-psk", "736563726574", "-nocert", "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"];
    command.args(["s_server", "-dtls1_2", "-accept", "127.0.0.1:0"]).args(shared);
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
    let mut lines = io::BufReader::new(server.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix("ACCEPT ")?.parse::<SocketAddr>().ok()).expect("it says where it listens");
    let shared = PresharedKey::new(b"device", Secret::new(b"secret".to_vec()));
    let options = ClientOptions { trust: ServerTrust::nothing(), credentials: None, shared, alpn: &[] };
    let mut client = DtlsConnector::new(options).expect("a client").connect(address, None).await.expect("let in");
    assert!(client.peer().chain().is_none());
    client.send(b"there\n").await.expect("sent");
    assert!(lines.any(|line| line == "there"));
    server.stdin.as_mut().expect("a pipe").write_all(b"and back\n").expect("written");
    assert_eq!(client.receive().await.expect("received").as_deref(), Some(&b"and back\n"[..]));
    client.close().await;
    server.kill().expect("killed");
    server.wait().expect("ended");
}
