//! What this core keeps in the store, and how a row is read and changed.

use crate::{
    StateError,
    address::KEPT_ADDRESSES,
    admission::{ADMISSIONS, ADMITTED, ALARMS, CODES as ONBOARDING, CODES_OF as ONBOARDING_OF, FAMILIES},
    foreign::{IDENTITIES, IDENTITIES_OF, OWNERS, PROVIDERS, PROVIDERS_BY_ISSUER, PROVIDERS_OF},
    invitation::{INVITATIONS, INVITATIONS_OF},
    links::{LINKS, LINKS_OF},
    oauth::{
        ASSERTIONS, CLIENTS, CLIENTS_OF, CODES, CONSENTS, DEVICE_CODES, GRANTS, GRANTS_OF, REFRESH, REVOKED, SIGNING_KEYS, USER_CODES,
    },
    pace::PACES,
    passkey::{PASSKEYS, SPENT},
    registration::UNCONFIRMED,
    second_person::WAITING_DEEDS,
};
use gatehouse_events::Events;
use gatehouse_store::{Batch, CommitError, Entry, Key, KeyedEntry, Range, Schema, Table, codec};
use gatehouse_types::{OrganisationId, PersonId};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// People by their id.
pub(crate) const PEOPLE: Table = Table::new("account-people");
/// The id of the person behind a folded e-mail address.
pub(crate) const ADDRESSES: Table = Table::new("account-addresses");
/// Organisations by their id.
pub(crate) const ORGANISATIONS: Table = Table::new("account-organisations");
/// What a person is in an organisation: person, then organisation.
pub(crate) const MEMBERSHIPS: Table = Table::new("account-memberships");
/// The same the other way round, without content.
pub(crate) const MEMBERS: Table = Table::new("account-members");
/// Sessions by the digest of their secret.
pub(crate) const SESSIONS: Table = Table::new("account-sessions");
/// The sessions of a person: person, then digest; without content.
pub(crate) const SESSIONS_OF: Table = Table::new("account-sessions-of");
/// Sign-ins that wait for their second factor, by the digest of their secret.
pub(crate) const CHALLENGES: Table = Table::new("account-challenges");
/// API tokens by their id.
pub(crate) const TOKENS: Table = Table::new("account-tokens");
/// The tokens of a person: person, then token; without content.
pub(crate) const TOKENS_OF: Table = Table::new("account-tokens-of");

/// What this crate keeps, for `Store::prepare`.
pub const SCHEMA: Schema = Schema {
    name: "accounts",
    tables: &[
        PEOPLE,
        ADDRESSES,
        ORGANISATIONS,
        MEMBERSHIPS,
        MEMBERS,
        SESSIONS,
        SESSIONS_OF,
        CHALLENGES,
        TOKENS,
        TOKENS_OF,
        CLIENTS,
        CLIENTS_OF,
        LINKS,
        LINKS_OF,
        UNCONFIRMED,
        INVITATIONS,
        INVITATIONS_OF,
        KEPT_ADDRESSES,
        PACES,
        SIGNING_KEYS,
        REVOKED,
        GRANTS,
        GRANTS_OF,
        REFRESH,
        CODES,
        CONSENTS,
        DEVICE_CODES,
        USER_CODES,
        ASSERTIONS,
        PROVIDERS,
        PROVIDERS_OF,
        PROVIDERS_BY_ISSUER,
        IDENTITIES,
        IDENTITIES_OF,
        OWNERS,
        ONBOARDING,
        ONBOARDING_OF,
        ADMISSIONS,
        ADMITTED,
        FAMILIES,
        ALARMS,
        PASSKEYS,
        SPENT,
        WAITING_DEEDS,
    ],
    migrations: &[],
};

/// How much longer something is kept that was used up than it would have been good for: a clock may run ahead when it is forgotten, and be
/// set right after.
pub(crate) const CLOCK_MARGIN: Duration = Duration::from_secs(24 * 3600);

/// The value of an index row.
pub(crate) const MARK: &[u8] = b"";

/// How many rows are looked at a time.
const PAGE: usize = 1000;

/// How often a change is decided anew because somebody else changed the same row.
const TRIES: usize = 16;

