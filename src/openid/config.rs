//! The section `[accounts.providers]`: how long what foreign providers publish is believed, and how often they are asked.

use gatehouse_base::config::{Configure, Section};
use std::time::Duration;

/// What an operator can set about foreign providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a provider's document and keys are fresh. Default 10 min.
    pub fresh: Duration,
    /// How long they are used after they were fetched while a provider cannot be asked. A key that it takes back is believed so long
    /// at most. Default 24 h.
    pub stale: Duration,
    /// How long to wait before a provider is asked again: because a token names a key that is not known, or because it did not answer.
    /// Default 30 s.
    pub pause: Duration,
    /// By how much a provider's clock may differ from ours. Default 60 s.
    pub skew: Duration,
    /// Providers whose documents are remembered; the one that was not needed for longest goes for the next. Default 1,000.
    pub remembered: usize,
    /// The most providers that an organisation has. Default 10.
    pub per_organisation: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(600),
            stale: Duration::from_secs(24 * 3600),
            pause: Duration::from_secs(30),
            skew: Duration::from_secs(60),
            remembered: 1000,
            per_organisation: 10,
        }
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let seconds = |low: u64, high: u64| Duration::from_secs(low)..=Duration::from_secs(high);
        let config = Self {
            fresh: from.within("fresh", defaults.fresh, seconds(60, 24 * 3600)),
            stale: from.within("stale", defaults.stale, seconds(60, 30 * 24 * 3600)),
            pause: from.within("pause", defaults.pause, seconds(1, 3600)),
            skew: from.within("skew", defaults.skew, seconds(0, 600)),
            remembered: from.within("remembered", defaults.remembered, 10..=100_000),
            per_organisation: from.within("per_organisation", defaults.per_organisation, 1..=1000),
        };
        if config.stale < config.fresh {
            from.refuse("stale", "is shorter than `fresh`: what is fresh is not stale");
        }
        Some(config)
    }
}
