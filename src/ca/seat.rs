//! Names in the hierarchy: which authority, and which generation of it.

use gatehouse_types::OrganisationId;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What an authority is for. Each seat has one active generation at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seat {
    /// The instance's root. Signs the service authority and nothing else; may be kept offline.
    Root,
    /// Signs what the instance's own listeners show: API, hub, provisioning; and clients of the instance.
    Service,
    /// An organisation's device authority: signs the identities of its devices. It is a root of its own, so that no
    /// organisation's authority says anything about another's devices.
    Devices(OrganisationId),
}

/// One certificate authority: a seat, its generation, and for short-lived intermediates below it their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CaId {
    /// What it is for.
    pub seat: Seat,
    /// Counted from 1; a roll-over makes the next one.
    pub generation: u32,
    /// Zero for the seat's own authority; 1, 2, 3… for the intermediates that it signs one after the other.
    pub turn: u32,
}

/// A text that names no authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeatError {
    /// Not a seat.
    #[error("a seat is `root`, `service` or `devices/` and an organisation's id")]
    Seat,
    /// Not an authority.
    #[error("an authority is a seat and its generation, like `service.1`")]
    Authority,
}

impl Seat {
    /// The organisation whose seat it is.
    pub fn owner(self) -> Option<OrganisationId> {
        match self {
            Self::Devices(organisation) => Some(organisation),
            Self::Root | Self::Service => None,
        }
    }
}

impl CaId {
    /// A seat's own authority of this generation.
    pub const fn new(seat: Seat, generation: u32) -> Self {
        Self { seat, generation, turn: 0 }
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => out.write_str("root"),
            Self::Service => out.write_str("service"),
            Self::Devices(organisation) => write!(out, "devices/{organisation}"),
        }
    }
}

impl FromStr for Seat {
    type Err = SeatError;

    fn from_str(text: &str) -> Result<Self, SeatError> {
        match text {
            "root" => Ok(Self::Root),
            "service" => Ok(Self::Service),
            _ => text.strip_prefix("devices/").and_then(|id| id.parse().ok()).map(Self::Devices).ok_or(SeatError::Seat),
        }
    }
}

impl fmt::Display for CaId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.seat, self.generation)?;
        if self.turn > 0 { write!(out, ".{}", self.turn) } else { Ok(()) }
    }
}

impl FromStr for CaId {
    type Err = SeatError;

    fn from_str(text: &str) -> Result<Self, SeatError> {
        let mut parts = text.split('.');
        let seat = parts.next().unwrap_or_default().parse()?;
        let mut number = |required: bool| match parts.next() {
            // One text for one authority: no signs, no leading zeros.
            Some(part) => part.parse::<u32>().ok().filter(|number| *number > 0 && number.to_string() == part).ok_or(SeatError::Authority),
            None if required => Err(SeatError::Authority),
            None => Ok(0),
        };
        let (generation, turn) = (number(true)?, number(false)?);
        if parts.next().is_some() { Err(SeatError::Authority) } else { Ok(Self { seat, generation, turn }) }
    }
}

impl TryFrom<String> for CaId {
    type Error = SeatError;

    fn try_from(text: String) -> Result<Self, SeatError> {
        text.parse()
    }
}

impl From<CaId> for String {
    fn from(id: CaId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in
            ["root.1", "service.12", "devices/921e7b6e-5ff7-4559-60d9-bf03bc730cc4.2", "devices/921e7b6e-5ff7-4559-60d9-bf03bc730cc4.2.7"]
        {
            assert_eq!(text.parse::<CaId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "root",
            "root.",
            "root.0",
            "root.01",
            "root.+1",
            "root.1.0",
            "root.1.1.1",
            "service.x",
            "devices/.1",
            "Root.1",
            "devices.1",
        ] {
            assert!(text.parse::<CaId>().is_err(), "{text}");
        }
    }
}
