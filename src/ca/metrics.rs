//! What the authority tells monitoring: what it issued, refused and revoked, and how long what it signed stays good.
//!
//! Labels stay bounded: profiles that are not built in are one label, reasons come from fixed sets, and authorities
//! beyond the first [`NAMED`] are told as one, by the earliest of their times. Times are moments, not spans: a span would
//! stand still when nobody works it out any more, which is what one wants to hear of.

use crate::{authority::Authority, error::StateError, hierarchy::CaState, issue::IssueError, record::Reason, seat::CaId, switch::Issuance};
use gatehouse_base::{
    Fault,
    telemetry::{Metric, MetricKind},
};
use gatehouse_pki::{Builtin, Certificate, Profile};
use std::{collections::BTreeMap, sync::OnceLock};

const ISSUANCE_HALTED: &str = "gatehouse_ca_issuance_halted";
const ISSUED: &str = "gatehouse_ca_issued_total";
const REFUSED: &str = "gatehouse_ca_refused_total";
const REVOKED: &str = "gatehouse_ca_revoked_total";
const UPKEEP_FAILURES: &str = "gatehouse_ca_upkeep_failures_total";
const AUTHORITY_END: &str = "gatehouse_ca_authority_not_after_seconds";
const CRL_MADE: &str = "gatehouse_ca_crl_this_update_seconds";
const CRL_NEXT: &str = "gatehouse_ca_crl_next_update_seconds";
const CRL_ENTRIES: &str = "gatehouse_ca_crl_entries";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric {
        name: ISSUANCE_HALTED,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "1 while no certificates are issued, because an operator or a clock that cannot be trusted halted it.",
    },
    Metric {
        name: ISSUED,
        kind: MetricKind::Counter,
        labels: &["profile"],
        help: "Certificates that were issued. A profile that is not built in is `other`.",
    },
    Metric {
        name: REFUSED,
        kind: MetricKind::Counter,
        labels: &["profile", "reason"],
        help: "Certificates that were asked for and not issued; the reason is the code of the error.",
    },
    Metric {
        name: REVOKED,
        kind: MetricKind::Counter,
        labels: &["profile", "reason"],
        help: "Certificates that were revoked, those whose renewal came into use (`superseded`) included.",
    },
    Metric {
        name: UPKEEP_FAILURES,
        kind: MetricKind::Counter,
        labels: &[],
        help: "Times that revocation lists or the ends of graces were due and could not be dealt with; it is tried again.",
    },
    Metric {
        name: AUTHORITY_END,
        kind: MetricKind::Gauge,
        labels: &["authority"],
        help: "When the authority's certificate ends, in seconds since 1970. Beyond 100 authorities `others` is the first to end.",
    },
    Metric {
        name: CRL_MADE,
        kind: MetricKind::Gauge,
        labels: &["authority"],
        help: "When the authority's revocation list was made, in seconds since 1970; the oldest of `others`.",
    },
    Metric {
        name: CRL_NEXT,
        kind: MetricKind::Gauge,
        labels: &["authority"],
        help: "When readers of the authority's revocation list want a newer one, in seconds since 1970; the first of `others`.",
    },
    Metric {
        name: CRL_ENTRIES,
        kind: MetricKind::Gauge,
        labels: &["authority"],
        help: "Certificates that the authority's revocation list names; the longest of `others`.",
    },
];

/// Authorities that have a label of their own.
const NAMED: usize = 100;

/// Which authorities were told before, so that those that are gone do not stand there for ever.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<String, Times>);

/// What is told of one authority, or of several as one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    end: f64,
    made: f64,
    next: f64,
    entries: f64,
}

impl Times {
    /// What no alert compares with anything.
    const NONE: Self = Self { end: f64::NAN, made: f64::NAN, next: f64::NAN, entries: f64::NAN };

    /// The earliest of both; `min` and `max` pass over what is not told.
    fn and(self, other: Self) -> Self {
        Self {
            end: self.end.min(other.end),
            made: self.made.min(other.made),
            next: self.next.min(other.next),
            entries: self.entries.max(other.entries),
        }
    }

    fn tell(self, authority: &str) {
        for (name, value) in [(AUTHORITY_END, self.end), (CRL_MADE, self.made), (CRL_NEXT, self.next), (CRL_ENTRIES, self.entries)] {
            metrics::gauge!(name, "authority" => authority.to_owned()).set(value);
        }
    }
}

