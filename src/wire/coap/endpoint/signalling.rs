//! Signals: what a connection says of itself (RFC 8323 §5), and the sign of life that UDP has instead of Ping.

use super::{Closed, Endpoint, Event, Link, Owner, Phase, PingId, TcpStyle};
use crate::coap::{
    Code, Message, OptionNumber, Token,
    signal::{Abort, Csm, Release, Signal, SignalError},
};
use std::time::Instant;

impl Endpoint {
    /// Our own CSM. It goes out at once and waits for nothing.
    pub(super) fn introduce(&mut self) {
        let Link::Tcp(tcp) = &self.link else { return };
        let (csm, token) = match tcp.style() {
            TcpStyle::Device { .. } => (Csm::default(), Token::from(self.draw())),
            TcpStyle::General => {
                let longest = self.config.longest_wanted.unwrap_or(self.config.limits.message).min(self.config.limits.message);
                let longest = u32::try_from(longest).unwrap_or(u32::MAX);
                (Csm { max_message_size: Some(longest), block_wise: true }, Token::EMPTY)
            }
        };
        self.send_frame(&Signal::Csm(csm).to_message(token));
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
                self.send_frame(&Signal::Ping { custody: false }.to_message(token));
            }
        }
        ping
    }

    /// A ping whose answer is like any other sign of life: nobody is told.
    pub(super) fn ping_for_life(&mut self, now: Instant) {
        match &self.link {
            Link::Udp(_) => self.send_empty_confirmable(now, Owner::Answer),
            Link::Tcp(_) => {
                let ping = Signal::Ping { custody: false }.to_message(Token::from(self.draw()));
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
            let release = Signal::Release(Release::default()).to_message(Token::from(self.draw()));
            self.send_frame(&release);
        }
        self.flush(now);
        self.settle();
    }

    pub(super) fn receive_signal(&mut self, now: Instant, message: &Message) {
        match Signal::from_message(message) {
            Ok(Signal::Csm(csm)) => self.peer_csm(csm),
            Ok(Signal::Ping { custody }) => self.pinged(now, message.token, custody),
            Ok(Signal::Pong { custody }) => {
                if let Some(ping) = self.client.take_ping(message.token) {
                    self.ponged(ping, custody);
                }
            }
            Ok(Signal::Release(release)) => self.peer_released(release),
            Ok(Signal::Abort(Abort { diagnostic, .. })) => self.close(Closed::Aborted { diagnostic }),
            Err(SignalError::Code(_)) => self.counters.unexpected += 1,
            Err(error @ SignalError::CriticalOption { code, number }) => {
                self.counters.malformed += 1;
                // RFC 8323 §5.6: the option is named if it stood in a CSM.
                self.refuse((code == Code::CSM).then_some(OptionNumber(number)), error.to_string());
            }
        }
    }

    /// RFC 8323 §5.3: a CSM may come more than once, and says only what is new.
    fn peer_csm(&mut self, csm: Csm) {
        let Link::Tcp(tcp) = &mut self.link else { return };
        tcp.peer.known = true;
        if let Some(longest) = csm.max_message_size {
            tcp.peer.longest = longest as usize;
        }
        tcp.peer.in_blocks |= csm.block_wise;
    }

    /// RFC 8323 §5.4: a pong has the ping's token. With Custody it says that every request before the ping was processed.
    fn pinged(&mut self, now: Instant, token: Token, custody: bool) {
        let processed = self.server.is_settled();
        if custody
            && !processed
            && let Link::Tcp(tcp) = &mut self.link
            && tcp.custody.len() < MOST_CUSTODY
        {
            return tcp.custody.push_back((token, now + self.config.custody_patience));
        }
        self.pong(token, custody && processed);
    }

    fn pong(&mut self, token: Token, custody: bool) {
        self.send_frame(&Signal::Pong { custody }.to_message(token));
    }

    /// Answers the pings whose requests were processed, or that waited long enough.
    pub(super) fn handle_custody(&mut self, now: Instant) {
        let processed = self.server.is_settled();
        while let Link::Tcp(tcp) = &mut self.link
            && let Some((token, _)) = tcp.custody.pop_front_if(|(_, until)| processed || *until <= now)
        {
            self.pong(token, processed);
        }
    }

    fn peer_released(&mut self, release: Release) {
        if self.phase == Phase::Open {
            self.phase = Phase::Releasing;
            self.events.push_back(Event::PeerReleased(release));
        }
    }

    /// Ends everything at once, and tells the peer why (over TCP, RFC 8323 §5.6). Requests that are under way fail.
    pub fn abort(&mut self, diagnostic: &str) {
        self.send_abort(None, diagnostic);
        self.close(Closed::Local);
    }

    /// RFC 8323 §5.6: tells the peer which rule it broke, so that somebody can find the mistake, and closes.
    pub(super) fn refuse(&mut self, bad_csm_option: Option<OptionNumber>, rule: String) {
        self.send_abort(bad_csm_option, &rule);
        self.close(Closed::Refused { rule });
    }

    fn send_abort(&mut self, bad_csm_option: Option<OptionNumber>, diagnostic: &str) {
        if self.phase != Phase::Closed {
            let abort = Abort { bad_csm_option, diagnostic: diagnostic.to_owned() };
            self.send_frame(&Signal::Abort(abort).to_message(Token::from(self.draw())));
        }
    }
}

/// How many pings with Custody wait at once; more are answered without it.
const MOST_CUSTODY: usize = 8;
