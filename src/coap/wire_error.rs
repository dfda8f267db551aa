//! What the rules of the protocol refuse, in the words that doors understand.
//!
//! The crate of the rules knows no doors, so that its errors say nothing of whose fault they are. Here they do: a handler that
//! reads or writes what the rules refuse turns the error into this one, and `?` into a [`Refusal`](crate::Refusal).

use gatehouse_base::{Fault, Kind};
use gatehouse_wire::coap::{ValueLength, link_format::LinkError};

/// A rule of the protocol was broken where a request was read or an answer written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// We wanted to write an option with a value that it cannot have.
    #[error(transparent)]
    Value(#[from] ValueLength),
    /// The peer's links cannot be read.
    #[error(transparent)]
    Links(#[from] LinkError),
}

impl Fault for WireError {
    fn kind(&self) -> Kind {
        match self {
            Self::Value(_) => Kind::Internal,
            Self::Links(_) => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Value(_) => "option-value",
            Self::Links(_) => "links",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Refusal, Response};
    use gatehouse_wire::coap::{Code, OptionNumber, link_format};

    #[test]
    fn what_the_peer_wrote_is_its_fault_and_what_we_write_is_ours() {
        let read = || -> Result<(), Refusal> {
            link_format::parse("</a").map_err(WireError::from)?;
            Ok(())
        };
        assert_eq!(read().expect_err("not closed").code(), Code::BAD_REQUEST);
        let write = || -> Result<Response, Refusal> { Ok(Response::new(Code::CONTENT).with_option(OptionNumber::ETAG, &[0; 9])?) };
        assert_eq!(write().expect_err("nine bytes").code(), Code::INTERNAL_SERVER_ERROR);
    }
}
