//! Every chain of the corpus, presented to every engine: each says what `pki` says.

use crate::support::{Port, configure, kept, key_of, policy};
use gatehouse_certs::{
    chain::{Bundle, Question},
    verdict,
};
use gatehouse_net::Engine;
use gatehouse_pki::Rule;
use gatehouse_types::UnixTime;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime as RustlsTime, pem::PemObject},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::sync::Arc;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_rustls::TlsConnector;

/// A client that presents whatever bytes it was given.
#[derive(Debug)]
struct Presents(Option<Arc<CertifiedKey>>);

impl Presents {
    /// Where the corpus keeps no usable key of the leaf, any other does: the chain must be refused before it is used.
    fn new(presented: &[Vec<u8>], key: Option<Vec<u8>>) -> Self {
        let own = key.and_then(|pem| ring::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(&pem).ok()?).ok());
        let key = own.unwrap_or_else(|| {
            let any = rcgen::KeyPair::generate().expect("a key").serialize_der();
            ring::sign::any_supported_type(&PrivateKeyDer::try_from(any).expect("PKCS#8")).expect("a key")
        });
        let chain = presented.iter().cloned().map(CertificateDer::from).collect();
        Self(Some(Arc::new(CertifiedKey::new(chain, key))))
    }
}

impl ResolvesClientCert for Presents {
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        assert!(hints.is_empty(), "names of CAs tell who the customers are");
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Believes any server.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: RustlsTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384]
    }
}

const ENGINES: [Engine; 2] = [Engine::Rustls, Engine::OpenSsl];
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Presents it, and returns whether the connection was let in.
async fn present(port: &Port, client: Presents, version: &'static SupportedProtocolVersion) -> bool {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_cert_resolver(Arc::new(client));
    config.resumption = rustls::client::Resumption::disabled();
    let tcp = TcpStream::connect(port.address).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, tcp).await else { return false };
    // In TLS 1.3 the client is done before the server has judged it.
    stream.read_u8().await.is_ok()
}

/// What the engine's judge said, and whether the connection was let in.
async fn ask(bundle: &Bundle, question: &Question, client: Presents, engine: Engine, version: usize) -> (Option<Result<(), Rule>>, bool) {
    let Ok(mut port) = Port::open(bundle, question, Some(engine)) else { return (None, false) };
    let is_in = present(&port, client, VERSIONS[version]).await;
    assert_eq!(port.came.try_recv().ok().map(|peer| peer.engine()), is_in.then_some(Some(engine)));
    (port.said.try_recv().ok(), is_in)
}

#[tokio::test]
async fn every_engine_says_of_every_chain_what_pki_says() {
    let rows = verdict::read(include_str!("../../../../certs/verdicts.toml")).expect("a well-formed table");
    let (mut wrong, mut unread, mut accepted) = (Vec::new(), Vec::new(), 0);
    for row in &rows {
        let bundle = kept(&row.chain);
        let expected = configure(&bundle, &row.question)
            .and_then(|anchors| {
                anchors.verify(&bundle.presented, &policy(&row.question), UnixTime::from(row.question.at)).map_err(|no| no.rule())
            })
            .map(|_| ());
        for (engine, version) in ENGINES.into_iter().flat_map(|engine| [(engine, 0), (engine, 1)]) {
            let client = Presents::new(&bundle.presented, key_of(&row.chain));
            let (said, is_in) = ask(&bundle, &row.question, client, engine, version).await;
            accepted += usize::from(is_in);
            match said {
                _ if is_in != expected.is_ok() => wrong.push(format!("{} {engine} {version}: let in {is_in}, {expected:?}", row.chain)),
                Some(said) if said != expected => wrong.push(format!("{} {engine} {version}: said {said:?}, not {expected:?}", row.chain)),
                None => unread.push((row.chain.clone(), engine)),
                Some(_) => {}
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    println!("{accepted} of {} presentations were let in; not read far enough to be judged: {unread:?}", rows.len() * 4);
    assert!(accepted > 80);
}

#[tokio::test]
async fn a_leaf_alone_is_let_in_where_its_intermediates_are_known_and_no_rogue_or_nameless_client_is() {
    let mut known = kept("good/p256-long");
    known.intermediates = known.presented.split_off(1);
    let rogue = kept("bad/unknown-root");
    for (engine, version) in ENGINES.into_iter().flat_map(|engine| [(engine, 0), (engine, 1)]) {
        let leaf_only = || Presents::new(&known.presented, key_of("good/p256-long"));
        assert_eq!(ask(&known, &Question::CLIENT, leaf_only(), engine, version).await, (Some(Ok(())), true));
        // The same leaf where its intermediates are not known.
        let (said, is_in) = ask(&kept("good/p256-long"), &Question::CLIENT, leaf_only(), engine, version).await;
        assert_eq!((said, is_in), (Some(Err(Rule::UnknownIssuer)), false));
        let other = Presents::new(&rogue.presented, key_of("bad/unknown-root"));
        let (said, is_in) = ask(&known, &Question::CLIENT, other, engine, version).await;
        assert!(matches!(said, Some(Err(_))) && !is_in);
        assert_eq!(ask(&known, &Question::CLIENT, Presents(None), engine, version).await, (None, false));
    }
}

#[tokio::test]
async fn whoever_does_not_have_the_leafs_key_is_not_let_in_with_its_chain() {
    let bundle = kept("good/p256");
    for (engine, version) in ENGINES.into_iter().flat_map(|engine| [(engine, 0), (engine, 1)]) {
        let thief = Presents::new(&bundle.presented, None);
        assert_eq!(ask(&bundle, &Question::CLIENT, thief, engine, version).await, (Some(Ok(())), false));
    }
}

#[tokio::test]
async fn no_engine_reads_another_encoding_than_der() {
    let bundle = kept("good/p256");
    let mut other = bundle.clone();
    let leaf = &mut other.presented[0];
    // The same length in one byte more than it needs: OpenSSL reads that, and DER forbids it.
    assert_eq!(leaf[..2], [0x30, 0x82]);
    leaf.splice(1..2, [0x83, 0]);
    for (engine, version) in ENGINES.into_iter().flat_map(|engine| [(engine, 0), (engine, 1)]) {
        let client = |bundle: &Bundle| Presents::new(&bundle.presented, key_of("good/p256"));
        assert_eq!(ask(&bundle, &Question::CLIENT, client(&bundle), engine, version).await, (Some(Ok(())), true));
        let (said, is_in) = ask(&bundle, &Question::CLIENT, client(&other), engine, version).await;
        assert_eq!((said, is_in), (Some(Err(Rule::Encoding)), false), "{engine} {version}");
    }
}
