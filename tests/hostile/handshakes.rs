//! Handshakes that are broken in every way, by devices and by strangers; and what is said under the address of a device that has an
//! association.

use crate::{
    chance::Chance,
    coap,
    device_port::{
        chains::Chains,
        client::{Client, dtls, socket},
    },
    pause,
    siege::Amounts,
};
use openssl::ssl::SslContext;
use std::{collections::VecDeque, net::SocketAddr, time::Duration};

/// A last flight: certificate, key exchange, its signature, change of keys, end.
const RECORDS: usize = 5;

/// Half-open places that are left to good clients when all others are filled.
const LEFT: usize = 16;

/// Before the server lets an address begin anew.
const ATTEMPT: Duration = Duration::from_millis(550);

/// Handshakes, and who makes them.
pub(crate) struct Handshakes {
    server: SocketAddr,
    device: SslContext,
    stranger: SslContext,
    /// Has an association, and its address is abused.
    victim: Client,
    number: u64,
    flights: Vec<Vec<usize>>,
    creeping: Vec<(Client, VecDeque<Vec<u8>>)>,
    chance: Chance,
    /// Those who have ended a handshake, and were let in for it.
    pub(crate) let_in: u64,
    /// Those who have sent all of a handshake, and gave up before they saw its end.
    pub(crate) perhaps: u64,
    pub(crate) victims_lost: u64,
    /// Handshakes that went as far as the last flight, and those that the server let lie before.
    pub(crate) half: u64,
    pub(crate) unanswered: u64,
}

impl Handshakes {
    pub(crate) fn new(chains: &Chains, server: SocketAddr) -> Self {
        let device = dtls(chains, "device");
        let mut victim = Client::new(&device, socket([127, 0, 0, 1], server));
        assert!(victim.connect(), "the server serves whom it should");
        let mut chance = Chance::new(3);
        let mut flights = flights_up_to(RECORDS);
        chance.shuffle(&mut flights);
        let stranger = dtls(chains, "stranger");
        let creeping = Vec::new();
        let mut all = Self {
            server,
            device,
            stranger,
            victim,
            number: 0,
            flights,
            creeping,
            chance,
            let_in: 1,
            perhaps: 0,
            victims_lost: 0,
            half: 0,
            unanswered: 0,
        };
        all.check_victim();
        all
    }

    pub(crate) fn round(&mut self, amounts: &Amounts, round: usize) {
        self.begin_to_creep(amounts.halves);
        for part in 0..RECORDS {
            self.stop_half_way(amounts.halves, part);
            self.creep();
        }
        self.flights(amounts.flights, round);
        self.noise(amounts.noise);
        self.wrong_epochs(amounts.noise);
        self.cookies_of_the_victim();
        self.check_victim();
        self.creeping.clear();
    }

    /// Handshakes of which so many records of the last flight are sent, and never its end.
    fn stop_half_way(&mut self, count: usize, sent: usize) {
        for number in 0..count {
            // A stranger's chain is refused when its signature comes; up to there it is like any other.
            let context = if number % 2 == 0 { self.device.clone() } else { self.stranger.clone() };
            let mut client = Client::new(&context, socket(self.chance.address(), self.server));
            let Some(records) = self.last_flight_of(&mut client) else { continue };
            records.iter().take(sent.min(RECORDS - 1)).for_each(|record| client.send(record));
        }
    }

    fn begin_to_creep(&mut self, count: usize) {
        for _ in 0..count {
            let mut client = self.device_elsewhere();
            let records = self.last_flight_of(&mut client).unwrap_or_default();
            self.creeping.push((client, records.into_iter().take(RECORDS - 1).collect()));
        }
    }

    /// One record more of each.
    fn creep(&mut self) {
        for (client, records) in &mut self.creeping {
            if let Some(record) = records.pop_front() {
                client.send(&record);
            }
        }
    }