/// A row as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    pub(crate) value: T,
    entry: Entry,
    table: Table,
    key: Vec<u8>,
}

impl<T: Serialize> Row<T> {
    /// Writes the row's value back, if it is still as it was read.
    pub(crate) fn rewritten(&self) -> Batch {
        let batch = Batch::new().require_version(self.table, self.key.clone(), self.entry.version);
        batch.put(self.table, self.key.clone(), codec::encode(&self.value))
    }

    /// Demands that the row is still as it was read.
    pub(crate) fn unchanged(&self) -> Batch {
        Batch::new().require_version(self.table, self.key.clone(), self.entry.version)
    }

    /// Deletes the row, if it is still as it was read.
    pub(crate) fn deleted(&self) -> Batch {
        Batch::new().require_version(self.table, self.key.clone(), self.entry.version).delete(self.table, self.key.clone())
    }
}

/// A row that must not be there yet.
pub(crate) fn new<T: Serialize>(table: Table, key: impl Into<Vec<u8>>, value: &T) -> Batch {
    let key = key.into();
    Batch::new().require_absent(table, key.clone()).put(table, key, codec::encode(value))
}

pub(crate) async fn find<T: DeserializeOwned>(
    events: &Events,
    table: Table,
    key: impl Into<Vec<u8>>,
) -> Result<Option<Row<T>>, StateError> {
    let key = key.into();
    let Some(entry) = events.store().get(table, &key).await? else { return Ok(None) };
    Ok(Some(Row { value: codec::decode(&entry.value)?, entry, table, key }))
}

/// Deletes every row of a table that is over, with what else `also` deletes for it. Answers how many there were.
pub(crate) async fn forget<T: DeserializeOwned>(
    events: &Events,
    table: Table,
    is_over: impl Fn(&T) -> bool,
    also: impl Fn(Batch, &[u8], &T) -> Batch,
) -> Result<usize, StateError> {
    let (mut range, mut forgotten) = (Range::all(), 0);
    loop {
        let rows = events.store().scan(table, range.clone(), PAGE).await?;
        let Some((last, _)) = rows.last() else { return Ok(forgotten) };
        range = range.after(last);
        let mut batch = Batch::new();
        for (key, entry) in rows {
            let value: T = codec::decode(&entry.value)?;
            if is_over(&value) {
                batch = also(batch, &key, &value).delete(table, key);
                forgotten += 1;
            }
        }
        if !batch.is_empty() {
            events.commit(batch).await?;
        }
    }
}

/// The last parts of the keys that begin with this one.
pub(crate) async fn tails(events: &Events, table: Table, prefix: Key, most: usize) -> Result<Vec<Vec<u8>>, StateError> {
    let prefix: Vec<u8> = prefix.into();
    let rows = events.store().scan(table, Range::prefix(prefix.clone()), most).await?;
    Ok(rows.into_iter().map(|(key, _): KeyedEntry| key[prefix.len()..].to_vec()).collect())
}

/// Commits what `decide` makes of the present state, and decides anew when the state changed meanwhile.
pub(crate) async fn change<R, E, F>(events: &Events, decide: impl Fn() -> F) -> Result<R, E>
where
    E: From<StateError>,
    F: Future<Output = Result<(Batch, R), E>>,
{
    for _ in 0..TRIES {
        let (batch, result) = decide().await?;
        // Nothing changes: nothing has to be written.
        if batch.is_empty() {
            return Ok(result);
        }
        match events.commit(batch).await {
            Ok(_) => return Ok(result),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(StateError::from(error).into()),
        }
    }
    Err(StateError::Contention.into())
}

pub(crate) fn by_person(person: PersonId) -> Key {
    Key::new().id(person.as_bytes())
}

pub(crate) fn membership(person: PersonId, organisation: OrganisationId) -> Key {
    by_person(person).id(organisation.as_bytes())
}

pub(crate) fn member(organisation: OrganisationId, person: PersonId) -> Key {
    Key::new().id(organisation.as_bytes()).id(person.as_bytes())
}

/// A row of an index of somebody's things.
pub(crate) fn of_person(person: PersonId, tail: &[u8]) -> Vec<u8> {
    [person.as_bytes().as_slice(), tail].concat()
}
