//! An answer's body on its way to us (RFC 7959 §2.4).

use crate::coap::{Block, BlockSize, Message, OptionNumber, Options};
use bytes::{Bytes, BytesMut};

/// What has arrived of a body so far.
#[derive(Debug, Default)]
pub(super) struct Download {
    data: BytesMut,
    /// The size that the server last used.
    size: Option<BlockSize>,
    /// Code and options of the first block speak for the whole.
    first: Option<Message>,
}

/// What a block brought.
#[derive(Debug)]
pub(super) enum Progress {
    /// There is more to ask for.
    More,
    /// The body is complete.
    Whole(Message),
    /// It is a block of another representation than the blocks before it.
    Changed,
    /// It does not follow on the blocks before it, or is not as long as it says.
    Broken,
    /// The body is over a bound.
    TooLarge,
}

impl Download {
    pub(super) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The block to ask for next.
    pub(super) fn wanted(&self, size: BlockSize) -> Option<Block> {
        Block::at(self.data.len(), false, self.size.unwrap_or(size))
    }

    /// Takes a block. At most `room` bytes may come together.
    pub(super) fn take(&mut self, block: Block, message: Message, room: usize, over_udp: bool) -> Progress {
        let announced = message.options.uint(OptionNumber::SIZE2).map_or(0, |size| size as usize);
        let length = message.payload.len();
        if announced > room || self.data.len().saturating_add(length) > room {
            return Progress::TooLarge;
        }
        if self.first.as_ref().is_some_and(|first| etag(&first.options) != etag(&message.options) || first.code != message.code) {
            return Progress::Changed;
        }
        if block.offset() != self.data.len() || !carries(block, length) || (over_udp && block.size().is_bert()) {
            return Progress::Broken;
        }
        self.size = Some(block.size());
        self.data.extend_from_slice(&message.payload);
        let first =
            self.first.get_or_insert_with(|| Message { payload: Bytes::new(), options: super::fit::owned(&message.options), ..message });
        if block.more() {
            return Progress::More;
        }
        Progress::Whole(Message { payload: std::mem::take(&mut self.data).freeze(), ..first.clone() })
    }
}

/// Whether a payload can be this block: full where more follow, and never longer (RFC 7959 §2.2, RFC 8323 §6).
pub(super) fn carries(block: Block, payload: usize) -> bool {
    let unit = block.size().bytes();
    match (block.size().is_bert(), block.more()) {
        (false, true) => payload == unit,
        (false, false) => payload <= unit,
        (true, true) => payload > 0 && payload.is_multiple_of(unit),
        (true, false) => true,
    }
}

fn etag(options: &Options) -> Option<&[u8]> {
    options.first(OptionNumber::ETAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u32, more: bool, bytes: usize) -> Block {
        Block::new(number, more, BlockSize::from_bytes(bytes).unwrap()).unwrap()
    }

    #[test]
    fn a_block_with_more_to_come_is_full_and_no_block_is_longer_than_its_size() {
        assert!(carries(block(0, true, 16), 16));
        assert!(!carries(block(0, true, 16), 15));
        assert!(carries(block(0, false, 16), 3));
        assert!(!carries(block(0, false, 16), 17));
        let bert = |more| Block::new(0, more, BlockSize::BERT).unwrap();
        assert!(carries(bert(true), 3072));
        assert!(!carries(bert(true), 1000));
        assert!(carries(bert(false), 1000));
    }
}
