//! Our requests: from the application to the peer, and the answer back.
//!
//! What an application calls one request is as many messages as its body, its answer's body and the server's wish for an
//! Echo value take. Each has a token of its own; only an observation keeps the token of its registration.

use super::{
    Endpoint, Event, Failure, Link, Owner, Phase, PingId, Request, RequestError, RequestId,
    download::{Download, Progress},
    event::Ended,
    fit::{Fit, merged, without},
    upload::{Next, Upload},
    watch::Watch,
};
use crate::coap::{Block, BlockSize, Code, Message, OptionNumber, Options, Token};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) requests: BTreeMap<RequestId, Asking>,
    tokens: BTreeMap<Token, RequestId>,
    pings: VecDeque<(Token, PingId)>,
    /// The next Request-Tag, once one is needed.
    tag: u32,
    /// Whether the server may still hold blocks of a body that was not finished.
    unfinished: bool,
}

/// One request until it is over.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) request: Request,
    /// The token of the message that an answer is awaited for.
    pub(super) token: Token,
    pub(super) awaiting: bool,
    /// When the peer has been silent for too long.
    deadline: Instant,
    /// When the body takes too long, whatever comes.
    body_deadline: Option<Instant>,
    pub(super) upload: Option<Upload>,
    /// The Request-Tag of the body that was sent: the blocks of its answer are asked for with it.
    tag: Option<Bytes>,
    pub(super) download: Option<Download>,
    pub(super) watch: Option<Watch>,
    echo: Option<Bytes>,
    echoes: u8,
    restarts: u8,
    /// Whether the application wants nothing of it any more, and only the server is told.
    pub(super) leaving: bool,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// Nobody waits for it.
    Unknown,
    /// It cannot be understood.
    Refused,
}

impl Client {
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether no answer is awaited; observations may go on.
    pub(super) fn is_settled(&self) -> bool {
        self.requests.values().all(|asking| !asking.awaiting)
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.requests.values().filter_map(|asking| asking.download.as_ref()).map(Download::bytes).sum()
    }

    pub(super) fn remember_ping(&mut self, token: Token, ping: PingId) {
        if self.pings.len() >= MOST_PINGS {
            self.pings.pop_front();
        }
        self.pings.push_back((token, ping));
    }

    /// The ping that a pong answers. libcoap 4.3 leaves the token out of its pongs, which a stream keeps in order anyway.
    pub(super) fn take_ping(&mut self, token: Token) -> Option<PingId> {
        let place = self.pings.iter().position(|(sent, _)| *sent == token || token.is_empty())?;
        self.pings.remove(place).map(|(_, ping)| ping)
    }
}

impl Endpoint {
    /// Asks the peer. What becomes of it is told by exactly one of [`Event::Response`], [`Event::Failed`] and
    /// [`Event::Silent`]; for an observation, notifications follow until [`Event::ObservationEnded`].
    pub fn request(&mut self, now: Instant, request: Request) -> Result<RequestId, RequestError> {
        if self.phase != Phase::Open {
            return Err(RequestError::Closed);
        }
        if !request.message.code.is_request() {
            return Err(RequestError::NoRequest(request.message.code));
        }
        let full = matches!(self.link, Link::Udp(_)) && self.waiting() >= self.config.limits.waiting;
        if full || self.client.requests.len() >= self.config.limits.exchanges_out {
            return Err(RequestError::Busy);
        }
        let mut shape = request.message.clone();
        shape.token = Token::from([0; 8]);
        let upload = match self.fit(&shape, None) {
            Fit::Whole => None,
            Fit::TooLarge => return Err(RequestError::TooLarge),
            Fit::Blocks { .. } if request.message.payload.is_empty() => return Err(RequestError::TooLarge),
            Fit::Blocks { size, chunk } => Some(self.start_upload(size, chunk)),
        };
        let id = RequestId(self.next_id());
        let watch = request.observe.then(Watch::default);
        let body_deadline = upload.is_some().then(|| now + self.config.limits.body_time);
        let asking = Asking {
            deadline: now + request.timeout,
            request,
            token: Token::EMPTY,
            awaiting: false,
            body_deadline,
            upload,
            tag: None,
            download: None,
            watch,
            echo: None,
            echoes: 0,
            restarts: 0,
            leaving: false,
        };
        self.client.requests.insert(id, asking);
        self.ask(now, id);
        Ok(id)
    }

