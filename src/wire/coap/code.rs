//! The code of a message: method, answer or signal (RFC 7252 §12.1, RFC 8132 §4, RFC 8323 §5.1).

use std::fmt;

/// A code, written `class.detail`: `0.01` is GET, `2.05` Content, `7.02` Ping.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u8);

macro_rules! codes {
    ($($name:ident = $class:literal . $detail:literal $text:literal;)*) => {
        impl Code {
            $(
                #[doc = concat!(stringify!($class), ".", stringify!($detail), ": ", $text)]
                pub const $name: Self = Self::new($class, $detail);
            )*

            /// What the registries call it.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    EMPTY = 0 . 0 "Empty";
    GET = 0 . 1 "GET";
    POST = 0 . 2 "POST";
    PUT = 0 . 3 "PUT";
    DELETE = 0 . 4 "DELETE";
    FETCH = 0 . 5 "FETCH";
    PATCH = 0 . 6 "PATCH";
    IPATCH = 0 . 7 "iPATCH";
    CREATED = 2 . 1 "Created";
    DELETED = 2 . 2 "Deleted";
    VALID = 2 . 3 "Valid";
    CHANGED = 2 . 4 "Changed";
    CONTENT = 2 . 5 "Content";
    CONTINUE = 2 . 31 "Continue";
    BAD_REQUEST = 4 . 0 "Bad Request";
    UNAUTHORIZED = 4 . 1 "Unauthorized";
    BAD_OPTION = 4 . 2 "Bad Option";
    FORBIDDEN = 4 . 3 "Forbidden";
    NOT_FOUND = 4 . 4 "Not Found";
    METHOD_NOT_ALLOWED = 4 . 5 "Method Not Allowed";
    NOT_ACCEPTABLE = 4 . 6 "Not Acceptable";
    REQUEST_ENTITY_INCOMPLETE = 4 . 8 "Request Entity Incomplete";
    CONFLICT = 4 . 9 "Conflict";
    PRECONDITION_FAILED = 4 . 12 "Precondition Failed";
    REQUEST_ENTITY_TOO_LARGE = 4 . 13 "Request Entity Too Large";
    UNSUPPORTED_CONTENT_FORMAT = 4 . 15 "Unsupported Content-Format";
    UNPROCESSABLE_ENTITY = 4 . 22 "Unprocessable Entity";
    TOO_MANY_REQUESTS = 4 . 29 "Too Many Requests";
    INTERNAL_SERVER_ERROR = 5 . 0 "Internal Server Error";
    NOT_IMPLEMENTED = 5 . 1 "Not Implemented";
    BAD_GATEWAY = 5 . 2 "Bad Gateway";
    SERVICE_UNAVAILABLE = 5 . 3 "Service Unavailable";
    GATEWAY_TIMEOUT = 5 . 4 "Gateway Timeout";
    PROXYING_NOT_SUPPORTED = 5 . 5 "Proxying Not Supported";
    HOP_LIMIT_REACHED = 5 . 8 "Hop Limit Reached";
    CSM = 7 . 1 "CSM";
    PING = 7 . 2 "Ping";
    PONG = 7 . 3 "Pong";
    RELEASE = 7 . 4 "Release";
    ABORT = 7 . 5 "Abort";
}

impl Code {
    /// The code of a class (0 to 7) and a detail (0 to 31); higher bits of either are cut off.
    pub const fn new(class: u8, detail: u8) -> Self {
        Self((class & 7) << 5 | (detail & 31))
    }

    /// The code that a byte on the wire stands for. Every byte is one.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// The part before the dot, 0 to 7.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The part after the dot, 0 to 31.
    pub const fn detail(self) -> u8 {
        self.0 & 31
    }

    /// Whether this is 0.00.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is a method, known or not: class 0 without 0.00.
    pub const fn is_request(self) -> bool {
        self.class() == 0 && !self.is_empty()
    }

    /// Whether this answers a request: classes 2 to 5 (RFC 7252 §12.1).
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2..=5)
    }

    /// Whether this answers a request with success: class 2.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// Whether this is a signal of a reliable transport: class 7 (RFC 8323 §5.1).
    pub const fn is_signal(self) -> bool {
        self.class() == 7
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{self} {name}"),
            None => write!(f, "{self}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_with_two_digits_after_the_dot() {
        assert_eq!(Code::CONTENT.to_string(), "2.05");
        assert_eq!(Code::CONTINUE.to_string(), "2.31");
        assert_eq!(format!("{:?}", Code::IPATCH), "0.07 iPATCH");
        assert_eq!(format!("{:?}", Code::new(3, 9)), "3.09");
    }

    #[test]
    fn every_byte_is_of_exactly_one_sort_or_reserved() {
        for byte in 0..=u8::MAX {
            let code = Code::from_byte(byte);
            let sorts = [code.is_empty(), code.is_request(), code.is_response(), code.is_signal()];
            let expected = usize::from(!matches!(code.class(), 1 | 6));
            assert_eq!(sorts.iter().filter(|sort| **sort).count(), expected, "{code}");
            assert_eq!(Code::new(code.class(), code.detail()), code);
        }
    }
}
