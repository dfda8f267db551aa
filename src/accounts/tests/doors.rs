//! Requests as they come in: credentials become callers, and callers reach what their permissions name.

use super::{PASSWORD, World, add};
use crate::{Config, Gate, Role, oauth::Certified, routes};
use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Response, StatusCode, header},
};
use gatehouse_http::{Authenticate, ClientAddress, Problem, Routes};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A client of the routes, behind the gate.
pub(super) struct Door {
    pub(super) world: World,
    routes: Routes,
    /// The certificate that the connection has proven.
    pub(super) certified: Option<Certified>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    cookie: Option<String>,
    pub(super) body: Value,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Door {
    pub(super) async fn new() -> Self {
        Self::of(World::new().await)
    }

    /// With other settings.
    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::of(World::with(change).await)
    }

    pub(super) fn of(world: World) -> Self {
        Self { routes: routes(&world.accounts), certified: None, world }
    }

    pub(super) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        match body {
            Some(body) => self.send(method, path, &[headers, &[("content-type", "application/json")]].concat(), body.to_string()).await,
            None => self.send(method, path, headers, String::new()).await,
        }
    }

    pub(super) async fn form(&self, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let form_type = ("content-type", "application/x-www-form-urlencoded");
        self.send(Method::POST, path, &[headers, &[form_type]].concat(), form.to_owned()).await
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "gatehouse.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Body::from(body);
        let (mut parts, body) = request.body(body).expect("a request").into_parts();
        parts.extensions.insert(ClientAddress("192.0.2.1".parse().expect("address")));
        if let Some(certified) = &self.certified {
            parts.extensions.insert(certified.clone());
        }
        let gate = Gate::new(self.world.accounts.clone());
        let method = parts.method.clone();
        let response = match gate.authenticate(&mut parts).await {
            Ok(()) => self.routes.clone().into_service().oneshot(Request::from_parts(parts, body)).await.expect("infallible"),
            Err(problem) => axum::response::IntoResponse::into_response(problem),
        };
        assert_eq!(self.routes.untold(&method, &response), None);
        answer(response).await
    }

    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers, None).await
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        self.ask(Method::POST, path, headers, Some(body)).await
    }

    /// Signs Ann in; the cookie as a browser would send it back.
    pub(super) async fn cookie(&self) -> String {
        self.cookie_of("ann@example.com").await
    }

    /// The same for somebody else.
    pub(super) async fn cookie_of(&self, email: &str) -> String {
        let answer = self.post("/v1/sign-in", &[], json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let cookie = answer.cookie.expect("a cookie");
        assert!(cookie.starts_with("__Host-gatehouse-session=") && cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
        cookie.split(';').next().expect("a pair").to_owned()
    }
}

async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let cookie = parts.headers.get(header::SET_COOKIE).map(|cookie| cookie.to_str().expect("text").to_owned());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // A problem's body is written by the server, behind which these routes do not stand.
    let problem = parts.extensions.get::<Problem>().map(|problem| json!({ "code": problem.code() }));
    let body = problem.unwrap_or_else(|| serde_json::from_slice(&bytes).unwrap_or(Value::Null));
    Answer { status: parts.status, cookie, body, headers: parts.headers, text }
}

pub(super) const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

