//! What those who run the installation do to everybody, and the second person whom it may take.
//!
//! A [`Deed`] takes somebody who runs the installation and has proven lately who they are. Those that `second_person` names are not done
//! at once then: they wait for an hour, as a request that the others are told of by mail, until another operator, who has proven the same,
//! approves or rejects it. Nobody approves what they asked for themselves.
//!
//! What waits, what became of it and what was done is in the stream of all accounts, and in the history of whoever did it. What a
//! deed does is the affair of the authority, and of [`suspension`](crate::suspension).

use crate::{
    Accounts, Happening, NamedError, StateError, SteppedUp, Visitor,
    history::Fact,
    letters::{SecondPersonAnswered, SecondPersonAsked},
    person::{Person, person_id},
    rows::{self, PEOPLE, Row},
};
use data_encoding::HEXLOWER;
use gatehouse_base::{Fault, Kind, config::Choice};
use gatehouse_ca::{Authority, Issuance};
use gatehouse_store::{Batch, Range, Table, codec};
use gatehouse_types::{OrganisationId, PersonId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Deeds that wait for a second person, by their id.
pub(crate) const WAITING_DEEDS: Table = Table::new("account-waiting-deeds");

/// How long one waits.
const WAITS: Duration = Duration::from_secs(3600);
/// How many wait at once.
const MOST: usize = 100;
/// The most operators who are told of one.
const MOST_TOLD: usize = 100;
const MOST_NOTE_CHARACTERS: usize = 200;
const PAGE: usize = 1000;

/// A kind of deed, as `second_person` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeedKind {
    /// Halting the issue of certificates.
    Halt,
    /// Letting it go on.
    Resume,
    /// Stopping everything in an organisation's name.
    SuspendOrganisation,
}

impl Choice for DeedKind {
    const ALL: &'static [(&'static str, Self)] =
        &[("halt", Self::Halt), ("resume", Self::Resume), ("suspend-organisation", Self::SuspendOrganisation)];
}

/// Something that is done to everybody. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "deed", rename_all = "kebab-case")]
pub enum Deed {
    /// Halt the issue of certificates.
    Halt {
        /// Why.
        note: String,
    },
    /// Let it go on.
    Resume,
    /// Stop everything in an organisation's name.
    SuspendOrganisation {
        /// Which one.
        organisation: OrganisationId,
    },
}

/// A deed that waits. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    deed: Deed,
    by: PersonId,
    since: UnixTime,
    ends: UnixTime,
}

/// A deed that waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitingDeed {
    /// What it is approved or rejected by.
    pub id: String,
    /// What is to be done.
    #[serde(flatten)]
    pub deed: Deed,
    /// Who asked for it.
    pub by: PersonId,
    /// Since when.
    pub since: UnixTime,
    /// Until when it can be approved.
    pub ends: UnixTime,
}

/// What became of a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It waits for a second person.
    Waits(WaitingDeed),
}

/// A deed cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum DeedError {
    /// Nothing waits under this id.
    #[error("nothing waits under this id: it was approved or rejected, or its hour is over")]
    Unknown,
    /// Whoever asked for it approves it.
    #[error("another person has to approve what you asked for")]
    SamePerson,
    /// Too much waits.
    #[error("{MOST} deeds wait for a second person already")]
    TooMany,
    /// The note is too long, or none.
    #[error("a note has 1 to {MOST_NOTE_CHARACTERS} characters, none of which is a control character")]
    Note,
    /// No authority is kept here.
    #[error("no authority is kept here")]
    NoAuthority,
    /// The authority could not do it.
    #[error(transparent)]
    Authority(#[from] gatehouse_ca::StateError),
    /// The organisation cannot be stopped.
    #[error(transparent)]
    Suspension(#[from] NamedError),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Deed {
    /// Which kind it is.
    pub fn kind(&self) -> DeedKind {
        match self {
            Self::Halt { .. } => DeedKind::Halt,
            Self::Resume => DeedKind::Resume,
            Self::SuspendOrganisation { .. } => DeedKind::SuspendOrganisation,
        }
    }

    /// What it does, as people are told.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Halt { note } => format!("halt the issue of certificates ({note})"),
            Self::Resume => "let the issue of certificates go on".to_owned(),
            Self::SuspendOrganisation { organisation } => format!("suspend the organisation {organisation}"),
        }
    }

    fn check(&self) -> Result<(), DeedError> {
        let Self::Halt { note } = self else { return Ok(()) };
        let good = (1..=MOST_NOTE_CHARACTERS).contains(&note.trim().chars().count()) && !note.chars().any(char::is_control);
        if good { Ok(()) } else { Err(DeedError::Note) }
    }
}

