//! Whether a body fits into one message to this peer, or how it is cut.

use super::{Endpoint, Link};
use crate::coap::{BlockSize, Message, OptionNumber, Options, tcp};
use bytes::Bytes;

/// How a body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// In one message.
    Whole,
    /// In blocks.
    Blocks {
        size: BlockSize,
        /// How many bytes of it go into one message: the size, or a multiple of it under BERT.
        chunk: usize,
    },
    /// Not at all.
    TooLarge,
}

impl Endpoint {
    /// How the body of a message travels. `wish` is the largest block that the peer asked for.
    pub(super) fn fit(&self, message: &Message, wish: Option<BlockSize>) -> Fit {
        let body = message.payload.len();
        let overhead = MOST_HEADER + message.token.len() + message.options.encoded().len();
        match &self.link {
            Link::Udp(_) => {
                let largest = wish.map_or(self.config.block_size, |wish| wish.min(self.config.block_size));
                let datagram = self.config.reliability.datagram;
                if body <= largest.bytes() && overhead + body <= datagram {
                    return Fit::Whole;
                }
                blocks(datagram, overhead, largest)
            }
            Link::Tcp(tcp) => {
                let wished = wish.is_none_or(|wish| wish.is_bert() || body <= wish.bytes());
                let longest = if tcp.both_in_blocks() { tcp.longest().min(self.config.longest_whole) } else { tcp.longest() };
                let longest = longest.min(self.config.limits.queue_bytes);
                if wished && tcp::encoded_length(message) <= longest {
                    return Fit::Whole;
                }
                match (tcp.both_in_blocks(), wish.unwrap_or(BlockSize::BERT)) {
                    (false, _) => Fit::TooLarge,
                    (true, BlockSize::BERT) if tcp.both_in_bert() => {
                        match longest.saturating_sub(overhead + BLOCK_OPTIONS) / BlockSize::BERT.bytes() {
                            0 => blocks(longest, overhead, BlockSize::MAX),
                            count => Fit::Blocks { size: BlockSize::BERT, chunk: count * BlockSize::BERT.bytes() },
                        }
                    }
                    (true, wish) => blocks(longest, overhead, wish.min(BlockSize::MAX).min(self.config.block_size)),
                }
            }
        }
    }

    /// Whether a message fits as it is.
    pub(super) fn fits(&self, message: &Message) -> bool {
        match &self.link {
            Link::Udp(_) => MOST_HEADER + message.token.len() + message.options.encoded().len() + message.payload.len() <= LONGEST_DATAGRAM,
            Link::Tcp(tcp) => tcp::encoded_length(message) <= tcp.longest().min(self.config.limits.queue_bytes),
        }
    }
}

fn blocks(longest: usize, overhead: usize, largest: BlockSize) -> Fit {
    match longest.saturating_sub(overhead + BLOCK_OPTIONS) {
        room if room < BlockSize::MIN.bytes() => Fit::TooLarge,
        room => {
            let size = BlockSize::at_most(room).min(largest);
            Fit::Blocks { size, chunk: size.bytes() }
        }
    }
}

/// The options of a message with some replaced or added: `extra` wins over `base`.
pub(super) fn merged(base: &Options, extra: &Options) -> Options {
    if extra.is_empty() {
        return base.clone();
    }
    Options::builder().copy(base, |number| extra.all(number).next().is_some()).copy(extra, |_| false).build()
}

/// The options without some, copied only where there are any of these.
pub(super) fn without(options: &Options, dropped: &[OptionNumber]) -> Options {
    if options.iter().any(|(number, _)| dropped.contains(&number)) {
        Options::builder().copy(options, |number| dropped.contains(&number)).build()
    } else {
        options.clone()
    }
}

/// The options in memory of their own: what is kept for long must not keep the buffer that it arrived in.
pub(super) fn owned(options: &Options) -> Options {
    Options::from_encoded(Bytes::copy_from_slice(options.encoded()))
}

/// Whether two messages are about the same thing in the same way, apart from how it travels: the key under which blocks
/// belong together (RFC 7959 §2.4, RFC 9175 §3.3).
pub(super) fn same_key(one: &Options, other: &Options) -> bool {
    one.iter().filter(|(number, _)| is_key(*number)).eq(other.iter().filter(|(number, _)| is_key(*number)))
}

fn is_key(number: OptionNumber) -> bool {
    const APART: &[OptionNumber] =
        &[OptionNumber::ETAG, OptionNumber::OBSERVE, OptionNumber::BLOCK1, OptionNumber::BLOCK2, OptionNumber::NO_RESPONSE];
    !APART.contains(&number) && (number.is_unsafe_to_forward() || !number.is_no_cache_key())
}

/// Header and payload marker at their longest.
const MOST_HEADER: usize = 7;
/// Room for the options that a block brings: Observe, ETag, Block1, Block2, a size, Echo, Request-Tag.
const BLOCK_OPTIONS: usize = 32;
/// What a datagram of UDP can carry.
const LONGEST_DATAGRAM: usize = 65_507;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_replaces_what_was_there_and_stands_in_order() {
        let base = Options::builder().path("/a/b").unwrap().uint(OptionNumber::SIZE1, 7).build();
        let extra = Options::builder().observe(0).uint(OptionNumber::SIZE1, 9).empty(OptionNumber(65_000)).build();
        let merged = merged(&base, &extra);
        let numbers: Vec<u16> = merged.iter().map(|(number, _)| number.0).collect();
        assert_eq!(numbers, [6, 11, 11, 60, 65_000]);
        assert_eq!(merged.uint(OptionNumber::SIZE1), Some(9));
    }

    #[test]
    fn the_blocks_of_a_body_belong_together_by_what_they_ask_for() {
        let base = Options::builder().path("/a").unwrap().query("x=1").unwrap();
        let first = base.clone().observe(0).uint(OptionNumber::BLOCK2, 6).uint(OptionNumber::SIZE2, 0).build();
        assert!(same_key(&first, &base.clone().build()));
        assert!(!same_key(&first, &base.clone().query("y=1").unwrap().build()));
        assert!(!same_key(&first, &base.uint(OptionNumber::REQUEST_TAG, 1).build()));
    }
}
