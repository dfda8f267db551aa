//! The peer's requests: to the application, and its answers back.
//!
//! What needs no application is answered here: blocks in the middle of a body, options that nobody knows, and requests over
//! a bound.

use super::{
    Endpoint, Event, Exchange, Incoming, Link, Phase, RespondError,
    assembly::{Assemblies, Taken},
    download::carries,
    echo::Echoes,
    fit::{Fit, merged, without},
    observers::Observers,
    served::{ServedBodies, tagged},
};
use crate::coap::{Block, BlockSize, Code, Kind, Message, MessageId, OptionNumber, Options, Token};
use bytes::Bytes;
use std::{collections::BTreeMap, time::Instant};

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) exchanges: BTreeMap<u64, Asked>,
    pub(super) observers: Observers,
    pub(super) assemblies: Assemblies,
    pub(super) served: ServedBodies,
    pub(super) echoes: Echoes,
}

/// How a request arrived over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) id: MessageId,
    pub(super) confirmable: bool,
    pub(super) acknowledged: bool,
}

/// What is known of a request until it is answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) code: Code,
    pub(super) token: Token,
    pub(super) options: Options,
    arrival: Option<Arrival>,
    /// The block of the request that the answer goes to.
    block1: Option<Block>,
    /// The block of the answer that is asked for.
    block2: Option<Block>,
    pub(super) register: bool,
    deadline: Instant,
    /// When it is acknowledged without an answer.
    acknowledge_at: Option<Instant>,
}

impl Server {
    /// Whether nothing is kept for the peer.
    pub(super) fn is_idle(&self) -> bool {
        self.is_settled() && self.observers.is_empty() && self.assemblies.is_empty() && self.served.is_empty()
    }

    /// An empty tree keeps a node.
    pub(super) fn give_back(&mut self) {
        if self.exchanges.is_empty() {
            self.exchanges = BTreeMap::new();
        }
        if self.observers.is_empty() {
            self.observers = Observers::new();
        }
    }

    /// Whether every request is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.exchanges.is_empty()
    }
}

impl Endpoint {
    /// Answers a request of the peer. Code, options and payload of the answer count; token and block options are the
    /// endpoint's. The body may have any size that the peer can take.
    pub fn respond(&mut self, now: Instant, exchange: Exchange, answer: Message) -> Result<(), RespondError> {
        let asked = self.take_exchange(&exchange, &answer)?;
        if asked.register {
            // RFC 7641 §4.1: a registration that is not agreed to ends the one before it.
            self.replace_observation(asked.token);
        }
        let sent = self.answer(now, asked, answer);
        self.answered_one(now);
        sent
    }

    /// Leaves a request without an answer. A confirmable one is acknowledged over UDP, or it would come again.
    pub fn ignore(&mut self, now: Instant, exchange: Exchange) {
        let Some(asked) = self.server.exchanges.remove(&exchange.0) else { return };
        if let Some(Arrival { id, confirmable: true, acknowledged: false }) = asked.arrival {
            self.send_empty(Kind::Acknowledgement, id);
        }
        self.answered_one(now);
    }

    /// Takes an exchange that an answer is there for.
    pub(super) fn take_exchange(&mut self, exchange: &Exchange, answer: &Message) -> Result<Asked, RespondError> {
        if !answer.code.is_response() {
            return Err(RespondError::NoResponse(answer.code));
        }
        self.server.exchanges.remove(&exchange.0).ok_or(RespondError::Gone)
    }

    pub(super) fn answered_one(&mut self, now: Instant) {
        self.handle_custody(now);
        self.flush(now);
        self.settle();
    }

