//! A method on a path, with who may use it, what it takes and what it offers.

use crate::{
    ETag, Granted, IntoResponse, Permission, Refusal, Request, Response,
    tag::{Tags, is_safe, judge},
};
use gatehouse_wire::coap::{Code, ContentFormat, link_format::Link};
use std::{fmt, pin::Pin, sync::Arc};

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
    pub(super) method: Code,
    pub(super) path: &'static str,
    pub(super) permission: &'static str,
    pub(super) ask: Arc<Ask>,
    pub(super) tags: Tags,
    pub(super) offers: &'static [ContentFormat],
    pub(super) takes: &'static [ContentFormat],
    pub(super) link: Option<Link>,
    pub(super) carried_through: bool,
}

/// Checks the permission and begins to work on the answer.
pub(super) type Ask = dyn Fn(Request, &Tags) -> Result<Answer, Refusal> + Send + Sync;

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
