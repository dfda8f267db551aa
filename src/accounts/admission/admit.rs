//! Letting a device in for a code, and going on with a refresh token. What is decided is committed together with the sealed answer and the
//! event, before the device hears of it: whatever ends this process, the device asks again and gets the same answer.
//!
//! Two equal requests at one moment are one and a repetition: the second finds the row changed and is decided anew.

use super::{
    AdmissionError, Admissions, OWN_PROVIDER, Tokens,
    alarm::About,
    answer::Answer,
    authority::Entitlement,
    code::{self, CODES, Code, State},
    event::{Ending, Fact},
    family::{Admission, AdmissionId, Halves, Open, Shown, Theft, Verdict},
    places::Kind,
    presenter::Presenter,
};
use crate::{
    StateError, counters,
    rows::{self, Row},
    secret::Digest,
};
use gatehouse_store::{Batch, Table, codec::Bytes};
use gatehouse_types::{DeviceId, OrganisationId, Secret, UnixTime};
use std::time::Duration;

/// Admissions: organisation, then the admission's id.
pub(crate) const ADMISSIONS: Table = Table::new("admissions");
/// The admission that a device has: organisation, then device.
pub(crate) const ADMITTED: Table = Table::new("admissions-of-devices");
/// The key of the admission behind the digest of the first half of its refresh tokens.
pub(crate) const FAMILIES: Table = Table::new("admission-families");

/// An answer whose access token ends sooner is made anew when it is asked for again: a device signs in with one that is good for two
/// minutes at least.
const LEAST_LEFT: Duration = Duration::from_secs(240);

/// What a decision about something that was shown comes to, beside its batch.
enum Outcome {
    Answer(Answer, How),
    /// The admission's time was over.
    Ended(OrganisationId),
    /// Somebody else has it; what it belonged to, in this organisation, has ended if there was anything.
    Stolen(Theft, Option<OrganisationId>),
}

/// For what there is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Code,
    Refresh,
    Repeated,
}

impl How {
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Refresh => "refresh",
            Self::Repeated => "repeated",
        }
    }
}

impl Admissions {
    /// Lets a device in for a code of ours, or for a token of the authority that `provider` names; ours when it names none.
    ///
    /// The same code shown again over the same key is answered in the same way until the answer was used. Over another key, or later, it
    /// ends what it gave and raises an alarm.
    ///
    /// # Errors
    /// Why not; which of them the device is better not told is for the caller to know.
    pub async fn exchange(&self, provider: Option<&str>, shown: &Secret, at: &Presenter, now: UnixTime) -> Result<Tokens, AdmissionError> {
        let foreign = provider.is_some_and(|provider| provider != OWN_PROVIDER);
        let is_code = !foreign && shown.expose().starts_with(code::PREFIX.as_bytes());
        let (key, entitled) = if is_code { (code::key_of_code(shown), None) } else { self.entitled(provider, shown, now).await? };
        let admitted = self.admitted(at.organisation, at.device).await?.is_some();
        // Taken before it is known whether the code is good; given back when it is not.
        let place = if admitted { None } else { Some(self.take_admission_place(at.organisation).await?) };
        let outcome = rows::change::<_, AdmissionError, _>(&self.accounts.events, || async {
            let row = rows::find::<Code>(&self.accounts.events, CODES, key).await?;
            let fresh = entitled.clone().map(|(entitled, authority)| Code::of_token(entitled, &authority, now));
            let Some(code) = row.as_ref().map(|row| row.value.clone()).or(fresh) else {
                return Err(AdmissionError::NotGood);
            };
            match code.admission()? {
                Some(id) => self.shown_again(&code, id, key, shown, at, now).await,
                None => self.shown_first(row, code, key, shown, at, now).await,
            }
        })
        .await
        .inspect_err(refused)?;
        if let Outcome::Answer(_, How::Code) = outcome {
            if let Some(place) = place {
                place.keep();
            }
            if is_code {
                self.give_back(Kind::Code, at.organisation);
            }
        }
        self.told(outcome, at, now)
    }

