//! Devices whose certificates are good and whose words are not: bodies without an end, observations without number, options that
//! nobody knows, messages that are too long, and questions whose answers nobody takes.

use crate::{
    chance::Chance,
    coap::{self, StreamClient, datagram, request},
    device_port::{
        chains::Chains,
        client::{Client, context, dtls, socket},
    },
    floods::Pace,
    siege::Amounts,
};
use bytes::BytesMut;
use gatehouse_wire::coap::{Block, BlockSize, Code, Message, OptionNumber, OptionsBuilder, tcp};
use openssl::ssl::{SslContext, SslMethod};
use std::net::SocketAddr;

/// What each rogue says in a second. It is work that the server owes a device: more of it takes what others get.
const RATE: f64 = 500.0;

/// No option has this number: a critical one, and one that may be passed over.
const UNKNOWN: [OptionNumber; 2] = [OptionNumber(65_001), OptionNumber(65_000)];

pub(crate) struct Rogues {
    over_dtls: (SslContext, SocketAddr),
    over_tls: (SslContext, SocketAddr),
    chance: Chance,
    pub(crate) said: usize,
    /// Those who were let in.
    pub(crate) let_in: u64,
    pub(crate) let_in_over_tls: u64,
    /// Those who were still answered properly after all they said.
    pub(crate) served: u64,
}

impl Rogues {
    pub(crate) fn new(chains: &Chains, over_dtls: SocketAddr, over_tls: SocketAddr) -> Self {
        Self {
            over_dtls: (dtls(chains, "device"), over_dtls),
            over_tls: (context(chains, "device", SslMethod::tls_client(), |_| ()), over_tls),
            chance: Chance::new(5),
            said: 0,
            let_in: 0,
            let_in_over_tls: 0,
            served: 0,
        }
    }

    pub(crate) fn round(&mut self, amounts: &Amounts) {
        self.in_datagrams(amounts.sayings);
        self.in_a_stream(amounts.sayings);
        self.too_long();
        self.deaf(amounts.sayings);
    }

    fn in_datagrams(&mut self, count: usize) {
        let mut client = Client::new(&self.over_dtls.0, socket(self.chance.address(), self.over_dtls.1));
        if !client.connect() {
            return;
        }
        self.let_in += 1;
        let mut pace = Pace::new(RATE);
        for number in 0..count {
            let message = if number % 5 == 4 { too_many_options(number) } else { self.saying(number) };
            self.said += usize::from(client.say(&datagram(message, number as u64)));
            // And what is no message at all.
            if number % 16 == 0 {
                let noise = self.chance.bytes(1100);
                client.say(&noise);
            }
            pace.next();
        }
        let last = u64::MAX >> 1;
        self.served += u64::from(client.exchange(&coap::good(last), |answer| coap::answers(answer, last)));
        client.leave();
    }

    fn in_a_stream(&mut self, count: usize) {
        let Some(mut client) = StreamClient::connect(&self.over_tls.0, self.chance.address(), self.over_tls.1) else { return };
        self.let_in_over_tls += 1;
        let mut pace = Pace::new(RATE);
        for number in 0..count {
            let message = self.saying(number);
            self.said += usize::from(client.say(&message));
            // Whoever takes no answers is closed, and that is another rogue.
            if number % 64 == 0 {
                client.ask(u64::MAX >> 2);
            }
            pace.next();
        }
        self.served += u64::from(client.ask(u64::MAX >> 1));
    }

    /// A frame that announces four gigabytes, one with a token of fifteen bytes, and one with more options than there may be.
    fn too_long(&mut self) {
        let mut many = BytesMut::new();
        tcp::encode(&too_many_options(0), &mut many);
        for frame in [&[0xf0, 0xff, 0xff, 0xff, 0xff, 2][..], &[0x0f, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &many] {
            let Some(mut client) = StreamClient::connect(&self.over_tls.0, self.chance.address(), self.over_tls.1) else { continue };
            self.let_in_over_tls += 1;
            client.write(frame);
            let body = self.chance.bytes(16_000);
            // The server may be gone already, which is what it should be.
            (0..4).all(|_| client.write(&body));
        }
    }

    /// Asks for much and takes nothing.
    fn deaf(&mut self, count: usize) {
        let Some(mut client) = StreamClient::connect(&self.over_tls.0, self.chance.address(), self.over_tls.1) else { return };
        self.let_in_over_tls += 1;
        let mut pace = Pace::new(RATE);
        for number in 0..count / 2 {
            let message = request(Code::GET, "/.well-known/core", number as u64, |options| options, b"");
            self.said += usize::from(client.say(&message));
            pace.next();
        }
    }

    /// Something that breaks a limit or a rule.
    fn saying(&mut self, number: usize) -> Message {
        let own = number as u64;
        let largest = BlockSize::at_most(1024);
        let block = |number, more| Block::new(number, more, largest).expect("it fits");
        match number % 4 {
            // Each begins a body of its own, and none ends.
            0 => request(Code::PUT, &format!("/body/{number}"), own, |options| options.block1(block(0, true)), &[7; 1024]),
            // The last block of a gigabyte.
            1 => request(Code::PUT, "/health", own, |options| options.block1(block(Block::MAX_NUMBER, false)), &[7; 1024]),
            2 => request(Code::GET, "/health", own, |options| options.observe(0), b""),
            _ => {
                let value = self.chance.bytes(200);
                let unknown = UNKNOWN[number / 4 % 2];
                request(Code::GET, "/health", own, |options| options.push_raw(unknown, &value).expect("it fits"), b"")
            }
        }
    }
}

/// Over TCP this is the end of the connection, as if it were too long.
fn too_many_options(number: usize) -> Message {
    let many = |options| (0..100).fold(options, |options: OptionsBuilder, _| options.query("a=b").expect("it fits"));
    request(Code::GET, "/health", number as u64, many, b"")
}
