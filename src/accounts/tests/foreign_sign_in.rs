//! People who come through a provider that is not ours: who is let in as whom, and what is believed on the way.

use super::{
    PASSWORD, add,
    browser::{Browser, Form, location, parameter},
    doors::{Answer, Door, OURS},
    foreign_world::Foreign,
};
use crate::{Happening, LinkedBy, NewProvider, Role, Trust};
use axum::http::{Method, StatusCode};
use gatehouse_base::Clock;
use gatehouse_testkit::provider::Provider;
use serde_json::{Value, json};

const LINKS: &str = "/account/links";

/// A door with a provider behind it.
struct Scene {
    door: Door,
    provider: Provider,
    id: String,
}

impl Scene {
    /// The provider is the whole installation's.
    async fn new() -> Self {
        let foreign = Foreign::new().await;
        let id = foreign.of_installation().await.id.to_string();
        Self { door: Door::of(foreign.world), provider: foreign.provider, id }
    }

    /// The provider is that of Ann's organisation; Ben belongs to it as a viewer.
    async fn of_ann() -> (Self, gatehouse_types::OrganisationId) {
        let foreign = Foreign::new().await;
        let new = NewProvider { new_accounts: true, role: Some(Role::Viewer), ..foreign.new_provider() };
        let id = foreign.world.accounts.make_provider(&foreign.ann, new).await.expect("a provider").id.to_string();
        (Self { door: Door::of(foreign.world), provider: foreign.provider, id }, foreign.ann.organisation())
    }

    async fn trust(&self, second_factor: bool) {
        let trust = Trust { domains: vec!["example.com".to_owned()], second_factor };
        self.door.world.accounts.trust_provider(&self.id, trust).await.expect("trusted");
    }

    /// Presses a button of a page that leads to the provider; the address there.
    async fn chosen(&self, browser: &mut Browser, page: &Answer, action: &str) -> String {
        let form = Form { action: action.to_owned(), ..Form::of(&page.text) }.with(&[("provider", &self.id)]);
        let sent = browser.send(&self.door, &form).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
        let address = location(&sent).expect("an address");
        assert!(address.starts_with(&self.provider.url("/authorize?")), "{address}");
        address
    }

    /// Goes to the provider to sign in; the address there.
    async fn begun(&self, browser: &mut Browser) -> String {
        let page = browser.get(&self.door, LINKS).await;
        assert!(page.text.contains("Sign in with Example"), "{}", page.text);
        self.chosen(browser, &page, "/account/sign-in/provider").await
    }

    /// Has the provider answer a code with these claims.
    fn prepare(&self, address: &str, change: Value) {
        let now = self.door.world.clock.now().secs();
        let nonce = parameter(address, "nonce").expect("a nonce");
        let mut claims = json!({
            "iss": self.provider.issuer(), "sub": "ann-there", "aud": "gatehouse", "nonce": nonce, "iat": now, "exp": now + 300,
            "email": "ann@example.com", "email_verified": true,
        });
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let identity = self.provider.key.sign("JWT", &claims);
        self.provider.answer("/token", 200, &json!({ "access_token": "a1", "token_type": "Bearer", "id_token": identity }));
    }

    fn callback(&self, address: &str) -> String {
        let state = parameter(address, "state").expect("a state");
        format!("/account/provider/{}/callback?code=c1&state={state}&iss={}", self.id, crate::oauth::encoded(&self.provider.issuer()))
    }

    /// Signs in through the provider as who these claims say; the answer to the callback.
    async fn entered(&self, browser: &mut Browser, change: Value) -> Answer {
        let address = self.begun(browser).await;
        self.prepare(&address, change);
        browser.get(&self.door, &self.callback(&address)).await
    }

    /// Links Ann's account, by herself and on the pages, to who these claims say.
    async fn linked(&self, change: Value) -> Answer {
        let mut browser = Browser::default();
        let page = browser.get(&self.door, LINKS).await;
        let page = browser.sign_in(&self.door, &page, PASSWORD).await;
        let address = self.chosen(&mut browser, &page, LINKS).await;
        self.prepare(&address, change);
        let asked = browser.get(&self.door, &self.callback(&address)).await;
        assert!(asked.text.contains("Is this you?"), "{}", asked.text);
        browser.send(&self.door, &Form::of(&asked.text).with(&[("answer", "yes")])).await
    }

    async fn me(&self, browser: &Browser) -> Answer {
        self.door.get("/v1/me", &[("cookie", &browser.cookies())]).await
    }

    async fn links(&self) -> usize {
        self.door.world.accounts.linked(self.door.world.ann.id).await.expect("links").len()
    }
}

fn is_signed_in(browser: &Browser) -> bool {
    browser.cookies.contains_key("__Host-gatehouse-session")
}

