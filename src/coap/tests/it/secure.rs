//! Who a door over TLS and DTLS is, whom it lets in, and somebody who comes.

use gatehouse_certs::{chain::Bundle, folder};
use gatehouse_net::{CertificateSource, ClientJudge, ClientOptions, Credentials, ServerTrust};
use gatehouse_pki::{
    Anchors, Certificate, ExpiredLeaf, KeyIdentifiers, Policy, Purpose, Rejection, Revocation, SoftwareKey, VerifiedChain,
};
use gatehouse_types::{Secret, UnixTime};
use rcgen::{CertificateParams, KeyPair};
use std::{fs, sync::Arc};
use tokio::sync::watch;

/// Who comes.
const CHAIN: &str = "good/p256-long";

/// What it presents.
pub(crate) fn device() -> Credentials {
    let [chain, key] = ["chain.pem", "leaf-key.pem"].map(|name| fs::read(folder::home().join(CHAIN).join(name)).expect("kept"));
    Credentials::from_pem(&chain, &Secret::new(key)).expect("credentials")
}

/// What it wants.
pub(crate) fn options(device: &Credentials) -> ClientOptions<'_> {
    ClientOptions { trust: ServerTrust::danger_anything(), credentials: Some(device), shared: None, alpn: &[b"coap"] }
}

/// The door's own certificate: nothing depends on who signed it.
pub(crate) fn own() -> Arc<dyn CertificateSource> {
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("names").self_signed(&key).expect("a certificate");
    let signer = SoftwareKey::from_pkcs8(Secret::new(key.serialize_der())).expect("a key");
    Arc::new(Own(Arc::new(Credentials::from_signer(vec![own.der().to_vec()], Arc::new(signer)).expect("credentials"))))
}

#[derive(Debug)]
struct Own(Arc<Credentials>);

impl CertificateSource for Own {
    fn current(&self) -> Option<Arc<Credentials>> {
        Some(Arc::clone(&self.0))
    }
}

/// Lets in who presents a chain below the anchors of that one.
pub(crate) fn judge() -> Arc<Judge> {
    judge_of(CHAIN)
}

/// Lets in who presents a chain below the anchors of this one of `certs/`, with what is configured below them.
pub(crate) fn judge_of(chain: &str) -> Arc<Judge> {
    let kept: Bundle = folder::read(&folder::home().join(chain)).expect("kept");
    let certificate = |der: &Vec<u8>| Certificate::from_der(der).expect("a certificate");
    let anchors = kept.anchors.iter().map(certificate).fold(Anchors::builder(), |builder, anchor| builder.anchor(anchor));
    let builder = kept.intermediates.iter().map(certificate).fold(anchors, |builder, known| builder.intermediate(known));
    Arc::new(Judge(builder.build().expect("every chain has an anchor")))
}

/// Asks `pki`.
#[derive(Debug)]
pub(crate) struct Judge(Anchors);

impl Judge {
    const POLICY: Policy = Policy {
        purpose: Purpose::Client,
        expired_leaf: ExpiredLeaf::Refuse,
        revocation: Revocation::WhenPresent,
        key_identifiers: KeyIdentifiers::Require,
    };
}

impl ClientJudge for Judge {
    fn judge(&self, presented: &[&[u8]], now: UnixTime) -> Result<VerifiedChain, Rejection> {
        self.0.verify(presented, &Self::POLICY, now)
    }

    fn still_good(&self, chain: &VerifiedChain, now: UnixTime) -> Result<(), Rejection> {
        self.0.recheck(chain, &Self::POLICY, now)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}
