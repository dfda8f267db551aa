//! Somebody's passkeys: adding, listing, naming and removing them.
//!
//! A passkey is a row by the digest of its credential's id, so that no credential is anybody's twice. Which ones somebody has stands in
//! their own row, beside their other second factor: whether one is asked for is decided by that row alone.

use super::{
    CreationOptions, PasskeyError, Purpose, Registration,
    ceremony::{Ceremony, Expected, RelyingParty},
    public_key::PublicKey,
};
use crate::{
    Accounts, Happening, StateError, SteppedUp, Used, Visitor,
    letters::Change,
    person::{Person, checked_name},
    rows::{self, Row},
    second_factor::SecondFactor,
    secret::{self, DIGEST_BYTES, Digest},
};
use data_encoding::HEXLOWER;
use gatehouse_store::{Batch, Table, codec::Bytes};
use gatehouse_types::{PersonId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Passkeys by the digest of their credential's id.
pub(crate) const PASSKEYS: Table = Table::new("account-passkeys");

/// A passkey as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Passkey {
    pub(super) person: PersonId,
    /// What the authenticator is asked for.
    pub(super) id: Bytes,
    pub(super) key: PublicKey,
    pub(super) counter: u32,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) transports: Vec<String>,
    pub(super) name: String,
    pub(super) made: UnixTime,
    pub(super) used: Option<Used>,
}

/// A passkey to be added.
#[derive(Clone, Debug)]
pub struct NewPasskey {
    /// What its owner calls it.
    pub name: String,
    /// What the browser answered.
    pub credential: Registration,
}

/// A passkey as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PasskeyInfo {
    /// What it is named and removed by.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Since when.
    pub made: UnixTime,
    /// When and from where it was used last.
    pub used: Option<Used>,
    /// Whether it is on several devices.
    pub synchronised: bool,
}

impl Passkey {
    pub(super) fn info(&self) -> PasskeyInfo {
        let Self { name, made, used, backed_up, .. } = self.clone();
        PasskeyInfo { id: shown(&key_of(&self.id)), name, made, used, synchronised: backed_up }
    }
}

impl Accounts {
    /// What a browser is to ask for when somebody adds a passkey in this session.
    ///
    /// # Errors
    /// There are none here, or the person has too many.
    pub async fn passkey_options(&self, by: &SteppedUp) -> Result<CreationOptions, PasskeyError> {
        let party = self.relying_party().ok_or(PasskeyError::NoAddress)?;
        let row = self.find_person(by.person).await?.ok_or(StateError::Contention)?;
        let known = self.passkeys_of(&row.value.second_factor).await?;
        self.check_room(known.len())?;
        let challenge = self.challenge_for(Purpose::Registration(by.session))?;
        Ok(CreationOptions::new(&party, &self.config.issuer_name, (by.person, &row.value), &challenge, &known))
    }

    /// Adds a passkey. The first second factor of all comes with recovery codes, shown once.
    ///
    /// # Errors
    /// The authenticator's answer is not believed, or somebody has it already.
    pub async fn add_passkey(&self, by: &SteppedUp, new: &NewPasskey, from: &Visitor) -> Result<(PasskeyInfo, Vec<Secret>), PasskeyError> {
        let party = self.relying_party().ok_or(PasskeyError::NoAddress)?;
        let name = checked_name(&new.name).ok_or(PasskeyError::Name)?;
        let claimed = new.credential.claimed_challenge()?;
        let challenge = self.take_challenge(Purpose::Registration(by.session), claimed).await??;
        let expected = Expected { party: &party, ceremony: Ceremony::Create, challenge: &challenge, verified: false };
        let made = new.credential.verify(expected)?;
        let key = key_of(&made.id);
        let passkey = Passkey {
            person: by.person,
            id: made.id.into(),
            key: made.key,
            counter: made.counter,
            backup_eligible: made.backup_eligible,
            backed_up: made.backed_up,
            transports: made.transports,
            name: name.clone(),
            made: self.clock.now(),
            used: None,
        };
        let drawn = self.recovery_codes();
        rows::change(&self.events, || async {
            // §7.1 step 26.
            if rows::find::<Passkey>(&self.events, PASSKEYS, key).await?.is_some() {
                return Err(PasskeyError::Known);
            }
            let mut row = self.find_person(by.person).await?.ok_or(StateError::Contention)?;
            self.check_room(row.value.second_factor.passkeys().len())?;
            let codes = row.value.second_factor.add_passkey(key, &drawn);
            let batch = row.rewritten().and(rows::new(PASSKEYS, key, &passkey));
            let happening = Happening::PasskeyAdded { passkey: shown(&key), name: name.clone() };
            let batch = self.telling(batch, by.person, happening, Some(from)).await?;
            let batch = self.noticing(batch, &row.value, Change::PasskeyAdded, Some(from)).await?;
            Ok((batch, (passkey.info(), codes)))
        })
        .await
    }

