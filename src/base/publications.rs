//! What our authorities publish, as every door shows it.

use crate::{Fault, Kind};
use std::pin::Pin;

/// An answer that is still being fetched.
pub type Fetch<T> = Pin<Box<dyn Future<Output = Result<T, Box<dyn Fault + Send + Sync>>> + Send>>;

/// What our authorities publish. Custody implements this; names are those that it gives to its authorities.
pub trait Publications: Send + Sync + 'static {
    /// The names of all authorities.
    fn authorities(&self) -> Fetch<Vec<String>>;

    /// The authority's own certificate in DER. `None` when there is no such authority.
    fn certificate(&self, authority: String) -> Fetch<Option<Vec<u8>>>;

    /// The certificates of an authority as PEM, its own first and the root last. `None` when there is no such authority.
    fn chain(&self, authority: String) -> Fetch<Option<String>>;

    /// The authority's present revocation list in DER. `None` when there is no such authority, or it publishes none.
    fn revocations(&self, authority: String) -> Fetch<Option<Vec<u8>>>;
}

/// Nobody publishes what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no authority publishes this")]
pub struct NotPublished;

impl Fault for NotPublished {
    fn kind(&self) -> Kind {
        Kind::NotFound
    }

    fn code(&self) -> &'static str {
        "not-published"
    }
}
