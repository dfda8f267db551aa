//! Both ends of DTLS in memory, with a network between them that loses, doubles and reorders datagrams.
//!
//! OpenSSL reads the system's clock for its timers. So time here is real but short: the first timeout is 20 ms, and nothing waits
//! but for a deadline that one end has named.

mod hostile;
mod network;
mod resumption;

use super::{
    association::DtlsAssociation,
    server::{Dtls, DtlsEngine},
};
use crate::{
    CertificateSource, ClientJudge, Credentials, DatagramGate, ServerTrust, UdpConfig,
    openssl::{ClientContext, Transport, ffi},
    places::Prefixes,
    udp::{
        associations::{Associations, Id, PeerEvent, Transmit},
        engine::{Association, Closed, Event},
        meter::Meter,
    },
};
use bytes::Bytes;
use gatehouse_base::{Clock, SimulatedClock, SystemRandom};
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose, Rejection, VerifiedChain};
use gatehouse_types::{Secret, UnixTime};
use openssl::ssl::{Ssl, SslRef};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The first timeout in these tests.
pub(super) const SOON: Duration = Duration::from_millis(20);

/// When everything here happens.
const NOW: &str = "2026-11-01T00:00:00Z";

/// Nothing here takes so long, unless it never ends.
const NEVER: Duration = Duration::from_secs(60);

/// A deadline so far away is about silence, and about no handshake.
const LONG: Duration = Duration::from_secs(9);

/// A certificate authority.
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain in DER with the leaf's key.
pub(super) struct Party {
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: Secret,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("a root");
        let certificate = Certificate::from_der(certificate.der()).expect("as pki wants it");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A leaf for both ends.
    pub(super) fn leaf(&self, name: &str) -> Party {
        self.leaf_with(name, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"))
    }

    /// One that is over after a day.
    pub(super) fn short_lived_leaf(&self, name: &str) -> Party {
        let start: UnixTime = NOW.parse().expect("RFC 3339");
        self.leaf_until(name, KeyPair::generate().expect("a key"), Some(start + Duration::from_secs(86_400)))
    }

    pub(super) fn leaf_with(&self, name: &str, key: KeyPair) -> Party {
        self.leaf_until(name, key, None)
    }

    fn leaf_until(&self, name: &str, key: KeyPair, end: Option<UnixTime>) -> Party {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        if let Some(end) = end {
            params.not_after = end.to_date_time();
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("a leaf");
        Party { chain: vec![certificate.der().to_vec()], key: Secret::new(key.serialize_der()) }
    }

    pub(super) fn anchors(&self) -> Arc<Anchors> {
        Arc::new(Anchors::builder().anchor(self.certificate.clone()).build().expect("anchors"))
    }
}

impl Party {
    pub(super) fn credentials(&self) -> Credentials {
        Credentials::from_der(self.chain.clone(), &self.key).expect("credentials")
    }
}

/// Presents one certificate until another is put there.
#[derive(Debug)]
pub(super) struct Presents(pub(super) Mutex<Arc<Credentials>>);

impl CertificateSource for Presents {
    fn current(&self) -> Option<Arc<Credentials>> {
        Some(Arc::clone(&self.0.lock().expect("lock")))
    }
}

/// Judges by anchors that tests exchange.
#[derive(Debug)]
pub(super) struct Judges(pub(super) Mutex<Arc<Anchors>>);

impl ClientJudge for Judges {
    fn judge(&self, presented: &[&[u8]], now: UnixTime) -> Result<VerifiedChain, Rejection> {
        self.0.lock().expect("lock").verify(presented, &Policy::new(Purpose::Client), now)
    }

    fn still_good(&self, chain: &VerifiedChain, now: UnixTime) -> Result<(), Rejection> {
        self.0.lock().expect("lock").recheck(chain, &Policy::new(Purpose::Client), now)
    }

    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }
}

/// A server without a socket.
pub(super) struct Server {
    pub(super) peers: Associations<DtlsEngine>,
    pub(super) gate: Arc<DatagramGate>,
    pub(super) source: Arc<Presents>,
    pub(super) judge: Arc<Judges>,
    pub(super) clock: Arc<SimulatedClock>,
    pub(super) events: Vec<PeerEvent>,
}

pub(super) fn config() -> UdpConfig {
    UdpConfig { retransmit_after: SOON, ..UdpConfig::default() }
}

/// The same for tests that count datagrams: nothing is repeated, however slow this machine is.
pub(super) fn patient() -> UdpConfig {
    UdpConfig { retransmit_after: NEVER, ..config() }
}

impl Server {
    /// Trusts the authority's clients and presents a certificate of its own.
    pub(super) fn new(authority: &Authority, config: UdpConfig) -> Self {
        Self::asking(authority, config, |judge| judge)
    }

