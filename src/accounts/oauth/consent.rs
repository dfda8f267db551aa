//! Consents: what somebody has let a program ask for before, so that they are not asked again and can take it back.

use super::{Scope, grants::Proof};
use crate::{
    Accounts, Happening, Named, NamedError, OrganisationInfo, StateError, Visitor,
    rows::{self, by_person},
    session::{FormKey, SessionId},
};
use gatehouse_store::{Batch, Key, Range, Table, codec};
use gatehouse_types::{OrganisationId, PersonId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Consents by person, organisation and client.
pub(crate) const CONSENTS: Table = Table::new("account-consents");

/// The most consents that are looked at for one person.
const MOST: usize = 1000;
/// Behind the ids of a person and an organisation.
const CLIENT_AT: usize = 32;

/// A consent as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Consent {
    scope: Scope,
    since: UnixTime,
}

/// A program that somebody has let act for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentInfo {
    /// The program's id.
    pub client: String,
    /// Its name.
    pub name: String,
    /// Where it acts.
    pub organisation: OrganisationId,
    /// What it may ask for.
    pub scope: String,
    /// Since when.
    pub since: UnixTime,
}

/// When somebody let a program act where. Nothing is known of the time of what was said before it was kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) person: PersonId,
    pub(crate) organisation: OrganisationId,
    pub(crate) since: Option<UnixTime>,
}

/// Somebody in a session, who is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) person: PersonId,
    pub(crate) session: SessionId,
    pub(crate) proof: Proof,
    pub(crate) key: FormKey,
    /// The only organisation that the session reaches, where it is one.
    pub(crate) within: Option<OrganisationId>,
}

impl Asked {
    /// What is left of what a program asks for, in the session in which it asks and for somebody of this role.
    pub(crate) fn scope(&self, asked_for: &Scope, role: crate::Role) -> Scope {
        let scope = asked_for.within(role);
        if self.within.is_some() { scope.without(super::Word::Account) } else { scope }
    }
}

