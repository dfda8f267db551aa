//! Onboarding codes: an organisation lets a device in, at a hub, before the device has ever been seen there.
//!
//! A code has 256 bits and is kept as a digest. Who may use it is in its row and in the certificate of the device that shows it. When it
//! was used, the row stays for a day longer than the code is good, so that a second use is noticed. Tokens of other authorities that were
//! used have a row in the same table.

use super::{
    AdmissionError, Admissions, OWN_PROVIDER, authority::Entitlement, event::Fact, family::AdmissionId, places::Kind, presenter::Presenter,
};
use crate::{
    Member, StateError,
    rows::{self, Row},
    secret::{self, Digest},
};
use gatehouse_store::{
    Batch, Key, Range, Table,
    codec::{self, Bytes},
};
use gatehouse_types::{DeviceId, GroupId, HubId, OrganisationId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Codes, and used tokens of other authorities, by their digest.
pub(crate) const CODES: Table = Table::new("onboarding-codes");
/// The digest of an organisation's codes: organisation, then the code's id.
pub(crate) const CODES_OF: Table = Table::new("onboarding-codes-of");

/// How scanners know a code.
pub(super) const PREFIX: &str = "gto_";
const PURPOSE: &str = "onboarding code";
const FOREIGN_PURPOSE: &str = "onboarding token";
/// How long a code is remembered after its end, so that a second use is noticed.
const KNOWN_AFTER: Duration = Duration::from_secs(86_400);
/// The most codes that are told at once.
const MOST_TOLD: usize = 500;

/// A code as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Code {
    /// Nothing for a token of an authority, of which there was nothing to list before it was used.
    pub(super) id: Option<String>,
    pub(super) organisation: OrganisationId,
    pub(super) device: Option<DeviceId>,
    pub(super) hub: Option<HubId>,
    pub(super) group: Option<GroupId>,
    pub(super) authority: String,
    pub(super) made: UnixTime,
    pub(super) ends: UnixTime,
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Fresh,
    /// Another device showed it; that was told once. Its own device may still use it.
    Leaked,
    /// It gave this admission.
    Used(Bytes),
}

/// A code to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewCode {
    /// For which device.
    pub device: DeviceId,
    /// At which hub.
    pub hub: HubId,
    /// As one of which group.
    pub group: Option<GroupId>,
}

/// A code as members see it, without the code itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CodeInfo {
    /// What it is withdrawn by.
    pub id: String,
    /// For which device.
    pub device: DeviceId,
    /// At which hub.
    pub hub: HubId,
    /// As one of which group.
    pub group: Option<GroupId>,
    /// Since when.
    pub made: UnixTime,
    /// Until when.
    pub ends: UnixTime,
    /// Whether another device has shown it.
    pub leaked: bool,
}

impl Code {
    /// Whether it is for this device, here.
    pub(super) fn fits(&self, at: &Presenter) -> bool {
        self.organisation == at.organisation
            && self.device.is_none_or(|device| device == at.device)
            && self.hub.is_none_or(|hub| hub == at.hub)
    }

    fn info(&self) -> Option<CodeInfo> {
        let (id, device, hub) = (self.id.clone()?, self.device?, self.hub?);
        let leaked = self.state == State::Leaked;
        Some(CodeInfo { id, device, hub, group: self.group, made: self.made, ends: self.ends, leaked })
    }

    fn is_open(&self, now: UnixTime) -> bool {
        now < self.ends && !matches!(self.state, State::Used(_))
    }

    /// A token of an authority, which nobody has used.
    pub(super) fn of_token(entitled: Entitlement, authority: &str, now: UnixTime) -> Self {
        let Entitlement { organisation, device, hub, group, ends, .. } = entitled;
        Self { id: None, organisation, device, hub, group, authority: authority.to_owned(), made: now, ends, state: State::Fresh }
    }

    pub(super) fn admission(&self) -> Result<Option<AdmissionId>, StateError> {
        let State::Used(id) = &self.state else { return Ok(None) };
        AdmissionId::from_key(id).map(Some).ok_or_else(|| StateError::Damaged("a code's admission".to_owned()))
    }
}

/// Under what a code of ours is kept.
pub(super) fn key_of_code(shown: &Secret) -> Digest {
    secret::digest_of(PURPOSE, shown)
}

/// Under what a token of an authority is kept once it was used.
pub(super) fn key_of_token(authority: &str, once: &str) -> Digest {
    secret::digest_of(FOREIGN_PURPOSE, &Secret::from(format!("{authority}\0{once}")))
}

pub(super) fn of_organisation(organisation: OrganisationId) -> Key {
    Key::new().id(organisation.as_bytes())
}

