//! What devices say once they are inside: requests over DTLS and over TLS, good ones and bad ones.

use crate::device_port::client::LIMIT;
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{
    Code, Datagram, Kind, Limits, Message, MessageId, Options, OptionsBuilder, Signal, Token,
    signal::Csm,
    tcp::{self, Decoder},
};
use openssl::ssl::{Ssl, SslContext, SslStream};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

/// What good clients ask for.
const PATH: &str = "/health";

/// A request with a number of its own.
pub(crate) fn request(code: Code, path: &str, number: u64, set: impl FnOnce(OptionsBuilder) -> OptionsBuilder, payload: &[u8]) -> Message {
    let options = set(Options::builder().path(path).expect("a path"));
    let token = Token::new(&number.to_be_bytes()).expect("eight bytes");
    Message::new(code, token).with_options(options.build()).with_payload(Bytes::copy_from_slice(payload))
}

/// The same as a datagram.
pub(crate) fn datagram(message: Message, number: u64) -> Vec<u8> {
    let datagram = Datagram { kind: Kind::Confirmable, id: MessageId(number as u16), message };
    let mut written = BytesMut::new();
    datagram.encode(&mut written);
    written.to_vec()
}

/// What a good client says over DTLS.
pub(crate) fn good(number: u64) -> Vec<u8> {
    datagram(request(Code::GET, PATH, number, |options| options, b""), number)
}

/// Whether this is the answer to the good request of this number.
pub(crate) fn answers(answer: &[u8], number: u64) -> bool {
    let parsed = Datagram::parse(Bytes::copy_from_slice(answer), &Limits::default());
    parsed.is_ok_and(|datagram| is_answer(&datagram.message, number))
}

fn is_answer(message: &Message, number: u64) -> bool {
    message.code == Code::CONTENT && message.token.as_bytes() == number.to_be_bytes()
}

/// A connection from an address of our choice.
pub(crate) fn connect(from: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// A device that is connected over TLS.
pub(crate) struct StreamClient {
    stream: SslStream<TcpStream>,
    decoder: Decoder,
    arrived: BytesMut,
}

impl StreamClient {
    pub(crate) fn connect(context: &SslContext, from: [u8; 4], to: SocketAddr) -> Option<Self> {
        let mut ssl = Ssl::new(context).ok()?;
        ssl.set_connect_state();
        let mut stream = SslStream::new(ssl, connect(from, to).ok()?).ok()?;
        stream.do_handshake().ok()?;
        let mut client = Self { stream, decoder: Decoder::new(Limits::default()), arrived: BytesMut::new() };
        let hello = Signal::Csm(Csm { max_message_size: Some(65_536), block_wise: true });
        client.say(&hello.to_message(Token::EMPTY)).then_some(client)
    }

    pub(crate) fn say(&mut self, message: &Message) -> bool {
        let mut written = BytesMut::new();
        tcp::encode(message, &mut written);
        self.write(&written)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The answer to a request that was sent. Everything before it is passed over.
    fn answer(&mut self, number: u64) -> bool {
        let begun = Instant::now();
        let mut buffer = [0; 4096];
        while begun.elapsed() < LIMIT {
            while let Ok(Some(message)) = self.decoder.decode(&mut self.arrived) {
                if is_answer(&message, number) {
                    return true;
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => self.arrived.extend_from_slice(&buffer[..length]),
                _ => return false,
            }
        }
        false
    }

    /// A good request and its answer.
    pub(crate) fn ask(&mut self, number: u64) -> bool {
        self.say(&request(Code::GET, PATH, number, |options| options, b"")) && self.answer(number)
    }
}
