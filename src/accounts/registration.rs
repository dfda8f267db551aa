//! Registering, and confirming that an address is one's own.
//!
//! Whoever registers has an account at once and can do nothing with it but confirm the address, have the letter sent again, and
//! leave: [`Gate`](crate::Gate) holds everything else back. Confirming takes the link *and* the account's session or password: who
//! registers somebody else's address must not get an account that its owner confirmed. What a stranger learns is the same whether
//! somebody has the address or not. An account that nobody confirms goes after a week.

use crate::{
    AccountError, Accounts, Attempt, Email, Happening, MailError, NewPassword, StateError, Visitor, counters,
    history::Fact,
    letters::{AddressInUse, ConfirmAddress},
    links::{LinkKind, Purpose},
    password::Verdict,
    person::{Person, checked_name, person_id},
    rows,
    throttle::{Guess, PersonKey},
};
use gatehouse_mail::EncloseError;
use gatehouse_store::{Batch, Range, Table, codec};
use gatehouse_types::{PersonId, Secret, UnixTime};
use std::{sync::atomic::Ordering, time::Duration};

/// People who have not confirmed their address, with the time since when.
pub(crate) const UNCONFIRMED: Table = Table::new("account-unconfirmed");

/// How long an account waits for its confirmation.
const UNCONFIRMED_ENDS: Duration = Duration::from_secs(7 * 24 * 3600);
const PAGE: usize = 100;

/// Who confirms an address, besides having read the letter.
#[derive(Debug)]
pub enum Confirming<'a> {
    /// Somebody in a session of this account.
    Session(PersonId),
    /// Somebody who knows its password.
    Password(&'a Secret),
}

impl Accounts {
    /// Registers an address, or seems to: what happened is told to the address only.
    ///
    /// # Errors
    /// It is not allowed here, or something about it would be refused whoever has the address.
    pub async fn register(&self, email: &str, name: &str, password: &NewPassword, from: &Visitor) -> Result<(), AccountError> {
        if !self.config.registration {
            return Err(AccountError::RegistrationOff);
        }
        self.mailer()?;
        let email: Email = email.trim().parse()?;
        let name = checked_name(name).ok_or(AccountError::Name)?;
        self.begin_asking(&email, from)?;
        // Before anybody looks whether the address is known: it is the same for every address.
        if self.unconfirmed.load(Ordering::Relaxed) >= self.config.unconfirmed {
            counters::held_off("registrations");
            return Err(AccountError::RegistrationFull);
        }
        // Before it is known whether somebody has the address: it costs the same either way.
        let password = self.passwords.keep(password).await?;
        let person = Person { unconfirmed: Some(self.clock.now()), ..Person::new(email.clone(), name, password, false, self.clock.now()) };
        let id = PersonId::from_random(self.draw());
        let is_new = rows::change::<_, AccountError, _>(&self.events, || async {
            let (batch, is_new) = match self.is_taken(&email).await? {
                true => (self.telling_of_use(Batch::new(), &email).await?, false),
                false => match self.registering(&person, id).await {
                    // Too many letters went there: then there is nothing that a letter could tell, and no account.
                    Err(AccountError::Mail(MailError::Outbox(EncloseError::Full | EncloseError::Throttled { .. }))) => {
                        (Batch::new(), false)
                    }
                    registering => (registering?, true),
                },
            };
            Ok((self.stating(batch, &Fact::RegistrationTried)?, is_new))
        })
        .await?;
        if is_new {
            counters::unconfirmed(self.unconfirmed.fetch_add(1, Ordering::Relaxed) + 1);
        }
        Ok(())
    }

    /// Sends the letter that asks for a confirmation once more.
    ///
    /// # Errors
    /// There is nothing to confirm, or it was sent too often.
    pub async fn resend_confirmation(&self, person: PersonId) -> Result<(), AccountError> {
        rows::change(&self.events, || async {
            let row = self.find_person(person).await?.filter(|row| row.value.unconfirmed.is_some()).ok_or(AccountError::Confirmed)?;
            Ok((self.asking_to_confirm(row.rewritten(), person, &row.value.email).await?, ()))
        })
        .await
    }

