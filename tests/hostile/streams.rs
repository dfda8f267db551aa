//! Connections over TCP that never become one over TLS: silent ones, hellos that come byte by byte or are cut, handshakes that stop
//! after the server's words, and noise.

use crate::{
    chance::Chance,
    coap::connect,
    device_port::{
        chains::Chains,
        client::{LIMIT, context, first_words},
    },
    pause,
    siege::Amounts,
};
use openssl::ssl::SslMethod;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Between two bytes of a hello.
const BETWEEN: Duration = Duration::from_millis(20);

pub(crate) struct Streams {
    hello: Vec<u8>,
    server: SocketAddr,
    chance: Chance,
    /// What is held open until the round is over.
    held: Vec<TcpStream>,
    pub(crate) opened: usize,
    /// Handshakes to which the server has said its part.
    pub(crate) answered: usize,
}

impl Streams {
    pub(crate) fn new(chains: &Chains, server: SocketAddr) -> Self {
        let hello = first_words(&context(chains, "device", SslMethod::tls_client(), |_| ()));
        Self { hello, server, chance: Chance::new(4), held: Vec::new(), opened: 0, answered: 0 }
    }

    pub(crate) fn round(&mut self, amounts: &Amounts) {
        let count = amounts.streams;
        for _ in 0..count {
            let silent = self.open();
            let mut cut = self.open();
            let length = self.chance.below(self.hello.len());
            let mut noisy = self.open();
            let noise = self.chance.bytes(1400);
            // A server that has closed already may refuse the rest.
            drop(cut.write_all(&self.hello[..length]));
            drop(noisy.write_all(&noise));
            let half = self.stop_half_way();
            self.held.extend([silent, cut, noisy, half]);
        }
        self.creep(count);
    }

    /// Closes everything.
    pub(crate) fn leave(&mut self) {
        self.held.clear();
    }

    /// A handshake up to where the client's certificate is due.
    fn stop_half_way(&mut self) -> TcpStream {
        let mut stream = self.open();
        drop(stream.write_all(&self.hello));
        self.answered += usize::from(stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0));
        stream
    }

    /// Hellos that come byte by byte, all at the same time, until they are whole or the server has had enough.
    fn creep(&mut self, count: usize) {
        let mut creeping: Vec<TcpStream> = (0..count).map(|_| self.open()).collect();
        let begun = Instant::now();
        for byte in &self.hello {
            creeping.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
            if creeping.is_empty() || begun.elapsed() > LIMIT {
                break;
            }
            pause(BETWEEN);
        }
        self.held.append(&mut creeping);
    }

    fn open(&mut self) -> TcpStream {
        self.opened += 1;
        connect(self.chance.address(), self.server).expect("it listens")
    }
}
