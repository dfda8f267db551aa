//! Our requests: from the application to the peer, and the answer back.
//!
//! What an application calls one request is as many messages as its body, its answer's body and the server's wish for an
//! Echo value take. Each has a token of its own; only an observation keeps the token of its registration. Here a request begins,
//! goes out and ends; [`asking`] knows one request, and [`answers`] takes what the peer says to it.

mod answers;
mod asking;

pub(super) use answers::Verdict;
pub(super) use asking::Asking;

use super::{
    Endpoint, Event, Failure, Link, Owner, Phase, PingId, Request, RequestError, RequestId, download::Download, emptied, event::Ended,
    fit::Fit, upload::Upload, watch::Watch,
};
use crate::coap::{BlockSize, OptionNumber, Token};
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

impl Client {
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether no answer is awaited; observations may go on.
    pub(super) fn is_settled(&self) -> bool {
        self.requests.values().all(|asking| !asking.awaiting)
    }

    /// An empty tree keeps a node.
    pub(super) fn give_back(&mut self) {
        if self.requests.is_empty() {
            self.requests = BTreeMap::new();
        }
        if self.tokens.is_empty() {
            self.tokens = BTreeMap::new();
        }
        emptied(&mut self.pings);
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
        if full {
            self.counters.refused_waiting += 1;
            return Err(RequestError::Busy);
        }
        if self.client.requests.len() >= self.config.limits.exchanges_out {
            self.counters.refused_requests += 1;
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

/// How often a body is begun anew because it did not fit together.
const MOST_RESTARTS: u8 = 3;
/// How many pings of ours may be without a pong.
const MOST_PINGS: usize = 8;
