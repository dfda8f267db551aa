//! Sessions: somebody who has signed in and has not left yet.
//!
//! What the browser holds is a random secret; what is kept is its digest. A session ends when it was not used for a
//! while, when its time is over, when its owner ends it, and when a password changes.

use crate::{
    Accounts, Config, Happening, Named, NamedError, StateError, Visitor,
    foreign::Via,
    oauth::Proof,
    rows::{self, MARK, SESSIONS, SESSIONS_OF},
    secret::{self, DIGEST_BYTES, Digest},
};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_store::{Batch, codec::Bytes};
use gatehouse_types::{PersonId, Secret, UnixTime};
use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, time::Duration};

/// The most sessions that somebody has; the one that was not used for longest ends for the next.
const MOST: usize = 50;
/// The time of use is written so often: a write for every request would cost more than it tells.
const SEEN_EVERY: Duration = Duration::from_secs(300);
const PURPOSE: &str = "session";

/// Which session: the digest of its secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionId(pub(crate) Digest);

/// With what a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The password, where that is all that there is.
    Password,
    /// The password and a second factor.
    SecondFactor,
    /// A passkey that made sure of its owner, and no password.
    Passkey,
    /// Less than the person has to show when they sign in.
    Less,
}

/// What forms in a session are tied with: the server alone knows it, and the browser that has the session does not. It goes with the session.
#[derive(Clone, Copy)]
pub(crate) struct FormKey(Digest);

impl FormKey {
    /// What shows that we made a text for this session.
    pub(crate) fn tie(&self, purpose: &str, about: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        BASE64URL_NOPAD.encode(hmac::sign(&key, &[purpose.as_bytes(), b"\0", about.as_bytes()].concat()).as_ref())
    }
}

impl fmt::Debug for FormKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FormKey(…)")
    }
}

/// A session that has just begun. Its secret is shown once, to the one that it is for.
#[derive(Debug)]
pub struct NewSession {
    /// What the next requests show.
    pub secret: Secret,
    /// Whose it is.
    pub person: PersonId,
    /// When it ends at the latest.
    pub ends: UnixTime,
}

/// A session as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionInfo {
    /// What it is ended by.
    pub id: String,
    /// Since when.
    pub began: UnixTime,
    /// When it was used last, to five minutes.
    pub seen: UnixTime,
    /// From which address it began.
    pub address: IpAddr,
    /// With which program.
    pub agent: String,
    /// Whether it is the one that asks.
    pub present: bool,
}

/// A session as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) person: PersonId,
    began: UnixTime,
    seen: UnixTime,
    address: IpAddr,
    agent: String,
    /// Whether it began with a second factor.
    #[serde(default)]
    second_factor: bool,
    /// Whether it began with a passkey and without a password.
    #[serde(default)]
    passkey: bool,
    /// When all that the person has to show was shown last.
    #[serde(default)]
    proven: Option<UnixTime>,
    /// What its forms are tied with; those from before it was kept have none.
    #[serde(default)]
    form_key: Bytes,
    /// Through which provider it began, where it was one.
    #[serde(default)]
    via: Option<Via>,
}

