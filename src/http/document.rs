//! The document of the API: OpenAPI 3.1, made from the same routes that are served.

use crate::{Granted, Operation, ReadDocument, Refusal, Route, Routes, doc, limits, operation::Schemas, problem::Details};
use axum::{
    body::Bytes,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Where the document is served.
const PATH: &str = "/v1/openapi.json";

/// What the door itself may answer on every route, whatever it does.
const EVERYWHERE: &[Refusal] = &[
    Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    limits::BUSY,
    limits::NETWORK_BUSY,
    limits::NETWORK_RATE,
    limits::CREDENTIAL_RATE,
    Refusal::of_status(StatusCode::GATEWAY_TIMEOUT, "request-timeout"),
];

/// What a document says that its routes cannot.
#[derive(Clone, Debug)]
pub struct About {
    /// What the API is called.
    pub title: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// What somebody who begins needs to know, in CommonMark.
    pub description: &'static str,
    /// The ways to show who is calling: names and security schemes of OpenAPI.
    pub schemes: Vec<(&'static str, Value)>,
    /// What finding out who is calling may answer on every route, before the route is asked.
    pub authentication: &'static [Refusal],
}

/// A document, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document.
    pub json: Value,
    /// Mistakes in the declaration of routes that the types cannot prevent, each a sentence. A test wants none.
    pub mistakes: Vec<String>,
}

/// Tells these routes.
pub fn document(routes: &Routes, about: &About) -> Document {
    let mut schemas = Schemas::new();
    let problem = schemas.given::<Details<'_>>();
    debug_assert_eq!(problem["$ref"], "#/components/schemas/Problem");
    let (mut paths, mut mistakes, mut ids) = (Map::new(), Vec::new(), BTreeSet::new());
    for route in routes.table() {
        let mut operation = route.operation(&mut schemas);
        EVERYWHERE.iter().chain(about.authentication).for_each(|refusal| operation.refusal(*refusal));
        mistakes.extend(mistake(route, &operation, about));
        let mut told = operation.finish();
        let id = operation_id(route);
        told.insert("operationId".to_owned(), id.clone().into());
        told.insert("summary".to_owned(), route.doc.summary.into());
        told.extend(route.doc.about.map(|text| ("description".to_owned(), text.into())));
        told.insert("tags".to_owned(), json!([tag(route.path)]));
        told.insert("x-permission".to_owned(), route.permission.into());
        if !ids.insert(id.clone()) {
            mistakes.push(format!("two routes would be called `{id}`"));
        }
        paths.entry(route.path).or_insert_with(|| json!({}))[route.method.as_str().to_lowercase()] = told.into();
    }
    let (definitions, ambiguous) = schemas.definitions();
    let twofold = |name| format!("the type `{name}` means one thing in a body and another in an answer: give one of them another name");
    mistakes.extend(ambiguous.into_iter().map(twofold));
    let schemes: Map<_, _> = about.schemes.iter().map(|(name, scheme)| ((*name).to_owned(), scheme.clone())).collect();
    let json = json!({
        "openapi": "3.1.0",
        "info": { "title": about.title, "version": about.version, "description": about.description, "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "paths": paths,
        "components": { "schemas": definitions, "securitySchemes": schemes },
    });
    Document { json, mistakes }
}

/// These routes, and one more that serves the document of all of them.
pub fn serve_document(routes: Routes, about: &About) -> Routes {
    let told = doc("Read this document").about("OpenAPI 3.1, made from the routes of the running program.");
    let told = told.answers::<Map<String, Value>>(StatusCode::OK);
    // The route tells itself, too: what it serves is known only when it has been added.
    let all = |text: Bytes| {
        let serve = move |_: Granted<ReadDocument>| {
            let text = text.clone();
            async move { ([(header::CONTENT_TYPE, "application/json")], text).into_response() }
        };
        routes.clone().and(Routes::new().get(PATH, told.clone(), serve))
    };
    let text = document(&all(Bytes::new()), about).json.to_string();
    all(text.into())
}

fn mistake(route: &Route, operation: &Operation<'_>, about: &About) -> Option<String> {
    let (method, path) = (&route.method, route.path);
    if !operation.says_what_it_answers() {
        return Some(format!("{method} {path} returns a bare response: tell with `doc(…).answers` what that may be"));
    }
    let unknown = operation.schemes().find(|scheme| !about.schemes.iter().any(|(name, _)| name == scheme))?;
    Some(format!("{method} {path} wants a credential `{unknown}`, which the document does not explain"))
}

/// The name of the function in a generated client: `GET /v1/me/sessions/{id}` is `get_me_sessions_id`.
fn operation_id(route: &Route) -> String {
    let path = route.path.strip_prefix("/v1").unwrap_or(route.path);
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(route.method.as_str().to_lowercase(), |id, word| format!("{id}_{word}"))
}

/// What a route belongs to: the first word of its path.
fn tag(path: &'static str) -> &'static str {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    path.split('/').find(|part| !part.is_empty()).unwrap_or("root").trim_start_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Created, Credential, Permission, Problem};
    use axum::{
        Json,
        extract::{Path, Query},
        http::{Request, request::Parts},
        response::{NoContent, Response},
    };
    use gatehouse_base::Kind;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tower::ServiceExt;

    enum Keep {}

    impl Permission for Keep {
        const NAME: &'static str = "keep-rooms";
        const SECURITY: &'static [Credential] = &[Credential { scheme: "token", scopes: &["rooms:write"] }];
        const REFUSALS: &'static [Refusal] = &[Refusal::new(Kind::Forbidden, "forbidden")];
        type Proof = ();

        fn check(_: &Parts) -> Result<(), Problem> {
            Ok(())
        }
    }

    /// What a room is to be.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "looked at by its schema only")]
    struct NewRoom {
        /// Nobody else has it.
        name: String,
        beds: Option<u8>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Room {
        id: String,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "looked at by its schema only")]
    struct Page {
        limit: Option<u8>,
    }

    fn about() -> About {
        let schemes = vec![("token", json!({ "type": "http", "scheme": "bearer" }))];
        About {
            title: "Inn",
            version: "1",
            description: "Rooms.",
            schemes,
            authentication: const { &[Refusal::new(Kind::Unauthenticated, "bad-token")] },
        }
    }

    fn rooms() -> Routes {
        let taken = const { &[Refusal::new(Kind::Conflict, "name-taken")] };
        Routes::new()
            .post("/v1/rooms", doc("Make a room").refuses(taken), |_: Granted<Keep>, _: Body<NewRoom>| async {
                Created(Room { id: String::new() })
            })
            .get("/v1/rooms", doc("List rooms"), |_: Granted<Keep>, _: Query<Page>| async { Json(Vec::<Room>::new()) })
            .delete("/v1/rooms/{id}", doc("Tear it down"), |_: Granted<Keep>, _: Path<u32>| async { NoContent })
    }

    #[test]
    fn a_route_is_told_by_its_handlers_types() {
        let Document { json, mistakes } = document(&rooms(), &about());
        assert_eq!(mistakes, Vec::<String>::new());
        let make = &json["paths"]["/v1/rooms"]["post"];
        let body = &make["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body, &json!({ "$ref": "#/components/schemas/NewRoom" }));
        let room = &json["components"]["schemas"]["NewRoom"];
        assert_eq!((&room["required"], &room["additionalProperties"]), (&json!(["name"]), &json!(false)));
        assert_eq!(room["properties"]["name"]["description"], "Nobody else has it.");
        let made = &make["responses"]["201"]["content"]["application/json"]["schema"];
        assert_eq!(made, &json!({ "$ref": "#/components/schemas/Room" }));
        assert_eq!((&make["operationId"], &make["summary"]), (&json!("post_rooms"), &json!("Make a room")));
        assert_eq!((&make["security"], &make["x-permission"]), (&json!([{ "token": ["rooms:write"] }]), &json!("keep-rooms")));
        let list = &json["paths"]["/v1/rooms"]["get"]["parameters"][0];
        assert_eq!((&list["name"], &list["in"], &list["schema"]["type"]), (&json!("limit"), &json!("query"), &json!("integer")));
        let one = &json["paths"]["/v1/rooms/{id}"]["delete"];
        assert_eq!((&one["parameters"][0]["name"], &one["parameters"][0]["schema"]["type"]), (&json!("id"), &json!("integer")));
        assert!(one["responses"]["204"].get("content").is_none());
    }

    #[test]
    fn a_route_is_told_with_every_code_that_it_refuses_with() {
        let json = document(&rooms(), &about()).json;
        let codes = |status: &str| {
            let problem = &json["paths"]["/v1/rooms"]["post"]["responses"][status]["content"]["application/problem+json"]["schema"];
            problem["allOf"][1]["properties"]["code"]["enum"].clone()
        };
        assert_eq!(codes("409"), json!(["name-taken"]));
        assert_eq!(codes("400"), json!(["bad-body", "bad-request"]));
        assert_eq!((codes("401"), codes("403")), (json!(["bad-token"]), json!(["forbidden"])));
        let problem = &json["components"]["schemas"]["Problem"];
        assert_eq!(problem["required"], json!(["type", "title", "status", "code", "request_id"]));
    }

    #[test]
    fn what_the_types_cannot_prevent_is_named() {
        let bare = Routes::new().get("/bare", doc("Say something"), |_: Granted<ReadDocument>| async { Response::new("?".into()) });
        let mistakes = document(&bare, &about()).mistakes;
        assert!(mistakes.len() == 1 && mistakes[0].starts_with("GET /bare returns a bare response"), "{mistakes:?}");
        let mistakes = document(&rooms(), &About { schemes: Vec::new(), ..about() }).mistakes;
        assert!(mistakes.len() == 3 && mistakes[0].contains("wants a credential `token`"), "{mistakes:?}");
    }

    #[tokio::test]
    async fn the_document_that_is_served_tells_itself_too() {
        let routes = serve_document(rooms(), &about());
        let request = Request::get(PATH).body(axum::body::Body::empty()).expect("a request");
        let response = routes.clone().into_service().oneshot(request).await.expect("infallible");
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        let served: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(served, document(&routes, &about()).json);
        assert_eq!(
            served["paths"].as_object().expect("paths").keys().collect::<Vec<_>>(),
            ["/v1/openapi.json", "/v1/rooms", "/v1/rooms/{id}"]
        );
    }
}
