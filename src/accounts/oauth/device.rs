//! Device codes (RFC 8628): a program without a browser shows a short code, a person types it in where they have one and says yes.
//!
//! The program's own code has 256 bits and is good once. The short one has 34, lives for ten minutes, and guesses at it count like
//! wrong passwords of the person who makes them. What a person sees before they answer is who asks, for what, and from where.

use super::{
    Client, Scope,
    consent::{Asked, Said},
    grants::{Granting, NewGrant, Proof},
    queue::Entered,
};
use crate::{Accounts, Attempt, StateError, Visitor, counters, rows, secret, session::SessionId};
use gatehouse_store::{Table, codec::Bytes};
use gatehouse_types::{OrganisationId, PersonId, Random, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};

/// What programs wait with, by the digest of their code.
pub(crate) const DEVICE_CODES: Table = Table::new("account-device-codes");
/// The digest of the program's code behind a short code.
pub(crate) const USER_CODES: Table = Table::new("account-user-codes");

pub(crate) const ENDS: Duration = Duration::from_secs(600);
/// How long a program waits between two questions, and what is added when it did not (§3.5).
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
const PURPOSE: &str = "device code";
/// No vowels, so that no words come up, and nothing that looks like something else (§6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CHARACTERS: usize = 8;

/// A program that waits. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) client: String,
    pub(crate) scope: Scope,
    /// What is kept of it.
    user_code: String,
    pub(crate) address: IpAddr,
    pub(crate) agent: String,
    pub(crate) began: UnixTime,
    ends: UnixTime,
    answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    None,
    No,
    Yes {
        person: PersonId,
        organisation: OrganisationId,
        scope: Scope,
        proof: Proof,
        session: Bytes,
        /// Since when the consent stands that was said by it.
        #[serde(default)]
        consent: Option<UnixTime>,
    },
}

/// What a program gets that begins to wait.
#[derive(Debug)]
pub(crate) struct DeviceCode {
    pub(crate) device_code: Secret,
    pub(crate) user_code: String,
}

/// What a program is told that asks whether there is an answer.
#[derive(Debug)]
pub(crate) enum Polled {
    Pending,
    TooSoon,
    Over,
    Denied,
    Granted(Box<Granting>),
}

