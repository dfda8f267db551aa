//! What the CoAP door counts. Handles are looked up once, when the first listener is made or the first of their kind is
//! counted, and not for every message.

use crate::Ending;
use gatehouse_base::telemetry::{Metric, MetricKind};
use gatehouse_wire::coap::{
    Code,
    endpoint::{Counters, Gone},
};
use metrics::{Counter, Gauge, Histogram};
use std::{sync::OnceLock, time::Duration};

const REQUESTS: &str = "gatehouse_coap_requests_total";
const REQUEST_SECONDS: &str = "gatehouse_coap_request_seconds";
const IN_FLIGHT: &str = "gatehouse_coap_requests_in_flight";
const REFUSED: &str = "gatehouse_coap_refused_total";
const ASKED: &str = "gatehouse_coap_requests_sent_total";
const OBSERVED: &str = "gatehouse_coap_observations";
const UNOBSERVED: &str = "gatehouse_coap_observations_ended_total";
const MESSAGES: &str = "gatehouse_coap_messages_total";
const STRANGERS: &str = "gatehouse_coap_strangers_total";
const CLOSED: &str = "gatehouse_coap_closed_total";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric {
        name: REQUESTS,
        kind: MetricKind::Counter,
        labels: &["method", "route", "code"],
        help: "Requests of peers. The route is the pattern, and `none` where none matched; the code is `silence` where none was due.",
    },
    Metric {
        name: REQUEST_SECONDS,
        kind: MetricKind::Histogram,
        labels: &["route"],
        help: "Seconds from the last block of a request to its answer.",
    },
    Metric { name: IN_FLIGHT, kind: MetricKind::Gauge, labels: &[], help: "Requests that are being worked on, at most `[coap] requests`." },
    Metric {
        name: REFUSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "What was beyond a limit of `[coap]`, by its key: `requests` and `observers` of all peers; of one peer `message_size`, \
               `options`, `requests_per_peer`, `bodies`, `body_memory`, `body_size`, `body_time`, `body_pause`, `kept_answers`, \
               `observations`, `duplicates`, `duplicate_memory`, `send_queue`, `waiting`, `requests_to_peer`, `request_timeout`; and \
               `critical_option` for one that is not known.",
    },
    Metric {
        name: ASKED,
        kind: MetricKind::Counter,
        labels: &["result"],
        help: "Requests to peers: the class of the answer (`2`, `4`, `5`), or `none`.",
    },
    Metric { name: OBSERVED, kind: MetricKind::Gauge, labels: &[], help: "Observations that peers hold here, at most `[coap] observers`." },
    Metric {
        name: UNOBSERVED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "Observations of peers that ended: `deregistered`, `replaced` by another of the same peer, `rejected`, `silent` (no \
               acknowledgement came), `closed` with the connection, or `over` because there is nothing to observe any more.",
    },
    Metric {
        name: MESSAGES,
        kind: MetricKind::Counter,
        labels: &["event"],
        help: "Messages: `received`, `sent`, `duplicate`, `repeated` for want of an acknowledgement, `malformed`, `unexpected`, or \
               `superseded` by a newer notification.",
    },
    Metric {
        name: STRANGERS,
        kind: MetricKind::Counter,
        labels: &["result"],
        help: "Datagrams of peers over UDP in the clear that have not shown where they are: `let_in`, `challenged` with an Echo value, \
               `too_short` for one, `rejected`, or `ignored`.",
    },
    Metric {
        name: CLOSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "Connections that ended: `released` or `aborted` by the peer, `refused` for breaking a rule, `silent`, `congested`, `lost`, \
               `replaced` or `evicted` (over UDP), `idle`, `drained`, `revoked`, or `left` because a handler wanted it.",
    },
];

/// A number that an endpoint counts.
type Number = fn(&Counters) -> u64;

