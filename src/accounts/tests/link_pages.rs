//! Links from letters, opened in a browser: fetching does nothing, pressing the button does.

use super::{
    ISSUER, PASSWORD,
    doors::{Door, OURS},
    from, secret,
};
use crate::{Role, links::LinkKind, secret::text};
use axum::http::{StatusCode, header};
use serde_json::json;

/// What a form of a page sends.
fn form(link: &gatehouse_types::Secret, rest: &str) -> String {
    format!("secret={}{rest}", text(link))
}

#[tokio::test]
async fn programs_that_fetch_links_use_none_up_and_the_page_tells_nobody() {
    let door = Door::new().await;
    door.world.accounts.forgot_password("ann@example.com", &from("192.0.2.1")).await.expect("answered");
    let link = door.world.link("ann@example.com", LinkKind::Reset).await;
    let path = format!("{}?secret={}", LinkKind::Reset.path(), text(&link));
    for _ in 0..3 {
        let page = door.get(&path, &[]).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.text.contains("<form method=\"post\" action=\"/account/reset\">") && page.text.contains(&text(&link)),
            "{}",
            page.text
        );
        let header = |name: header::HeaderName| page.headers[name].to_str().expect("text").to_owned();
        assert!(header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
        assert_eq!((header(header::REFERRER_POLICY), header(header::CACHE_CONTROL)), ("no-referrer".to_owned(), "no-store".to_owned()));
    }
    let weak = door.form(LinkKind::Reset.path(), &[], &form(&link, "&password=12345678")).await;
    assert_eq!(weak.status, StatusCode::BAD_REQUEST);
    assert!(weak.text.contains("role=\"alert\"") && weak.text.contains(&text(&link)), "the link is still good: {}", weak.text);
    let done = door.form(LinkKind::Reset.path(), &[], &form(&link, "&password=small+boats+float")).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let again = door.form(LinkKind::Reset.path(), &[], &form(&link, "&password=small+boats+float")).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    door.world.accounts.sign_in("ann@example.com", &secret("small boats float"), &from("192.0.2.1")).await.expect("signed in");
}

#[tokio::test]
async fn links_lead_to_the_configured_address_whatever_a_request_calls_us() {
    let door = Door::new().await;
    let evil = [("host", "evil.example.net"), ("x-forwarded-host", "evil.example.net"), ("forwarded", "host=evil.example.net")];
    let asked = door.post("/v1/forgot-password", &evil, json!({ "email": "ann@example.com" })).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    let register = json!({ "email": "ben@example.com", "name": "Ben", "password": PASSWORD });
    assert_eq!(door.post("/v1/register", &evil, register).await.status, StatusCode::NO_CONTENT);
    let post = door.world.post().await;
    assert_eq!(post.len(), 2);
    for letter in post {
        assert!(!letter.text.contains("evil") && letter.text.contains(&format!("{ISSUER}/account/")), "{}", letter.text);
    }
}

