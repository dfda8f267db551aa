//! What takes letters away: a mail server, or a folder that captures them.

use crate::Email;
use gatehouse_types::Secret;
use std::{fmt, pin::Pin};

/// From whom to whom a letter goes, as the mail server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The letter's id, which is part of its `Message-ID`.
    pub id: String,
    /// Who hears of what cannot be delivered.
    pub from: Email,
    /// Whom it is for.
    pub to: Email,
}

/// A letter was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NotCarried {
    /// Who is to blame, and with it what to do.
    pub blame: Blame,
    /// One word for metrics.
    pub reason: &'static str,
    /// What happened, in the words of whoever refused.
    pub text: String,
}

/// Who is to blame that a letter was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The letter, for good: trying again is pointless.
    Letter,
    /// The letter, for now.
    Moment,
    /// Not this letter: the server is away, or takes nothing from us. Others need not be tried at this moment.
    Server,
}

/// A letter on its way.
pub type Carried<'a> = Pin<Box<dyn Future<Output = Result<(), NotCarried>> + Send + 'a>>;

/// Letting go of what was held for letters.
pub type Resting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Takes letters away. When it answers that all is well, somebody else is responsible for the letter.
pub trait Carrier: Send + Sync + fmt::Debug {
    /// Carries one letter.
    fn carry<'a>(&'a self, envelope: &'a Envelope, letter: &'a Secret) -> Carried<'a>;

    /// No more letters wait: what is held for them is let go.
    fn rest(&self) -> Resting<'_> {
        Box::pin(std::future::ready(()))
    }
}

impl NotCarried {
    pub(crate) fn new(blame: Blame, reason: &'static str, text: impl Into<String>) -> Self {
        let text: String = text.into();
        // What a server says may hold anything, and ends on an operator's terminal.
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_TEXT).collect();
        Self { blame, reason, text }
    }
}

/// So much of a refusal is kept.
const MOST_TEXT: usize = 300;
