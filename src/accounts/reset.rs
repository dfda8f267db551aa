//! A forgotten password: a link to the account's address, and a new password by it.
//!
//! What a stranger learns is the same for every address: the answer, no password computed, and one write. The link lets its reader
//! set a password and nothing else: a second factor is asked for at the next sign-in as before. All sessions end, and so do the other
//! links by which the account could be taken over.

use crate::{
    AccountError, Accounts, Email, Happening, MailError, NewPassword, StateError, Visitor,
    history::Fact,
    letters::{Change, ResetPassword},
    links::{LinkKind, Purpose},
    person::Person,
    rows::{self, Row},
};
use gatehouse_mail::EncloseError;
use gatehouse_store::Batch;
use gatehouse_types::{PersonId, Secret};

impl Accounts {
    /// Sends a link for a new password, if somebody has the address.
    ///
    /// # Errors
    /// There is no mail, the text is no address, or this was asked too often.
    pub async fn forgot_password(&self, email: &str, from: &Visitor) -> Result<(), AccountError> {
        self.mailer()?;
        let email: Email = email.trim().parse()?;
        self.begin_asking(&email, from)?;
        rows::change(&self.events, || async {
            let found = self.find_by_email(&email).await?;
            let batch = match &found {
                Some((person, row)) => match self.resetting(row.unchanged(), *person, row).await {
                    // One write all the same: nobody learns from here whether a letter went out.
                    Err(AccountError::Mail(MailError::Outbox(EncloseError::Full | EncloseError::Throttled { .. }))) => Batch::new(),
                    resetting => resetting?,
                },
                None => Batch::new(),
            };
            let batch = match &found {
                // Who has not confirmed yet has no history, and making its key would be a second write.
                Some((person, row)) if row.value.unconfirmed.is_none() => {
                    self.telling(batch, *person, Happening::PasswordResetAsked, Some(from)).await?
                }
                _ => self.stating(batch, &Fact::UnknownAddressTried)?,
            };
            Ok((batch, ()))
        })
        .await
    }

    /// Sets a new password by a link.
    ///
    /// # Errors
    /// The link is over, or the password is not accepted.
    pub async fn reset_password(&self, link: &Secret, new: &NewPassword, from: &Visitor) -> Result<(), AccountError> {
        self.link(LinkKind::Reset, link).await?.ok_or(AccountError::LinkOver)?;
        let kept = self.passwords.keep(new).await?;
        rows::change(&self.events, || async {
            let link = self.link(LinkKind::Reset, link).await?.ok_or(AccountError::LinkOver)?;
            let person = link.value.person;
            let batch = self.ending_links(link.deleted(), person, &[LinkKind::Reset, LinkKind::Confirm, LinkKind::ChangeAddress]).await?;
            let mut row = self.find_person(person).await?.ok_or(AccountError::LinkOver)?;
            row.value.password = kept.clone();
            // The link has come to the address.
            let batch = self.confirming(batch, person, &mut row.value)?.and(row.rewritten());
            let batch = self.ending_sessions(batch, person, None).await?;
            let batch = self.telling(batch, person, Happening::PasswordReset, Some(from)).await?;
            Ok((self.noticing(batch, &row.value, Change::PasswordByLink, Some(from)).await?, ()))
        })
        .await
    }

    /// Adds a letter with a link for a new password to a batch.
    pub(crate) async fn resetting(&self, batch: Batch, person: PersonId, row: &Row<Person>) -> Result<Batch, AccountError> {
        let (batch, link) = self.linking(batch, person, Purpose::Reset, self.config.reset_lifetime).await?;
        let letter = ResetPassword { link: link.address, ends: link.ends };
        let enclosed = self.mailer()?.enclose(batch, &row.value.email, &letter).await;
        enclosed.map_err(|error| match error {
            EncloseError::State(error) => AccountError::State(StateError::from(error)),
            error => AccountError::Mail(error.into()),
        })
    }
}
