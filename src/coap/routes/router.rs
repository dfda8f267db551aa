//! Which route a request is for, and what one gets that fits none.

use super::{Answer, Route};
use crate::{
    Refusal, Request,
    counters::RouteMeter,
    life::Hook,
    tag::{Tags, is_safe},
    tree::{Names, Tree, names},
};
use gatehouse_wire::coap::{Code, ContentFormat, Message, OptionNumber};
use std::sync::Arc;

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
    pub(super) fn new(table: Vec<Route>, refusals: Refusals, hooks: Vec<Hook>) -> Self {
        let mut tree = Tree::new();
        let methods = table.iter().map(|route| route.method).collect();
        for route in table {
            let meter = || Arc::new(RouteMeter::new(route.path));
            let make = || Resource { meter: meter(), names: Arc::new(names(route.path)), methods: Vec::new() };
            let resource: &mut Resource = tree.entry(route.path, make);
            resource.methods.retain(|known| known.method != route.method);
            resource.methods.push(route);
        }
        Self { tree, methods, refusals, hooks, elsewhere: Arc::new(RouteMeter::new(NO_PATH)) }
    }

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
    use crate::{Anyone, Granted, Routes};
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
