//! What does the server hold for a connection over which nothing happens?
//!
//! Each peer signs in, which leaves a value in the state of its connection, and is silent then. The figure is what the server's process
//! grows by for each of them, over each transport; what the kernel holds is not in it.
//!
//! `cargo bench -p gatehouse-coap --bench idle`

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

#[path = "../../tests/it/secure.rs"]
mod secure;

use bytes::{Bytes, BytesMut};
use gatehouse_base::{Clock, SimulatedClock, SystemRandom};
use gatehouse_certs::chain::Question;
use gatehouse_coap::{Anyone, Common, Config, Framing, Granted, Request, Response, Route, Routes, Server, Traces};
use gatehouse_net::{Connector, DatagramGate, DatagramListener, Dtls, DtlsClient, DtlsConnector, Gate, Listener, Shutdown, Stream, Tls};
use gatehouse_testkit::{
    cores::{keep_off_server_core, on_server_core, resident},
    process::Process,
};
use gatehouse_types::UnixTime;
use gatehouse_wire::coap::{Code, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options, Token, tcp};
use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

/// Connections that are made before memory is looked at, and those that are counted after that.
const WARM: usize = 100;
const IDLE: usize = 400;

/// After ten seconds of silence an association gives buffers back.
const REST: Duration = Duration::from_secs(12);

const TRANSPORTS: [&str; 4] = ["tcp", "tls", "udp", "dtls"];

fn main() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let role = env::args().nth(1).unwrap_or_default();
    if TRANSPORTS.contains(&role.as_str()) {
        return runtime().block_on(serve(&role));
    }
    keep_off_server_core();
    for transport in TRANSPORTS {
        println!("{transport:5} {:8.1} KiB for an idle connection", runtime().block_on(measured(transport)) / 1024.0);
    }
}

/// What a connection takes of the server's memory.
async fn measured(transport: &str) -> f64 {
    let mut command = on_server_core(env::current_exe().unwrap());
    command.arg(transport).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start("server", command).unwrap();
    let mut line = String::new();
    BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().parse().unwrap();
    let mut kept = Vec::new();
    for _ in 0..WARM {
        kept.push(signed_in(transport, address).await);
    }
    tokio::time::sleep(REST).await;
    let before = resident(process.id());
    for _ in 0..IDLE {
        kept.push(signed_in(transport, address).await);
    }
    tokio::time::sleep(REST).await;
    resident(process.id()).saturating_sub(before) as f64 / IDLE as f64
}

/// What a device was signed in as.
struct SignedIn(#[expect(dead_code, reason = "it is there to take its place")] String);

async fn serve(transport: &str) {
    let sign_in = |_: Granted<Anyone>, request: Request| async move {
        drop(request.connection().set(SignedIn("00112233-4455-6677-8899-aabbccddeeff".to_owned())));
        Response::new(Code::CHANGED)
    };
    // What is empty is given back when it is time for a ping, which nobody answers here.
    let (keep_alive, keep_alive_check) = (REST, Duration::from_secs(3600));
    let config = Config { keep_alive, keep_alive_check, ..Config::default() };
    let net = gatehouse_net::Config { connections_per_peer: 10_000, ..gatehouse_net::Config::default() };
    let common = Common::new(&config, Traces::new());
    let routes = Routes::new().with(Route::post("/session", sign_in));
    let server = Arc::new(Server::new(routes, Framing::Standard, config, &common, Arc::new(SystemRandom)));
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(UnixTime::from(Question::CLIENT.at)));
    let here = ([127, 0, 0, 1], 0).into();
    let announce = |address: SocketAddr| println!("{address}");
    if matches!(transport, "tcp" | "tls") {
        let tls = (transport == "tls").then(|| Tls::for_devices("bench", secure::own(), &[b"coap"], secure::judge(), clock));
        let listener = Listener::bind("bench", here, tls).unwrap();
        announce(listener.address());
        return listener.run(server, Gate::new(net), Shutdown::new()).await;
    }
    let gate = DatagramGate::new(&net);
    let own = || Dtls::new("bench", &gate, secure::own(), &[b"coap"], secure::judge(), clock, &SystemRandom);
    let dtls = (transport == "dtls").then(own);
    let listener = DatagramListener::bind("bench", here, gate.clone(), dtls).unwrap();
    announce(listener.address());
    listener.run(server, Shutdown::new()).await;
}

/// A connection that is kept.
#[expect(dead_code, reason = "they are there to be kept")]
enum Kept {
    Tcp(TcpStream),
    Tls(Stream),
    Udp(UdpSocket),
    Dtls(Box<DtlsClient>),
}

async fn signed_in(transport: &str, address: SocketAddr) -> Kept {
    let device = secure::device();
    match transport {
        "tcp" => Kept::Tcp(over_stream(TcpStream::connect(address).await.unwrap()).await),
        "tls" => {
            let tcp = TcpStream::connect(address).await.unwrap();
            let (stream, _) = Connector::new(secure::options(&device)).unwrap().connect(tcp, None).await.unwrap();
            Kept::Tls(over_stream(stream).await)
        }
        "udp" => {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(address).await.unwrap();
            let mut buffer = [0; 2048];
            socket.send(&datagram(1, None)).await.unwrap();
            let length = socket.recv(&mut buffer).await.unwrap();
            let challenge = parsed(&buffer[..length]);
            socket.send(&datagram(2, challenge.options.first(OptionNumber::ECHO))).await.unwrap();
            let length = socket.recv(&mut buffer).await.unwrap();
            assert_eq!(parsed(&buffer[..length]).code, Code::CHANGED);
            Kept::Udp(socket)
        }
        _ => {
            let mut client = DtlsConnector::new(secure::options(&device)).unwrap().connect(address, None).await.unwrap();
            client.send(&datagram(1, None)).await.unwrap();
            assert_eq!(parsed(&client.receive().await.unwrap().unwrap()).code, Code::CHANGED);
            Kept::Dtls(Box::new(client))
        }
    }
}

/// Signs in over a stream, with an empty CSM before it.
async fn over_stream<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> S {
    for message in [Message::new(Code::CSM, Token::EMPTY), message(None)] {
        let mut bytes = BytesMut::new();
        tcp::encode(&message, &mut bytes);
        stream.write_all(&bytes).await.unwrap();
    }
    stream.flush().await.unwrap();
    let (mut decoder, mut arrived) = (tcp::Decoder::new(Limits::default()), BytesMut::new());
    loop {
        match decoder.decode(&mut arrived).unwrap() {
            Some(message) if message.code.is_response() => {
                assert_eq!(message.code, Code::CHANGED);
                return stream;
            }
            Some(_) => {}
            None => assert_ne!(stream.read_buf(&mut arrived).await.unwrap(), 0),
        }
    }
}

fn message(echo: Option<&[u8]>) -> Message {
    let options = Options::builder().path("/session").unwrap();
    let options = if let Some(echo) = echo { options.push(OptionNumber::ECHO, echo).unwrap() } else { options };
    Message::new(Code::POST, Token::from([7; 8])).with_options(options.build()).with_payload("sign in")
}

fn datagram(id: u16, echo: Option<&[u8]>) -> Bytes {
    let mut bytes = BytesMut::new();
    Datagram { kind: Kind::Confirmable, id: MessageId(id), message: message(echo) }.encode(&mut bytes);
    bytes.freeze()
}

fn parsed(bytes: &[u8]) -> Message {
    Datagram::parse(Bytes::copy_from_slice(bytes), &Limits::default()).unwrap().message
}
