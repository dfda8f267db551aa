//! People: who has an account, and with what they show that it is theirs.

use crate::{
    Accounts, Email, Happening, NewPassword, PasswordRefused, StateError,
    history::Fact,
    links::OF_A_PASSWORD,
    passkey::ending_passkeys,
    password::{Busy, Kept, NotKept},
    rows::{self, ADDRESSES, PEOPLE, Row},
    second_factor::SecondFactor,
    sources::{SeenNetworks, SeenPrograms},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_store::{Batch, codec};
use gatehouse_types::{PersonId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name of a person or an organisation.
const MOST_NAME_CHARACTERS: usize = 100;

/// Somebody with an account. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) email: Email,
    pub(crate) name: String,
    pub(crate) added: UnixTime,
    pub(crate) password: Kept,
    pub(crate) second_factor: SecondFactor,
    /// Runs this installation.
    pub(crate) operator: bool,
    /// From where the owner has signed in.
    pub(crate) seen: SeenNetworks,
    /// With what the owner has signed in.
    #[serde(default)]
    pub(crate) programs: SeenPrograms,
    /// Since when the address waits to be confirmed; nothing when it is.
    #[serde(default)]
    pub(crate) unconfirmed: Option<UnixTime>,
    /// Whether sign-ins from new places are told by mail.
    #[serde(default = "yes")]
    pub(crate) sign_in_mail: bool,
}

/// What accounts have from before this could be said.
fn yes() -> bool {
    true
}

/// What is told about somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonInfo {
    /// The id, which stays when the address changes.
    pub id: PersonId,
    /// The address to sign in with.
    pub email: Email,
    /// What to call them.
    pub name: String,
    /// Since when they have the account.
    pub added: UnixTime,
    /// Whether they run this installation.
    pub operator: bool,
    /// Whether a second factor is asked for when they sign in.
    pub second_factor: bool,
    /// Whether the address was confirmed.
    pub confirmed: bool,
    /// Whether sign-ins from new places are told by mail.
    pub sign_in_mail: bool,
}

/// Somebody to be added.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// The address to sign in with.
    pub email: Email,
    /// What to call them.
    pub name: String,
    /// The password.
    pub password: NewPassword,
    /// Whether they run this installation.
    pub operator: bool,
}

