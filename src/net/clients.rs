//! Which clients may come in: their chains are judged by `pki` inside the handshake.

use crate::{
    CredentialsError,
    certs::MAX_FILE,
    files::{FromFiles, Loaded, read},
};
use gatehouse_base::Clock;
use gatehouse_pki::{
    Anchors, Blame, Certificate, CertificateList, MAX_REVOCATION_LIST, Memo, Policy, Purpose, Rejection, Revocation, Rule,
    SignatureAlgorithm, VerifiedChain,
};
use gatehouse_types::UnixTime;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::CertificateDer,
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tokio::sync::watch;

/// Judges the chains that clients present. Called inside the handshake, and so it must not block.
pub trait ClientJudge: Send + Sync + fmt::Debug {
    /// Judges a chain, the client's own certificate first.
    ///
    /// # Errors
    /// The rule that it breaks.
    fn judge(&self, presented: &[&[u8]], now: UnixTime) -> Result<VerifiedChain, Rejection>;

    /// Says whether a chain that [`Self::judge`] accepted earlier still lets its connection live. Called when the chain's time is
    /// over, and for every live connection after a change; it checks no signatures of certificates and must not block. A newer
    /// certificate of the same client is no reason to end anything.
    ///
    /// # Errors
    /// The rule that it now breaks.
    fn still_good(&self, chain: &VerifiedChain, now: UnixTime) -> Result<(), Rejection>;

    /// Counts the changes after which live connections have to be judged again: revocations, other anchors, suspensions. `None`
    /// where nothing but time ends what was accepted.
    fn changes(&self) -> Option<watch::Receiver<u64>>;
}

/// A judge with the clock by which it judges.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) judge: Arc<dyn ClientJudge>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Clients {
    pub(crate) fn judge(&self, presented: &[&[u8]]) -> Result<VerifiedChain, Rejection> {
        self.judge.judge(presented, self.clock.now())
    }
}

/// Clients whose chains lead to an anchor in a file and are not on a revocation list in other files.
#[derive(Debug)]
pub struct FileClients {
    anchors: Loaded<Judged>,
    /// Facts of arithmetic: they stay true when the files change.
    known: Memo,
}

struct Judged {
    anchors: Anchors,
    policy: Policy,
}

impl FileClients {
    /// Reads a file of anchors and any number of revocation lists, all in PEM. With lists, every certificate below an
    /// anchor must be covered by a current one. Of so many intermediates it is remembered that they were signed well
    /// ([`Config::known_intermediates`](crate::Config::known_intermediates)).
    ///
    /// # Errors
    /// They cannot be read, or hold no anchor.
    pub fn open(anchors: &Path, revocation_lists: &[PathBuf], known_intermediates: usize) -> Result<Self, CredentialsError> {
        let paths = std::iter::once(anchors.to_owned()).chain(revocation_lists.iter().cloned()).collect();
        Ok(Self { anchors: Loaded::open(paths, judged)?, known: Memo::new(known_intermediates) })
    }
}

impl ClientJudge for FileClients {
    fn judge(&self, presented: &[&[u8]], now: UnixTime) -> Result<VerifiedChain, Rejection> {
        let judged = self.anchors.current();
        judged.anchors.verify_with(&self.known, presented, &judged.policy, now)
    }

    fn still_good(&self, chain: &VerifiedChain, now: UnixTime) -> Result<(), Rejection> {
        let judged = self.anchors.current();
        judged.anchors.recheck(chain, &judged.policy, now)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.anchors.changes())
    }
}

impl FromFiles for FileClients {
    fn changed(&self) -> bool {
        self.anchors.changed()
    }

    fn reload(&self) -> Result<(), CredentialsError> {
        self.anchors.reload()
    }
}

fn judged(paths: &[PathBuf]) -> Result<Judged, CredentialsError> {
    let (anchors, lists) = paths.split_first().ok_or(CredentialsError::Chain)?;
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| CredentialsError::Anchors { path, source }
    };
    let mut builder = Anchors::builder();
    for certificate in Certificate::chain_from_pem(&read(anchors, MAX_FILE)?).map_err(unusable(anchors))? {
        builder = builder.anchor(certificate);
    }
    for path in lists {
        // PEM is a third longer than what it holds.
        let list = CertificateList::from_pem(&read(path, MAX_REVOCATION_LIST * 3 / 2)?).map_err(unusable(path))?;
        builder = builder.revocation_list(list);
    }
    let revocation = if lists.is_empty() { Revocation::Ignore } else { Revocation::Require };
    let anchors = builder.build().map_err(|_| CredentialsError::NoAnchor { path: anchors.clone() })?;
    let policy = Policy { revocation, ..Policy::new(Purpose::Client) };
    Ok(Judged { anchors, policy })
}

