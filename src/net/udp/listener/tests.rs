//! Plain datagrams over real sockets of the loopback address.

use super::*;
use crate::{SendError, places::Prefixes, udp::Config};
use std::{net::UdpSocket as StdSocket, sync::Mutex, time::Duration};
use tokio::task::JoinHandle;

/// Answers what it gets, backwards, and remembers why peers went.
#[derive(Default)]
struct Mirror {
    gone: Mutex<Vec<Option<Closed>>>,
}

impl DatagramService for Mirror {
    async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
        let shutdown = connection.shutdown.clone();
        loop {
            tokio::select! {
                record = connection.receive() => match record {
                    Some(record) if record == "panic" => panic!("as the test wants"),
                    Some(record) => {
                        let answer = Bytes::from(record.iter().rev().copied().collect::<Vec<_>>());
                        if connection.sender().send(answer).await.is_err() {
                            break;
                        }
                    }
                    None => break,
                },
                () = shutdown.draining() => break,
            }
        }
        self.gone.lock().expect("lock").push(connection.closed());
    }
}

struct Running {
    address: SocketAddr,
    gate: Arc<DatagramGate>,
    mirror: Arc<Mirror>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

fn run(config: Config) -> Running {
    let gate = DatagramGate::with(config, Prefixes { v4: 32, v6: 56 });
    let listener = DatagramListener::bind("test", SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&gate), None).expect("bound");
    let (address, mirror, shutdown) = (listener.address(), Arc::new(Mirror::default()), Shutdown::new());
    let task = tokio::spawn(listener.run(Arc::clone(&mirror), shutdown.clone()));
    Running { address, gate, mirror, shutdown, task }
}

async fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    socket.connect(to).await.expect("connected");
    socket
}

async fn exchange(socket: &UdpSocket, text: &[u8]) -> Vec<u8> {
    socket.send(text).await.expect("sent");
    let mut buffer = vec![0; 2048];
    let length = socket.recv(&mut buffer).await.expect("answered");
    buffer.truncate(length);
    buffer
}

#[tokio::test]
async fn each_peer_gets_its_own_answers() {
    let running = run(Config::default());
    let (one, other) = (client(running.address).await, client(running.address).await);
    assert_eq!(exchange(&one, b"abc").await, b"cba");
    assert_eq!(exchange(&other, b"123").await, b"321");
    assert_eq!(exchange(&one, b"xyz").await, b"zyx");
    assert_eq!(running.gate.half_open(), 2);
}

#[tokio::test]
async fn a_peer_that_is_known_does_not_wait_behind_strangers() {
    let running = run(Config { half_open_per_network: 1024, ..Config::default() });
    let known = client(running.address).await;
    assert_eq!(exchange(&known, b"abc").await, b"cba");
    // Before the listener has a turn: as many as the kernel keeps, and the peer behind them.
    let strangers: Vec<StdSocket> = (0..150).map(|_| StdSocket::bind("127.0.0.1:0").expect("bound")).collect();
    for stranger in &strangers {
        stranger.send_to(b"hello", running.address).expect("sent");
    }
    assert_eq!(exchange(&known, b"xyz").await, b"zyx");
    let met = running.gate.half_open() - 1;
    assert!(met < 120, "{met} strangers were met before");
    while running.gate.half_open() <= strangers.len() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn strangers_wait_in_a_line_that_ends() {
    let config = Config { strangers: 20, strangers_at_once: 3, ..Config::default() };
    let gate = DatagramGate::with(config, Prefixes { v4: 32, v6: 56 });
    let meter = Meter::new("test".into());
    let mut task = SocketTask {
        name: "test".into(),
        socket: UdpSocket::bind("127.0.0.1:0").await.expect("bound"),
        associations: Associations::new(PlainEngine::new(1200), Arc::clone(&gate), meter.clone()),
        strangers: VecDeque::new(),
        meter,
        gate,
        largest: 1200,
        live: None,
        service: Arc::new(Mirror::default()),
        shutdown: Shutdown::new(),
        orders: mpsc::channel(1).0,
        served: HashMap::new(),
        services: JoinSet::new(),
        tasks: HashMap::new(),
    };
    let peer = |port| SocketAddr::from(([127, 0, 0, 1], port));
    task.sort(peer(1), b"first");
    task.meet();
    (2..2000).for_each(|port| task.sort(peer(port), b"hello"));
    assert_eq!(task.strangers.len(), 20);
    task.sort(peer(1), b"second");
    let records = std::iter::from_fn(|| task.associations.poll_event());
    let records = records.filter_map(|event| if let PeerEvent::Data { record, .. } = event { Some(record) } else { None });
    assert_eq!(records.collect::<Vec<_>>(), ["first", "second"], "the known one is heard at once");
    task.meet();
    assert_eq!(task.strangers.len(), 17);
}

#[tokio::test]
async fn draining_waits_for_services_and_gives_every_place_back() {
    let running = run(Config::default());
    let one = client(running.address).await;
    assert_eq!(exchange(&one, b"abc").await, b"cba");
    running.shutdown.start_draining();
    running.task.await.expect("ended");
    assert_eq!(running.mirror.gone.lock().expect("lock").as_slice(), [None]);
    assert_eq!(running.gate.half_open(), 0);
}

#[tokio::test]
async fn stopping_waits_for_nobody() {
    struct Deaf;
    impl DatagramService for Deaf {
        async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
            let record = connection.receive().await.expect("a record");
            connection.sender().send(record).await.expect("sent");
            std::future::pending::<()>().await;
        }
    }
    let gate = DatagramGate::with(Config::default(), Prefixes { v4: 32, v6: 56 });
    let listener = DatagramListener::bind("test", SocketAddr::from(([127, 0, 0, 1], 0)), gate, None).expect("bound");
    let (address, shutdown) = (listener.address(), Shutdown::new());
    let task = tokio::spawn(listener.run(Arc::new(Deaf), shutdown.clone()));
    assert_eq!(exchange(&client(address).await, b"a").await, b"a");
    shutdown.stop();
    task.await.expect("ended");
}