impl Authority {
    /// Sets the gauges to what is true now; to be called every few seconds with the same `told`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tell(&self, told: &mut Told) -> Result<(), StateError> {
        let halted = self.issuance().await? != Issuance::Open;
        metrics::gauge!(ISSUANCE_HALTED).set(f64::from(u8::from(halted)));
        let hierarchy = self.hierarchy();
        let counts = |state| matches!(state, CaState::Active | CaState::Trusted);
        let all = hierarchy.all.iter().filter(|ca| counts(ca.row.state)).filter_map(|ca| {
            let end = ca.chain.first().map(Certificate::not_after)?.secs() as f64;
            // Exact: seconds up to the year 9999 are far below 2^53, and so are entries.
            let list = self.crl(&ca.key_id);
            let (made, next, entries) = list.map_or((f64::NAN, f64::NAN, f64::NAN), |list| {
                (list.this_update.secs() as f64, list.next_update.secs() as f64, list.entries as f64)
            });
            Some((ca.id, Times { end, made, next, entries }))
        });
        told.take(all);
        Ok(())
    }
}

impl Told {
    fn take(&mut self, all: impl Iterator<Item = (CaId, Times)>) {
        let mut now: BTreeMap<String, Times> = BTreeMap::new();
        for (id, times) in all {
            let own = id.to_string();
            let named = self.0.contains_key(&own) || self.0.len() + now.keys().filter(|name| !self.0.contains_key(*name)).count() < NAMED;
            let name = if named { own } else { "others".to_owned() };
            let whole = now.get(&name).map_or(times, |before| before.and(times));
            now.insert(name, whole);
        }
        for gone in self.0.keys().filter(|name| !now.contains_key(*name)) {
            Times::NONE.tell(gone);
        }
        now.iter().for_each(|(name, times)| times.tell(name));
        // Those that are gone keep their label: metrics have no way to take one away.
        self.0.extend(now);
    }
}

/// Counts how an order for a certificate ended.
pub(crate) fn ordered<T>(profile: &Profile, outcome: &Result<T, IssueError>) {
    match outcome {
        Ok(_) => metrics::counter!(ISSUED, "profile" => label(profile.name())).increment(1),
        Err(error) => metrics::counter!(REFUSED, "profile" => label(profile.name()), "reason" => error.code()).increment(1),
    }
}

pub(crate) fn revoked(profile: &str, reason: Reason) {
    metrics::counter!(REVOKED, "profile" => label(profile), "reason" => reason.name()).increment(1);
}

pub(crate) fn upkeep_failed() {
    metrics::counter!(UPKEEP_FAILURES).increment(1);
}

/// The name of a profile that is built in: who writes profiles must not make labels.
fn label(profile: &str) -> &'static str {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| Builtin::ALL.map(|one| Profile::builtin(one).name().to_owned()).into());
    names.iter().find(|name| *name == profile).map_or("other", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seat::Seat;

    fn times(at: f64) -> Times {
        Times { end: at, made: at, next: at, entries: at }
    }

    #[test]
    fn many_authorities_are_told_as_one_by_the_earliest_of_their_times() {
        let mut told = Told::default();
        let id = |generation| CaId::new(Seat::Service, generation);
        told.take((1..=150).map(|one| (id(one), times(f64::from(one)))));
        assert_eq!(told.0.len(), NAMED + 1);
        assert_eq!(told.0["others"], Times { entries: 150.0, ..times(101.0) });
        // A new one has no label left, and those that had one keep it.
        told.take([(id(100), times(5.0)), (id(151), times(7.0))].into_iter());
        assert_eq!((told.0.len(), told.0["service.100"], told.0["others"]), (NAMED + 1, times(5.0), times(7.0)));
    }

    #[test]
    fn a_time_that_is_not_known_hides_none_that_is() {
        assert_eq!(Times::NONE.and(times(3.0)), times(3.0));
        assert_eq!(times(3.0).and(Times::NONE), times(3.0));
    }

    #[test]
    fn only_profiles_that_are_built_in_make_labels() {
        assert_eq!(label("ocf-identity"), "ocf-identity");
        assert_eq!(label("somebody's own"), "other");
    }
}
