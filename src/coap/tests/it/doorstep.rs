//! Strangers over plain UDP: none gets more than it has sent, and who shows where it is gets everything.

use crate::world::{World, within};
use bytes::{Bytes, BytesMut};
use gatehouse_coap::{Anyone, Config, Granted, Request, Response, Route, Routes};
use gatehouse_net::Shutdown;
use gatehouse_wire::coap::{Code, ContentFormat, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options, Token};
use tokio::net::UdpSocket;

/// Much longer than whatever asks for it.
const ANSWER: [u8; 900] = [b'x'; 900];

/// A stranger's socket, and the server that it talks to until that is told to stop.
async fn stranger() -> (UdpSocket, Shutdown) {
    let tell = |_: Granted<Anyone>, _: Request| async { Response::body(ContentFormat::TEXT, ANSWER.to_vec()) };
    let (address, shutdown) = World::datagrams(Routes::new().with(Route::get("/long", tell)), Config::default());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    (socket, shutdown)
}

fn encoded(kind: Kind, id: u16, message: Message) -> Bytes {
    let mut bytes = BytesMut::new();
    Datagram { kind, id: MessageId(id), message }.encode(&mut bytes);
    bytes.freeze()
}

fn get(path: &str, token: &[u8], echo: Option<&[u8]>) -> Message {
    let options = Options::builder().path(path).unwrap();
    let options = if let Some(echo) = echo { options.push(OptionNumber::ECHO, echo).unwrap() } else { options };
    Message::new(Code::GET, Token::new(token).unwrap()).with_options(options.build())
}

async fn receive(socket: &UdpSocket) -> (usize, Datagram) {
    let mut buffer = [0; 2048];
    let length = within(socket.recv(&mut buffer)).await.unwrap();
    let limits = Limits { message: buffer.len(), ..Limits::default() };
    (length, Datagram::parse(Bytes::copy_from_slice(&buffer[..length]), &limits).unwrap())
}

#[tokio::test]
async fn no_stranger_gets_more_than_it_sent_whatever_that_was() {
    let (socket, shutdown) = stranger().await;
    let mut id = 0;
    for kind in [Kind::Confirmable, Kind::NonConfirmable] {
        for (path, token) in ["/", "/a", "/long", "/.well-known/core"].into_iter().flat_map(|path| (0..=8).map(move |token| (path, token)))
        {
            for code in [Code::GET, Code::PUT, Code::EMPTY, Code::CONTENT] {
                id += 2;
                let asked = if code == Code::EMPTY {
                    Message::new(code, Token::default())
                } else {
                    Message { code, ..get(path, &[7; 8][..token], None) }
                };
                let sent = encoded(kind, id, asked);
                socket.send(&sent).await.unwrap();
                // Behind it goes what is answered for certain.
                let (last, last_sent) = (id + 1, encoded(Kind::Confirmable, id + 1, get("/long", &[9; 8], None)));
                socket.send(&last_sent).await.unwrap();
                let mut received = 0;
                loop {
                    let (length, answer) = receive(&socket).await;
                    if answer.id == MessageId(last) {
                        assert!(length <= last_sent.len() && answer.message.code == Code::UNAUTHORIZED, "{answer:?}");
                        break;
                    }
                    received += length;
                    assert!(!answer.message.code.is_success(), "{answer:?}");
                }
                assert!(received <= sent.len(), "{received} bytes for {}: {kind:?} {code} {path} {token}", sent.len());
            }
        }
    }
    shutdown.stop();
}

#[tokio::test]
async fn who_brings_the_value_back_is_let_in_and_gets_the_whole_answer() {
    let (socket, shutdown) = stranger().await;
    socket.send(&encoded(Kind::Confirmable, 1, get("/long", &[1; 8], None))).await.unwrap();
    let (_, challenge) = receive(&socket).await;
    let echo = challenge.message.options.first(OptionNumber::ECHO).unwrap();
    socket.send(&encoded(Kind::Confirmable, 2, get("/long", &[2; 8], Some(echo)))).await.unwrap();
    let (_, answer) = receive(&socket).await;
    assert_eq!((answer.message.code, &answer.message.payload[..]), (Code::CONTENT, &ANSWER[..]));
    // From here on it is known.
    socket.send(&encoded(Kind::Confirmable, 3, get("/long", &[3; 8], None))).await.unwrap();
    assert_eq!(receive(&socket).await.1.message.code, Code::CONTENT);
    shutdown.stop();
}
