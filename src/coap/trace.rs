//! Looking at one peer's messages while they pass, for an operator who finds out why a device and we do not agree.
//!
//! Nothing is traced until somebody asks for one peer and for a time. What was seen waits in a short list for whoever
//! asked, and goes into no log. Secrets stay out of it: bodies and arguments of paths that carry credentials are never
//! shown, bodies that name something secret are not, and what cannot be related to a request is not either.

mod shown;
mod tap;

pub(crate) use tap::Tap;

use crate::session::now;
use gatehouse_base::{Fault, Kind};
use gatehouse_net::Peer;
use std::{
    collections::VecDeque,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout_at};

/// How many are traced at the same time.
const TRACES: usize = 4;

/// How many lines wait to be read; the oldest makes room.
const LINES: usize = 1024;

/// How long a trace may be asked for.
pub const LONGEST_TRACE: Duration = Duration::from_secs(3600);

/// How long the lines of a trace that is over can be read.
const KEPT: Duration = Duration::from_secs(60);

/// Everything that is traced in this process.
#[derive(Debug, Default)]
pub struct Traces {
    all: Mutex<Vec<Trace>>,
    /// Changes whenever a trace begins, so that connections look at a number and no more.
    begun: AtomicU64,
    written: Notify,
}

/// Whom to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody at this address.
    Address(IpAddr),
    /// The peer at this address and port.
    Socket(SocketAddr),
    /// Peers whose certificate has this common name, with or without the `uuid:` before it.
    Name(String),
}

/// A trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub u64);

/// What was seen, since the last time that somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// One for each message.
    pub lines: Vec<String>,
    /// Where to go on.
    pub next: u64,
    /// How many were lost, because they were not read in time.
    pub missed: u64,
    /// Whether nothing more will come.
    pub over: bool,
}

/// Why a trace was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Others are looking.
    #[error("{TRACES} peers are traced already")]
    TooMany,
    /// It would go on for too long.
    #[error("a trace goes on for no longer than an hour")]
    TooLong,
}

impl Fault for TraceError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooMany => Kind::Exhausted,
            Self::TooLong => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too-many-traces",
            Self::TooLong => "trace-too-long",
        }
    }
}

#[derive(Debug)]
struct Trace {
    id: u64,
    whom: Whom,
    began: Instant,
    until: Instant,
    lines: VecDeque<String>,
    /// The number of the first line.
    first: u64,
}

impl Traces {
    /// Nobody is traced.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Looks at a peer from now on, for this long. Connections that exist are looked at from their next message on.
    ///
    /// # Errors
    /// Too many are looked at, or it would take too long.
    pub fn begin(&self, whom: Whom, length: Duration) -> Result<TraceId, TraceError> {
        if length > LONGEST_TRACE {
            return Err(TraceError::TooLong);
        }
        let now = now();
        let mut all = self.lock();
        all.retain(|trace| now < trace.until + KEPT);
        if all.iter().filter(|trace| trace.is_on(now)).count() >= TRACES {
            return Err(TraceError::TooMany);
        }
        // Those that are over make room as well.
        let surplus = (all.len() + 1).saturating_sub(2 * TRACES);
        let over: Vec<_> = all.iter().filter(|trace| !trace.is_on(now)).map(|trace| trace.id).take(surplus).collect();
        all.retain(|trace| !over.contains(&trace.id));
        let id = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        all.push(Trace { id, whom, began: now, until: now + length, lines: VecDeque::new(), first: 0 });
        Ok(TraceId(id))
    }

    /// The lines from this number on. `None` when there is no such trace any more.
    pub fn read(&self, id: TraceId, from: u64) -> Option<Lines> {
        let now = now();
        let all = self.lock();
        let trace = all.iter().find(|trace| trace.id == id.0)?;
        let missed = trace.first.saturating_sub(from);
        let skipped = usize::try_from(from.saturating_sub(trace.first)).unwrap_or(usize::MAX);
        let lines: Vec<_> = trace.lines.iter().skip(skipped).cloned().collect();
        Some(Lines { next: trace.first + trace.lines.len() as u64, lines, missed, over: !trace.is_on(now) })
    }

    /// Waits until there are lines from this number on, the trace is over, or the time is. `None` when there is no such
    /// trace any more.
    pub async fn wait(&self, id: TraceId, from: u64, limit: Duration) -> Option<Lines> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            // From here on nothing that is written is missed.
            written.as_mut().enable();
            let lines = self.read(id, from)?;
            if !lines.lines.is_empty() || lines.over || timeout_at(deadline, written).await.is_err() {
                return Some(lines);
            }
        }
    }

    /// Looks no more.
    pub fn end(&self, id: TraceId) {
        self.lock().retain(|trace| trace.id != id.0);
    }

    fn matching(&self, peer: &Peer) -> Vec<u64> {
        let now = now();
        self.lock().iter().filter(|trace| trace.is_on(now) && trace.whom.is(peer)).map(|trace| trace.id).collect()
    }

    /// Adds a line to those of these traces that go on, and tells whether there are any.
    fn write(&self, ids: &[u64], line: &str) -> bool {
        let now = now();
        let mut any = false;
        for trace in self.lock().iter_mut().filter(|trace| ids.contains(&trace.id) && trace.is_on(now)) {
            any = true;
            if trace.lines.len() == LINES {
                trace.lines.pop_front();
                trace.first += 1;
            }
            let since = now.saturating_duration_since(trace.began);
            trace.lines.push_back(format!("{:9.3} {line}", since.as_secs_f64()));
        }
        self.written.notify_waiters();
        any
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Trace>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trace {
    fn is_on(&self, now: Instant) -> bool {
        now < self.until
    }
}

impl Whom {
    /// Reads an address, an address with a port, or a name.
    pub fn from_text(text: &str) -> Self {
        match (text.parse(), text.parse()) {
            (Ok(address), _) => Self::Address(address),
            (_, Ok(socket)) => Self::Socket(socket),
            _ => Self::Name(text.to_owned()),
        }
    }

    fn is(&self, peer: &Peer) -> bool {
        match self {
            Self::Address(address) => peer.address().ip() == address.to_canonical(),
            Self::Socket(socket) => peer.address() == *socket,
            Self::Name(name) => peer
                .chain()
                .and_then(|chain| chain.leaf().subject().common_name().map(std::borrow::Cow::into_owned))
                .is_some_and(|found| found == *name || found.strip_prefix("uuid:") == Some(name)),
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(out, "{address}"),
            Self::Socket(socket) => write!(out, "{socket}"),
            Self::Name(name) => out.write_str(name),
        }
    }
}
