//! A device port on loopback with a judge that remembers, and clients for it.

use gatehouse_base::SimulatedClock;
use gatehouse_certs::{
    chain::{self, Bundle, Question},
    folder,
};
use gatehouse_net::{
    CertificateSource, ClientJudge, Config, Connection, Credentials, Engine, Gate, Listener, Peer, Service, Shutdown, Tls,
};
use gatehouse_pki::{
    Anchors, Certificate, CertificateError, CertificateList, ExpiredLeaf, KeyIdentifiers, Policy, Purpose, Rejection, Revocation, Rule,
    SoftwareKey, VerifiedChain,
};
use gatehouse_types::{Secret, UnixTime};
use rcgen::{CertificateParams, KeyPair};
use std::{
    fmt, fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, RwLock},
};
use tokio::{
    io::AsyncReadExt,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    task::JoinHandle,
};

/// What the port says to whoever came in.
pub(crate) const WELCOME: &[u8] = b"welcome to the gatehouse";

/// The port's own certificate: nothing in these tests depends on who signed it. Its key signs where it is.
pub(crate) fn credentials() -> Arc<Credentials> {
    static MADE: OnceLock<Arc<Credentials>> = OnceLock::new();
    Arc::clone(MADE.get_or_init(new_credentials))
}

pub(crate) fn new_credentials() -> Arc<Credentials> {
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("names").self_signed(&key).expect("a certificate");
    let signer = SoftwareKey::from_pkcs8(Secret::new(key.serialize_der())).expect("a key");
    Arc::new(Credentials::from_signer(vec![own.der().to_vec()], Arc::new(signer)).expect("credentials"))
}

/// Presents what was put here last.
#[derive(Debug)]
pub(crate) struct Presenting(Mutex<Arc<Credentials>>);

impl Presenting {
    pub(crate) fn new(credentials: Arc<Credentials>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(credentials)))
    }

    pub(crate) fn put(&self, credentials: Arc<Credentials>) {
        *self.0.lock().expect("not poisoned") = credentials;
    }
}

impl CertificateSource for Presenting {
    fn current(&self) -> Option<Arc<Credentials>> {
        Some(Arc::clone(&self.0.lock().expect("not poisoned")))
    }
}

/// Asks `pki`, and remembers the answer.
pub(crate) struct Judge {
    anchors: RwLock<Anchors>,
    policy: Policy,
    changes: watch::Sender<u64>,
    said: UnboundedSender<Result<(), Rule>>,
}

impl Judge {
    pub(crate) fn new(anchors: Anchors, policy: Policy, said: UnboundedSender<Result<(), Rule>>) -> Self {
        Self { anchors: RwLock::new(anchors), policy, changes: watch::Sender::new(0), said }
    }

    /// Believes these from now on.
    pub(crate) fn believe(&self, anchors: Anchors) {
        *self.anchors.write().expect("not poisoned") = anchors;
        self.changes.send_modify(|count| *count += 1);
    }
}

impl ClientJudge for Judge {
    fn judge(&self, presented: &[&[u8]], now: UnixTime) -> Result<VerifiedChain, Rejection> {
        let judged = self.anchors.read().expect("not poisoned").verify(presented, &self.policy, now);
        let _ = self.said.send(judged.as_ref().map(|_| ()).map_err(Rejection::rule));
        judged
    }

    fn still_good(&self, chain: &VerifiedChain, now: UnixTime) -> Result<(), Rejection> {
        self.anchors.read().expect("not poisoned").recheck(chain, &self.policy, now)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.changes.subscribe())
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Judge")
    }
}

/// A device port that runs until it is dropped.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    /// What the judge said of each chain.
    pub(crate) said: UnboundedReceiver<Result<(), Rule>>,
    /// Who was let in.
    pub(crate) came: UnboundedReceiver<Peer>,
    pub(crate) judge: Arc<Judge>,
    pub(crate) clock: Arc<SimulatedClock>,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.shutdown.stop();
        self.running.abort();
    }
}

/// Says its messages, and then whatever the client says.
struct Desk {
    came: UnboundedSender<Peer>,
    messages: Vec<Vec<u8>>,
}