    pub(super) fn incoming_request(&mut self, now: Instant, message: Message, arrival: Option<Arrival>) {
        let Message { code, token, options, payload } = message;
        let asked = Asked {
            code,
            token,
            block1: options.block1(),
            block2: options.block2(),
            register: options.observe() == Some(0) && matches!(code, Code::GET | Code::FETCH),
            options,
            arrival,
            deadline: now + self.config.answer_timeout,
            acknowledge_at: arrival.filter(|arrival| arrival.confirmable).map(|_| now + self.config.reliability.ack_delay),
        };
        if self.phase != Phase::Open {
            return self.refuse_busy(now, asked);
        }
        if let Err(unknown) = asked.options.refuse_critical(|number| self.knows(number)) {
            self.counters.refused_options += 1;
            // RFC 7252 §5.4.1: a non-confirmable request is rejected instead, and silence does.
            if arrival.is_none_or(|arrival| arrival.confirmable) {
                self.answer_now(now, asked, Message::new(Code::BAD_OPTION, token).with_payload(unknown.to_string()));
            }
            return;
        }
        // RFC 7959 §2.2: over UDP there is no block size 7.
        let bert = [asked.block1, asked.block2].into_iter().flatten().any(|block| block.size().is_bert());
        if bert && matches!(self.link, Link::Udp(_)) {
            return self.answer_now(now, asked, Message::new(Code::BAD_REQUEST, token).with_payload("block size 7 is reserved"));
        }
        if asked.options.observe() == Some(1) && matches!(code, Code::GET | Code::FETCH) {
            self.deregister(token);
        }
        match asked.block1 {
            Some(block) => self.incoming_block(now, asked, block, payload),
            None => self.whole_request(now, asked, payload),
        }
    }

    /// A block of a request's body (RFC 7959 §2.5).
    fn incoming_block(&mut self, now: Instant, mut asked: Asked, block: Block, payload: Bytes) {
        if !carries(block, payload.len()) {
            let text = "the payload is not as long as its block";
            return self.answer_now(now, asked, Message::new(Code::BAD_REQUEST, Token::EMPTY).with_payload(text));
        }
        let limits = &self.config.limits;
        let others = self.body_bytes();
        match self.server.assemblies.take(now, asked.code, &asked.options, block, &payload, others, limits) {
            Taken::More => {
                let size = if block.size().is_bert() { block.size() } else { block.size().min(self.config.block_size) };
                asked.block1 = Block::new(block.number(), true, size).ok();
                self.answer_now(now, asked, Message::new(Code::CONTINUE, Token::EMPTY));
            }
            Taken::Whole(body) => {
                asked.block1 = Block::new(block.number(), false, block.size()).ok();
                self.whole_request(now, asked, body);
            }
            Taken::Missing => self.answer_now(now, asked, Message::new(Code::REQUEST_ENTITY_INCOMPLETE, Token::EMPTY)),
            Taken::TooLarge => {
                self.counters.refused_size += 1;
                let most = u32::try_from(limits.body).unwrap_or(u32::MAX);
                let options = Options::builder().uint(OptionNumber::SIZE1, most).build();
                self.answer_now(now, asked, Message::new(Code::REQUEST_ENTITY_TOO_LARGE, Token::EMPTY).with_options(options));
            }
            Taken::Many => {
                self.counters.refused_bodies += 1;
                self.answer_unavailable(now, asked);
            }
            Taken::Full => {
                self.counters.refused_body_bytes += 1;
                self.answer_unavailable(now, asked);
            }
        }
    }