const EVENTS: [(&str, Number); 7] = [
    ("received", |counters| counters.received),
    ("sent", |counters| counters.sent),
    ("duplicate", |counters| counters.duplicates),
    ("repeated", |counters| counters.retransmissions),
    ("malformed", |counters| counters.malformed),
    ("unexpected", |counters| counters.unexpected),
    ("superseded", |counters| counters.superseded),
];

const REASONS: [(&str, Number); 17] = [
    ("message_size", |counters| counters.refused_messages),
    ("options", |counters| counters.refused_many_options),
    ("requests_per_peer", |counters| counters.refused_busy),
    ("bodies", |counters| counters.refused_bodies),
    ("body_memory", |counters| counters.refused_body_bytes + counters.displaced_for_bytes),
    ("body_size", |counters| counters.refused_size),
    ("body_pause", |counters| counters.silent_bodies),
    ("body_time", |counters| counters.late_bodies),
    ("kept_answers", |counters| counters.displaced),
    ("observations", |counters| counters.refused_observations),
    ("duplicates", |counters| counters.forgotten),
    ("duplicate_memory", |counters| counters.forgotten_answers),
    ("send_queue", |counters| counters.dropped),
    ("waiting", |counters| counters.refused_waiting),
    ("requests_to_peer", |counters| counters.refused_requests),
    ("request_timeout", |counters| counters.unanswered),
    ("critical_option", |counters| counters.refused_options),
];

const GONE: [&str; 5] = ["deregistered", "replaced", "rejected", "silent", "closed"];

/// The handles that all listeners share.
pub(crate) struct Meters {
    in_flight: Gauge,
    observed: Gauge,
    events: [Counter; EVENTS.len()],
    reasons: [Counter; REASONS.len()],
    gone: [Counter; GONE.len()],
    closed: [Counter; Ending::ALL.len()],
    pub(crate) nothing_to_observe: Counter,
    pub(crate) requests: Counter,
    pub(crate) observers: Counter,
    pub(crate) late: Counter,
    pub(crate) asked: Asked,
    pub(crate) strangers: Strangers,
}

/// What came of requests to peers.
pub(crate) struct Asked {
    classes: [Counter; 3],
    pub(crate) none: Counter,
}

/// What became of datagrams of strangers.
pub(crate) struct Strangers {
    pub(crate) let_in: Counter,
    pub(crate) challenged: Counter,
    pub(crate) too_short: Counter,
    pub(crate) rejected: Counter,
    pub(crate) ignored: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let refused = |reason| metrics::counter!(REFUSED, "reason" => reason);
        let asked = |result| metrics::counter!(ASKED, "result" => result);
        let unobserved = |reason| metrics::counter!(UNOBSERVED, "reason" => reason);
        let strangers = |result| metrics::counter!(STRANGERS, "result" => result);
        Self {
            in_flight: metrics::gauge!(IN_FLIGHT),
            observed: metrics::gauge!(OBSERVED),
            events: EVENTS.map(|(event, _)| metrics::counter!(MESSAGES, "event" => event)),
            reasons: REASONS.map(|(reason, _)| refused(reason)),
            gone: GONE.map(unobserved),
            closed: Ending::ALL.map(|why| metrics::counter!(CLOSED, "reason" => why.label())),
            nothing_to_observe: unobserved("over"),
            requests: refused("requests"),
            observers: refused("observers"),
            late: refused("request_timeout"),
            asked: Asked { classes: ["2", "4", "5"].map(asked), none: asked("none") },
            strangers: Strangers {
                let_in: strangers("let_in"),
                challenged: strangers("challenged"),
                too_short: strangers("too_short"),
                rejected: strangers("rejected"),
                ignored: strangers("ignored"),
            },
        }
    }

    /// A request that is being worked on.
    pub(crate) fn in_flight(&self) -> Held {
        Held::new(&self.in_flight)
    }

    /// An observation that a peer holds.
    pub(crate) fn observed(&self) -> Held {
        Held::new(&self.observed)
    }

    /// An observation of a peer has ended.
    pub(crate) fn unobserved(&self, why: Gone) {
        let place = match why {
            Gone::Deregistered => 0,
            Gone::Replaced => 1,
            Gone::Reset => 2,
            Gone::Timeout => 3,
            Gone::Closed => 4,
        };
        count(&self.gone, place);
    }

    /// A connection has ended.
    pub(crate) fn closed(&self, why: Ending) {
        count(&self.closed, why as usize);
    }
}

