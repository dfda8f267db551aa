//! What the accept loop and the sockets of datagrams count.

use gatehouse_base::telemetry::{Metric, MetricKind};

pub(crate) const CONNECTIONS: &str = "gatehouse_net_connections";
pub(crate) const ACCEPTED: &str = "gatehouse_net_accepted_total";
pub(crate) const REFUSED: &str = "gatehouse_net_refused_total";
pub(crate) const HANDSHAKES: &str = "gatehouse_net_handshakes_in_progress";
pub(crate) const HANDSHAKE_SECONDS: &str = "gatehouse_net_handshake_seconds";
pub(crate) const HANDSHAKE_FAILURES: &str = "gatehouse_net_handshake_failures_total";
pub(crate) const SERVED: &str = "gatehouse_net_tls_connections_total";
pub(crate) const HALF_OPEN: &str = "gatehouse_net_half_open";
pub(crate) const CHALLENGES: &str = "gatehouse_net_challenges_total";
pub(crate) const DROPPED: &str = "gatehouse_net_datagrams_dropped_total";
pub(crate) const CLOSED: &str = "gatehouse_net_datagram_peers_closed_total";
pub(crate) const RESUMPTIONS: &str = "gatehouse_net_resumptions_total";
pub(crate) const ENDED: &str = "gatehouse_net_ended_total";
pub(crate) const RELOADS: &str = "gatehouse_net_certificate_reloads_total";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric { name: CONNECTIONS, kind: MetricKind::Gauge, labels: &["listener"], help: "Connections that are open, over TCP or UDP." },
    Metric { name: ACCEPTED, kind: MetricKind::Counter, labels: &["listener"], help: "Connections that were let in." },
    Metric {
        name: REFUSED,
        kind: MetricKind::Counter,
        labels: &["listener", "reason"],
        help: "Connections closed at once because `[net] connections` (reason `total`) or `connections_per_peer` (reason `peer`) was reached, or because a known balancer did not begin with a PROXY header (`header`).",
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
        help: "Seconds from accepting a connection, or a valid cookie, to the end of its successful handshake.",
    },
    Metric {
        name: HANDSHAKE_FAILURES,
        kind: MetricKind::Counter,
        labels: &["listener", "reason"],
        help: "TLS and DTLS handshakes that failed: `timeout`, `certificate` (the client's was refused), `presented` (we have no certificate that this peer could take), `length` (the first message is longer than `[net] first_message`), `protocol`, `io`, or `full` (the place was needed).",
    },
    Metric {
        name: SERVED,
        kind: MetricKind::Counter,
        labels: &["listener", "engine"],
        help: "TLS handshakes that succeeded, and whether `rustls` or, on device ports, `openssl` serves the connection.",
    },
    Metric {
        name: HALF_OPEN,
        kind: MetricKind::Gauge,
        labels: &["listener"],
        help: "Peers on UDP that are not done with their handshake or have not proved their address, at most `[net.udp] half_open`.",
    },
    Metric {
        name: CHALLENGES,
        kind: MetricKind::Counter,
        labels: &["listener"],
        help: "First hellos on UDP that were answered with a cookie; nothing is kept about them.",
    },
    Metric {
        name: DROPPED,
        kind: MetricKind::Counter,
        labels: &["listener", "reason"],
        help: "Datagrams thrown away: `noise` or `stranger` (nothing that begins or continues anything), `strangers` (`[net.udp] strangers` wait to be looked at), `again` (their sender has begun another handshake within `attempt_pause`), `half_open` or `network` (that limit is reached), `length`, `queue` (the service is behind), `send`, or `draining`.",
    },
    Metric {
        name: CLOSED,
        kind: MetricKind::Counter,
        labels: &["listener", "reason"],
        help: "Connected peers on UDP that are gone: `peer` or `local` took leave, `idle`, `replaced` (by its own new handshake), `evicted` (another needed the place), or `protocol`.",
    },
    Metric {
        name: RESUMPTIONS,
        kind: MetricKind::Counter,
        labels: &["listener", "result"],
        help: "DTLS sessions that a client wanted to take up again: `resumed`, `unknown`, or `refused` because its chain is not good any more.",
    },
    Metric {
        name: ENDED,
        kind: MetricKind::Counter,
        labels: &["listener", "rule"],
        help: "Live connections that were ended because the client's chain is no longer good, by the code of the rule: `expired`, `revoked`, `blocked-key`, `unknown-issuer` and others.",
    },
    Metric {
        name: RELOADS,
        kind: MetricKind::Counter,
        labels: &["result"],
        help: "Times that certificate files were read again: `changed`, or `failed` when the old ones stay in use.",
    },
];
