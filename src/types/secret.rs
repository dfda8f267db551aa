//! Bytes that must not be seen.

use std::fmt;
use zeroize::Zeroizing;

/// Secret bytes: wiped when dropped, compared in constant time, never printed and never serialised.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over. Hand in the only copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, at the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0.iter()).fold(0, |sum, (a, b)| sum | (a ^ b));
        // The length of a secret is not secret; `black_box` keeps the loop from being cut short.
        self.len() == other.len() && std::hint::black_box(difference) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::from("correct horse".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
    }

    #[test]
    fn secrets_are_equal_when_all_their_bytes_are() {
        let secret = Secret::new(vec![1, 2, 3]);
        assert_eq!(secret, Secret::new(vec![1, 2, 3]));
        for other in [vec![1, 2, 4], vec![1, 2], vec![1, 2, 3, 0], vec![]] {
            assert_ne!(secret, Secret::new(other));
        }
    }
}