impl Asked {
    /// A peer has answered (RFC 7252 §12.1.2: with one of these classes).
    pub(crate) fn answered(&self, code: Code) {
        let place = match code.class() {
            2 => 0,
            4 => 1,
            _ => 2,
        };
        count(&self.classes, place);
    }
}

fn count(counters: &[Counter], place: usize) {
    if let Some(counter) = counters.get(place) {
        counter.increment(1);
    }
}

/// What one peer's endpoint has counted since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Since(Counters);

impl Since {
    /// Takes over what is new.
    pub(crate) fn take_over(&mut self, now: Counters, meters: &Meters) {
        if now == self.0 {
            return;
        }
        let before = std::mem::replace(&mut self.0, now);
        let events = EVENTS.iter().zip(&meters.events);
        for ((_, number), counter) in events.chain(REASONS.iter().zip(&meters.reasons)) {
            let (now, before) = (number(&now), number(&before));
            if now > before {
                counter.increment(now - before);
            }
        }
    }
}

/// A gauge that counts while it is held, also when what it stands for is dropped.
pub(crate) struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1);
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Counts the requests to the paths of one pattern.
#[derive(Debug)]
pub(crate) struct RouteMeter {
    route: &'static str,
    seconds: OnceLock<Histogram>,
    methods: [OnceLock<Box<Codes>>; METHODS.len()],
}

/// Silence, and then the codes of the three classes of answers.
type Codes = [OnceLock<Counter>; 1 + 3 * DETAILS];

/// RFC 7252 §3: what can stand behind the dot of a code.
const DETAILS: usize = 32;

/// Methods are the peer's words; as labels they would be 31.
const METHODS: [(Code, &str); 8] = [
    (Code::GET, "GET"),
    (Code::POST, "POST"),
    (Code::PUT, "PUT"),
    (Code::DELETE, "DELETE"),
    (Code::FETCH, "FETCH"),
    (Code::PATCH, "PATCH"),
    (Code::IPATCH, "iPATCH"),
    (Code::EMPTY, "other"),
];

impl RouteMeter {
    pub(crate) fn new(route: &'static str) -> Self {
        Self { route, seconds: OnceLock::new(), methods: [const { OnceLock::new() }; METHODS.len()] }
    }

    /// The pattern.
    pub(crate) fn route(&self) -> &'static str {
        self.route
    }

    /// A request was answered so, or with silence.
    pub(crate) fn count(&self, method: Code, code: Option<Code>) {
        let place = code.map_or(0, |code| {
            let class = match code.class() {
                2 => 0,
                4 => 1,
                _ => 2,
            };
            1 + class * DETAILS + usize::from(code.detail())
        });
        let codes = self.methods.get(method_place(method)).map(|codes| codes.get_or_init(|| Box::new([const { OnceLock::new() }; _])));
        let Some(counter) = codes.and_then(|codes| codes.get(place)) else { return };
        let look_up = || {
            let code = code.map_or_else(|| "silence".to_owned(), |code| code.to_string());
            metrics::counter!(REQUESTS, "method" => method_label(method), "route" => self.route, "code" => code)
        };
        counter.get_or_init(look_up).increment(1);
    }

    /// How long the answer took.
    pub(crate) fn took(&self, time: Duration) {
        self.seconds.get_or_init(|| metrics::histogram!(REQUEST_SECONDS, "route" => self.route)).record(time);
    }
}

pub(crate) fn method_label(method: Code) -> &'static str {
    METHODS.get(method_place(method)).map_or("other", |(_, label)| label)
}

fn method_place(method: Code) -> usize {
    METHODS.iter().position(|(known, _)| *known == method).unwrap_or(METHODS.len() - 1)
}
