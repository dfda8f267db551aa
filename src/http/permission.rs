//! What a caller may do, and the proof that it was checked.
//!
//! A handler gets a [`Granted`] as its first argument and can be added to [`Routes`](crate::Routes) only so. The
//! value is made by nothing but the check, which runs before any other argument is read: a body is not looked at
//! before it is known who may send it.

use crate::Problem;
use axum::{extract::FromRequestParts, http::request::Parts};
use gatehouse_base::Denied;
use std::{convert::Infallible, fmt, marker::PhantomData};

/// A named thing that a caller may or may not do.
pub trait Permission: Send + Sync + 'static {
    /// The name in lists, logs and documents, like `read-health`.
    const NAME: &'static str;

    /// Looks at who is calling.
    ///
    /// # Errors
    /// The caller has not shown who it is, or may not do this.
    fn check(request: &Parts) -> Result<(), Denied>;
}

/// Proof that the permission was checked for the request at hand.
pub struct Granted<P>(PhantomData<fn() -> P>);

impl<P> fmt::Debug for Granted<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Granted")
    }
}

impl<P: Permission, S: Sync> FromRequestParts<S> for Granted<P> {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, _state: &S) -> Result<Self, Problem> {
        P::check(request)?;
        Ok(Self(PhantomData))
    }
}

/// The arguments of a handler whose first is [`Granted`]. Implemented for nothing else.
pub trait AsksFirst<P>: sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! asks_first {
    ($($rest:ident),*) => {
        impl<M, P, $($rest),*> sealed::Sealed for (M, Granted<P>, $($rest),*) {}
        impl<M, P, $($rest),*> AsksFirst<P> for (M, Granted<P>, $($rest),*) {}
    };
}

asks_first!();
asks_first!(A);
asks_first!(A, B);
asks_first!(A, B, C);
asks_first!(A, B, C, D);

macro_rules! public {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(Infallible);

        impl Permission for $name {
            const NAME: &'static str = $text;

            fn check(_request: &Parts) -> Result<(), Denied> {
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
}
