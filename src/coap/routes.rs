//! Routing, where nothing can be reached without a named permission.

use crate::{
    Connection, ETag, Ending, Granted, IntoResponse, Permission, Refusal, Request, Response,
    counters::RouteMeter,
    life::Hook,
    tag::{Tags, is_safe, judge},
    tree::{Names, Tree, names},
};
use gatehouse_wire::coap::{Code, ContentFormat, Message, OptionNumber, link_format::Link};
use std::{any::Any, fmt, pin::Pin, sync::Arc};

/// An answer that is being worked on.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response, Refusal>> + Send>>;

/// A function that answers requests: its arguments are the proof of a permission and the request. Implemented for nothing
/// else.
pub trait Handler<P: Permission>: sealed::Sealed<P> + Send + Sync + 'static {
    #[doc(hidden)]
    fn answer(&self, granted: Granted<P>, request: Request) -> Answer;
}

mod sealed {
    pub trait Sealed<P> {}
}

impl<P: Permission, F, T> sealed::Sealed<P> for F where F: Fn(Granted<P>, Request) -> T {}

impl<P, F, T> Handler<P> for F
where
    P: Permission,
    F: Fn(Granted<P>, Request) -> T + Send + Sync + 'static,
    T: Future<Output: IntoResponse> + Send + 'static,
{
    fn answer(&self, granted: Granted<P>, request: Request) -> Answer {
        let answer = self(granted, request);
        Box::pin(async move { answer.await.into_response() })
    }
}

/// A method on a path, with who may use it, what it takes and what it offers.
#[derive(Clone)]
pub struct Route {
    method: Code,
    path: &'static str,
    permission: &'static str,
    ask: Arc<Ask>,
    tags: Tags,
    offers: &'static [ContentFormat],
    takes: &'static [ContentFormat],
    link: Option<Link>,
    carried_through: bool,
}

/// Checks the permission and begins to work on the answer.
type Ask = dyn Fn(Request, &Tags) -> Result<Answer, Refusal> + Send + Sync;

impl Route {
    /// Answers this method on this path. The permission is that of the handler's first argument.
    ///
    /// A path is made of words, `{name}` for any one segment, and at its end `{name…}` for one segment or more.
    pub fn new<P: Permission>(method: Code, path: &'static str, handler: impl Handler<P>) -> Self {
        let handler = Arc::new(handler);
        let ask = move |mut request: Request, tags: &Tags| {
            let granted = Granted::check(&request)?;
            let Tags::Named(current) = tags else { return Ok(handler.answer(granted, request)) };
            let (current, handler) = (current(&request), Arc::clone(&handler));
            let whole = async move {
                request.tag = current.await?;
                judge(request.options(), request.tag())?;
                let tag = request.tag.filter(|_| is_safe(request.method()));
                if let Some(tag) = tag.filter(|tag| request.options().validates(tag.as_bytes()) && !request.observes()) {
                    return Ok(Response::new(Code::VALID).with_tag(&tag));
                }
                let answer = handler.answer(granted, request).await?;
                Ok(match tag.filter(|_| answer.code() == Code::CONTENT) {
                    Some(tag) => answer.with_tag(&tag),
                    None => answer,
                })
            };
            Ok(Box::pin(whole) as Answer)
        };
        Self {
            method,
            path,
            permission: P::NAME,
            ask: Arc::new(ask),
            tags: Tags::None,
            offers: &[],
            takes: &[],
            link: None,
            carried_through: false,
        }
    }

    /// Answers GET.
    pub fn get<P: Permission>(path: &'static str, handler: impl Handler<P>) -> Self {
        Self::new(Code::GET, path, handler)
    }

    /// Answers POST.
    pub fn post<P: Permission>(path: &'static str, handler: impl Handler<P>) -> Self {
        Self::new(Code::POST, path, handler)
    }

    /// What answers may be, the one for who does not say first. A request that accepts none of them is refused.
    #[must_use]
    pub fn offers(self, formats: &'static [ContentFormat]) -> Self {
        Self { offers: formats, ..self }
    }

    /// What bodies may be. A request with a body that says to be something else is refused.
    #[must_use]
    pub fn takes(self, formats: &'static [ContentFormat]) -> Self {
        Self { takes: formats, ..self }
    }

