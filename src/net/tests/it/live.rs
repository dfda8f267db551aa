//! Live connections end when their chain is no longer good, and for no other reason.

use crate::{
    devices::{client_with, welcomed},
    support::{Judge, Port, Presenting, configure, credentials, file, kept, key_of, policy},
};
use bytes::Bytes;
use gatehouse_base::{SimulatedClock, SystemRandom};
use gatehouse_certs::chain::{Bundle, Question};
use gatehouse_net::{
    ClientJudge, ClientOptions, Config, ConnectError, Credentials, DatagramConnection, DatagramGate, DatagramListener, DatagramService,
    Dtls, DtlsClient, DtlsConnector, Engine, FileClients, FromFiles, ServerTrust, Shutdown,
};
use gatehouse_pki::{Fingerprint, Rule};
use gatehouse_types::{Secret, UnixTime};
use openssl::ssl::SslStream;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};
use tokio::{sync::mpsc::unbounded_channel, task::JoinHandle};

type Client = SslStream<TcpStream>;

/// A port of each kind, each with one client inside.
fn ports(chain: &str, bundle: &Bundle) -> Vec<(Port, Client)> {
    let device = |engine| Port::open(bundle, &Question::CLIENT, Some(engine)).expect("good anchors");
    let all = [device(Engine::Rustls), device(Engine::OpenSsl), Port::https(bundle, &Question::CLIENT)];
    let inside = |port: Port| {
        let client = welcomed(client_with(chain, &port, |_| ())).expect("let in");
        (port, client)
    };
    all.into_iter().map(inside).collect()
}

fn lives(client: &mut Client) -> bool {
    let mut answer = [0; 5];
    client.write_all(b"alive").is_ok() && client.read_exact(&mut answer).is_ok() && answer == *b"alive"
}