    /// Gives the next tokens for a refresh token. The same one shown again over the same key is answered in the same way until the answer
    /// was used; everything else that is not the present one ends the family and raises an alarm.
    ///
    /// # Errors
    /// Why not.
    pub async fn refresh(&self, shown: &Secret, at: &Presenter, now: UnixTime) -> Result<Tokens, AdmissionError> {
        let halves = Halves::read(shown).ok_or(AdmissionError::NotGood).inspect_err(refused)?;
        let turn = Shown::Turn(halves.turn());
        let next = halves.next(&*self.accounts.random);
        let outcome = rows::change::<_, AdmissionError, _>(&self.accounts.events, || async {
            let (id, mut row) = self.of_family(&halves.family()).await?.ok_or(AdmissionError::NotGood)?;
            if self.accounts.is_suspended(row.value.organisation).await? {
                return Err(AdmissionError::Suspended);
            }
            match self.decided(&row.value, &turn, at, now) {
                Verdict::Over => Ok((ending(Batch::new(), &row), Outcome::Ended(row.value.organisation))),
                Verdict::Theft(why) => self.stolen(id, &row, why, at, now),
                Verdict::Repeat | Verdict::Turn if !row.value.is_of(at) => Err(AdmissionError::NotGood),
                Verdict::Repeat => self.repeated(id, row, shown, now),
                Verdict::Turn => {
                    let admission = &mut row.value;
                    admission.turns += 1;
                    admission.turn = next.turn();
                    admission.used = admission.used.max(now);
                    let answer = self.answering(id, admission, &next.text(), now)?;
                    let sealed = answer.seal(shown, &admission.family, &*self.accounts.random)?;
                    admission.open = Some(Open { shown: turn.clone(), sealed });
                    Ok((row.rewritten(), Outcome::Answer(answer, How::Refresh)))
                }
            }
        })
        .await
        .inspect_err(refused)?;
        self.told(outcome, at, now)
    }

    async fn shown_first(
        &self,
        row: Option<Row<Code>>,
        mut code: Code,
        key: Digest,
        shown: &Secret,
        at: &Presenter,
        now: UnixTime,
    ) -> Result<(Batch, Outcome), AdmissionError> {
        if now >= code.ends {
            return Err(AdmissionError::NotGood);
        }
        if !code.fits(at) {
            return self.shown_elsewhere(row, code, at, now);
        }
        if self.accounts.is_suspended(at.organisation).await? {
            return Err(AdmissionError::Suspended);
        }
        let id = AdmissionId(self.accounts.draw());
        let halves = Halves::draw(&*self.accounts.random);
        let mut admission = Admission {
            organisation: at.organisation,
            device: at.device,
            hub: at.hub,
            group: code.group,
            authority: code.authority.clone(),
            key: at.key.as_bytes().to_vec().into(),
            began: now,
            used: now,
            turns: 1,
            family: halves.family().to_vec().into(),
            turn: halves.turn(),
            open: None,
        };
        let answer = self.answering(id, &admission, &halves.text(), now)?;
        let sealed = answer.seal(shown, &admission.family, &*self.accounts.random)?;
        admission.open = Some(Open { shown: Shown::Code(key.to_vec().into()), sealed });
        code.state = State::Used(id.0.to_vec().into());
        let written = match row {
            Some(mut row) => {
                row.value = code.clone();
                row.rewritten()
            }
            None => rows::new(CODES, key, &code),
        };
        let batch = Self::using(self.beginning(id, &admission).await?, &code, written);
        let fact = Fact::Admitted {
            admission: id.to_string(),
            device: at.device,
            hub: at.hub,
            group: code.group,
            authority: code.authority.clone(),
        };
        Ok((self.stating(batch, at.organisation, &fact, now)?, Outcome::Answer(answer, How::Code)))
    }

