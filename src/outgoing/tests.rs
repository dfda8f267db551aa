//! Requests over real sockets, to servers that behave and servers that do not.

use crate::{Config, Outgoing, OutgoingError, Purpose, Resolve, Resolved, Target};
use gatehouse_base::config::Size;
use hyper::Response;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    collections::VecDeque,
    io::Write,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const TEST: Purpose = Purpose("test");
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Answers what it was given, one after the other, the last one for ever.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().map(|text| text.parse().expect("address")).collect()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _name: &'a str) -> Resolved<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("lock");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { Ok(answer.unwrap_or_default()) })
    }
}

fn config() -> Config {
    Config { allow: vec!["127.0.0.0/8".parse().expect("network")], danger_unencrypted: true, ..Config::default() }
}

fn outgoing(config: Config, answers: &[&[&str]]) -> (Outgoing, Arc<Scripted>) {
    let resolver = Scripted::new(answers);
    (Outgoing::with_resolver(config, resolver.clone()).expect("a client"), resolver)
}

async fn get(outgoing: &Outgoing, url: &str) -> Result<Response<Vec<u8>>, OutgoingError> {
    outgoing.get(TEST, &Target::parse(url).expect("a URL")).await
}

/// A server that reads a request and then says these bytes, and how many have come. It holds connections open until they are closed.
async fn server(address: &str, says: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.expect("bound");
    let (address, visits) = (listener.local_addr().expect("address"), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&visits);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, says));
        }
    });
    (address, visits)
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, says: &'static [u8]) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return String::new() };
        head.push(byte);
    }
    let _ = stream.write_all(says).await;
    let _ = stream.flush().await;
    let _ = stream.read_u8().await;
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn a_server_is_asked_by_the_name_and_path_that_were_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("address").port();
    let served = tokio::spawn(async move { serve(listener.accept().await.expect("accepted").0, HELLO).await });
    let (outgoing, _) = outgoing(config(), &[&["127.0.0.1"]]);
    let answer = get(&outgoing, &format!("http://login.example.com:{port}/a?b=c")).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, b"hello".as_slice()));
    let head = served.await.expect("served").to_lowercase();
    assert!(head.starts_with("get /a?b=c http/1.1\r\n") && head.contains(&format!("host: login.example.com:{port}\r\n")), "{head}");
    assert!(head.contains("connection: close") && !head.contains("cookie") && !head.contains("referer"), "{head}");
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_address_that_was_judged_is_the_one_that_is_reached() {
    let (good, good_visits) = server("127.0.0.2:0", HELLO).await;
    let (_, trapped) = server(&format!("127.0.0.1:{}", good.port()), HELLO).await;
    let only = Config { allow: vec!["127.0.0.2".parse().expect("network")], ..config() };
    let (outgoing, resolver) = outgoing(only, &[&["127.0.0.2"], &["127.0.0.1"]]);
    let url = format!("http://rebinding.example.com:{}/", good.port());
    assert!(get(&outgoing, &url).await.is_ok());
    assert_eq!((resolver.asked.load(Ordering::SeqCst), good_visits.load(Ordering::SeqCst)), (1, 1));
    let refused = get(&outgoing, &url).await.expect_err("the name leads to another address now");
    assert_eq!((refused.reason(), trapped.load(Ordering::SeqCst)), ("loopback", 0));
}

