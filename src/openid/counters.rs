//! What is counted about foreign providers. Nothing here tells which one it was.

use crate::TokenRefused;
use gatehouse_base::telemetry::{Metric, MetricKind};

const FETCHES: &str = "gatehouse_providers_fetches_total";
const TOKENS: &str = "gatehouse_providers_tokens_total";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric {
        name: FETCHES,
        kind: MetricKind::Counter,
        labels: &["why", "result"],
        help: "Times that a provider's document and keys were fetched: because there were none (`needed`), because they were old (`stale`), \
               for a key that was not known (`key`), or because somebody asked for a test (`test`).",
    },
    Metric {
        name: TOKENS,
        kind: MetricKind::Counter,
        labels: &["result"],
        help: "Tokens of foreign providers that were judged: `good`, or by what they were refused.",
    },
];

pub(crate) fn fetched(why: &'static str, good: bool) {
    metrics::counter!(FETCHES, "why" => why, "result" => if good { "good" } else { "failed" }).increment(1);
}

pub(crate) fn judged<T>(result: &Result<T, TokenRefused>) {
    let word = result.as_ref().map_or_else(gatehouse_base::Fault::code, |_| "good");
    metrics::counter!(TOKENS, "result" => word).increment(1);
}
