//! What several scenarios need: certificates made by another tool than ours, and clients.

use gatehouse_testkit::server::{Installation, PATIENCE, Server};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{fs, net::SocketAddr, path::Path, process::Output, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gatehouse");

/// Listeners for plain HTTP and for metrics, the usual start of a configuration.
pub(crate) const PLAIN: &str = "
[listener.public]
address = \"127.0.0.1:0\"
role = \"http\"
[listener.metrics]
address = \"127.0.0.1:0\"
role = \"metrics\"
";

/// Limits of `[http]` that a test in a hurry does not reach.
pub(crate) const UNHURRIED: &str = "network_rate = 1000000
network_burst = 1000000
credential_rate = 1000000
credential_burst = 1000000
requests_per_network = 100000
requests = 100000
";

pub(crate) fn start(configuration: &str) -> Server {
    Installation::new(PROGRAM, configuration).expect("installation").start().expect("the server starts")
}

/// Runs curl against an address; its standard output is the head and body of the answer.
pub(crate) fn curl(arguments: &[&str]) -> Option<Output> {
    let mut command = gatehouse_testkit::process::command(gatehouse_testkit::require_tool("curl")?);
    command.args(["--silent", "--show-error", "--max-time", "30"]).args(arguments);
    Some(gatehouse_testkit::process::run(command).expect("curl runs"))
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An authority of another maker, for server and client certificates.
pub(crate) struct ForeignAuthority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl ForeignAuthority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key).expect("certificate");
        Self { pem: certificate.pem(), issuer: Issuer::new(parameters, key) }
    }

    /// A leaf for `localhost` with this serial number: its certificate and its key.
    pub(crate) fn leaf(&self, serial: u64, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        self.leaf_of(serial, usage, "localhost", vec!["localhost".to_owned()])
    }

    /// A leaf for a client of this name.
    pub(crate) fn client(&self, serial: u64, name: &str) -> (String, String) {
        self.leaf_of(serial, ExtendedKeyUsagePurpose::ClientAuth, name, Vec::new())
    }

    fn leaf_of(&self, serial: u64, usage: ExtendedKeyUsagePurpose, name: &str, hosts: Vec<String>) -> (String, String) {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(hosts).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.serial_number = Some(SerialNumber::from(serial));
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![usage];
        parameters.use_authority_key_identifier_extension = true;
        // Without this rcgen leaves the subject key identifier out, which RFC 5280 only asks of CAs.
        parameters.is_ca = IsCa::ExplicitNoCa;
        let certificate = parameters.signed_by(&key, &self.issuer).expect("certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A revocation list with these serial numbers, in PEM.
    pub(crate) fn list(&self, number: u64, revoked: &[(u64, RevocationReason)]) -> String {
        let revoked = revoked.iter().map(|(serial, reason)| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: Some(*reason),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }

    /// Puts a new server certificate where the configuration below names it, as an ACME client does: each file at once.
    pub(crate) fn deploy(&self, folder: &Path, serial: u64) {
        let (chain, key) = self.leaf(serial, ExtendedKeyUsagePurpose::ServerAuth);
        for (name, content) in [("key.pem", &key), ("chain.pem", &chain)] {
            let new = folder.join(format!("{name}.new"));
            fs::write(&new, content).expect("written");
            fs::rename(&new, folder.join(name)).expect("renamed");
        }
        fs::write(folder.join("ca.pem"), &self.pem).expect("written");
    }
}

/// An HTTPS listener with the files that [`ForeignAuthority::deploy`] writes.
pub(crate) const HTTPS: &str = "
[listener.api]
address = \"127.0.0.1:0\"
role = \"https\"
certificate = \"chain.pem\"
key = \"key.pem\"
";

/// A server with an HTTPS listener, and whoever signed its certificate.
pub(crate) fn start_https(configuration: &str) -> (Server, ForeignAuthority) {
    let authority = ForeignAuthority::new("Foreign Root");
    let installation = Installation::new(PROGRAM, configuration).expect("installation");
    authority.deploy(installation.folder(), 1);
    (installation.start().expect("the server starts"), authority)
}

/// A TLS client that trusts this authority.
pub(crate) fn connector(authority: &ForeignAuthority, alpn: &[u8]) -> TlsConnector {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("pem")).expect("root");
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let mut config = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

pub(crate) async fn connect_tls(connector: &TlsConnector, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").expect("name"), tcp).await
}

/// An answer to a request on a kept connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) closes: bool,
}

/// Sends one request on a kept HTTP/1.1 connection and reads the whole answer.
pub(crate) async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> std::io::Result<Answer> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).await?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Answer { status, closes: head.contains("\r\nconnection: close") })
}

/// Runs a scenario with many connections on a runtime of its own; a machine that does much else gets ten times the patience of a test. One thread: a client's
/// connection and its requests must not race each other, or a request that hyper's client itself gave up while the
/// connection ended (seen once in 80,000) counts as the server's loss.
pub(crate) fn block_on<T>(scenario: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 10, scenario).await.expect("the scenario ends in time") })
}