impl Waiting {
    fn info(&self, id: &[u8]) -> WaitingDeed {
        let Self { deed, by, since, ends } = self.clone();
        WaitingDeed { id: HEXLOWER.encode(id), deed, by, since, ends }
    }
}

impl Accounts {
    /// Whether certificates are issued.
    ///
    /// # Errors
    /// There is no authority here, or it cannot be read.
    pub async fn issuance(&self) -> Result<Issuance, DeedError> {
        Ok(self.authority()?.issuance().await?)
    }

    /// Does something to everybody, or has it wait for a second person where that is asked for.
    ///
    /// # Errors
    /// It cannot be done.
    pub async fn act(&self, by: &SteppedUp, deed: Deed, from: &Visitor) -> Result<Outcome, DeedError> {
        deed.check()?;
        if !self.config.second_person.contains(&deed.kind()) {
            self.carry_out(&deed, (by.person, None), from).await?;
            return Ok(Outcome::Done);
        }
        let id = self.draw();
        let since = self.clock.now();
        let waiting = Waiting { deed, by: by.person, since, ends: since + WAITS };
        rows::change(&self.events, || async {
            if self.waiting_rows().await?.len() >= MOST {
                return Err(DeedError::TooMany);
            }
            let fact = Fact::DeedAsked { kind: waiting.deed.kind(), person: by.person };
            let mut batch = self.stating(rows::new(WAITING_DEEDS, id, &waiting), &fact)?;
            batch = self.telling(batch, by.person, Happening::DeedAsked { deed: waiting.deed.told() }, Some(from)).await?;
            if let Some(outbox) = &self.mail {
                let asked_by = self.find_person(by.person).await?.ok_or(DeedError::Unknown)?;
                let letter = SecondPersonAsked { what: &waiting.deed.told(), by: &asked_by.value.email, ends: waiting.ends };
                for (_, operator) in self.operators().await?.into_iter().filter(|(id, _)| *id != by.person) {
                    batch = outbox.enclose_if_possible(batch, &operator.email, &letter).await.map_err(StateError::from)?;
                }
            }
            Ok((batch, ()))
        })
        .await?;
        Ok(Outcome::Waits(waiting.info(&id)))
    }

