//! What is counted about requests to other servers.

use gatehouse_base::telemetry::{Metric, MetricKind};
use std::time::Duration;

const REQUESTS: &str = "gatehouse_outgoing_requests_total";
const SECONDS: &str = "gatehouse_outgoing_request_seconds";
const IN_FLIGHT: &str = "gatehouse_outgoing_requests_in_flight";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric {
        name: REQUESTS,
        kind: MetricKind::Counter,
        labels: &["purpose", "result"],
        help: "Requests to servers that somebody else names: `answered`, or why not: the address was `loopback`, `private`, `link-local`, \
               `multicast`, `metadata` or `reserved`; the `url`, `unencrypted`, the `name`, `unreachable`, `tls`, `broken`, `too-large`, \
               `redirection`, `timeout`, or `busy` for want of one of `[outgoing] at_once` places.",
    },
    Metric {
        name: SECONDS,
        kind: MetricKind::Histogram,
        labels: &["purpose"],
        help: "Seconds that such a request took, however it ended.",
    },
    Metric {
        name: IN_FLIGHT,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Requests to other servers that are under way, at most `[outgoing] at_once`.",
    },
];

pub(crate) fn ended(purpose: &'static str, result: &'static str, took: Duration) {
    metrics::counter!(REQUESTS, "purpose" => purpose, "result" => result).increment(1);
    metrics::histogram!(SECONDS, "purpose" => purpose).record(took.as_secs_f64());
}

/// Counts a request as under way until it is dropped.
pub(crate) struct UnderWay(());

impl UnderWay {
    pub(crate) fn new() -> Self {
        metrics::gauge!(IN_FLIGHT).increment(1.0);
        Self(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        metrics::gauge!(IN_FLIGHT).decrement(1.0);
    }
}
