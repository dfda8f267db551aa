//! Who somebody is elsewhere: an issuer and a subject, linked to an account here.
//!
//! Only that pair counts, and it is one account's. An address that a provider tells is shown to people so that they recognise it, and
//! finds no account by itself.

use super::provider::ProviderId;
use crate::{
    Accounts, Happening, StateError, Visitor,
    letters::Change,
    rows::{self, MARK},
    secret::{self, DIGEST_BYTES, Digest},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_openid::{Identity, Issuer};
use gatehouse_store::{Batch, Table};
use gatehouse_types::{PersonId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who people are elsewhere, by the digest of issuer and subject.
pub(crate) const IDENTITIES: Table = Table::new("account-identities");
/// The same of a person: person, then digest; without content.
pub(crate) const IDENTITIES_OF: Table = Table::new("account-identities-of");

/// The most that somebody has.
const MOST: usize = 20;
const MOST_EMAIL_CHARACTERS: usize = 254;

/// How somebody's two selves were found to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkedBy {
    /// By the account's owner, in a session.
    Owner,
    /// By an address that both sides have verified, where the operator trusts the provider for it.
    Address,
    /// The account was made for it.
    Account,
}

/// A link as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Linked {
    pub(crate) person: PersonId,
    issuer: Issuer,
    subject: String,
    email: Option<String>,
    by: LinkedBy,
    since: UnixTime,
}

/// A link as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LinkInfo {
    /// What it is ended by.
    pub id: String,
    /// Who knows them.
    pub issuer: Issuer,
    /// As whom.
    pub subject: String,
    /// With which address, as the provider said when it was linked.
    pub email: Option<String>,
    /// How it came about.
    pub by: LinkedBy,
    /// Since when.
    pub since: UnixTime,
}

/// Through whom a session began. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Via {
    pub(crate) provider: ProviderId,
    pub(crate) issuer: Issuer,
    /// Of the issuer and the subject.
    pub(crate) identity: gatehouse_store::codec::Bytes,
}

