//! The section `[accounts.devices]`: how long codes and tokens of devices last, and how many an organisation has.

use gatehouse_base::config::{Configure, Section};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What an operator can set about the codes and tokens of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long an onboarding code is good. Default 1 h, at least 5 min: a device that gets no answer asks again for more than four
    /// minutes before it goes on to the next server.
    pub code_lifetime: Duration,
    /// How long an access token of a device is good. Default 12 h, from 10 min to 24 h: devices refresh ten minutes before the end of
    /// longer ones.
    pub token_lifetime: Duration,
    /// How long a device may be away before it has to be let in anew. Default 180 days.
    pub idle: Duration,
    /// Onboarding codes of an organisation that wait for their devices at once at most. Default 100,000.
    pub codes: usize,
    /// Devices of an organisation that are admitted at once at most. Default 1,000,000.
    pub admissions: usize,
    /// How long alarms are kept. Default 90 days.
    pub alarms_kept: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            code_lifetime: HOUR,
            token_lifetime: HOUR * 12,
            idle: DAY * 180,
            codes: 100_000,
            admissions: 1_000_000,
            alarms_kept: DAY * 90,
        }
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        Some(Self {
            code_lifetime: from.within("code_lifetime", defaults.code_lifetime, MINUTE * 5..=DAY * 7),
            token_lifetime: from.within("token_lifetime", defaults.token_lifetime, MINUTE * 10..=DAY),
            idle: from.within("idle", defaults.idle, DAY..=DAY * 3650),
            codes: from.within("codes", defaults.codes, 1..=10_000_000),
            admissions: from.within("admissions", defaults.admissions, 1..=100_000_000),
            alarms_kept: from.within("alarms_kept", defaults.alarms_kept, DAY..=DAY * 3650),
        })
    }
}
