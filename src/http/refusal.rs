//! What a route may answer when it does not do what it was asked for, as it is written in the document of the API.

use crate::problem::status;
use axum::http::StatusCode;
use gatehouse_base::Kind;

/// One problem that a route may answer with: the status and the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
}

impl Refusal {
    /// What a fault of this kind with this code becomes.
    pub const fn new(kind: Kind, code: &'static str) -> Self {
        Self::of_status(status(kind), code)
    }

    /// The status that it is answered with.
    ///
    /// # Panics
    /// Never: it was made of one.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("it was made of a status")
    }

    pub(crate) const fn of_status(status: StatusCode, code: &'static str) -> Self {
        Self { status: status.as_u16(), code }
    }
}
