//! Mail: letters that are written with what caused them, wait in the store, and are carried away by a mail server.
//!
//! A part of the program declares its letters as types ([`Letter`]) and puts them into its batches ([`Outbox::enclose`]). One task
//! ([`Outbox::run`]) gives them to a [`Carrier`]: a mail server ([`Smtp`]), or a folder for development and tests ([`Capture`]).
//! A letter is delivered at least once, with the same `Message-ID` every time, or given up and kept for an operator to see.
//!
//! What a letter says comes only from its type: text and HTML are made of the same sentences, and what strangers call themselves
//! becomes neither markup nor a header. In the store letters are sealed.
//!
//! This crate knows no people and no rooms, receives no mail, and believes no mail server about anything but whether it took a letter.

mod capture;
mod care;
mod carrier;
mod config;
mod content;
mod counters;
mod delivery;
mod email;
mod error;
mod held;
mod message;
mod outbox;
mod rows;
mod sender;
mod smtp;
#[cfg(test)]
mod tests;

pub use capture::Capture;
pub use care::LetterInfo;
pub use carrier::{Blame, Carried, Carrier, Envelope, NotCarried, Resting};
pub use config::{Config, Delivery};
pub use content::{Content, Letter};
pub use counters::METRICS;
pub use delivery::Round;
pub use email::{Email, EmailError};
pub use error::{EncloseError, OutboxError};
pub use message::ComposeError;
pub use outbox::Outbox;
pub use rows::{Fact, SCHEMA, STREAM};
pub use sender::{Sender, SenderError};
pub use smtp::{Config as SmtpConfig, Security, Smtp, SmtpSetupError};

use gatehouse_base::{Clock, SystemRandom};
use gatehouse_types::{Random, Secret, UnixTime};
use message::Letterhead;
use std::sync::Arc;

/// What carries letters, as it is configured; nothing where there is no mail.
///
/// # Errors
/// A mail server cannot be used.
pub fn carrier(config: &Config, clock: Arc<dyn Clock>, installation: &str) -> Result<Option<Arc<dyn Carrier>>, SmtpSetupError> {
    Ok(match &config.delivery {
        Some(Delivery::Smtp(smtp)) => Some(Arc::new(Smtp::new(smtp.clone(), installation)?)),
        Some(Delivery::Capture(folder)) => Some(Arc::new(Capture::new(folder.clone(), clock))),
        None => None,
    })
}

/// A letter for an operator who wants to know whether mail works, with its envelope. It goes past the outbox.
///
/// # Errors
/// It cannot be written.
pub fn trial(config: &Config, installation: &str, to: Email, now: UnixTime) -> Result<(Envelope, Secret), ComposeError> {
    let mut id = [0; 16];
    SystemRandom.fill(&mut id);
    let id = rows::shown(&id);
    let head = Letterhead { from: config.from.clone(), reply_to: config.reply_to.clone(), installation: installation.to_owned() };
    let content = Content::new("A letter from Gatehouse").paragraph("Mail works: this letter was sent by `gatehouse mail test`.");
    let letter = head.compose(&id, &to, content, now)?;
    Ok((Envelope { id, from: config.from.email().clone(), to }, letter))
}
