//! What a caller may do, and the proof that it was checked.
//!
//! A handler gets a [`Granted`] as its first argument and can be added to [`Routes`](crate::Routes) only so. The
//! value is made by nothing but the check, which runs before any other argument is read: a body is not looked at
//! before it is known who may send it. Who is calling was found out before that, by what the composition root plugs in
//! as [`Authenticate`]; what the check found is in the grant, so that a handler cannot act for somebody else.

use crate::{Problem, Refusal};
use axum::{extract::FromRequestParts, http::request::Parts};
use std::{convert::Infallible, fmt, ops::Deref, pin::Pin};

/// A named thing that a caller may or may not do.
pub trait Permission: Send + Sync + 'static {
    /// The name in lists, logs and documents, like `read-health`.
    const NAME: &'static str;

    /// What a caller may show to have it, any one of these; nothing when everybody has it.
    const SECURITY: &'static [Credential];

    /// What the check may answer when it says no.
    const REFUSALS: &'static [Refusal];

    /// What the check finds out: for whom the handler may act.
    type Proof: Send + 'static;

    /// Looks at who is calling.
    ///
    /// # Errors
    /// The caller has not shown who it is, or may not do this.
    fn check(request: &Parts) -> Result<Self::Proof, Problem>;
}

/// One way to show who is calling, as the document of the API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name of a security scheme of the document.
    pub scheme: &'static str,
    /// What a token has to be good for.
    pub scopes: &'static [&'static str],
}

/// Proof that the permission was checked for the request at hand.
pub struct Granted<P: Permission>(P::Proof);

impl<P: Permission> Granted<P> {
    /// What the check found out.
    pub fn into_proof(self) -> P::Proof {
        self.0
    }
}

impl<P: Permission> Deref for Granted<P> {
    type Target = P::Proof;

    fn deref(&self) -> &P::Proof {
        &self.0
    }
}

impl<P: Permission> fmt::Debug for Granted<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Granted")
    }
}

impl<P: Permission, S: Sync> FromRequestParts<S> for Granted<P> {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, _state: &S) -> Result<Self, Problem> {
        P::check(request).map(Self)
    }
}

/// Finds out who is calling, before any permission is checked.
pub trait Authenticate: Send + Sync + 'static {
    /// Leaves what it found in the request's extensions, for the permissions that look for it there. A request that
    /// shows no credentials is no error: public routes are for everybody.
    ///
    /// # Errors
    /// The credentials that it shows are not good.
    fn authenticate<'a>(&'a self, request: &'a mut Parts) -> Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 'a>>;
}

macro_rules! public {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(Infallible);

        impl Permission for $name {
            const NAME: &'static str = $text;
            const SECURITY: &'static [Credential] = &[];
            const REFUSALS: &'static [Refusal] = &[];
            type Proof = ();

            fn check(_request: &Parts) -> Result<(), Problem> {
                Ok(())
            }
        }
    )*};
}

public! {
    /// Everybody may ask whether the process lives and is ready.
    ReadHealth = "read-health";
    /// Everybody who reaches the metrics listener may read them; it listens on loopback unless told otherwise.
    ReadMetrics = "read-metrics";
    /// Everybody may fetch the certificates of our authorities and their revocation lists: they are made for that.
    ReadAuthorities = "read-authorities";
    /// Everybody may read what this API is like.
    ReadDocument = "read-api-document";
    /// Everybody may try to sign in; what the attempt costs is throttled.
    SignIn = "sign-in";
}
