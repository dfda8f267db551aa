//! A server that says nothing, the wrong thing, or rubbish.

use crate::support::request;
use bytes::{Bytes, BytesMut};
use gatehouse_client::{Client, ConnectError, Ending, RequestError, Settings};
use gatehouse_wire::coap::{Code, Datagram, Kind, Limits, Uri, endpoint::Failure};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

fn hasty() -> Settings {
    let mut settings = Settings { connect_timeout: Duration::from_millis(300), ..Settings::default() };
    settings.endpoint.reliability.ack_timeout = Duration::from_millis(20);
    settings.endpoint.reliability.max_retransmit = 2;
    settings
}

async fn socket() -> (UdpSocket, Uri) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let uri = format!("coap://{}/a", socket.local_addr().expect("an address")).parse().expect("a URI");
    (socket, uri)
}

async fn next(socket: &UdpSocket) -> (Bytes, std::net::SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).await.expect("received");
    (Bytes::copy_from_slice(&buffer[..length]), from)
}

#[tokio::test]
async fn silence_is_a_timeout_after_the_repetitions() {
    let (socket, uri) = socket().await;
    let client = Client::connect(&uri, hasty()).await.expect("no handshake");
    let failed = client.request(request(Code::GET, &uri)).await.expect_err("silence");
    assert!(matches!(failed, RequestError::Failed(Failure::Timeout)), "{failed}");
    let (first, _) = next(&socket).await;
    for _ in 0..2 {
        assert_eq!(next(&socket).await.0, first, "a repetition is the same datagram");
    }
    assert!(socket.try_recv(&mut [0; 1]).is_err(), "one message and two repetitions");
}

#[tokio::test]
async fn a_reset_ends_a_request_and_garbage_before_it_does_not() {
    let (socket, uri) = socket().await;
    let client = Client::connect(&uri, hasty()).await.expect("no handshake");
    let server = async {
        let (asked, from) = next(&socket).await;
        let id = Datagram::parse(asked, &Limits::default()).expect("a request").id;
        let mut reset = BytesMut::new();
        Datagram::empty(Kind::Reset, id).encode(&mut reset);
        for datagram in [&b""[..], b"\xff\xff\xff\xff", b"\x60", &[0; 1400], &reset] {
            socket.send_to(datagram, from).await.expect("sent");
        }
    };
    let (failed, ()) = tokio::join!(client.request(request(Code::GET, &uri)), server);
    assert!(matches!(failed, Err(RequestError::Failed(Failure::Reset))), "{failed:?}");
}

#[tokio::test]
async fn nobody_at_the_port_is_heard_at_once() {
    let (socket, uri) = socket().await;
    drop(socket);
    let client = Client::connect(&uri, Settings::default()).await.expect("no handshake");
    let failed = client.request(request(Code::GET, &uri)).await.expect_err("nobody");
    assert!(
        matches!(&failed, RequestError::Ended(Ending::Lost(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused),
        "{failed}"
    );
}

#[tokio::test]
async fn a_stream_without_an_introduction_and_one_of_rubbish_are_no_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let uri: Uri = format!("coap+tcp://{}/a", listener.local_addr().expect("an address")).parse().expect("a URI");
    let (silent, held) = tokio::join!(Client::connect(&uri, hasty()), listener.accept());
    assert!(matches!(silent, Err(ConnectError::Timeout)), "{silent:?}");
    drop(held);
    let rubbish = async {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        stream.write_all(b"\x0fnonsense").await.expect("written");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.expect("read");
        said
    };
    let (broken, said) = tokio::join!(Client::connect(&uri, Settings::default()), rubbish);
    assert!(matches!(broken, Err(ConnectError::Ended(Ending::Broken(_)))), "{broken:?}");
    assert!(said.contains(&Code::ABORT.byte()), "the server is told: {said:02x?}");
}

#[tokio::test]
async fn a_server_that_leaves_takes_its_requests_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let uri: Uri = format!("coap+tcp://{}/a", listener.local_addr().expect("an address")).parse().expect("a URI");
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        stream.write_all(b"\x00\xe1").await.expect("an introduction");
        // Our introduction and the request.
        let mut asked = Vec::new();
        while !asked.windows(2).any(|pair| pair == b"\xb1a") {
            stream.read_buf(&mut asked).await.expect("read");
        }
    };
    let client = async {
        let client = Client::connect(&uri, Settings::default()).await.expect("introduced");
        client.request(request(Code::GET, &uri)).await.expect_err("no answer")
    };
    let ((), failed) = tokio::join!(server, client);
    assert!(matches!(failed, RequestError::Ended(Ending::ByServer | Ending::Lost(_))), "{failed}");
}

#[tokio::test]
async fn whoever_asks_after_the_end_is_told_why_it_has_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let uri: Uri = format!("coap+tcp://{}/a", listener.local_addr().expect("an address")).parse().expect("a URI");
    for (leave, expected) in [
        (&b""[..], "the server closed it"),
        // RFC 8323 §5.5, §5.6: Release, and Abort with its reason.
        (b"\x00\xe4", "the server took leave"),
        (b"\x40\xe5\xffbad", "the server aborted it: bad"),
    ] {
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            stream.write_all(b"\x00\xe1").await.expect("an introduction");
            let mut asked = Vec::new();
            while !asked.windows(2).any(|pair| pair == b"\xb1a") {
                stream.read_buf(&mut asked).await.expect("read");
            }
            stream.write_all(leave).await.expect("written");
            stream.shutdown().await.expect("shut down");
            let mut rest = Vec::new();
            // What the client still says; it may be gone in the middle of it.
            let _ = stream.read_to_end(&mut rest).await;
        };
        let client = async {
            let client = Client::connect(&uri, Settings::default()).await.expect("introduced");
            // The first is under way when it ends, and the second comes after that.
            let first = client.request(request(Code::GET, &uri)).await.expect_err("no answer").to_string();
            let second = client.request(request(Code::GET, &uri)).await.expect_err("no answer").to_string();
            (first, second, client.ending().expect("it has ended").to_string())
        };
        let ((), (first, second, ending)) = tokio::join!(server, client);
        let said = format!("the connection has ended: {expected}");
        assert_eq!((first, second, ending), (said.clone(), said, expected.to_owned()));
    }
}
