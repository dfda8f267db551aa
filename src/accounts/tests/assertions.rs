//! Clients that prove themselves by a key.

use super::{
    ISSUER,
    authorization::{App, text},
    doors::{Answer, Door, OURS},
};
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use gatehouse_base::Clock;
use gatehouse_pki::{KeyAlgorithm, Signer, SoftwareKey};
use serde_json::{Value, json};
use std::time::Duration;

/// A client with an Ed25519 key.
struct Signing {
    app: App,
    key: SoftwareKey,
    now: i64,
}

fn jwk(key: &SoftwareKey) -> Value {
    let spki = key.public_key().spki_der();
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": BASE64URL_NOPAD.encode(&spki[spki.len() - 32..]) })
}

impl Signing {
    async fn new(door: &Door) -> Self {
        let key = SoftwareKey::generate(KeyAlgorithm::Ed25519).expect("a key");
        let app = App::with(door, json!({ "authentication": "key", "keys": [jwk(&key)] })).await;
        assert!(app.secret.is_empty());
        Self { app, key, now: door.world.clock_secs() }
    }

    fn claims(&self, jti: &str) -> Value {
        json!({ "iss": self.app.id, "sub": self.app.id, "aud": format!("{ISSUER}/oauth/token"), "exp": self.now + 60, "iat": self.now, "jti": jti })
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
        let text = format!("{header}.{claims}");
        let signature = self.key.sign(text.as_bytes()).expect("signed");
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn assertion(&self, claims: &Value) -> String {
        self.signed(&json!({ "alg": "EdDSA", "kid": "one" }), claims)
    }
}

async fn ask(door: &Door, assertion: &str) -> Answer {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let form = format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={assertion}");
    door.form("/oauth/token", &[], &form).await
}

#[tokio::test]
async fn a_client_signs_for_itself_once() {
    let door = Door::new().await;
    let client = Signing::new(&door).await;
    let assertion = client.assertion(&client.claims("1"));
    assert_eq!(ask(&door, &assertion).await.status, StatusCode::OK);
    assert_eq!(text(&ask(&door, &assertion).await, "error"), "invalid_client", "shown again");
    let mut claims = client.claims("2");
    claims["aud"] = json!([ISSUER]);
    assert_eq!(ask(&door, &client.assertion(&claims)).await.status, StatusCode::OK);
    assert_eq!(door.world.accounts.forget_ended_assertions().await.expect("forgotten"), 0);
    door.world.pass(Duration::from_secs(24 * 3600 + 120));
    assert_eq!(door.world.accounts.forget_ended_assertions().await.expect("forgotten"), 2);
}

#[tokio::test]
async fn an_assertion_for_others_too_long_or_by_others_proves_nothing() {
    let door = Door::new().await;
    let (client, other) = (Signing::new(&door).await, Signing::new(&door).await);
    let changed = |name: &str, value: Value| {
        let mut claims = client.claims(name);
        claims[name] = value;
        client.assertion(&claims)
    };
    let now = client.now;
    for (assertion, why) in [
        (changed("aud", json!("https://other.example.com/oauth/token")), "another audience"),
        (changed("aud", json!([ISSUER, "https://other.example.com"])), "another audience as well"),
        (changed("aud", json!(format!("{ISSUER}/"))), "nearly the audience"),
        (changed("iss", json!(other.app.id)), "another issuer"),
        (changed("exp", json!(now)), "over"),
        (changed("exp", json!(now + 3661)), "too long"),
        (changed("nbf", json!(now + 600)), "not yet"),
        (changed("iat", json!(now + 600)), "from the future"),
        (changed("jti", json!("")), "no name"),
        (other.assertion(&client.claims("a")), "another key"),
        (client.signed(&json!({ "alg": "none" }), &client.claims("b")), "no algorithm"),
        (client.signed(&json!({ "alg": "HS256", "kid": "one" }), &client.claims("c")), "another algorithm"),
        (client.signed(&json!({ "alg": "EdDSA", "kid": "two" }), &client.claims("d")), "another key's name"),
        (client.signed(&json!({ "alg": "EdDSA", "crit": ["b64"] }), &client.claims("e")), "what we do not know"),
        (client.signed(&json!({ "alg": "EdDSA", "jwk": jwk(&other.key) }), &client.claims("f")).replace('.', ""), "no token"),
    ] {
        assert_eq!(text(&ask(&door, &assertion).await, "error"), "invalid_client", "{why}");
    }
    let mut without = client.claims("g");
    without.as_object_mut().expect("an object").remove("jti");
    assert_eq!(text(&ask(&door, &client.assertion(&without)).await, "error"), "invalid_client");
    assert_eq!(ask(&door, &client.assertion(&client.claims("h"))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn private_halves_short_keys_and_shapes_that_do_not_fit_are_refused() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let key = jwk(&SoftwareKey::generate(KeyAlgorithm::Ed25519).expect("a key"));
    let mut private = key.clone();
    private["d"] = json!("AAAA");
    for more in [
        json!({ "authentication": "key" }),
        json!({ "authentication": "key", "keys": [private] }),
        json!({ "authentication": "key", "keys": [{ "kty": "RSA", "n": "AQAB", "e": "AQAB" }] }),
        json!({ "authentication": "key", "keys": [{ "kty": "oct", "k": "AQAB" }] }),
        json!({ "authentication": "secret", "keys": [key] }),
        json!({ "authentication": "none" }),
        json!({ "redirect_uris": ["https://app.example.com/#x"] }),
        json!({ "redirect_uris": vec!["https://app.example.com/"; 21] }),
    ] {
        let mut body = json!({ "name": "App", "role": "viewer", "scopes": ["members:read"] });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = door.post("/v1/clients", &[("cookie", &cookie), OURS], body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{more}");
    }
}

#[tokio::test]
async fn an_assertion_is_good_once_though_the_clock_ran_ahead_for_a_while() {
    let door = Door::new().await;
    let client = Signing::new(&door).await;
    let assertion = client.assertion(&client.claims("1"));
    let now = door.world.clock.now();
    assert_eq!(ask(&door, &assertion).await.status, StatusCode::OK);
    door.world.pass(Duration::from_secs(12 * 3600));
    door.world.accounts.forget_ended().await.expect("forgotten");
    door.world.clock.set(now);
    assert_eq!(text(&ask(&door, &assertion).await, "error"), "invalid_client");
}
