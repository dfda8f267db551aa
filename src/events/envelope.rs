//! How an event lies in its stream.
//!
//! A record is a CBOR array: form (1), type, version, time, content. The content is the event's own CBOR, or, when
//! it is about a subject that may be erased, the subject and the encrypted bytes of that CBOR.
//!
//! Stored forms are for ever: a type's version grows when its form changes, and [`Event::upgrade`] turns the
//! content of every earlier version into the present one.

use crate::{ContentKey, EventError};
use ciborium::Value;
use gatehouse_store::{Batch, ChainHash, Position, Stream};
use gatehouse_types::{Random, UnixTime};
use serde::{Serialize, de::DeserializeOwned};

const FORM: u64 = 1;

/// A fact that is worth remembering.
pub trait Event: Serialize + DeserializeOwned {
    /// The name of the type in the log, like `device.enrolled`. It never changes.
    const TYPE: &'static str;

    /// The version of the form that is written today.
    const VERSION: u32;

    /// Turns the content that an earlier version wrote into what the present one reads.
    fn upgrade(version: u32, content: Value) -> Option<Value> {
        let _ = (version, content);
        None
    }
}

/// Adds events to a batch.
pub trait Record: Sized {
    /// Appends an event that everybody who reads the stream may read for ever.
    fn record<E: Event>(self, streams: &[&Stream], event: &E, at: UnixTime) -> Result<Self, EventError>;

    /// Appends an event about a subject. Once the subject's key is destroyed nobody can read it.
    fn record_about<E: Event>(
        self,
        key: &ContentKey,
        streams: &[&Stream],
        event: &E,
        at: UnixTime,
        random: &dyn Random,
    ) -> Result<Self, EventError>;
}

impl Record for Batch {
    fn record<E: Event>(self, streams: &[&Stream], event: &E, at: UnixTime) -> Result<Self, EventError> {
        let envelope = Envelope::of::<E>(at, Body::Open(content(event)?));
        Ok(append(self, streams, &envelope.encode()))
    }

    fn record_about<E: Event>(
        self,
        key: &ContentKey,
        streams: &[&Stream],
        event: &E,
        at: UnixTime,
        random: &dyn Random,
    ) -> Result<Self, EventError> {
        let mut envelope = Envelope::of::<E>(at, Body::Sealed { subject: key.subject().to_owned(), sealed: Vec::new() });
        let sealed = key.seal(&envelope.header(), &to_bytes(&content(event)?), random);
        envelope.body = Body::Sealed { subject: key.subject().to_owned(), sealed };
        Ok(append(self, streams, &envelope.encode()))
    }
}

fn append(batch: Batch, streams: &[&Stream], payload: &[u8]) -> Batch {
    streams.iter().fold(batch, |batch, stream| batch.append(stream, payload))
}

fn content<E: Event>(event: &E) -> Result<Value, EventError> {
    Value::serialized(event).map_err(|error| EventError::Encode { kind: E::TYPE, reason: error.to_string() })
}

/// An event as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its place in the stream.
    pub position: Position,
    /// The link of the chain at that place.
    pub hash: ChainHash,
    /// When it happened.
    pub at: UnixTime,
    /// The type's name.
    pub kind: String,
    /// The version of the form that was written.
    pub version: u32,
    /// Who it is about, if it is about somebody who may be erased.
    pub subject: Option<String>,
    /// What it says.
    pub content: Content,
}

/// What an event says, as far as that is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The content.
    Known(Value),
    /// Its key was destroyed.
    Erased,
}

/// Why an event is not of the type that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is another type.
    #[error("this is an event {found}, not {asked}")]
    OtherType {
        /// The type that it is.
        found: String,
        /// The type that was asked for.
        asked: &'static str,
    },
    /// Its subject was erased.
    #[error("the content of this event was erased")]
    Erased,
    /// The program is older than the event.
    #[error("the event {kind} has version {found}, and this program knows {known} at most")]
    TooNew {
        /// The type.
        kind: &'static str,
        /// The version that was written.
        found: u32,
        /// The version that the program writes.
        known: u32,
    },
    /// The content is not of the form that its version has.
    #[error("the event {kind} of version {version} cannot be read: {reason}")]
    Form {
        /// The type.
        kind: &'static str,
        /// The version that was written.
        version: u32,
        /// What does not fit.
        reason: String,
    },
}

impl Recorded {
    pub(crate) fn new(record: &gatehouse_store::Record, envelope: Envelope, content: Content) -> Self {
        let subject = match envelope.body {
            Body::Open(_) => None,
            Body::Sealed { subject, .. } => Some(subject),
        };
        let Envelope { kind, version, at, .. } = envelope;
        Self { position: record.position, hash: record.hash, at, kind, version, subject, content }
    }

    /// Whether the event is of this type.
    pub fn is<E: Event>(&self) -> bool {
        self.kind == E::TYPE
    }

    /// The event, also when an earlier version of the program wrote it.
    pub fn decode<E: Event>(&self) -> Result<E, DecodeError> {
        if !self.is::<E>() {
            return Err(DecodeError::OtherType { found: self.kind.clone(), asked: E::TYPE });
        }
        let Content::Known(content) = self.content.clone() else { return Err(DecodeError::Erased) };
        let form = |reason: String| DecodeError::Form { kind: E::TYPE, version: self.version, reason };
        let content = match self.version {
            version if version > E::VERSION => {
                return Err(DecodeError::TooNew { kind: E::TYPE, found: version, known: E::VERSION });
            }
            version if version < E::VERSION => {
                E::upgrade(version, content).ok_or_else(|| form("there is no way to upgrade it".to_owned()))?
            }
            _ => content,
        };
        content.deserialized().map_err(|error| form(error.to_string()))
    }
}