    fn start_upload(&mut self, size: BlockSize, chunk: usize) -> Upload {
        let beside = self.client.unfinished || self.client.requests.values().any(|asking| asking.upload.is_some());
        // RFC 9175 §3.4: bodies that the server could mix up need tags.
        let tag = beside.then(|| {
            self.client.tag = self.client.tag.wrapping_add(1);
            Bytes::copy_from_slice(&self.client.tag.to_be_bytes())
        });
        Upload::new(size, chunk, tag)
    }

    /// Cuts the body of a request that is sent once more, if it has to be.
    pub(super) fn begin_upload(&mut self, id: RequestId) {
        let Some(asking) = self.client.requests.get(&id) else { return };
        if let Fit::Blocks { size, chunk } = self.fit(&asking.request.message, None) {
            let upload = self.start_upload(size, chunk);
            if let Some(asking) = self.client.requests.get_mut(&id) {
                asking.upload = Some(upload);
            }
        }
    }

    /// Sends the next message of a request.
    pub(super) fn ask(&mut self, now: Instant, id: RequestId) {
        let fresh = self.fresh_token();
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        let Some((token, message)) = asking.next_message(fresh, self.config.block_size) else {
            return self.fail(id, Failure::TooLarge);
        };
        asking.expect(now, token);
        if let Some(watch) = &mut asking.watch
            && asking.download.is_none()
        {
            watch.token = Some(token);
        }
        let confirmable = asking.request.confirmable;
        self.client.tokens.insert(token, id);
        if self.fits(&message) {
            self.send(now, Owner::Request(id), message, confirmable);
        } else {
            self.fail(id, Failure::TooLarge);
        }
    }

    /// A token that nothing here uses. It is random, so that nobody off the path can guess it.
    pub(super) fn fresh_token(&self) -> Token {
        let mut number = u64::from_be_bytes(self.draw());
        while self.client.tokens.contains_key(&Token::from(number.to_be_bytes())) {
            number = number.wrapping_add(1);
        }
        Token::from(number.to_be_bytes())
    }

    /// The message has left: from now on the peer may be slow.
    pub(super) fn request_transmitted(&mut self, now: Instant, id: RequestId) {
        if let Some(asking) = self.client.requests.get_mut(&id) {
            asking.deadline = now + asking.request.timeout;
        }
    }

    /// The peer has it and will answer later.
    pub(super) fn request_acknowledged(&mut self, now: Instant, id: RequestId) {
        self.request_transmitted(now, id);
    }

    pub(super) fn request_rejected(&mut self, id: RequestId) {
        self.fail(id, Failure::Reset);
    }

    pub(super) fn request_given_up(&mut self, id: RequestId) {
        self.fail(id, Failure::Timeout);
    }

    /// Whether an answer with this token is awaited by this request.
    pub(super) fn awaits(&self, id: RequestId, token: Token) -> bool {
        self.client.requests.get(&id).is_some_and(|asking| asking.awaiting && asking.token == token)
    }

    pub(super) fn incoming_response(&mut self, now: Instant, message: Message) -> Verdict {
        let Some(&id) = self.client.tokens.get(&message.token) else {
            self.counters.unexpected += 1;
            return Verdict::Unknown;
        };
        let Some(asking) = self.client.requests.get_mut(&id) else { return Verdict::Unknown };
        let expected = asking.awaiting && asking.token == message.token;
        if expected {
            asking.awaiting = false;
            match &mut asking.watch {
                Some(watch) if watch.token == Some(message.token) => watch.agreed(now, &message),
                _ => self.release_token(message.token),
            }
            // RFC 7252 §4.2: an answer acknowledges the request.
            self.stop_sending(Owner::Request(id));
        } else if !self.observes(id, message.token) {
            self.counters.unexpected += 1;
            return Verdict::Unknown;
        }
        if self.client.requests.get(&id).is_some_and(|asking| asking.leaving) {
            self.forget(id);
            return Verdict::Taken;
        }
        if message.options.refuse_critical(|number| self.knows(number)).is_err() {
            self.fail(id, Failure::BadOption);
            return Verdict::Refused;
        }
        if expected {
            self.answered(now, id, message);
        } else {
            self.notified(now, id, message);
        }
        Verdict::Taken
    }

    fn answered(&mut self, now: Instant, id: RequestId, message: Message) {
        let attempts = self.config.echo_attempts;
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        // RFC 9175 §2.3: the server wants to know that we are there, now.
        if message.code == Code::UNAUTHORIZED
            && let Some(echo) = message.options.first(OptionNumber::ECHO)
            && asking.echoes < attempts
        {
            asking.echoes += 1;
            asking.echo = Some(Bytes::copy_from_slice(echo));
            return self.ask(now, id);
        }
        match asking.next_upload(&message) {
            Some(Next::Send) => self.ask(now, id),
            Some(Next::Again(size)) => self.upload_again(now, id, size),
            Some(Next::Done) | None => {
                asking.tag = asking.upload.take().and_then(Upload::into_tag);
                self.body(now, id, message);
            }
            Some(Next::Stopped) => {
                asking.upload = None;
                self.client.unfinished = true;
                self.body(now, id, message);
            }
            Some(Next::Broken) => self.fail(id, Failure::BadBlocks),
        }
    }