/// A link cannot be made or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is none of this id.
    #[error("there is no such link")]
    Unknown,
    /// Another account has it.
    #[error("this login is linked to another account already")]
    Taken,
    /// There are too many.
    #[error("an account has {MOST} links at most")]
    TooMany,
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// Who somebody is elsewhere.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn linked(&self, person: PersonId) -> Result<Vec<LinkInfo>, StateError> {
        let info = |(key, linked): (Digest, Linked)| {
            let Linked { issuer, subject, email, by, since, .. } = linked;
            LinkInfo { id: id_of(&key), issuer, subject, email, by, since }
        };
        Ok(self.identities_of(person).await?.into_iter().map(info).collect())
    }

    /// Ends a link, and the sessions that began through it.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn unlink(&self, person: PersonId, id: &str, from: &Visitor) -> Result<(), LinkError> {
        rows::change(&self.events, || async {
            let found = self.identities_of(person).await?.into_iter().find(|(key, _)| id_of(key) == id);
            let (key, linked) = found.ok_or(LinkError::Unknown)?;
            let Some(row) = self.find_person(person).await? else { return Err(LinkError::Unknown) };
            let batch = self.ending_sessions_via(without(row.unchanged(), person, &key), person, &key).await?;
            let happening = Happening::ProviderUnlinked { issuer: linked.issuer.to_string() };
            let batch = self.telling(batch, person, happening, Some(from)).await?;
            Ok((self.noticing(batch, &row.value, Change::ProviderUnlinked, Some(from)).await?, ()))
        })
        .await
    }

    /// Links somebody who is signed in, and has said so, to who they are elsewhere.
    pub(crate) async fn link_identity(
        &self,
        person: PersonId,
        (issuer, subject, email): (&Issuer, &str, Option<&str>),
        from: &Visitor,
    ) -> Result<(), LinkError> {
        rows::change(&self.events, || async {
            let key = key_of(issuer, subject);
            match rows::find::<Linked>(&self.events, IDENTITIES, key).await? {
                Some(row) if row.value.person == person => return Ok((Batch::new(), ())),
                Some(_) => return Err(LinkError::Taken),
                None => {}
            }
            let row = self.find_person(person).await?.ok_or(LinkError::Unknown)?;
            let known = (issuer, subject, email);
            Ok((self.with_identity(row.unchanged(), (person, &row.value), known, LinkedBy::Owner, from).await?, ()))
        })
        .await
    }

    /// Adds a link to a batch, which tells of it. Nobody may have it.
    pub(crate) async fn with_identity(
        &self,
        batch: Batch,
        (person, kept): (PersonId, &crate::person::Person),
        (issuer, subject, email): (&Issuer, &str, Option<&str>),
        by: LinkedBy,
        from: &Visitor,
    ) -> Result<Batch, LinkError> {
        if self.identities_of(person).await?.len() >= MOST {
            return Err(LinkError::TooMany);
        }
        let key = key_of(issuer, subject);
        let email = email.map(|email| email.chars().filter(|c| !c.is_control()).take(MOST_EMAIL_CHARACTERS).collect());
        let linked = Linked { person, issuer: issuer.clone(), subject: subject.to_owned(), email, by, since: self.clock.now() };
        let batch = batch.and(rows::new(IDENTITIES, key, &linked)).put(IDENTITIES_OF, rows::of_person(person, &key), MARK);
        let happening = Happening::ProviderLinked { issuer: issuer.to_string(), by };
        let batch = self.telling(batch, person, happening, Some(from)).await?;
        // An account that was made for it is no news to its owner.
        if by == LinkedBy::Account { Ok(batch) } else { Ok(self.noticing(batch, kept, Change::ProviderLinked, Some(from)).await?) }
    }

    pub(crate) async fn identity_linked(&self, issuer: &Issuer, identity: &Identity) -> Result<Option<PersonId>, StateError> {
        let row = rows::find::<Linked>(&self.events, IDENTITIES, key_of(issuer, &identity.subject)).await?;
        Ok(row.map(|row| row.value.person))
    }

    /// Ends all links of somebody, in a batch.
    pub(crate) async fn ending_identities(&self, batch: Batch, person: PersonId) -> Result<Batch, StateError> {
        let identities = self.identities_of(person).await?;
        Ok(identities.into_iter().fold(batch, |batch, (key, _)| without(batch, person, &key)))
    }

    async fn identities_of(&self, person: PersonId) -> Result<Vec<(Digest, Linked)>, StateError> {
        let mut identities = Vec::new();
        for tail in rows::tails(&self.events, IDENTITIES_OF, rows::by_person(person), MOST * 2).await? {
            let key = Digest::try_from(tail.as_slice()).map_err(|_| StateError::Damaged("an identity's key".to_owned()))?;
            identities.extend(rows::find::<Linked>(&self.events, IDENTITIES, key).await?.map(|row| (key, row.value)));
        }
        Ok(identities)
    }
}

impl Via {
    pub(crate) fn new(provider: &str, issuer: &Issuer, subject: &str) -> Self {
        Self { provider: ProviderId(provider.to_owned()), issuer: issuer.clone(), identity: key_of(issuer, subject).to_vec().into() }
    }
}

fn key_of(issuer: &Issuer, subject: &str) -> Digest {
    secret::digest_of("foreign identity", &Secret::from(format!("{issuer}\0{subject}")))
}

fn without(batch: Batch, person: PersonId, key: &Digest) -> Batch {
    batch.delete(IDENTITIES, *key).delete(IDENTITIES_OF, rows::of_person(person, key))
}

/// Enough to tell links apart.
fn id_of(key: &Digest) -> String {
    key[..DIGEST_BYTES / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Fault for LinkError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown => Kind::NotFound,
            Self::Taken | Self::TooMany => Kind::Conflict,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "no-such-link",
            Self::Taken => "link-taken",
            Self::TooMany => "too-many-links",
            Self::State(error) => error.code(),
        }
    }
}
