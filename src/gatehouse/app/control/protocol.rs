//! What is said over the control socket.

use gatehouse_base::{Fault, Kind, with_causes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// No request line is longer.
pub(super) const MAX_REQUEST: u64 = 64 * 1024;

/// No answer line is longer.
pub(super) const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// Something that the running server can be asked.
pub trait Request: Serialize + DeserializeOwned + Send + 'static {
    /// Its name on the wire.
    const NAME: &'static str;
    /// What comes back.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<T> {
    pub(super) request: String,
    pub(super) arguments: T,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reply<T> {
    Answer(T),
    Refusal(Refusal),
}

/// Why the server did not do what it was asked, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    kind: String,
    code: String,
    message: String,
}

const KINDS: &[(&str, Kind)] = &[
    ("invalid", Kind::Invalid),
    ("unauthenticated", Kind::Unauthenticated),
    ("forbidden", Kind::Forbidden),
    ("not-found", Kind::NotFound),
    ("conflict", Kind::Conflict),
    ("exhausted", Kind::Exhausted),
    ("unavailable", Kind::Unavailable),
    ("internal", Kind::Internal),
];

impl Refusal {
    /// A refusal in the server's own words.
    pub fn new(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        let name = KINDS.iter().find(|(_, known)| *known == kind).map_or("internal", |(name, _)| name);
        Self { kind: name.to_owned(), code: code.to_owned(), message: message.into() }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        KINDS.iter().find(|(name, _)| *name == self.kind).map_or(Kind::Internal, |(_, kind)| *kind)
    }

    /// The stable word for programs.
    pub fn code(&self) -> &str {
        &self.code
    }
}

/// The other end is the machine's owner: it gets the whole chain of causes.
impl<F: Fault> From<F> for Refusal {
    fn from(fault: F) -> Self {
        Self::new(fault.kind(), fault.code(), with_causes(&fault))
    }
}
