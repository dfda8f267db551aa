//! What is counted about mail. Nothing here tells to whom.

use gatehouse_base::telemetry::{Metric, MetricKind};

const QUEUED: &str = "gatehouse_mail_queued_total";
const REFUSED: &str = "gatehouse_mail_refused_total";
const CONNECTIONS: &str = "gatehouse_mail_connections_total";
const SENT: &str = "gatehouse_mail_sent_total";
const FAILED: &str = "gatehouse_mail_failed_total";
const DEAD: &str = "gatehouse_mail_dead_total";
const WAITING: &str = "gatehouse_mail_waiting";
const DEAD_NOW: &str = "gatehouse_mail_dead";
const OLDEST: &str = "gatehouse_mail_oldest_seconds";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric { name: QUEUED, kind: MetricKind::Counter, labels: &["letter"], help: "Letters that were put into the outbox." },
    Metric {
        name: REFUSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "Letters that were not: their share of the outbox is `full`, or the same letter went to the same address too often (`throttled`).",
    },
    Metric {
        name: CONNECTIONS,
        kind: MetricKind::Counter,
        labels: &[],
        help: "Connections to the mail server; each carries `[mail.smtp] letters` letters at most.",
    },
    Metric {
        name: SENT,
        kind: MetricKind::Counter,
        labels: &["letter"],
        help: "Letters that the mail server accepted, or that were captured.",
    },
    Metric {
        name: FAILED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "Attempts that failed: no `connection`, no trust in the server (`tls`), our password (`authentication`), our `sender` address, \
               `timeout`, the server's `refusal` for good or `postponed` for now, what is no SMTP (`protocol`), or the `capture` folder.",
    },
    Metric {
        name: DEAD,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "Letters that were given up: `refused` for good, `expired` before they were accepted, or `damaged`.",
    },
    Metric { name: WAITING, kind: MetricKind::Gauge, labels: &[], help: "Letters in the outbox, at most `[mail] outbox`." },
    Metric {
        name: DEAD_NOW,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Letters that were given up and are kept for `gatehouse mail retry`.",
    },
    Metric { name: OLDEST, kind: MetricKind::Gauge, labels: &[], help: "The age of the letter that waits longest." },
];

pub(crate) fn queued(letter: &'static str) {
    metrics::counter!(QUEUED, "letter" => letter).increment(1);
}

pub(crate) fn refused(reason: &'static str) {
    metrics::counter!(REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn connected() {
    metrics::counter!(CONNECTIONS).increment(1);
}

/// The word comes from a row that we wrote, and letters are types of this program: there are few.
pub(crate) fn sent(letter: &str) {
    metrics::counter!(SENT, "letter" => letter.to_owned()).increment(1);
}

pub(crate) fn failed(reason: &'static str) {
    metrics::counter!(FAILED, "reason" => reason).increment(1);
}

pub(crate) fn given_up(reason: &'static str) {
    metrics::counter!(DEAD, "reason" => reason).increment(1);
}

/// Exact: there are never 2^53 letters or seconds.
pub(crate) fn held(waiting: usize, dead: usize, oldest: std::time::Duration) {
    metrics::gauge!(WAITING).set(waiting as f64);
    metrics::gauge!(DEAD_NOW).set(dead as f64);
    metrics::gauge!(OLDEST).set(oldest.as_secs_f64());
}