impl Service for Desk {
    async fn serve(self: Arc<Self>, connection: Connection) {
        let Connection { mut stream, peer, .. } = connection;
        let _ = self.came.send(peer);
        for message in &self.messages {
            if stream.write_message(message).await.is_err() {
                return;
            }
        }
        let mut buffer = [0; 256];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_message(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}

impl Port {
    /// Opens a port that answers the question about who presents a chain below the bundle's anchors.
    pub(crate) fn open(bundle: &Bundle, question: &Question, engine: Option<Engine>) -> Result<Self, Rule> {
        Self::with(bundle, question, engine, Presenting::new(credentials()), &[WELCOME])
    }

    pub(crate) fn with(
        bundle: &Bundle,
        question: &Question,
        engine: Option<Engine>,
        source: Arc<dyn CertificateSource>,
        messages: &[&[u8]],
    ) -> Result<Self, Rule> {
        let (sender, said) = unbounded_channel();
        let judge = Arc::new(Judge::new(configure(bundle, question)?, policy(question), sender));
        let clock = Arc::new(SimulatedClock::new(UnixTime::from(question.at)));
        let mut tls = Tls::for_devices("devices", source, &[b"coap"], judge.clone(), clock.clone());
        if let Some(engine) = engine {
            tls = tls.only(engine);
        }
        Ok(Self::run(tls, messages, judge, clock, said))
    }

    fn run(tls: Tls, messages: &[&[u8]], judge: Arc<Judge>, clock: Arc<SimulatedClock>, said: UnboundedReceiver<Result<(), Rule>>) -> Self {
        let listener = Listener::bind("devices", ([127, 0, 0, 1], 0).into(), Some(tls)).expect("bound");
        let address = listener.address();
        let (sender, came) = unbounded_channel();
        let desk = Arc::new(Desk { came: sender, messages: messages.iter().map(|message| message.to_vec()).collect() });
        let shutdown = Shutdown::new();
        let running = tokio::spawn(listener.run(desk, Gate::new(Config::default()), shutdown.clone()));
        Self { address, said, came, judge, clock, shutdown, running }
    }

    /// An HTTPS listener with client certificates: rustls alone.
    pub(crate) fn https(bundle: &Bundle, question: &Question) -> Self {
        let (sender, said) = unbounded_channel();
        let judge = Arc::new(Judge::new(configure(bundle, question).expect("good anchors"), policy(question), sender));
        let clock = Arc::new(SimulatedClock::new(UnixTime::from(question.at)));
        let tls = Tls::with_clients(Presenting::new(credentials()), &[], judge.clone(), clock.clone());
        Self::run(tls, &[WELCOME], judge, clock, said)
    }

    /// A port for the devices of `certs/good/p256-long`.
    pub(crate) fn for_devices(engine: Option<Engine>) -> Self {
        Self::open(&kept("good/p256-long"), &Question::CLIENT, engine).expect("good anchors")
    }
}

pub(crate) fn kept(name: &str) -> Bundle {
    folder::read(&folder::home().join(name)).expect("the chain is kept")
}

pub(crate) fn file(chain: &str, name: &str) -> PathBuf {
    folder::home().join(chain).join(name)
}

pub(crate) fn key_of(chain: &str) -> Option<Vec<u8>> {
    fs::read(file(chain, "leaf-key.pem")).ok()
}

pub(crate) fn policy(question: &Question) -> Policy {
    Policy {
        purpose: match question.purpose {
            chain::Purpose::Client => Purpose::Client,
            chain::Purpose::Server => Purpose::Server,
            chain::Purpose::OcfDevice => Purpose::OcfDevice,
        },
        expired_leaf: if question.accepts_expired_leaf { ExpiredLeaf::Accept } else { ExpiredLeaf::Refuse },
        revocation: match question.revocation {
            chain::Revocation::Ignore => Revocation::Ignore,
            chain::Revocation::WhenPresent => Revocation::WhenPresent,
            chain::Revocation::Require => Revocation::Require,
        },
        key_identifiers: if question.accepts_missing_key_ids { KeyIdentifiers::WhenPresent } else { KeyIdentifiers::Require },
    }
}

pub(crate) fn configure(bundle: &Bundle, question: &Question) -> Result<Anchors, Rule> {
    let rule = |error: CertificateError| error.rule();
    let mut builder = Anchors::builder();
    for (at, der) in bundle.anchors.iter().chain(&bundle.intermediates).enumerate() {
        let certificate = Certificate::from_der(der).map_err(rule)?;
        if question.lead == Some(at) {
            builder = builder.lead(certificate.clone());
        }
        builder = if at < bundle.anchors.len() { builder.anchor(certificate) } else { builder.intermediate(certificate) };
    }
    for der in &bundle.lists {
        builder = builder.revocation_list(CertificateList::from_der(der).map_err(rule)?);
    }
    Ok(builder.build().expect("every chain of the corpus has an anchor"))
}
