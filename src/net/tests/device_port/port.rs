//! The server: this very program, started once more with another role. It serves devices over TLS, once for each engine, and over
//! DTLS, and says back what it hears.

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
    process::{ChildStdin, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::io::AsyncReadExt;

/// The first argument of the process that is the server.
const ROLE: &str = "serve";

/// A server that runs until it is dropped.
pub(crate) struct Port {
    process: Process,
    /// Which holds it up.
    _input: ChildStdin,
    pub(crate) dtls: SocketAddr,
    pub(crate) rustls: SocketAddr,
    pub(crate) openssl: SocketAddr,
}

impl Port {
    /// A handshake may take so many seconds.
    pub(crate) fn open(chains: &Chains, handshake_seconds: u64) -> Self {
        let mut command = on_server_core(env::current_exe().expect("this program"));
        command.arg(ROLE).arg(chains.file("")).arg(handshake_seconds.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start("device port", command).expect("started");
        let input = process.child().stdin.take().expect("piped");
        let mut line = String::new();
        BufReader::new(process.child().stdout.take().expect("piped")).read_line(&mut line).expect("it runs");
        let addresses: Vec<SocketAddr> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [dtls, rustls, openssl] = addresses[..] else { panic!("three addresses, not {addresses:?}") };
        Self { process, _input: input, dtls, rustls, openssl }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
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
    let judge: Arc<dyn ClientJudge> = Arc::new(FileClients::open(&folder.join("anchors.pem"), &[], 4096).expect("anchors"));
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
    let (echo, shutdown) = (Arc::new(Echo), Shutdown::new());
    tokio::spawn(datagrams.run(Arc::clone(&echo), shutdown.clone()));
    for listener in [rustls, openssl] {
        tokio::spawn(listener.run(Arc::clone(&echo), Arc::clone(&gate), shutdown.clone()));
    }
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// Says back what it hears.
struct Echo;

impl DatagramService for Echo {
    async fn serve(self: Arc<Self>, mut connection: DatagramConnection) {
        while let Some(record) = connection.receive().await {
            if connection.sender().send(Bytes::clone(&record)).await.is_err() {
                return;
            }
        }
    }
}

impl Service for Echo {
    async fn serve(self: Arc<Self>, connection: Connection) {
        let mut stream = connection.stream;
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_message(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}
