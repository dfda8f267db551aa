//! Routing, where nothing can be reached without a named permission.

use crate::{AsksFirst, Permission};
use axum::{
    Router,
    handler::Handler,
    http::Method,
    response::Response,
    routing::{MethodFilter, on},
};
use tower::util::MapResponseLayer;

/// Paths with their handlers. There is no way to add a handler that does not ask for a permission first:
///
/// ```
/// use gatehouse_http::{Granted, ReadHealth, Routes};
///
/// async fn greet(_: Granted<ReadHealth>) -> &'static str {
///     "hello"
/// }
///
/// let routes = Routes::new().get("/greeting", greet);
/// assert_eq!(routes.table()[0].permission, "read-health");
/// ```
///
/// ```compile_fail
/// use gatehouse_http::Routes;
///
/// async fn anybody() -> &'static str {
///     "hello"
/// }
///
/// Routes::new().get("/greeting", anybody);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Routes {
    router: Router,
    table: Vec<Route>,
}

/// One line of the list of routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path's pattern.
    pub path: &'static str,
    /// The name of the permission that a caller needs.
    pub permission: &'static str,
}

/// The pattern that answered, for metrics. Travels in the response's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern(pub(crate) &'static str);

impl Routes {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET, and with it HEAD, on this path. The permission is that of the handler's first argument.
    #[must_use]
    pub fn get<P, H, T>(self, path: &'static str, handler: H) -> Self
    where
        P: Permission,
        H: Handler<T, ()>,
        T: AsksFirst<P> + 'static,
    {
        self.add::<P, H, T>(Method::GET, MethodFilter::GET, path, handler)
    }

    /// Answers POST on this path.
    #[must_use]
    pub fn post<P, H, T>(self, path: &'static str, handler: H) -> Self
    where
        P: Permission,
        H: Handler<T, ()>,
        T: AsksFirst<P> + 'static,
    {
        self.add::<P, H, T>(Method::POST, MethodFilter::POST, path, handler)
    }

    /// These routes and the others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.table.extend(others.table);
        Self { router: self.router.merge(others.router), table: self.table }
    }

    /// Every route with its permission.
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    pub(crate) fn into_router(self) -> Router {
        self.router
    }

    fn add<P, H, T>(mut self, method: Method, filter: MethodFilter, path: &'static str, handler: H) -> Self
    where
        P: Permission,
        H: Handler<T, ()>,
        T: AsksFirst<P> + 'static,
    {
        let label = MapResponseLayer::new(move |mut response: Response| {
            response.extensions_mut().insert(Pattern(path));
            response
        });
        self.table.push(Route { method, path, permission: P::NAME });
        Self { router: self.router.route(path, on(filter, handler).layer(label)), table: self.table }
    }
}
