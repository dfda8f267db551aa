//! Grants: a person lets a program act for them in an organisation.
//!
//! Every access token of a person names its grant and is good while that goes on, so that ending the grant ends them all at once. A
//! grant with a refresh token goes on until it was not used for a while or its time is over; one without ends with its access token.
//!
//! A refresh token has two halves. The first names the family and stays; the second is good once and is replaced with every use. The
//! first half with another second one was therefore stolen, from the program or by it, and ends the grant (RFC 9700 §4.14.2).
//! There is no grace for an answer that was lost: the person signs in again.

use super::{Client, Scope, Word, grant::LIFETIME};
use crate::{
    Accounts, Config, Happening, StateError,
    rows::{self, MARK},
    secret::{self, DIGEST_BYTES, Digest},
};
use gatehouse_store::{Batch, Table, codec::Bytes};
use gatehouse_types::{OrganisationId, PersonId, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Grants by their id.
pub(crate) const GRANTS: Table = Table::new("account-grants");
/// The grants of a person: person, then grant; without content.
pub(crate) const GRANTS_OF: Table = Table::new("account-grants-of");
/// The grant of a refresh token, by the digest of the token's first half.
pub(crate) const REFRESH: Table = Table::new("account-refresh-tokens");

/// The most grants that somebody has; the one that was not used for longest ends for the next.
const MOST: usize = 200;
const PREFIX: &str = "gtr_";
/// Each half: 256 bits as `secret::draw` writes them.
const HALF: usize = 52;
const FAMILY: &str = "refresh token family";
const TURN: &str = "refresh token turn";

/// Which grant. It is in access tokens and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrantId([u8; 16]);

/// A grant as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) person: PersonId,
    pub(crate) organisation: OrganisationId,
    pub(crate) client: String,
    pub(crate) scope: Scope,
    /// How and when the person signed in for it.
    pub(crate) proof: Proof,
    began: UnixTime,
    used: UnixTime,
    ends: UnixTime,
    refresh: Option<Refresh>,
}

/// How and when somebody signed in. Part of stored types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) at: UnixTime,
    pub(crate) second_factor: bool,
    /// With a passkey and without a password.
    #[serde(default)]
    pub(crate) passkey: bool,
}

/// What is kept of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refresh {
    family: Bytes,
    turn: Bytes,
}

/// A grant to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewGrant {
    pub(crate) person: PersonId,
    pub(crate) organisation: OrganisationId,
    pub(crate) client: String,
    pub(crate) scope: Scope,
    pub(crate) proof: Proof,
}

/// A grant with the refresh token that goes on with it, which is shown once.
#[derive(Debug)]
pub(crate) struct Granting {
    pub(crate) id: GrantId,
    pub(crate) grant: Grant,
    /// What is left of its scope at this moment.
    pub(crate) present: Scope,
    pub(crate) refresh: Option<Secret>,
}

/// What became of a refresh token that was shown.
#[derive(Debug)]
pub(crate) enum Refreshed {
    Turned(Box<Granting>),
    /// It was shown before: its grant has ended.
    Replayed,
    Unknown,
    /// More is asked for than it has.
    Beyond(Word),
}

impl Grant {
    fn is_over(&self, now: UnixTime, config: &Config) -> bool {
        now >= self.ends || (self.refresh.is_some() && now >= self.used + config.refresh_idle)
    }

    fn is_of(&self, id: &str, client: &Client) -> bool {
        self.client == id && client.organisation.is_none_or(|own| own == self.organisation)
    }
}

impl Accounts {
    /// A new grant with the batch that begins it.
    pub(crate) async fn beginning_grant(&self, batch: Batch, new: NewGrant) -> Result<(Batch, Granting), StateError> {
        let NewGrant { person, organisation, client, scope, proof } = new;
        let now = self.clock.now();
        let mut batch = batch;
        let mut kept = self.grants_of(person).await?;
        kept.sort_by_key(|(_, row)| row.value.used);
        let crowd = (kept.len() + 1).saturating_sub(MOST);
        for (at, (id, row)) in kept.iter().enumerate() {
            if at < crowd || row.value.is_over(now, &self.config) {
                batch = ending(batch, *id, &row.value);
            }
        }
        let id = GrantId(self.draw());
        let drawn = scope.has(Word::OfflineAccess).then(|| (secret::draw(&*self.random), secret::draw(&*self.random)));
        let refresh = drawn.as_ref().map(|(family, turn)| Refresh {
            family: secret::digest_of(FAMILY, family).to_vec().into(),
            turn: secret::digest_of(TURN, turn).to_vec().into(),
        });
        let lasts = if refresh.is_some() { self.config.refresh_lifetime } else { LIFETIME };
        let grant = Grant { person, organisation, client, scope, proof, began: now, used: now, ends: now + lasts, refresh };
        batch = batch.and(rows::new(GRANTS, id.0, &grant)).put(GRANTS_OF, rows::of_person(person, &id.0), MARK);
        if let Some(refresh) = &grant.refresh {
            batch = batch.and(rows::new(REFRESH, refresh.family.to_vec(), &Bytes::from(id.0.to_vec())));
        }
        let role = self.acting_role(person, organisation).await?;
        let present = role.map_or_else(Scope::default, |role| grant.scope.within(role));
        Ok((batch, Granting { id, grant, present, refresh: drawn.map(|(family, turn)| shown(&family, &turn)) }))
    }

