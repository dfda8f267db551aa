//! The token that ties an answer to its request (RFC 7252 §5.3.1).

use std::fmt;

/// Up to eight bytes that the client chose. A message without a token has the empty one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// What is beyond `length` is zero, so that the derived comparisons are right.
    bytes: [u8; Self::MAX],
    length: u8,
}

/// A token of more than eight bytes, which RFC 7252 §3 reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token of {0} bytes is longer than eight")]
pub struct TokenLength(pub usize);

impl Token {
    /// The most bytes that a token has.
    pub const MAX: usize = 8;
    /// The token of no bytes.
    pub const EMPTY: Self = Self { bytes: [0; Self::MAX], length: 0 };

    /// The token of these bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, TokenLength> {
        let mut token = Self::EMPTY;
        token.bytes.get_mut(..bytes.len()).ok_or(TokenLength(bytes.len()))?.copy_from_slice(bytes);
        token.length = bytes.len() as u8;
        Ok(token)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl From<[u8; 8]> for Token {
    fn from(bytes: [u8; 8]) -> Self {
        Self { bytes, length: 8 }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_by_length_and_not_only_by_bytes() {
        let tokens = [Token::EMPTY, Token::new(&[0]).unwrap(), Token::new(&[0, 0]).unwrap(), Token::from([0; 8])];
        for (i, one) in tokens.iter().enumerate() {
            for (j, other) in tokens.iter().enumerate() {
                assert_eq!(one == other, i == j);
            }
        }
    }

    #[test]
    fn nine_bytes_are_no_token() {
        assert_eq!(Token::new(&[1; 8]).unwrap().as_bytes(), [1; 8]);
        assert_eq!(Token::new(&[1; 9]), Err(TokenLength(9)));
    }
}
