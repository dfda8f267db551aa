//! The load: the same request again and again on kept TLS connections, and each answer looked at.

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Who asks for tokens.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Client {
    fn basic(&self) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{}:{}", self.id, self.secret)))
    }
}

/// A request, and what its answer has in it.
pub(crate) struct Asked<'a> {
    pub(crate) path: &'a str,
    pub(crate) media_type: &'a str,
    pub(crate) client: Option<&'a Client>,
    pub(crate) body: &'a str,
    pub(crate) expected: &'static str,
}

/// A server to be asked.
pub(crate) struct Load {
    connector: TlsConnector,
    address: SocketAddr,
    runtime: Runtime,
}

impl Load {
    pub(crate) fn new(address: SocketAddr, anchor: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(anchor.as_bytes()).expect("pem")).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots).with_no_client_auth();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { connector: TlsConnector::from(Arc::new(config)), address, runtime }
    }

    /// One request; head and body of its answer.
    pub(crate) fn once(&self, path: &str, fields: &str, media_type: &str, body: &str) -> String {
        self.runtime.block_on(async {
            let mut stream = connect(&self.connector, self.address).await;
            exchange(&mut stream, &request(path, fields, media_type, body)).await
        })
    }

    /// Asks on so many connections for so long; how many answers came, each with what is expected in it.
    pub(crate) fn ask(&self, connections: usize, asked: &Asked<'_>, time: Duration) -> u64 {
        let text = request(asked.path, &asked.client.map(Client::basic).unwrap_or_default(), asked.media_type, asked.body);
        let expected = asked.expected;
        self.runtime.block_on(async {
            let mut asking = tokio::task::JoinSet::new();
            for _ in 0..connections {
                let (text, connector, address) = (text.clone(), self.connector.clone(), self.address);
                asking.spawn(async move {
                    let mut stream = connect(&connector, address).await;
                    let (until, mut answers) = (Instant::now() + time, 0);
                    while Instant::now() < until {
                        let answer = exchange(&mut stream, &text).await;
                        assert!(answer.contains(expected), "{answer}");
                        answers += 1;
                    }
                    answers
                });
            }
            asking.join_all().await.into_iter().sum()
        })
    }
}

fn request(path: &str, fields: &str, media_type: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{fields}content-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.expect("connected");
    tcp.set_nodelay(true).expect("a socket");
    connector.connect(ServerName::try_from("localhost").expect("a name"), tcp).await.expect("secured")
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    let mut answer = Vec::new();
    let head = loop {
        assert!(stream.read_buf(&mut answer).await.expect("answered") > 0, "the server hung up");
        if let Some(end) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while answer.len() < head + length {
        assert!(stream.read_buf(&mut answer).await.expect("answered") > 0, "the server hung up");
    }
    String::from_utf8_lossy(&answer).into_owned()
}
