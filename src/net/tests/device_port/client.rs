//! A DTLS client on OpenSSL that shows each flight before it is sent, so that it can be held back, repeated or spoilt.

use super::chains::Chains;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslOptions, SslStream, SslVerifyMode, SslVersion,
};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// How long an answer is awaited before something is sent again.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often good-bye is said to a server that does not answer.
const FAREWELLS: usize = 8;

/// Nobody waits longer for an answer, however busy the machine is.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What OpenSSL takes for a socket.
#[derive(Debug, Default)]
struct Pipe {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One client with a socket of its own.
pub(crate) struct Client {
    stream: SslStream<Pipe>,
    pub(crate) socket: UdpSocket,
}

/// What all clients with the same certificate share. The method is that of TLS or DTLS.
pub(crate) fn context(chains: &Chains, who: &str, method: SslMethod, set: impl FnOnce(&mut SslContextBuilder)) -> SslContext {
    let mut builder = SslContext::builder(method).expect("OpenSSL");
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
    builder.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256").expect("a suite");
    builder.set_groups_list("P-256").expect("a group");
    builder.set_certificate_chain_file(chains.file(&format!("{who}.pem"))).expect("a chain");
    builder.set_private_key_file(chains.file(&format!("{who}-key.pem")), SslFiletype::PEM).expect("a key");
    set(&mut builder);
    builder.build()
}

/// For DTLS 1.2.
pub(crate) fn dtls(chains: &Chains, who: &str) -> SslContext {
    context(chains, who, SslMethod::dtls_client(), |builder| builder.set_min_proto_version(Some(SslVersion::DTLS1_2)).expect("a version"))
}

/// What a client says first, whatever it speaks.
pub(crate) fn first_words(context: &SslContext) -> Vec<u8> {
    let mut ssl = Ssl::new(context).expect("a connection");
    ssl.set_connect_state();
    // Which has no meaning with a stream.
    drop(ssl.set_mtu(1200));
    let mut stream = SslStream::new(ssl, Pipe::default()).expect("a stream");
    assert!(stream.do_handshake().is_err(), "nobody has answered");
    stream.get_ref().outgoing.concat()
}

/// A socket of this address that talks to the server only.
pub(crate) fn socket(from: [u8; 4], to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::from((from, 0))).expect("bound");
    socket.connect(to).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket
}

impl Client {
    pub(crate) fn new(context: &SslContext, socket: UdpSocket) -> Self {
        let mut ssl = Ssl::new(context).expect("a connection");
        ssl.set_connect_state();
        ssl.set_mtu(1200).expect("an MTU");
        Self { stream: SslStream::new(ssl, Pipe::default()).expect("a stream"), socket }
    }

    /// Begins anew, with the same socket.
    pub(crate) fn again(&self, context: &SslContext) -> Self {
        Self::new(context, self.socket.try_clone().expect("a socket"))
    }

    fn is_established(&self) -> bool {
        self.stream.ssl().is_init_finished()
    }

    /// Waits for the server until there is something to send, which is nothing where the handshake is over or goes no further.
    pub(crate) fn flight(&mut self) -> Vec<Vec<u8>> {
        let begun = Instant::now();
        loop {
            let done = match self.stream.do_handshake() {
                Ok(()) => true,
                Err(error) => error.code() != ErrorCode::WANT_READ,
            };
            let flight = std::mem::take(&mut self.stream.get_mut().outgoing);
            if done || !flight.is_empty() || begun.elapsed() > LIMIT {
                return flight;
            }
            self.take_in();
        }
    }

    /// The whole handshake; whether the server has ended it, too.
    pub(crate) fn connect(&mut self) -> bool {
        let begun = Instant::now();
        while !self.is_established() && begun.elapsed() < LIMIT {
            let flight = self.flight();
            if flight.is_empty() {
                break;
            }
            flight.iter().for_each(|datagram| self.send(datagram));
        }
        self.is_established()
    }

    /// Goes up to where the server waits for the last flight, and returns the records of that. `None` when the server does not answer.
    pub(crate) fn up_to_last_flight(&mut self) -> Option<Vec<Vec<u8>>> {
        for _ in 0..8 {
            let flight = self.flight();
            let records: Vec<Vec<u8>> = flight.iter().flat_map(|datagram| records(datagram)).collect();
            // Certificate, key exchange, its signature, change of keys, end.
            if records.len() >= 5 {
                return Some(records);
            }
            if flight.is_empty() {
                return None;
            }
            flight.iter().for_each(|datagram| self.send(datagram));
        }
        None
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        // A full buffer loses datagrams, as every network does.
        drop(self.socket.send(datagram));
    }

    /// Sends a record and waits for it to come back; at most until the limit.
    pub(crate) fn echo(&mut self, record: &[u8]) -> bool {
        // An answer to what was sent twice is older.
        self.exchange(record, |answer| answer == record)
    }

    /// Sends a record, again and again, and waits for its answer; at most until the limit.
    pub(crate) fn exchange(&mut self, record: &[u8], is_answer: impl Fn(&[u8]) -> bool) -> bool {
        let begun = Instant::now();
        let mut sent = None;
        let mut buffer = [0; 2048];
        while begun.elapsed() < LIMIT {
            if sent.is_none_or(|sent: Instant| sent.elapsed() >= PATIENCE) {
                if !self.say(record) {
                    return false;
                }
                sent = Some(Instant::now());
            }
            match self.stream.ssl_read(&mut buffer) {
                Ok(length) if buffer.get(..length).is_some_and(&is_answer) => return true,
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::WANT_READ => self.take_in(),
                Err(_) => return false,
            }
        }
        false
    }

    /// Sends a record once, and does not wait.
    pub(crate) fn say(&mut self, record: &[u8]) -> bool {
        let is_sent = self.stream.ssl_write(record).is_ok();
        std::mem::take(&mut self.stream.get_mut().outgoing).iter().for_each(|datagram| self.send(datagram));
        is_sent
    }

    /// Says good-bye once, and does not wait.
    pub(crate) fn close(mut self) {
        drop(self.stream.shutdown());
        std::mem::take(&mut self.stream.get_mut().outgoing).iter().for_each(|datagram| self.send(datagram));
    }

    /// Says good-bye until the server has heard it, so that it does not keep the place.
    pub(crate) fn leave(mut self) {
        drop(self.stream.shutdown());
        let last = std::mem::take(&mut self.stream.get_mut().outgoing);
        for _ in 0..FAREWELLS {
            last.iter().for_each(|datagram| self.send(datagram));
            self.take_in();
            // RFC 5246 §7.2.1: a good-bye is answered with one.
            if self.stream.ssl_read(&mut [0; 2048]).is_err_and(|error| error.code() == ErrorCode::ZERO_RETURN) {
                return;
            }
        }
    }

    /// One datagram of the server's, if one comes soon.
    fn take_in(&mut self) {
        let mut buffer = [0; 4096];
        if let Ok(length) = self.socket.recv(&mut buffer) {
            self.stream.get_mut().incoming.push_back(buffer[..length].to_vec());
        }
    }
}

/// The records of a datagram.
pub(crate) fn records(datagram: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut records) = (datagram, Vec::new());
    while let Some(&[high, low]) = rest.get(11..13) {
        let end = (13 + usize::from(u16::from_be_bytes([high, low]))).min(rest.len());
        let (record, behind) = rest.split_at(end);
        records.push(record.to_vec());
        rest = behind;
    }
    records
}
