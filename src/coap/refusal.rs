//! Errors as answers: a code and a diagnostic text, made from [`Fault`] by one table.

use crate::{Leave, Response};
use gatehouse_base::{Fault, Kind, with_causes};
use gatehouse_wire::coap::Code;
use std::{borrow::Cow, time::Duration};

/// Diagnostic texts are for people in front of a debugger; what a peer made them repeat must not fill its buffers.
const MAX_TEXT: usize = 256;

/// An error on its way to the peer. Handlers return it; `?` makes it from any [`Fault`].
#[derive(Clone, Debug)]
pub struct Refusal {
    code: Code,
    text: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// What the operator needs to know and the peer must not.
    for_the_log: Option<String>,
    leave: Option<Leave>,
}

/// The door's one table.
fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::BAD_REQUEST,
        Kind::Unauthenticated => Code::UNAUTHORIZED,
        Kind::Forbidden => Code::FORBIDDEN,
        Kind::NotFound => Code::NOT_FOUND,
        Kind::Conflict => Code::CONFLICT,
        Kind::Exhausted => Code::TOO_MANY_REQUESTS,
        Kind::Unavailable => Code::SERVICE_UNAVAILABLE,
        Kind::Internal => Code::INTERNAL_SERVER_ERROR,
    }
}

impl Refusal {
    /// The answer that this fault is to a peer. What is our own affair goes to the log and not into the answer.
    pub fn new(fault: &(impl Fault + ?Sized)) -> Self {
        let kind = fault.kind();
        let ours = matches!(kind, Kind::Internal | Kind::Unavailable);
        Self {
            code: code(kind),
            text: if ours { fault.code().into() } else { shortened(fault.to_string()).into() },
            retry_after: fault.retry_after(),
            for_the_log: ours.then(|| with_causes(fault)),
            leave: None,
        }
    }

    /// What the router and the protocol refuse.
    pub(crate) fn plain(code: Code, text: &'static str) -> Self {
        Self { code, text: text.into(), retry_after: None, for_the_log: None, leave: None }
    }

    /// The same, with when it makes sense to try again.
    pub(crate) fn retry_after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    /// The same with another code, where a path has codes of its own.
    #[must_use]
    pub fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// The same, and the connection ends so when the peer has got it.
    #[must_use]
    pub fn then_leave(self, how: Leave) -> Self {
        Self { leave: Some(how), ..self }
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn for_the_log(&self) -> Option<&str> {
        self.for_the_log.as_deref()
    }

    /// The answer: the text is UTF-8 and has no content format (RFC 7252 §5.5.2).
    pub(crate) fn into_answer(self) -> Response {
        let response = Response::new(self.code).with_diagnostic(&self.text);
        let response = if let Some(how) = self.leave { response.then_leave(how) } else { response };
        match self.retry_after {
            // Rounded up: who comes back a moment early comes in vain.
            Some(time) => response.max_age(Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))),
            None => response,
        }
    }
}

impl<F: Fault> From<F> for Refusal {
    fn from(fault: F) -> Self {
        Self::new(&fault)
    }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_wire::coap::OptionNumber;

    #[derive(Debug, thiserror::Error)]
    #[error("{1}")]
    struct Shelf(Kind, String);

    impl Fault for Shelf {
        fn kind(&self) -> Kind {
            self.0
        }

        fn code(&self) -> &'static str {
            "shelf"
        }

        fn retry_after(&self) -> Option<Duration> {
            Some(Duration::from_millis(1500))
        }
    }

    fn refusal(kind: Kind) -> Refusal {
        Refusal::from(Shelf(kind, "the shelf at /var/lib is full".to_owned()))
    }

    #[test]
    fn a_fault_of_the_peer_is_explained_to_it_as_text_without_a_format() {
        let answer = refusal(Kind::Conflict).into_answer().into_message();
        assert_eq!(answer.code, Code::CONFLICT);
        assert_eq!(&answer.payload[..], b"the shelf at /var/lib is full");
        assert_eq!(answer.options.content_format(), None);
        assert_eq!(answer.options.uint(OptionNumber::MAX_AGE), Some(2));
    }

    #[test]
    fn our_own_affairs_stay_in_the_log() {
        for kind in [Kind::Internal, Kind::Unavailable] {
            let refusal = refusal(kind);
            assert_eq!(refusal.for_the_log(), Some("the shelf at /var/lib is full"));
            assert_eq!(&refusal.into_answer().into_message().payload[..], b"shelf");
        }
    }

    #[test]
    fn a_text_that_repeats_what_the_peer_sent_is_cut_between_characters() {
        let refusal = Refusal::from(Shelf(Kind::Invalid, "é".repeat(1000)));
        let answer = refusal.into_answer().into_message();
        assert_eq!(answer.payload, "é".repeat(MAX_TEXT / 2).as_bytes());
    }
}
