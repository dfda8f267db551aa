//! Floods that cost their sender next to nothing: first hellos of invented senders, and hellos that bring their cookie back and nothing
//! more.

use crate::{
    chance::Chance,
    device_port::{
        chains::Chains,
        client::{dtls, first_words, socket},
    },
    pause,
    siege::Amounts,
};
use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// So many hellos come from one address before another is invented.
const HELLOS_OF_ONE: usize = 20;

/// So many hellos of a crowd come from one address, so that its networks are as good as single ones.
const CROWD_OF_ONE: usize = 4;

/// Where the client's random bytes are in a record with a hello: behind two heads and the version.
const RANDOM: std::ops::Range<usize> = 27..59;

/// Where the length of the cookie is, behind an empty session.
const COOKIE: usize = 60;

/// Who never brings a cookie back.
pub(crate) struct Hellos {
    hello: Vec<u8>,
    server: SocketAddr,
    chance: Chance,
    pub(crate) sent: usize,
    /// The largest answer to a first hello, as a part of it.
    pub(crate) largest_answer: f64,
}

impl Hellos {
    pub(crate) fn new(chains: &Chains, server: SocketAddr) -> Self {
        Self { hello: first_words(&dtls(chains, "device")), server, chance: Chance::new(1), sent: 0, largest_answer: 0.0 }
    }

    pub(crate) fn round(&mut self, amounts: &Amounts) {
        let mut buffer = [0; 2048];
        let mut hello = self.hello.clone();
        let mut from = socket(self.chance.address(), self.server);
        let mut pace = Pace::new(amounts.hello_rate);
        for number in 0..amounts.hellos {
            if number % HELLOS_OF_ONE == HELLOS_OF_ONE - 1 {
                from = socket(self.chance.address(), self.server);
            }
            self.chance.fill(&mut hello[RANDOM]);
            self.sent += usize::from(from.send(&hello).is_ok());
            if number % 1000 == 0
                && let Ok(length) = from.recv(&mut buffer)
            {
                self.largest_answer = self.largest_answer.max(length as f64 / hello.len() as f64);
            }
            pace.next();
        }
    }
}

/// Who takes half-open places and leaves them to the server: many addresses, each of which receives what is sent to it.
pub(crate) struct Crowd {
    hello: Vec<u8>,
    server: SocketAddr,
    chance: Chance,
    pub(crate) challenged: usize,
    pub(crate) begun: usize,
    /// Hellos with a cookie that was used before.
    pub(crate) again: usize,
}

impl Crowd {
    pub(crate) fn new(chains: &Chains, server: SocketAddr) -> Self {
        Self { hello: first_words(&dtls(chains, "device")), server, chance: Chance::new(2), challenged: 0, begun: 0, again: 0 }
    }

    pub(crate) fn round(&mut self, amounts: &Amounts) {
        self.over_and_over(amounts);
        let mut pace = Pace::new(amounts.crowd_rate);
        let mut address = self.chance.address();
        // Who closes its socket would have the kernel tell the server that nobody is there.
        let mut sockets = Vec::with_capacity(amounts.crowd);
        for number in 0..amounts.crowd {
            if number % CROWD_OF_ONE == 0 {
                address = self.chance.address();
            }
            let from = socket(address, self.server);
            // Held off, one is not answered.
            drop(from.set_read_timeout(Some(Duration::from_millis(20))));
            self.begin(&from);
            sockets.push(from);
            pace.next();
        }
    }

    /// One address whose cookie is good, with another attempt in every datagram.
    fn over_and_over(&mut self, amounts: &Amounts) {
        let from = socket(self.chance.address(), self.server);
        let Some(mut hello) = self.cookie(&from) else { return };
        let mut pace = Pace::new(amounts.hello_rate);
        for _ in 0..amounts.noise {
            self.chance.fill(&mut hello[RANDOM]);
            self.again += usize::from(from.send(&hello).is_ok());
            pace.next();
        }
    }

    fn begin(&mut self, from: &UdpSocket) {
        if let Some(hello) = self.cookie(from) {
            self.challenged += 1;
            drop(from.send(&hello));
            self.begun += usize::from(from.recv(&mut [0; 2048]).is_ok());
        }
    }

    /// A hello with the cookie that the server gives for it.
    fn cookie(&mut self, from: &UdpSocket) -> Option<Vec<u8>> {
        let mut hello = self.hello.clone();
        self.chance.fill(&mut hello[RANDOM]);
        drop(from.send(&hello));
        let mut answer = [0; 2048];
        let length = from.recv(&mut answer).ok()?;
        with_cookie(&hello, &answer[..length])
    }
}

/// The hello once more, as RFC 6347 §4.2.1 has it: with the cookie of this answer, and otherwise the same.
fn with_cookie(hello: &[u8], answer: &[u8]) -> Option<Vec<u8>> {
    // HelloVerifyRequest is 3; its cookie stands behind two heads and a version.
    let cookie = answer.get(13..).filter(|handshake| handshake.first() == Some(&3))?.get(14..)?;
    let cookie = cookie.get(..=usize::from(*cookie.first()?))?;
    let mut again = [hello.get(..COOKIE)?, cookie, hello.get(COOKIE + 1..)?].concat();
    let [record, body] = [again.len() - 13, again.len() - 25].map(|length| (length as u16).to_be_bytes());
    // The second record, and the second message of the handshake.
    (again[10], again[18]) = (1, 1);
    again[11..13].copy_from_slice(&record);
    again[15..17].copy_from_slice(&body);
    again[23..25].copy_from_slice(&body);
    Some(again)
}

/// Keeps a rate, and catches up where it was behind.
pub(crate) struct Pace {
    begun: Instant,
    rate: f64,
    done: usize,
}

impl Pace {
    pub(crate) fn new(rate: f64) -> Self {
        Self { begun: Instant::now(), rate, done: 0 }
    }

    /// Waits until the next one is due; short times only together.
    pub(crate) fn next(&mut self) {
        self.done += 1;
        let due = Duration::from_secs_f64(self.done as f64 / self.rate);
        if let Some(early) = due.checked_sub(self.begun.elapsed()).filter(|early| *early > Duration::from_millis(2)) {
            pause(early);
        }
    }
}
