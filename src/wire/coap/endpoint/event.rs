//! What an endpoint tells the application, and the names it uses for what goes on.

use crate::coap::{Code, Message, signal::Release};
use std::time::Duration;

/// One of our requests, from [`super::Endpoint::request`] to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// An observation that the peer holds here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservationId(pub(super) u64);

/// One of our pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PingId(pub(super) u64);

/// A request of the peer that waits for its answer. It is given back exactly once; one that never is has its request
/// answered with [`super::Config::unanswered`] when its time is over.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "the peer waits for an answer"]
pub struct Exchange(pub(super) u64);

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer asks for something.
    Request(Incoming),
    /// One of our requests was answered.
    Response {
        /// Which one. It is over, unless it observes.
        request: RequestId,
        /// The answer, with its whole body.
        message: Message,
        /// Whether notifications follow.
        observing: bool,
    },
    /// A resource that we observe has changed. Notifications come in order; older ones are left out.
    Notification {
        /// The request that observes it.
        request: RequestId,
        /// The resource's state, with its whole body.
        message: Message,
    },
    /// One of our requests will not be answered.
    Failed {
        /// Which one. It is over.
        request: RequestId,
        /// Why.
        why: Failure,
    },
    /// The time of a request is over whose No-Response option asked for silence, and the peer was silent (RFC 7967).
    Silent {
        /// Which one. It is over.
        request: RequestId,
    },
    /// What was last notified is no longer fresh: its Max-Age passed without a new notification (RFC 7641 §3.3.1).
    Stale {
        /// The request that observes. It goes on observing; [`super::Endpoint::register_again`] asks the server.
        request: RequestId,
    },
    /// An observation of ours is over.
    ObservationEnded {
        /// The request that observed.
        request: RequestId,
        /// Why.
        why: Ended,
    },
    /// An observation of the peer is over.
    ObserverGone {
        /// Which one.
        observation: ObservationId,
        /// Why.
        why: Gone,
    },
    /// The peer answered a ping.
    Pong {
        /// Which one.
        ping: PingId,
        /// Whether the peer says that it has processed all requests before the ping (RFC 8323 §5.4.1).
        custody: bool,
    },
    /// The peer will close the connection and wants no new requests. Those that are under way are finished. It may have said
    /// where and when to connect again.
    PeerReleased(Release),
    /// Nothing goes on here any more. Every request was reported before this.
    Closed {
        /// Why.
        why: Closed,
    },
}

/// A request of the peer.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What the answer is given to.
    pub exchange: Exchange,
    /// The request, with its whole body and without the options of block-wise transfer.
    pub message: Message,
    /// Whether the peer wants to observe. Ending an observation is done before the application hears of it.
    pub observe: bool,
    /// How long ago the Echo value was given out that shows the request to be fresh (RFC 9175 §2.3).
    pub fresh: Option<Duration>,
}

/// Why a request of ours has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer did not acknowledge or did not answer in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The peer cannot place the message (RFC 7252 §4.2).
    #[error("the peer rejected the message")]
    Reset,
    /// The application wanted no answer any more.
    #[error("the request was cancelled")]
    Cancelled,
    /// The connection was over first.
    #[error("the connection was closed")]
    Closed,
    /// The request does not fit what the peer takes, or its answer is over [`super::Limits::body`].
    #[error("the message is too large")]
    TooLarge,
    /// The answer has a critical option that nobody here knows.
    #[error("the answer has an option that is not understood")]
    BadOption,
    /// The blocks of the answer do not fit together.
    #[error("the blocks of the answer do not fit together")]
    BadBlocks,
    /// The representation changed each time while it was fetched.
    #[error("the representation changes faster than it can be fetched")]
    Unstable,
}

/// Why an observation of ours is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server said so with the message that was notified last.
    ByServer,
    /// The application said so.
    Cancelled,
    /// The notification, or the rest of its body, could not be had.
    Failed(Failure),
}

/// Why an observation of the peer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The peer cancelled it with a request.
    Deregistered,
    /// The peer registered again with the same token.
    Replaced,
    /// The peer rejected a notification.
    Reset,
    /// The peer did not acknowledge a notification.
    Timeout,
    /// The connection was over.
    Closed,
}

/// Why an endpoint is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// One side released the connection and everything under way was finished.
    Released,
    /// The peer aborted it.
    Aborted {
        /// What it said, as text; bytes that are none are replaced.
        diagnostic: String,
    },
    /// The peer broke a rule, and was told so.
    Refused {
        /// Which rule.
        rule: String,
    },
    /// The peer said nothing for too long.
    Silent,
    /// The peer does not take what it asked for.
    Congested,
    /// The transport is gone.
    Lost,
    /// The application closed it.
    Local,
}

/// Why an answer did not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The exchange is over: it took too long, or the connection was closed.
    #[error("nobody waits for this answer any more")]
    Gone,
    /// It does not fit what the peer takes; the peer got 5.00.
    #[error("the answer is too large for the peer")]
    TooLarge,
    /// It is none: its code is {0}.
    #[error("{0} is not the code of an answer")]
    NoResponse(Code),
}