#[tokio::test]
async fn a_service_that_panics_ends_its_own_peer_only() {
    let running = run(Config::default());
    let (one, other) = (client(running.address).await, client(running.address).await);
    assert_eq!(exchange(&other, b"ab").await, b"ba");
    one.send(b"panic").await.expect("sent");
    // The same address is a new peer as soon as the panic is seen; what it sends until then is lost.
    let answer = async {
        loop {
            one.send(b"again").await.expect("sent");
            let mut buffer = [0; 16];
            if let Ok(received) = tokio::time::timeout(Duration::from_millis(20), one.recv(&mut buffer)).await {
                return received.expect("received");
            }
        }
    };
    assert_eq!(answer.await, 5);
    assert_eq!(exchange(&other, b"ab").await, b"ba");
}

#[tokio::test]
async fn what_is_longer_than_allowed_is_thrown_away() {
    let running = run(Config { largest_datagram: 1280, mtu: 1280, ..Config::default() });
    let socket = client(running.address).await;
    socket.send(&[b'x'; 1281]).await.expect("sent");
    assert_eq!(exchange(&socket, &[b'y'; 1280]).await, [b'y'; 1280]);
}

#[tokio::test]
async fn an_answer_longer_than_a_datagram_may_be_is_refused_before_it_is_sent() {
    struct Long;
    impl DatagramService for Long {
        async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
            connection.receive().await.expect("a record");
            let largest = connection.sender().largest();
            let refused = connection.sender().send(Bytes::from(vec![0; largest + 1])).await;
            assert_eq!(refused, Err(SendError::TooLong));
            connection.sender().send(Bytes::from(vec![0; largest])).await.expect("sent");
        }
    }
    let gate = DatagramGate::with(Config { mtu: 500, ..Config::default() }, Prefixes { v4: 32, v6: 56 });
    let listener = DatagramListener::bind("test", SocketAddr::from(([127, 0, 0, 1], 0)), gate, None).expect("bound");
    let address = listener.address();
    let _task = tokio::spawn(listener.run(Arc::new(Long), Shutdown::new()));
    assert_eq!(exchange(&client(address).await, b"?").await.len(), 500);
}

#[tokio::test]
async fn several_sockets_share_one_port() {
    let running = run(Config { sockets: 4, ..Config::default() });
    for _ in 0..16 {
        let socket = client(running.address).await;
        for text in [&b"abc"[..], b"def"] {
            assert_eq!(exchange(&socket, text).await, text.iter().rev().copied().collect::<Vec<_>>());
        }
    }
    assert_eq!(running.gate.half_open(), 16, "each peer stays with one socket");
}

#[tokio::test]
async fn one_socket_leaves_its_port_to_nobody_else() {
    let running = run(Config::default());
    let taken = DatagramListener::bind("other", running.address, Arc::clone(&running.gate), None).expect_err("taken");
    assert_eq!(gatehouse_base::Fault::kind(&taken), gatehouse_base::Kind::Conflict);
    assert!(StdSocket::bind(running.address).is_err());
}
