//! Handlers that describe themselves by their types.

use crate::{Body, Granted, Operation, Permission, Problem, Refusal};
use axum::{
    Extension, Form, Json,
    body::Bytes,
    extract::{Path, Query},
    handler::Handler,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, NoContent, Response},
};
use schemars::JsonSchema;

/// A handler whose first argument is [`Granted`] and whose other arguments and answer can be described. Implemented for
/// nothing else, so that a route without permission or documentation does not compile.
pub trait Endpoint<P: Permission, T>: Handler<T, ()> {
    /// Tells what it takes and gives.
    fn describe(operation: &mut Operation<'_>);
}

/// An argument of a handler.
#[diagnostic::on_unimplemented(
    message = "the document of the API cannot tell what `{Self}` takes from a request",
    note = "bodies are `Body<T>` or `Result<Form<T>, _>`, parameters `Path<T>` and `Query<T>`, where `T` derives `schemars::JsonSchema`"
)]
pub trait Argument {
    /// Tells what it takes from a request.
    fn describe(operation: &mut Operation<'_>);
}

/// What a handler returns.
#[diagnostic::on_unimplemented(
    message = "the document of the API cannot tell what `{Self}` answers",
    note = "return `Json<T>` (200), `Created<T>` (201) or `NoContent` (204), where `T` derives `schemars::JsonSchema`, or a \
            `Response` whose answers are told by `doc(…).answers`"
)]
pub trait Answers {
    /// Tells what it answers.
    fn describe(operation: &mut Operation<'_>);
}

macro_rules! endpoint {
    ($($argument:ident),*) => {
        impl<F, Fut, R, M, P, $($argument),*> Endpoint<P, (M, Granted<P>, $($argument),*)> for F
        where
            F: FnOnce(Granted<P>, $($argument),*) -> Fut + Handler<(M, Granted<P>, $($argument),*), ()>,
            Fut: Future<Output = R>,
            R: Answers,
            P: Permission,
            $($argument: Argument,)*
        {
            fn describe(operation: &mut Operation<'_>) {
                operation.security(P::SECURITY);
                P::REFUSALS.iter().for_each(|refusal| operation.refusal(*refusal));
                $($argument::describe(operation);)*
                R::describe(operation);
            }
        }
    };
}

endpoint!();
endpoint!(A);
endpoint!(A, B);
endpoint!(A, B, C);
endpoint!(A, B, C, D);
endpoint!(A, B, C, D, E);

const BAD_REQUEST: Refusal = Refusal::of_status(StatusCode::BAD_REQUEST, "bad-request");
const TOO_LARGE: Refusal = Refusal::of_status(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large");

impl<T: JsonSchema> Argument for Body<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.body::<T>("application/json");
        let unsupported = Refusal::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type");
        for refusal in [Refusal::of_status(StatusCode::BAD_REQUEST, "bad-body"), BAD_REQUEST, TOO_LARGE, unsupported] {
            operation.refusal(refusal);
        }
    }
}

/// A form that cannot be read is refused in the handler's words: axum's own are a 415 and a 422 that no two servers agree on.
impl<T: JsonSchema, E> Argument for Result<Form<T>, E> {
    fn describe(operation: &mut Operation<'_>) {
        operation.body::<T>("application/x-www-form-urlencoded");
        operation.refusal(TOO_LARGE);
    }
}

/// Read by hand.
impl Argument for Bytes {
    fn describe(operation: &mut Operation<'_>) {
        operation.opaque_body("application/octet-stream");
        operation.refusal(TOO_LARGE);
    }
}

impl<T: JsonSchema> Argument for Path<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.path::<T>();
        operation.refusal(BAD_REQUEST);
        // An empty parameter, or one with a slash, is another path.
        operation.refusal(Refusal::of_status(StatusCode::NOT_FOUND, "no-such-resource"));
    }
}

impl<T: JsonSchema> Argument for Query<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.query::<T>();
        operation.refusal(BAD_REQUEST);
    }
}

/// The handler answers itself what cannot be read.
impl<A: Argument, E> Argument for Result<A, E> {
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
    }
}

macro_rules! silent {
    ($($(#[$doc:meta])* $name:ty),*) => {$(
        $(#[$doc])*
        impl Argument for $name {
            fn describe(_: &mut Operation<'_>) {}
        }
    )*};
}

silent!(HeaderMap, Uri);

/// Put there by the door, not by the peer.
impl<T> Argument for Extension<T> {
    fn describe(_: &mut Operation<'_>) {}
}

impl<T> Argument for Option<Extension<T>> {
    fn describe(_: &mut Operation<'_>) {}
}

/// Something was made: 201 with what it is.
#[derive(Clone, Copy, Debug)]
pub struct Created<T>(pub T);

impl<T> IntoResponse for Created<T>
where
    Json<T>: IntoResponse,
{
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: JsonSchema> Answers for Created<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(StatusCode::CREATED, "application/json");
    }
}

impl<T: JsonSchema> Answers for Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(StatusCode::OK, "application/json");
    }
}

impl Answers for NoContent {
    fn describe(operation: &mut Operation<'_>) {
        operation.opaque_answer(StatusCode::NO_CONTENT, None);
    }
}

/// Header fields before an answer.
impl<H, A: Answers> Answers for (H, A) {
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
    }
}

impl<A: Answers> Answers for Result<A, Problem> {
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
    }
}

/// Told by the route's [`Doc`](crate::Doc).
impl Answers for Response {
    fn describe(_: &mut Operation<'_>) {}
}
