//! What one peer may make us hold, and what happens at each bound.
//!
//! A door fills [`Limits`] from its configuration and reads [`Counters`] for its metrics. Nothing here counts over several
//! peers: that is the door's admission.

use std::time::Duration;

/// Bounds on what one peer feeds. Each names the reaction at the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message that arrives. Over UDP a larger datagram is rejected, over TCP the connection is aborted.
    pub message: usize,
    /// Options in one message. One with more is treated like one that is too long.
    pub options: usize,
    /// Bytes of one body that arrives in blocks. A request over it gets 4.13, a response over it fails the request.
    pub body: usize,
    /// Bodies of requests that arrive in blocks at once. The next one gets 5.03.
    pub bodies: usize,
    /// Bytes of all unfinished bodies. A request over it gets 5.03, a response over it fails the request.
    pub body_bytes: usize,
    /// How long an unfinished body, or a representation that is fetched in blocks, is kept after its last block.
    pub body_lifetime: Duration,
    /// How long a body may take from its first block to its last. A request over it gets 4.08, a response over it fails the
    /// request.
    pub body_time: Duration,
    /// Representations kept for a peer that fetches them in blocks. The oldest makes room.
    pub served_bodies: usize,
    /// Bytes of these representations. The oldest makes room.
    pub served_bytes: usize,
    /// Requests of the peer that the application has not answered. The next one gets 5.03.
    pub exchanges_in: usize,
    /// Our requests without a final answer, observations included. The next one is refused to the application.
    pub exchanges_out: usize,
    /// Observations that the peer holds here. The next registration is answered without one.
    pub observations: usize,
    /// Messages of the peer that duplicates are recognised for. The oldest makes room.
    pub dedup_entries: usize,
    /// Bytes of the answers kept for duplicates. The oldest is dropped, and its duplicates are then only acknowledged.
    pub dedup_bytes: usize,
    /// Bytes that wait for `poll_transmit`. Over UDP what comes over it is dropped, over TCP the connection is closed.
    pub queue_bytes: usize,
    /// Confirmable messages that wait behind NSTART. A request is refused to the application, a notification waits for the
    /// next one, an answer is dropped.
    pub waiting: usize,
    /// What Max-Age says in a 5.03 of ours.
    pub retry_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 256 << 10,
            options: 64,
            body: 1 << 20,
            bodies: 4,
            body_bytes: 2 << 20,
            body_lifetime: Duration::from_secs(60),
            body_time: Duration::from_secs(600),
            served_bodies: 4,
            served_bytes: 2 << 20,
            exchanges_in: 32,
            exchanges_out: 256,
            observations: 64,
            dedup_entries: 512,
            dedup_bytes: 64 << 10,
            queue_bytes: 1 << 20,
            waiting: 64,
            retry_after: Duration::from_secs(5),
        }
    }
}

/// How often something happened that a door shows in its metrics. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that arrived and could be read.
    pub received: u64,
    /// Messages handed to `poll_transmit`.
    pub sent: u64,
    /// Copies of a message that had arrived before.
    pub duplicates: u64,
    /// Messages sent again because nothing came back.
    pub retransmissions: u64,
    /// Messages that broke a rule of form.
    pub malformed: u64,
    /// Messages that nothing here waits for.
    pub unexpected: u64,
    /// Messages over [`Limits::message`].
    pub refused_messages: u64,
    /// Messages over [`Limits::options`].
    pub refused_many_options: u64,
    /// Requests answered with 5.03 because of [`Limits::exchanges_in`], or because the connection is about to end.
    pub refused_busy: u64,
    /// Requests answered with 5.03 because of [`Limits::bodies`].
    pub refused_bodies: u64,
    /// Requests answered with 5.03 because of [`Limits::body_bytes`].
    pub refused_body_bytes: u64,
    /// Bodies of requests that were given up because of [`Limits::body_lifetime`].
    pub silent_bodies: u64,
    /// Bodies of requests that were given up because of [`Limits::body_time`].
    pub late_bodies: u64,
    /// Representations that made room because of [`Limits::served_bodies`].
    pub displaced: u64,
    /// Representations that made room because of [`Limits::served_bytes`].
    pub displaced_for_bytes: u64,
    /// Messages whose copies are not recognised any more because of [`Limits::dedup_entries`].
    pub forgotten: u64,
    /// Messages whose copies are not answered as before because of [`Limits::dedup_bytes`].
    pub forgotten_answers: u64,
    /// Bodies over [`Limits::body`], in either direction.
    pub refused_size: u64,
    /// Registrations answered without an observation because of [`Limits::observations`].
    pub refused_observations: u64,
    /// Requests answered with 4.02 for an option that nobody here knows.
    pub refused_options: u64,
    /// Messages that were dropped because of [`Limits::queue_bytes`], or because they had no message id or no form left.
    pub dropped: u64,
    /// Answers that were dropped, and requests of ours that were refused, because of [`Limits::waiting`].
    pub refused_waiting: u64,
    /// Requests of ours that were refused because of [`Limits::exchanges_out`].
    pub refused_requests: u64,
    /// Requests that the application never answered.
    pub unanswered: u64,
    /// Notifications that a newer one replaced before they left.
    pub superseded: u64,
}

/// What an endpoint holds at this moment, for a debug page and for the tests of the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Unanswered requests of the peer.
    pub exchanges_in: usize,
    /// Our requests without a final answer.
    pub exchanges_out: usize,
    /// Observations that the peer holds here.
    pub observations: usize,
    /// Requests that arrive in blocks.
    pub bodies: usize,
    /// Bytes of unfinished bodies, in both directions.
    pub body_bytes: usize,
    /// Bytes of representations kept for the peer to fetch.
    pub served_bytes: usize,
    /// Messages that duplicates are recognised for.
    pub dedup_entries: usize,
    /// Bytes of answers kept for duplicates.
    pub dedup_bytes: usize,
    /// Bytes that wait for `poll_transmit`.
    pub queue_bytes: usize,
    /// Confirmable messages that wait behind NSTART.
    pub waiting: usize,
}
