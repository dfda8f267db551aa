//! Representations that the peer fetches in blocks (RFC 7959 §2.4).

use super::{
    Limits,
    fit::{merged, owned, same_key, without},
};
use crate::coap::{Code, Message, OptionNumber, Options};
use bytes::Bytes;
use std::{collections::VecDeque, time::Instant};

/// What was answered last, until the peer has all of it.
#[derive(Debug, Default)]
pub(super) struct ServedBodies {
    /// The oldest first.
    bodies: VecDeque<Served>,
    bytes: usize,
}

#[derive(Debug)]
struct Served {
    code: Code,
    request: Options,
    answer: Message,
    expires: Instant,
}

/// How many answers made room for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Displaced {
    /// Because there were too many.
    pub(super) for_number: u64,
    /// Because they took too much.
    pub(super) for_bytes: u64,
}

impl ServedBodies {
    /// Keeps an answer for the requests of its further blocks. A newer answer to the same request takes its place.
    /// Says how many others made room.
    pub(super) fn keep(&mut self, code: Code, request: &Options, answer: Message, expires: Instant, limits: &Limits) -> Displaced {
        let mut displaced = Displaced::default();
        if let Some(place) = self.place(code, request) {
            self.drop_at(place);
        }
        while !self.bodies.is_empty() {
            if self.bodies.len() >= limits.served_bodies {
                displaced.for_number += 1;
            } else if self.bytes + answer.payload.len() > limits.served_bytes {
                displaced.for_bytes += 1;
            } else {
                break;
            }
            self.drop_at(0);
        }
        if answer.payload.len() <= limits.served_bytes && limits.served_bodies > 0 {
            self.bytes += answer.payload.len();
            self.bodies.push_back(Served { code, request: owned(request), answer, expires });
        }
        displaced
    }

    /// The answer to a request of which a further block is asked for, and its body. It is kept until `expires` then.
    pub(super) fn find(&mut self, now: Instant, code: Code, request: &Options, expires: Instant) -> Option<(Message, Bytes)> {
        let place = self.place(code, request).or_else(|| self.place_without_tag(code, request))?;
        let served = self.bodies.get_mut(place).filter(|served| served.expires > now)?;
        served.expires = expires;
        Some((served.answer.clone(), served.answer.payload.clone()))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.bodies.iter().map(|served| served.expires).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(place) = self.bodies.iter().position(|served| served.expires <= now) {
            self.drop_at(place);
        }
    }

    fn place(&self, code: Code, request: &Options) -> Option<usize> {
        self.bodies.iter().position(|served| served.code == code && same_key(&served.request, request))
    }

    /// Some clients tag the blocks that they send and not those that they ask for.
    fn place_without_tag(&self, code: Code, request: &Options) -> Option<usize> {
        let untagged = |options| without(options, &[OptionNumber::REQUEST_TAG]);
        self.bodies.iter().rposition(|served| served.code == code && same_key(&untagged(&served.request), request))
    }

    fn drop_at(&mut self, place: usize) {
        if let Some(served) = self.bodies.remove(place) {
            self.bytes -= served.answer.payload.len();
        }
    }
}

/// The answer with an entity tag. Without one a peer could not tell that the representation changed between two of its blocks
/// (RFC 7959 §2.4); where the application gives none, it is made of the body.
pub(super) fn tagged(answer: Message) -> Message {
    if answer.options.has(OptionNumber::ETAG) || !answer.code.is_success() {
        return answer;
    }
    let tag = fingerprint(&answer.payload);
    match Options::builder().push(OptionNumber::ETAG, &tag.to_be_bytes()) {
        Ok(tag) => Message { options: merged(&answer.options, &tag.build()), ..answer },
        Err(_) => answer,
    }
}

/// FNV-1a. It keeps apart what changes by accident; who makes the body has no reason to fool itself.
fn fingerprint(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