    /// Confirms an address by the link that was sent there.
    ///
    /// # Errors
    /// The link is over, or it is somebody else's account.
    pub async fn confirm_address(&self, link: &Secret, by: Confirming<'_>, from: &Visitor) -> Result<(), AccountError> {
        let person = self.link(LinkKind::Confirm, link).await?.ok_or(AccountError::LinkOver)?.value.person;
        self.check_confirming(person, by, from).await?;
        rows::change(&self.events, || async {
            let row = self.link(LinkKind::Confirm, link).await?.ok_or(AccountError::LinkOver)?;
            let batch = self.ending_links(row.deleted(), person, &[LinkKind::Confirm]).await?;
            let mut row = self.find_person(person).await?.ok_or(AccountError::LinkOver)?;
            let batch = self.confirming(batch, person, &mut row.value)?.and(row.rewritten());
            Ok((self.telling(batch, person, Happening::AddressConfirmed, Some(from)).await?, ()))
        })
        .await
    }

    /// Demands that whoever shows a link is the one whose account it is about.
    pub(crate) async fn check_confirming(&self, person: PersonId, by: Confirming<'_>, from: &Visitor) -> Result<(), AccountError> {
        match by {
            Confirming::Session(other) if other != person => Err(AccountError::LinkOver),
            Confirming::Session(_) => Ok(()),
            Confirming::Password(password) => self.check_password(person, password, from).await,
        }
    }

    /// Whoever showed a link that was sent to the address has confirmed it.
    pub(crate) fn confirming(&self, batch: Batch, id: PersonId, person: &mut Person) -> Result<Batch, StateError> {
        match person.unconfirmed.take() {
            Some(_) => {
                // Nearly right until it is counted anew: the batch may not come to be.
                let _ = self.unconfirmed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| waiting.checked_sub(1));
                self.stating(batch.delete(UNCONFIRMED, rows::by_person(id)), &Fact::PersonConfirmed { person: id })
            }
            None => Ok(batch),
        }
    }

    /// Asks somebody who is signed in for the password once more.
    pub(crate) async fn check_password(&self, person: PersonId, password: &Secret, from: &Visitor) -> Result<(), AccountError> {
        self.begin_attempt(person, from).map_err(|wait| AccountError::Wait { wait })?;
        let row = self.find_person(person).await?.ok_or(AccountError::Wrong)?;
        let compared = self.passwords.compare(password, Some(&row.value.password)).await;
        let verdict = compared.inspect_err(|_| self.end_attempt(person, from, Attempt::Undecided))?;
        if verdict == Verdict::Wrong {
            self.record_refused_proof(person, "password", from).await?;
            return Err(AccountError::Wrong);
        }
        self.end_attempt(person, from, Attempt::Succeeded);
        Ok(())
    }

    /// Slows strangers down who have letters sent, whether anybody has the address or not.
    pub(crate) fn begin_asking(&self, email: &Email, from: &Visitor) -> Result<(), AccountError> {
        // By the address itself, so that it tells nobody whether there is an account by now.
        let key = PersonKey::Invented(crate::sign_in::invented(Some(email)));
        let begun = self.asking().begin(Guess::Password { from_is_known: false }, key, from.address, self.clock.now());
        begun.map_err(|wait| AccountError::Wait { wait })
    }

    /// Tells the owner of an address that somebody wanted to use it.
    pub(crate) async fn telling_of_use(&self, batch: Batch, email: &Email) -> Result<Batch, AccountError> {
        Ok(self.mailer()?.enclose_if_possible(batch, email, &AddressInUse).await.map_err(StateError::from)?)
    }

    async fn registering(&self, person: &Person, id: PersonId) -> Result<Batch, AccountError> {
        let batch = self.adding(person, id)?.put(UNCONFIRMED, rows::by_person(id), codec::encode(&person.added));
        self.asking_to_confirm(batch, id, &person.email).await
    }

    async fn asking_to_confirm(&self, batch: Batch, person: PersonId, email: &Email) -> Result<Batch, AccountError> {
        let (batch, link) = self.linking(batch, person, Purpose::Confirm, self.config.confirmation_lifetime).await?;
        let letter = ConfirmAddress { link: link.address, ends: link.ends };
        Ok(self.mailer()?.enclose(batch, email, &letter).await.map_err(MailError::from)?)
    }

    /// Forgets accounts that nobody confirmed, and counts those that wait.
    pub(crate) async fn forget_unconfirmed(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        let (mut range, mut forgotten, mut waiting) = (Range::all(), 0, 0);
        loop {
            let rows = self.events.store().scan(UNCONFIRMED, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { break };
            range = range.after(last);
            for (key, entry) in rows {
                let since: UnixTime = codec::decode(&entry.value)?;
                if now >= since + UNCONFIRMED_ENDS {
                    self.forget_person(person_id(&key)?).await?;
                    forgotten += 1;
                } else {
                    waiting += 1;
                }
            }
        }
        self.unconfirmed.store(waiting, Ordering::Relaxed);
        counters::unconfirmed(waiting);
        Ok(forgotten)
    }
}