impl SessionId {
    /// The session that a stored row names.
    pub(crate) fn from_kept(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl Session {
    /// From now on it is known again who is in it.
    pub(crate) fn prove(&mut self, now: UnixTime) {
        self.proven = Some(now);
    }

    fn is_over(&self, now: UnixTime, config: &Config) -> bool {
        now >= self.began + config.session_lifetime || now >= self.seen + config.session_idle
    }

    pub(crate) fn form_key(&self) -> Option<FormKey> {
        Digest::try_from(&*self.form_key).ok().map(FormKey)
    }
}

impl Accounts {
    /// The session behind this secret, if it goes on.
    pub(crate) async fn session(&self, secret: &Secret) -> Result<Option<(SessionId, PersonId)>, StateError> {
        Ok(self.session_lately(secret).await?.map(|(id, person, ..)| (id, person)))
    }

    /// The same, whether it was proven lately who is in it, and through which provider it began.
    pub(crate) async fn session_lately(&self, secret: &Secret) -> Result<Option<(SessionId, PersonId, bool, Option<Via>)>, StateError> {
        let id = SessionId(secret::digest_of(PURPOSE, secret));
        let Some(mut row) = rows::find::<Session>(&self.events, SESSIONS, id.0).await? else { return Ok(None) };
        let now = self.clock.now();
        if row.value.is_over(now, &self.config) {
            return Ok(None);
        }
        let (person, via) = (row.value.person, row.value.via.clone());
        if now >= row.value.seen + SEEN_EVERY {
            row.value.seen = now;
            // Somebody else may have written it at this moment, or ended it: then theirs counts.
            let _ = self.events.commit(row.rewritten()).await;
        }
        Ok(Some((id, person, row.value.proven.is_some_and(|proven| self.is_lately(proven)), via)))
    }

    /// A new session with the batch that begins it.
    pub(crate) async fn beginning_session(
        &self,
        batch: Batch,
        person: PersonId,
        shown: Shown,
        from: &Visitor,
    ) -> Result<(Batch, NewSession), StateError> {
        self.beginning_session_via(batch, person, (shown, None), from).await
    }

    /// The same for somebody who may come through a provider. Its word lets people in and proves nothing that is dangerous.
    pub(crate) async fn beginning_session_via(
        &self,
        batch: Batch,
        person: PersonId,
        (shown, via): (Shown, Option<Via>),
        from: &Visitor,
    ) -> Result<(Batch, NewSession), StateError> {
        let passkey = shown == Shown::Passkey;
        let second_factor = passkey || shown == Shown::SecondFactor;
        let now = self.clock.now();
        let mut batch = batch;
        let mut kept = self.kept_sessions(person).await?;
        kept.sort_by_key(|(_, row)| row.value.seen);
        let crowd = (kept.len() + 1).saturating_sub(MOST);
        let over = |session: &Session| session.is_over(now, &self.config);
        let ended = kept.iter().enumerate().filter(|(at, (_, row))| *at < crowd || over(&row.value));
        for (_, (id, _)) in ended {
            batch = ending(batch, person, *id);
        }
        let secret = secret::draw(&*self.random);
        let id = secret::digest_of(PURPOSE, &secret);
        let mut form_key = vec![0; DIGEST_BYTES];
        self.random.fill(&mut form_key);
        let session = Session {
            person,
            form_key: form_key.into(),
            began: now,
            seen: now,
            address: from.address,
            agent: from.agent.clone(),
            second_factor,
            passkey,
            proven: (shown != Shown::Less && via.is_none()).then_some(now),
            via,
        };
        let batch = batch.and(rows::new(SESSIONS, id, &session)).put(SESSIONS_OF, rows::of_person(person, &id), MARK);
        Ok((batch, NewSession { secret, person, ends: now + self.config.session_lifetime }))
    }

    /// The row of a session, with how and when its owner signed in.
    pub(crate) async fn session_proof(&self, id: SessionId) -> Result<Option<(rows::Row<Session>, Proof)>, StateError> {
        let row = rows::find::<Session>(&self.events, SESSIONS, id.0).await?;
        let row = row.filter(|row| !row.value.is_over(self.clock.now(), &self.config));
        Ok(row.map(|row| {
            let proof = Proof { at: row.value.began, second_factor: row.value.second_factor, passkey: row.value.passkey };
            (row, proof)
        }))
    }

    /// Somebody's sessions that go on, the one used last first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn sessions(&self, person: PersonId, present: Option<SessionId>) -> Result<Vec<SessionInfo>, StateError> {
        let now = self.clock.now();
        let sessions = self.kept_sessions(person).await?.into_iter();
        let mut sessions: Vec<_> = sessions.map(|(id, row)| (id, row.value)).collect();
        sessions.retain(|(_, session)| !session.is_over(now, &self.config));
        sessions.sort_by_key(|(_, session)| std::cmp::Reverse(session.seen));
        let info = |(id, session): (Digest, Session)| {
            let Session { began, seen, address, agent, .. } = session;
            SessionInfo { id: SessionId(id).to_string(), began, seen, address, agent, present: present == Some(SessionId(id)) }
        };
        Ok(sessions.into_iter().map(info).collect())
    }

    /// Ends one of somebody's sessions.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn end_session(&self, person: PersonId, id: &str, from: &Visitor) -> Result<(), NamedError> {
        let found = self.kept_sessions(person).await?.into_iter().find(|(kept, _)| SessionId(*kept).to_string() == id);
        let (id, _) = found.ok_or(NamedError::Unknown(Named::Session))?;
        let batch = self.telling(ending(Batch::new(), person, id), person, Happening::SessionEnded, Some(from)).await?;
        self.events.commit(batch).await.map_err(StateError::Commit)?;
        Ok(())
    }

    /// Ends all of somebody's sessions but one, in a batch; and where none stays, what programs were granted in them.
    pub(crate) async fn ending_sessions(&self, batch: Batch, person: PersonId, but: Option<SessionId>) -> Result<Batch, StateError> {
        // Before what was granted in them, and ended only as they were read: a grant of this moment has written its session.
        let sessions = self.kept_sessions(person).await?;
        let batch = if but.is_none() { self.ending_grants(batch, person, |_| true).await?.0 } else { batch };
        let ended = sessions.into_iter().filter(|(id, _)| Some(SessionId(*id)) != but);
        Ok(ended.fold(batch, |batch, (id, row)| ending(batch.and(row.unchanged()), person, id)))
    }

    /// Ends those of somebody's sessions that began through a link, in a batch.
    pub(crate) async fn ending_sessions_via(&self, batch: Batch, person: PersonId, identity: &Digest) -> Result<Batch, StateError> {
        let sessions = self.kept_sessions(person).await?;
        let through = |session: &Session| session.via.as_ref().is_some_and(|via| *via.identity == *identity);
        let ended = sessions.into_iter().filter(|(_, row)| through(&row.value));
        Ok(ended.fold(batch, |batch, (id, _)| ending(batch, person, id)))
    }

    /// Forgets sessions that are over.
    pub(crate) async fn forget_ended_sessions(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        let over = |session: &Session| session.is_over(now, &self.config);
        rows::forget(&self.events, SESSIONS, over, |batch, id, session| batch.delete(SESSIONS_OF, rows::of_person(session.person, id)))
            .await
    }

    async fn kept_sessions(&self, person: PersonId) -> Result<Vec<(Digest, rows::Row<Session>)>, StateError> {
        let mut sessions = Vec::new();
        for key in rows::tails(&self.events, SESSIONS_OF, rows::by_person(person), MOST * 2).await? {
            let id = <Digest>::try_from(key.as_slice()).map_err(|_| StateError::Damaged("a session's key".to_owned()))?;
            if let Some(row) = rows::find::<Session>(&self.events, SESSIONS, id).await? {
                sessions.push((id, row));
            }
        }
        Ok(sessions)
    }
}

fn ending(batch: Batch, person: PersonId, id: Digest) -> Batch {
    batch.delete(SESSIONS, id).delete(SESSIONS_OF, rows::of_person(person, &id))
}

impl fmt::Display for SessionId {
    /// The first half of the digest: enough to tell sessions apart, of no use to whoever reads it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..DIGEST_BYTES / 2].iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SessionId({self})")
    }
}