    fn whole_request(&mut self, now: Instant, asked: Asked, payload: Bytes) {
        if payload.len() > self.config.limits.body {
            self.counters.refused_size += 1;
            return self.answer_now(now, asked, Message::new(Code::REQUEST_ENTITY_TOO_LARGE, Token::EMPTY));
        }
        if let Some(block) = asked.block2.filter(|block| block.number() > 0) {
            let expires = now + self.config.limits.body_lifetime;
            if let Some((template, body)) = self.server.served.find(now, asked.code, &asked.options, expires) {
                let answer = Message { payload: body, ..template };
                return self.answer_block(now, asked, answer, block);
            }
            // Only what is safe and without a body may be asked for again in the middle.
            if asked.code != Code::GET {
                return self.answer_now(now, asked, Message::new(Code::REQUEST_ENTITY_INCOMPLETE, Token::EMPTY));
            }
        }
        if self.server.exchanges.len() >= self.config.limits.exchanges_in {
            return self.refuse_busy(now, asked);
        }
        let fresh = asked.options.first(OptionNumber::ECHO).and_then(|echo| self.server.echoes.age(now, echo));
        let fresh = fresh.filter(|age| *age <= self.config.echo_lifetime);
        let id = self.next_id();
        let options = without(&asked.options, TRAVEL);
        let message = Message { code: asked.code, token: asked.token, options, payload };
        let observe = asked.register;
        self.server.exchanges.insert(id, asked);
        self.events.push_back(Event::Request(Incoming { exchange: Exchange(id), message, observe, fresh }));
    }

    fn refuse_busy(&mut self, now: Instant, asked: Asked) {
        self.counters.refused_busy += 1;
        self.answer_unavailable(now, asked);
    }

    fn answer_unavailable(&mut self, now: Instant, asked: Asked) {
        let seconds = u32::try_from(self.config.limits.retry_after.as_secs()).unwrap_or(u32::MAX);
        let options = Options::builder().max_age(seconds).build();
        self.answer_now(now, asked, Message::new(Code::SERVICE_UNAVAILABLE, Token::EMPTY).with_options(options));
    }

    /// An answer of ours. A peer that cannot take even that gets what [`Endpoint::answer`] makes of it.
    fn answer_now(&mut self, now: Instant, asked: Asked, answer: Message) {
        let _ = self.answer(now, asked, answer);
    }

    /// Sends an answer whose body may need blocks.
    pub(super) fn answer(&mut self, now: Instant, asked: Asked, mut answer: Message) -> Result<(), RespondError> {
        answer.token = asked.token;
        if answer.options.has(OptionNumber::BLOCK2) || answer.options.has(OptionNumber::BLOCK1) {
            answer.options = without(&answer.options, &[OptionNumber::BLOCK1, OptionNumber::BLOCK2]);
        }
        if let Some(block1) = asked.block1 {
            answer.options = merged(&answer.options, &Options::builder().block1(block1).build());
        }
        if let Some(block) = asked.block2.filter(|block| block.number() > 0 && answer.code.is_success()) {
            self.answer_block(now, asked, answer, block);
            return Ok(());
        }
        let wish = asked.block2.map(Block::size);
        match self.first_message(now, asked.code, &asked.options, answer.clone(), wish) {
            Some(message) => {
                self.send_to(now, &asked, message);
                Ok(())
            }
            None => {
                self.send_to(now, &asked, Message::new(Code::INTERNAL_SERVER_ERROR, asked.token));
                Err(RespondError::TooLarge)
            }
        }
    }

    /// The message that an answer or a notification begins with. A body that does not fit is kept, so that the peer can fetch
    /// the rest of it (RFC 7959 §2.4). There is none where the peer cannot take it.
    pub(super) fn first_message(
        &mut self,
        now: Instant,
        code: Code,
        request: &Options,
        answer: Message,
        wish: Option<BlockSize>,
    ) -> Option<Message> {
        match self.fit(&answer, wish) {
            Fit::Whole => Some(answer),
            Fit::TooLarge => None,
            Fit::Blocks { .. } if answer.payload.is_empty() => None,
            Fit::Blocks { size, chunk } => {
                let answer = tagged(answer);
                let block = Block::at(0, answer.payload.len() > chunk, size)?;
                let size2 = u32::try_from(answer.payload.len()).unwrap_or(u32::MAX);
                let extra = Options::builder().block2(block).uint(OptionNumber::SIZE2, size2).build();
                let payload = answer.payload.slice(..chunk.min(answer.payload.len()));
                let message = Message { options: merged(&answer.options, &extra), payload, ..answer.clone() };
                let expires = now + self.config.limits.body_lifetime;
                let displaced = self.server.served.keep(code, request, answer, expires, &self.config.limits);
                self.counters.displaced += displaced.for_number;
                self.counters.displaced_for_bytes += displaced.for_bytes;
                Some(message)
            }
        }
    }

