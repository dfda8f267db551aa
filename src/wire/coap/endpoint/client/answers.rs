//! The peer's answers: whose they are, whether the request has to go on, and their bodies in blocks.

use super::MOST_RESTARTS;
use crate::coap::{
    BlockSize, Code, Message, OptionNumber, Token,
    endpoint::{
        Endpoint, Event, Failure, Link, Owner, RequestId,
        download::{Download, Progress},
        fit::without,
        upload::{Next, Upload},
    },
};
use bytes::Bytes;
use std::time::Instant;

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::coap::endpoint) enum Verdict {
    Taken,
    /// Nobody waits for it.
    Unknown,
    /// It cannot be understood.
    Refused,
}

impl Endpoint {
    /// Whether an answer with this token is awaited by this request.
    pub(in crate::coap::endpoint) fn awaits(&self, id: RequestId, token: Token) -> bool {
        self.client.requests.get(&id).is_some_and(|asking| asking.awaiting && asking.token == token)
    }

    pub(in crate::coap::endpoint) fn incoming_response(&mut self, now: Instant, message: Message) -> Verdict {
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
    pub(in crate::coap::endpoint) fn body(&mut self, now: Instant, id: RequestId, message: Message) {
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
}
