//! The second factor: codes from an authenticator, passkeys, and recovery codes for the day when they are lost.
//!
//! Codes: off → enrolling (a secret is shown; asking again shows another one) → on, by a code that fits. Enrolling ends by
//! itself after ten minutes. While it is on, it is taken off only by a code, and no other authenticator can be enrolled.

use crate::{
    Accounts, Assertion, Attempt, Happening, StateError, SteppedUp, Visitor,
    letters::Change,
    rows,
    secret::{self, Digest},
    totp::{self, Step},
};
use data_encoding::BASE32_NOPAD;
use gatehouse_base::{Fault, Kind};
use gatehouse_store::codec::Bytes;
use gatehouse_types::{PersonId, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const ENROLLING_ENDS: Duration = Duration::from_secs(600);
const RECOVERY_CODES: usize = 10;
/// 120 bits: nobody guesses one, and a fast digest keeps it. Older ones had 80.
const RECOVERY_BYTES: usize = 15;
const RECOVERY_PURPOSE: &str = "recovery code";

/// How far somebody's second factor is. A stored type: its old forms must still load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecondFactor {
    state: State,
    recovery: Vec<Bytes>,
    /// The keys of the rows of passkeys.
    #[serde(default)]
    passkeys: Vec<Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    #[default]
    Off,
    Enrolling {
        sealed: Bytes,
        since: UnixTime,
    },
    On {
        sealed: Bytes,
        last: Step,
    },
}

/// What an authenticator is set up from. Shown once.
#[derive(Debug)]
pub struct Enrolment {
    /// The secret as people type it.
    pub secret: Secret,
    /// The link that carries it.
    pub link: Secret,
    /// The link as a picture, in SVG.
    pub picture: Secret,
}

/// Something about the second factor does not go.
#[derive(Debug, thiserror::Error)]
pub enum SecondFactorError {
    /// It is on.
    #[error("the second factor is on; take it off first")]
    On,
    /// It is off.
    #[error("the second factor is off")]
    Off,
    /// No enrolment is under way.
    #[error("no enrolment is under way, or it took longer than ten minutes; begin again")]
    NotEnrolling,
    /// The code does not fit.
    #[error("the code does not fit, or was used already")]
    Code,
    /// Too many codes did not fit.
    #[error("too many codes did not fit; wait {} seconds", wait.as_secs() + 1)]
    Wait {
        /// How long.
        wait: Duration,
    },
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl SecondFactor {
    /// Whether one is asked for besides the password.
    pub(crate) fn is_active(&self) -> bool {
        self.takes_codes() || !self.passkeys.is_empty()
    }

    fn takes_codes(&self) -> bool {
        matches!(self.state, State::On { .. })
    }

    pub(crate) fn passkeys(&self) -> &[Bytes] {
        &self.passkeys
    }

    /// Adds a passkey; the first second factor of all makes these recovery codes good, and the answer is them.
    pub(crate) fn add_passkey(&mut self, key: Digest, drawn: &[Secret]) -> Vec<Secret> {
        let first = !self.is_active();
        self.passkeys.push(key.to_vec().into());
        if !first {
            return Vec::new();
        }
        self.recovery = digests(drawn);
        drawn.to_vec()
    }

    pub(crate) fn remove_passkey(&mut self, key: &Digest) {
        self.passkeys.retain(|kept| **kept != *key);
        self.forget_recovery_if_off();
    }

    fn forget_recovery_if_off(&mut self) {
        if !self.is_active() {
            self.recovery.clear();
        }
    }
}

/// What somebody answers when a second factor is asked for.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A code from the authenticator.
    Code(String),
    /// One of the recovery codes.
    Recovery(Secret),
    /// A signature by a passkey.
    Passkey(Box<Assertion>),
}

impl Accounts {
    /// Begins an enrolment, or begins it anew.
    ///
    /// # Errors
    /// The second factor is on.
    pub async fn enrol_second_factor(&self, by: &SteppedUp) -> Result<Enrolment, SecondFactorError> {
        let person = by.person;
        let drawn = totp::generate(&*self.random);
        rows::change(&self.events, || async {
            let mut row = self.present(person).await?;
            if row.value.second_factor.takes_codes() {
                return Err(SecondFactorError::On);
            }
            let sealed = self.sealer.seal(&seal_subject(person), &drawn).map_err(StateError::Seal)?.into();
            row.value.second_factor.state = State::Enrolling { sealed, since: self.clock.now() };
            let link = totp::otpauth_link(&drawn, &self.config.issuer_name, row.value.email.as_str());
            let picture = totp::qr_code(&link).ok_or_else(|| StateError::Damaged("a link that fits no picture".to_owned()))?;
            Ok((row.rewritten(), Enrolment { secret: totp::typed(&drawn), link, picture }))
        })
        .await
    }

    /// Ends the enrolment by a code that fits: from now on codes are asked for. The answer is the recovery codes, shown
    /// once.
    ///
    /// # Errors
    /// The code does not fit, or no enrolment is under way.
    pub async fn confirm_second_factor(&self, by: &SteppedUp, code: &str, from: &Visitor) -> Result<Vec<Secret>, SecondFactorError> {
        let person = by.person;
        self.begin_attempt(person, from).map_err(|wait| SecondFactorError::Wait { wait })?;
        let codes = self.recovery_codes();
        let confirmed = rows::change(&self.events, || async {
            let mut row = self.present(person).await?;
            let now = self.clock.now();
            let State::Enrolling { sealed, since } = row.value.second_factor.state.clone() else {
                return Err(if row.value.second_factor.takes_codes() { SecondFactorError::On } else { SecondFactorError::NotEnrolling });
            };
            if now > since + ENROLLING_ENDS {
                return Err(SecondFactorError::NotEnrolling);
            }
            let opened = self.sealer.unseal(&seal_subject(person), &sealed).map_err(StateError::Seal)?;
            let last = totp::accepted(&opened, code, now, None).ok_or(SecondFactorError::Code)?;
            row.value.second_factor.state = State::On { sealed, last };
            row.value.second_factor.recovery = digests(&codes);
            let batch = self.telling(row.rewritten(), person, Happening::SecondFactorEnabled, Some(from)).await?;
            Ok((self.noticing(batch, &row.value, Change::SecondFactorOn, Some(from)).await?, ()))
        })
        .await;
        self.end_attempt(person, from, outcome(&confirmed));
        confirmed.map(|()| codes)
    }

