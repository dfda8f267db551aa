//! One way to talk about errors.
//!
//! Every operation has an error enum of its own, in its caller's words. What the doors need to answer a peer
//! (whose fault, which code, which field, when to come back) they get from [`Fault`], and each door has one
//! table from [`Kind`] to its protocol's codes.

use std::{error::Error, time::Duration};

/// Who has to do something about a refusal, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong in form or value; repeating it is pointless.
    Invalid,
    /// The caller has not shown who it is.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// There is no such thing, or the caller may not know that there is.
    NotFound,
    /// The state of things does not allow it, or changed meanwhile.
    Conflict,
    /// A bound that configuration names was reached by this caller.
    Exhausted,
    /// Something that we need is away; the same request may succeed later.
    Unavailable,
    /// Our fault.
    Internal,
}

/// An error that a door can answer with.
pub trait Fault: Error {
    /// Whose fault it is.
    fn kind(&self) -> Kind;

    /// A stable word for programs, in lower case with hyphens.
    fn code(&self) -> &'static str;

    /// The input field that is to blame.
    fn field(&self) -> Option<&str> {
        None
    }

    /// When it makes sense to try again.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}
