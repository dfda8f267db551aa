//! Requests that must be fresh (RFC 9175 §2).

use super::{Endpoint, Exchange, RespondError};
use crate::coap::{Code, Message, OptionNumber, Options, Token};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The Echo values that were given out last.
#[derive(Debug, Default)]
pub(super) struct Echoes(VecDeque<([u8; LENGTH], Instant)>);

impl Echoes {
    /// How long ago a value was given out, if it is one of ours.
    pub(super) fn age(&self, now: Instant, value: &[u8]) -> Option<Duration> {
        let (_, given) = self.0.iter().find(|(known, _)| known == value)?;
        Some(now.saturating_duration_since(*given))
    }

    fn remember(&mut self, now: Instant, value: [u8; LENGTH]) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((value, now));
    }
}

impl Endpoint {
    /// Answers a request with the demand to repeat it, so that it is known to be fresh: 4.01 with an Echo value. The
    /// repetition comes as a request of its own, and says in [`super::Incoming::fresh`] how old the value is.
    pub fn demand_freshness(&mut self, now: Instant, exchange: Exchange) -> Result<(), RespondError> {
        let value: [u8; LENGTH] = self.draw();
        self.server.echoes.remember(now, value);
        let options = Options::builder().push(OptionNumber::ECHO, &value).map(|options| options.build()).unwrap_or_default();
        self.respond(now, exchange, Message::new(Code::UNAUTHORIZED, Token::EMPTY).with_options(options))
    }
}

const LENGTH: usize = 8;
/// How many values are good at once; older ones are asked for again.
const REMEMBERED: usize = 4;
