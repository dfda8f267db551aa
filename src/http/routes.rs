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

    /// Answers PUT on this path.
    #[must_use]
    pub fn put<P, H, T>(self, path: &'static str, handler: H) -> Self
    where
        P: Permission,
        H: Handler<T, ()>,
        T: AsksFirst<P> + 'static,
    {
        self.add::<P, H, T>(Method::PUT, MethodFilter::PUT, path, handler)
    }

    /// Answers PATCH on this path.
    #[must_use]
    pub fn patch<P, H, T>(self, path: &'static str, handler: H) -> Self
    where
        P: Permission,
        H: Handler<T, ()>,
        T: AsksFirst<P> + 'static,
    {
        self.add::<P, H, T>(Method::PATCH, MethodFilter::PATCH, path, handler)
    }

    /// Answers DELETE on this path.
    #[must_use]
    pub fn delete<P, H, T>(self, path: &'static str, handler: H) -> Self
    where
        P: Permission,
        H: Handler<T, ()>,
        T: AsksFirst<P> + 'static,
    {
        self.add::<P, H, T>(Method::DELETE, MethodFilter::DELETE, path, handler)
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

    /// The routes as a service, for whoever serves them without a connection: tests, and doors inside doors.
    pub fn into_service(self) -> Router {
        self.into_router()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Granted, Problem, ReadHealth};
    use axum::{
        body::{Body, Bytes},
        http::{Request, StatusCode, request::Parts},
    };
    use gatehouse_base::Denied;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    use tower::ServiceExt;

    struct Vault;

    impl Permission for Vault {
        const NAME: &'static str = "open-vault";
        type Proof = ();

        fn check(request: &Parts) -> Result<(), Problem> {
            match request.headers.get("x-caller").map(|caller| caller.as_bytes()) {
                Some(b"owner") => Ok(()),
                Some(_) => Err(Denied::Forbidden.into()),
                None => Err(Denied::Unauthenticated.into()),
            }
        }
    }

    /// A body that tells whether somebody looked into it.
    fn watched_body(looked: &Arc<AtomicBool>) -> Body {
        struct Watched(Arc<AtomicBool>);
        impl axum::body::HttpBody for Watched {
            type Data = Bytes;
            type Error = axum::Error;

            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
                self.0.store(true, Ordering::SeqCst);
                std::task::Poll::Ready(None)
            }
        }
        Body::new(Watched(Arc::clone(looked)))
    }

    #[tokio::test]
    async fn a_body_is_not_looked_at_before_the_permission_is_granted() {
        let open = |_: Granted<Vault>, _body: Bytes| async { "open" };
        let routes = Routes::new().post("/vault", open);
        for (caller, status, looks) in
            [(None, StatusCode::UNAUTHORIZED, false), (Some("thief"), StatusCode::FORBIDDEN, false), (Some("owner"), StatusCode::OK, true)]
        {
            let looked = Arc::default();
            let mut request = Request::post("/vault");
            if let Some(caller) = caller {
                request = request.header("x-caller", caller);
            }
            let request = request.body(watched_body(&looked)).expect("request");
            let response = routes.clone().into_router().oneshot(request).await.expect("infallible");
            assert_eq!((response.status(), looked.load(Ordering::SeqCst)), (status, looks), "{caller:?}");
            assert_eq!(response.extensions().get::<Problem>().is_some(), status != StatusCode::OK);
        }
    }

    #[test]
    fn the_table_lists_every_route_with_its_permission() {
        async fn alive(_: Granted<ReadHealth>) {}
        async fn open(_: Granted<Vault>) {}
        let routes = Routes::new().get("/health", alive).and(Routes::new().post("/vault", open));
        let table: Vec<_> = routes.table().iter().map(|route| (route.method.as_str(), route.path, route.permission)).collect();
        assert_eq!(table, [("GET", "/health", "read-health"), ("POST", "/vault", "open-vault")]);
    }
}