    /// Shows the path in `/.well-known/core` with these attributes (RFC 6690). What the route offers is added.
    #[must_use]
    pub fn listed(self, attributes: &[(&str, &str)]) -> Self {
        let formats: Vec<_> = self.offers.iter().map(|format| format.0.to_string()).collect();
        let link = attributes.iter().fold(Link::new(self.path), |link, (name, value)| link.with(name, Some(value)));
        let link = if formats.is_empty() { link } else { link.with("ct", Some(&formats.join(" "))) };
        Self { link: Some(link), ..self }
    }

    /// Says in `/.well-known/core` that the path can be observed; it has to be listed before.
    #[must_use]
    pub fn observable(self) -> Self {
        Self { link: self.link.map(|link| link.with("obs", None)), ..self }
    }

    /// Names what GET and FETCH answer by its content: a peer that has it gets 2.03, and one whose condition it does not
    /// fulfil 4.12. The handler works in any case.
    #[must_use]
    pub fn tagged(self) -> Self {
        Self { tags: Tags::Content, ..self }
    }

    /// Names the resource by what this finds, before the handler works and after the permission was checked: a peer that has
    /// the state gets 2.03, and one whose condition it does not fulfil 4.12, both without the handler. `None` is a resource
    /// that does not exist. [`Request::tag`] tells the handler what was found.
    #[must_use]
    pub fn tagged_by<F, U>(self, current: F) -> Self
    where
        F: Fn(&Request) -> U + Send + Sync + 'static,
        U: Future<Output = Result<Option<ETag>, Refusal>> + Send + 'static,
    {
        Self { tags: Tags::Named(Arc::new(move |request| Box::pin(current(request)))), ..self }
    }

    /// Has the handler finish its work also where the peer has gone meanwhile, within `[coap] request_timeout`. Others are
    /// given up then, wherever they wait.
    #[must_use]
    pub fn carried_through(self) -> Self {
        Self { carried_through: true, ..self }
    }

    /// The method.
    pub fn method(&self) -> Code {
        self.method
    }

    /// The pattern of the path.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The name of the permission that a caller needs.
    pub fn permission(&self) -> &'static str {
        self.permission
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {} for {}", self.method, self.path, self.permission)
    }
}

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
        let Self { table, refusals, hooks } = self;
        let mut tree = Tree::new();
        let methods = table.iter().map(|route| route.method).collect();
        for route in table {
            let meter = || Arc::new(RouteMeter::new(route.path));
            let make = || Resource { meter: meter(), names: Arc::new(names(route.path)), methods: Vec::new() };
            let resource: &mut Resource = tree.entry(route.path, make);
            resource.methods.retain(|known| known.method != route.method);
            resource.methods.push(route);
        }
        Router { tree, methods, refusals, hooks, elsewhere: Arc::new(RouteMeter::new(NO_PATH)) }
    }
}

/// What a request gets that fits no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuse {
    /// An answer with this code.
    With(Code),
    /// No answer.
    Silently,
}

/// What requests get that fit no route. Devices that cannot be changed read more out of a code than is in it, and the
/// services that they know had codes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// No route has the path.
    pub unknown_path: Refuse,
    /// Other methods have the path.
    pub wrong_method: Refuse,
    /// The method is none of GET, POST, PUT and DELETE, and no route here has it.
    pub unknown_method: Refuse,
    /// The route offers nothing that the peer accepts.
    pub not_acceptable: Refuse,
    /// The route does not take what the body is.
    pub unsupported_format: Refuse,
}

impl Refusals {
    /// What OCF devices and their clouds are used to: a wrong method is an unknown path, a wrong format a bad request, and
    /// methods that are not those four get no answer.
    pub const DEVICES: Self = Self {
        unknown_path: Refuse::With(Code::NOT_FOUND),
        wrong_method: Refuse::With(Code::NOT_FOUND),
        unknown_method: Refuse::Silently,
        not_acceptable: Refuse::With(Code::BAD_REQUEST),
        unsupported_format: Refuse::With(Code::BAD_REQUEST),
    };
}