    /// Takes the codes off. Passkeys stay.
    ///
    /// # Errors
    /// The proof does not hold, or it is off.
    pub async fn disable_second_factor(&self, by: &SteppedUp, proof: &Proof, from: &Visitor) -> Result<(), SecondFactorError> {
        let person = by.person;
        self.begin_attempt(person, from).map_err(|wait| SecondFactorError::Wait { wait })?;
        let disabled = rows::change(&self.events, || async {
            let mut row = self.present(person).await?;
            if !row.value.second_factor.takes_codes() {
                return Err(SecondFactorError::Off);
            }
            self.proven(person, &mut row.value.second_factor, proof)?;
            row.value.second_factor.state = State::Off;
            row.value.second_factor.forget_recovery_if_off();
            let batch = self.telling(row.rewritten(), person, Happening::SecondFactorDisabled, Some(from)).await?;
            Ok((self.noticing(batch, &row.value, Change::SecondFactorOff, Some(from)).await?, ()))
        })
        .await;
        self.end_attempt(person, from, outcome(&disabled));
        disabled
    }

    /// Checks what was typed and uses it up. The answer tells what to remember of it.
    pub(crate) fn proven(
        &self,
        person: PersonId,
        factor: &mut SecondFactor,
        proof: &Proof,
    ) -> Result<Option<Happening>, SecondFactorError> {
        match proof {
            Proof::Code(code) => {
                let State::On { sealed, last } = &mut factor.state else { return Err(SecondFactorError::Code) };
                let opened = self.sealer.unseal(&seal_subject(person), sealed).map_err(StateError::Seal)?;
                *last = totp::accepted(&opened, code, self.clock.now(), Some(*last)).ok_or(SecondFactorError::Code)?;
                Ok(None)
            }
            Proof::Recovery(code) => {
                let digest = Secret::new(recovery_digest(code).to_vec());
                let at = factor.recovery.iter().position(|kept| Secret::new(kept.to_vec()) == digest).ok_or(SecondFactorError::Code)?;
                factor.recovery.remove(at);
                Ok(Some(Happening::RecoveryCodeUsed { left: factor.recovery.len() }))
            }
            // Nothing that is typed; it is checked where its challenge is known.
            Proof::Passkey(_) => Err(SecondFactorError::Code),
        }
    }

    /// Whether somebody is asked for codes from an authenticator.
    pub(crate) async fn takes_codes(&self, person: PersonId) -> Result<bool, StateError> {
        Ok(self.find_person(person).await?.is_some_and(|row| row.value.second_factor.takes_codes()))
    }

    async fn present(&self, person: PersonId) -> Result<rows::Row<crate::person::Person>, StateError> {
        self.find_person(person).await?.ok_or(StateError::Contention)
    }

    pub(crate) fn recovery_codes(&self) -> Vec<Secret> {
        std::iter::repeat_with(|| self.recovery_code()).take(RECOVERY_CODES).collect()
    }

    /// Four letters or digits, a hyphen, and so on: what people copy from paper.
    fn recovery_code(&self) -> Secret {
        let mut bytes = vec![0; RECOVERY_BYTES];
        self.random.fill(&mut bytes);
        let letters = secret::lower_case(&BASE32_NOPAD, &Secret::new(bytes));
        let groups: Vec<&str> = (0..letters.len()).step_by(4).filter_map(|start| letters.get(start..start + 4)).collect();
        Secret::from(groups.join("-"))
    }
}

fn outcome<T>(result: &Result<T, SecondFactorError>) -> Attempt {
    match result {
        Ok(_) => Attempt::Succeeded,
        Err(SecondFactorError::Code) => Attempt::Failed,
        Err(_) => Attempt::Undecided,
    }
}

fn digests(codes: &[Secret]) -> Vec<Bytes> {
    codes.iter().map(|code| recovery_digest(code).to_vec().into()).collect()
}

fn recovery_digest(code: &Secret) -> Digest {
    let typed = secret::text(code).to_lowercase();
    let bare: String = typed.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    secret::digest_of(RECOVERY_PURPOSE, &Secret::from(bare))
}

fn seal_subject(person: PersonId) -> String {
    format!("second factor of {person}")
}

impl Fault for SecondFactorError {
    fn kind(&self) -> Kind {
        match self {
            Self::On | Self::Off | Self::NotEnrolling => Kind::Conflict,
            Self::Code => Kind::Invalid,
            Self::Wait { .. } => Kind::Exhausted,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::On => "second-factor-on",
            Self::Off => "second-factor-off",
            Self::NotEnrolling => "not-enrolling",
            Self::Code => "wrong-code",
            Self::Wait { .. } => "too-many-attempts",
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        matches!(self, Self::Code).then_some("code")
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Wait { wait } => Some(*wait),
            _ => None,
        }
    }
}
