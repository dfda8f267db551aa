//! Servers of libcoap and aiocoap, certificates made by another tool than ours, and requests.

use gatehouse_client::{Client, Request, Settings};
use gatehouse_testkit::{
    process::{Process, accepts, command, poll_until},
    require_python, require_tool,
};
use gatehouse_wire::coap::{Code, Uri};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// How long anything may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// libcoap's server with each of its TLS libraries.
pub(crate) const BUILDS: [&str; 2] = ["coap-server-openssl", "coap-server-gnutls"];

/// What it speaks.
pub(crate) const SCHEMES: [&str; 4] = ["coap", "coap+tcp", "coaps", "coaps+tcp"];

/// A server of another maker on loopback: `coap` and `coap+tcp` on its port, `coaps` and `coaps+tcp` on the next one.
pub(crate) struct Server {
    _process: Process,
    port: u16,
}

impl Server {
    /// Starts libcoap's with these arguments. `None` when it is not installed.
    pub(crate) fn start(build: &str, arguments: &[&str]) -> Option<Self> {
        let program = require_tool(build)?;
        let secure = arguments.iter().any(|argument| matches!(*argument, "-c" | "-k"));
        let start = |port: u16| {
            let mut server = command(&program);
            server.args(["-A", "127.0.0.1", "-p", &port.to_string(), "-d", "10", "-v", "0"]).args(arguments);
            server
        };
        Some(Self::run(start, |process, port| {
            let last = SocketAddr::from(([127, 0, 0, 1], port + u16::from(secure)));
            poll_until(PATIENCE, || (accepts(last) || !process.is_running()).then_some(())).is_some() && process.is_running()
        }))
    }

    /// Starts aiocoap's, which knows no `coaps`. `None` when it is not installed.
    pub(crate) fn start_aiocoap(arguments: &[&str]) -> Option<Self> {
        let python = require_python()?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/aiocoap_server.py");
        let start = |port: u16| {
            let mut server = command(&python);
            server.arg(&program).arg(port.to_string()).args(arguments);
            server
        };
        Some(Self::run(start, |process, _| {
            let mut line = String::new();
            BufReader::new(process.child().stdout.take().expect("a pipe")).read_line(&mut line).is_ok_and(|_| line == "ready\n")
        }))
    }

    /// Starts it on a port that is free, and waits until it is ready; `false` says that it has ended.
    fn run(start: impl Fn(u16) -> Command, ready: impl Fn(&mut Process, u16) -> bool) -> Self {
        for _ in 0..5 {
            let port = free_ports();
            let mut server = start(port);
            server.stdout(Stdio::piped()).stderr(Stdio::null());
            let mut process = Process::start("server", server).expect("started");
            if ready(&mut process, port) {
                return Self { _process: process, port };
            }
        }
        panic!("the server does not get ready");
    }

    pub(crate) fn uri(&self, scheme: &str, path: &str) -> Uri {
        let port = if scheme.starts_with("coaps") { self.port + 1 } else { self.port };
        format!("{scheme}://127.0.0.1:{port}{path}").parse().expect("a URI")
    }
}

/// A port that nothing uses, nor the one after it, over TCP and UDP.
fn free_ports() -> u16 {
    let free = || {
        let first = TcpListener::bind(("127.0.0.1", 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        let next = port.checked_add(1)?;
        let _others = (UdpSocket::bind(("127.0.0.1", port)).ok()?, TcpListener::bind(("127.0.0.1", next)).ok()?);
        UdpSocket::bind(("127.0.0.1", next)).ok().map(|_| port)
    };
    (0..100).find_map(|_| free()).expect("two free ports")
}

/// An authority with the certificates that it has signed, in a folder.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let (folder, key) = (tempfile::tempdir().expect("folder"), KeyPair::generate().expect("key"));
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key).expect("certificate");
        fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("written");
        Self { folder, issuer: Issuer::new(parameters, key) }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate for these hosts, and says where it and its key are.
    pub(crate) fn sign(&self, name: &str, hosts: &[&str], usage: ExtendedKeyUsagePurpose) -> [PathBuf; 2] {
        self.sign_for(name, hosts, vec![usage])
    }

    /// The same with any number of purposes.
    pub(crate) fn sign_for(&self, name: &str, hosts: &[&str], usages: Vec<ExtendedKeyUsagePurpose>) -> [PathBuf; 2] {
        let key = KeyPair::generate().expect("key");
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = usages;
        parameters.use_authority_key_identifier_extension = true;
        parameters.is_ca = IsCa::ExplicitNoCa;
        let certificate = parameters.signed_by(&key, &self.issuer).expect("certificate");
        let paths = ["pem", "key"].map(|kind| self.folder.path().join(format!("{name}.{kind}")));
        fs::write(&paths[0], certificate.pem()).expect("written");
        fs::write(&paths[1], key.serialize_pem()).expect("written");
        paths
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

pub(crate) fn request(code: Code, uri: &Uri) -> Request {
    Request::new(code).options(uri.to_options(uri.port()).build()).timeout(PATIENCE)
}

/// A body that no other is mistaken for.
pub(crate) fn mebibyte() -> Vec<u8> {
    (0..1u32 << 20).map(|at| (at % 251) as u8).collect()
}

pub(crate) async fn connect(uri: &Uri) -> Client {
    Client::connect(uri, Settings::default()).await.expect("connected")
}
