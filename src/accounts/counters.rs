//! What is counted about accounts. Nothing here tells who it was.

use gatehouse_base::telemetry::{Metric, MetricKind};

const SIGN_INS: &str = "gatehouse_accounts_sign_ins_total";
const REFUSED: &str = "gatehouse_accounts_refused_total";
const PROGRAMS: &str = "gatehouse_accounts_programs_total";
const PROGRAMS_REFUSED: &str = "gatehouse_accounts_programs_refused_total";
const TOKENS_REFUSED: &str = "gatehouse_accounts_tokens_refused_total";
const HELD_OFF: &str = "gatehouse_accounts_held_off_total";
const UNCONFIRMED: &str = "gatehouse_accounts_unconfirmed";
const DEVICES: &str = "gatehouse_accounts_devices_total";
const DEVICES_REFUSED: &str = "gatehouse_accounts_devices_refused_total";
const DEVICE_ALARMS: &str = "gatehouse_accounts_device_alarms_total";

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    Metric { name: SIGN_INS, kind: MetricKind::Counter, labels: &["second_factor"], help: "Sessions that began." },
    Metric {
        name: REFUSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "Proofs that were refused: a wrong `password`, `code` or `passkey`, one that came too soon after others (`throttled`), or while all places \
               for passwords were taken (`busy`).",
    },
    Metric { name: PROGRAMS, kind: MetricKind::Counter, labels: &["grant"], help: "Tokens that programs got, by the kind of grant." },
    Metric {
        name: PROGRAMS_REFUSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "What programs were refused: an unknown `client`, a code or token that was `replayed`, which ended what it gave, or a device \
               code while too many waited (`full`).",
    },
    Metric {
        name: TOKENS_REFUSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "API tokens that were refused: `unknown`, or used from another network than they are for (`source`).",
    },
    Metric {
        name: HELD_OFF,
        kind: MetricKind::Counter,
        labels: &["what"],
        help: "What was refused because there was too much of it: `invitations` of an organisation or a person within a day \
               (`invitations_per_day`), `registrations` while too many accounts waited for their confirmation (`unconfirmed`).",
    },
    Metric {
        name: UNCONFIRMED,
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Accounts that wait for their confirmation, at most `[accounts] unconfirmed`.",
    },
    Metric {
        name: DEVICES,
        kind: MetricKind::Counter,
        labels: &["answer"],
        help: "Tokens that devices got: for a `code`, for a refresh token (`refresh`), or once more because the answer was lost (`repeated`).",
    },
    Metric {
        name: DEVICES_REFUSED,
        kind: MetricKind::Counter,
        labels: &["reason"],
        help: "What devices were refused: a code or refresh token that was `not-good`; an access token that was none (`token`), over \
               (`token-over`), of an admission that has `ended`, or shown over another key (`other-key`) or by another device or hub \
               (`other-device`); everything of an organisation that is `suspended`; and codes and admissions beyond `[accounts.devices]` \
               (`codes-full`, `admissions-full`).",
    },
    Metric {
        name: DEVICE_ALARMS,
        kind: MetricKind::Counter,
        labels: &["why"],
        help: "Codes and refresh tokens of devices that somebody else has: shown over another key (`other-key`), after what they gave was \
               used (`replayed`), or by another device (`other-device`). What they belonged to has ended.",
    },
];

pub(crate) fn signed_in(second_factor: bool) {
    metrics::counter!(SIGN_INS, "second_factor" => if second_factor { "yes" } else { "no" }).increment(1);
}

pub(crate) fn refused(reason: &'static str) {
    metrics::counter!(REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn throttled() {
    refused("throttled");
}

pub(crate) fn busy() {
    refused("busy");
}

pub(crate) fn token_refused(reason: &'static str) {
    metrics::counter!(TOKENS_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn program_granted(grant: &'static str) {
    metrics::counter!(PROGRAMS, "grant" => grant).increment(1);
}

pub(crate) fn program_refused(reason: &'static str) {
    metrics::counter!(PROGRAMS_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn held_off(what: &'static str) {
    metrics::counter!(HELD_OFF, "what" => what).increment(1);
}

/// Exact: there are never 2^53 accounts.
pub(crate) fn unconfirmed(waiting: usize) {
    metrics::gauge!(UNCONFIRMED).set(waiting as f64);
}

pub(crate) fn device_answered(answer: &'static str) {
    metrics::counter!(DEVICES, "answer" => answer).increment(1);
}

pub(crate) fn device_refused(reason: &'static str) {
    metrics::counter!(DEVICES_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn device_alarm(why: &'static str) {
    metrics::counter!(DEVICE_ALARMS, "why" => why).increment(1);
}