#[tokio::test]
async fn a_name_that_leads_to_one_forbidden_address_leads_nowhere() {
    let (address, visits) = server("127.0.0.2:0", HELLO).await;
    let only = Config { allow: vec!["127.0.0.2".parse().expect("network")], ..config() };
    for answer in [["127.0.0.2", "10.0.0.1"], ["10.0.0.1", "127.0.0.2"], ["127.0.0.2", "::ffff:169.254.169.254"], ["127.0.0.2", "::1"]] {
        let (outgoing, _) = outgoing(only.clone(), &[&answer]);
        let refused = get(&outgoing, &format!("http://two.example.com:{}/", address.port())).await.expect_err("refused");
        assert!(matches!(refused, OutgoingError::Forbidden { .. }), "{answer:?}: {refused}");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    let (outgoing, _) = outgoing(only, &[&[]]);
    assert_eq!(get(&outgoing, "https://nowhere.example.com/").await.expect_err("no address").reason(), "name");
}

#[tokio::test]
async fn addresses_in_urls_are_judged_like_those_of_names() {
    let (address, visits) = server("127.0.0.1:0", HELLO).await;
    let (outgoing, resolver) = outgoing(Config { allow: Vec::new(), ..config() }, &[&["127.0.0.1"]]);
    let port = address.port();
    for host in ["127.0.0.1", "[::1]", "169.254.169.254", "[64:ff9b::7f00:1]", "0.0.0.0"] {
        for scheme in ["http", "https"] {
            let refused = get(&outgoing, &format!("{scheme}://{host}:{port}/")).await.expect_err("refused");
            assert!(matches!(refused, OutgoingError::Forbidden { .. }), "{host}: {refused}");
        }
    }
    assert_eq!((visits.load(Ordering::SeqCst), resolver.asked.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn http_in_the_clear_goes_only_where_the_operator_says_and_only_when_the_danger_is_named() {
    let (address, visits) = server("127.0.0.1:0", HELLO).await;
    let url = format!("http://plain.example.com:{}/", address.port());
    let (quiet, _) = outgoing(Config { danger_unencrypted: false, ..config() }, &[&["127.0.0.1"]]);
    assert_eq!(get(&quiet, &url).await.expect_err("not named").reason(), "unencrypted");
    let (public, _) = outgoing(config(), &[&["127.0.0.1", "192.0.1.1"]]);
    assert_eq!(get(&public, &url).await.expect_err("a public address").reason(), "unencrypted");
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    let (named, _) = outgoing(config(), &[&["127.0.0.1"]]);
    assert!(get(&named, &url).await.is_ok());
}

#[tokio::test]
async fn no_redirection_is_followed() {
    let (trap, trapped) = server("127.0.0.1:0", HELLO).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "304 Not Modified"] {
        let says = format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n", trap.port()).leak();
        let (address, _) = server("127.0.0.1:0", says.as_bytes()).await;
        let (outgoing, _) = outgoing(config(), &[&["127.0.0.1"]]);
        let refused = get(&outgoing, &format!("http://a.example.com:{}/", address.port())).await.expect_err("refused");
        assert_eq!(refused.reason(), "redirection", "{status}");
    }
    assert_eq!(trapped.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn whoever_dawdles_is_left_and_the_connection_closed() {
    for says in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nh", b"HTTP/1.1 100 Continue\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("address").port();
        // Ends when the client closes.
        let served = tokio::spawn(async move { serve(listener.accept().await.expect("accepted").0, says).await });
        let (outgoing, _) = outgoing(Config { timeout: Duration::from_millis(200), ..config() }, &[&["127.0.0.1"]]);
        let refused = get(&outgoing, &format!("http://slow.example.com:{port}/")).await.expect_err("refused");
        assert_eq!(refused.reason(), "timeout", "{says:?}");
        served.await.expect("the connection was closed");
    }
}

#[tokio::test]
async fn answers_have_a_size() {
    let small = Config { body_size: Size::kib(64), ..config() };
    let body = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", "a".repeat(length)).leak().as_bytes();
    let chunks =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", format!("8000\r\n{}\r\n", "a".repeat(0x8000)).repeat(3));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(70_000));
    let cases: [(&'static [u8], Option<&str>); 8] = [
        (body(64 * 1024), None),
        (body(64 * 1024 + 1), Some("too-large")),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", Some("too-large")),
        (chunks.leak().as_bytes(), Some("too-large")),
        (endless.leak().as_bytes(), Some("too-large")),
        (format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(40_000)).leak().as_bytes(), Some("broken")),
        (format!("HTTP/1.1 200 OK\r\n{}", "x: a\r\n".repeat(200)).leak().as_bytes(), Some("broken")),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Some("broken")),
    ];
    for (at, (says, reason)) in cases.into_iter().enumerate() {
        let (address, _) = server("127.0.0.1:0", says).await;
        let (outgoing, _) = outgoing(small.clone(), &[&["127.0.0.1"]]);
        let answer = get(&outgoing, &format!("http://a.example.com:{}/", address.port())).await;
        assert_eq!(answer.err().map(|error| error.reason()), reason, "case {at}");
    }
}

#[tokio::test]
async fn only_so_many_requests_are_under_way() {
    let (address, _) = server("127.0.0.1:0", b"").await;
    let (outgoing, _) = outgoing(Config { at_once: 2, ..config() }, &[&["127.0.0.1"]]);
    let url = format!("http://a.example.com:{}/", address.port());
    let ask = || {
        let (outgoing, url) = (outgoing.clone(), url.clone());
        tokio::spawn(async move { get(&outgoing, &url).await })
    };
    let held = [ask(), ask()];
    while outgoing.free_places() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&outgoing, &url).await.expect_err("refused").reason(), "busy");
    held.iter().for_each(|held| held.abort());
    while outgoing.free_places() < 2 {
        tokio::task::yield_now().await;
    }
}

/// A TLS server for these names, and the file of its authority.
async fn tls_server(names: &[&str]) -> (SocketAddr, tempfile::NamedTempFile) {
    let (authority_key, key) = (KeyPair::generate().expect("key"), KeyPair::generate().expect("key"));
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).expect("certificate");
    let issuer = Issuer::new(parameters, authority_key);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).expect("parameters").signed_by(&key, &issuer).expect("certificate");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(authority.pem().as_bytes()).expect("written");
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("certificate")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)): std::io::Result<(TcpStream, _)> = listener.accept().await else { return };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, HELLO).await;
                }
            });
        }
    });
    (address, file)
}

#[tokio::test]
async fn a_server_is_believed_for_its_own_name_and_by_an_authority_that_is_known() {
    let (address, authority) = tls_server(&["login.example.com", "127.0.0.1"]).await;
    let believing = Config { anchors: Some(authority.path().to_owned()), ..config() };
    let (known, _) = outgoing(believing, &[&["127.0.0.1"]]);
    for host in ["login.example.com", "127.0.0.1"] {
        let answer = get(&known, &format!("https://{host}:{}/", address.port())).await.expect("an answer");
        assert_eq!(answer.body(), b"hello");
    }
    let other = get(&known, &format!("https://other.example.com:{}/", address.port())).await.expect_err("another name");
    assert_eq!(other.reason(), "tls");
    let (stranger, _) = outgoing(config(), &[&["127.0.0.1"]]);
    let unknown = get(&stranger, &format!("https://login.example.com:{}/", address.port())).await.expect_err("an unknown authority");
    assert_eq!(unknown.reason(), "tls");
}

#[test]
fn a_file_of_authorities_that_is_none_is_noticed_before_anything_is_asked() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"nothing").expect("written");
    assert!(Outgoing::new(Config { anchors: Some(file.path().to_owned()), ..config() }).is_err());
    assert!(Outgoing::new(Config { anchors: Some("/nonexistent".into()), ..config() }).is_err());
}

#[tokio::test]
async fn the_systems_resolver_finds_this_machine() {
    let outgoing = Outgoing::new(Config { allow: Vec::new(), ..config() }).expect("a client");
    let refused = get(&outgoing, "https://localhost:1/").await.expect_err("refused");
    assert_eq!(refused.reason(), "loopback");
}