    /// Somebody's passkeys, the oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn passkeys(&self, person: PersonId) -> Result<Vec<PasskeyInfo>, StateError> {
        let Some(row) = self.find_person(person).await? else { return Ok(Vec::new()) };
        Ok(self.passkeys_of(&row.value.second_factor).await?.iter().map(Passkey::info).collect())
    }

    /// Gives one of somebody's passkeys another name.
    ///
    /// # Errors
    /// There is none of this id, or the name is none.
    pub async fn rename_passkey(&self, person: PersonId, id: &str, name: &str) -> Result<PasskeyInfo, PasskeyError> {
        let name = checked_name(name).ok_or(PasskeyError::Name)?;
        rows::change(&self.events, || async {
            let (_, _, mut row) = self.own_passkey(person, id).await?;
            row.value.name.clone_from(&name);
            Ok((row.rewritten(), row.value.info()))
        })
        .await
    }

    /// Removes one of somebody's passkeys. It lets nobody in from then on. The last second factor goes only when that is said.
    ///
    /// # Errors
    /// There is none of this id, or it is the last second factor.
    pub async fn remove_passkey(&self, by: &SteppedUp, id: &str, last: bool, from: &Visitor) -> Result<(), PasskeyError> {
        rows::change(&self.events, || async {
            let (mut person, key, passkey) = self.own_passkey(by.person, id).await?;
            person.value.second_factor.remove_passkey(&key);
            let off = !person.value.second_factor.is_active();
            if off && !last {
                return Err(PasskeyError::Last);
            }
            let batch = person.rewritten().and(passkey.deleted());
            let happening = Happening::PasskeyRemoved { passkey: shown(&key), name: passkey.value.name.clone() };
            let batch = self.telling(batch, by.person, happening, Some(from)).await?;
            Ok((self.noticing(batch, &person.value, Change::PasskeyRemoved { last: off }, Some(from)).await?, ()))
        })
        .await
    }

    /// Removes the passkeys that were added since then, in a batch.
    pub(crate) async fn ending_passkeys_since(
        &self,
        batch: Batch,
        factor: &mut SecondFactor,
        since: UnixTime,
    ) -> Result<Batch, StateError> {
        let mut batch = batch;
        for passkey in self.passkeys_of(factor).await?.into_iter().filter(|passkey| since <= passkey.made) {
            let key = key_of(&passkey.id);
            factor.remove_passkey(&key);
            batch = batch.delete(PASSKEYS, key);
        }
        Ok(batch)
    }

    /// Who we are to authenticators.
    pub(crate) fn relying_party(&self) -> Option<RelyingParty> {
        self.issuer.as_deref().and_then(RelyingParty::of)
    }

    /// What is kept of a credential.
    pub(super) async fn find_passkey(&self, id: &[u8]) -> Result<Option<Row<Passkey>>, StateError> {
        rows::find(&self.events, PASSKEYS, key_of(id)).await
    }

    pub(super) async fn passkeys_of(&self, factor: &SecondFactor) -> Result<Vec<Passkey>, StateError> {
        let mut passkeys = Vec::new();
        for key in factor.passkeys() {
            let row = rows::find::<Passkey>(&self.events, PASSKEYS, &**key).await?;
            passkeys.push(row.ok_or_else(|| StateError::Damaged("a passkey that is nowhere".to_owned()))?.value);
        }
        Ok(passkeys)
    }

    async fn own_passkey(&self, person: PersonId, id: &str) -> Result<(Row<Person>, Digest, Row<Passkey>), PasskeyError> {
        let row = self.find_person(person).await?.ok_or(PasskeyError::Unknown)?;
        let keys = row.value.second_factor.passkeys().iter().filter_map(|key| <Digest>::try_from(&**key).ok());
        let key = keys.into_iter().find(|key| shown(key) == id).ok_or(PasskeyError::Unknown)?;
        let passkey = rows::find::<Passkey>(&self.events, PASSKEYS, key).await?.ok_or(PasskeyError::Unknown)?;
        Ok((row, key, passkey))
    }

    fn check_room(&self, present: usize) -> Result<(), PasskeyError> {
        let most = self.config.passkeys;
        if present < most { Ok(()) } else { Err(PasskeyError::TooMany { most }) }
    }
}

/// Deletes the passkeys of somebody who goes, or who has them taken off, in a batch.
pub(crate) fn ending_passkeys(batch: Batch, factor: &SecondFactor) -> Batch {
    factor.passkeys().iter().fold(batch, |batch, key| batch.delete(PASSKEYS, key.to_vec()))
}

/// Where a credential is kept.
pub(super) fn key_of(id: &[u8]) -> Digest {
    secret::digest_of("passkey", &Secret::new(id.to_vec()))
}

/// The first half of the digest tells them apart.
pub(super) fn shown(key: &Digest) -> String {
    HEXLOWER.encode(&key[..DIGEST_BYTES / 2])
}
