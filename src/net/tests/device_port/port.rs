//! The server: this very program, started once more with another role. It serves devices over TLS, once for each engine, and over
//! DTLS; says back what it hears; and tells who is inside when it is asked.

use super::chains::Chains;
use bytes::Bytes;
use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_net::{
    CertificateSource, ClientJudge, Config, Connection, DatagramConnection, DatagramGate, DatagramListener, DatagramService, Dtls, Engine,
    FileCertificates, FileClients, Gate, Listener, Service, Shutdown, Tls, UdpConfig,
};
use gatehouse_testkit::{cores::on_server_core, process::Process};
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

/// The first argument of the process that is the server.
const ROLE: &str = "serve";

/// A server that runs until it is dropped.
pub(crate) struct Port {
    process: Process,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) dtls: SocketAddr,
    pub(crate) rustls: SocketAddr,
    pub(crate) openssl: SocketAddr,
}

/// Who is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    /// Peers that were let in over DTLS so far.
    pub(crate) came: u64,
    /// Connections that were let in over TLS so far.
    pub(crate) came_over_tls: u64,
    /// Peers over DTLS that are in now.
    pub(crate) connected: u64,
    /// Those who are in their handshake.
    pub(crate) half_open: u64,
}

impl Port {
    /// A handshake may take so many seconds.
    pub(crate) fn open(chains: &Chains, handshake_seconds: u64) -> Self {
        let mut command = on_server_core(env::current_exe().expect("this program"));
        command.arg(ROLE).arg(chains.file("")).arg(handshake_seconds.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start("device port", command).expect("started");
        let orders = process.child().stdin.take().expect("piped");
        let mut answers = BufReader::new(process.child().stdout.take().expect("piped"));
        let addresses: Vec<SocketAddr> = numbers(&mut answers);
        let [dtls, rustls, openssl] = addresses[..] else { panic!("three addresses, not {addresses:?}") };
        Self { process, orders, answers, dtls, rustls, openssl }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn inside(&mut self) -> Inside {
        self.orders.write_all(b"inside\n").expect("it runs");
        let numbers: Vec<u64> = numbers(&mut self.answers);
        let [came, came_over_tls, connected, half_open] = numbers[..] else { panic!("four numbers, not {numbers:?}") };
        Inside { came, came_over_tls, connected, half_open }
    }
}

fn numbers<T: std::str::FromStr>(answers: &mut impl BufRead) -> Vec<T> {
    let mut line = String::new();
    answers.read_line(&mut line).expect("it runs");
    line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Serves, if that is this process's role, until nobody holds the other end of its input.
pub(crate) fn serve_if_asked() -> bool {
    let mut arguments = env::args_os().skip(1);
    let is_asked = arguments.next().is_some_and(|role| role == ROLE);
    let (folder, seconds) = (arguments.next(), arguments.next().and_then(|seconds| seconds.to_str()?.parse().ok()));
    if let Some((folder, seconds)) = folder.zip(seconds).filter(|_| is_asked) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(serve(Path::new(&folder), Duration::from_secs(seconds))).expect("served");
    }
    is_asked
}

async fn serve(folder: &Path, handshake_timeout: Duration) -> io::Result<()> {
    let source: Arc<dyn CertificateSource> =
        Arc::new(FileCertificates::open(&folder.join("server.pem"), &folder.join("server-key.pem")).expect("a chain"));
    let judge: Arc<dyn ClientJudge> = Arc::new(FileClients::open(&folder.join("anchors.pem"), &[]).expect("anchors"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let udp = UdpConfig { handshake_timeout, sessions: 0, ..UdpConfig::default() };
    let config = Config { handshake_timeout, udp, ..Config::default() };
    let (gate, datagram_gate) = (Gate::new(config.clone()), DatagramGate::new(&config));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let dtls = Dtls::new("dtls", &datagram_gate, source.clone(), &[b"coap"], judge.clone(), clock.clone(), &SystemRandom);
    let datagrams = DatagramListener::bind("dtls", any, Arc::clone(&datagram_gate), Some(dtls)).expect("bound");
    let listener = |name: &str, engine| {
        let tls = Tls::for_devices(name, source.clone(), &[b"coap"], judge.clone(), clock.clone()).only(engine);
        Listener::bind(name, any, Some(tls)).expect("bound")
    };
    let (rustls, openssl) = (listener("rustls", Engine::Rustls), listener("openssl", Engine::OpenSsl));
    let mut out = io::stdout();
    writeln!(out, "{} {} {}", datagrams.address(), rustls.address(), openssl.address())?;
    let (echo, shutdown) = (Arc::new(Echo::default()), Shutdown::new());
    tokio::spawn(datagrams.run(Arc::clone(&echo), shutdown.clone()));
    for listener in [rustls, openssl] {
        tokio::spawn(listener.run(Arc::clone(&echo), Arc::clone(&gate), shutdown.clone()));
    }
    let mut orders = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while orders.next_line().await?.is_some() {
        let (came, over_tls) = (echo.came.load(Relaxed), echo.came_over_tls.load(Relaxed));
        writeln!(out, "{came} {over_tls} {} {}", datagram_gate.connected(), datagram_gate.half_open())?;
    }
    Ok(())
}

/// Says back what it hears, and counts to whom.
#[derive(Debug, Default)]
struct Echo {
    came: AtomicU64,
    came_over_tls: AtomicU64,
}

impl DatagramService for Echo {
    async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
        self.came.fetch_add(1, Relaxed);
        while let Some(record) = connection.receive().await {
            if connection.sender().send(Bytes::clone(&record)).await.is_err() {
                return;
            }
        }
    }
}

impl Service for Echo {
    async fn serve(self: Arc<Self>, connection: Connection) {
        self.came_over_tls.fetch_add(1, Relaxed);
        let mut stream = connection.stream;
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_message(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}