#[tokio::test]
async fn who_linked_a_login_elsewhere_in_a_session_gets_in_by_it_until_it_is_ended() {
    let scene = Scene::new().await;
    let linked = scene.linked(json!({ "email": "somebody@elsewhere.example", "email_verified": false })).await;
    assert!(linked.text.contains(&scene.provider.issuer()) && linked.text.contains("somebody@elsewhere.example"), "{}", linked.text);
    let mut browser = Browser::default();
    let answer = scene.entered(&mut browser, json!({})).await;
    assert_eq!((answer.status, location(&answer).as_deref()), (StatusCode::SEE_OTHER, Some(LINKS)));
    assert_eq!(scene.me(&browser).await.body["email"], "ann@example.com");
    let cookie = browser.cookies();
    let mine = [("cookie", cookie.as_str()), OURS];
    let links = scene.door.get("/v1/me/links", &mine).await;
    assert_eq!(links.body[0]["subject"], "ann-there", "{}", links.body);
    let history = scene.door.world.history().await;
    assert!(history.iter().any(|what| matches!(what, Happening::ProviderLinked { by: LinkedBy::Owner, .. })), "{history:?}");
    assert!(history.iter().any(|what| matches!(what, Happening::SignedInByProvider { second_factor: false, .. })), "{history:?}");
    let id = links.body[0]["id"].as_str().expect("an id");
    let ended = scene.door.ask(Method::DELETE, &format!("/v1/me/links/{id}"), &mine, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.me(&browser).await.status, StatusCode::UNAUTHORIZED, "the session that began through it is over");
    let again = scene.entered(&mut Browser::default(), json!({})).await;
    assert!(again.text.contains("Nobody here is linked"), "{}", again.text);
}

#[tokio::test]
async fn an_address_alone_links_nobody() {
    let scene = Scene::new().await;
    let cases = [(false, json!({})), (false, json!({ "email_verified": false }))];
    let trusted = [
        (true, json!({ "email_verified": false })),
        (true, json!({ "email_verified": "true" })),
        (true, json!({ "email": "ann@sub.example.com" })),
        (true, json!({ "email": "ben@elsewhere.example" })),
    ];
    for (trust, claims) in cases.into_iter().chain(trusted) {
        if trust {
            scene.trust(false).await;
        }
        let mut browser = Browser::default();
        let answer = scene.entered(&mut browser, claims.clone()).await;
        assert!(answer.text.contains("Nobody here is linked") && !is_signed_in(&browser), "{claims}: {}", answer.text);
        assert_eq!(scene.links().await, 0, "{claims}");
    }
    // Everything together: the operator trusts the provider for the domain, and both sides have verified the address.
    let mut browser = Browser::default();
    scene.entered(&mut browser, json!({ "email": "Ann@Example.com" })).await;
    assert!(is_signed_in(&browser));
    assert_eq!(scene.links().await, 1);
    assert!(scene.door.world.history().await.iter().any(|what| matches!(what, Happening::ProviderLinked { by: LinkedBy::Address, .. })));
}

#[tokio::test]
async fn an_account_that_has_not_confirmed_its_address_is_linked_by_nobody() {
    let scene = Scene::new().await;
    scene.trust(false).await;
    let password = crate::NewPassword::new(super::secret(PASSWORD)).expect("a good password");
    scene.door.world.accounts.register("cleo@example.com", "Mallory", &password, &super::from("192.0.2.9")).await.expect("registered");
    let mut browser = Browser::default();
    let answer = scene.entered(&mut browser, json!({ "sub": "cleo", "email": "cleo@example.com" })).await;
    assert!(answer.text.contains("Nobody here is linked") && !is_signed_in(&browser), "{}", answer.text);
}

