//! What the HTTP door counts.

use gatehouse_base::telemetry::{Metric, MetricKind};

pub(crate) const REQUESTS: &str = "gatehouse_http_requests_total";
pub(crate) const REQUEST_SECONDS: &str = "gatehouse_http_request_seconds";
const RATES: &str = "gatehouse_http_rates";
const REFUSED: &str = "gatehouse_http_refused_total";
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
    Metric {
        name: REFUSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "What was beyond a limit of `[http]`, by its key: `requests`, `requests_per_network`, `network_rate`, `credential_rate`, \
               `header_size`, `header_timeout`, `body_size` or `request_timeout`.",
    },
    Metric {
        name: RATES,
        kind: MetricKind::Gauge,
        labels: &["of"],
        help: "Whose rates are remembered, `networks` and `credentials`: at most `[http] rate_entries` of each.",
    },
    Metric { name: IN_FLIGHT, kind: MetricKind::Gauge, labels: &[], help: "Requests that are being worked on." },
];

/// Somebody wanted more than this setting allows.
pub(crate) fn refused(setting: &'static str) {
    ::metrics::counter!(REFUSED, "reason" => setting).increment(1);
}

/// So many rates are remembered.
pub(crate) fn rates(of: &'static str, remembered: usize) {
    // Exact: a table of 2^53 does not exist.
    ::metrics::gauge!(RATES, "of" => of).set(remembered as f64);
}