    /// The grant of this id, if it goes on.
    pub(crate) async fn live_grant(&self, id: &str) -> Result<Option<Grant>, StateError> {
        let Some(id) = GrantId::parse(id) else { return Ok(None) };
        let row = rows::find::<Grant>(&self.events, GRANTS, id.0).await?;
        Ok(row.map(|row| row.value).filter(|grant| !grant.is_over(self.clock.now(), &self.config)))
    }

    /// What is left of a grant's scope for what its person is and its client may have at this moment; nothing where the person may not act
    /// there any more. The grant keeps what it has, for when they may again.
    pub(crate) async fn present_scope(&self, grant: &Grant, client: &Client) -> Result<Option<Scope>, StateError> {
        let role = self.acting_role(grant.person, grant.organisation).await?;
        Ok(role.map(|role| grant.scope.within(role).common(&client.scope())))
    }

    /// Takes a refresh token and gives the next one (RFC 6749 §6). Less may be asked for than the grant has; the grant keeps it.
    pub(crate) async fn refresh(&self, by: &str, client: &Client, text: &Secret, less: Option<&Scope>) -> Result<Refreshed, StateError> {
        let Some((family, turn)) = halves(text) else { return Ok(Refreshed::Unknown) };
        let drawn = secret::draw(&*self.random);
        rows::change(&self.events, || async {
            let Some((id, mut row)) = self.grant_of_family(&family).await? else { return Ok((Batch::new(), Refreshed::Unknown)) };
            let now = self.clock.now();
            let grant = &mut row.value;
            if !grant.is_of(by, client) {
                return Ok((Batch::new(), Refreshed::Unknown));
            }
            let present = self.present_scope(grant, client).await?;
            let Some(present) = present.filter(|_| !grant.is_over(now, &self.config)) else {
                return Ok((ending(Batch::new(), id, grant), Refreshed::Unknown));
            };
            let Some(kept) = &mut grant.refresh else { return Ok((Batch::new(), Refreshed::Unknown)) };
            if Secret::new(kept.turn.to_vec()) != Secret::new(secret::digest_of(TURN, &turn).to_vec()) {
                return Ok((self.replayed(ending(Batch::new(), id, grant), grant).await?, Refreshed::Replayed));
            }
            if let Some(word) = less.and_then(|less| less.beyond(&grant.scope)) {
                return Ok((Batch::new(), Refreshed::Beyond(word)));
            }
            // Nothing is left for now: a token would be good for nothing, and the role may come back.
            if less.map_or_else(|| present.clone(), |less| present.common(less)).is_empty() {
                return Ok((Batch::new(), Refreshed::Unknown));
            }
            kept.turn = secret::digest_of(TURN, &drawn).to_vec().into();
            grant.used = now;
            let grant = grant.clone();
            Ok((row.rewritten(), Refreshed::Turned(Box::new(Granting { id, grant, present, refresh: Some(shown(&family, &drawn)) }))))
        })
        .await
    }

    /// The grant behind a refresh token that is good at this moment, for whoever asks about it.
    pub(crate) async fn refresh_token(&self, text: &Secret) -> Result<Option<(GrantId, Grant)>, StateError> {
        let Some((family, turn)) = halves(text) else { return Ok(None) };
        let Some((id, row)) = self.grant_of_family(&family).await? else { return Ok(None) };
        let turn = Secret::new(secret::digest_of(TURN, &turn).to_vec());
        let is_present = row.value.refresh.as_ref().is_some_and(|kept| Secret::new(kept.turn.to_vec()) == turn);
        Ok((is_present && !row.value.is_over(self.clock.now(), &self.config)).then_some((id, row.value)))
    }