#[tokio::test]
async fn one_login_elsewhere_is_one_accounts() {
    let scene = Scene::new().await;
    scene.linked(json!({})).await;
    let mut browser = Browser::default();
    let page = browser.get(&scene.door, LINKS).await;
    let form = Form { action: "/account/sign-in".to_owned(), ..Form::of(&page.text) };
    let sent = browser.send(&scene.door, &form.with(&[("email", "ben@example.com"), ("password", PASSWORD)])).await;
    let page = browser.get(&scene.door, &location(&sent).expect("an address")).await;
    let address = scene.chosen(&mut browser, &page, LINKS).await;
    scene.prepare(&address, json!({}));
    let asked = browser.get(&scene.door, &scene.callback(&address)).await;
    let refused = browser.send(&scene.door, &Form::of(&asked.text).with(&[("answer", "yes")])).await;
    assert!(refused.text.contains("linked to another account"), "{}", refused.text);
    // Nor is what one browser was asked good in another one's session.
    let mut other = Browser::default();
    let page = other.get(&scene.door, LINKS).await;
    other.sign_in(&scene.door, &page, PASSWORD).await;
    let stolen = other.send(&scene.door, &Form::of(&asked.text).with(&[("answer", "yes")])).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_answer_is_believed_from_the_provider_that_was_asked_by_the_browser_that_asked_and_once() {
    let scene = Scene::new().await;
    scene.linked(json!({})).await;
    let exchanged = scene.provider.times("/token");
    let mut browser = Browser::default();
    let address = scene.begun(&mut browser).await;
    scene.prepare(&address, json!({}));
    let good = scene.callback(&address);
    let other = scene.door.world.accounts.make_provider_for(None, Foreign::new().await.new_provider()).await;
    assert!(other.is_err(), "another provider is another one's world");
    let evil = crate::oauth::encoded("https://evil.example.com");
    let own = crate::oauth::encoded(&scene.provider.issuer());
    for wrong in [
        good.replace(&format!("iss={own}"), &format!("iss={evil}")),
        good.replace("state=", "state=x"),
        good.replace(&scene.id, "0123456789abcdef0123456789abcdef"),
        format!("{good}&iss={evil}"),
        good.replace("code=c1&", ""),
        format!("{good}&error=access_denied"),
    ] {
        let mut copy = browser.clone();
        let answer = copy.get(&scene.door, &wrong).await;
        assert!(answer.status == StatusCode::BAD_REQUEST && !is_signed_in(&copy), "{wrong}: {}", answer.status);
        assert!(!copy.cookies.contains_key("__Host-gatehouse-provider"), "it is good for one answer");
    }
    let stranger = Browser::default().get(&scene.door, &good).await;
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST, "whoever has the address and not the cookie");
    assert_eq!(scene.provider.times("/token"), exchanged, "nobody was given the code");
    for (name, value) in [("nonce", "other"), ("aud", "other"), ("iss", "https://evil.example.com"), ("azp", "other")] {
        let mut copy = browser.clone();
        scene.prepare(&address, json!({ name: value }));
        let answer = copy.get(&scene.door, &good).await;
        assert!(answer.text.contains("not believed") && !is_signed_in(&copy), "{name}: {}", answer.text);
    }
    scene.prepare(&address, json!({}));
    browser.get(&scene.door, &good).await;
    assert!(is_signed_in(&browser));
    scene.door.world.pass(std::time::Duration::from_secs(700));
    let mut late = Browser::default();
    let address = scene.begun(&mut late).await;
    scene.prepare(&address, json!({}));
    scene.door.world.pass(std::time::Duration::from_secs(600));
    assert_eq!(late.get(&scene.door, &scene.callback(&address)).await.status, StatusCode::BAD_REQUEST, "it took too long");
}

#[tokio::test]
async fn a_second_factor_is_asked_for_unless_the_provider_has_seen_one_and_is_trusted_with_that() {
    let scene = Scene::new().await;
    scene.linked(json!({})).await;
    let codes = scene.door.world.with_second_factor().await;
    for (trusted, methods) in [(false, json!(["mfa"])), (true, json!(["pwd"])), (true, json!("mfa")), (true, Value::Null)] {
        scene.trust(trusted).await;
        let mut browser = Browser::default();
        let answer = scene.entered(&mut browser, json!({ "amr": methods })).await;
        assert!(answer.text.contains("One more step") && !is_signed_in(&browser), "{trusted} {methods}: {}", answer.text);
    }
    let mut browser = Browser::default();
    let answer = scene.entered(&mut browser, json!({})).await;
    let form = Form { action: "/account/sign-in/second-factor".to_owned(), ..Form::of(&answer.text) };
    browser.send(&scene.door, &form.with(&[("recovery_code", &codes[0]), ("credential", "")])).await;
    assert!(is_signed_in(&browser));
    let mut trusted = Browser::default();
    scene.entered(&mut trusted, json!({ "amr": ["pwd", "mfa"] })).await;
    assert!(is_signed_in(&trusted));
}

