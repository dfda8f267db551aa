//! One request of ours: how far it is, and which message comes next.

use super::MOST_RESTARTS;
use crate::coap::{
    Block, BlockSize, Message, OptionNumber, Options, Token,
    endpoint::{
        Request,
        download::Download,
        fit::{merged, without},
        upload::{Next, Upload},
        watch::Watch,
    },
};
use bytes::Bytes;
use std::time::Instant;

/// One request until it is over.
#[derive(Debug)]
pub(in crate::coap::endpoint) struct Asking {
    pub(in crate::coap::endpoint) request: Request,
    /// The token of the message that an answer is awaited for.
    pub(in crate::coap::endpoint) token: Token,
    pub(in crate::coap::endpoint) awaiting: bool,
    /// When the peer has been silent for too long.
    pub(super) deadline: Instant,
    /// When the body takes too long, whatever comes.
    pub(super) body_deadline: Option<Instant>,
    pub(in crate::coap::endpoint) upload: Option<Upload>,
    /// The Request-Tag of the body that was sent: the blocks of its answer are asked for with it.
    pub(super) tag: Option<Bytes>,
    pub(in crate::coap::endpoint) download: Option<Download>,
    pub(in crate::coap::endpoint) watch: Option<Watch>,
    pub(super) echo: Option<Bytes>,
    pub(super) echoes: u8,
    pub(super) restarts: u8,
    /// Whether the application wants nothing of it any more, and only the server is told.
    pub(in crate::coap::endpoint) leaving: bool,
}

impl Asking {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let deadline = self.awaiting.then_some(self.deadline);
        let stale = self.watch.as_ref().and_then(|watch| watch.stale_at);
        [deadline, self.awaiting.then_some(self.body_deadline).flatten(), stale].into_iter().flatten().min()
    }

    pub(super) fn expect(&mut self, now: Instant, token: Token) {
        self.token = token;
        self.awaiting = true;
        self.deadline = now + self.request.timeout;
    }

    pub(super) fn next_upload(&mut self, answer: &Message) -> Option<Next> {
        let body = self.request.message.payload.len();
        match &mut self.upload {
            Some(upload) => Some(upload.answered(answer, body, self.restarts < MOST_RESTARTS)),
            None => Upload::advised(answer, body).filter(|_| self.restarts < MOST_RESTARTS).map(Next::Again),
        }
    }

    /// The next message, and the token that it goes with. There is none for what no block number reaches.
    pub(super) fn next_message(&self, fresh: Token, block_size: BlockSize) -> Option<(Token, Message)> {
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
