//! The servers: the door and the echo, which are this very program with another role, and libcoap's.

use crate::{BODY, LARGE, SMALL, Server};
use gatehouse_base::SystemRandom;
use gatehouse_coap::{Anyone, Common, Config, Framing, Granted, Request, Response, Route, Routes, Server as Door, Traces};
use gatehouse_net::{DatagramGate, DatagramListener, Shutdown};
use gatehouse_testkit::{
    cores::on_server_core,
    process::{Process, free_port, poll_until},
    require_tool,
};
use gatehouse_wire::coap::ContentFormat;
use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

pub(crate) const DOOR: &str = "gatehouse";
pub(crate) const ECHO: &str = "bare echo";
pub(crate) const LIBCOAP: &str = "libcoap";

/// What libcoap answers is as long.
const TIME: &str = "Nov 21 15:14:00";

/// Serves, if that is this process's role.
pub(crate) fn serve_if_asked() -> bool {
    match env::args().nth(1).as_deref() {
        Some("serve-door") => tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(serve()),
        Some("serve-echo") => send_back(),
        _ => return false,
    }
    true
}

pub(crate) fn door() -> Server {
    own(DOOR, "serve-door")
}

pub(crate) fn echo() -> Server {
    own(ECHO, "serve-echo")
}

fn own(name: &'static str, role: &str) -> Server {
    let mut command = on_server_core(env::current_exe().expect("this program"));
    command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start(name, command).expect("started");
    let mut line = String::new();
    BufReader::new(process.child().stdout.take().expect("piped")).read_line(&mut line).expect("it runs");
    let address = line.trim().parse().expect("an address");
    Server { name, process, address }
}

async fn serve() {
    let body = vec![0x5a_u8; BODY];
    let small = |_: Granted<Anyone>, _: Request| async { Response::body(ContentFormat::TEXT, TIME) };
    let large = move |_: Granted<Anyone>, _: Request| {
        let answer = Response::body(ContentFormat::OCTET_STREAM, body.clone());
        async move { answer }
    };
    let routes = Routes::new().with(Route::get("/time", small)).with(Route::get("/example_data", large).tagged());
    let config = Config::default();
    let common = Common::new(&config, Traces::new());
    let door = Arc::new(Door::new(routes, Framing::Standard, config, &common, Arc::new(SystemRandom)));
    let gate = DatagramGate::new(&gatehouse_net::Config::default());
    let listener = DatagramListener::bind("bench", ([127, 0, 0, 1], 0).into(), gate, None).expect("bound");
    announce(listener.address());
    listener.run(door, Shutdown::new()).await;
}

fn send_back() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    announce(socket.local_addr().expect("bound"));
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        drop(socket.send_to(&buffer[..length], from));
    }
}

fn announce(address: SocketAddr) {
    writeln!(io::stdout(), "{address}").expect("somebody reads");
}

/// libcoap's server, if it is installed.
pub(crate) fn libcoap() -> Option<Server> {
    let port = free_port().ok()?;
    let mut command = on_server_core(require_tool("coap-server-notls")?);
    command.args(["-A", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::start(LIBCOAP, command).expect("started");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let answers = || client(&["-B", "1", &format!("coap://{address}/{SMALL}")]).filter(|said| !said.is_empty());
    poll_until(Duration::from_secs(10), answers).expect("libcoap's server answers");
    Some(Server { name: LIBCOAP, process, address })
}

/// Puts the body where it is to be fetched from; whether it is there.
pub(crate) fn upload(server: SocketAddr) -> bool {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), vec![0x5a; BODY]).expect("written");
    let (path, url) = (file.path().display().to_string(), format!("coap://{server}/{LARGE}"));
    client(&["-m", "put", "-b", "1024", "-t", "42", "-f", &path, &url]);
    client(&["-b", "1024", &url]).is_some_and(|body| body.len() >= BODY)
}

/// What libcoap's client has written.
fn client(arguments: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new(require_tool("coap-client-notls")?);
    let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut said = Vec::new();
    child.stdout.take()?.read_to_end(&mut said).ok()?;
    child.wait().ok()?;
    Some(said)
}