    /// What waits for a second person, the oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn waiting_deeds(&self) -> Result<Vec<WaitingDeed>, StateError> {
        let now = self.clock.now();
        let mut all = self.waiting_rows().await?;
        all.retain(|(_, waiting)| now < waiting.ends);
        all.sort_by_key(|(_, waiting)| waiting.since);
        Ok(all.iter().map(|(id, waiting)| waiting.info(id)).collect())
    }

    /// Approves what another person asked for, and does it. Where it fails it waits on, and can be approved once more.
    ///
    /// # Errors
    /// The same person asked for it, it does not wait, or it cannot be done.
    pub async fn approve_deed(&self, by: &SteppedUp, id: &str, from: &Visitor) -> Result<(), DeedError> {
        let row = self.waiting_deed(id).await?;
        let Waiting { deed, by: first, .. } = row.value.clone();
        if first == by.person {
            return Err(DeedError::SamePerson);
        }
        // Whoever runs the installation no more asks for nothing any more.
        if !self.find_person(first).await?.is_some_and(|row| row.value.operator) {
            return Err(DeedError::Unknown);
        }
        // Deeds done twice are done once, so that doing it comes before forgetting that it waits.
        self.carry_out(&deed, (first, Some(by.person)), from).await?;
        self.answer_deed(by, id, true, from).await
    }

    /// Rejects what another person asked for, or takes back what one asked for oneself.
    ///
    /// # Errors
    /// It does not wait.
    pub async fn reject_deed(&self, by: &SteppedUp, id: &str, from: &Visitor) -> Result<(), DeedError> {
        self.waiting_deed(id).await?;
        self.answer_deed(by, id, false, from).await
    }

    /// Forgets deeds that nobody approved in time.
    pub(crate) async fn forget_ended_deeds(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, WAITING_DEEDS, |waiting: &Waiting| waiting.ends <= now, |batch, _, _| batch).await
    }

    async fn answer_deed(&self, by: &SteppedUp, id: &str, approved: bool, from: &Visitor) -> Result<(), DeedError> {
        rows::change(&self.events, || async {
            // Somebody else may have approved it at the same moment: then it is answered.
            let row = match self.waiting_deed(id).await {
                Err(DeedError::Unknown) if approved => return Ok((Batch::new(), ())),
                row => row?,
            };
            let (kind, what) = (row.value.deed.kind(), row.value.deed.told());
            let fact = Fact::DeedAnswered { kind, person: by.person, approved };
            let mut batch = self.stating(row.deleted(), &fact)?;
            batch = self.telling(batch, by.person, Happening::DeedAnswered { deed: what.clone(), approved }, Some(from)).await?;
            if let (Some(outbox), Some(first)) = (&self.mail, self.find_person(row.value.by).await?) {
                let letter = SecondPersonAnswered { what: &what, approved, at: self.clock.now() };
                batch = outbox.enclose_if_possible(batch, &first.value.email, &letter).await.map_err(StateError::from)?;
            }
            Ok((batch, ()))
        })
        .await
    }

    async fn carry_out(&self, deed: &Deed, (by, second): (PersonId, Option<PersonId>), from: &Visitor) -> Result<(), DeedError> {
        match deed {
            Deed::Halt { note } => drop(self.authority()?.halt(note).await?),
            Deed::Resume => drop(self.authority()?.resume(&by.to_string()).await?),
            Deed::SuspendOrganisation { organisation } => self.suspend(*organisation).await?,
        }
        let batch = self.stating(Batch::new(), &Fact::DeedDone { kind: deed.kind(), person: by, second })?;
        let doer = second.unwrap_or(by);
        let batch = self.telling(batch, doer, Happening::DeedDone { deed: deed.told() }, Some(from)).await?;
        self.events.commit(batch).await.map_err(StateError::Commit)?;
        Ok(())
    }

    async fn waiting_deed(&self, id: &str) -> Result<Row<Waiting>, DeedError> {
        let key = HEXLOWER.decode(id.as_bytes()).map_err(|_| DeedError::Unknown)?;
        let row = rows::find::<Waiting>(&self.events, WAITING_DEEDS, key).await?;
        row.filter(|row| self.clock.now() < row.value.ends).ok_or(DeedError::Unknown)
    }

    async fn waiting_rows(&self) -> Result<Vec<(Vec<u8>, Waiting)>, StateError> {
        let rows = self.events.store().scan(WAITING_DEEDS, Range::all(), MOST).await?;
        rows.into_iter().map(|(key, entry)| Ok((key, codec::decode(&entry.value)?))).collect()
    }

    /// Those who run the installation.
    async fn operators(&self) -> Result<Vec<(PersonId, Person)>, StateError> {
        let (mut range, mut operators) = (Range::all(), Vec::new());
        loop {
            let rows = self.events.store().scan(PEOPLE, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(operators) };
            range = range.after(last);
            for (key, entry) in rows {
                let person: Person = codec::decode(&entry.value)?;
                if person.operator && operators.len() < MOST_TOLD {
                    operators.push((person_id(&key)?, person));
                }
            }
        }
    }

    fn authority(&self) -> Result<&Authority, DeedError> {
        self.authority.as_ref().ok_or(DeedError::NoAuthority)
    }
}

impl Fault for DeedError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown => Kind::NotFound,
            Self::SamePerson => Kind::Forbidden,
            Self::TooMany | Self::NoAuthority => Kind::Conflict,
            Self::Note => Kind::Invalid,
            Self::Authority(error) => error.kind(),
            Self::Suspension(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "no-such-request",
            Self::SamePerson => "second-person-needed",
            Self::TooMany => "too-many-requests",
            Self::Note => "note",
            Self::NoAuthority => "no-authority",
            Self::Authority(error) => error.code(),
            Self::Suspension(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        matches!(self, Self::Note).then_some("note")
    }
}