    fn upload_again(&mut self, now: Instant, id: RequestId, size: BlockSize) {
        self.client.unfinished = true;
        let upload = self.start_upload(size, size.bytes());
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        asking.upload = Some(upload);
        asking.restarts += 1;
        asking.body_deadline.get_or_insert(now + self.config.limits.body_time);
        self.ask(now, id);
    }

    /// Takes an answer's body, or the next block of it.
    pub(super) fn body(&mut self, now: Instant, id: RequestId, message: Message) {
        let (body, total) = (self.config.limits.body, self.config.limits.body_bytes);
        let others = self.body_bytes();
        let over_udp = matches!(self.link, Link::Udp(_));
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        let begun = asking.download.as_ref().is_some_and(|download| download.bytes() > 0);
        if begun && !message.code.is_success() {
            return self.interrupted(now, id, message);
        }
        let block = message.options.block2().filter(|block| begun || block.more() || block.number() > 0);
        let Some(block) = block.filter(|_| asking.request.block.is_none()) else {
            asking.download = None;
            return self.deliver(now, id, message);
        };
        let room = body.min(total.saturating_sub(others - asking.download.as_ref().map_or(0, Download::bytes)));
        let download = asking.download.get_or_insert_default();
        match download.take(block, message, room, over_udp) {
            Progress::More => {
                asking.body_deadline.get_or_insert(now + self.config.limits.body_time);
                self.ask(now, id);
            }
            Progress::Whole(message) => {
                asking.download = None;
                self.deliver(now, id, message);
            }
            Progress::Changed => {
                if !self.download_again(now, id) {
                    self.fail(id, Failure::Unstable);
                }
            }
            Progress::Broken => self.fail(id, Failure::BadBlocks),
            Progress::TooLarge => {
                self.counters.refused_size += 1;
                self.fail(id, Failure::TooLarge);
            }
        }
    }

    /// The next block is not to be had: the representation became shorter, or is no longer kept.
    fn interrupted(&mut self, now: Instant, id: RequestId, message: Message) {
        let gone = matches!(message.code, Code::BAD_REQUEST | Code::REQUEST_ENTITY_INCOMPLETE);
        if gone && self.download_again(now, id) {
            return;
        }
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        asking.download = None;
        match asking.watch {
            // It is no notification, and says nothing about the observation.
            Some(_) => self.fail(id, Failure::Unstable),
            None => self.deliver(now, id, message),
        }
    }

    /// Fetches a representation from its beginning, if that is safe and was not done too often.
    fn download_again(&mut self, now: Instant, id: RequestId) -> bool {
        let Some(asking) = self.client.requests.get_mut(&id) else { return false };
        if asking.restarts >= MOST_RESTARTS || asking.request.message.code != Code::GET {
            return false;
        }
        asking.restarts += 1;
        asking.download = Some(Download::default());
        self.ask(now, id);
        true
    }

    fn deliver(&mut self, now: Instant, id: RequestId, mut message: Message) {
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        (asking.restarts, asking.echoes) = (0, 0);
        asking.body_deadline = None;
        if asking.request.block.is_none() {
            message.options = without(&message.options, &[OptionNumber::BLOCK1, OptionNumber::BLOCK2, OptionNumber::SIZE2]);
        }
        if asking.watch.is_some() {
            return self.deliver_watched(now, id, message);
        }
        self.remove(id);
        self.events.push_back(Event::Response { request: id, message, observing: false });
    }

    /// Ends a request without an answer.
    pub(super) fn fail(&mut self, id: RequestId, why: Failure) {
        let Some(asking) = self.remove(id) else { return };
        if asking.upload.is_some() {
            self.client.unfinished = true;
        }
        let answered = asking.watch.as_ref().is_some_and(|watch| watch.answered);
        match (asking.leaving, answered) {
            (true, _) => {}
            (false, true) => self.events.push_back(Event::ObservationEnded { request: id, why: Ended::Failed(why) }),
            (false, false) => self.events.push_back(Event::Failed { request: id, why }),
        }
    }

