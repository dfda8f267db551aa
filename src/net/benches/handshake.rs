//! What does a handshake cost the server, and what does an idle connection hold?
//!
//! Every handshake is full and mutual: TLS or DTLS 1.2, ECDHE on P-256, AES-128-GCM, a leaf and an intermediate on both sides. The
//! figure is handshakes in a second of the server's processor time. Beside our engines, with the same chains and the same client:
//! `openssl s_server` for TLS, libcoap's server on GnuTLS for DTLS (the aim is three times that one), and the primitives that no server
//! can leave out, which are one signature, two verifications (the peer's, and that of its leaf: the intermediate is known), and a key
//! agreement with a new key. Servers run on one core, the clients on another: eight at once, so that no server is measured while it wakes
//! up for a single datagram, except `s_server`, which serves one after the other.
//!
//! `cargo bench -p gatehouse-net --bench handshake -- --seconds 10`

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

#[allow(dead_code, reason = "each of its users takes what it needs")]
#[path = "../tests/device_port/mod.rs"]
mod device_port;
mod floor;

use device_port::{
    chains::Chains,
    client::{Client, context, dtls, socket},
    port::{self, Port},
};
use gatehouse_testkit::{
    cores::{self, on_server_core, processor_time, resident},
    process::{Process, accepts, free_port, poll_until},
    require_tool,
};
use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream, SslVersion};
use std::{
    env,
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Connections that are opened before memory is looked at, and those that are counted after that.
const WARM: usize = 100;
const IDLE: usize = 500;

/// Clients at the same time.
const CLIENTS: usize = 8;

/// Nobody here needs so long.
const HANDSHAKE_SECONDS: u64 = 10;

/// In which a server frees what handshakes have taken.
const REST: Duration = Duration::from_secs(2);

/// How long a server may take to be there.
const START: Duration = Duration::from_secs(10);

fn main() {
    if port::serve_if_asked() {
        return;
    }
    let mut arguments = env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(10);
    let time = Duration::from_secs(seconds);
    cores::keep_off_server_core();
    let chains = Chains::make();
    let tls = context(&chains, "device", SslMethod::tls_client(), |builder| {
        builder.set_max_proto_version(Some(SslVersion::TLS1_2)).expect("a version");
    });
    let datagrams = dtls(&chains, "device");

    println!("{:24} {:8.0}", "floor, ring", floor::ring(time));
    println!("{:24} {:8.0}", "floor, OpenSSL", floor::openssl(time));
    let port = Port::open(&chains, HANDSHAKE_SECONDS);
    let mut rates = Vec::new();
    for (name, address) in [("TLS, rustls", port.rustls), ("TLS, OpenSSL", port.openssl)] {
        rates.push((name, rate(port.id(), time, || connect(&tls, address).map(good_bye).is_some())));
    }
    if let Some((server, address)) = s_server(&chains) {
        rates.push(("TLS, openssl s_server", rate(server.id(), time, || connect(&tls, address).map(good_bye).is_some())));
    }
    rates.push(("DTLS", rate(port.id(), time, || associate(&datagrams, port.dtls).map(Client::close).is_some())));
    if let Some((server, address)) = libcoap(&chains) {
        // It has no other way to say that it is ready.
        poll_until(START, || associate(&datagrams, address)).expect("libcoap's server answers").close();
        rates.push(("DTLS, libcoap on GnuTLS", rate(server.id(), time, || associate(&datagrams, address).map(Client::close).is_some())));
    }
    for (name, rate) in &rates {
        println!("{name:24} {rate:8.0} handshakes in a second of the server's processor");
    }
    let of = |wanted: &str| rates.iter().find(|(name, _)| *name == wanted).map(|(_, rate)| *rate);
    for (ours, theirs) in
        [("TLS, rustls", "TLS, openssl s_server"), ("TLS, OpenSSL", "TLS, openssl s_server"), ("DTLS", "DTLS, libcoap on GnuTLS")]
    {
        if let Some((mine, other)) = of(ours).zip(of(theirs)) {
            println!("{ours} / {theirs}: {:.2}", mine / other);
        }
    }
    drop(port);
    memory(&chains, &tls, &datagrams);
}

/// What one idle connection of each kind holds, each in a new process.
fn memory(chains: &Chains, tls: &SslContext, datagrams: &SslContext) {
    for (name, open) in [
        ("TLS, rustls", (&|port: &Port| connect(tls, port.rustls).map(Held::Stream)) as &dyn Fn(&Port) -> Option<Held>),
        ("TLS, OpenSSL", &|port| connect(tls, port.openssl).map(Held::Stream)),
        ("DTLS", &|port| associate(datagrams, port.dtls).map(Held::Association)),
    ] {
        let port = Port::open(chains, HANDSHAKE_SECONDS);
        let mut held: Vec<Held> = (0..WARM).map(|_| open(&port).expect("let in")).collect();
        thread::park_timeout(REST);
        let before = resident(port.id());
        held.extend((0..IDLE).map(|_| open(&port).expect("let in")));
        thread::park_timeout(REST);
        let each = (resident(port.id()) - before) as f64 / IDLE as f64 / 1024.0;
        println!("{name:24} {each:8.1} kB for an idle connection; {} were held", held.len());
        held.into_iter().for_each(Held::close);
    }
}

/// A client that stays.
enum Held {
    Stream(SslStream<TcpStream>),
    Association(Client),
}

impl Held {
    fn close(self) {
        match self {
            Self::Stream(stream) => good_bye(stream),
            Self::Association(client) => client.close(),
        }
    }
}

/// Handshakes in a second of the server's processor time.
fn rate(server: u32, time: Duration, handshake: impl Fn() -> bool + Sync) -> f64 {
    for _ in 0..20 {
        assert!(handshake(), "a handshake fails");
    }
    let (begun, before) = (Instant::now(), processor_time(server));
    let client = || {
        let mut count = 0_u32;
        while begun.elapsed() < time {
            assert!(handshake(), "a handshake fails");
            count += 1;
        }
        count
    };
    let count: u32 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().expect("its handshakes succeed")).sum()
    });
    f64::from(count) / (processor_time(server) - before).as_secs_f64()
}

