//! What is said about a route where it is declared: the words that its types cannot say.
//!
//! ```
//! use gatehouse_base::Kind;
//! use gatehouse_http::{Doc, Refusal, doc};
//!
//! const TAKEN: &[Refusal] = &[Refusal::new(Kind::Conflict, "name-taken")];
//!
//! let doc: Doc = doc("Make a room").about("Rooms have names that nobody else has.").refuses(TAKEN);
//! ```
//!
//! Everything else is read off the handler: who may ask from its [`Granted`](crate::Granted), parameters and body from its other
//! arguments, the answer from what it returns.

use crate::{Operation, Refusal};
use axum::http::StatusCode;
use schemars::JsonSchema;

/// The documentation of one route. Made by [`doc`].
#[derive(Clone, Debug)]
pub struct Doc {
    pub(crate) summary: &'static str,
    pub(crate) about: Option<&'static str>,
    refusals: Vec<&'static [Refusal]>,
    answers: Vec<Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    status: StatusCode,
    media_type: Option<&'static str>,
    schema: fn(&mut Operation<'_>, StatusCode, Option<&'static str>),
}

/// A route that does this, said as an order and in a line: "Sign in with address and password".
pub const fn doc(summary: &'static str) -> Doc {
    Doc { summary, about: None, refusals: Vec::new(), answers: Vec::new() }
}

impl Doc {
    /// What somebody needs to know who calls it, in sentences.
    #[must_use]
    pub const fn about(mut self, text: &'static str) -> Self {
        self.about = Some(text);
        self
    }

    /// The problems that its own operation may answer with. Those of its permission, of reading its arguments and of the door are
    /// known already. May be said several times.
    #[must_use]
    pub fn refuses(mut self, with: &'static [Refusal]) -> Self {
        self.refusals.push(with);
        self
    }

    /// It may answer with this status and this type in JSON. Said where the handler returns a bare response.
    #[must_use]
    pub fn answers<T: JsonSchema>(mut self, status: StatusCode) -> Self {
        self.answers.push(Answer {
            status,
            media_type: Some("application/json"),
            schema: |operation, status, media_type| operation.answer::<T>(status, media_type.unwrap_or_default()),
        });
        self
    }

    /// It may answer with this status and a body of this media type that is not JSON; `None` is no body.
    #[must_use]
    pub fn answers_with(mut self, status: StatusCode, media_type: Option<&'static str>) -> Self {
        self.answers.push(Answer {
            status,
            media_type,
            schema: |operation, status, media_type| operation.opaque_answer(status, media_type),
        });
        self
    }

    pub(crate) fn describe(&self, operation: &mut Operation<'_>) {
        for refusal in self.refusals.iter().copied().flatten() {
            operation.refusal(*refusal);
        }
        for answer in &self.answers {
            (answer.schema)(operation, answer.status, answer.media_type);
        }
    }
}
