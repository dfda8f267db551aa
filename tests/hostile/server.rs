//! The server under fire: the program itself, with a port for devices over DTLS and one over TLS, on a core of its own. What it does
//! is read where an operator would: its metrics, and its memory as the kernel counts it.

use crate::{device_port::chains::Chains, siege::Amounts};
use gatehouse_testkit::{
    cores,
    server::{Installation, Server},
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

const LISTENERS: &str = "
[listener.metrics]
address = \"127.0.0.1:0\"
role = \"metrics\"
[listener.datagrams]
address = \"127.0.0.1:0\"
role = \"coaps\"
certificate = \"server.pem\"
key = \"server-key.pem\"
client_anchors = \"anchors.pem\"
[listener.streams]
address = \"127.0.0.1:0\"
role = \"coaps+tcp\"
certificate = \"server.pem\"
key = \"server-key.pem\"
client_anchors = \"anchors.pem\"
";

/// Sessions that can be taken up again are kept in so small a number that the first round reaches it: what is bounded shall not look
/// like growth.
const SESSIONS: usize = 64;

/// The running program.
pub(crate) struct Port {
    server: Server,
    pub(crate) dtls: SocketAddr,
    pub(crate) tls: SocketAddr,
}

/// What the server has counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside {
    /// Peers that were let in over DTLS so far.
    pub(crate) came: u64,
    /// Connections whose TLS handshake was ended so far.
    pub(crate) came_over_tls: u64,
    /// Peers that are in their DTLS handshake.
    pub(crate) half_open: u64,
    /// Connections over TCP that are open, handshakes included.
    pub(crate) streams: u64,
    /// Observations that peers hold.
    pub(crate) observations: u64,
    /// What the CoAP door has refused for a limit.
    pub(crate) refused: u64,
}

impl Port {
    pub(crate) fn open(chains: &Chains, amounts: &Amounts) -> Self {
        let Amounts { handshake_seconds, half_open, .. } = amounts;
        let limits = format!(
            "\n[net]\nhandshake_timeout = \"{handshake_seconds}s\"\n\
             [net.udp]\nhandshake_timeout = \"{handshake_seconds}s\"\nhalf_open = {half_open}\nhalf_open_per_network = {}\nsessions = {SESSIONS}",
            half_open / 8
        );
        let installation = Installation::new(env!("CARGO_BIN_EXE_gatehouse"), &format!("{limits}{LISTENERS}")).expect("an installation");
        for name in ["server.pem", "server-key.pem", "anchors.pem"] {
            fs::copy(chains.file(name), installation.folder().join(name)).expect("copied");
        }
        let server = installation.start_on_server_core().expect("the server starts");
        let [dtls, tls] = ["datagrams", "streams"].map(|listener| server.address(listener));
        Self { server, dtls, tls }
    }

    pub(crate) fn memory(&mut self) -> u64 {
        cores::resident(self.server.process().id())
    }

    pub(crate) fn inside(&self) -> Inside {
        let told = self.metrics();
        Inside {
            came: sum(&told, "gatehouse_net_accepted_total", "listener=\"datagrams\""),
            came_over_tls: sum(&told, "gatehouse_net_tls_connections_total", "listener=\"streams\""),
            half_open: sum(&told, "gatehouse_net_half_open", "listener=\"datagrams\""),
            streams: sum(&told, "gatehouse_net_connections", "listener=\"streams\""),
            observations: sum(&told, "gatehouse_coap_observations", ""),
            refused: sum(&told, "gatehouse_coap_refused_total", ""),
        }
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.server.address("metrics")).expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
        let mut told = String::new();
        stream.read_to_string(&mut told).expect("answered");
        told
    }
}

/// The sum of all lines of a metric that have this label.
fn sum(told: &str, metric: &str, label: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(metric)?.strip_prefix(['{', ' '])?;
        let (labels, value) = rest.rsplit_once(' ').unwrap_or(("", rest));
        labels.contains(label).then(|| value.trim().parse::<f64>().ok())?
    };
    told.lines().filter_map(value).sum::<f64>() as u64
}
