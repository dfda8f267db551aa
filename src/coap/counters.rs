//! What the CoAP door counts.

use gatehouse_base::telemetry::{Metric, MetricKind};
use gatehouse_wire::coap::{Code, endpoint::Counters};

pub(crate) const REQUESTS: &str = "gatehouse_coap_requests_total";
pub(crate) const REQUEST_SECONDS: &str = "gatehouse_coap_request_seconds";
pub(crate) const IN_FLIGHT: &str = "gatehouse_coap_requests_in_flight";
pub(crate) const REFUSED: &str = "gatehouse_coap_refused_total";
pub(crate) const ASKED: &str = "gatehouse_coap_requests_sent_total";
pub(crate) const OBSERVED: &str = "gatehouse_coap_observations";
pub(crate) const MESSAGES: &str = "gatehouse_coap_messages_total";
pub(crate) const CLOSED: &str = "gatehouse_coap_closed_total";

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
        help: "What peers wanted beyond a limit of `[coap]`: `requests`, or of one peer `busy`, `size`, `observations`, `options` (a critical \
               one that is not known), `queue` (it does not take what it asked for).",
    },
    Metric {
        name: ASKED,
        kind: MetricKind::Counter,
        labels: &["result"],
        help: "Requests to peers: the class of the answer (`2`, `4`, `5`), or `none`.",
    },
    Metric { name: OBSERVED, kind: MetricKind::Gauge, labels: &[], help: "Observations that peers hold here." },
    Metric {
        name: MESSAGES,
        kind: MetricKind::Counter,
        labels: &["event"],
        help: "Messages: `received`, `sent`, `duplicate`, `repeated` for want of an acknowledgement, `malformed`, `unexpected`, `superseded` \
               by a newer notification, `unanswered` in time.",
    },
    Metric {
        name: CLOSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "Connections that ended: `released` or `aborted` by the peer, `refused` for breaking a rule, `silent`, `congested`, `lost`, \
               `replaced` or `evicted` (over UDP), `idle`, `drained`, `revoked`, or `left` because a handler wanted it.",
    },
];

/// What one peer's endpoint has counted since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Since(Counters);

impl Since {
    /// Takes over what is new.
    pub(crate) fn take_over(&mut self, now: Counters) {
        let before = std::mem::replace(&mut self.0, now);
        let messages = [
            ("received", now.received, before.received),
            ("sent", now.sent, before.sent),
            ("duplicate", now.duplicates, before.duplicates),
            ("repeated", now.retransmissions, before.retransmissions),
            ("malformed", now.malformed, before.malformed),
            ("unexpected", now.unexpected, before.unexpected),
            ("superseded", now.superseded, before.superseded),
            ("unanswered", now.unanswered, before.unanswered),
        ];
        let refused = [
            ("busy", now.refused_busy, before.refused_busy),
            ("size", now.refused_size, before.refused_size),
            ("observations", now.refused_observations, before.refused_observations),
            ("options", now.refused_options, before.refused_options),
            ("queue", now.dropped, before.dropped),
        ];
        for (event, now, before) in messages {
            if now > before {
                ::metrics::counter!(MESSAGES, "event" => event).increment(now - before);
            }
        }
        for (reason, now, before) in refused {
            if now > before {
                ::metrics::counter!(REFUSED, "reason" => reason).increment(now - before);
            }
        }
    }
}

/// A gauge that counts while it is held, also when what it stands for is dropped.
pub(crate) struct Held(::metrics::Gauge);

impl Held {
    pub(crate) fn new(name: &'static str) -> Self {
        let gauge = ::metrics::gauge!(name);
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Methods are the peer's words; as labels they would be 31.
pub(crate) fn method_label(method: Code) -> &'static str {
    match method {
        Code::GET => "GET",
        Code::POST => "POST",
        Code::PUT => "PUT",
        Code::DELETE => "DELETE",
        Code::FETCH => "FETCH",
        Code::PATCH => "PATCH",
        Code::IPATCH => "iPATCH",
        _ => "other",
    }
}
