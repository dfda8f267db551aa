//! Walking over CBOR whose shape is known.

use super::WebauthnError;
use crate::cbor::{CborError, Event, Reader};

/// The first item of these bytes, and what follows it.
pub(super) fn first(bytes: &[u8]) -> Result<(&[u8], &[u8]), WebauthnError> {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.read() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok((bytes, &[])),
            Err(CborError::Trailing(rest)) => return bytes.split_at_checked(bytes.len() - rest).ok_or(WebauthnError::Length),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The event of an item that has begun. Whatever is refused here is told apart by nobody.
pub(super) fn next<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, WebauthnError> {
    Ok(reader.read()?.ok_or(CborError::Truncated)?)
}

/// Passes over one whole item.
pub(super) fn skip(reader: &mut Reader<'_>) -> Result<(), WebauthnError> {
    let depth = reader.depth();
    next(reader)?;
    while reader.depth() > depth {
        next(reader)?;
    }
    Ok(())
}
