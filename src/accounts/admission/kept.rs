//! Admissions as an organisation sees them, how they are ended, and how ended ones are forgotten.

use super::{
    AdmissionError, Admissions,
    admit::{ADMISSIONS, ADMITTED, FAMILIES, ending, key_of},
    code::{CODES, CODES_OF, of_organisation},
    event::{Ending, Fact},
    family::{Admission, AdmissionId},
    places::Kind,
    token::VerifiedDevice,
};
use crate::{Accounts, Member, StateError, rows};
use data_encoding::HEXLOWER;
use gatehouse_store::{Batch, Range, Table, codec};
use gatehouse_types::{DeviceId, GroupId, HubId, OrganisationId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most admissions that are told at once.
const MOST_TOLD: usize = 500;
/// How many rows are looked at or deleted at a time.
const PAGE: usize = 1000;

/// An admission as members see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdmissionInfo {
    /// What it is revoked by.
    pub id: String,
    /// Which device.
    pub device: DeviceId,
    /// At which hub.
    pub hub: HubId,
    /// As one of which group.
    pub group: Option<GroupId>,
    /// By whose word: the provider's name.
    pub authority: String,
    /// The fingerprint of the key that it is bound to: SHA-256 of its `SubjectPublicKeyInfo`.
    pub key: String,
    /// Since when.
    pub began: UnixTime,
    /// When it was used last, apart from sign-ins with the same token.
    pub used: UnixTime,
}

impl Admissions {
    /// The admissions of an organisation, after the one with this id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn admissions(
        &self,
        of: &Member,
        after: Option<&str>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<AdmissionInfo>, StateError> {
        let mut range = Range::prefix(of_organisation(of.organisation));
        if let Some(after) = after.and_then(AdmissionId::read) {
            range = range.after(&key_of(of.organisation, after));
        }
        let limit = limit.clamp(1, MOST_TOLD);
        let mut told = Vec::new();
        while told.len() < limit {
            let rows = self.accounts.events.store().scan(ADMISSIONS, range.clone(), limit - told.len()).await?;
            let Some((last, _)) = rows.last() else { break };
            range = range.after(last);
            for (key, entry) in &rows {
                let admission: Admission = codec::decode(&entry.value)?;
                let id = key.get(16..).and_then(AdmissionId::from_key).filter(|_| !admission.is_over(now, self.config().idle));
                told.extend(id.map(|id| admission.info(id)));
            }
        }
        Ok(told)
    }

    /// The admission of a device.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn admission_of(&self, of: &Member, device: DeviceId, now: UnixTime) -> Result<Option<AdmissionInfo>, StateError> {
        let Some(index) = self.admitted(of.organisation, device).await? else { return Ok(None) };
        let Some(id) = AdmissionId::from_key(&index.value) else { return Ok(None) };
        let row = self.row(of.organisation, id).await?.filter(|row| !row.value.is_over(now, self.config().idle));
        Ok(row.map(|row| row.value.info(id)))
    }

    /// Ends an admission: its tokens are refused from now on.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn revoke(&self, by: &Member, id: &str, now: UnixTime) -> Result<(), AdmissionError> {
        let id = AdmissionId::read(id).ok_or(AdmissionError::NoSuchAdmission)?;
        self.end(by.organisation, id, Ending::Revoked, now).await
    }

    /// Ends a device's own admission.
    ///
    /// # Errors
    /// It has ended already.
    pub async fn sign_off(&self, device: &VerifiedDevice, now: UnixTime) -> Result<(), AdmissionError> {
        self.end(device.organisation(), device.admission(), Ending::SignedOff, now).await
    }

    async fn end(&self, organisation: OrganisationId, id: AdmissionId, why: Ending, now: UnixTime) -> Result<(), AdmissionError> {
        rows::change(&self.accounts.events, || async {
            let row = self.row(organisation, id).await?.ok_or(AdmissionError::NoSuchAdmission)?;
            let fact = Fact::Ended { admission: id.to_string(), device: row.value.device, why };
            Ok::<_, AdmissionError>((self.stating(ending(Batch::new(), &row), organisation, &fact, now)?, ()))
        })
        .await?;
        self.give_back(Kind::Admission, organisation);
        Ok(())
    }

    /// Forgets codes, admissions and alarms whose time is over. Answers how many there were.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn forget_ended(&self, now: UnixTime) -> Result<usize, StateError> {
        Ok(self.forget_codes(now).await? + self.forget_admissions(now).await? + self.forget_alarms(now).await?)
    }

    /// Looks at some admissions, beginning where it stopped the last time: there may be millions, and they end after months.
    async fn forget_admissions(&self, now: UnixTime) -> Result<usize, StateError> {
        let from = self.accounts.places.swept();
        let range = from.as_deref().map_or_else(Range::all, |last| Range::all().after(last));
        let rows = self.accounts.events.store().scan(ADMISSIONS, range, PAGE * 10).await?;
        self.accounts.places.sweep_on(rows.last().map(|(last, _)| last.clone()));
        let mut forgotten = 0;
        for (key, entry) in rows {
            let admission: Admission = codec::decode(&entry.value)?;
            let Some(id) = key.get(16..).and_then(AdmissionId::from_key).filter(|_| admission.is_over(now, self.config().idle)) else {
                continue;
            };
            // Read again: it may have been used at this moment.
            let found = self.row(admission.organisation, id).await?;
            let Some(row) = found.filter(|row| row.value.is_over(now, self.config().idle)) else { continue };
            if self.accounts.events.commit(ending(Batch::new(), &row)).await.is_ok() {
                self.give_back(Kind::Admission, admission.organisation);
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// After a restore from a backup: what was shown and answered since the backup was made is not known here, so that honest devices would
    /// look like thieves. All codes and admissions go, without alarms; devices are let in anew.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn void(&self) -> Result<usize, StateError> {
        let mut voided = 0;
        for table in [CODES, CODES_OF, ADMISSIONS, ADMITTED, FAMILIES] {
            voided += self.empty(table).await?;
        }
        Ok(voided)
    }

    async fn empty(&self, table: Table) -> Result<usize, StateError> {
        let mut emptied = 0;
        loop {
            let rows = self.accounts.events.store().scan(table, Range::all(), PAGE).await?;
            if rows.is_empty() {
                return Ok(emptied);
            }
            emptied += rows.len();
            let batch = rows.into_iter().fold(Batch::new(), |batch, (key, _)| batch.delete(table, key));
            self.accounts.events.commit(batch).await?;
        }
    }
}

impl Admission {
    fn info(&self, id: AdmissionId) -> AdmissionInfo {
        let Self { device, hub, group, authority, key, began, used, .. } = self.clone();
        AdmissionInfo { id: id.to_string(), device, hub, group, authority, key: HEXLOWER.encode(&key), began, used }
    }
}

impl Accounts {
    /// Forgets what is over of devices.
    pub(crate) async fn forget_ended_of_devices(&self) -> Result<usize, StateError> {
        self.admissions().forget_ended(self.clock.now()).await
    }
}
