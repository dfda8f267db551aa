//! What the accept loop counts.

use gatehouse_base::telemetry::{Metric, MetricKind};

pub(crate) const CONNECTIONS: &str = "gatehouse_net_connections";
pub(crate) const ACCEPTED: &str = "gatehouse_net_accepted_total";
pub(crate) const REFUSED: &str = "gatehouse_net_refused_total";
pub(crate) const HANDSHAKES: &str = "gatehouse_net_handshakes_in_progress";
pub(crate) const HANDSHAKE_SECONDS: &str = "gatehouse_net_handshake_seconds";
pub(crate) const HANDSHAKE_FAILURES: &str = "gatehouse_net_handshake_failures_total";
pub(crate) const SERVED: &str = "gatehouse_net_tls_connections_total";
pub(crate) const RELOADS: &str = "gatehouse_net_certificate_reloads_total";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric { name: CONNECTIONS, kind: MetricKind::Gauge, labels: &["listener"], help: "Connections that are open." },
    Metric { name: ACCEPTED, kind: MetricKind::Counter, labels: &["listener"], help: "Connections that were let in." },
    Metric {
        name: REFUSED,
        kind: MetricKind::Counter,
        labels: &["listener", "reason"],
        help: "Connections closed at once because `[net] connections` (reason `total`) or `connections_per_peer` (reason `peer`) was reached.",
    },
    Metric {
        name: HANDSHAKES,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "TLS handshakes that are being computed, at most `[net] handshakes`.",
    },
    Metric {
        name: HANDSHAKE_SECONDS,
        kind: MetricKind::Histogram,
        labels: &["listener"],
        help: "Seconds from accepting a connection to the end of its successful TLS handshake.",
    },
    Metric {
        name: HANDSHAKE_FAILURES,
        kind: MetricKind::Counter,
        labels: &["listener", "reason"],
        help: "TLS handshakes that failed: `timeout`, `certificate` (the client's was refused), `presented` (we have no certificate that this peer could take), `protocol` or `io`.",
    },
    Metric {
        name: SERVED,
        kind: MetricKind::Counter,
        labels: &["listener", "engine"],
        help: "TLS handshakes that succeeded, and whether `rustls` or, on device ports, `openssl` serves the connection.",
    },
    Metric {
        name: RELOADS,
        kind: MetricKind::Counter,
        labels: &["result"],
        help: "Times that certificate files were read again: `changed`, or `failed` when the old ones stay in use.",
    },
];