    /// The same with a judge of its own, which may ask the usual one.
    pub(super) fn asking(authority: &Authority, config: UdpConfig, asked: impl FnOnce(Arc<Judges>) -> Arc<dyn ClientJudge>) -> Self {
        let gate = DatagramGate::with(config, Prefixes { v4: 32, v6: 56 });
        let source = Arc::new(Presents(Mutex::new(Arc::new(authority.leaf("server").credentials()))));
        let judge = Arc::new(Judges(Mutex::new(authority.anchors())));
        let clock = Arc::new(SimulatedClock::new(NOW.parse().expect("RFC 3339")));
        let asked = asked(Arc::clone(&judge));
        let dtls = Dtls::new("test", &gate, Arc::clone(&source) as _, &[b"coap"], asked, Arc::clone(&clock) as _, &SystemRandom);
        let peers = Associations::new(dtls.engine(), Arc::clone(&gate), Meter::new("test".into()));
        Self { peers, gate, source, judge, clock, events: Vec::new() }
    }

    pub(super) fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.peers.handle_datagram(Instant::now(), from, datagram);
        self.collect();
    }

    pub(super) fn collect(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.peers.poll_event()));
    }

    pub(super) fn sent(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.peers.poll_transmit()).collect()
    }

    /// The chains of those who came in, and those who did not present one.
    pub(super) fn established(&self) -> Vec<(Id, SocketAddr, Option<Arc<VerifiedChain>>)> {
        let established = |event: &PeerEvent| match event {
            PeerEvent::Established { id, from, chain, .. } => Some((*id, *from, chain.clone())),
            _ => None,
        };
        self.events.iter().filter_map(established).collect()
    }

    pub(super) fn records(&self) -> Vec<(Id, Bytes)> {
        let data = |event: &PeerEvent| if let PeerEvent::Data { id, record } = event { Some((*id, record.clone())) } else { None };
        self.events.iter().filter_map(data).collect()
    }

    pub(super) fn closed(&self) -> Vec<Closed> {
        let closed = |event: &PeerEvent| if let PeerEvent::Closed { why, .. } = event { Some(*why) } else { None };
        self.events.iter().filter_map(closed).collect()
    }
}

pub(super) fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

/// Whether the only association of a server is still OpenSSL's, whose buffers are given back soon.
pub(super) fn is_on_openssl(server: &Server) -> bool {
    server.peers.poll_timeout().expect("of the association") < Instant::now() + Duration::from_secs(30)
}

/// A record under keys that its peer has not made.
pub(super) fn forged(kind: u8, sequence: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [&[kind, 254, 253, 0, 1, 0, 0, 0, 0, 1, sequence, high, low][..], &vec![7; usize::from(length)]].concat()
}

/// A client of ours, without a socket.
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) association: DtlsAssociation,
    pub(super) events: Vec<Event>,
}

impl Client {
    pub(super) fn new(address: SocketAddr, authority: &Authority, party: &Party) -> Self {
        Self::offering(address, authority, party, None, SOON)
    }

    /// One that repeats nothing, however slow this machine is.
    pub(super) fn patient(address: SocketAddr, authority: &Authority, party: &Party) -> Self {
        Self::offering(address, authority, party, None, NEVER)
    }

