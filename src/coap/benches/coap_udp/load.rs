//! Peers that ask and count, and do little else: they are to be faster than any server.

use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{Code, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options, Token};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// So many peers, each of which has asked so many things at once. All of it fits into what a socket keeps.
const PEERS: usize = 16;
const AT_ONCE: usize = 8;

/// RFC 7959 §2.2: blocks of 1024 bytes.
const BLOCK: usize = 1024;
const EXPONENT: u32 = 6;

/// How long an answer is awaited.
const PATIENCE: Duration = Duration::from_millis(500);

/// The peers.
pub(crate) struct Load {
    peers: Vec<UdpSocket>,
    path: &'static str,
    /// Whether answers are those of CoAP.
    speaks: bool,
    id: u16,
    pub(crate) lost: u64,
}

impl Load {
    pub(crate) fn new(server: SocketAddr, path: &'static str, speaks: bool) -> Self {
        let peer = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            socket.connect(server).expect("connected");
            socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
            socket
        };
        let peers: Vec<UdpSocket> = (0..PEERS).map(|_| peer()).collect();
        peers.iter().filter(|_| speaks).for_each(|peer| introduce(peer, path));
        Self { peers, path, speaks, id: 0, lost: 0 }
    }

    /// Asks for so long. Returns how many answers came.
    pub(crate) fn requests(&mut self, time: Duration) -> u64 {
        let (begun, mut answered) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for peer in &self.peers {
                for at in 0..AT_ONCE {
                    let id = self.id + u16::try_from(at).expect("few");
                    drop(peer.send(&request(id, self.path, None)));
                }
            }
            for at in 0..self.peers.len() {
                let came = (0..AT_ONCE).map_while(|_| self.answer(at).ok()).count();
                answered += came as u64;
                self.lost += (AT_ONCE - came) as u64;
            }
            self.go_on(AT_ONCE);
        }
        answered
    }

    /// Uses other message ids from now on. None is used twice while a server may remember it (RFC 7252 §4.4), so that peers change
    /// when there are no more.
    fn go_on(&mut self, used: usize) {
        let next = u16::try_from(usize::from(self.id) + used).ok().filter(|next| *next < u16::MAX - 2048);
        match next {
            Some(next) => self.id = next,
            None => *self = Self { lost: self.lost, ..Self::new(self.peers[0].peer_addr().expect("connected"), self.path, self.speaks) },
        }
    }

    /// Fetches the body, every peer for itself, again and again for so long. Returns how many blocks came.
    pub(crate) fn bodies(&mut self, time: Duration) -> u64 {
        let blocks = crate::BODY / BLOCK;
        let (begun, mut came) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for number in 0..blocks {
                let block = u32::try_from(number).expect("a million at most");
                let id = self.id + u16::try_from(number).expect("1024 at most");
                let asked = request(id, self.path, Some(block));
                for peer in &self.peers {
                    drop(peer.send(&asked));
                }
                for at in 0..self.peers.len() {
                    match self.answer(at) {
                        Ok(length) => {
                            assert!(length > BLOCK, "a block that is whole, not {length} bytes");
                            came += 1;
                        }
                        Err(_) => self.lost += 1,
                    }
                }
            }
            self.go_on(blocks);
        }
        came
    }

    /// One answer to a peer.
    fn answer(&self, peer: usize) -> io::Result<usize> {
        let mut buffer = [0; 2048];
        let length = self.peers[peer].recv(&mut buffer)?;
        // RFC 7252 §3: an acknowledgement that holds 2.05.
        assert!(!self.speaks || (buffer[0] == 0x62 && buffer[1] == 0x45), "it is answered: {:02x?}", &buffer[..length.min(32)]);
        Ok(length)
    }
}

/// Shows the server where the peer is, if it asks for that (RFC 9175 §2.4): it is sent its Echo value.
fn introduce(peer: &UdpSocket, path: &str) {
    let mut buffer = [0; 2048];
    let mut ask = |id: u16, echo: Option<&[u8]>| {
        let options = Options::builder().path(&format!("/{path}")).expect("short");
        let options = match echo {
            Some(echo) => options.push(OptionNumber::ECHO, echo).expect("short"),
            None => options,
        };
        let message = Message::new(Code::GET, Token::default()).with_options(options.build());
        let mut bytes = BytesMut::new();
        Datagram { kind: Kind::Confirmable, id: MessageId(id), message }.encode(&mut bytes);
        peer.send(&bytes).expect("sent");
        let length = peer.recv(&mut buffer).expect("answered");
        let limits = Limits { message: buffer.len(), ..Limits::default() };
        Datagram::parse(Bytes::copy_from_slice(&buffer[..length]), &limits).expect("a message").message
    };
    // These ids are used for nothing else.
    let answer = ask(u16::MAX - 1, None);
    if let Some(echo) = answer.options.first(OptionNumber::ECHO) {
        assert_eq!(ask(u16::MAX, Some(echo)).code, Code::CONTENT);
    }
}

/// A confirmable GET with a token of two bytes (RFC 7252 §3).
fn request(id: u16, path: &str, block: Option<u32>) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut bytes = vec![0x42, 0x01, high, low, low, high];
    // Uri-Path is 11, and Block2 twelve more.
    bytes.push(0xb0 | u8::try_from(path.len()).expect("twelve at most"));
    bytes.extend_from_slice(path.as_bytes());
    if let Some(number) = block {
        let value = ((number << 4) | EXPONENT).to_be_bytes();
        let significant = &value[value.iter().take_while(|byte| **byte == 0).count()..];
        bytes.push(0xc0 | u8::try_from(significant.len()).expect("four at most"));
        bytes.extend_from_slice(significant);
    }
    bytes
}
