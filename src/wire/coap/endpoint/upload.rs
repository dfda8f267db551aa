//! A request's body on its way to the server (RFC 7959 §2.5, §2.9).

use crate::coap::{Block, BlockSize, Code, Message};
use bytes::Bytes;

/// Where a body is that is sent in blocks. It starts anew with a new value.
#[derive(Debug)]
pub(super) struct Upload {
    /// How much of it the server has.
    offset: usize,
    size: BlockSize,
    /// How many bytes go into one message.
    chunk: usize,
    tag: Option<Bytes>,
}

/// What follows from the answer to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next block.
    Send,
    /// The whole body again, in blocks of this size.
    Again(BlockSize),
    /// This was the answer to the whole body.
    Done,
    /// This is the answer, although the server has not seen the whole body.
    Stopped,
    /// The answer fits nothing.
    Broken,
}

impl Upload {
    pub(super) fn new(size: BlockSize, chunk: usize, tag: Option<Bytes>) -> Self {
        Self { offset: 0, size, chunk, tag }
    }

    /// The tag that the answer's blocks are asked for with.
    pub(super) fn into_tag(self) -> Option<Bytes> {
        self.tag
    }

    /// The size in which a server wants a body that it refused whole (RFC 7959 §2.9.3).
    pub(super) fn advised(answer: &Message, body: usize) -> Option<BlockSize> {
        let block = answer.options.block1().filter(|_| answer.code == Code::REQUEST_ENTITY_TOO_LARGE)?;
        (!block.size().is_bert() && block.size().bytes() < body).then_some(block.size())
    }

    /// The block to send, its bytes, and its tag. There is none where no block number reaches.
    pub(super) fn current(&self, body: &Bytes) -> Option<(Block, Bytes, Option<Bytes>)> {
        let start = self.offset.min(body.len());
        let end = (start + self.chunk).min(body.len());
        let block = Block::at(start, end < body.len(), self.size)?;
        Some((block, body.slice(start..end), self.tag.clone()))
    }

    /// What follows from the answer to [`Upload::current`], for a body of so many bytes.
    pub(super) fn answered(&mut self, answer: &Message, body: usize, may_restart: bool) -> Next {
        let end = (self.offset + self.chunk).min(body);
        let more = end < body;
        let block = answer.options.block1();
        match answer.code {
            Code::REQUEST_ENTITY_TOO_LARGE if may_restart => match Self::advised(answer, body) {
                Some(size) if size < self.size => return Next::Again(size),
                _ => {}
            },
            Code::REQUEST_ENTITY_INCOMPLETE if may_restart && self.offset > 0 => return Next::Again(self.size.min(BlockSize::MAX)),
            _ => {}
        }
        match (more, block) {
            (false, _) if answer.code == Code::CONTINUE => Next::Broken,
            (false, _) => Next::Done,
            // RFC 7959 §2.3: without `more` the server has acted on this block alone and wants the next.
            (true, Some(block)) if answer.code.is_success() => {
                self.offset = end;
                self.shrink(block.size());
                Next::Send
            }
            (true, _) if answer.code == Code::CONTINUE => Next::Broken,
            (true, _) => Next::Stopped,
        }
    }

    /// The server wants smaller blocks. What it has stays a multiple of them.
    fn shrink(&mut self, size: BlockSize) {
        if size < self.size {
            self.size = size;
            self.chunk = size.bytes();
        }
    }
}