    /// A code that nobody has used is shown by another device than its own: that is told once, and does not spoil it for its own.
    fn shown_elsewhere(
        &self,
        row: Option<Row<Code>>,
        code: Code,
        at: &Presenter,
        now: UnixTime,
    ) -> Result<(Batch, Outcome), AdmissionError> {
        let same_device = code.organisation == at.organisation && code.device.is_none_or(|device| device == at.device);
        let (Some(mut row), Some(device)) = (row.filter(|row| row.value.state == State::Fresh && !same_device), code.device) else {
            return Err(AdmissionError::NotGood);
        };
        row.value.state = State::Leaked;
        let about = About { organisation: code.organisation, device, admission: None, why: Theft::OtherDevice };
        Ok((self.alarming(row.rewritten(), &about, at, now)?, Outcome::Stolen(Theft::OtherDevice, None)))
    }

    async fn shown_again(
        &self,
        code: &Code,
        id: AdmissionId,
        key: Digest,
        shown: &Secret,
        at: &Presenter,
        now: UnixTime,
    ) -> Result<(Batch, Outcome), AdmissionError> {
        let row = self.row(code.organisation, id).await?.ok_or(AdmissionError::NotGood)?;
        if self.accounts.is_suspended(code.organisation).await? {
            return Err(AdmissionError::Suspended);
        }
        match self.decided(&row.value, &Shown::Code(key.to_vec().into()), at, now) {
            Verdict::Theft(why) => self.stolen(id, &row, why, at, now),
            Verdict::Repeat if row.value.is_of(at) => self.repeated(id, row, shown, now),
            Verdict::Repeat | Verdict::Turn | Verdict::Over => Err(AdmissionError::NotGood),
        }
    }

    fn decided(&self, admission: &Admission, shown: &Shown, at: &Presenter, now: UnixTime) -> Verdict {
        admission.decide(shown, &at.key, now, self.config().idle)
    }

    fn stolen(
        &self,
        id: AdmissionId,
        row: &Row<Admission>,
        why: Theft,
        at: &Presenter,
        now: UnixTime,
    ) -> Result<(Batch, Outcome), AdmissionError> {
        let Admission { organisation, device, .. } = row.value;
        let about = About { organisation, device, admission: Some(id), why };
        Ok((self.alarming(ending(Batch::new(), row), &about, at, now)?, Outcome::Stolen(why, Some(organisation))))
    }

    /// The same answer. Only when its access token is about to end, that is made anew.
    fn repeated(
        &self,
        id: AdmissionId,
        mut row: Row<Admission>,
        shown: &Secret,
        now: UnixTime,
    ) -> Result<(Batch, Outcome), AdmissionError> {
        let admission = &row.value;
        let opened = admission.open.as_ref().and_then(|open| Answer::open(&open.sealed, shown, &admission.family));
        let answer = opened.ok_or(AdmissionError::NotGood)?;
        if now + LEAST_LEFT < answer.access_ends {
            return Ok((Batch::new(), Outcome::Answer(answer, How::Repeated)));
        }
        let answer = self.answering(id, admission, &answer.refresh(), now)?;
        let sealed = answer.seal(shown, &admission.family, &*self.accounts.random)?;
        if let Some(open) = &mut row.value.open {
            open.sealed = sealed;
        }
        row.value.used = row.value.used.max(now);
        Ok((row.rewritten(), Outcome::Answer(answer, How::Repeated)))
    }

    fn answering(&self, id: AdmissionId, admission: &Admission, refresh: &Secret, now: UnixTime) -> Result<Answer, AdmissionError> {
        let (access, ends) = self.signed(id, admission, now)?;
        Ok(Answer::new(&access, ends, refresh))
    }

    fn told(&self, outcome: Outcome, at: &Presenter, now: UnixTime) -> Result<Tokens, AdmissionError> {
        match outcome {
            Outcome::Answer(answer, how) => {
                counters::device_answered(how.name());
                let left = answer.access_ends.since(now).min(self.config().token_lifetime);
                Ok(Tokens { access: answer.access(), refresh: answer.refresh(), owner: at.organisation, lifetime: left })
            }
            Outcome::Ended(organisation) => {
                self.give_back(Kind::Admission, organisation);
                Err(AdmissionError::NotGood).inspect_err(refused)
            }
            Outcome::Stolen(why, ended) => {
                if let Some(organisation) = ended {
                    self.give_back(Kind::Admission, organisation);
                }
                counters::device_alarm(why.name());
                Err(AdmissionError::Stolen(why))
            }
        }
    }

