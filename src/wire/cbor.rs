//! CBOR payloads whose meaning is the device's own (RFC 8949).
//!
//! [`Reader`] walks over an item without building a tree, in memory that depends on its depth alone; [`to_diagnostic`] shows
//! one to people, [`to_json`] and [`from_json`] change it from one content format into the other. What has a meaning here is
//! read into types of its own elsewhere.

mod diagnostic;
mod json;
mod reader;
mod write;

pub use diagnostic::to_diagnostic;
pub use json::{JsonError, from_json, to_json};
pub use reader::{CborError, Event, MAX_DEPTH, Reader};
