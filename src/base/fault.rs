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

/// The error's text with those of its causes, for logs and for the owner of the machine; peers are told less. A cause whose text
/// the error repeats is not told twice.
pub fn with_causes(error: &(impl Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let own = cause.to_string();
        if !text.contains(&own) {
            text = format!("{text}: {own}");
        }
        source = cause.source();
    }
    text
}

/// The caller may not do what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has not shown who it is.
    #[error("this needs a caller that has shown who it is")]
    Unauthenticated,
    /// It is known, and may not do this.
    #[error("the caller may not do this")]
    Forbidden,
}

impl Fault for Denied {
    fn kind(&self) -> Kind {
        match self {
            Self::Unauthenticated => Kind::Unauthenticated,
            Self::Forbidden => Kind::Forbidden,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layered(texts: &[&'static str]) -> Layer {
        let (text, causes) = texts.split_first().expect("one at least");
        Layer { text, source: (!causes.is_empty()).then(|| Box::new(layered(causes))) }
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_nothing_twice() {
        assert_eq!(with_causes(&layered(&["no start", "no store", "disk full"])), "no start: no store: disk full");
        assert_eq!(with_causes(&layered(&["no start: no store", "no store", "disk full"])), "no start: no store: disk full");
    }
}