/// Waits for the end; nothing else can come.
fn ends(client: &mut Client) -> bool {
    matches!(client.read(&mut [0]), Ok(0) | Err(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_the_connection_of_whom_it_names_and_no_other() {
    let mut revoked = kept("bad/revoked-leaf");
    let lists = std::mem::take(&mut revoked.lists);
    let other = kept("good/p384-long");
    let mut both = revoked.clone();
    both.anchors.extend(other.anchors.clone());
    for (port, mut named) in ports("bad/revoked-leaf", &both) {
        let mut unnamed = welcomed(client_with("good/p384-long", &port, |_| ())).expect("let in");
        assert!(lives(&mut named) && lives(&mut unnamed));
        let with_lists = Bundle { lists: lists.clone(), ..both.clone() };
        port.judge.believe(configure(&with_lists, &Question::CLIENT).expect("good anchors"));
        assert!(ends(&mut named));
        assert!(lives(&mut unnamed));
        assert!(welcomed(client_with("bad/revoked-leaf", &port, |_| ())).is_err(), "nor does it come in again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_when_its_chain_expires() {
    for (mut port, mut client) in ports("good/p256-long", &kept("good/p256-long")) {
        assert!(lives(&mut client));
        let until = port.came.recv().await.expect("came in").chain().expect("presented").valid_until();
        port.clock.set(until);
        assert!(lives(&mut client), "its last second is good");
        port.clock.set(until + std::time::Duration::from_secs(1));
        assert!(ends(&mut client));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_anchor_is_ended_and_a_change_that_concerns_nobody_ends_nothing() {
    let own = kept("good/p256-long");
    let stranger = kept("good/p384-long");
    for (port, mut client) in ports("good/p256-long", &own) {
        let mut both = own.clone();
        both.anchors.extend(stranger.anchors.clone());
        port.judge.believe(configure(&both, &Question::CLIENT).expect("good anchors"));
        let mut other = welcomed(client_with("good/p384-long", &port, |_| ())).expect("let in");
        // The first change was seen before the second: it has ended nobody.
        port.judge.believe(configure(&own, &Question::CLIENT).expect("good anchors"));
        assert!(ends(&mut other));
        assert!(lives(&mut client));
    }
}

/// Says back what it hears.
struct Echo;

impl DatagramService for Echo {
    async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
        while let Some(record) = connection.receive().await {
            if connection.sender().send(record).await.is_err() {
                return;
            }
        }
    }
}

/// A port for datagrams that runs until it is told to stop.
struct DatagramPort {
    address: SocketAddr,
    judge: Arc<Judge>,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl DatagramPort {
    fn open(bundle: &Bundle) -> Self {
        let anchors = configure(bundle, &Question::CLIENT).expect("good anchors");
        let judge = Arc::new(Judge::new(anchors, policy(&Question::CLIENT), unbounded_channel().0));
        let clock = Arc::new(SimulatedClock::new(UnixTime::from(Question::CLIENT.at)));
        let gate = DatagramGate::new(&Config::default());
        let dtls = Dtls::new("dtls", &gate, Presenting::new(credentials()), &[b"coap"], judge.clone(), clock, &SystemRandom);
        let listener = DatagramListener::bind("dtls", ([127, 0, 0, 1], 0).into(), gate, Some(dtls)).expect("bound");
        let (address, shutdown) = (listener.address(), Shutdown::new());
        let running = tokio::spawn(listener.run(Arc::new(Echo), shutdown.clone()));
        Self { address, judge, shutdown, running }
    }

    async fn connect(&self, who: &str) -> Result<DtlsClient, ConnectError> {
        let chain = fs::read(file(who, "chain.pem")).expect("kept");
        let device = Credentials::from_pem(&chain, &Secret::new(key_of(who).expect("kept"))).expect("credentials");
        let trust = ServerTrust::fingerprint(Fingerprint::of(credentials().chain().next().expect("its own")));
        let connector = DtlsConnector::new(ClientOptions { trust, credentials: Some(&device), shared: None, alpn: &[] }).expect("usable");
        connector.connect(self.address, None).await
    }

    async fn stop(self) {
        self.shutdown.stop();
        self.running.await.expect("ended");
    }
}

async fn still_there(client: &mut DtlsClient) -> bool {
    let word = Bytes::from_static(b"alive");
    client.send(&word).await.is_ok() && client.receive().await.is_ok_and(|answer| answer == Some(word))
}

#[tokio::test]
async fn a_peer_over_dtls_ends_with_its_chain_as_well() {
    let port = DatagramPort::open(&kept("good/p256-long"));
    let mut client = port.connect("good/p256-long").await.expect("let in");
    assert!(still_there(&mut client).await);
    port.judge.believe(configure(&kept("good/p384-long"), &Question::CLIENT).expect("good anchors"));
    assert_eq!(client.receive().await.expect("a good-bye"), None);
    port.stop().await;
}

#[tokio::test]
async fn a_revocation_ends_the_dtls_peer_that_it_names_and_neither_others_nor_those_who_came_anew() {
    let mut both = kept("bad/revoked-leaf");
    let lists = std::mem::take(&mut both.lists);
    both.anchors.extend(kept("good/p384-long").anchors);
    let port = DatagramPort::open(&both);
    let mut named = port.connect("bad/revoked-leaf").await.expect("let in");
    let mut unnamed = port.connect("good/p384-long").await.expect("let in");
    // The same device once more, from another port, which ends nothing.
    let mut anew = port.connect("good/p384-long").await.expect("let in");
    assert!(still_there(&mut named).await && still_there(&mut unnamed).await && still_there(&mut anew).await);
    let with_lists = Bundle { lists, ..both };
    port.judge.believe(configure(&with_lists, &Question::CLIENT).expect("good anchors"));
    assert_eq!(named.receive().await.expect("a good-bye"), None);
    assert!(still_there(&mut unnamed).await && still_there(&mut anew).await);
    assert!(port.connect("bad/revoked-leaf").await.is_err(), "nor does it come in again");
    port.stop().await;
}

#[test]
fn files_that_change_are_a_change_to_those_inside() {
    let folder = tempfile::tempdir().expect("a folder");
    let anchors = folder.path().join("anchors.pem");
    let put = |chain: &str| fs::copy(file(chain, "anchors.pem"), &anchors).expect("written");
    put("good/p256-long");
    let clients = FileClients::open(&anchors, &[], 4096).expect("good anchors");
    let changes = clients.changes().expect("files change");
    let now = UnixTime::from(Question::CLIENT.at);
    let presented = kept("good/p256-long").presented;
    let presented: Vec<&[u8]> = presented.iter().map(Vec::as_slice).collect();
    let chain = clients.judge(&presented, now).expect("good");
    assert_eq!(clients.judge(&presented, now).expect("good").signature_checks(), 1, "its intermediates are known by now");
    assert!(clients.still_good(&chain, now).is_ok() && !changes.has_changed().expect("open"));
    put("good/p384-long");
    clients.reload().expect("good anchors");
    assert!(changes.has_changed().expect("open"));
    assert_eq!(clients.still_good(&chain, now).expect_err("another anchor").rule(), Rule::UnknownIssuer);
}
