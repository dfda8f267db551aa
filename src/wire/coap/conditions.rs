//! What a client makes its request or the answer depend on (RFC 7252 §5.10.6, §5.10.8, RFC 7967).

use super::{Code, OptionNumber, Options};

/// Which answers a client does not want (RFC 7967 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoResponse(u8);

impl NoResponse {
    /// All of them.
    pub const ALL: Self = Self(0b11010);

    /// Whether an answer of this code may stay away.
    pub const fn suppresses(self, code: Code) -> bool {
        code.is_response() && self.0 >> (code.class() - 1) & 1 == 1
    }

    /// The value of the option.
    pub const fn to_uint(self) -> u32 {
        self.0 as u32
    }
}

impl Options {
    /// Which answers the client does not want. Absent, or without a bit, it wants every one.
    pub fn no_response(&self) -> Option<NoResponse> {
        self.uint(OptionNumber::NO_RESPONSE).and_then(|value| u8::try_from(value).ok()).map(NoResponse)
    }

    /// Whether the client already has this representation, so that 2.03 is enough (RFC 7252 §5.10.6.2).
    pub fn validates(&self, etag: &[u8]) -> bool {
        !etag.is_empty() && self.all(OptionNumber::ETAG).any(|known| known == etag)
    }

    /// Whether the request may be carried out where the target is now so: `None` where there is none, its entity tag (empty
    /// where it has none) where there is one. Else the answer is 4.12 (RFC 7252 §5.10.8).
    pub fn preconditions_hold(&self, target: Option<&[u8]>) -> bool {
        let mut wanted = self.all(OptionNumber::IF_MATCH).peekable();
        let matches = wanted.peek().is_none() || target.is_some_and(|etag| wanted.any(|wanted| wanted.is_empty() || wanted == etag));
        matches && (target.is_none() || !self.has(OptionNumber::IF_NONE_MATCH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[(OptionNumber, &[u8])]) -> Options {
        options.iter().fold(Options::builder(), |all, (number, value)| all.with(*number, value)).build()
    }

    #[test]
    fn rfc7252_section_5_10_8_1_if_match_wants_one_of_its_states_or_any() {
        let one = with(&[(OptionNumber::IF_MATCH, b"a"), (OptionNumber::IF_MATCH, b"b")]);
        assert!(one.preconditions_hold(Some(b"a")) && one.preconditions_hold(Some(b"b")));
        assert!(!one.preconditions_hold(Some(b"c")) && !one.preconditions_hold(Some(b"")) && !one.preconditions_hold(None));
        let any = with(&[(OptionNumber::IF_MATCH, b"")]);
        assert!(any.preconditions_hold(Some(b"")) && any.preconditions_hold(Some(b"x")) && !any.preconditions_hold(None));
    }

    #[test]
    fn rfc7252_section_5_10_8_2_if_none_match_wants_nothing_to_be_there() {
        let none = with(&[(OptionNumber::IF_NONE_MATCH, b"")]);
        assert!(none.preconditions_hold(None) && !none.preconditions_hold(Some(b"")));
        assert!(Options::default().preconditions_hold(None) && Options::default().preconditions_hold(Some(b"x")));
    }

    #[test]
    fn rfc7252_section_5_10_6_2_an_etag_that_the_client_has_is_valid() {
        let known = with(&[(OptionNumber::ETAG, b"a"), (OptionNumber::ETAG, b"b")]);
        assert!(known.validates(b"b") && !known.validates(b"c") && !known.validates(b""));
    }

    #[test]
    fn rfc7967_section_2_1_each_class_has_its_bit() {
        let wants = |value: u32| {
            let options = Options::builder().uint(OptionNumber::NO_RESPONSE, value).build();
            let suppressed = options.no_response().expect("one byte");
            [Code::CONTENT, Code::NOT_FOUND, Code::SERVICE_UNAVAILABLE].map(|code| !suppressed.suppresses(code))
        };
        assert_eq!(wants(0), [true, true, true]);
        assert_eq!(wants(2), [false, true, true]);
        assert_eq!(wants(8), [true, false, true]);
        assert_eq!(wants(16), [true, true, false]);
        assert_eq!(wants(NoResponse::ALL.to_uint()), [false, false, false]);
        assert!(!NoResponse::ALL.suppresses(Code::GET) && Options::default().no_response().is_none());
    }
}