#[tokio::test]
async fn who_has_not_confirmed_may_confirm_ask_again_and_leave_and_nothing_else() {
    let door = Door::new().await;
    let register = json!({ "email": "ben@example.com", "name": "Ben", "password": PASSWORD });
    door.post("/v1/register", &[], register).await;
    let credentials = json!({ "email": "ben@example.com", "password": PASSWORD });
    let signed_in = door.post("/v1/sign-in", &[], credentials).await;
    assert_eq!(signed_in.status, StatusCode::OK);
    let cookie = signed_in.headers[header::SET_COOKIE].to_str().expect("text").split(';').next().expect("a pair").to_owned();
    let ours = [("cookie", cookie.as_str()), OURS];
    for path in ["/v1/me", "/v1/me/history", "/v1/me/sessions", "/v1/tokens", "/v1/members", "/v1/invitations"] {
        let refused = door.get(path, &ours).await;
        assert_eq!((refused.status, &refused.body["code"]), (StatusCode::FORBIDDEN, &json!("address-not-confirmed")), "{path}");
    }
    for (path, body) in [("/v1/organisations", json!({ "name": "Acme" })), ("/v1/me/delete", json!({ "password": PASSWORD }))] {
        assert_eq!(door.post(path, &ours, body).await.body["code"], "address-not-confirmed", "{path}");
    }
    door.world.post().await;
    assert_eq!(door.post("/v1/me/confirmation", &ours, json!({})).await.status, StatusCode::NO_CONTENT);
    let link = door.world.link("ben@example.com", LinkKind::Confirm).await;
    let wrong = door.form(LinkKind::Confirm.path(), &[], &form(&link, "&password=wrong+horse+x")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let done = door.form(LinkKind::Confirm.path(), &ours, &form(&link, "")).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(door.get("/v1/me", &ours).await.body["confirmed"], true);
    assert_eq!(door.post("/v1/me/confirmation", &ours, json!({})).await.body["code"], "address-confirmed");
    assert_eq!(door.post("/v1/sign-out", &ours, json!({})).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_invitation_is_made_looked_at_accepted_and_withdrawn_over_http() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let ours = [("cookie", cookie.as_str()), OURS];
    let invite = |email: &str| json!({ "email": email, "role": "operator" });
    let made = door.post("/v1/invitations", &ours, invite("ben@example.com")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let link = door.world.link("ben@example.com", LinkKind::Invitation).await;
    let page = door.get(&format!("{}?secret={}", LinkKind::Invitation.path(), text(&link)), &[]).await;
    assert!(
        page.text.contains("ben@example.com") && page.text.contains("operator") && page.text.contains("name=\"password\""),
        "{}",
        page.text
    );
    let look = door.post("/v1/invitations/look", &[], json!({ "link": text(&link) })).await;
    assert_eq!((look.status, &look.body["role"]), (StatusCode::OK, &json!("operator")));
    let half = door.post("/v1/invitations/accept", &[], json!({ "link": text(&link) })).await;
    assert_eq!((half.status, &half.body["code"]), (StatusCode::CONFLICT, &json!("sign-in-first")));
    let theft = door.form(LinkKind::Invitation.path(), &ours, &form(&link, "")).await;
    assert_eq!(theft.status, StatusCode::FORBIDDEN, "Ann is signed in, and Ben is invited: {}", theft.text);
    let done = door.form(LinkKind::Invitation.path(), &[], &form(&link, "&name=Ben&password=tall+ships+sail")).await;
    assert!(done.status == StatusCode::OK && done.text.contains("Welcome"), "{}", done.text);
    let members = door.get("/v1/members", &ours).await;
    assert_eq!(members.body.as_array().map(Vec::len), Some(2));

    door.post("/v1/invitations", &ours, invite("cleo@example.com")).await;
    let id = door.get("/v1/invitations", &ours).await.body[0]["id"].as_str().expect("an id").to_owned();
    let withdraw = |id: String| door.ask(axum::http::Method::DELETE, format!("/v1/invitations/{id}").leak(), &ours, None);
    assert_eq!(withdraw(id.clone()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(withdraw(id).await.status, StatusCode::NOT_FOUND);
    let over = door.get(&format!("{}?secret=abc", LinkKind::Invitation.path()), &[]).await;
    assert_eq!(over.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_address_changes_and_an_account_goes_over_http() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let ours = [("cookie", cookie.as_str()), OURS];
    let wish = |wanted: bool| door.ask(axum::http::Method::PATCH, "/v1/me", &ours, Some(json!({ "sign_in_mail": wanted })));
    assert_eq!(wish(false).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.get("/v1/me", &ours).await.body["sign_in_mail"], false);
    let wrong = door.post("/v1/me/email", &ours, json!({ "email": "ann@example.org", "password": "wrong horse" })).await;
    assert_eq!((wrong.status, &wrong.body["code"]), (StatusCode::UNAUTHORIZED, &json!("wrong-password")));
    let asked = door.post("/v1/me/email", &ours, json!({ "email": "ann@example.org", "password": PASSWORD })).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    let post = door.world.post().await;
    let find = |kind| post.iter().find_map(|letter| letter.link(kind)).expect("a link");
    let (change, keep) = (find(LinkKind::ChangeAddress), find(LinkKind::KeepAddress));
    assert_eq!(door.form(LinkKind::ChangeAddress.path(), &[], &form(&change, "")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(door.form(LinkKind::ChangeAddress.path(), &ours, &form(&change, "")).await.status, StatusCode::OK);
    assert_eq!(door.post("/v1/address/confirm", &ours, json!({ "link": text(&change) })).await.body["code"], "link-over");
    assert_eq!(door.form(LinkKind::KeepAddress.path(), &[], &form(&keep, "")).await.status, StatusCode::OK);
    assert_eq!(door.post("/v1/address/keep", &[], json!({ "link": text(&keep) })).await.status, StatusCode::NOT_FOUND);
    let link = door.world.link("ann@example.com", LinkKind::Reset).await;
    let set = door.form(LinkKind::Reset.path(), &[], &form(&link, "&password=tall+ships+sail")).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let cookie = door.cookie().await;
    let ours = [("cookie", cookie.as_str()), OURS];
    assert_eq!(door.post("/v1/me/delete", &ours, json!({ "password": PASSWORD })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.get("/v1/me", &ours).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn only_who_runs_the_installation_stops_organisations_and_looks_after_letters() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let ours = [("cookie", cookie.as_str()), OURS];
    let home = door.world.ann_at_home().await.organisation;
    let suspend = format!("/v1/instance/organisations/{home}/suspend");
    assert_eq!(door.post(&suspend, &ours, json!({})).await.status, StatusCode::FORBIDDEN);
    assert_eq!(door.get("/v1/instance/letters", &ours).await.status, StatusCode::FORBIDDEN);
    let password = crate::NewPassword::new(secret(PASSWORD)).expect("good");
    let operator = crate::NewPerson { email: "op@example.com".parse().expect("address"), name: "Op".to_owned(), password, operator: true };
    door.world.accounts.add_person(operator).await.expect("added");
    let signed_in = door.post("/v1/sign-in", &[], json!({ "email": "op@example.com", "password": PASSWORD })).await;
    let cookie = signed_in.headers[header::SET_COOKIE].to_str().expect("text").split(';').next().expect("a pair").to_owned();
    let operators = [("cookie", cookie.as_str()), OURS];
    assert_eq!(door.post(&suspend, &operators, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.get("/v1/members", &ours).await.body["code"], "organisation-suspended");
    let resume = format!("/v1/instance/organisations/{home}/resume");
    assert_eq!(door.post(&resume, &operators, json!({})).await.status, StatusCode::NO_CONTENT);
    let by = crate::Member { role: Role::Owner, ..door.world.ann_at_home().await };
    door.world.accounts.invite(&by, &"ben@example.com".parse().expect("address"), Role::Viewer).await.expect("invited");
    let letters = door.get("/v1/instance/letters", &operators).await;
    let id = letters.body[0]["id"].as_str().expect("an id").to_owned();
    assert!(!letters.text.contains("secret"), "{}", letters.text);
    let retry = format!("/v1/instance/letters/{id}/retry");
    assert_eq!(door.post(&retry, &operators, json!({})).await.status, StatusCode::OK);
    let path = format!("/v1/instance/letters/{id}");
    assert_eq!(door.ask(axum::http::Method::DELETE, &path, &operators, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.post(&retry, &operators, json!({})).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_no_form_of_a_page_is_refused_in_our_words() {
    let door = Door::new().await;
    for kind in [LinkKind::Confirm, LinkKind::Reset, LinkKind::ChangeAddress, LinkKind::KeepAddress, LinkKind::Invitation] {
        let other = door.post(kind.path(), &[], json!({ "secret": "x" })).await;
        let twice = door.form(kind.path(), &[], "secret=a&secret=b").await;
        for refused in [other, twice] {
            assert_eq!((refused.status, &refused.body["code"]), (StatusCode::BAD_REQUEST, &json!("bad-form")), "{}", kind.path());
        }
        let over = door.form(kind.path(), &[], "secret=a&name=Ann&password=small+boats+float").await;
        assert_eq!(over.status, StatusCode::NOT_FOUND, "{}", kind.path());
    }
}
