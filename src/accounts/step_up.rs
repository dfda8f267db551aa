//! Asking again before what is dangerous: a session that was left open, or taken, must not be enough for it.
//!
//! Whoever has shown a password with the second factor that they have, or a passkey that made sure of them, within `step_up_window` is
//! stepped up: by signing in, or by doing it again in the session they are in. [`SteppedUp`] is the proof of that, which dangerous
//! operations demand; it is made where a caller is checked, and nowhere else. Tokens and programs are never stepped up.

use crate::{
    Accounts, Assertion, Attempt, Happening, Proof, RequestOptions, SecondFactorError, SelfInSession, SignInError, Visitor,
    letters::Change,
    passkey::{Challenge, Purpose, Whose},
    password::{Kept, Verdict},
    rows,
    session::SessionId,
    throttle::PersonKey,
};
use gatehouse_base::{Fault, Kind};
use gatehouse_store::Batch;
use gatehouse_types::{PersonId, Secret, UnixTime};

/// Somebody in a session who has proven lately who they are. Made where a caller is checked.
#[derive(Clone, Copy, Debug)]
pub struct SteppedUp {
    pub(crate) person: PersonId,
    pub(crate) session: SessionId,
}

/// It has to be proven once more who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("show once more who you are, by `/v1/me/step-up` in your session, and ask again")]
pub struct StepUpNeeded;

impl Fault for StepUpNeeded {
    fn kind(&self) -> Kind {
        Kind::Forbidden
    }

    fn code(&self) -> &'static str {
        "step-up-needed"
    }
}

/// What is shown to step up.
#[derive(Clone, Debug)]
pub enum StepUp {
    /// The password, with the second factor where there is one.
    Password {
        /// The password.
        password: Secret,
        /// A code or a recovery code.
        second: Option<Proof>,
    },
    /// A passkey that makes sure of its owner.
    Passkey(Box<Assertion>),
}

/// The same with what was found out about it before anything is changed.
enum Looked<'a> {
    Password(Kept, Option<&'a Proof>),
    Passkey(&'a Assertion, Challenge),
}

impl Accounts {
    /// What a browser is to ask for when somebody steps up with a passkey.
    ///
    /// # Errors
    /// The person has none.
    pub async fn step_up_options(&self, by: &SelfInSession) -> Result<RequestOptions, SignInError> {
        self.own_passkey_options(by.person, Purpose::StepUp(by.session)).await
    }

    /// Proves in a session once more who is in it. The answer is until when that holds.
    ///
    /// # Errors
    /// What is shown does not fit, or was tried too often.
    pub async fn step_up(&self, by: &SelfInSession, shown: &StepUp, from: &Visitor) -> Result<UnixTime, SignInError> {
        self.begin_attempt(by.person, from).map_err(|wait| SignInError::Wait { wait })?;
        let proven = match self.looked_at(by, shown).await {
            Ok(looked) => self.stepping_up(by, &looked, from).await,
            Err(error) => Err(error),
        };
        let (ended, reason) = match &proven {
            Ok(_) => (Attempt::Succeeded, None),
            Err(SignInError::Wrong) => (Attempt::Failed, Some("password")),
            Err(SignInError::Code) => (Attempt::Failed, Some("code")),
            Err(SignInError::Passkey(_)) => (Attempt::Failed, None),
            Err(_) => (Attempt::Undecided, None),
        };
        self.end_attempt(by.person, from, ended);
        let key = PersonKey::Known(by.person);
        match (&proven, shown, reason) {
            (Err(SignInError::Passkey(why)), StepUp::Passkey(assertion), _) => {
                self.record_passkey_refusal(key, assertion, *why, from).await?;
            }
            (_, _, Some(reason)) => self.record_refusal(key, reason, from).await?,
            _ => {}
        }
        proven
    }

    async fn looked_at<'a>(&self, by: &SelfInSession, shown: &'a StepUp) -> Result<Looked<'a>, SignInError> {
        match shown {
            StepUp::Passkey(assertion) => Ok(Looked::Passkey(assertion, self.take_claimed(Purpose::StepUp(by.session), assertion).await?)),
            StepUp::Password { password, second } => {
                let row = self.find_person(by.person).await?.ok_or(SignInError::Wrong)?;
                match self.passwords.compare(password, Some(&row.value.password)).await? {
                    Verdict::Wrong => Err(SignInError::Wrong),
                    _ => Ok(Looked::Password(row.value.password, second.as_ref())),
                }
            }
        }
    }

    async fn stepping_up(&self, by: &SelfInSession, looked: &Looked<'_>, from: &Visitor) -> Result<UnixTime, SignInError> {
        rows::change(&self.events, || async {
            let now = self.clock.now();
            let mut row = self.find_person(by.person).await?.ok_or(SignInError::Wrong)?;
            let (mut session, _) = self.session_proof(by.session).await?.ok_or(SignInError::ChallengeOver)?;
            let (mut used, mut signed) = (None, Batch::new());
            match looked {
                Looked::Passkey(assertion, challenge) => {
                    let whose = Whose::Of { person: by.person, verified: true };
                    signed = self.passkey_signed(assertion, challenge, whose, from).await?.rewritten();
                }
                Looked::Password(compared, _) if row.value.password != *compared => return Err(SignInError::Wrong),
                Looked::Password(_, Some(proof)) => {
                    used = self.proven(by.person, &mut row.value.second_factor, proof).map_err(|error| match error {
                        SecondFactorError::State(error) => SignInError::State(error),
                        _ => SignInError::Code,
                    })?;
                }
                Looked::Password(_, None) if row.value.second_factor.is_active() => return Err(SignInError::SecondFactorNeeded),
                Looked::Password(_, None) => {}
            }
            session.value.prove(now);
            let mut batch = row.rewritten().and(signed).and(session.rewritten());
            if let Some(happening) = used {
                if let Happening::RecoveryCodeUsed { left } = happening {
                    batch = self.noticing(batch, &row.value, Change::RecoveryCodeUsed { left }, Some(from)).await?;
                }
                batch = self.telling(batch, by.person, happening, Some(from)).await?;
            }
            let batch = self.telling(batch, by.person, Happening::SteppedUp, Some(from)).await?;
            Ok((batch, now + self.config.step_up_window))
        })
        .await
    }

    /// Whether what was proven at this time is recent enough for what is dangerous.
    pub(crate) fn is_lately(&self, proven: UnixTime) -> bool {
        self.clock.now() < proven + self.config.step_up_window
    }
}

#[cfg(test)]
impl SteppedUp {
    /// Somebody of whom a test says so.
    pub(crate) fn pretended(person: PersonId) -> Self {
        Self { person, session: SessionId([7; 32]) }
    }
}