impl Accounts {
    /// The programs that somebody has let act for them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn consents(&self, person: PersonId) -> Result<Vec<ConsentInfo>, StateError> {
        let mut consents = Vec::new();
        for (organisation, id, consent) in self.consents_of(person).await? {
            if let Some(client) = self.client(&id).await? {
                let Consent { scope, since } = consent;
                consents.push(ConsentInfo { client: id, name: client.name, organisation, scope: scope.to_string(), since });
            }
        }
        Ok(consents)
    }

    /// Takes back what somebody has let a program do, everywhere; its tokens are refused from the next request on.
    ///
    /// # Errors
    /// It was not let in.
    pub async fn withdraw_consent(&self, person: PersonId, client: &str, from: &Visitor) -> Result<(), NamedError> {
        rows::change(&self.events, || async {
            let consents = self.consents_of(person).await?;
            let consents: Vec<_> = consents.into_iter().filter(|(_, id, _)| id == client).collect();
            let mut batch = Batch::new();
            for (organisation, ..) in &consents {
                let row = rows::find::<Consent>(&self.events, CONSENTS, key(person, *organisation, client)).await?;
                batch = row.map_or(batch.clone(), |row| batch.and(row.deleted()));
            }
            let (batch, ended) = self.ending_grants(batch, person, |grant| grant.client == client).await?;
            if consents.is_empty() && !ended {
                return Err(NamedError::Unknown(Named::Consent));
            }
            let happening = Happening::ProgramEnded { client: client.to_owned() };
            Ok((self.telling(batch, person, happening, Some(from)).await?, ()))
        })
        .await
    }

    /// The organisations in which somebody can let a client act that belongs to one, or to the whole installation.
    pub(crate) async fn organisations_for(&self, asked: &Asked, client: &super::Client) -> Result<Vec<OrganisationInfo>, StateError> {
        let mut organisations = self.organisations_of(asked.person).await?;
        organisations.retain(|organisation| asked.within.is_none_or(|within| within == organisation.id));
        organisations.retain(|organisation| !organisation.suspended && client.organisation.is_none_or(|own| own == organisation.id));
        Ok(organisations)
    }

    /// The one organisation in which somebody has consented before to what a client could have of this there.
    pub(crate) async fn consented<'a>(
        &self,
        person: PersonId,
        client: &str,
        scope: &Scope,
        organisations: &'a [OrganisationInfo],
    ) -> Result<Option<&'a OrganisationInfo>, StateError> {
        let consents = self.consents_of(person).await?;
        let before: Vec<_> = consents.into_iter().filter(|(_, id, _)| id == client).collect();
        let [(id, _, consent)] = before.as_slice() else { return Ok(None) };
        let organisation = organisations.iter().find(|organisation| organisation.id == *id);
        Ok(organisation.filter(|organisation| scope.within(organisation.role).beyond(&consent.scope).is_none()))
    }

    /// What somebody has let a program do somewhere, if that is at least this much and still what it was when it was said. The batch demands
    /// that it stays so, and writes it, so that whoever takes it back at this moment sees what it gave.
    pub(crate) async fn standing_consent(&self, said: &Said, client: &str, scope: &Scope) -> Result<Option<Batch>, StateError> {
        let row = rows::find::<Consent>(&self.events, CONSENTS, key(said.person, said.organisation, client)).await?;
        let row = row.filter(|row| said.since.is_none_or(|since| row.value.since == since) && scope.beyond(&row.value.scope).is_none());
        Ok(row.map(|row| row.rewritten()))
    }

    /// Whether somebody has let a program act for them anywhere.
    pub(crate) async fn has_consented(&self, person: PersonId, client: &str) -> Result<bool, StateError> {
        Ok(self.consents_of(person).await?.iter().any(|(_, id, _)| id == client))
    }

    /// Remembers a consent, in a batch that tells of it. Answers since when it stands.
    pub(crate) async fn consenting(
        &self,
        batch: Batch,
        asked: &Asked,
        organisation: OrganisationId,
        (id, client): (&str, &super::Client),
        scope: &Scope,
        from: &Visitor,
    ) -> Result<(Batch, UnixTime), StateError> {
        let key = key(asked.person, organisation, id);
        let before = rows::find::<Consent>(&self.events, CONSENTS, key.clone()).await?;
        let all = before.as_ref().map_or_else(|| scope.clone(), |row| row.value.scope.and(scope));
        let since = before.as_ref().map_or_else(|| self.clock.now(), |row| row.value.since);
        let consent = Consent { scope: all, since };
        let batch = batch.and(match before {
            Some(mut row) => {
                row.value = consent;
                row.rewritten()
            }
            None => rows::new(CONSENTS, key, &consent),
        });
        let happening = Happening::ProgramLetIn { client: id.to_owned(), name: client.name.clone() };
        Ok((self.telling(batch, asked.person, happening, Some(from)).await?, since))
    }

    /// Takes back all that somebody has let programs do in an organisation, or everywhere, in a batch.
    pub(crate) async fn ending_consents(
        &self,
        batch: Batch,
        person: PersonId,
        which: impl Fn(OrganisationId) -> bool,
    ) -> Result<Batch, StateError> {
        let ended = self.consents_of(person).await?.into_iter().filter(|(organisation, ..)| which(*organisation));
        Ok(ended.fold(batch, |batch, (organisation, client, _)| batch.delete(CONSENTS, key(person, organisation, &client))))
    }

    async fn consents_of(&self, person: PersonId) -> Result<Vec<(OrganisationId, String, Consent)>, StateError> {
        let rows = self.events.store().scan(CONSENTS, Range::prefix(by_person(person)), MOST).await?;
        let damaged = || StateError::Damaged("a consent's key".to_owned());
        rows.into_iter()
            .map(|(key, entry)| {
                let organisation: [u8; 16] = key.get(16..CLIENT_AT).and_then(|id| id.try_into().ok()).ok_or_else(damaged)?;
                let client = key.get(CLIENT_AT..).and_then(|id| String::from_utf8(id.to_vec()).ok()).ok_or_else(damaged)?;
                Ok((OrganisationId::from_random(organisation), client, codec::decode(&entry.value)?))
            })
            .collect()
    }
}

fn key(person: PersonId, organisation: OrganisationId, client: &str) -> Vec<u8> {
    let ids: Vec<u8> = Key::new().id(person.as_bytes()).id(organisation.as_bytes()).into();
    [ids.as_slice(), client.as_bytes()].concat()
}