    /// Ends the grant of a refresh token of this client's (RFC 7009 §2.1), an old one as well. Answers whether there was one.
    pub(crate) async fn end_grant_of_token(&self, by: &str, text: &Secret) -> Result<bool, StateError> {
        let Some((family, _)) = halves(text) else { return Ok(false) };
        let Some((id, row)) = self.grant_of_family(&family).await?.filter(|(_, row)| row.value.client == by) else { return Ok(false) };
        let happening = Happening::ProgramEnded { client: by.to_owned() };
        let batch = self.telling(ending(Batch::new(), id, &row.value), row.value.person, happening, None).await?;
        self.events.commit(batch).await?;
        Ok(true)
    }

    /// Ends a grant because what began it was shown twice, in a batch.
    pub(crate) async fn ending_replayed(&self, batch: Batch, id: &str) -> Result<Batch, StateError> {
        let Some(id) = GrantId::parse(id) else { return Ok(batch) };
        let Some(row) = rows::find::<Grant>(&self.events, GRANTS, id.0).await? else { return Ok(batch) };
        self.replayed(ending(batch, id, &row.value), &row.value).await
    }

    /// Ends somebody's grants for which this holds, in a batch. Answers whether there were any.
    pub(crate) async fn ending_grants(
        &self,
        batch: Batch,
        person: PersonId,
        which: impl Fn(&Grant) -> bool,
    ) -> Result<(Batch, bool), StateError> {
        let grants = self.grants_of(person).await?;
        let ended = grants.iter().filter(|(_, row)| which(&row.value));
        Ok(ended.fold((batch, false), |(batch, _), (id, row)| (ending(batch, *id, &row.value), true)))
    }

    /// Forgets grants that are over.
    pub(crate) async fn forget_ended_grants(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        let over = |grant: &Grant| grant.is_over(now, &self.config);
        let also = |batch: Batch, key: &[u8], grant: &Grant| match GrantId::from_key(key) {
            Some(id) => ending(batch, id, grant),
            None => batch,
        };
        rows::forget(&self.events, GRANTS, over, also).await
    }

    async fn replayed(&self, batch: Batch, grant: &Grant) -> Result<Batch, StateError> {
        crate::counters::program_refused("replayed");
        let happening = Happening::ProgramTokenReplayed { client: grant.client.clone() };
        self.telling(batch, grant.person, happening, None).await
    }

    async fn grant_of_family(&self, family: &Secret) -> Result<Option<(GrantId, rows::Row<Grant>)>, StateError> {
        let key: Digest = secret::digest_of(FAMILY, family);
        let Some(id) = rows::find::<Bytes>(&self.events, REFRESH, key).await? else { return Ok(None) };
        let id = GrantId::from_key(&id.value).ok_or_else(|| StateError::Damaged("a refresh token's grant".to_owned()))?;
        Ok(rows::find::<Grant>(&self.events, GRANTS, id.0).await?.map(|row| (id, row)))
    }

    async fn grants_of(&self, person: PersonId) -> Result<Vec<(GrantId, rows::Row<Grant>)>, StateError> {
        let mut grants = Vec::new();
        for key in rows::tails(&self.events, GRANTS_OF, rows::by_person(person), MOST * 2).await? {
            let id = GrantId::from_key(&key).ok_or_else(|| StateError::Damaged("a grant's key".to_owned()))?;
            if let Some(row) = rows::find::<Grant>(&self.events, GRANTS, id.0).await? {
                grants.push((id, row));
            }
        }
        Ok(grants)
    }
}

fn ending(batch: Batch, id: GrantId, grant: &Grant) -> Batch {
    let batch = batch.delete(GRANTS, id.0).delete(GRANTS_OF, rows::of_person(grant.person, &id.0));
    match &grant.refresh {
        Some(refresh) => batch.delete(REFRESH, refresh.family.to_vec()),
        None => batch,
    }
}

fn shown(family: &Secret, turn: &Secret) -> Secret {
    Secret::new([PREFIX.as_bytes(), family.expose(), turn.expose()].concat())
}

fn halves(text: &Secret) -> Option<(Secret, Secret)> {
    let (family, turn) = text.expose().strip_prefix(PREFIX.as_bytes())?.split_at_checked(HALF)?;
    (turn.len() == HALF).then(|| (Secret::new(family.to_vec()), Secret::new(turn.to_vec())))
}

impl GrantId {
    fn from_key(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(Self)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        Self::from_key(&bytes)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

const _: () = assert!(HALF == DIGEST_BYTES.div_ceil(5) * 8 - 4);
