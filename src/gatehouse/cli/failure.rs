//! How a command fails: what went wrong, what to do next, and the exit code.

use crate::app::control::Refusal;
use gatehouse_base::{Fault, Kind, with_causes};
use std::{fmt, process::ExitCode};

/// With which code the process ends. The numbers are part of the interface: scripts look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command did what it was asked.
    Done = 0,
    /// It failed, and it is our fault.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// The input is wrong, or a check of it failed.
    Invalid = 4,
    /// The caller may not do this.
    Denied = 5,
    /// There is no such thing.
    NotFound = 6,
    /// The state of things does not allow it.
    Conflict = 7,
    /// Something that is needed is away or full; the same command may succeed later.
    Unavailable = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The command line's one table from kinds of faults to its codes.
impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Invalid => Self::Invalid,
            Kind::Unauthenticated | Kind::Forbidden => Self::Denied,
            Kind::NotFound => Self::NotFound,
            Kind::Conflict => Self::Conflict,
            Kind::Exhausted | Kind::Unavailable => Self::Unavailable,
            Kind::Internal => Self::Failed,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    pub(super) exit: Exit,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) advice: Option<String>,
}

impl Failure {
    /// A failure in the command line's own words.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        let code = match exit {
            Exit::Done => "done",
            Exit::Failed => "internal",
            Exit::Usage => "usage",
            Exit::Config => "configuration",
            Exit::Invalid => "invalid",
            Exit::Denied => "denied",
            Exit::NotFound => "not-found",
            Exit::Conflict => "conflict",
            Exit::Unavailable => "unavailable",
        };
        Self { exit, code: code.to_owned(), message: message.into(), advice: None }
    }

    /// A failure whose answer has said everything already: only the exit code is left to give.
    pub(super) fn silent(exit: Exit) -> Self {
        Self::new(exit, String::new())
    }

    /// The same failure with a sentence about what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same failure behind what the command was doing when it happened.
    #[must_use]
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// With which code the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// Any part's error becomes a failure with its chain of causes in the message.
impl<F: Fault + 'static> From<F> for Failure {
    fn from(fault: F) -> Self {
        Self { exit: fault.kind().into(), code: fault.code().to_owned(), message: with_causes(&fault), advice: None }
    }
}

/// What the running server refuses keeps its code; there it was a fault like any other.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { exit: refusal.kind().into(), code: refusal.code().to_owned(), message: refusal.to_string(), advice: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the shelf could not be read")]
    struct Shelf(#[source] std::io::Error);

    impl Fault for Shelf {
        fn kind(&self) -> Kind {
            Kind::Unavailable
        }

        fn code(&self) -> &'static str {
            "shelf"
        }
    }

    #[test]
    fn a_fault_keeps_its_code_and_its_causes() {
        let failure = Failure::from(Shelf(std::io::Error::other("the disk is on fire"))).during("reading");
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Unavailable, "shelf"));
        assert_eq!(failure.message, "reading: the shelf could not be read: the disk is on fire");
    }
}
