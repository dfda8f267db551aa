//! The table of what must be said about every chain of the corpus.

use crate::{
    Error,
    chain::{Purpose, Question, Revocation},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// One row of `verdicts.toml`.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The folder of the chain, such as `good/p256`.
    pub chain: String,
    /// What is asked.
    pub question: Question,
    /// `accept`, or the code of the rule that is broken.
    pub verdict: String,
}

/// Reads the table.
pub fn read(text: &str) -> Result<Vec<Verdict>, Error> {
    let table: Table = toml::from_str(text)?;
    table.rows.into_iter().map(Row::into_verdict).collect()
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "row")]
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    chain: String,
    verdict: String,
    purpose: Option<Purpose>,
    at: Option<String>,
    revocation: Option<Revocation>,
    #[serde(default)]
    accepts_expired_leaf: bool,
    #[serde(default)]
    accepts_missing_key_ids: bool,
    lead: Option<usize>,
}

impl Row {
    fn into_verdict(self) -> Result<Verdict, Error> {
        let strict = Question::CLIENT;
        let at = self.at.map_or(Ok(strict.at), |at| OffsetDateTime::parse(&at, &Rfc3339)).map_err(|_| Error::Row)?;
        let question = Question {
            purpose: self.purpose.unwrap_or(strict.purpose),
            at,
            revocation: self.revocation.unwrap_or(strict.revocation),
            accepts_expired_leaf: self.accepts_expired_leaf,
            accepts_missing_key_ids: self.accepts_missing_key_ids,
            lead: self.lead,
        };
        Ok(Verdict { chain: self.chain, question, verdict: self.verdict })
    }
}
