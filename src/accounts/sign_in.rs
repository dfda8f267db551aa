//! Signing in: address and password, then a second factor where there is one. [`passkey`] lets people in without a password.
//!
//! What a stranger learns is the same for every address: the answer, the password's computation and one write to the
//! log. Guesses are slowed down by [`throttle`](crate::throttle).

use crate::{
    Accounts, Assertion, Attempt, Email, Happening, NewPassword, NewSession, PasswordRefused, Proof, Rejection, RequestOptions,
    SecondFactorError, StateError, Visitor, counters,
    foreign::{Entered, Via},
    history::Fact,
    letters::Change,
    links::OF_A_PASSWORD,
    passkey::{self, Whose},
    password::{Busy, Kept, Verdict},
    rows::{self, CHALLENGES},
    secret,
    session::Shown,
    throttle::{Guess, PersonKey},
    told::{Tells, Told},
};
use gatehouse_base::Kind;
use gatehouse_store::Batch;
use gatehouse_types::{PersonId, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const CHALLENGE_ENDS: Duration = Duration::from_secs(300);
const CHALLENGE_TRIES: u8 = 5;
const CHALLENGE_PURPOSE: &str = "sign-in challenge";

/// How far a sign-in came.
#[derive(Debug)]
pub enum SignedIn {
    /// All the way.
    Session(NewSession),
    /// The password was right; a second factor is asked for.
    SecondFactor(Challenge),
}

/// What the second step shows.
#[derive(Clone, Copy)]
enum Second<'a> {
    Typed(&'a Proof),
    Passkey(&'a Assertion, &'a passkey::Challenge),
}

/// What the second step of a sign-in shows, to prove that the first one was made.
#[derive(Debug)]
pub struct Challenge {
    /// Shown once, to the one who gave the password.
    pub secret: Secret,
    /// Until when it is good.
    pub ends: UnixTime,
}

/// A sign-in that waits for its second factor. A stored type: its old forms must still load.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    person: PersonId,
    /// The password that the first step showed, as it was kept then: once it is changed, the sign-in is over.
    compared: Kept,
    ends: UnixTime,
    tries: u8,
    /// Through which provider it began, where it was one: then no password was shown, and the session is through it.
    #[serde(default)]
    via: Option<Via>,
}

/// What the first step of a sign-in has shown.
#[derive(Clone, Copy)]
struct FirstStep<'a> {
    /// The password as it was kept then.
    compared: &'a Kept,
    via: Option<&'a Via>,
    /// Whether whoever vouches has seen a second factor, and is trusted with that.
    both_steps: bool,
}

