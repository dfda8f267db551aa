//! The outbox as it lies in the store: letters, the two indexes by time, and what the stream of letters says.
//!
//! [`Outbox`](crate::Outbox) writes letters, [`delivery`](crate::delivery) and operators move and remove them. Nothing is decided here.

use crate::Email;
use gatehouse_events::Event;
use gatehouse_store::{Batch, Key, Schema, Stream, Table, codec::Bytes};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};

/// Letters by their id.
pub(crate) const LETTERS: Table = Table::new("mail-letters");
/// Letters that wait: when they are due, then the id; with their kind.
pub(crate) const DUE: Table = Table::new("mail-due");
/// Letters that were given up: since when, then the id; without content.
pub(crate) const DEAD: Table = Table::new("mail-dead");
/// How often a letter went to an address lately, by the digest of both.
pub(crate) const RECIPIENTS: Table = Table::new("mail-recipients");

/// What this crate keeps, for `Store::prepare`.
pub const SCHEMA: Schema = Schema { name: "mail", tables: &[LETTERS, DUE, DEAD, RECIPIENTS], migrations: &[] };

/// The stream of what happens to letters, without addresses.
pub const STREAM: &str = "mail";

pub(crate) const MARK: &[u8] = b"";

pub(crate) type Id = [u8; 16];

/// A letter as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) letter: String,
    pub(crate) to: Email,
    pub(crate) sealed: Bytes,
    pub(crate) made: UnixTime,
    pub(crate) due: UnixTime,
    /// When it is given up.
    pub(crate) until: UnixTime,
    pub(crate) attempts: u32,
    pub(crate) problem: Option<String>,
    pub(crate) dead: Option<UnixTime>,
}

/// How often a letter went to an address lately. A stored type.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Lately {
    pub(crate) since: UnixTime,
    pub(crate) letters: u32,
}

/// What happened to a letter. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// It was put into the outbox.
    Queued {
        /// Its id.
        id: String,
        /// Which letter.
        letter: String,
    },
    /// Somebody else is responsible for it now.
    Sent {
        /// Its id.
        id: String,
    },
    /// It was given up.
    GivenUp {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// An operator has it tried again.
    Retried {
        /// Its id.
        id: String,
    },
    /// An operator has thrown it away.
    Dropped {
        /// Its id.
        id: String,
    },
}

impl Event for Fact {
    const TYPE: &'static str = "mail.fact";
    const VERSION: u32 = 1;
}

pub(crate) fn stream() -> Stream {
    STREAM.parse().expect("a constant that is a stream's name")
}

/// Removes a letter with everything that says where it is.
pub(crate) fn without(batch: Batch, id: &Id, kept: &Kept) -> Batch {
    let batch = batch.delete(LETTERS, *id).delete(DUE, at(kept.due, id));
    kept.dead.map_or(batch.clone(), |since| batch.delete(DEAD, at(since, id)))
}

/// A row of an index by time.
pub(crate) fn at(time: UnixTime, id: &Id) -> Key {
    Key::new().number(millis(time)).id(id)
}

pub(crate) fn millis(time: UnixTime) -> u64 {
    u64::try_from(time.millis()).unwrap_or_default()
}

pub(crate) fn id_of(key: &[u8]) -> Option<Id> {
    key.last_chunk().copied()
}

pub(crate) fn shown(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn read(text: &str) -> Option<Id> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    rest.is_empty().then(|| bytes.try_into().ok())?
}
