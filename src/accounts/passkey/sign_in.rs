//! Signing in with a passkey: without a password, or as the second step behind one.
//!
//! Without a password the authenticator says who it is, and has to make sure that its owner is there. As a second step it is one of the
//! passkeys of whoever gave the password. A stranger with another's credential is slowed down as with passwords.

use super::{
    Assertion, Challenge, Purpose, Rejection, RequestOptions,
    assertion::Known,
    ceremony::{Ceremony, Expected},
    keeping::{Passkey, key_of, shown},
};
use crate::{
    Accounts, Happening, NewSession, SignInError, StateError, Used, Visitor, counters,
    letters::Change,
    rows::{self, Row},
    session::Shown,
    throttle::{Guess, PersonKey},
};
use gatehouse_store::Batch;
use gatehouse_types::PersonId;

/// Whose passkey it has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// Whoever the authenticator says, and it has to make sure that they are there.
    Discovered,
    /// That of somebody who is known.
    Of {
        person: PersonId,
        /// Whether it has to make sure that they are there.
        verified: bool,
    },
}

impl Accounts {
    /// What a browser is to ask for when somebody signs in without a password.
    ///
    /// # Errors
    /// There are no passkeys here.
    pub fn passkey_sign_in_options(&self) -> Result<RequestOptions, SignInError> {
        let party = self.relying_party().ok_or(SignInError::NoPasskeys)?;
        Ok(RequestOptions::new(&party, &self.challenge_for(Purpose::SignIn)?, &[], true))
    }

    /// What a browser is to ask somebody for who is known.
    ///
    /// # Errors
    /// They have no passkey.
    pub(crate) async fn own_passkey_options(&self, person: PersonId, purpose: Purpose) -> Result<RequestOptions, SignInError> {
        let party = self.relying_party().ok_or(SignInError::NoPasskeys)?;
        let row = self.find_person(person).await?.ok_or(SignInError::ChallengeOver)?;
        let known = self.passkeys_of(&row.value.second_factor).await?;
        if known.is_empty() {
            return Err(SignInError::NoPasskeys);
        }
        Ok(RequestOptions::new(&party, &self.challenge_for(purpose)?, &known, matches!(purpose, Purpose::StepUp(_))))
    }

    /// Lets somebody in who has no password with them.
    ///
    /// # Errors
    /// The passkey is not known, or its answer is not believed.
    pub async fn sign_in_with_passkey(&self, assertion: &Assertion, from: &Visitor) -> Result<NewSession, SignInError> {
        let owner = self.find_passkey(assertion.id()).await?.map(|row| row.value.person);
        let key = match owner {
            Some(person) => PersonKey::Known(person),
            None => PersonKey::Invented(u64::from_be_bytes(key_of(assertion.id()).first_chunk().copied().unwrap_or_default())),
        };
        let from_is_known = match owner {
            Some(person) => self.find_person(person).await?.is_some_and(|row| row.value.seen.contain(from.address)),
            None => false,
        };
        let guess = Guess::Password { from_is_known };
        self.throttle().begin(guess, key, from.address, self.clock.now()).map_err(|wait| {
            counters::throttled();
            SignInError::Wait { wait }
        })?;
        let begun = match self.take_claimed(Purpose::SignIn, assertion).await {
            Ok(challenge) => self.begin_passkey_session(assertion, &challenge, from).await,
            Err(error) => Err(error),
        };
        match &begun {
            Ok(_) => self.throttle().succeeded(guess, key, from.address),
            Err(SignInError::Passkey(_)) => {}
            Err(_) => self.throttle().undecided(guess, key, from.address),
        }
        if let Err(SignInError::Passkey(rejection)) = begun {
            self.record_passkey_refusal(key, assertion, rejection, from).await?;
        }
        begun
    }

    async fn begin_passkey_session(&self, assertion: &Assertion, challenge: &Challenge, from: &Visitor) -> Result<NewSession, SignInError> {
        rows::change(&self.events, || async {
            let passkey = self.passkey_signed(assertion, challenge, Whose::Discovered, from).await?;
            let (person, key) = (passkey.value.person, key_of(&passkey.value.id));
            let mut row = self.find_person(person).await?.ok_or(SignInError::Passkey(Rejection::Unknown))?;
            let letter = self.noticing_sign_in(Batch::new(), &mut row.value, from).await?;
            let batch = row.rewritten().and(passkey.rewritten()).and(letter);
            let happening = Happening::SignedInWithPasskey { passkey: shown(&key) };
            let batch = self.telling(batch, person, happening, Some(from)).await?;
            Ok(self.beginning_session(batch, person, Shown::Passkey, from).await?)
        })
        .await
        .inspect(|_| counters::signed_in(true))
    }

    /// Uses up the challenge that an answer claims to be to.
    pub(crate) async fn take_claimed(&self, purpose: Purpose, assertion: &Assertion) -> Result<Challenge, SignInError> {
        let claimed = assertion.claimed_challenge().map_err(SignInError::Passkey)?;
        self.take_challenge(purpose, claimed).await?.map_err(SignInError::Passkey)
    }

    /// The row of a passkey that has signed, as it is to be kept from now on.
    pub(crate) async fn passkey_signed(
        &self,
        assertion: &Assertion,
        challenge: &Challenge,
        whose: Whose,
        from: &Visitor,
    ) -> Result<Row<Passkey>, SignInError> {
        let party = self.relying_party().ok_or(SignInError::NoPasskeys)?;
        let row = self.find_passkey(assertion.id()).await?;
        let row = row.filter(|row| !matches!(whose, Whose::Of { person, .. } if row.value.person != person));
        let mut row = row.ok_or(SignInError::Passkey(Rejection::Unknown))?;
        let discovered = matches!(whose, Whose::Discovered);
        let verified = !matches!(whose, Whose::Of { verified: false, .. });
        let Passkey { person, ref key, counter, backup_eligible, .. } = row.value;
        let known = Known { owner: person, key, counter, backup_eligible, discovered };
        let expected = Expected { party: &party, ceremony: Ceremony::Get, challenge, verified };
        let asserted = assertion.verify(known, expected).map_err(SignInError::Passkey)?;
        row.value.counter = asserted.counter;
        row.value.backed_up = asserted.backed_up;
        row.value.used = Some(Used { at: self.clock.now(), address: from.address });
        Ok(row)
    }

    /// One write for every refusal; and where there may be a copy of a passkey, a letter.
    pub(crate) async fn record_passkey_refusal(
        &self,
        key: PersonKey,
        assertion: &Assertion,
        rejection: Rejection,
        from: &Visitor,
    ) -> Result<(), StateError> {
        if rejection == Rejection::Counter
            && let PersonKey::Known(person) = key
            && let (Some(row), Some(passkey)) = (self.find_person(person).await?, self.find_passkey(assertion.id()).await?)
        {
            counters::refused("passkey");
            let happening =
                Happening::PasskeyCountedBackwards { passkey: shown(&key_of(&passkey.value.id)), name: passkey.value.name.clone() };
            let batch = self.telling(Batch::new(), person, happening, Some(from)).await?;
            let batch = self.noticing(batch, &row.value, Change::PasskeyCountedBackwards, Some(from)).await?;
            self.events.commit(batch).await?;
            return Ok(());
        }
        self.record_refusal(key, "passkey", from).await
    }
}