fn connect(context: &SslContext, address: SocketAddr) -> Option<SslStream<TcpStream>> {
    let socket = TcpStream::connect(address).ok()?;
    socket.set_nodelay(true).ok()?;
    let mut stream = SslStream::new(Ssl::new(context).ok()?, socket).ok()?;
    stream.connect().ok()?;
    Some(stream)
}

fn good_bye(mut stream: SslStream<TcpStream>) {
    drop(stream.shutdown());
}

fn associate(context: &SslContext, address: SocketAddr) -> Option<Client> {
    let mut client = Client::new(context, socket([127, 0, 0, 1], address));
    client.connect().then_some(client)
}

fn s_server(chains: &Chains) -> Option<(Process, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().ok()?));
    let mut command = on_server_core(require_tool("openssl")?);
    command.args(["s_server", "-tls1_2", "-www", "-no_cache", "-no_ticket", "-verify_return_error", "-Verify", "3"]);
    command.args(["-accept", &address.to_string()]);
    for (flag, name) in
        [("-cert", "server.pem"), ("-cert_chain", "intermediate.pem"), ("-key", "server-key.pem"), ("-CAfile", "anchors.pem")]
    {
        command.arg(flag).arg(chains.file(name));
    }
    let server = start("s_server", command);
    poll_until(START, || accepts(address).then_some(())).expect("s_server listens");
    Some((server, address))
}

/// It listens for DTLS on the port behind the one that it is told.
fn libcoap(chains: &Chains) -> Option<(Process, SocketAddr)> {
    let number = free_port().ok()?;
    let mut command = on_server_core(require_tool("coap-server-gnutls")?);
    command.args(["-A", "127.0.0.1", "-p", &number.to_string()]);
    for (flag, name) in [("-c", "server.pem"), ("-j", "server-key.pem"), ("-C", "anchors.pem")] {
        command.arg(flag).arg(chains.file(name));
    }
    Some((start("coap-server-gnutls", command), ([127, 0, 0, 1], number + 1).into()))
}

fn start(name: &str, mut command: Command) -> Process {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Process::start(name, command).expect("started")
}
