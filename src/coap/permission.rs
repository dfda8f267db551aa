//! What a caller may do, and the proof that it was checked.
//!
//! A handler's first argument is a [`Granted`], which only the check can make; a handler without one cannot be added to
//! [`Routes`](crate::Routes). The check runs after the path, the method and the formats are known to fit and before the
//! handler sees anything of the request. What it found, like the chain of a device or what the connection was signed in as
//! at that moment, is in the proof, so that the handler need not look for it again and cannot find something else.

use crate::{Refusal, Request};
use gatehouse_base::Denied;
use gatehouse_pki::VerifiedChain;
use std::{fmt, ops::Deref, sync::Arc};

/// A named thing that a caller may or may not do.
pub trait Permission: Send + Sync + 'static {
    /// The name in lists, logs and documents, like `verified-peer`.
    const NAME: &'static str;

    /// What the check finds out.
    type Found: Send + Sync + 'static;

    /// Looks at who is calling, and at what is remembered of the connection.
    ///
    /// # Errors
    /// The caller has not shown who it is, or may not do this. The refusal may also end the connection.
    fn check(request: &Request) -> Result<Self::Found, Refusal>;
}

/// Proof that the permission was checked for the request at hand, and what the check found.
pub struct Granted<P: Permission>(P::Found);

impl<P: Permission> Granted<P> {
    pub(crate) fn check(request: &Request) -> Result<Self, Refusal> {
        P::check(request).map(Self)
    }
}

impl<P: Permission> Deref for Granted<P> {
    type Target = P::Found;

    fn deref(&self) -> &P::Found {
        &self.0
    }
}

impl<P: Permission> fmt::Debug for Granted<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Granted({})", P::NAME)
    }
}

/// Everybody who reaches the listener may.
#[derive(Clone, Copy, Debug)]
pub enum Anyone {}

impl Permission for Anyone {
    const NAME: &'static str = "anyone";
    type Found = ();

    fn check(_: &Request) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Peers with a chain that `pki` found good in their handshake may. It was good when the connection began; the listener
/// closes connections whose chain stops being good.
#[derive(Clone, Copy, Debug)]
pub enum VerifiedPeer {}

impl Permission for VerifiedPeer {
    const NAME: &'static str = "verified-peer";
    type Found = Arc<VerifiedChain>;

    fn check(request: &Request) -> Result<Self::Found, Refusal> {
        Ok(request.peer().chain().cloned().ok_or(Denied::Unauthenticated)?)
    }
}
