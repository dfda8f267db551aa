//! Balancers tell whose connection they bring; nobody else does.

use gatehouse_net::{Config, Connection, Gate, Listener, Network, Service, Shutdown};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Answers the address that it believes to see, and then what it hears.
struct Mirror;

impl Service for Mirror {
    async fn serve(self: Arc<Self>, mut connection: Connection) {
        let seen = connection.peer.address().ip().to_string();
        let mut first = [0; 5];
        if connection.stream.read_exact(&mut first).await.is_ok() {
            let _ = connection.stream.write_message(&[seen.as_bytes(), b" ", &first].concat()).await;
            let _ = connection.stream.read(&mut first).await;
        }
    }
}

fn open(proxy_from: &[&str], limits: Config) -> SocketAddr {
    let networks: Vec<Network> = proxy_from.iter().map(|network| network.parse().expect("a network")).collect();
    let listener = Listener::bind("public", ([127, 0, 0, 1], 0).into(), None).expect("bound").behind(networks);
    let address = listener.address();
    tokio::spawn(listener.run(Arc::new(Mirror), Gate::new(limits), Shutdown::new()));
    address
}

async fn say(address: SocketAddr, bytes: &[u8]) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(address).await.expect("connected");
    tcp.write_all(bytes).await.expect("sent");
    let mut answer = [0; 64];
    let count = tcp.read(&mut answer).await.unwrap_or(0);
    (tcp, String::from_utf8_lossy(&answer[..count]).into_owned())
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\nhello";

#[tokio::test]
async fn a_known_balancers_client_is_the_peer() {
    let address = open(&["127.0.0.0/8"], Config::default());
    assert_eq!(say(address, V1).await.1, "192.0.2.7 hello");
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x08\x0a\x00\x00\x01\x30\x39\x01\xbbhello";
    assert_eq!(say(address, v2).await.1, "192.0.2.8 hello");
    assert_eq!(say(address, b"PROXY UNKNOWN\r\nhello").await.1, "127.0.0.1 hello");
}

#[tokio::test]
async fn a_header_in_pieces_is_put_together_and_what_follows_is_not_lost() {
    let address = open(&["127.0.0.1"], Config::default());
    let mut tcp = TcpStream::connect(address).await.expect("connected");
    tcp.set_nodelay(true).expect("set");
    for byte in V1 {
        tcp.write_all(&[*byte]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 15];
    tcp.read_exact(&mut answer).await.expect("answered");
    assert_eq!(&answer, b"192.0.2.7 hello");
}

#[tokio::test]
async fn a_balancer_without_a_header_is_closed() {
    let address = open(&["127.0.0.0/8"], Config::default());
    for bytes in [b"hello, who is there".as_slice(), b"PROXY TCP4 nonsense\r\n", &[0x16; 300]] {
        assert_eq!(say(address, bytes).await.1, "");
    }
}

#[tokio::test]
async fn from_anybody_else_the_header_is_not_read() {
    for proxy_from in [&[][..], &["10.0.0.0/8"]] {
        assert_eq!(say(open(proxy_from, Config::default()), V1).await.1, "127.0.0.1 PROXY");
    }
}

#[tokio::test]
async fn the_client_is_counted_and_not_the_balancer() {
    let address = open(&["127.0.0.0/8"], Config { connections_per_peer: 1, ..Config::default() });
    let (_first, answer) = say(address, V1).await;
    assert_eq!(answer, "192.0.2.7 hello");
    assert_eq!(say(address, V1).await.1, "", "the same client a second time");
    let other = b"PROXY TCP4 192.0.2.9 10.0.0.1 12345 443\r\nhello";
    assert_eq!(say(address, other).await.1, "192.0.2.9 hello");
}
