//! Routing, where nothing can be reached without a named permission and nothing is there that the document does not tell.
//!
//! A route is declared in one place: its path, what is said about it ([`doc`](crate::doc)), and its handler, whose arguments
//! and answer tell the rest. The router, the list of permissions and the document of the API are made from that.

use crate::{Doc, Endpoint, Operation, Permission, Problem, Refusal, operation::Schemas};
use axum::{
    Router,
    http::Method,
    response::Response,
    routing::{MethodFilter, on},
};
use tower::util::MapResponseLayer;

/// Paths with their handlers. There is no way to add a handler that does not ask for a permission first, or whose arguments and
/// answer cannot be told in the document:
///
/// ```
/// use axum::Json;
/// use gatehouse_http::{Granted, ReadHealth, Routes, doc};
///
/// async fn greet(_: Granted<ReadHealth>) -> Json<String> {
///     Json("hello".to_owned())
/// }
///
/// let routes = Routes::new().get("/greeting", doc("Be greeted"), greet);
/// assert_eq!(routes.table()[0].permission, "read-health");
/// ```
///
/// ```compile_fail
/// use axum::Json;
/// use gatehouse_http::{Routes, doc};
///
/// async fn anybody() -> Json<String> {
///     Json("hello".to_owned())
/// }
///
/// Routes::new().get("/greeting", doc("Be greeted"), anybody);
/// ```
///
/// ```compile_fail
/// use gatehouse_http::{Granted, ReadHealth, Routes, doc};
///
/// async fn untold(_: Granted<ReadHealth>) -> &'static str {
///     "hello"
/// }
///
/// Routes::new().get("/greeting", doc("Be greeted"), untold);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Routes {
    router: Router,
    table: Vec<Route>,
}

/// One line of the list of routes.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path's pattern.
    pub path: &'static str,
    /// The name of the permission that a caller needs.
    pub permission: &'static str,
    pub(crate) doc: Doc,
    describe: fn(&mut Operation<'_>),
}

impl Route {
    pub(crate) fn operation<'a>(&self, schemas: &'a mut Schemas) -> Operation<'a> {
        let mut operation = Operation::new(self.path, schemas);
        (self.describe)(&mut operation);
        self.doc.describe(&mut operation);
        operation
    }
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
    pub fn get<P, H, T>(self, path: &'static str, doc: Doc, handler: H) -> Self
    where
        P: Permission,
        H: Endpoint<P, T>,
        T: 'static,
    {
        self.add::<P, H, T>(Method::GET, path, doc, handler)
    }

    /// Answers POST on this path.
    #[must_use]
    pub fn post<P, H, T>(self, path: &'static str, doc: Doc, handler: H) -> Self
    where
        P: Permission,
        H: Endpoint<P, T>,
        T: 'static,
    {
        self.add::<P, H, T>(Method::POST, path, doc, handler)
    }

    /// Answers PUT on this path.
    #[must_use]
    pub fn put<P, H, T>(self, path: &'static str, doc: Doc, handler: H) -> Self
    where
        P: Permission,
        H: Endpoint<P, T>,
        T: 'static,
    {
        self.add::<P, H, T>(Method::PUT, path, doc, handler)
    }

    /// Answers PATCH on this path.
    #[must_use]
    pub fn patch<P, H, T>(self, path: &'static str, doc: Doc, handler: H) -> Self
    where
        P: Permission,
        H: Endpoint<P, T>,
        T: 'static,
    {
        self.add::<P, H, T>(Method::PATCH, path, doc, handler)
    }

    /// Answers DELETE on this path.
    #[must_use]
    pub fn delete<P, H, T>(self, path: &'static str, doc: Doc, handler: H) -> Self
    where
        P: Permission,
        H: Endpoint<P, T>,
        T: 'static,
    {
        self.add::<P, H, T>(Method::DELETE, path, doc, handler)
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

    /// What is wrong with this answer to a request of this method, if it is one that the document does not tell: for tests.
    pub fn untold(&self, method: &Method, response: &Response) -> Option<String> {
        let Pattern(path) = response.extensions().get::<Pattern>()?;
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        let route = self.table.iter().find(|route| route.method == method && route.path == *path)?;
        let status = response.status();
        let mut schemas = Schemas::new();
        let operation = route.operation(&mut schemas);
        let Some(problem) = response.extensions().get::<Problem>() else {
            let told = operation.answers_with(status);
            return (!told).then(|| format!("{method} {path} answers with {status}: add that to `answers` where the route is declared"));
        };
        let refusal = Refusal::of_status(status, problem.code());
        let told = status.is_server_error() || operation.refuses(refusal);
        (!told).then(|| format!("{method} {path} answers with {refusal:?}: add that to `refuses` where the route is declared"))
    }

    /// The routes as a service, for whoever serves them without a connection: tests, and doors inside doors.
    pub fn into_service(self) -> Router {
        self.into_router()
    }

    pub(crate) fn into_router(self) -> Router {
        self.router
    }

    fn add<P, H, T>(mut self, method: Method, path: &'static str, doc: Doc, handler: H) -> Self
    where
        P: Permission,
        H: Endpoint<P, T>,
        T: 'static,
    {
        let label = MapResponseLayer::new(move |mut response: Response| {
            response.extensions_mut().insert(Pattern(path));
            response
        });
        // Every method that a route can have is one of those that a filter knows.
        let filter = MethodFilter::try_from(method.clone()).expect("only methods of filters are added above");
        self.table.push(Route { method, path, permission: P::NAME, doc, describe: H::describe });
        Self { router: self.router.route(path, on(filter, handler).layer(label)), table: self.table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credential, Granted, ReadHealth, doc};
    use axum::{
        Json,
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
        const SECURITY: &'static [Credential] = &[];
        const REFUSALS: &'static [Refusal] = &[];
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
        let open = |_: Granted<Vault>, _body: Bytes| async { Json("open") };
        let routes = Routes::new().post("/vault", doc("Open it"), open);
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
        async fn alive(_: Granted<ReadHealth>) -> Json<bool> {
            Json(true)
        }
        async fn open(_: Granted<Vault>) -> Json<bool> {
            Json(true)
        }
        let routes = Routes::new().get("/health", doc("Ask"), alive).and(Routes::new().post("/vault", doc("Open it"), open));
        let table: Vec<_> = routes.table().iter().map(|route| (route.method.as_str(), route.path, route.permission)).collect();
        assert_eq!(table, [("GET", "/health", "read-health"), ("POST", "/vault", "open-vault")]);
    }

    #[tokio::test]
    async fn a_problem_that_is_not_told_is_found_and_one_that_is_told_is_not() {
        const TOLD: &[Refusal] = &[Refusal::new(gatehouse_base::Kind::Forbidden, "forbidden")];
        for (doc, is_told) in [(doc("Open it").refuses(TOLD), true), (doc("Open it"), false)] {
            let open = |_: Granted<Vault>| async { Json("open") };
            let routes = Routes::new().post("/vault", doc, open);
            let request = Request::post("/vault").header("x-caller", "thief").body(Body::empty()).expect("request");
            let response = routes.clone().into_router().oneshot(request).await.expect("infallible");
            assert_eq!(routes.untold(&Method::POST, &response).is_none(), is_told);
        }
    }
}
