//! What `gatehouse ca` prints.

use super::super::{Output, Tint};
use crate::app::custody::{Answer, RecordInfo, StatusInfo};
use gatehouse_ca::{CaState, Issuance, Standing};
use serde::{Serialize, Serializer};
use std::fmt;

pub(super) struct Shown<'a> {
    pub(super) answer: &'a Answer,
    pub(super) output: Output,
}

/// What is inside, without the name of its kind: whoever asked knows what was asked.
impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.answer {
            Answer::Done(text) => serde_json::json!({ "done": text }).serialize(serializer),
            Answer::Status(status) => status.serialize(serializer),
            Answer::Keys(keys) => keys.serialize(serializer),
            Answer::Certificates(list) => list.serialize(serializer),
            Answer::Certificate(certificate) => certificate.serialize(serializer),
            Answer::Text(text) => serde_json::json!({ "pem": text }).serialize(serializer),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answer {
            Answer::Done(text) | Answer::Text(text) => writeln!(out, "{text}"),
            Answer::Status(status) => self.status(out, status),
            Answer::Keys(keys) => keys.iter().try_for_each(|key| {
                let place = key.token.as_deref().unwrap_or("sealed here");
                writeln!(out, "{}  {:<24} since {}  {place}", key.fingerprint, key.purpose, key.created)
            }),
            Answer::Certificates(list) => {
                list.iter().try_for_each(|record| self.record(out, record))?;
                if list.is_empty() { writeln!(out, "no certificates") } else { Ok(()) }
            }
            Answer::Certificate(certificate) => {
                self.record(out, &certificate.record)?;
                write!(out, "{}", certificate.chain)
            }
        }
    }
}

impl Shown<'_> {
    fn status(&self, out: &mut fmt::Formatter<'_>, status: &StatusInfo) -> fmt::Result {
        match &status.issuance {
            Issuance::Open => writeln!(out, "issuing: {}", self.output.tint(Tint::Good, "open"))?,
            Issuance::Halted { cause, since } => {
                writeln!(out, "issuing: {} since {since}: {cause}", self.output.tint(Tint::Bad, "halted"))?;
                writeln!(out, "         `gatehouse ca resume` lifts it")?;
            }
        }
        if status.authorities.is_empty() {
            return writeln!(out, "no authorities; `gatehouse ca init` makes them");
        }
        for ca in &status.authorities {
            let tint = match ca.state {
                CaState::Active => Tint::Good,
                CaState::Trusted | CaState::Awaiting => Tint::Warning,
                CaState::Withdrawn => Tint::Bad,
            };
            let subject = ca.subject.as_deref().unwrap_or("awaits its certificate");
            let until = ca.not_after.map(|end| format!(" until {end}")).unwrap_or_default();
            writeln!(out, "{}  {}  {subject}{until}", self.output.tint(Tint::Strong, ca.id), self.output.tint(tint, ca.state))?;
            if let Some(why_not) = &ca.why_not {
                writeln!(out, "         {} {why_not}", self.output.tint(Tint::Bad, "cannot sign:"))?;
            }
            if let Some((_, number, entries, next)) = status.lists.iter().find(|list| list.0 == ca.id) {
                writeln!(out, "         revocation list {number}: {entries} certificates, next by {next}")?;
            }
        }
        Ok(())
    }

    fn record(&self, out: &mut fmt::Formatter<'_>, record: &RecordInfo) -> fmt::Result {
        let (tint, standing) = match &record.standing {
            Standing::Current => (Tint::Good, "current".to_owned()),
            Standing::Superseded { good_until, .. } => (Tint::Warning, format!("superseded, good until {good_until}")),
            Standing::Revoked { at, reason } => (Tint::Bad, format!("revoked {at} ({reason})")),
            Standing::Expired => (Tint::Warning, "expired".to_owned()),
        };
        writeln!(
            out,
            "{}  {}  {}  by {} ({}) until {}",
            record.serial,
            self.output.tint(tint, standing),
            record.subject,
            record.authority,
            record.profile,
            record.not_after
        )
    }
}
