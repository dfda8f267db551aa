//! What access and ID tokens have to say.

use super::{AUDIENCE, World, code, secret};
use crate::{IdentityExpected, TokenRefused};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_base::Clock;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

const CLIENT: &str = "gatehouse";
const ACCESS: &str = "an access token";

#[tokio::test]
async fn an_access_token_is_for_us_of_its_type_and_good_now() {
    let world = World::new().await;
    let now = world.clock_secs();
    let cases = [
        (json!({}), "good"),
        (json!({ "aud": ["other", AUDIENCE] }), "good"),
        (json!({ "aud": "other" }), "token-audience"),
        (json!({ "aud": ["other"] }), "token-audience"),
        (json!({ "aud": null }), "token-audience"),
        (json!({ "aud": { "0": AUDIENCE } }), "token-audience"),
        (json!({ "exp": null }), "token-endless"),
        (json!({ "exp": "tomorrow" }), "token-endless"),
        (json!({ "exp": 1e300 }), "token-endless"),
        (json!({ "exp": now - 59 }), "good"),
        (json!({ "exp": now - 60 }), "token-expired"),
        (json!({ "exp": (now + 10) as f64 + 0.5 }), "good"),
        (json!({ "exp": -1 }), "token-expired"),
        (json!({ "nbf": now + 60 }), "good"),
        (json!({ "nbf": now + 61 }), "token-early"),
        (json!({ "nbf": "soon" }), "token-early"),
        (json!({ "iat": now + 61 }), "token-early"),
        (json!({ "iat": null }), "good"),
    ];
    for (change, expected) in cases {
        let token = world.provider.sign(&world.claims(change.clone()));
        assert_eq!(code(world.access(&token).await), expected, "{change}");
    }
    for (typ, expected) in
        [("at+jwt", "good"), ("AT+JWT", "good"), ("application/at+jwt", "good"), ("JWT", "token-type"), ("", "token-type")]
    {
        let token = world.provider.key.sign(typ, &world.claims(json!({})));
        assert_eq!(code(world.access(&token).await), expected, "{typ}");
    }
}

#[tokio::test]
async fn claims_are_found_by_their_whole_names_and_are_texts() {
    let world = World::new().await;
    let claims = json!({ "https://example.com/owner": "acme", "deep": { "owner": "x" }, "list": ["a"], "number": 7, "empty": "", "long": "a".repeat(256) });
    let access = world.access(&world.provider.sign(&world.claims(claims))).await.expect("good");
    assert_eq!(access.claim("https://example.com/owner").expect("there"), "acme");
    for name in ["deep", "deep.owner", "deep/owner", "list", "number", "empty", "long", "missing", ""] {
        assert!(matches!(access.claim(name), Err(TokenRefused::Claim { .. })), "{name}");
    }
    assert_eq!(access.expires.secs(), world.clock_secs() + 600);
}

fn at_hash(token: &str) -> String {
    BASE64URL_NOPAD.encode(&digest(&SHA256, token.as_bytes()).as_ref()[..16])
}

#[tokio::test]
async fn an_id_token_answers_our_request_for_our_client() {
    let world = World::new().await;
    let cases = [
        ("JWT", json!({}), "good"),
        ("", json!({}), "good"),
        ("at+jwt", json!({}), "token-type"),
        ("logout+jwt", json!({}), "token-type"),
        ("JWT", json!({ "aud": "other" }), "token-audience"),
        ("JWT", json!({ "aud": [CLIENT, "other"] }), "token-client"),
        ("JWT", json!({ "aud": [CLIENT, "other"], "azp": CLIENT }), "good"),
        ("JWT", json!({ "azp": "other" }), "token-client"),
        ("JWT", json!({ "azp": 7 }), "token-client"),
        ("JWT", json!({ "nonce": "other" }), "token-nonce"),
        ("JWT", json!({ "nonce": null }), "token-nonce"),
        ("JWT", json!({ "iat": null }), "token-claim"),
        ("JWT", json!({ "exp": world.clock_secs() - 61 }), "token-expired"),
        ("JWT", json!({ "sub": null }), "token-claim"),
        ("JWT", json!({ "sub": "" }), "token-claim"),
        ("JWT", json!({ "sub": 7 }), "token-claim"),
        ("JWT", json!({ "at_hash": at_hash(ACCESS) }), "good"),
        ("JWT", json!({ "at_hash": at_hash("another token") }), "token-hash"),
        ("JWT", json!({ "at_hash": 7 }), "token-hash"),
    ];
    for (typ, change, expected) in cases {
        let found = identity(&world, typ, &change).await;
        assert_eq!(code(found), expected, "{typ} {change}");
    }
}

#[tokio::test]
async fn an_address_is_verified_where_the_provider_says_exactly_that() {
    let world = World::new().await;
    for (said, verified) in [(json!(true), true), (json!(false), false), (json!("true"), false), (json!(1), false), (Value::Null, false)] {
        let found = identity(&world, "JWT", &json!({ "email": "ann@example.com", "email_verified": said, "amr": ["pwd", "mfa", 7] })).await;
        let found = found.expect("good");
        assert_eq!((found.email.as_deref(), found.email_verified), (Some("ann@example.com"), verified), "{said}");
        assert_eq!(found.methods, ["pwd", "mfa"]);
    }
}

async fn identity(world: &World, typ: &str, change: &Value) -> Result<crate::Identity, TokenRefused> {
    let mut claims = world.claims(json!({ "aud": CLIENT, "nonce": "n1" }));
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        }
    }
    let token = world.provider.key.sign(typ, &claims);
    let access_token = secret(ACCESS);
    let expected = IdentityExpected { client: CLIENT, nonce: "n1", access_token: &access_token };
    world.signed(&token).await?.identity(expected, world.clock.now(), world.directory.skew())
}
