//! Messages in a stream: how long they may be, and what stands between them (RFC 8323 §3, §5.3).

use super::{Config, Endpoint, Link, Phase, TcpStyle};
use crate::coap::{
    self, Message, OptionNumber, OptionRule, Token,
    tcp::{self, FrameRule},
};
use bytes::{Bytes, BytesMut};
use std::{collections::VecDeque, time::Instant};

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Tcp {
    decoder: tcp::Decoder,
    style: TcpStyle,
    /// What the peer's CSM has said so far.
    pub(super) peer: Capabilities,
    /// Pings with Custody that wait for the requests before them, and until when.
    pub(super) custody: VecDeque<(Token, Instant)>,
}

/// RFC 8323 §5.3: what a peer can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Whether its CSM arrived.
    pub(super) known: bool,
    pub(super) longest: usize,
    pub(super) in_blocks: bool,
}

impl Tcp {
    pub(super) fn new(config: &Config) -> Self {
        let limits = coap::Limits { message: config.limits.message, options: config.limits.options };
        Self {
            decoder: tcp::Decoder::new(limits),
            style: config.tcp.clone(),
            peer: Capabilities { known: false, longest: BASE, in_blocks: false },
            custody: VecDeque::new(),
        }
    }

    /// The longest message that may be sent now.
    pub(super) fn longest(&self) -> usize {
        match self.style {
            TcpStyle::General => self.peer.longest,
            TcpStyle::Device { longest, .. } => longest,
        }
    }

    pub(super) fn style(&self) -> &TcpStyle {
        &self.style
    }

    /// Whether both sides said that they can do block-wise transfer.
    pub(super) fn both_in_blocks(&self) -> bool {
        self.style == TcpStyle::General && self.peer.in_blocks
    }

    /// RFC 8323 §6: whether the peer takes several blocks in one message.
    pub(super) fn both_in_bert(&self) -> bool {
        self.both_in_blocks() && self.peer.longest > BASE
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.custody.front().map(|(_, until)| *until)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.custody.is_empty()
    }

    /// The bytes of a message, which is never shorter than what the peer survives.
    pub(super) fn encoded(&self, message: &Message) -> Bytes {
        let length = tcp::encoded_length(message);
        let mut bytes = BytesMut::with_capacity(length);
        match self.style {
            TcpStyle::Device { shortest, .. } if length < shortest => tcp::encode(&padded(message, shortest - length), &mut bytes),
            _ => tcp::encode(message, &mut bytes),
        }
        bytes.freeze()
    }
}

impl Endpoint {
    /// Takes what arrived on the connection. Whole messages are taken away from `arrived`; the beginning of one that is not
    /// there whole stays, and the caller adds to it. On an endpoint for UDP nothing happens.
    pub fn handle_bytes(&mut self, now: Instant, arrived: &mut BytesMut) {
        while self.phase != Phase::Closed
            && let Link::Tcp(tcp) = &mut self.link
        {
            match tcp.decoder.decode(arrived) {
                Ok(Some(message)) => self.receive_frame(now, message),
                Ok(None) => break,
                Err(error) => {
                    self.counters.malformed += 1;
                    self.counters.refused_messages += u64::from(matches!(error.rule, FrameRule::Long { .. }));
                    self.counters.refused_many_options += u64::from(error.rule == FrameRule::Options(OptionRule::TooMany));
                    self.refuse(None, error.to_string());
                }
            }
        }
        self.flush(now);
        self.settle();
    }

    fn receive_frame(&mut self, now: Instant, message: Message) {
        self.heard(now);
        let code = message.code;
        if code.is_signal() {
            self.receive_signal(now, &message);
        } else if !self.peer_introduced() {
            // RFC 8323 §5.3: the CSM is the first message.
            self.refuse(None, NO_CSM.to_owned());
        } else if code.is_request() {
            self.incoming_request(now, message, None);
        } else if code.is_response() {
            self.incoming_response(now, message);
        } else if !code.is_empty() {
            self.counters.unexpected += 1;
        }
    }

    /// Whether the peer may send requests and answers: devices that cannot be changed send no CSM.
    fn peer_introduced(&self) -> bool {
        match &self.link {
            Link::Tcp(tcp) => tcp.style != TcpStyle::General || tcp.peer.known,
            Link::Udp(_) => true,
        }
    }
}

/// The same message with so many bytes more, in an option that whoever does not know it passes over.
fn padded(message: &Message, missing: usize) -> Message {
    let value = [0; PADDING_HEADER * 2];
    let value = value.get(..missing.saturating_sub(PADDING_HEADER)).unwrap_or(&value);
    let options = match coap::Options::builder().copy(&message.options, |_| false).push_raw(PADDING, value) {
        Ok(options) => options.build(),
        Err(_) => message.options.clone(),
    };
    Message { options, ..message.clone() }
}

/// RFC 8323 §5.3.1: what every peer takes.
const BASE: usize = coap::signal::Csm::BASE_MESSAGE_SIZE as usize;
const NO_CSM: &str = "the first message has to be a CSM";
/// An elective number of those for experiments (RFC 7252 §12.2).
const PADDING: OptionNumber = OptionNumber(65_000);
/// What the header of such an option takes at least, behind any option that we send.
const PADDING_HEADER: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::Code;

    #[test]
    fn no_message_to_a_device_is_shorter_than_seven_bytes_and_what_is_longer_stays_as_it_is() {
        let tcp = Tcp::new(&Config { tcp: TcpStyle::DEVICE, ..Config::default() });
        for length in 0..=8 {
            let message = Message::new(Code::PONG, Token::new(&[7; 8][..length]).unwrap());
            let bytes = tcp.encoded(&message);
            assert!(bytes.len() >= 7, "{} bytes with a token of {length}", bytes.len());
            assert_eq!(bytes.len() == tcp::encoded_length(&message), length >= 5);
            let decoded = tcp::Decoder::new(coap::Limits::default()).decode(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
            assert_eq!((decoded.code, decoded.token), (message.code, message.token));
            assert!(decoded.options.refuse_critical(|_| false).is_ok());
        }
    }
}
