//! Requests that arrive in blocks, in order (RFC 7959 §2.5).

use super::{
    Limits,
    fit::{owned, same_key},
};
use crate::coap::{Block, Code, OptionNumber, Options};
use bytes::{Bytes, BytesMut};
use std::time::Instant;

/// The unfinished bodies of a peer.
#[derive(Debug, Default)]
pub(super) struct Assemblies(Vec<Assembly>);

#[derive(Debug)]
struct Assembly {
    code: Code,
    options: Options,
    data: BytesMut,
    /// The block that was taken last: a peer that missed our answer may send it again.
    last: Block,
    /// When nothing more may come.
    until: Instant,
    expires: Instant,
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The next one may come.
    More,
    /// It was the last one.
    Whole(Bytes),
    /// A block before it is not there.
    Missing,
    /// The body is over its bound.
    TooLarge,
    /// There are too many bodies.
    Many,
    /// There are too many bytes of them.
    Full,
}

/// How many bodies were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    /// Nothing more came.
    pub(super) silent: u64,
    /// They took too long.
    pub(super) late: u64,
}

impl Assemblies {
    /// Takes a block. `held` are the bytes of all unfinished bodies.
    #[expect(clippy::too_many_arguments, reason = "a block is all of these")]
    pub(super) fn take(
        &mut self,
        now: Instant,
        code: Code,
        options: &Options,
        block: Block,
        payload: &Bytes,
        held: usize,
        limits: &Limits,
    ) -> Taken {
        let place = self.0.iter().position(|body| body.code == code && same_key(&body.options, options));
        let announced = options.uint(OptionNumber::SIZE1).map_or(0, |size| size as usize);
        if announced > limits.body || block.offset().saturating_add(payload.len()) > limits.body {
            place.map(|place| self.0.swap_remove(place));
            return Taken::TooLarge;
        }
        if block.number() == 0 {
            // A first block begins anew, whatever was there (RFC 7959 §2.5).
            let freed = place.map_or(0, |place| self.0.swap_remove(place).data.len());
            if !block.more() {
                return Taken::Whole(payload.clone());
            }
            if self.0.len() >= limits.bodies {
                return Taken::Many;
            }
            if held - freed + payload.len() > limits.body_bytes {
                return Taken::Full;
            }
            let (until, expires) = (now + limits.body_time, now + limits.body_lifetime);
            self.0.push(Assembly { code, options: owned(options), data: BytesMut::from(&payload[..]), last: block, until, expires });
            return Taken::More;
        }
        let Some((place, body)) = place.and_then(|place| Some((place, self.0.get_mut(place)?))) else { return Taken::Missing };
        body.expires = (now + limits.body_lifetime).min(body.until);
        if block == body.last && block.more() {
            return Taken::More;
        }
        if block.offset() != body.data.len() {
            self.0.swap_remove(place);
            return Taken::Missing;
        }
        if held + payload.len() > limits.body_bytes {
            self.0.swap_remove(place);
            return Taken::Full;
        }
        body.data.extend_from_slice(payload);
        body.last = block;
        if block.more() { Taken::More } else { Taken::Whole(self.0.swap_remove(place).data.freeze()) }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|body| body.data.len()).sum()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.0.iter().map(|body| body.expires).min()
    }

    /// Gives up what is late, and says how many bodies that were.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> GivenUp {
        let mut given_up = GivenUp { silent: 0, late: 0 };
        self.0.retain(|body| {
            if body.expires <= now {
                let why = if body.expires == body.until { &mut given_up.late } else { &mut given_up.silent };
                *why += 1;
            }
            body.expires > now
        });
        given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::BlockSize;
    use std::time::Duration;

    fn options(tag: Option<u8>) -> Options {
        let builder = Options::builder().path("/a").unwrap();
        match tag {
            Some(tag) => builder.push(OptionNumber::REQUEST_TAG, &[tag]).unwrap().build(),
            None => builder.build(),
        }
    }

    fn take(bodies: &mut Assemblies, now: Instant, tag: Option<u8>, number: u32, more: bool, fill: u8) -> Taken {
        let limits = Limits { body: 64, bodies: 2, body_bytes: 80, ..Limits::default() };
        let block = Block::new(number, more, BlockSize::MIN).unwrap();
        let held = bodies.bytes();
        bodies.take(now, Code::PUT, &options(tag), block, &Bytes::from(vec![fill; 16]), held, &limits)
    }

    #[test]
    fn blocks_in_order_make_a_body_and_a_gap_is_missed() {
        let (now, mut bodies) = (Instant::now(), Assemblies::default());
        assert_eq!(take(&mut bodies, now, None, 0, true, 1), Taken::More);
        assert_eq!(take(&mut bodies, now, None, 1, true, 2), Taken::More);
        assert_eq!(take(&mut bodies, now, None, 1, true, 2), Taken::More, "the same block again");
        assert_eq!(take(&mut bodies, now, None, 2, false, 3), Taken::Whole([[1; 16], [2; 16], [3; 16]].concat().into()));
        assert_eq!(take(&mut bodies, now, None, 1, true, 2), Taken::Missing, "nothing is left of it");
        assert_eq!(take(&mut bodies, now, None, 0, true, 1), Taken::More);
        assert_eq!(take(&mut bodies, now, None, 2, true, 1), Taken::Missing);
        assert!(bodies.is_empty());
    }

    #[test]
    fn a_first_block_begins_anew_and_another_tag_begins_another_body() {
        let (now, mut bodies) = (Instant::now(), Assemblies::default());
        assert_eq!(take(&mut bodies, now, None, 0, true, 1), Taken::More);
        assert_eq!(take(&mut bodies, now, None, 0, true, 9), Taken::More);
        assert_eq!(take(&mut bodies, now, Some(1), 0, true, 5), Taken::More);
        assert_eq!(take(&mut bodies, now, None, 1, false, 2), Taken::Whole([[9; 16], [2; 16]].concat().into()));
        assert_eq!(take(&mut bodies, now, Some(1), 1, false, 6), Taken::Whole([[5; 16], [6; 16]].concat().into()));
    }

    #[test]
    fn bodies_are_bounded_in_size_number_bytes_and_time() {
        let (now, mut bodies) = (Instant::now(), Assemblies::default());
        for number in 0..4 {
            assert_eq!(take(&mut bodies, now, Some(1), number, true, 1), Taken::More);
        }
        assert_eq!(take(&mut bodies, now, Some(1), 4, true, 1), Taken::TooLarge);
        assert!(bodies.is_empty());
        for tag in 1..=2 {
            assert_eq!(take(&mut bodies, now, Some(tag), 0, true, 1), Taken::More);
        }
        assert_eq!(take(&mut bodies, now, Some(3), 0, true, 1), Taken::Many);
        for number in 1..4 {
            assert_eq!(take(&mut bodies, now, Some(1), number, true, 1), Taken::More);
        }
        assert_eq!(bodies.bytes(), 80);
        assert_eq!(take(&mut bodies, now, Some(2), 1, true, 1), Taken::Full);
        assert_eq!(bodies.handle_timeout(now + Duration::from_secs(59)), GivenUp { silent: 0, late: 0 });
        assert_eq!(bodies.len(), 1);
        assert_eq!(bodies.handle_timeout(now + Duration::from_secs(60)), GivenUp { silent: 1, late: 0 });
        assert!(bodies.is_empty());
        // Blocks that come steadily, and never the last.
        assert_eq!(take(&mut bodies, now, Some(1), 0, true, 1), Taken::More);
        let end = now + Limits::default().body_time;
        assert_eq!(take(&mut bodies, end - Duration::from_secs(1), Some(1), 1, true, 1), Taken::More);
        assert_eq!(bodies.handle_timeout(end), GivenUp { silent: 0, late: 1 });
    }
}
