//! Metrics: declared in lists, rendered for Prometheus.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::fmt;

/// Upper ends of the buckets of every histogram; all of them measure seconds.
const SECONDS: &[f64] = &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of seconds.
    Histogram,
}

/// The declaration of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with the unit at its end.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells, in one sentence.
    pub help: &'static str,
}

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    pub(super) fn install() -> Option<Self> {
        let builder = PrometheusBuilder::new().set_buckets(SECONDS).ok()?;
        builder.install_recorder().ok().map(Self)
    }

    /// Declares metrics, so that their help stands in the output.
    pub fn declare(&self, all: &[Metric]) {
        for metric in all {
            match metric.kind {
                MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
                MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
            }
        }
    }

    /// The present values in Prometheus's text form.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what histograms have collected; to be called every few seconds, or they grow.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Metrics")
    }
}

/// The table of `docs/metrics.md` for these metrics.
pub fn table(all: &[Metric]) -> String {
    let row = |metric: &Metric| {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help)
    };
    format!("| name | kind | labels | meaning |\n|---|---|---|---|\n{}", all.iter().map(row).collect::<String>())
}
