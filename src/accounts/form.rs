//! Forms of pages as browsers send them back: complete, or refused in our own words.
//!
//! Both those that links in letters open and those of the provider read their forms here. What a field means is their own affair.

use axum::{Form, extract::rejection::FormRejection};
use gatehouse_base::{Fault, Kind};
use gatehouse_http::Problem;

/// What came with a request that should bring a form.
pub(crate) type Read<T> = Result<Form<T>, FormRejection>;

/// A form that is complete.
pub(crate) fn read<T>(form: Read<T>) -> Result<T, Problem> {
    form.map(|form| form.0).map_err(|_| NoForm.into())
}

#[derive(Debug, thiserror::Error)]
#[error("this is not what the page sends")]
struct NoForm;

impl Fault for NoForm {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        "bad-form"
    }
}
