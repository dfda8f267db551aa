//! What the process as a whole tells, and the store's own counters taken over.

use gatehouse_base::telemetry::{Metric, MetricKind, Metrics};
use gatehouse_ca::{Authority, Told};
use gatehouse_net::{CertificateSource, Shutdown};
use gatehouse_store::Store;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const BUILD: &str = "gatehouse_build_info";
const CERTIFICATE_END: &str = "gatehouse_certificate_not_after_seconds";
const STORE_COMMITS: &str = "gatehouse_store_commits_total";
const STORE_CONFLICTS: &str = "gatehouse_store_conflicts_total";
const STORE_FAILURES: &str = "gatehouse_store_failures_total";
const STORE_FLUSHES: &str = "gatehouse_store_flushes_total";
const STORE_FLUSH_MICROSECONDS: &str = "gatehouse_store_flush_microseconds_total";
const STORE_BYTES: &str = "gatehouse_store_written_bytes_total";
const STORE_QUEUE: &str = "gatehouse_store_queue";
const STORE_POISONED: &str = "gatehouse_store_poisoned";

/// Every metric of the process and the store.
pub const METRICS: &[Metric] = &[
    Metric { name: BUILD, kind: MetricKind::Gauge, labels: &["version"], help: "Always 1; the label says which version runs." },
    Metric {
        name: CERTIFICATE_END,
        kind: MetricKind::Gauge,
        labels: &["listener"],
        help: "When the certificate that the listener presents ends, in seconds since 1970.",
    },
    Metric { name: STORE_COMMITS, kind: MetricKind::Counter, labels: &[], help: "Batches that were made durable." },
    Metric { name: STORE_CONFLICTS, kind: MetricKind::Counter, labels: &[], help: "Batches refused because a condition did not hold." },
    Metric { name: STORE_FAILURES, kind: MetricKind::Counter, labels: &[], help: "Batches refused or left uncertain for another reason." },
    Metric {
        name: STORE_FLUSHES,
        kind: MetricKind::Counter,
        labels: &[],
        help: "Times the disk was asked to make data durable; commits divided by flushes is how well they share.",
    },
    Metric { name: STORE_FLUSH_MICROSECONDS, kind: MetricKind::Counter, labels: &[], help: "Microseconds spent in those." },
    Metric { name: STORE_BYTES, kind: MetricKind::Counter, labels: &[], help: "Bytes of keys, values and records that were written." },
    Metric {
        name: STORE_QUEUE,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Batches that wait for the committer, at most `[store] queue`.",
    },
    Metric {
        name: STORE_POISONED,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "1 when the store refuses batches because a write to the disk failed.",
    },
];

pub(super) fn declare(metrics: &Metrics) {
    let outside = [gatehouse_outgoing::METRICS, gatehouse_openid::METRICS];
    let doors = [gatehouse_net::METRICS, gatehouse_http::METRICS, gatehouse_coap::METRICS];
    for all in [METRICS, super::retention::METRICS, gatehouse_ca::METRICS, gatehouse_accounts::METRICS, gatehouse_mail::METRICS]
        .into_iter()
        .chain(outside)
        .chain(doors)
    {
        metrics.declare(all);
    }
    metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// What [`upkeep`] looks at.
pub(super) struct Sources {
    pub(super) metrics: Metrics,
    pub(super) store: Store,
    pub(super) authority: Authority,
    /// The listeners' certificates, each with the listener's name.
    pub(super) certificates: Vec<(String, Arc<dyn CertificateSource>)>,
}

/// Folds histograms and takes over what others count, until everything ends.
pub(super) async fn upkeep(sources: Sources, interval: Duration, shutdown: Shutdown) {
    let Sources { metrics, store, authority, certificates } = sources;
    let mut told = Told::default();
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.stopped() => return,
        }
        metrics.upkeep();
        for (listener, source) in &certificates {
            if let Some(end) = source.current().and_then(|credentials| credentials.not_after()) {
                // Exact: seconds up to the year 9999 are far below 2^53.
                metrics::gauge!(CERTIFICATE_END, "listener" => listener.clone()).set(end.secs() as f64);
            }
        }
        if let Err(error) = authority.tell(&mut told).await {
            tracing::debug!(%error, "the authority's metrics are those of before");
        }
        let counted = store.metrics();
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        metrics::counter!(STORE_COMMITS).absolute(value(&counted.commits));
        metrics::counter!(STORE_CONFLICTS).absolute(value(&counted.conflicts));
        metrics::counter!(STORE_FAILURES).absolute(value(&counted.failures));
        metrics::counter!(STORE_FLUSHES).absolute(value(&counted.flushes));
        metrics::counter!(STORE_FLUSH_MICROSECONDS).absolute(value(&counted.flush_micros));
        metrics::counter!(STORE_BYTES).absolute(value(&counted.bytes));
        // Both fit a float exactly: a queue of 2^53 batches does not exist.
        metrics::gauge!(STORE_QUEUE).set(counted.queue_depth.load(Ordering::Relaxed) as f64);
        metrics::gauge!(STORE_POISONED).set(f64::from(u8::from(counted.poisoned.load(Ordering::Relaxed))));
    }
}