/// A sign-in was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Nobody has the address, or the password is another one: it is not told which.
    #[error("the address or the password is wrong")]
    Wrong,
    /// The code does not fit.
    #[error("the code does not fit, or was used already")]
    Code,
    /// The passkey's answer is not believed.
    #[error(transparent)]
    Passkey(Rejection),
    /// The password is right and not enough.
    #[error("a second factor is asked for as well: a code, a recovery code or a passkey")]
    SecondFactorNeeded,
    /// There is no passkey that could be asked for.
    #[error("there is no passkey here to sign in with")]
    NoPasskeys,
    /// The challenge is over.
    #[error("this sign-in took too long or too many codes; begin again with the password")]
    ChallengeOver,
    /// There were too many failures.
    #[error("too many attempts failed; wait {} seconds", wait.as_secs() + 1)]
    Wait {
        /// How long.
        wait: Duration,
    },
    /// The new password is not accepted.
    #[error(transparent)]
    Refused(#[from] PasswordRefused),
    /// There is no turn for the password.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// The first step: address and password.
    ///
    /// # Errors
    /// They do not fit, or it was tried too often.
    pub async fn sign_in(&self, email: &str, password: &Secret, from: &Visitor) -> Result<SignedIn, SignInError> {
        let email = email.trim().parse::<Email>().ok();
        let found = match &email {
            Some(email) => self.find_by_email(email).await?,
            None => None,
        };
        let key = match (&found, &email) {
            (Some((id, _)), _) => PersonKey::Known(*id),
            (None, email) => PersonKey::Invented(invented(email.as_ref())),
        };
        let from_is_known = found.as_ref().is_some_and(|(_, row)| row.value.seen.contain(from.address));
        let guess = Guess::Password { from_is_known };
        self.throttle().begin(guess, key, from.address, self.clock.now()).map_err(|wait| {
            counters::throttled();
            SignInError::Wait { wait }
        })?;
        let compared = self.passwords.compare(password, found.as_ref().map(|(_, row)| &row.value.password)).await;
        let verdict = compared.inspect_err(|_| {
            counters::busy();
            self.throttle().undecided(guess, key, from.address);
        })?;
        let Some((id, row)) = found.filter(|_| verdict != Verdict::Wrong) else {
            self.record_refusal(key, "password", from).await?;
            return Err(SignInError::Wrong);
        };
        // Half a sign-in forgives no wrong codes: whoever has the password would have as many tries as they like.
        match row.value.second_factor.is_active() {
            true => self.throttle().undecided(guess, key, from.address),
            false => self.throttle().succeeded(guess, key, from.address),
        }
        let mut compared = row.value.password;
        if verdict == Verdict::RightButOutdated {
            compared = self.keep_anew(id, password, compared).await?;
        }
        if row.value.second_factor.is_active() {
            return Ok(SignedIn::SecondFactor(self.challenge(id, compared, None, from).await?));
        }
        let first = FirstStep { compared: &compared, via: None, both_steps: false };
        Ok(SignedIn::Session(self.begin_session(id, first, None, from).await?))
    }

    /// What a browser is to ask for when the second step is made with a passkey.
    ///
    /// # Errors
    /// The sign-in is over, or its owner has no passkey.
    pub async fn challenge_options(&self, challenge: &Secret) -> Result<RequestOptions, SignInError> {
        let key = secret::digest_of(CHALLENGE_PURPOSE, challenge);
        let row = rows::find::<Waiting>(&self.events, CHALLENGES, key).await?;
        let row = row.filter(|row| self.clock.now() < row.value.ends && row.value.tries > 0).ok_or(SignInError::ChallengeOver)?;
        self.own_passkey_options(row.value.person, passkey::Purpose::SecondFactor(key)).await
    }

    /// The second step: a code, a recovery code, or a passkey.
    ///
    /// # Errors
    /// It does not fit, or the challenge is over.
    pub async fn answer_challenge(&self, challenge: &Secret, proof: &Proof, from: &Visitor) -> Result<NewSession, SignInError> {
        let key = secret::digest_of(CHALLENGE_PURPOSE, challenge);
        let now = self.clock.now();
        // The try is counted before the code is looked at, so that a hundred at the same moment are not one.
        let (person, compared, via) = rows::change::<_, SignInError, _>(&self.events, || async {
            let row = rows::find::<Waiting>(&self.events, CHALLENGES, key).await?;
            let mut row = row.filter(|row| now < row.value.ends && row.value.tries > 0).ok_or(SignInError::ChallengeOver)?;
            row.value.tries -= 1;
            let person = (row.value.person, row.value.compared.clone(), row.value.via.clone());
            Ok((if row.value.tries == 0 { row.deleted() } else { row.rewritten() }, person))
        })
        .await?;
        self.begin_attempt(person, from).map_err(|wait| SignInError::Wait { wait })?;
        let first = FirstStep { compared: &compared, via: via.as_ref(), both_steps: false };
        let begun = self.take_second_step(person, first, (key, proof), from).await;
        self.end_attempt(
            person,
            from,
            match &begun {
                Ok(_) => Attempt::Succeeded,
                Err(SignInError::Code | SignInError::Passkey(_)) => Attempt::Failed,
                Err(_) => Attempt::Undecided,
            },
        );
        match (&begun, proof) {
            (Err(SignInError::Code), _) => self.record_refused_proof(person, "code", from).await?,
            (Err(SignInError::Passkey(why)), Proof::Passkey(assertion)) => {
                self.record_passkey_refusal(PersonKey::Known(person), assertion, *why, from).await?;
            }
            _ => {}
        }
        begun
    }

    async fn take_second_step(
        &self,
        person: PersonId,
        first: FirstStep<'_>,
        (key, proof): ([u8; 32], &Proof),
        from: &Visitor,
    ) -> Result<NewSession, SignInError> {
        let Proof::Passkey(assertion) = proof else {
            return self.begin_session(person, first, Some((key, Second::Typed(proof))), from).await;
        };
        let challenge = self.take_claimed(passkey::Purpose::SecondFactor(key), assertion).await?;
        self.begin_session(person, first, Some((key, Second::Passkey(assertion, &challenge))), from).await
    }

    /// Changes the password of somebody who knows the present one, and ends all sessions. The answer is a new one.
    ///
    /// # Errors
    /// The present password is wrong, or the new one is not accepted.
    pub async fn change_password(
        &self,
        person: PersonId,
        present: &Secret,
        new: &NewPassword,
        from: &Visitor,
    ) -> Result<NewSession, SignInError> {
        self.begin_attempt(person, from).map_err(|wait| SignInError::Wait { wait })?;
        let compared = match self.find_person(person).await? {
            Some(row) => self.passwords.compare(present, Some(&row.value.password)).await.map(|verdict| (row, verdict)),
            None => return Err(SignInError::Wrong),
        };
        let (row, verdict) = compared.inspect_err(|_| self.end_attempt(person, from, Attempt::Undecided))?;
        if verdict == Verdict::Wrong {
            self.record_refused_proof(person, "password", from).await?;
            return Err(SignInError::Wrong);
        }
        self.end_attempt(person, from, Attempt::Succeeded);
        let kept = self.passwords.keep(new).await?;
        let compared = row.value.password;
        rows::change(&self.events, || async {
            let mut row = self.find_person(person).await?.ok_or(SignInError::Wrong)?;
            // Whoever changed it meanwhile knew the present one as well; this one was compared with another.
            if row.value.password != compared {
                return Err(SignInError::Wrong);
            }
            row.value.password = kept.clone();
            let batch = self.ending_sessions(row.rewritten(), person, None).await?;
            let shown = if row.value.second_factor.is_active() { Shown::Less } else { Shown::Password };
            let (batch, session) = self.beginning_session(batch, person, shown, from).await?;
            let batch = self.ending_links(batch, person, OF_A_PASSWORD).await?;
            let batch = self.telling(batch, person, Happening::PasswordChanged, Some(from)).await?;
            Ok((self.noticing(batch, &row.value, Change::Password, Some(from)).await?, session))
        })
        .await
    }

    async fn begin_session(
        &self,
        person: PersonId,
        first: FirstStep<'_>,
        proof: Option<([u8; 32], Second<'_>)>,
        from: &Visitor,
    ) -> Result<NewSession, SignInError> {
        let second_factor = proof.is_some() || first.both_steps;
        rows::change(&self.events, || async {
            let mut row = self.find_person(person).await?.ok_or(SignInError::Wrong)?;
            // A password that was changed since it was compared lets nobody in any more.
            if row.value.password != *first.compared {
                return Err(SignInError::ChallengeOver);
            }
            let (mut used, mut signed) = (None, Batch::new());
            match proof {
                Some((_, Second::Passkey(assertion, challenge))) => {
                    signed = self.passkey_signed(assertion, challenge, Whose::Of { person, verified: false }, from).await?.rewritten();
                }
                Some((_, Second::Typed(proof))) => {
                    used = self.proven(person, &mut row.value.second_factor, proof).map_err(|error| match error {
                        SecondFactorError::State(error) => SignInError::State(error),
                        _ => SignInError::Code,
                    })?;
                }
                // It was enabled since the password was compared.
                None if row.value.second_factor.is_active() && !first.both_steps => return Err(SignInError::ChallengeOver),
                None => {}
            }
            let letter = self.noticing_sign_in(Batch::new(), &mut row.value, from).await?;
            let mut batch = row.rewritten().and(signed).and(letter);
            if let Some((challenge, _)) = proof {
                batch = batch.delete(CHALLENGES, challenge);
            }
            if let Some(happening) = used {
                if let Happening::RecoveryCodeUsed { left } = happening {
                    batch = self.noticing(batch, &row.value, Change::RecoveryCodeUsed { left }, Some(from)).await?;
                }
                batch = self.telling(batch, person, happening, Some(from)).await?;
            }
            let happening = match first.via {
                Some(via) => Happening::SignedInByProvider { issuer: via.issuer.to_string(), second_factor },
                None => Happening::SignedIn { second_factor },
            };
            let batch = self.telling(batch, person, happening, Some(from)).await?;
            let shown = if second_factor { Shown::SecondFactor } else { Shown::Password };
            Ok(self.beginning_session_via(batch, person, (shown, first.via.cloned()), from).await?)
        })
        .await
        .inspect(|_| counters::signed_in(second_factor))
    }

    /// Lets somebody in for whom a provider has vouched. A second factor of ours is asked for, unless the provider has seen one and is
    /// trusted with that.
    pub(crate) async fn let_in_via(&self, person: PersonId, via: &Via, both_steps: bool, from: &Visitor) -> Result<Entered, SignInError> {
        let row = self.find_person(person).await?.ok_or(SignInError::Wrong)?;
        if row.value.second_factor.is_active() && !both_steps {
            return Ok(Entered::SecondFactor(self.challenge(person, row.value.password, Some(via.clone()), from).await?));
        }
        let first = FirstStep { compared: &row.value.password, via: Some(via), both_steps };
        Ok(Entered::Session(self.begin_session(person, first, None, from).await?))
    }

    async fn challenge(&self, person: PersonId, compared: Kept, via: Option<Via>, from: &Visitor) -> Result<Challenge, SignInError> {
        let drawn = secret::draw(&*self.random);
        let ends = self.clock.now() + CHALLENGE_ENDS;
        let waiting = Waiting { person, compared, ends, tries: CHALLENGE_TRIES, via };
        let batch = rows::new(CHALLENGES, secret::digest_of(CHALLENGE_PURPOSE, &drawn), &waiting);
        let batch = self.telling(batch, person, Happening::SecondFactorAsked, Some(from)).await?;
        self.events.commit(batch).await.map_err(StateError::Commit)?;
        Ok(Challenge { secret: drawn, ends })
    }

    /// Forgets sign-ins that nobody went on with.
    pub(crate) async fn forget_ended_challenges(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, CHALLENGES, |waiting: &Waiting| waiting.ends <= now, |batch, _, _| batch).await
    }

    /// One write for every refusal, whether somebody has the address or not.
    pub(crate) async fn record_refusal(&self, key: PersonKey, reason: &'static str, from: &Visitor) -> Result<(), StateError> {
        counters::refused(reason);
        let batch = match key {
            PersonKey::Known(person) => {
                let happening = Happening::SignInRefused { reason: reason.to_owned() };
                self.telling(Batch::new(), person, happening, Some(from)).await?
            }
            PersonKey::Invented(_) => self.stating(Batch::new(), &Fact::UnknownAddressTried)?,
        };
        self.events.commit(batch).await?;
        Ok(())
    }

    /// The same of somebody who was asked once more. That it happened too often is told to the owner, since whoever it was knows
    /// the password, or has a session.
    pub(crate) async fn record_refused_proof(&self, person: PersonId, reason: &'static str, from: &Visitor) -> Result<(), StateError> {
        counters::refused(reason);
        let happening = Happening::SignInRefused { reason: reason.to_owned() };
        let batch = self.telling(Batch::new(), person, happening, Some(from)).await?;
        let too_often = self.throttle().has_just_failed_too_often(PersonKey::Known(person));
        let batch = match self.find_person(person).await?.filter(|_| too_often) {
            Some(row) => self.noticing(batch, &row.value, Change::ProofsRefused, Some(from)).await?,
            None => batch,
        };
        self.events.commit(batch).await?;
        Ok(())
    }

    async fn keep_anew(&self, person: PersonId, password: &Secret, compared: Kept) -> Result<Kept, SignInError> {
        // A password from before the present rules stays good; it is only kept at the present cost.
        let Ok(password) = NewPassword::new(password.clone()) else { return Ok(compared) };
        let kept = self.passwords.keep_anyway(&password).await?;
        rows::change(&self.events, || async {
            let mut row = self.find_person(person).await?.ok_or(SignInError::Wrong)?;
            // Somebody who changed it meanwhile must not get the old one back.
            if row.value.password != compared {
                return Err(SignInError::Wrong);
            }
            row.value.password = kept.clone();
            Ok((row.rewritten(), kept.clone()))
        })
        .await
    }
}

/// Invented addresses are told apart for the throttle only.
pub(crate) fn invented(email: Option<&Email>) -> u64 {
    let digest = secret::digest_of("invented address", &Secret::from(email.map(Email::folded).unwrap_or_default()));
    digest[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

impl Tells for SignInError {
    fn told(&self) -> Told<'_> {
        match self {
            Self::Wrong => Told::own(Kind::Unauthenticated, "wrong-password"),
            Self::Code => Told::own(Kind::Unauthenticated, "wrong-code"),
            Self::Passkey(_) => Told::own(Kind::Unauthenticated, "passkey-refused"),
            Self::SecondFactorNeeded => Told::own(Kind::Unauthenticated, "second-factor-needed"),
            Self::NoPasskeys => Told::own(Kind::Conflict, "no-passkeys"),
            Self::ChallengeOver => Told::own(Kind::Unauthenticated, "challenge-over"),
            Self::Wait { wait } => Told::wait(*wait),
            Self::Refused(error) => Told::Below(error),
            Self::Busy(error) => Told::Below(error),
            Self::State(error) => Told::Below(error),
        }
    }
}