#[tokio::test]
async fn an_organisations_provider_lets_people_into_that_organisation_and_nowhere_else() {
    let (scene, organisation) = Scene::of_ann().await;
    let page = Browser::default().get(&scene.door, LINKS).await;
    assert!(!page.text.contains("Sign in with Example"), "it has no button for everybody");
    scene.linked(json!({})).await;
    let accounts = &scene.door.world.accounts;
    let other = accounts.add_organisation(scene.door.world.ann.id, "Another").await.expect("made");
    let mut browser = Browser::default();
    let page = browser.get(&scene.door, &format!("/account/provider/{}", scene.id)).await;
    let address = scene.chosen(&mut browser, &page, "/account/sign-in/provider").await;
    scene.prepare(&address, json!({}));
    browser.get(&scene.door, &scene.callback(&address)).await;
    let cookie = browser.cookies();
    let mine = [("cookie", cookie.as_str()), OURS];
    let me = scene.door.get("/v1/me", &mine).await;
    assert_eq!(me.body["organisations"].as_array().map(Vec::len), Some(1), "{}", me.body);
    assert_eq!(scene.door.get("/v1/members", &mine).await.status, StatusCode::OK);
    let named = other.id.to_string();
    let elsewhere = [mine[0], OURS, ("gatehouse-organisation", named.as_str())];
    let refused = scene.door.get("/v1/members", &elsewhere).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::FORBIDDEN, &json!("organisation-not-yours")));
    for path in ["/v1/me/history", "/v1/me/sessions", "/v1/tokens", "/v1/me/links", "/v1/me/programs", "/v1/providers"] {
        assert_eq!(scene.door.get(path, &mine).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let token = json!({ "name": "t", "scopes": ["members:read"], "sources": "*" });
    assert_eq!(scene.door.post("/v1/tokens", &mine, token).await.status, StatusCode::FORBIDDEN);
    accounts.suspend(organisation).await.expect("suspended");
    let suspended = scene.entered_by_page(&mut Browser::default()).await;
    assert!(suspended.text.contains("does not belong"), "{}", suspended.text);
    accounts.resume(organisation).await.expect("resumed");
    assert_eq!(scene.door.get("/v1/me", &mine).await.status, StatusCode::OK);
    accounts.remove_any_provider(&scene.id).await.expect("removed");
    assert_eq!(scene.door.get("/v1/me", &mine).await.status, StatusCode::UNAUTHORIZED, "it ends with its provider");
    let out = scene.door.post("/v1/sign-out", &mine, json!({})).await;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
}

impl Scene {
    /// The same on the provider's own page.
    async fn entered_by_page(&self, browser: &mut Browser) -> Answer {
        let page = browser.get(&self.door, &format!("/account/provider/{}", self.id)).await;
        let address = self.chosen(browser, &page, "/account/sign-in/provider").await;
        self.prepare(&address, json!({}));
        browser.get(&self.door, &self.callback(&address)).await
    }
}

#[tokio::test]
async fn somebody_who_does_not_belong_to_the_organisation_is_not_let_into_it() {
    let (scene, _) = Scene::of_ann().await;
    let cleo = add(&scene.door.world.accounts, "cleo@example.com").await;
    let issuer = scene.provider.issuer().parse().expect("an issuer");
    let from = super::from("192.0.2.1");
    scene.door.world.accounts.link_identity(cleo.id, (&issuer, "ann-there", None), &from).await.expect("linked");
    let mut browser = Browser::default();
    let answer = scene.entered_by_page(&mut browser).await;
    assert!(answer.text.contains("does not belong") && !is_signed_in(&browser), "{}", answer.text);
}

#[tokio::test]
async fn accounts_are_made_where_the_provider_may_and_is_trusted_and_nowhere_else() {
    let (scene, organisation) = Scene::of_ann().await;
    let new = json!({ "sub": "dora", "email": "dora@example.com", "name": "Dora" });
    let entered = |claims: Value| async {
        let mut browser = Browser::default();
        let page = browser.get(&scene.door, &format!("/account/provider/{}", scene.id)).await;
        let address = scene.chosen(&mut browser, &page, "/account/sign-in/provider").await;
        scene.prepare(&address, claims);
        let answer = browser.get(&scene.door, &scene.callback(&address)).await;
        (browser, answer)
    };
    assert!(entered(new.clone()).await.1.text.contains("Nobody here is linked"), "the operator does not trust it");
    scene.trust(false).await;
    for wrong in [json!({ "email_verified": false }), json!({ "email": "dora@elsewhere.example" }), json!({ "email": "not an address" })] {
        let mut claims = new.clone();
        for (name, value) in wrong.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        assert!(entered(claims).await.1.text.contains("Nobody here is linked"), "{wrong}");
    }
    let (browser, _) = entered(new.clone()).await;
    let me = scene.me(&browser).await;
    assert_eq!((&me.body["email"], &me.body["name"], &me.body["confirmed"]), (&json!("dora@example.com"), &json!("Dora"), &json!(true)));
    assert_eq!((&me.body["organisations"][0]["id"], &me.body["organisations"][0]["role"]), (&json!(organisation), &json!("viewer")));
    let whole = Scene::new().await;
    whole.trust(false).await;
    let refused = whole.entered(&mut Browser::default(), new).await;
    assert!(refused.text.contains("Nobody here is linked"), "this provider makes no accounts");
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_as_that_and_holds_nobody_up() {
    let scene = Scene::new().await;
    scene.linked(json!({})).await;
    let mut browser = Browser::default();
    let address = scene.begun(&mut browser).await;
    scene.provider.go_away();
    let answer = browser.get(&scene.door, &scene.callback(&address)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    let page = Browser::default().get(&scene.door, LINKS).await;
    assert_eq!(page.status, StatusCode::OK, "the page for passwords needs no provider");
}
