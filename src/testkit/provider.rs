//! An OpenID provider over TLS on this machine: it publishes what a test tells it to, signs, and remembers what it was asked.
//!
//! It is known as `login.example.com`, which the test's resolver leads to loopback; its authority is in a file. It checks nothing, so
//! that tests can have it do what no provider should.

use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair as CertificateKey};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Status, fields and body.
type Answer = (u16, Vec<(&'static str, String)>, String);

/// What it answers for a path, and what it was asked.
#[derive(Debug, Default)]
struct Said {
    answers: BTreeMap<String, Answer>,
    asked: Vec<Asked>,
}

/// One request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Where.
    pub path: String,
    /// The field of this name.
    pub authorization: Option<String>,
    /// What came along.
    pub body: String,
}

/// The provider.
#[derive(Debug)]
pub struct Provider {
    port: u16,
    said: Arc<Mutex<Said>>,
    anchors: tempfile::NamedTempFile,
    /// What it signs with.
    pub key: SigningKey,
}

/// A P-256 key under a name.
#[derive(Debug)]
pub struct SigningKey {
    /// Its name.
    pub kid: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A key of this name.
    pub fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        Self { kid: kid.to_owned(), pair }
    }

    /// Its public half, as a point.
    pub fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Its public half as a JWK.
    pub fn jwk(&self) -> Value {
        let point = self.public();
        let (x, y) = point[1..].split_at(32);
        let [x, y] = [x, y].map(|number| BASE64URL_NOPAD.encode(number));
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig", "alg": "ES256" })
    }

    /// A token of this type with these claims.
    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        self.sign_with(&json!({ "typ": typ, "alg": "ES256", "kid": self.kid }), claims)
    }

    /// Signs with ES256 whatever the header says.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed");
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

impl Provider {
    /// A provider that publishes itself and one key.
    pub async fn start() -> Self {
        let (acceptor, anchors) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("address").port();
        let said: Arc<Mutex<Said>> = Arc::default();
        let answering = Arc::clone(&said);
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (acceptor, said) = (acceptor.clone(), Arc::clone(&answering));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(Arc::clone(&said), request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let provider = Self { port, said, anchors, key: SigningKey::new("k1") };
        provider.publish(|_| {});
        provider.publish_keys(&[&provider.key]);
        provider
    }

    /// An address at it.
    pub fn url(&self, path: &str) -> String {
        format!("https://login.example.com:{}{path}", self.port)
    }

    /// Its name.
    pub fn issuer(&self) -> String {
        self.url("")
    }

    /// The file with its authority.
    pub fn anchors(&self) -> PathBuf {
        self.anchors.path().to_owned()
    }

    /// Publishes a document about itself, with something changed.
    pub fn publish(&self, change: impl FnOnce(&mut Value)) {
        let mut document = json!({
            "issuer": self.issuer(),
            "authorization_endpoint": self.url("/authorize"),
            "token_endpoint": self.url("/token"),
            "jwks_uri": self.url("/keys"),
        });
        change(&mut document);
        self.answer("/.well-known/openid-configuration", 200, &document);
    }

    /// Publishes these keys and no others.
    pub fn publish_keys(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.answer("/keys", 200, &json!({ "keys": keys }));
    }

    /// Answers a path with this from now on.
    pub fn answer(&self, path: &str, status: u16, body: &Value) {
        self.answer_with(path, status, vec![("content-type", "application/json".to_owned())], &body.to_string());
    }

    /// The same with other fields and a body that need not be JSON.
    pub fn answer_with(&self, path: &str, status: u16, fields: Vec<(&'static str, String)>, body: &str) {
        self.said.lock().expect("lock").answers.insert(path.to_owned(), (status, fields, body.to_owned()));
    }

    /// Nothing is there any more.
    pub fn go_away(&self) {
        self.said.lock().expect("lock").answers.clear();
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.said.lock().expect("lock").asked.clone()
    }

    /// How often a path was asked.
    pub fn times(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path == path).count()
    }

    /// How often its documents were asked for: its own and its keys.
    pub fn fetches(&self) -> (usize, usize) {
        (self.times("/.well-known/openid-configuration"), self.times("/keys"))
    }

    /// An access token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.key.sign("at+jwt", claims)
    }
}

async fn answer(said: Arc<Mutex<Said>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let mut said = said.lock().expect("lock");
    let authorization = head.headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
    said.asked.push(Asked { path: path.clone(), authorization, body: String::from_utf8_lossy(&body).into_owned() });
    let (status, fields, body) = said.answers.get(&path).cloned().unwrap_or((404, Vec::new(), String::new()));
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(body))).expect("a response"))
}

fn tls() -> (TlsAcceptor, tempfile::NamedTempFile) {
    let key = CertificateKey::generate().expect("key");
    let mut parameters = CertificateParams::new(vec!["login.example.com".to_owned(), "keys.example.com".to_owned()]).expect("parameters");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&key).expect("certificate");
    let issuer = rcgen::Issuer::new(parameters, key);
    let own_key = CertificateKey::generate().expect("key");
    let names = vec!["login.example.com".to_owned(), "keys.example.com".to_owned()];
    let own = CertificateParams::new(names).expect("parameters").signed_by(&own_key, &issuer).expect("certificate");
    let mut anchors = tempfile::NamedTempFile::new().expect("a file");
    anchors.write_all(authority.pem().as_bytes()).expect("written");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let chain = vec![CertificateDer::from(own.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(own_key.serialize_pem().as_bytes()).expect("key");
    (TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("certificate"))), anchors)
}