#[tokio::test]
async fn a_session_reaches_its_own_account_and_a_stranger_nothing() {
    let door = Door::new().await;
    for path in ["/v1/me", "/v1/me/history", "/v1/me/sessions", "/v1/tokens", "/v1/members"] {
        assert_eq!(door.get(path, &[]).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let cookie = door.cookie().await;
    let me = door.get("/v1/me", &[("cookie", &cookie)]).await;
    assert_eq!(
        (me.status, &me.body["email"], &me.body["organisations"][0]["role"]),
        (StatusCode::OK, &json!("ann@example.com"), &json!("owner"))
    );
    let history = door.get("/v1/me/history?limit=1", &[("cookie", &cookie)]).await;
    assert_eq!(history.body[0]["what"], "signed-in");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_our_cookie() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let name = json!({ "name": "Acme" });
    for foreign in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example.com")],
        &[("origin", "null")],
    ] {
        let headers = [&[("cookie", cookie.as_str())][..], foreign].concat();
        assert_eq!(door.post("/v1/organisations", &headers, name.clone()).await.status, StatusCode::FORBIDDEN, "{foreign:?}");
    }
    for ours in [OURS, ("origin", "https://gatehouse.example.com")] {
        assert_eq!(door.post("/v1/organisations", &[("cookie", &cookie), ours], name.clone()).await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let out = door.ask(Method::POST, "/v1/sign-out", &[("cookie", &cookie), OURS], None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.cookie.expect("a cookie that ends").contains("Max-Age=0"));
    assert_eq!(door.get("/v1/me", &[("cookie", &cookie)]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_reads_what_its_scope_names_and_makes_no_credentials() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let body = json!({ "name": "deploy", "scopes": ["members:read"], "sources": "*" });
    let made = door.post("/v1/tokens", &[("cookie", &cookie), OURS], body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let bearer = format!("Bearer {}", made.body["token"].as_str().expect("a token"));
    let shows = [("authorization", bearer.as_str())];
    assert_eq!(door.get("/v1/members", &shows).await.body[0]["email"], "ann@example.com");
    assert_eq!(door.get("/v1/me", &shows).await.status, StatusCode::OK);
    assert_eq!(door.post("/v1/tokens", &shows, body).await.status, StatusCode::FORBIDDEN);
    assert_eq!(door.get("/v1/me/sessions", &shows).await.status, StatusCode::FORBIDDEN);
    let member = format!("/v1/members/{}", door.world.ann.id);
    assert_eq!(door.ask(Method::DELETE, &member, &shows, None).await.status, StatusCode::FORBIDDEN);
    let listed = door.get("/v1/tokens", &shows).await.body.to_string();
    assert!(!listed.contains(made.body["token"].as_str().expect("a token")));
    let acme = door.world.accounts.add_organisation(door.world.ann.id, "Acme").await.expect("made").id.to_string();
    let elsewhere = [("authorization", bearer.as_str()), ("gatehouse-organisation", acme.as_str())];
    assert_eq!(
        door.get("/v1/members", &elsewhere).await.status,
        StatusCode::FORBIDDEN,
        "its owner may, and the token was made for another"
    );
    assert_eq!(door.get("/v1/members", &shows).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bad_token_does_not_fall_back_to_a_cookie() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    for authorization in ["Bearer gth_nonsense", "Bearer ", "Basic YW5uOnNhaWw=", "nonsense"] {
        let answer = door.get("/v1/me", &[("cookie", &cookie), ("authorization", authorization)]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{authorization}");
    }
    assert_eq!(door.get("/v1/me", &[("cookie", "__Host-gatehouse-session=abc")]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn somebody_with_several_organisations_names_one_that_is_theirs() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let acme = door.post("/v1/organisations", &[("cookie", &cookie), OURS], json!({ "name": "Acme" })).await.body;
    let acme = acme["id"].as_str().expect("an id");
    let ben = add(&door.world.accounts, "ben@example.com").await;
    let foreign = door.world.accounts.organisations_of(ben.id).await.expect("organisations")[0].id.to_string();
    let named =
        |organisation: &str| vec![("cookie".to_owned(), cookie.clone()), ("gatehouse-organisation".to_owned(), organisation.to_owned())];
    for (headers, status) in [
        (vec![("cookie".to_owned(), cookie.clone())], StatusCode::BAD_REQUEST),
        (named(acme), StatusCode::OK),
        (named(&foreign), StatusCode::FORBIDDEN),
        (named("11111111-2222-4333-8444-555555555555"), StatusCode::FORBIDDEN),
        (named("nonsense"), StatusCode::BAD_REQUEST),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(door.get("/v1/members", &headers).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn roles_reach_what_is_written_for_them() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let home = door.world.ann_at_home().await.organisation();
    let acme = door.world.accounts.add_organisation(add(&door.world.accounts, "ben@example.com").await.id, "Acme").await.expect("made");
    let eve = add(&door.world.accounts, "eve@example.com").await;
    door.world.accounts.enter(eve.id, acme.id, Role::Viewer).await;
    let member = format!("/v1/members/{}", eve.id);
    let id = acme.id.to_string();
    assert_ne!(home, acme.id);
    for (role, read, change) in [
        (None, StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
        (Some(Role::Factory), StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
        (Some(Role::Viewer), StatusCode::OK, StatusCode::FORBIDDEN),
        (Some(Role::Operator), StatusCode::OK, StatusCode::FORBIDDEN),
        (Some(Role::Admin), StatusCode::OK, StatusCode::NO_CONTENT),
        (Some(Role::Owner), StatusCode::OK, StatusCode::NO_CONTENT),
    ] {
        if let Some(role) = role {
            door.world.accounts.enter(door.world.ann.id, acme.id, role).await;
        }
        let headers = [("cookie", cookie.as_str()), OURS, ("gatehouse-organisation", id.as_str())];
        assert_eq!(door.get("/v1/members", &headers).await.status, read, "{role:?}");
        let body = Some(json!({ "role": "operator" }));
        assert_eq!(door.ask(Method::PATCH, &member, &headers, body).await.status, change, "{role:?}");
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_answered_in_a_second_step() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let shown = door.post("/v1/me/second-factor", &[("cookie", &cookie), OURS], json!({})).await;
    assert!(shown.body["link"].as_str().expect("a link").starts_with("otpauth://totp/Gatehouse:ann%40example.com?"));
    assert!(shown.body["picture"].as_str().expect("a picture").contains("<svg"));
    let wrong = door.post("/v1/me/second-factor/confirm", &[("cookie", &cookie), OURS], json!({ "code": "12345" })).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let neither = door.post("/v1/me/second-factor/disable", &[("cookie", &cookie), OURS], json!({})).await;
    assert_eq!(neither.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unknown_field_and_a_foreign_type_of_body_are_refused() {
    let door = Door::new().await;
    let body = json!({ "email": "ann@example.com", "password": PASSWORD, "admin": true });
    assert_eq!(door.post("/v1/sign-in", &[], body).await.status, StatusCode::BAD_REQUEST);
    let form = door.ask(Method::POST, "/v1/sign-in", &[("content-type", "text/plain")], None).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
