//! Entity tags: who has a representation need not fetch it again, and who changes one changes what it has seen (RFC 7252
//! §5.10.6, §5.10.8).
//!
//! A route says where its tags come from, with [`Route::tagged`](crate::Route::tagged) or
//! [`Route::tagged_by`](crate::Route::tagged_by), and then 2.03 and 4.12 are answered for it. A route that says nothing refuses
//! conditions: one that nobody checks would be a promise that nobody keeps.

use crate::{Refusal, Request};
use gatehouse_wire::coap::{Code, Options};
use std::{fmt, pin::Pin, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// The name of one state of a resource: one to eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    bytes: [u8; 8],
    length: u8,
}

impl ETag {
    /// The tag of these bytes, if it can be one.
    pub fn new(tag: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..tag.len()).filter(|_| !tag.is_empty())?.copy_from_slice(tag);
        Some(Self { bytes, length: u8::try_from(tag.len()).ok()? })
    }

    /// A tag made of the representation itself. It keeps apart what changes by accident; who makes a representation has no
    /// reason to fool itself.
    pub fn of(content: &[u8]) -> Self {
        Self::version(xxh3_64(content))
    }

    /// A tag made of a number that changes with the resource.
    pub fn version(number: u64) -> Self {
        Self { bytes: number.to_be_bytes(), length: 8 }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ETag({:02x?})", self.as_bytes())
    }
}

/// A tag that is still being looked up: `None` where the resource does not exist.
pub(crate) type Current = Pin<Box<dyn Future<Output = Result<Option<ETag>, Refusal>> + Send>>;

/// Where the tags of a route come from.
#[derive(Clone, Default)]
pub(crate) enum Tags {
    /// There are none.
    #[default]
    None,
    /// From what is answered.
    Content,
    /// From the part of the product that keeps the resource.
    Named(Arc<dyn Fn(&Request) -> Current + Send + Sync>),
}

impl Tags {
    /// Whether a request of this method may depend on a condition.
    pub(crate) fn judge(&self, method: Code) -> bool {
        match self {
            Self::None => false,
            // Nothing has happened when the answer is there.
            Self::Content => is_safe(method),
            Self::Named(_) => true,
        }
    }
}

/// Whether a method only looks.
pub(crate) fn is_safe(method: Code) -> bool {
    matches!(method, Code::GET | Code::FETCH)
}

/// Refuses a request whose condition the resource as it is does not fulfil.
pub(crate) fn judge(request: &Options, current: Option<&ETag>) -> Result<(), Refusal> {
    let holds = request.preconditions_hold(current.map(ETag::as_bytes));
    if holds { Ok(()) } else { Err(Refusal::plain(Code::PRECONDITION_FAILED, "the resource is not as the condition wants it")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7252_section_5_10_6_a_tag_has_one_to_eight_bytes() {
        for length in 0..10 {
            let bytes = vec![7; length];
            assert_eq!(ETag::new(&bytes).map(|tag| tag.as_bytes().to_vec()), (1..=8).contains(&length).then_some(bytes));
        }
        assert_eq!(ETag::version(7).as_bytes(), [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_ne!(ETag::of(b"one"), ETag::of(b"other"));
    }
}
