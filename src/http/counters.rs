//! What the HTTP door counts.

use gatehouse_base::telemetry::{Metric, MetricKind};

pub(crate) const REQUESTS: &str = "gatehouse_http_requests_total";
pub(crate) const REQUEST_SECONDS: &str = "gatehouse_http_request_seconds";
pub(crate) const IN_FLIGHT: &str = "gatehouse_http_requests_in_flight";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric {
        name: REQUESTS,
        kind: MetricKind::Counter,
        labels: &["method", "route", "status"],
        help: "Requests that were answered. The route is the pattern, and `none` where none matched.",
    },
    Metric {
        name: REQUEST_SECONDS,
        kind: MetricKind::Histogram,
        labels: &["route"],
        help: "Seconds from the head of a request to the head of its answer.",
    },
    Metric { name: IN_FLIGHT, kind: MetricKind::Gauge, labels: &[], help: "Requests that are being worked on." },
];