impl Admissions {
    /// Makes a code for a device of this organisation. The answer's secret is shown once.
    ///
    /// # Errors
    /// The organisation may do nothing, or has too many that wait.
    pub async fn issue(&self, organisation: OrganisationId, new: NewCode, now: UnixTime) -> Result<(CodeInfo, Secret), AdmissionError> {
        if self.accounts.is_suspended(organisation).await? {
            return Err(AdmissionError::Suspended);
        }
        let place = self.take_code_place(organisation).await?;
        let drawn = Secret::new([PREFIX.as_bytes(), secret::draw(&*self.accounts.random).expose()].concat());
        let id = data_encoding::HEXLOWER.encode(&self.accounts.draw());
        let code = Code {
            id: Some(id.clone()),
            organisation,
            device: Some(new.device),
            hub: Some(new.hub),
            group: new.group,
            authority: OWN_PROVIDER.to_owned(),
            made: now,
            ends: now + self.config().code_lifetime,
            state: State::Fresh,
        };
        let key = key_of_code(&drawn);
        let index = rows::new(CODES_OF, in_organisation(organisation, &id), &Bytes::from(key.to_vec()));
        let fact = Fact::CodeMade { code: id, device: new.device, hub: new.hub };
        let batch = self.stating(rows::new(CODES, key, &code).and(index), organisation, &fact, now)?;
        self.accounts.events.commit(batch).await.map_err(StateError::Commit)?;
        place.keep();
        let info = code.info().ok_or(AdmissionError::NoSuchCode)?;
        Ok((info, drawn))
    }

    /// The codes of an organisation that wait for their devices, after the one with this id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn codes(&self, of: &Member, after: Option<&str>, limit: usize, now: UnixTime) -> Result<Vec<CodeInfo>, StateError> {
        let mut range = Range::prefix(of_organisation(of.organisation));
        if let Some(after) = after {
            range = range.after(&in_organisation(of.organisation, after));
        }
        let limit = limit.clamp(1, MOST_TOLD);
        let mut codes = Vec::new();
        while codes.len() < limit {
            let rows = self.accounts.events.store().scan(CODES_OF, range.clone(), limit).await?;
            let Some((last, _)) = rows.last() else { break };
            range = range.after(last);
            for (_, entry) in &rows {
                let key: Bytes = codec::decode(&entry.value)?;
                let row = rows::find::<Code>(&self.accounts.events, CODES, key.to_vec()).await?;
                codes.extend(row.filter(|row| row.value.is_open(now)).and_then(|row| row.value.info()));
            }
        }
        codes.truncate(limit);
        Ok(codes)
    }

    /// Takes back a code that nobody has used.
    ///
    /// # Errors
    /// There is none of this id that waits.
    pub async fn withdraw(&self, by: &Member, id: &str, now: UnixTime) -> Result<(), AdmissionError> {
        let organisation = by.organisation;
        rows::change(&self.accounts.events, || async {
            let row = self.code_of(organisation, id).await?.filter(|row| row.value.is_open(now)).ok_or(AdmissionError::NoSuchCode)?;
            let device = row.value.device.ok_or(AdmissionError::NoSuchCode)?;
            let batch = row.deleted().delete(CODES_OF, in_organisation(organisation, id));
            let fact = Fact::CodeWithdrawn { code: id.to_owned(), device };
            Ok::<_, AdmissionError>((self.stating(batch, organisation, &fact, now)?, ()))
        })
        .await?;
        self.give_back(Kind::Code, organisation);
        Ok(())
    }

    async fn code_of(&self, organisation: OrganisationId, id: &str) -> Result<Option<Row<Code>>, StateError> {
        // What is no id would be the beginning of others.
        if id.len() != 32 {
            return Ok(None);
        }
        let events = &self.accounts.events;
        let Some(key) = rows::find::<Bytes>(events, CODES_OF, in_organisation(organisation, id)).await? else { return Ok(None) };
        rows::find(events, CODES, key.value.to_vec()).await
    }

    /// Marks a code as used by an admission, in a batch.
    pub(super) fn using(batch: Batch, code: &Code, written: Batch) -> Batch {
        let batch = batch.and(written);
        match &code.id {
            Some(id) => batch.delete(CODES_OF, in_organisation(code.organisation, id)),
            None => batch,
        }
    }

    /// Forgets codes whose time is over.
    pub(super) async fn forget_codes(&self, now: UnixTime) -> Result<usize, StateError> {
        let is_over = |code: &Code| match code.state {
            State::Used(_) => code.ends + KNOWN_AFTER <= now,
            State::Fresh | State::Leaked => code.ends <= now,
        };
        rows::forget(&self.accounts.events, CODES, is_over, |batch, _, code| match &code.id {
            Some(id) => {
                if !matches!(code.state, State::Used(_)) {
                    self.give_back(Kind::Code, code.organisation);
                }
                batch.delete(CODES_OF, in_organisation(code.organisation, id))
            }
            None => batch,
        })
        .await
    }
}

fn in_organisation(organisation: OrganisationId, id: &str) -> Vec<u8> {
    [organisation.as_bytes().as_slice(), id.as_bytes()].concat()
}
