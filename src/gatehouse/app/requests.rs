//! What the running server itself can be asked over the control socket.

use super::{
    Reloader, Role,
    control::{Handlers, Refusal, Request},
    store_work,
};
use gatehouse_base::{
    Clock, Fault, Kind, SystemClock,
    telemetry::{Filter, Telemetry},
};
use gatehouse_coap::{Lines, TraceId, Traces, Whom};
use gatehouse_http::Readiness;
use gatehouse_net::{DatagramGate, Gate, Shutdown};
use gatehouse_store::Store;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// How is the server?
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {}

/// How the server is.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// The program's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// For how many seconds it has been serving.
    pub uptime_seconds: u64,
    /// Whether it accepts nothing new any more.
    pub draining: bool,
    /// The parts that have to work, with what is wrong with each that does not.
    pub checks: BTreeMap<String, Option<String>>,
    /// Connections that are open.
    pub connections: usize,
    /// What is logged.
    pub log_level: String,
    /// Address and role of each listener.
    pub listeners: BTreeMap<String, ListenerReport>,
}

/// Where a listener listens.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListenerReport {
    /// The address.
    pub address: SocketAddr,
    /// What it serves.
    pub role: String,
}

impl StatusReport {
    /// Whether the server should be sent work: the same answer as `/ready` gives.
    pub fn is_ready(&self) -> bool {
        self.checks.values().all(Option::is_none)
    }
}

impl Request for Status {
    const NAME: &'static str = "status";
    type Answer = StatusReport;
}

/// What is logged, or log this from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogLevel {
    /// The new level; without one, only the present one is answered.
    pub level: Option<String>,
}

impl Request for LogLevel {
    const NAME: &'static str = "log-level";
    type Answer = String;
}

/// Read certificates and the log level again. Answers with what could not be read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reload {}

impl Request for Reload {
    const NAME: &'static str = "reload";
    type Answer = Vec<String>;
}

/// Stop. Answers with the process's id, to be waited for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stop {
    /// Without finishing what was accepted.
    pub now: bool,
}

impl Request for Stop {
    const NAME: &'static str = "stop";
    type Answer = u32;
}

/// Look at one peer's messages for a while. Answers with the number of the trace.
#[derive(Debug, Serialize, Deserialize)]
pub struct TracePeer {
    /// An address, an address with a port, or the common name of the peer's certificate.
    pub peer: String,
    /// For how long.
    pub seconds: u64,
}

impl Request for TracePeer {
    const NAME: &'static str = "trace-peer";
    type Answer = u64;
}

/// What a trace has seen from this line on. Waits a moment for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct TraceRead {
    /// The number of the trace.
    pub trace: u64,
    /// The first line that is wanted.
    pub from: u64,
}

/// Lines of a trace.
#[derive(Debug, Serialize, Deserialize)]
pub struct TraceLines {
    /// One for each message.
    pub lines: Vec<String>,
    /// Where to go on.
    pub next: u64,
    /// How many were lost because they were not read in time.
    pub missed: u64,
    /// Whether nothing more will come.
    pub over: bool,
}

impl Request for TraceRead {
    const NAME: &'static str = "trace-read";
    type Answer = TraceLines;
}

/// Look at a peer no more.
#[derive(Debug, Serialize, Deserialize)]
pub struct TraceEnd {
    /// The number of the trace.
    pub trace: u64,
}

impl Request for TraceEnd {
    const NAME: &'static str = "trace-end";
    type Answer = ();
}

/// How long the command line waits for the next line before it asks again.
const LONG_POLL: Duration = Duration::from_secs(1);

/// What the control socket orders the server's main loop to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Drain,
    StopNow,
}

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) started: Duration,
    pub(super) addresses: BTreeMap<String, (SocketAddr, Role)>,
    pub(super) gate: Arc<Gate>,
    pub(super) datagrams: Arc<DatagramGate>,
    pub(super) telemetry: &'static Telemetry,
    pub(super) reloader: Arc<Reloader>,
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) shutdown: Shutdown,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) store: Store,
    pub(super) traces: Arc<Traces>,
}

pub(super) fn handlers(server: Server) -> Handlers {
    let (telemetry, orders, reloader) = (server.telemetry, server.orders.clone(), Arc::clone(&server.reloader));
    let (begin, read, end) = (Arc::clone(&server.traces), Arc::clone(&server.traces), Arc::clone(&server.traces));
    let work = store_work::Worker::new(server.store.clone());
    let handlers = Handlers::new()
        .on(move |Status {}| std::future::ready(Ok(server.report())))
        .on(move |request: LogLevel| std::future::ready(set_level(telemetry, request)))
        .on(move |TracePeer { peer, seconds }| {
            let begun = begin.begin(Whom::from_text(&peer), Duration::from_secs(seconds));
            if begun.is_ok() {
                tracing::info!(peer, seconds, "a peer's messages are looked at");
            }
            std::future::ready(begun.map(|id| id.0).map_err(|error| Refusal::new(error.kind(), error.code(), error.to_string())))
        })
        .on(move |TraceRead { trace, from }| {
            let gone = || Refusal::new(Kind::NotFound, "no-such-trace", "there is no such trace any more".to_owned());
            let read = Arc::clone(&read);
            async move {
                let Lines { lines, next, missed, over } = read.wait(TraceId(trace), from, LONG_POLL).await.ok_or_else(gone)?;
                Ok(TraceLines { lines, next, missed, over })
            }
        })
        .on(move |TraceEnd { trace }| {
            end.end(TraceId(trace));
            std::future::ready(Ok(()))
        })
        .on(move |Reload {}| std::future::ready(Ok(reloader.reload())))
        .on(move |Stop { now }| {
            let order = if now { Order::StopNow } else { Order::Drain };
            // A full queue holds the same order already.
            let _ = orders.try_send(order);
            std::future::ready(Ok(std::process::id()))
        });
    work.answer(handlers)
}

impl Server {
    fn report(&self) -> StatusReport {
        let listeners = self
            .addresses
            .iter()
            .map(|(name, (address, role))| (name.clone(), ListenerReport { address: *address, role: role.name().to_owned() }));
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: SystemClock.elapsed().saturating_sub(self.started).as_secs(),
            draining: self.shutdown.is_draining(),
            checks: self.readiness.checks().into_iter().map(|(name, result)| (name.to_owned(), result.err())).collect(),
            connections: self.gate.connections() + self.datagrams.connected(),
            log_level: self.telemetry.level().to_string(),
            listeners: listeners.collect(),
        }
    }
}

fn set_level(telemetry: &Telemetry, request: LogLevel) -> Result<String, Refusal> {
    if let Some(level) = request.level {
        let filter: Filter = level.parse().map_err(|error| Refusal::new(Kind::Invalid, "log-level", format!("{error}")))?;
        telemetry.set_level(&filter);
        tracing::info!(level = %filter, "log level changed");
    }
    Ok(telemetry.level().to_string())
}