impl Default for Refusals {
    /// RFC 7252 §5.8, §5.10.3, §5.10.4.
    fn default() -> Self {
        Self {
            unknown_path: Refuse::With(Code::NOT_FOUND),
            wrong_method: Refuse::With(Code::METHOD_NOT_ALLOWED),
            unknown_method: Refuse::With(Code::METHOD_NOT_ALLOWED),
            not_acceptable: Refuse::With(Code::NOT_ACCEPTABLE),
            unsupported_format: Refuse::With(Code::UNSUPPORTED_CONTENT_FORMAT),
        }
    }
}

/// Routes, ready to be searched.
#[derive(Debug)]
pub(crate) struct Router {
    tree: Tree<Resource>,
    methods: Vec<Code>,
    refusals: Refusals,
    pub(crate) hooks: Vec<Hook>,
    /// Counts what goes to paths that no route has.
    elsewhere: Arc<RouteMeter>,
}

#[derive(Debug)]
struct Resource {
    meter: Arc<RouteMeter>,
    names: Arc<Names>,
    methods: Vec<Route>,
}

/// The route of a request.
pub(crate) struct Found<'a> {
    /// Knows the pattern, and counts.
    pub(crate) meter: &'a Arc<RouteMeter>,
    pub(crate) names: Arc<Names>,
    /// What the answer has to be.
    pub(crate) format: Option<ContentFormat>,
    route: &'a Route,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) struct NotFound {
    /// That of the pattern, where the path has one.
    pub(crate) meter: Arc<RouteMeter>,
    /// What to answer; nothing where it is `None`.
    pub(crate) refusal: Option<Refusal>,
}

/// The label of requests to paths that no route has.
const NO_PATH: &str = "none";

/// RFC 7252 §12.1.1.
const METHODS: [Code; 4] = [Code::GET, Code::POST, Code::PUT, Code::DELETE];

impl Router {
    /// The route for a request.
    pub(crate) fn find(&self, request: &Message) -> Result<Found<'_>, NotFound> {
        let refuse = |meter: &Arc<RouteMeter>, how, text| NotFound {
            meter: Arc::clone(meter),
            refusal: match how {
                Refuse::With(code) => Some(Refusal::plain(code, text)),
                Refuse::Silently => None,
            },
        };
        let options = &request.options;
        if !METHODS.contains(&request.code) && !self.methods.contains(&request.code) {
            return Err(refuse(&self.elsewhere, self.refusals.unknown_method, "no such method"));
        }
        if options.has(OptionNumber::PROXY_URI) || options.has(OptionNumber::PROXY_SCHEME) {
            return Err(refuse(&self.elsewhere, Refuse::With(Code::PROXYING_NOT_SUPPORTED), "this is no proxy"));
        }
        let path: Vec<_> = options.path().collect();
        let resource = self.tree.find(&path).ok_or_else(|| refuse(&self.elsewhere, self.refusals.unknown_path, "no such resource"))?;
        let meter = &resource.meter;
        let route = resource.methods.iter().find(|route| route.method == request.code);
        let route = route.ok_or_else(|| refuse(meter, self.refusals.wrong_method, "no such method here"))?;
        let conditional = options.has(OptionNumber::IF_MATCH) || options.has(OptionNumber::IF_NONE_MATCH);
        if conditional && !route.tags.judge(request.code) {
            return Err(refuse(meter, Refuse::With(Code::BAD_OPTION), "conditions are not understood here"));
        }
        let body = options.content_format().filter(|_| !request.payload.is_empty() && !route.takes.is_empty());
        if body.is_some_and(|format| !route.takes.contains(&format)) {
            return Err(refuse(meter, self.refusals.unsupported_format, "the content format is not understood here"));
        }
        let accepted = options.accept().filter(|_| !route.offers.is_empty());
        if accepted.is_some_and(|format| !route.offers.contains(&format)) {
            return Err(refuse(meter, self.refusals.not_acceptable, "the accepted content format is not offered here"));
        }
        let format = accepted.or_else(|| route.offers.first().copied());
        Ok(Found { meter, names: Arc::clone(&resource.names), format, route })
    }
}

