//! Alarms: a code or refresh token of a device was shown where it must not be, and what it belonged to has ended.
//!
//! There are never more of them than codes were given out: each ends a family, or marks the code that it is about.

use super::{
    Admissions,
    event::Fact,
    family::{AdmissionId, Theft},
    presenter::Presenter,
};
use crate::{Member, StateError, rows};
use data_encoding::HEXLOWER;
use gatehouse_store::{Batch, Key, Range, Table, codec};
use gatehouse_types::{DeviceId, HubId, OrganisationId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Alarms: organisation, time, some random bytes.
pub(crate) const ALARMS: Table = Table::new("admission-alarms");

/// The most alarms that are told at once.
const MOST_TOLD: usize = 500;

/// An alarm as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alarm {
    at: UnixTime,
    device: DeviceId,
    admission: Option<String>,
    why: Theft,
    by: DeviceId,
    hub: HubId,
    key: String,
}

/// An alarm as members see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlarmInfo {
    /// When.
    pub at: UnixTime,
    /// Whose code or token it was.
    pub device: DeviceId,
    /// The admission that ended; nothing where none had begun.
    pub admission: Option<String>,
    /// What happened.
    pub why: Theft,
    /// Who showed it, as its certificate says.
    pub by: DeviceId,
    /// At which hub.
    pub hub: HubId,
    /// The fingerprint of the key that it was shown over: SHA-256 of its `SubjectPublicKeyInfo`.
    pub key: String,
}

/// What an alarm is about.
pub(super) struct About {
    pub(super) organisation: OrganisationId,
    pub(super) device: DeviceId,
    pub(super) admission: Option<AdmissionId>,
    pub(super) why: Theft,
}

impl Admissions {
    /// An alarm with its event, in a batch.
    pub(super) fn alarming(&self, batch: Batch, about: &About, at: &Presenter, now: UnixTime) -> Result<Batch, StateError> {
        let admission = about.admission.map(|id| id.to_string());
        let alarm = Alarm {
            at: now,
            device: about.device,
            admission: admission.clone(),
            why: about.why,
            by: at.device,
            hub: at.hub,
            key: HEXLOWER.encode(at.key.as_bytes()),
        };
        let key = Key::new().id(about.organisation.as_bytes()).number(millis(now)).id(&self.accounts.draw());
        let fact = Fact::TokenStolen { device: about.device, admission, why: about.why, by: at.device };
        self.stating(batch.put(ALARMS, key, codec::encode(&alarm)), about.organisation, &fact, now)
    }

    /// The alarms of an organisation before a time, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn alarms(&self, of: &Member, before: Option<UnixTime>, limit: usize) -> Result<Vec<AlarmInfo>, StateError> {
        let organisation = Key::new().id(of.organisation.as_bytes());
        let range = match before {
            Some(before) => Range::between(organisation.clone(), organisation.number(millis(before))),
            None => Range::prefix(organisation),
        };
        let rows = self.accounts.events.store().scan(ALARMS, range.reversed(), limit.clamp(1, MOST_TOLD)).await?;
        rows.into_iter().map(|(_, entry)| Ok(codec::decode::<Alarm>(&entry.value)?.into())).collect()
    }

    /// Forgets alarms that are old.
    pub(super) async fn forget_alarms(&self, now: UnixTime) -> Result<usize, StateError> {
        let kept = self.config().alarms_kept;
        rows::forget(&self.accounts.events, ALARMS, |alarm: &Alarm| alarm.at + kept <= now, |batch, _, _| batch).await
    }
}

/// Negative times do not come up: they would be before 1970.
fn millis(at: UnixTime) -> u64 {
    u64::try_from(at.millis()).unwrap_or(0)
}

impl From<Alarm> for AlarmInfo {
    fn from(alarm: Alarm) -> Self {
        let Alarm { at, device, admission, why, by, hub, key } = alarm;
        Self { at, device, admission, why, by, hub, key }
    }
}