    /// Last flights with records left out, repeated and in another order. Who has sent all of them is let in, in whatever order.
    fn flights(&mut self, count: usize, round: usize) {
        let all = self.flights.iter().cycle().skip(round * count).take(count);
        let in_order = (0..RECORDS).collect();
        let orders: Vec<Vec<usize>> = all.cloned().chain([in_order]).collect();
        for order in orders {
            let mut client = self.device_elsewhere();
            let Some(records) = self.last_flight_of(&mut client) else { continue };
            order.iter().filter_map(|at| records.get(*at)).for_each(|record| client.send(record));
            let is_whole = (0..RECORDS).all(|at| order.contains(&at));
            if is_whole {
                let is_in = client.connect();
                self.let_in += u64::from(is_in);
                self.perhaps += u64::from(!is_in);
                client.leave();
            }
        }
    }

    /// Fills the half-open places with devices that have sent everything but the end: nobody who is half open makes the server hold more.
    pub(crate) fn fill(&mut self, places: usize) {
        let mut inside = Vec::with_capacity(places);
        for _ in LEFT..places {
            let mut client = self.device_elsewhere();
            let records = self.last_flight_of(&mut client).unwrap_or_default();
            records.iter().take(RECORDS - 1).for_each(|record| client.send(record));
            // Who closes its socket would have the kernel tell the server that nobody is there.
            inside.push(client);
        }
        self.check_victim();
    }

    fn noise(&mut self, count: usize) {
        for _ in 0..count {
            let bytes = self.chance.bytes(1400);
            if self.chance.below(2) == 0 {
                self.victim.send(&bytes);
            } else {
                drop(socket(self.chance.address(), self.server).send(&bytes));
            }
        }
    }

    /// Records of every kind and any epoch under the victim's address. Nobody has the keys of the right one either.
    fn wrong_epochs(&mut self, count: usize) {
        for number in 0..count {
            let content = self.chance.bytes(63);
            let kind = [20, 21, 22, 23][number % 4];
            let [high, low] = if number % 8 < 4 { [0, (number / 8 % 4) as u8] } else { (self.chance.below(65_536) as u16).to_be_bytes() };
            let length = content.len() as u8;
            self.victim.send(&[&[kind, 254, 253, high, low, 0, 0, 0, 0, 0, 9, 0, length][..], &content].concat());
            if number % 64 == 0 {
                self.check_victim();
            }
        }
    }

    /// Handshakes under the victim's address, which go as far as one can without a key that is good: the old association stays.
    fn cookies_of_the_victim(&mut self) {
        for sent in 0..RECORDS {
            for context in [self.device.clone(), self.stranger.clone()] {
                // One address has one attempt, for half a second at least.
                pause(ATTEMPT);
                let mut client = self.victim.again(&context);
                let Some(records) = self.last_flight_of(&mut client) else { continue };
                records.iter().take(sent).for_each(|record| client.send(record));
            }
            self.check_victim();
        }
    }

    /// Whether the victim's association lives. When it is answered, the server has looked at everything that was sent before.
    pub(crate) fn check_victim(&mut self) {
        self.number += 1;
        let number = self.number;
        if !self.victim.exchange(&coap::good(number), |answer| coap::answers(answer, number)) {
            self.victims_lost += 1;
            self.victim = Client::new(&self.device, socket([127, 0, 0, 1], self.server));
            self.let_in += u64::from(self.victim.connect());
        }
    }

    /// A good device under an invented address.
    fn device_elsewhere(&mut self) -> Client {
        Client::new(&self.device, socket(self.chance.address(), self.server))
    }

    /// Goes up to where the server waits for the last flight.
    fn last_flight_of(&mut self, client: &mut Client) -> Option<Vec<Vec<u8>>> {
        let records = client.up_to_last_flight();
        self.half += u64::from(records.is_some());
        self.unanswered += u64::from(records.is_none());
        records
    }
}

/// All sequences of records of a last flight, up to this length.
fn flights_up_to(length: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..length {
        let with = |flight: &Vec<usize>| (0..RECORDS).map(|record| [&flight[..], &[record]].concat()).collect::<Vec<_>>();
        longest = longest.iter().flat_map(with).collect();
        all.extend(longest.iter().cloned());
    }
    all
}