/// A record's bytes, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) at: UnixTime,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Open(Value),
    Sealed { subject: String, sealed: Vec<u8> },
}

impl Envelope {
    fn of<E: Event>(at: UnixTime, body: Body) -> Self {
        Self { kind: E::TYPE.to_owned(), version: E::VERSION, at, body }
    }

    /// What encrypted content is bound to, so that it cannot be moved to another event.
    pub(crate) fn header(&self) -> Vec<u8> {
        to_bytes(&Value::Array(self.head()))
    }

    fn head(&self) -> Vec<Value> {
        vec![FORM.into(), self.kind.as_str().into(), self.version.into(), self.at.millis().into()]
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut items = self.head();
        match &self.body {
            Body::Open(content) => items.push(content.clone()),
            Body::Sealed { subject, sealed } => items.extend([Value::from(subject.as_str()), Value::Bytes(sealed.clone())]),
        }
        to_bytes(&Value::Array(items))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let value = from_bytes(bytes).ok_or("it is not CBOR")?;
        let items = value.into_array().map_err(|_| "it is not an array")?;
        let (head, body) = items.split_at_checked(4).ok_or("it is too short")?;
        let number = |item: &Value| item.as_integer().and_then(|number| i64::try_from(number).ok());
        if number(&head[0]) != i64::try_from(FORM).ok() {
            return Err("its form is of a later program");
        }
        let kind = head[1].as_text().ok_or("its type is not a text")?.to_owned();
        let version = number(&head[2]).and_then(|number| u32::try_from(number).ok()).ok_or("its version is not a number")?;
        let at = UnixTime::from_millis(number(&head[3]).ok_or("its time is not a number")?);
        let body = match body {
            [content] => Body::Open(content.clone()),
            [Value::Text(subject), Value::Bytes(sealed)] => Body::Sealed { subject: subject.clone(), sealed: sealed.clone() },
            _ => return Err("its content is neither open nor sealed"),
        };
        Ok(Self { kind, version, at, body })
    }
}

pub(crate) fn to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a value writes itself into memory");
    bytes
}

/// The value in these bytes, if they are one value and nothing else.
pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Value> {
    let value = ciborium::from_reader(&mut bytes).ok()?;
    bytes.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Version 1 knew a colour as a number; version 2 knows its name.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Painted {
        colour: String,
    }

    impl Event for Painted {
        const TYPE: &'static str = "thing.painted";
        const VERSION: u32 = 2;

        fn upgrade(version: u32, content: Value) -> Option<Value> {
            let Value::Array(items) = content else { return None };
            let name = if items.first()?.as_integer()? == 1.into() { "red" } else { "blue" };
            (version == 1).then(|| Value::Map(vec![("colour".into(), name.into())]))
        }
    }

    fn recorded(payload: &[u8]) -> Recorded {
        let envelope = Envelope::decode(payload).expect("an envelope");
        let content = match &envelope.body {
            Body::Open(content) => Content::Known(content.clone()),
            Body::Sealed { .. } => Content::Erased,
        };
        let record = gatehouse_store::Record { position: Position(1), payload: payload.to_vec(), hash: ChainHash::START };
        Recorded::new(&record, envelope, content)
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        (0..hexadecimal.len()).step_by(2).map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("hexadecimal")).collect()
    }

    /// The bytes that the first version of this crate wrote. They must load for ever.
    const VERSION_1: &str = "85016d7468696e672e7061696e746564011b0000019b7ceea98e8101";
    const VERSION_2: &str = "85016d7468696e672e7061696e746564021b0000019b7ceea98ea166636f6c6f75726472656421";

    #[test]
    fn an_event_of_an_earlier_version_is_read_as_the_present_one() {
        let old = recorded(&bytes(VERSION_1));
        assert_eq!((old.version, old.at.to_string().as_str()), (1, "2026-01-02T04:19:34.414Z"));
        assert_eq!(old.decode(), Ok(Painted { colour: "red".to_owned() }));
    }

    #[test]
    fn an_event_is_written_as_it_was_written_before() {
        let at = UnixTime::from_millis(0x019b_7cee_a98e);
        let envelope = Envelope::of::<Painted>(at, Body::Open(content(&Painted { colour: "red!".to_owned() }).expect("content")));
        assert_eq!(envelope.encode(), bytes(VERSION_2));
        assert_eq!(Envelope::decode(&bytes(VERSION_2)), Ok(envelope));
    }

    #[test]
    fn other_types_later_versions_and_other_forms_are_refused() {
        let of = |kind: &str, version: u32, content: Value| {
            let envelope = Envelope { kind: kind.to_owned(), version, at: UnixTime::EPOCH, body: Body::Open(content) };
            recorded(&envelope.encode()).decode::<Painted>().expect_err("refused").to_string()
        };
        assert_eq!(of("thing.broken", 2, Value::Null), "this is an event thing.broken, not thing.painted");
        assert_eq!(of("thing.painted", 3, Value::Null), "the event thing.painted has version 3, and this program knows 2 at most");
        assert!(of("thing.painted", 2, Value::Null).starts_with("the event thing.painted of version 2 cannot be read"));
        assert!(of("thing.painted", 1, Value::Null).ends_with("there is no way to upgrade it"));
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let good = bytes(VERSION_1);
        for end in 0..good.len() {
            assert!(Envelope::decode(&good[..end]).is_err(), "cut at {end}");
        }
        assert!(Envelope::decode(&[good.as_slice(), &[0]].concat()).is_err(), "longer");
        assert_eq!(Envelope::decode(&bytes("8502616101001a")), Err("it is not CBOR"));
        assert_eq!(Envelope::decode(&bytes("85026161010000")), Err("its form is of a later program"));
    }
}
