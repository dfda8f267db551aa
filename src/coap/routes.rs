//! Routing, where nothing can be reached without a named permission.

mod route;
mod router;

pub(crate) use route::Answer;
pub use route::{Handler, Route};
pub(crate) use router::{NotFound, Router};
pub use router::{Refusals, Refuse};

use crate::{Connection, Ending, life::Hook};
use gatehouse_wire::coap::link_format::Link;
use std::{any::Any, sync::Arc};

/// Paths with their handlers. There is no way to add a handler that does not ask for a permission first:
///
/// ```
/// use gatehouse_coap::{Anyone, Granted, Request, Response, Route, Routes};
/// use gatehouse_wire::coap::ContentFormat;
///
/// async fn greet(_: Granted<Anyone>, _: Request) -> Response {
///     Response::body(ContentFormat::TEXT, "hello")
/// }
///
/// let routes = Routes::new().with(Route::get("/greeting", greet));
/// assert_eq!(routes.table()[0].permission(), "anyone");
/// ```
///
/// ```compile_fail
/// use gatehouse_coap::{Request, Response, Route, Routes};
/// use gatehouse_wire::coap::ContentFormat;
///
/// async fn greet(_: Request) -> Response {
///     Response::body(ContentFormat::TEXT, "hello")
/// }
///
/// let routes = Routes::new().with(Route::get("/greeting", greet));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Routes {
    table: Vec<Route>,
    refusals: Refusals,
    hooks: Vec<Hook>,
}

impl Routes {
    /// No routes, and the refusals of RFC 7252.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another route. Of two with the same method and path the later one counts.
    #[must_use]
    pub fn with(mut self, route: Route) -> Self {
        self.table.push(route);
        self
    }

    /// These routes and the others, with these refusals.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.table.extend(others.table);
        self.hooks.extend(others.hooks);
        self
    }

    /// The same with something that is done when a connection has ended which remembers a value of this type: the value,
    /// the connection and why it ended. It is done once, and when no handler of the connection works any more.
    ///
    /// A server that drains waits for it. One that has to stop at once does not, so that what depends on it needs an end
    /// of its own in the store.
    #[must_use]
    pub fn when_over<T, F, U>(mut self, then: F) -> Self
    where
        T: Any + Send + Sync,
        F: Fn(Arc<T>, Connection, Ending) -> U + Send + Sync + 'static,
        U: Future<Output = ()> + Send + 'static,
    {
        self.hooks.push(Hook::new(then));
        self
    }

    /// The same with other codes for what fits no route.
    #[must_use]
    pub fn refusing(self, refusals: Refusals) -> Self {
        Self { refusals, ..self }
    }

    /// Every route with its permission.
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    /// The links of `/.well-known/core`.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.table.iter().filter_map(|route| route.link.clone()).collect()
    }

    pub(crate) fn into_router(self) -> Router {
        Router::new(self.table, self.refusals, self.hooks)
    }
}