impl Found<'_> {
    /// Whether what is answered is named by its content.
    pub(crate) fn is_tagged_by_content(&self) -> bool {
        matches!(self.route.tags, Tags::Content) && is_safe(self.route.method)
    }

    /// Whether the work goes on without the peer.
    pub(crate) fn is_carried_through(&self) -> bool {
        self.route.carried_through
    }

    /// Checks the permission and begins to work on the answer.
    pub(crate) fn ask(&self, request: Request) -> Result<Answer, Refusal> {
        (self.route.ask)(request, &self.route.tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Anyone;
    use gatehouse_wire::coap::{Options, OptionsBuilder, Token};

    async fn nothing(_: Granted<Anyone>, _: Request) -> Code {
        Code::VALID
    }

    fn router(refusals: Refusals) -> Router {
        const CBOR: &[ContentFormat] = &[ContentFormat::CBOR, ContentFormat::JSON];
        let routes = Routes::new()
            .with(Route::get("/things/{id}", nothing).offers(CBOR))
            .with(Route::post("/things/{id}", nothing).takes(CBOR))
            .with(Route::new(Code::FETCH, "/search", nothing));
        routes.refusing(refusals).into_router()
    }

    fn ask(router: &Router, method: Code, path: &str, more: impl FnOnce(OptionsBuilder) -> OptionsBuilder) -> String {
        let options = more(Options::builder().path(path).expect("path")).build();
        match router.find(&Message::new(method, Token::EMPTY).with_options(options).with_payload("x")) {
            Ok(found) => found.meter.route().to_owned(),
            Err(NotFound { refusal: Some(refusal), .. }) => refusal.code().to_string(),
            Err(NotFound { refusal: None, .. }) => "silence".to_owned(),
        }
    }

    const PLAIN: fn(OptionsBuilder) -> OptionsBuilder = |options| options;
    const XML: fn(OptionsBuilder) -> OptionsBuilder = |options| options.content_format(ContentFormat::XML).accept(ContentFormat::XML);
    const JSON: fn(OptionsBuilder) -> OptionsBuilder = |options| options.content_format(ContentFormat::JSON).accept(ContentFormat::JSON);

    #[test]
    fn what_fits_no_route_is_refused_with_the_codes_of_rfc7252() {
        let router = router(Refusals::default());
        for (method, path, more, expected) in [
            (Code::GET, "/things/1", PLAIN, "/things/{id}"),
            (Code::GET, "/things/1", JSON, "/things/{id}"),
            (Code::GET, "/things/1", XML, "4.06"),
            (Code::POST, "/things/1", JSON, "/things/{id}"),
            (Code::POST, "/things/1", XML, "4.15"),
            (Code::GET, "/things", PLAIN, "4.04"),
            (Code::DELETE, "/things/1", PLAIN, "4.05"),
            (Code::FETCH, "/search", PLAIN, "/search"),
            (Code::FETCH, "/things/1", PLAIN, "4.05"),
            (Code::new(0, 9), "/things/1", PLAIN, "4.05"),
        ] {
            assert_eq!(ask(&router, method, path, more), expected, "{method:?} {path}");
        }
    }

    #[test]
    fn devices_get_the_codes_that_they_know() {
        let router = router(Refusals::DEVICES);
        for (method, path, more, expected) in [
            (Code::GET, "/things/1", JSON, "/things/{id}"),
            (Code::GET, "/things/1", XML, "4.00"),
            (Code::POST, "/things/1", XML, "4.00"),
            (Code::GET, "/things", PLAIN, "4.04"),
            (Code::DELETE, "/things/1", PLAIN, "4.04"),
            (Code::PATCH, "/things/1", PLAIN, "silence"),
        ] {
            assert_eq!(ask(&router, method, path, more), expected, "{method:?} {path}");
        }
    }

    #[test]
    fn a_proxy_is_refused_and_so_is_a_condition_that_nobody_would_check() {
        let router = router(Refusals::default());
        let proxied = |options: OptionsBuilder| options.push(OptionNumber::PROXY_SCHEME, b"coap").expect("length");
        assert_eq!(ask(&router, Code::GET, "/things/1", proxied), "5.05");
        assert_eq!(ask(&router, Code::GET, "/things/1", |options| options.empty(OptionNumber::IF_NONE_MATCH)), "4.02");
        assert_eq!(ask(&router, Code::GET, "/things/1", |options| options.empty(OptionNumber::IF_MATCH)), "4.02");
    }
}
