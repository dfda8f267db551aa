//! JSON from CBOR and CBOR from JSON (RFC 8949 §6).
//!
//! What JSON has no word for becomes the nearest thing that §6.1 names: bytes become base64url, or what the tags 21 to 23 ask
//! for; undefined, NaN and the infinities become null; other tags disappear. Keys that are numbers become their digits,
//! because OCF devices and their clouds do so; keys of other kinds are refused. The way back makes definite lengths and the
//! shortest forms, and keeps the order of keys.

use super::{
    CborError, Event, MAX_DEPTH, Reader,
    diagnostic::quote,
    write::{float, head},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{
    collections::HashSet,
    fmt::{self, Write},
};

/// Why one cannot become the other.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The bytes are no item.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A map has a key that is neither text nor a number.
    #[error("a key is neither text nor a number")]
    Key,
    /// The text is no JSON, has the same key twice, or is deeper than [`MAX_DEPTH`].
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// An item as JSON.
pub fn to_json(bytes: &[u8]) -> Result<String, JsonError> {
    let (mut reader, mut json) = (Reader::new(bytes), ToJson::default());
    while let Some(event) = reader.read()? {
        json.event(event)?;
    }
    Ok(json.text)
}

#[derive(Default)]
struct ToJson {
    text: String,
    open: Vec<Open>,
}

/// A container that has not ended.
enum Open {
    Array { items: usize },
    Map { items: usize },
    Tag(u64),
    Chunks { text: bool, gathered: Vec<u8> },
}

impl ToJson {
    fn event(&mut self, event: Event<'_>) -> Result<(), JsonError> {
        if let Some(Open::Chunks { gathered, .. }) = self.open.last_mut() {
            match event {
                Event::Bytes(chunk) => gathered.extend_from_slice(chunk),
                Event::Text(chunk) => gathered.extend_from_slice(chunk.as_bytes()),
                _ => return self.end(),
            }
            return Ok(());
        }
        if event == Event::End {
            return self.end();
        }
        self.separate();
        match event {
            Event::Tag(number) => self.open.push(Open::Tag(number)),
            Event::BytesChunks => self.open.push(Open::Chunks { text: false, gathered: Vec::new() }),
            Event::TextChunks => self.open.push(Open::Chunks { text: true, gathered: Vec::new() }),
            Event::Array(_) | Event::Map(_) if self.is_key() => return Err(JsonError::Key),
            Event::Array(_) => {
                self.text.push('[');
                self.open.push(Open::Array { items: 0 });
            }
            Event::Map(_) => {
                self.text.push('{');
                self.open.push(Open::Map { items: 0 });
            }
            Event::Text(text) => self.quote(text),
            scalar if self.is_key() => match scalar {
                Event::Unsigned(number) => self.quote(&number.to_string()),
                Event::Negative(number) => self.quote(&(-1 - i128::from(number)).to_string()),
                _ => return Err(JsonError::Key),
            },
            Event::Bytes(bytes) => self.bytes(bytes),
            scalar => self.scalar(scalar),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), JsonError> {
        match self.open.pop() {
            Some(Open::Array { .. }) => self.text.push(']'),
            Some(Open::Map { .. }) => self.text.push('}'),
            // The reader has seen that each chunk is UTF-8.
            Some(Open::Chunks { text: true, gathered }) => self.quote(&String::from_utf8_lossy(&gathered)),
            Some(Open::Chunks { .. }) if self.is_key() => return Err(JsonError::Key),
            Some(Open::Chunks { gathered, .. }) => self.bytes(&gathered),
            Some(Open::Tag(_)) | None => {}
        }
        Ok(())
    }

    fn separate(&mut self) {
        let (separator, items) = match self.open.last_mut() {
            Some(Open::Array { items }) => (',', items),
            Some(Open::Map { items }) => (if *items % 2 == 0 { ',' } else { ':' }, items),
            _ => return,
        };
        if *items > 0 {
            self.text.push(separator);
        }
        *items += 1;
    }

    /// Whether what is being written is a key, perhaps within tags.
    fn is_key(&self) -> bool {
        let container = self.open.iter().rev().find(|open| !matches!(open, Open::Tag(_)));
        matches!(container, Some(Open::Map { items }) if items % 2 == 1)
    }

    fn quote(&mut self, text: &str) {
        // Writing to a string does not fail.
        let _ = quote(&mut self.text, text);
    }

    /// RFC 8949 §3.4.3, §3.4.5.2: big numbers, and what a tag around says of all bytes in it.
    fn bytes(&mut self, bytes: &[u8]) {
        let directly = match self.open.last() {
            Some(Open::Tag(number)) => Some(*number),
            _ => None,
        };
        let around = self.open.iter().rev().find_map(|open| match open {
            Open::Tag(number @ 21..=23) => Some(*number),
            _ => None,
        });
        let text = match (directly, around) {
            (Some(3), _) => format!("~{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)),
            (_, Some(22)) => BASE64_STANDARD.encode(bytes),
            (_, Some(23)) => bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02X}");
                text
            }),
            _ => BASE64_URL_SAFE_NO_PAD.encode(bytes),
        };
        self.quote(&text);
    }

    fn scalar(&mut self, event: Event<'_>) {
        let _ = match event {
            Event::Unsigned(number) => write!(self.text, "{number}"),
            Event::Negative(number) => write!(self.text, "{}", -1 - i128::from(number)),
            Event::Float(number) if number.is_finite() => write!(self.text, "{number:?}"),
            Event::Bool(value) => write!(self.text, "{value}"),
            _ => self.text.write_str("null"),
        };
    }
}

/// JSON as an item.
pub fn from_json(text: &str) -> Result<Vec<u8>, JsonError> {
    let (mut bytes, mut json) = (Vec::new(), serde_json::Deserializer::from_str(text));
    Item { into: &mut bytes, depth: 0 }.deserialize(&mut json)?;
    json.end()?;
    Ok(bytes)
}

/// Writes what a deserializer finds.
struct Item<'a> {
    into: &'a mut Vec<u8>,
    depth: usize,
}

impl<'a> Item<'a> {
    fn text(self, text: &str) {
        head(self.into, 3, text.len() as u64);
        self.into.extend_from_slice(text.as_bytes());
    }

    /// Writes the head of a container in front of what was gathered of it.
    fn container(self, major: u8, count: u64, items: &[u8]) {
        head(self.into, major, count);
        self.into.extend_from_slice(items);
    }

    fn deeper<E: Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH { Err(E::custom(CborError::Deep)) } else { Ok(self.depth + 1) }
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.into.push(0xf6);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.into.push(if value { 0xf5 } else { 0xf4 });
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        head(self.into, 0, number);
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        match u64::try_from(number) {
            Ok(number) => head(self.into, 0, number),
            Err(_) => head(self.into, 1, !(number as u64)),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        float(self.into, number);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let (depth, mut count, mut items) = (self.deeper()?, 0, Vec::new());
        while array.next_element_seed(Item { into: &mut items, depth })?.is_some() {
            count += 1;
        }
        self.container(4, count, &items);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (depth, mut keys, mut items) = (self.deeper()?, HashSet::new(), Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            Item { into: &mut items, depth }.text(&key);
            map.next_value_seed(Item { into: &mut items, depth })?;
            if !keys.insert(key) {
                return Err(A::Error::custom("a key occurs twice"));
            }
        }
        self.container(5, keys.len() as u64, &items);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
