//! Signals: what a connection says of itself (RFC 8323 §5), and the sign of life that UDP has instead of Ping.

use super::{Closed, Endpoint, Event, Link, Owner, Phase, PingId, TcpStyle};
use crate::coap::{Code, Message, OptionNumber, Options, Token};
use std::time::Instant;

impl Endpoint {
    /// Our own CSM. It goes out at once and waits for nothing.
    pub(super) fn introduce(&mut self) {
        let Link::Tcp(tcp) = &self.link else { return };
        let csm = match tcp.style() {
            TcpStyle::Device { .. } => Message::new(Code::CSM, Token::from(self.draw())),
            TcpStyle::General => {
                let longest = u32::try_from(self.config.limits.message).unwrap_or(u32::MAX);
                let options = Options::builder().uint(MAX_MESSAGE_SIZE, longest).empty(BLOCK_WISE_TRANSFER).build();
                Message::new(Code::CSM, Token::EMPTY).with_options(options)
            }
        };
        self.send_frame(&csm);
    }

    /// Asks the peer for a sign of life. [`Event::Pong`] answers it; a peer that says nothing is for the caller's clock, or
    /// for [`super::KeepAlive`]. At most a few pings are remembered at once.
    pub fn ping(&mut self, now: Instant) -> PingId {
        let ping = PingId(self.next_id());
        if self.phase == Phase::Closed {
            return ping;
        }
        match &self.link {
            Link::Udp(_) => self.send_empty_confirmable(now, Owner::Ping(ping)),
            Link::Tcp(_) => {
                let token = Token::from(self.draw());
                self.client.remember_ping(token, ping);
                self.send_frame(&Message::new(Code::PING, token));
            }
        }
        ping
    }

    /// A ping whose answer is like any other sign of life: nobody is told.
    pub(super) fn ping_for_life(&mut self, now: Instant) {
        match &self.link {
            Link::Udp(_) => self.send_empty_confirmable(now, Owner::Answer),
            Link::Tcp(_) => {
                let ping = Message::new(Code::PING, Token::from(self.draw()));
                self.send_frame(&ping);
            }
        }
    }

    pub(super) fn ponged(&mut self, ping: PingId, custody: bool) {
        self.events.push_back(Event::Pong { ping, custody });
    }

    /// Begins the end: the peer is told (over TCP), nothing new is begun, what is under way is finished, and then the
    /// endpoint is closed. Requests that the peer still sends get 5.03.
    pub fn release(&mut self, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Releasing;
        if matches!(self.link, Link::Tcp(_)) {
            let release = Message::new(Code::RELEASE, Token::from(self.draw()));
            self.send_frame(&release);
        }
        self.flush(now);
        self.settle();
    }

    pub(super) fn receive_signal(&mut self, now: Instant, message: &Message) {
        // No signal has a critical option so far.
        if let Some((number, _)) = message.options.iter().find(|(number, _)| number.is_critical()) {
            return self.refuse_signal(message.code, number);
        }
        match message.code {
            Code::CSM => self.peer_csm(&message.options),
            Code::PING => self.pinged(now, message),
            Code::PONG => {
                let custody = has(&message.options, CUSTODY);
                if let Some(ping) = self.client.take_ping(message.token) {
                    self.ponged(ping, custody);
                }
            }
            Code::RELEASE => self.peer_released(),
            Code::ABORT => {
                let diagnostic = String::from_utf8_lossy(&message.payload).chars().take(LONGEST_DIAGNOSTIC).collect();
                self.close(Closed::Aborted { diagnostic });
            }
            _ => self.counters.unexpected += 1,
        }
    }

    /// RFC 8323 §5.2: a critical option that nobody here knows ends the connection; for a CSM the abort names it (§5.6).
    fn refuse_signal(&mut self, code: Code, number: OptionNumber) {
        self.counters.malformed += 1;
        let rule = format!("{code} has the critical option {}, which is not known here", number.0);
        let options = match code {
            Code::CSM => Options::builder().uint(BAD_CSM_OPTION, u32::from(number.0)).build(),
            _ => Options::default(),
        };
        self.send_abort(options, &rule);
        self.close(Closed::Refused { rule });
    }

    /// RFC 8323 §5.3: a CSM may come more than once, and says only what is new.
    fn peer_csm(&mut self, options: &Options) {
        let Link::Tcp(tcp) = &mut self.link else { return };
        tcp.peer.known = true;
        if let Some(longest) = options.uint(MAX_MESSAGE_SIZE) {
            tcp.peer.longest = longest as usize;
        }
        tcp.peer.in_blocks |= has(options, BLOCK_WISE_TRANSFER);
    }

    /// RFC 8323 §5.4: a pong has the ping's token. With Custody it says that every request before the ping was processed.
    fn pinged(&mut self, now: Instant, ping: &Message) {
        let custody = has(&ping.options, CUSTODY);
        if custody && !self.server.exchanges.is_empty() {
            let until = now + self.config.custody_patience;
            if let Link::Tcp(tcp) = &mut self.link
                && tcp.custody.len() < MOST_CUSTODY
            {
                return tcp.custody.push_back((ping.token, until));
            }
            return self.pong(ping.token, false);
        }
        self.pong(ping.token, custody);
    }

    fn pong(&mut self, token: Token, custody: bool) {
        let options = if custody { Options::builder().empty(CUSTODY).build() } else { Options::default() };
        self.send_frame(&Message::new(Code::PONG, token).with_options(options));
    }

    /// Answers the pings whose requests were processed, or that waited long enough.
    pub(super) fn handle_custody(&mut self, now: Instant) {
        let processed = self.server.exchanges.is_empty();
        while let Link::Tcp(tcp) = &mut self.link
            && let Some((token, _)) = tcp.custody.pop_front_if(|(_, until)| processed || *until <= now)
        {
            self.pong(token, processed);
        }
    }

    fn peer_released(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Releasing;
            self.events.push_back(Event::PeerReleased);
        }
    }

    /// RFC 8323 §5.6: says why, so that somebody can find the mistake.
    pub(super) fn abort(&mut self, diagnostic: &str) {
        self.send_abort(Options::default(), diagnostic);
    }

    fn send_abort(&mut self, options: Options, diagnostic: &str) {
        let abort = Message::new(Code::ABORT, Token::from(self.draw()));
        self.send_frame(&abort.with_options(options).with_payload(diagnostic.to_owned()));
    }
}

/// Whether an option of a signal occurs. The numbers are not those of requests, and neither are the rules for their values.
fn has(options: &Options, number: OptionNumber) -> bool {
    options.all(number).next().is_some()
}

/// RFC 8323 §5.3.1.
const MAX_MESSAGE_SIZE: OptionNumber = OptionNumber(2);
/// RFC 8323 §5.3.2.
const BLOCK_WISE_TRANSFER: OptionNumber = OptionNumber(4);
/// RFC 8323 §5.4.1.
const CUSTODY: OptionNumber = OptionNumber(2);
/// RFC 8323 §5.6.
const BAD_CSM_OPTION: OptionNumber = OptionNumber(2);
const MOST_CUSTODY: usize = 8;
const LONGEST_DIAGNOSTIC: usize = 256;
