//! Drops what is older than the configuration wants to keep: events, whose streams keep a sealed checkpoint of what was
//! there, and the records of certificates that ended long ago.
//!
//! Only a clock that has behaved for a while may say what is old: one that was wrong when the server started is put right
//! by then, and the authority notices the jump.

use super::checkpoints::{CheckpointError, Checkpoints};
use gatehouse_base::{
    Clock, SystemClock,
    config::{Configure, Section},
    telemetry::{Metric, MetricKind},
};
use gatehouse_ca::{Authority, StateError};
use gatehouse_net::Shutdown;
use gatehouse_types::UnixTime;
use std::{sync::Arc, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the clock has to behave before the first time, and from one time to the next.
const INTERVAL: Duration = DAY;

/// A revocation is on a list for up to 30 days after its certificate has ended, and is remembered for 30 more.
const RECORDS_LEAST: Duration = Duration::from_secs(60 * 24 * 3600);

const EVENTS: &str = "gatehouse_retention_events_total";
const RECORDS: &str = "gatehouse_retention_records_total";
const LAST: &str = "gatehouse_retention_last_run_seconds";
const FAILURES: &str = "gatehouse_retention_failures_total";

/// Every metric of this part.
pub const METRICS: &[Metric] = &[
    Metric {
        name: EVENTS,
        kind: MetricKind::Counter,
        labels: &[],
        help: "Events that were dropped because they are older than `[retention] events`.",
    },
    Metric {
        name: RECORDS,
        kind: MetricKind::Counter,
        labels: &[],
        help: "Records that were dropped because their certificates ended longer ago than `[retention] records`.",
    },
    Metric {
        name: LAST,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "When this was last done to its end, in seconds since 1970; it is due once a day, for the first time a day after the start.",
    },
    Metric {
        name: FAILURES,
        kind: MetricKind::Counter,
        labels: &[],
        help: "Times that it could not be done: the clock is not trusted, or the store failed.",
    },
];

/// The section `[retention]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long events are kept. The newest of a stream stays in any case. Default 3650 days, at least 30.
    pub events: Duration,
    /// How long the record of a certificate is kept after that has ended. Default 3650 days, at least 60: until then
    /// revocation lists may need it.
    pub records: Duration,
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let (usual, most) = (DAY * 3650, DAY * 36500);
        let events = from.within("events", usual, DAY * 30..=most);
        let records = from.within("records", usual, RECORDS_LEAST..=most);
        Some(Self { events, records })
    }
}

/// The task.
pub(super) struct Retention {
    pub(super) config: Config,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) authority: Authority,
}

#[derive(Debug, thiserror::Error)]
enum RetentionError {
    #[error("the clock is not trusted")]
    Clock,
    #[error(transparent)]
    Events(#[from] CheckpointError),
    #[error(transparent)]
    Records(#[from] StateError),
}

impl Retention {
    pub(super) async fn run(self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.stopped() => return,
            }
            if let Err(error) = self.drop_old(SystemClock.now()).await {
                metrics::counter!(FAILURES).increment(1);
                tracing::warn!(%error, "what is old was not dropped; this is tried again in a day");
            }
        }
    }

    /// Drops what is old at this time. Answers how many events and records went.
    async fn drop_old(&self, now: UnixTime) -> Result<(u64, usize), RetentionError> {
        if !self.authority.trusts_clock() {
            return Err(RetentionError::Clock);
        }
        let events = self.checkpoints.drop_before(now - self.config.events, now).await?;
        metrics::counter!(EVENTS).increment(events);
        let records = self.authority.forget_records(now - self.config.records).await?;
        metrics::counter!(RECORDS).increment(records as u64);
        // Exact: seconds up to the year 9999 are far below 2^53.
        metrics::gauge!(LAST).set(now.secs() as f64);
        if events > 0 || records > 0 {
            tracing::info!(events, records, "dropped what is older than [retention] keeps");
        }
        Ok((events, records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::{SimulatedClock, SystemRandom};
    use gatehouse_ca::{
        Fact, InstancePlan, KeyHome, Keyring, RootCustody, Settings, StretchCost,
        unlock::{Key, Unlock},
    };
    use gatehouse_events::{Events, LocalBus, verify};
    use gatehouse_pki::{KeyAlgorithm, PublicKey};
    use gatehouse_store::{Position, Store};

    const START: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[tokio::test]
    async fn old_events_leave_a_seal_and_a_clock_that_jumped_drops_nothing() {
        let (store, random) = (Store::memory().expect("a store"), Arc::new(SystemRandom));
        let unlock = Unlock::Key(Key::generate(&SystemRandom));
        let keyring = Keyring::create(store.clone(), &unlock, StretchCost::DEFAULT, random.clone()).await.expect("a keyring");
        let clock = Arc::new(SimulatedClock::new(START));
        let events = Events::new(store.clone(), Arc::new(LocalBus::default()), Arc::new(keyring.clone()), random.clone());
        let authority = Authority::open(events, keyring.clone(), clock.clone(), random, Settings::default()).await.expect("opens");
        let here = KeyHome::Here(KeyAlgorithm::P256);
        let plan = InstancePlan { organisation: "Example".parse().expect("a name"), root: RootCustody::Held(here.clone()), service: here };
        authority.init(&plan).await.expect("the first ceremony");
        let folder = tempfile::tempdir().expect("folder");
        let public = folder.path().join("checkpoints.pub");
        let retention = Retention {
            config: Config { events: DAY * 30, records: DAY * 60 },
            checkpoints: Arc::new(Checkpoints::at(public.clone(), store.clone(), keyring)),
            authority: authority.clone(),
        };
        assert_eq!(retention.drop_old(START + DAY).await.expect("nothing is old"), (0, 0));
        let facts = authority.facts(Position::START, 100).await.expect("facts").len() as u64;

        clock.set(START + DAY * 40);
        assert!(matches!(retention.drop_old(START + DAY * 40).await, Err(RetentionError::Clock)));
        authority.halt("the clock").await.expect("halted");
        authority.resume("it is right").await.expect("accepted");
        assert_eq!(retention.drop_old(START + DAY * 40).await.expect("dropped"), (facts, 0));
        let left = authority.facts(Position::START, 100).await.expect("facts");
        assert!(matches!(left.first(), Some((.., Fact::Halted { .. }))), "{left:?}");

        let pem = std::fs::read_to_string(&public).expect("the public key");
        let keys = [PublicKey::from_pem(pem.as_bytes()).expect("a key")];
        let report = verify(&store.snapshot().await.expect("snapshot"), &keys).await.expect("verified");
        assert_eq!(report.tampering, []);
    }
}