/// Stands between rustls and the judge for one connection, and keeps what the judge found.
#[derive(Debug)]
pub(crate) struct Verifier {
    clients: Clients,
    found: OnceLock<Arc<VerifiedChain>>,
}

impl Verifier {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients, found: OnceLock::new() }
    }

    /// The chain of the connection's peer, once the handshake has come that far.
    pub(crate) fn found(&self) -> Option<Arc<VerifiedChain>> {
        self.found.get().cloned()
    }

    /// The key is that of the chain that was judged, and not read a second time by other rules.
    fn check(&self, algorithm: Option<SignatureAlgorithm>, message: &[u8], signature: &[u8]) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
        let leaf = self.found().ok_or_else(bad)?;
        leaf.leaf().public_key().verify(algorithm.ok_or_else(bad)?, message, signature).map_err(|_| bad())?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ClientCertVerifier for Verifier {
    /// No hints: devices present what they have, and names of our anchors are nobody's business.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let presented: Vec<&[u8]> = std::iter::once(end_entity).chain(intermediates).map(AsRef::as_ref).collect();
        let chain = self.clients.judge(&presented).map_err(refusal)?;
        // One handshake presents one chain; a second would be a second connection's.
        self.found.set(Arc::new(chain)).map_err(|_| Error::General("a second certificate in one handshake".to_owned()))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        _cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // RFC 5246 §7.4.1.4.1: the scheme names a hash and a kind of key, and no curve.
        self.check(algorithm(dss.scheme), message, dss.signature())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // RFC 8446 §4.2.3: the scheme names the curve as well, and PKCS#1 v1.5 signs certificates only.
        let curve = self.found().map(|chain| chain.leaf().public_key().algorithm());
        let fits = match dss.scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 => curve == Some(gatehouse_pki::KeyAlgorithm::P256),
            SignatureScheme::ECDSA_NISTP384_SHA384 => curve == Some(gatehouse_pki::KeyAlgorithm::P384),
            SignatureScheme::RSA_PKCS1_SHA256 | SignatureScheme::RSA_PKCS1_SHA384 | SignatureScheme::RSA_PKCS1_SHA512 => false,
            _ => true,
        };
        self.check(algorithm(dss.scheme).filter(|_| fits), message, dss.signature())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(scheme, _)| *scheme).collect()
    }
}

/// What clients may sign a handshake with, the most wanted first.
const SCHEMES: &[(SignatureScheme, SignatureAlgorithm)] = &[
    (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureAlgorithm::EcdsaSha256),
    (SignatureScheme::ECDSA_NISTP384_SHA384, SignatureAlgorithm::EcdsaSha384),
    (SignatureScheme::ED25519, SignatureAlgorithm::Ed25519),
    (SignatureScheme::RSA_PSS_SHA256, SignatureAlgorithm::RsaPssSha256),
    (SignatureScheme::RSA_PSS_SHA384, SignatureAlgorithm::RsaPssSha384),
    (SignatureScheme::RSA_PSS_SHA512, SignatureAlgorithm::RsaPssSha512),
    (SignatureScheme::RSA_PKCS1_SHA256, SignatureAlgorithm::RsaPkcs1Sha256),
    (SignatureScheme::RSA_PKCS1_SHA384, SignatureAlgorithm::RsaPkcs1Sha384),
    (SignatureScheme::RSA_PKCS1_SHA512, SignatureAlgorithm::RsaPkcs1Sha512),
];

fn algorithm(scheme: SignatureScheme) -> Option<SignatureAlgorithm> {
    SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, algorithm)| *algorithm)
}

/// The alert tells the peer what it can act on; the log gets the whole of it.
fn refusal(rejection: Rejection) -> Error {
    let error = match rejection.rule() {
        Rule::NoCertificate => return Error::NoCertificatesPresented,
        Rule::Expired if rejection.blame() == Blame::Time => CertificateError::Expired,
        Rule::NotYetValid => CertificateError::NotValidYet,
        Rule::Revoked => CertificateError::Revoked,
        Rule::UnknownIssuer | Rule::NotThroughLead => CertificateError::UnknownIssuer,
        Rule::Encoding => CertificateError::BadEncoding,
        Rule::ExtendedKeyUsage => CertificateError::InvalidPurpose,
        _ => CertificateError::Other(OtherError(Arc::new(rejection))),
    };
    Error::InvalidCertificate(error)
}

impl fmt::Debug for Judged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Judged({:?})", self.policy)
    }
}