/// A short code leads to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserCodeError {
    #[error("this code is not known, was answered already or is over")]
    Unknown,
    #[error("too many codes were wrong; wait {} seconds", wait.as_secs() + 1)]
    Wait { wait: Duration },
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// Lets a program wait. Nothing when too many do.
    pub(crate) async fn begin_device_code(&self, client: &str, scope: Scope, from: &Visitor) -> Result<Option<DeviceCode>, StateError> {
        let drawn = secret::draw(&*self.random);
        let key = secret::digest_of(PURPOSE, &drawn);
        let now = self.clock.now();
        let entered = self.queue().enter(key, from.address, now, self.config.device_codes);
        if entered == Entered::Full {
            counters::program_refused("full");
            return Ok(None);
        }
        let user_code = rows::change::<_, StateError, _>(&self.events, || async {
            // The same letters may be drawn twice; then the commit conflicts, and others are drawn.
            let user_code = draw(&*self.random);
            let waiting = Waiting {
                client: client.to_owned(),
                scope: scope.clone(),
                user_code: kept(&user_code),
                address: from.address,
                agent: from.agent.clone(),
                began: now,
                ends: now + ENDS,
                answer: Answer::None,
            };
            let batch =
                rows::new(DEVICE_CODES, key, &waiting).and(rows::new(USER_CODES, waiting.user_code.as_bytes(), &Bytes::from(key.to_vec())));
            let Entered::InsteadOf(over) = entered else { return Ok((batch, user_code)) };
            let over = rows::find::<Waiting>(&self.events, DEVICE_CODES, over).await?.filter(|over| over.value.answer == Answer::None);
            let gone = over.map(|over| over.deleted().delete(USER_CODES, over.value.user_code.as_bytes()));
            Ok((gone.map_or(batch.clone(), |gone| batch.and(gone)), user_code))
        })
        .await?;
        Ok(Some(DeviceCode { device_code: drawn, user_code: typed(&user_code) }))
    }

    /// Whether there is an answer for a program.
    pub(crate) async fn poll_device_code(&self, by: &str, client: &Client, code: &Secret) -> Result<Polled, StateError> {
        let key = secret::digest_of(PURPOSE, code);
        let polled = rows::change::<_, StateError, _>(&self.events, || async {
            let row = rows::find::<Waiting>(&self.events, DEVICE_CODES, key).await?;
            let now = self.clock.now();
            let Some(row) = row.filter(|row| row.value.client == by && now < row.value.ends) else {
                return Ok((gatehouse_store::Batch::new(), Polled::Over));
            };
            let done = || row.deleted().delete(USER_CODES, row.value.user_code.as_bytes());
            let (person, organisation, scope, proof, session, since) = match row.value.answer.clone() {
                Answer::None if self.queue().is_too_soon(key, now) => return Ok((gatehouse_store::Batch::new(), Polled::TooSoon)),
                Answer::None => return Ok((gatehouse_store::Batch::new(), Polled::Pending)),
                Answer::No => return Ok((done(), Polled::Denied)),
                Answer::Yes { person, organisation, scope, proof, session, consent } => {
                    (person, organisation, scope, proof, session, consent)
                }
            };
            let session = if let Some(id) = SessionId::from_kept(&session) { self.session_proof(id).await? } else { None };
            let may_act = self.may_act_in(person, organisation).await?;
            let consent = self.standing_consent(&Said { person, organisation, since }, by, &scope).await?;
            let is_its_place = client.organisation.is_none_or(|own| own == organisation);
            let Some(((session, _), consent)) = session.zip(consent).filter(|_| may_act && is_its_place) else {
                return Ok((done(), Polled::Denied));
            };
            let new = NewGrant { person, organisation, client: by.to_owned(), scope, proof };
            let (batch, granting) = self.beginning_grant(done().and(session.rewritten()).and(consent), new).await?;
            Ok((batch, Polled::Granted(Box::new(granting))))
        })
        .await?;
        if matches!(polled, Polled::Denied | Polled::Granted(_)) {
            self.queue().leave(key);
        }
        Ok(polled)
    }

    /// What waits behind a short code that somebody typed. A wrong one counts as a failure of theirs.
    pub(crate) async fn find_user_code(&self, asked: &Asked, typed: &str, from: &Visitor) -> Result<(String, Waiting), UserCodeError> {
        self.begin_attempt(asked.person, from).map_err(|wait| UserCodeError::Wait { wait })?;
        let found = self.waiting(typed).await;
        let ended = match &found {
            // Failures before stay counted: whoever knows one code of their own must not get free guesses at others.
            Ok(Some(_)) | Err(_) => Attempt::Undecided,
            Ok(None) => Attempt::Failed,
        };
        self.end_attempt(asked.person, from, ended);
        let (user_code, row, _) = found?.ok_or(UserCodeError::Unknown)?;
        Ok((user_code, row.value))
    }

    /// Takes somebody's answer to what waits behind a short code: no, or yes in an organisation.
    pub(crate) async fn answer_user_code(
        &self,
        asked: &Asked,
        user_code: &str,
        yes: Option<(OrganisationId, Scope)>,
        from: &Visitor,
    ) -> Result<(), UserCodeError> {
        rows::change(&self.events, || async {
            let (_, mut row, client) = self.waiting(user_code).await?.ok_or(UserCodeError::Unknown)?;
            let Some((organisation, scope)) = yes.clone() else {
                row.value.answer = Answer::No;
                return Ok((row.rewritten(), ()));
            };
            let (id, session) = (row.value.client.clone(), asked.session.0.to_vec().into());
            let (batch, since) = self.consenting(gatehouse_store::Batch::new(), asked, organisation, (&id, &client), &scope, from).await?;
            let (person, proof, consent) = (asked.person, asked.proof, Some(since));
            row.value.answer = Answer::Yes { person, organisation, scope: scope.clone(), proof, session, consent };
            Ok((row.rewritten().and(batch), ()))
        })
        .await
    }

    async fn waiting(&self, typed: &str) -> Result<Option<(String, rows::Row<Waiting>, Client)>, StateError> {
        let Some(user_code) = read(typed) else { return Ok(None) };
        let Some(key) = rows::find::<Bytes>(&self.events, USER_CODES, kept(&user_code).as_bytes()).await? else { return Ok(None) };
        let Some(row) = rows::find::<Waiting>(&self.events, DEVICE_CODES, key.value.to_vec()).await? else { return Ok(None) };
        let is_open = row.value.answer == Answer::None && self.clock.now() < row.value.ends;
        let Some(client) = self.client(&row.value.client).await?.filter(|_| is_open) else { return Ok(None) };
        Ok(Some((user_code, row, client)))
    }

    /// Forgets programs that have waited long enough.
    pub(crate) async fn forget_ended_device_codes(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        let over = |waiting: &Waiting| waiting.ends <= now;
        rows::forget(&self.events, DEVICE_CODES, over, |batch, _, waiting| batch.delete(USER_CODES, waiting.user_code.as_bytes())).await
    }
}

/// Eight letters, each as likely as every other.
fn draw(random: &dyn Random) -> String {
    let mut code = String::new();
    while code.len() < CHARACTERS {
        let mut byte = [0];
        random.fill(&mut byte);
        let at = usize::from(byte[0]);
        // What is left of 256 above a multiple of 20 would make some letters likelier.
        if let Some(letter) = (at < 240).then(|| LETTERS.get(at % LETTERS.len())).flatten() {
            code.push((*letter).into());
        }
    }
    code
}

/// What is kept of a short code. It has few letters, and whoever can read the store has ten minutes for guessing them.
fn kept(code: &str) -> String {
    data_encoding::BASE64URL_NOPAD.encode(&secret::digest_of("user code", &Secret::from(code.to_owned())))
}

/// As people type it: in two halves.
pub(crate) fn typed(code: &str) -> String {
    let (first, second) = code.split_at_checked(CHARACTERS / 2).unwrap_or((code, ""));
    format!("{first}-{second}")
}

/// What somebody typed, whatever they put between the letters.
fn read(typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let letters: String = typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    (letters.len() == CHARACTERS && letters.bytes().all(|letter| LETTERS.contains(&letter))).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SystemRandom;

    #[test]
    fn a_short_code_is_read_however_it_is_typed() {
        for _ in 0..100 {
            let code = draw(&SystemRandom);
            assert_eq!(read(&typed(&code)), Some(code.clone()));
            assert_eq!(read(&format!(" {} ", code.to_lowercase())), Some(code));
        }
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJA", "BCDF-GHJ0", "BCDFGHJKL", &"B".repeat(100)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