/// A person cannot be added, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// The address is taken.
    #[error("somebody has the address {email} already")]
    Taken {
        /// The address.
        email: Email,
    },
    /// Nobody has the address.
    #[error("nobody has the address {email}")]
    Unknown {
        /// The address.
        email: Email,
    },
    /// The name is empty or too long.
    #[error("a name has 1 to {MOST_NAME_CHARACTERS} characters, none of which is a control character")]
    Name,
    /// The password is not accepted.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// There is no turn for the password.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// Gives somebody an account, with a personal organisation that they own.
    ///
    /// # Errors
    /// The address is taken, or the name is none.
    pub async fn add_person(&self, new: NewPerson) -> Result<PersonInfo, PersonError> {
        let name = checked_name(&new.name).ok_or(PersonError::Name)?;
        let password = self.passwords.keep(&new.password).await?;
        let person = Person::new(new.email.clone(), name, password, new.operator, self.clock.now());
        let id = PersonId::from_random(self.draw());
        rows::change(&self.events, || async {
            if self.is_taken(&new.email).await? {
                return Err(PersonError::Taken { email: new.email.clone() });
            }
            Ok((self.adding(&person, id)?, person.info(id)))
        })
        .await
    }

    /// A new person with a personal organisation, as a batch. The address must be free.
    pub(crate) fn adding(&self, person: &Person, id: PersonId) -> Result<Batch, StateError> {
        let batch = rows::new(PEOPLE, rows::by_person(id), person).and(rows::new(ADDRESSES, person.email.folded(), &id));
        let batch = self.stating(batch, &Fact::PersonAdded { person: id, operator: person.operator })?;
        self.with_organisation(batch, &person.name, true, id)
    }

    /// Switches the letters about sign-ins from new places on or off.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn want_sign_in_mail(&self, person: PersonId, wanted: bool) -> Result<(), StateError> {
        rows::change(&self.events, || async {
            let mut row = self.find_person(person).await?.ok_or(StateError::Contention)?;
            row.value.sign_in_mail = wanted;
            Ok((row.rewritten(), ()))
        })
        .await
    }

    /// Everybody behind this one, in the order of their ids.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn people(&self, after: Option<PersonId>, limit: usize) -> Result<Vec<PersonInfo>, StateError> {
        let range = gatehouse_store::Range::all();
        let range = after.map_or(range.clone(), |id| range.after(id.as_bytes()));
        let rows = self.events.store().scan(PEOPLE, range, limit).await?;
        rows.into_iter()
            .map(|(key, entry)| {
                let id = person_id(&key)?;
                Ok(codec::decode::<Person>(&entry.value)?.info(id))
            })
            .collect()
    }

    /// Somebody by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn person(&self, id: PersonId) -> Result<Option<PersonInfo>, StateError> {
        Ok(self.find_person(id).await?.map(|row| row.value.info(id)))
    }

    /// Sets a new password, takes all second factors off and ends all sessions: what the operator does at the machine's
    /// own console for somebody who has lost both.
    ///
    /// # Errors
    /// Nobody has the address.
    pub async fn reset(&self, email: &Email, password: &NewPassword) -> Result<PersonInfo, PersonError> {
        let kept = self.passwords.keep(password).await?;
        let (id, _) = self.find_by_email(email).await?.ok_or_else(|| PersonError::Unknown { email: email.clone() })?;
        rows::change(&self.events, || async {
            let mut row = self.find_person(id).await?.ok_or_else(|| PersonError::Unknown { email: email.clone() })?;
            row.value.password = kept.clone();
            let factor = std::mem::take(&mut row.value.second_factor);
            let info = row.value.info(id);
            let batch = self.stating(ending_passkeys(row.rewritten(), &factor), &Fact::PersonReset { person: id })?;
            let batch = self.ending_sessions(batch, id, None).await?;
            let batch = self.ending_links(batch, id, OF_A_PASSWORD).await?;
            let batch = self.telling(batch, id, Happening::ResetByOperator, None).await?;
            Ok((self.noticing_reset(batch, id, &row.value).await?, info))
        })
        .await
    }

    pub(crate) async fn find_person(&self, id: PersonId) -> Result<Option<Row<Person>>, StateError> {
        rows::find(&self.events, PEOPLE, rows::by_person(id)).await
    }

    pub(crate) async fn find_by_email(&self, email: &Email) -> Result<Option<(PersonId, Row<Person>)>, StateError> {
        let Some(id) = rows::find::<PersonId>(&self.events, ADDRESSES, email.folded()).await? else { return Ok(None) };
        Ok(self.find_person(id.value).await?.map(|row| (id.value, row)))
    }

    /// Sixteen random bytes.
    pub(crate) fn draw(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        bytes
    }
}

impl Person {
    /// Somebody new whose address is confirmed.
    pub(crate) fn new(email: Email, name: String, password: Kept, operator: bool, added: UnixTime) -> Self {
        Self {
            email,
            name,
            added,
            password,
            second_factor: SecondFactor::default(),
            operator,
            seen: SeenNetworks::default(),
            programs: SeenPrograms::default(),
            unconfirmed: None,
            sign_in_mail: true,
        }
    }

    pub(crate) fn info(&self, id: PersonId) -> PersonInfo {
        let Self { email, name, added, operator, unconfirmed, sign_in_mail, .. } = self.clone();
        let (second_factor, confirmed) = (self.second_factor.is_active(), unconfirmed.is_none());
        PersonInfo { id, email, name, added, operator, second_factor, confirmed, sign_in_mail }
    }
}

pub(crate) fn person_id(key: &[u8]) -> Result<PersonId, StateError> {
    let bytes = <[u8; 16]>::try_from(key).map_err(|_| StateError::Damaged("a person's key".to_owned()))?;
    // Ids are random and carry their version, so that bytes that we wrote come back unchanged.
    Ok(PersonId::from_random(bytes))
}

pub(crate) fn checked_name(name: &str) -> Option<String> {
    let name = name.trim();
    let good = (1..=MOST_NAME_CHARACTERS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    good.then(|| name.to_owned())
}

impl From<NotKept> for PersonError {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Refused(refused) => Self::Password(refused),
            NotKept::Busy(busy) => Self::Busy(busy),
        }
    }
}

impl Fault for PersonError {
    fn kind(&self) -> Kind {
        match self {
            Self::Taken { .. } => Kind::Conflict,
            Self::Unknown { .. } => Kind::NotFound,
            Self::Name => Kind::Invalid,
            Self::Password(error) => error.kind(),
            Self::Busy(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "address-taken",
            Self::Unknown { .. } => "unknown-address",
            Self::Name => "name",
            Self::Password(error) => error.code(),
            Self::Busy(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Taken { .. } | Self::Unknown { .. } => Some("email"),
            Self::Name => Some("name"),
            Self::Password(error) => error.field(),
            Self::Busy(_) | Self::State(_) => None,
        }
    }
}