    /// Sends one block from the middle of a body.
    fn answer_block(&mut self, now: Instant, asked: Asked, answer: Message, wanted: Block) {
        let answer = Message { token: asked.token, ..tagged(answer) };
        let start = wanted.offset();
        let (size, chunk) = match self.fit(&answer, Some(wanted.size())) {
            // A block may be asked for although all would fit.
            Fit::Whole | Fit::TooLarge => (wanted.size(), wanted.size().bytes()),
            Fit::Blocks { size, chunk } => (size, chunk),
        };
        let end = (start + chunk).min(answer.payload.len());
        let block = Block::at(start, end < answer.payload.len(), size).filter(|_| start < end);
        let Some(block) = block else {
            let beyond = Message::new(Code::BAD_REQUEST, asked.token).with_payload("there is no such block");
            return self.send_to(now, &asked, beyond);
        };
        // Observe belongs to the first block alone (RFC 7959 §2.6).
        let options = without(&answer.options, &[OptionNumber::OBSERVE]);
        let options = merged(&options, &Options::builder().block2(block).build());
        let message = Message { options, payload: answer.payload.slice(start..end), ..answer };
        self.send_to(now, &asked, message);
    }

    /// Sends an answer, unless the peer said that it does not want such ones (RFC 7967 §2).
    fn send_to(&mut self, now: Instant, asked: &Asked, message: Message) {
        if !asked.options.no_response().is_some_and(|unwanted| unwanted.suppresses(message.code)) {
            return self.send_answer(now, asked.arrival.as_ref(), message);
        }
        if let Some(Arrival { id, confirmable: true, acknowledged: false }) = asked.arrival {
            self.send_empty(Kind::Acknowledgement, id);
        }
    }

    pub(super) fn server_timeout(&self) -> Option<Instant> {
        let exchanges = self.server.exchanges.values().flat_map(|asked| [Some(asked.deadline), asked.acknowledge_at]);
        exchanges.chain([self.server.assemblies.next_timeout(), self.server.served.next_timeout()]).flatten().min()
    }

    pub(super) fn server_handle_timeout(&mut self, now: Instant) {
        let given_up = self.server.assemblies.handle_timeout(now);
        self.counters.silent_bodies += given_up.silent;
        self.counters.late_bodies += given_up.late;
        self.server.served.handle_timeout(now);
        let mut acknowledge = Vec::new();
        for asked in self.server.exchanges.values_mut() {
            if asked.acknowledge_at.take_if(|at| *at <= now).is_some()
                && let Some(arrival) = &mut asked.arrival
            {
                arrival.acknowledged = true;
                acknowledge.push(arrival.id);
            }
        }
        for id in acknowledge {
            self.send_empty(Kind::Acknowledgement, id);
        }
        while let Some((&id, _)) = self.server.exchanges.iter().find(|(_, asked)| asked.deadline <= now) {
            if let Some(asked) = self.server.exchanges.remove(&id) {
                self.counters.unanswered += 1;
                self.answer_now(now, asked, Message::new(self.config.unanswered, Token::EMPTY));
            }
        }
        self.handle_custody(now);
    }

    pub(super) fn close_server(&mut self) {
        self.server.exchanges.clear();
        self.server.assemblies = Assemblies::default();
        self.server.served = ServedBodies::default();
        self.end_observers();
    }
}

/// What the application does not see: how a request travelled.
const TRAVEL: &[OptionNumber] =
    &[OptionNumber::BLOCK1, OptionNumber::BLOCK2, OptionNumber::SIZE1, OptionNumber::ECHO, OptionNumber::REQUEST_TAG];
