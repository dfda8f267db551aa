//! What can be wrong with an encoding.

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DerError {
    /// The bytes end inside an element.
    #[error("the encoding ends too early")]
    Truncated,
    /// Something follows the end.
    #[error("there are bytes after the end")]
    Trailing,
    /// There are more bytes than this kind of thing may have.
    #[error("it is larger than allowed")]
    TooLarge,
    /// A length in indefinite form or in more bytes than it needs.
    #[error("a length is not in its shortest definite form")]
    Length,
    /// Another element was expected here, or this one is unknown.
    #[error("an element has an unexpected tag")]
    Tag,
    /// An element has another value than the only one that it can have here.
    #[error("an element has an unexpected value")]
    Value,
    /// A primitive type in constructed form, or the reverse.
    #[error("an element is constructed and should not be, or the reverse")]
    Constructed,
    /// An integer without content or with a needless first byte.
    #[error("an integer is not in its shortest form")]
    Integer,
    /// A boolean other than 00 and FF, or one that repeats its default.
    #[error("a boolean is not canonical")]
    Boolean,
    /// Unused bits that are set, or a list of named bits with zeros at its end.
    #[error("a bit string is not canonical")]
    BitString,
    /// A NULL with content.
    #[error("a null has content")]
    Null,
    /// An object identifier with a padded or unfinished arc.
    #[error("an object identifier is malformed")]
    Oid,
    /// Characters that the string's type does not have.
    #[error("a string has characters that its type does not allow")]
    Text,
    /// A time that is not of the one form that certificates use, or that does not exist.
    #[error("a time is malformed")]
    Time,
    /// The elements of a SET OF are not sorted.
    #[error("a set is not sorted")]
    SetOrder,
    /// More levels than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("elements are nested too deeply")]
    Depth,
}