    /// A new admission in a batch, in place of the one that the device had.
    async fn beginning(&self, id: AdmissionId, admission: &Admission) -> Result<Batch, StateError> {
        let Admission { organisation, device, began, .. } = *admission;
        let kept = Bytes::from(id.0.to_vec());
        let batch = match self.admitted(organisation, device).await? {
            None => rows::new(ADMITTED, of_device(organisation, device), &kept),
            Some(mut index) => {
                let old = AdmissionId::from_key(&index.value).ok_or_else(|| StateError::Damaged("a device's admission".to_owned()))?;
                index.value = kept;
                let batch = index.rewritten();
                match self.row(organisation, old).await? {
                    None => batch,
                    Some(row) => {
                        let batch = batch.and(row.deleted()).delete(FAMILIES, row.value.family.to_vec());
                        let fact = Fact::Ended { admission: old.to_string(), device, why: Ending::Replaced };
                        self.stating(batch, organisation, &fact, began)?
                    }
                }
            }
        };
        let batch = batch.and(rows::new(ADMISSIONS, key_of(organisation, id), admission));
        Ok(batch.and(rows::new(FAMILIES, admission.family.to_vec(), &Bytes::from(key_of(organisation, id)))))
    }

    pub(super) async fn admitted(&self, organisation: OrganisationId, device: DeviceId) -> Result<Option<Row<Bytes>>, StateError> {
        rows::find(&self.accounts.events, ADMITTED, of_device(organisation, device)).await
    }

    pub(super) async fn row(&self, organisation: OrganisationId, id: AdmissionId) -> Result<Option<Row<Admission>>, StateError> {
        rows::find(&self.accounts.events, ADMISSIONS, key_of(organisation, id)).await
    }

    async fn of_family(&self, family: &Digest) -> Result<Option<(AdmissionId, Row<Admission>)>, StateError> {
        let events = &self.accounts.events;
        let Some(key) = rows::find::<Bytes>(events, FAMILIES, *family).await? else { return Ok(None) };
        let id = key.value.get(16..).and_then(AdmissionId::from_key);
        let id = id.ok_or_else(|| StateError::Damaged("a refresh token's admission".to_owned()))?;
        Ok(rows::find::<Admission>(events, ADMISSIONS, key.value.to_vec()).await?.map(|row| (id, row)))
    }

    /// What an authority says about a token, and under what its use is kept.
    async fn entitled(
        &self,
        provider: Option<&str>,
        shown: &Secret,
        now: UnixTime,
    ) -> Result<(Digest, Option<(Entitlement, String)>), AdmissionError> {
        let (name, authority) = self.authority(provider).ok_or(AdmissionError::Provider)?;
        let entitled = authority.judge(shown, now).await?.ok_or(AdmissionError::NotGood).inspect_err(refused)?;
        Ok((code::key_of_token(&name, &entitled.once), Some((entitled, name))))
    }
}

fn refused(error: &AdmissionError) {
    match error {
        AdmissionError::NotGood => counters::device_refused("not-good"),
        AdmissionError::Suspended => counters::device_refused("suspended"),
        _ => {}
    }
}

/// The end of an admission, in a batch.
pub(super) fn ending(batch: Batch, row: &Row<Admission>) -> Batch {
    let Admission { organisation, device, family, .. } = &row.value;
    batch.and(row.deleted()).delete(FAMILIES, family.to_vec()).delete(ADMITTED, of_device(*organisation, *device))
}

pub(super) fn key_of(organisation: OrganisationId, id: AdmissionId) -> Vec<u8> {
    [organisation.as_bytes().as_slice(), &id.0].concat()
}

pub(super) fn of_device(organisation: OrganisationId, device: DeviceId) -> Vec<u8> {
    [organisation.as_bytes().as_slice(), device.as_bytes()].concat()
}