    /// Forgets a request and whatever is sent for it.
    pub(super) fn remove(&mut self, id: RequestId) -> Option<Asking> {
        let asking = self.client.requests.remove(&id)?;
        self.client.tokens.remove(&asking.token);
        if let Some(token) = asking.watch.as_ref().and_then(|watch| watch.token) {
            self.client.tokens.remove(&token);
        }
        self.stop_sending(Owner::Request(id));
        Some(asking)
    }

    /// The token of a message whose answer has come; an observation keeps its own.
    pub(super) fn release_token(&mut self, token: Token) {
        self.client.tokens.remove(&token);
    }

    pub(super) fn client_timeout(&self) -> Option<Instant> {
        self.client.requests.values().filter_map(Asking::next_timeout).min()
    }

    pub(super) fn client_handle_timeout(&mut self, now: Instant) {
        let due = |asking: &Asking| asking.next_timeout().is_some_and(|at| at <= now);
        while let Some((&id, asking)) = self.client.requests.iter_mut().find(|(_, asking)| due(asking)) {
            if asking.watch.as_mut().is_some_and(|watch| watch.went_stale(now)) {
                self.events.push_back(Event::Stale { request: id });
            } else if asking.request.message.options.uint(OptionNumber::NO_RESPONSE).is_some_and(|classes| classes != 0) {
                self.remove(id);
                self.events.push_back(Event::Silent { request: id });
            } else {
                self.fail(id, Failure::Timeout);
            }
        }
    }

    pub(super) fn close_client(&mut self) {
        while let Some(&id) = self.client.requests.keys().next() {
            self.fail(id, Failure::Closed);
        }
    }
}

impl Asking {
    fn next_timeout(&self) -> Option<Instant> {
        let deadline = self.awaiting.then_some(self.deadline);
        let stale = self.watch.as_ref().and_then(|watch| watch.stale_at);
        [deadline, self.awaiting.then_some(self.body_deadline).flatten(), stale].into_iter().flatten().min()
    }

    fn expect(&mut self, now: Instant, token: Token) {
        self.token = token;
        self.awaiting = true;
        self.deadline = now + self.request.timeout;
    }

    fn next_upload(&mut self, answer: &Message) -> Option<Next> {
        let body = self.request.message.payload.len();
        match &mut self.upload {
            Some(upload) => Some(upload.answered(answer, body, self.restarts < MOST_RESTARTS)),
            None => Upload::advised(answer, body).filter(|_| self.restarts < MOST_RESTARTS).map(Next::Again),
        }
    }

    /// The next message, and the token that it goes with. There is none for what no block number reaches.
    fn next_message(&self, fresh: Token, block_size: BlockSize) -> Option<(Token, Message)> {
        let base = &self.request.message;
        let mut extra = Options::builder();
        let mut payload = Bytes::new();
        let mut token = fresh;
        let mut options = base.options.clone();
        if let Some(watch) = &self.watch
            && self.download.is_none()
        {
            extra = extra.observe(u32::from(self.leaving));
            token = watch.token.unwrap_or(fresh);
            if let Some(cancel) = self.request.cancel_with.as_ref().filter(|_| self.leaving) {
                options = cancel.clone();
            }
        }
        match (&self.download, &self.upload) {
            (Some(download), _) => {
                extra = extra.block2(download.wanted(block_size)?);
                // RFC 7959 §2.4: the representation is asked for, not a condition on it.
                options = without(&options, &[OptionNumber::ETAG]);
                if let Some(tag) = &self.tag {
                    extra = extra.push(OptionNumber::REQUEST_TAG, tag).ok()?;
                }
            }
            (None, Some(upload)) => {
                let (block, chunk, tag) = upload.current(&base.payload)?;
                extra = extra.block1(block);
                if block.number() == 0 {
                    extra = extra.uint(OptionNumber::SIZE1, u32::try_from(base.payload.len()).unwrap_or(u32::MAX));
                }
                if let Some(tag) = tag {
                    extra = extra.push(OptionNumber::REQUEST_TAG, &tag).ok()?;
                }
                payload = chunk;
            }
            (None, None) => {
                payload = base.payload.clone();
                if let Some(block) = self.request.block {
                    extra = extra.block2(block);
                } else if block_size < BlockSize::MAX {
                    // RFC 7959 §2.4: early negotiation.
                    extra = extra.block2(Block::at(0, false, block_size)?);
                }
            }
        }
        if let Some(echo) = &self.echo {
            extra = extra.push(OptionNumber::ECHO, echo).ok()?;
        }
        let options = merged(&options, &extra.build());
        Some((token, Message { code: base.code, token, options, payload }))
    }
}

/// How often a body is begun anew because it did not fit together.
const MOST_RESTARTS: u8 = 3;
/// How many pings of ours may be without a pong.
const MOST_PINGS: usize = 8;