    /// One that wants to take up a session.
    pub(super) fn offering(
        address: SocketAddr,
        authority: &Authority,
        party: &Party,
        session: Option<&[u8]>,
        first_timeout: Duration,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(NOW.parse().expect("RFC 3339")));
        let trust = ServerTrust::anchors(authority.anchors(), clock);
        let context = ClientContext::new(Transport::Datagrams, trust, Some(&party.credentials()), None, &[b"coap"]).expect("a context");
        Self::beginning(address, context.connection(None).expect("a connection"), session, first_timeout)
    }

    /// One that offers a single suite.
    pub(super) fn with_suite(address: SocketAddr, authority: &Authority, party: &Party, suite: &str) -> Self {
        Self::wanting(address, authority, party, |ssl| ssl.set_cipher_list(&format!("{suite}:@SECLEVEL=0")).expect("a suite"))
    }

    /// One whose buffers are small.
    pub(super) fn with_short_records(address: SocketAddr, authority: &Authority, party: &Party) -> Self {
        Self::wanting(address, authority, party, ffi::ask_for_short_records)
    }

    fn wanting(address: SocketAddr, authority: &Authority, party: &Party, want: impl FnOnce(&mut SslRef)) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(NOW.parse().expect("RFC 3339")));
        let trust = ServerTrust::anchors(authority.anchors(), clock);
        let context = ClientContext::new(Transport::Datagrams, trust, Some(&party.credentials()), None, &[]).expect("a context");
        let mut ssl = context.connection(None).expect("a connection");
        want(&mut ssl);
        Self::beginning(address, ssl, None, NEVER)
    }

    fn beginning(address: SocketAddr, mut ssl: Ssl, session: Option<&[u8]>, first_timeout: Duration) -> Self {
        ssl.set_mtu(1200).expect("an MTU");
        ffi::set_first_timeout(&mut ssl, first_timeout).expect("a timeout");
        if let Some(session) = session {
            ffi::offer_session(&mut ssl, session);
        }
        let association = DtlsAssociation::connect(ssl, 1200, Instant::now()).expect("an association");
        Self { address, association, events: Vec::new() }
    }

    pub(super) fn sent(&mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.association.poll_transmit()).collect()
    }

    pub(super) fn receive(&mut self, datagram: &[u8]) {
        self.association.handle_datagram(Instant::now(), datagram);
        self.collect();
    }

    pub(super) fn collect(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.association.poll_event()));
    }

    pub(super) fn is_established(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Established { .. }))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Closed(_)))
    }
}

/// What becomes of datagrams on their way: in which order, how often, if at all.
pub(super) struct Weather {
    /// Of a hundred, how many are lost, come twice, or wait behind others.
    pub(super) loss: u64,
    pub(super) doubled: u64,
    pub(super) late: u64,
    seed: u64,
}

impl Weather {
    pub(super) fn fair() -> Self {
        Self { loss: 0, doubled: 0, late: 0, seed: 1 }
    }

    pub(super) fn foul(loss: u64, seed: u64) -> Self {
        Self { loss, doubled: 10, late: 25, seed }
    }

    fn strikes(&mut self, of_hundred: u64) -> bool {
        // Xorshift: the same weather for the same seed.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % 100 < of_hundred
    }
}

/// Carries datagrams between clients and the server until `done`, or until nobody has anything to say or to wait for.
pub(super) fn carry(server: &mut Server, clients: &mut [Client], weather: &mut Weather, done: impl Fn(&Server, &[Client]) -> bool) {
    let end = Instant::now() + NEVER;
    let mut under_way: Vec<(Option<usize>, Transmit)> = Vec::new();
    while !done(server, clients) {
        assert!(Instant::now() < end, "this never ends");
        // Without a client's number it goes to a client, and with it to the server.
        let mut sent: Vec<(Option<usize>, Transmit)> = server.sent().into_iter().map(|transmit| (None, transmit)).collect();
        for (at, client) in clients.iter_mut().enumerate() {
            let to = client.address;
            sent.extend(client.sent().into_iter().map(|datagram| (Some(at), Transmit { to, datagram })));
        }
        for datagram in sent {
            if weather.strikes(weather.doubled) {
                under_way.push(datagram.clone());
            }
            if !weather.strikes(weather.loss) {
                under_way.push(datagram);
            }
        }
        if under_way.is_empty() {
            let deadlines = clients.iter().filter_map(|client| client.association.poll_timeout());
            let Some(deadline) = deadlines.chain(server.peers.poll_timeout()).min().filter(|deadline| *deadline < Instant::now() + LONG)
            else {
                return;
            };
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            server.peers.handle_timeout(now);
            server.collect();
            for client in clients.iter_mut() {
                if client.association.poll_timeout().is_some_and(|deadline| deadline <= now) {
                    client.association.handle_timeout(now);
                    client.collect();
                }
            }
            continue;
        }
        let at = if under_way.len() > 1 && weather.strikes(weather.late) { 1 } else { 0 };
        match under_way.remove(at) {
            (Some(_), transmit) => server.receive(transmit.to, &transmit.datagram),
            (None, transmit) => {
                if let Some(client) = clients.iter_mut().find(|client| client.address == transmit.to) {
                    client.receive(&transmit.datagram);
                }
            }
        }
    }
}

/// Whether every client came in or gave up.
pub(super) fn settled(server: &Server, clients: &[Client]) -> bool {
    clients.iter().all(|client| {
        client.is_closed() || (client.is_established() && server.established().iter().any(|(_, from, _)| *from == client.address))
    })
}
