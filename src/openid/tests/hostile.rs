//! Tokens that somebody made up, and providers that lead us astray.

use super::{World, code};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_testkit::provider::SigningKey;
use ring::hmac;
use serde_json::{Value, json};

fn compact(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    format!("{}.{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()), part(signature))
}

#[tokio::test]
async fn unsigned_tokens_and_those_signed_with_a_public_key_as_a_secret_are_refused() {
    let world = World::new().await;
    let claims = world.claims(json!({}));
    for alg in ["none", "None", "NONE", "", "HS1", "ES256K", "RSA1_5"] {
        assert_eq!(
            code(world.access(&compact(&json!({ "alg": alg, "typ": "at+jwt", "kid": "k1" }), &claims, b"")).await),
            "token-algorithm",
            "{alg}"
        );
    }
    // What everybody can compute who has read the list of keys.
    for secret in [world.provider.key.public(), world.provider.key.jwk().to_string().into_bytes(), b"k1".to_vec(), Vec::new()] {
        let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "k1" });
        let unsigned = compact(&header, &claims, b"");
        let (signed, _) = unsigned.rsplit_once('.').expect("parts");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        assert_eq!(code(world.access(&compact(&header, &claims, tag.as_ref())).await), "token-algorithm");
    }
    assert_eq!(world.provider.fetches(), (0, 0), "nobody is asked about such tokens");
    // A good signature under another algorithm's name.
    for alg in ["ES384", "RS256", "PS256", "EdDSA"] {
        let token = world.provider.key.sign_with(&json!({ "alg": alg, "typ": "at+jwt", "kid": "k1" }), &claims);
        assert_eq!(code(world.access(&token).await), "token-key", "{alg}");
    }
}

#[tokio::test]
async fn keys_come_from_the_providers_list_and_never_from_a_token() {
    let world = World::new().await;
    let claims = world.claims(json!({}));
    let stranger = SigningKey::new("k1");
    for header in [
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1", "jwk": stranger.jwk() }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1", "jku": world.provider.url("/evil") }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1", "x5u": world.provider.url("/evil") }),
        json!({ "alg": "ES256", "typ": "at+jwt", "jwk": stranger.jwk() }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" }),
    ] {
        assert_eq!(code(world.access(&stranger.sign_with(&header, &claims)).await), "token-signature", "{header}");
    }
    assert_eq!((world.provider.times("/evil"), world.provider.fetches()), (0, (1, 1)));
}

#[tokio::test]
async fn what_is_no_token_or_demands_more_than_we_know_is_refused_without_asking_anybody() {
    let world = World::new().await;
    let claims = world.claims(json!({}));
    let good = world.provider.sign(&claims);
    for broken in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        &good.replace('.', ""),
        &format!("{good}.x"),
        &format!("{good}{}", "a".repeat(20_000)),
        "\u{e9}.b.c",
    ] {
        assert_eq!(code(world.access(broken).await), "token-malformed", "{broken}");
    }
    for name in ["crit", "b64", "zip", "enc"] {
        let mut header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" });
        header[name] = json!(["exp"]);
        assert_eq!(code(world.access(&world.provider.key.sign_with(&header, &claims)).await), "token-critical", "{name}");
    }
    assert_eq!(world.provider.fetches(), (0, 0));
    let (rest, signature) = good.rsplit_once('.').expect("parts");
    let (header, _) = rest.split_once('.').expect("parts");
    let forged = BASE64URL_NOPAD.encode(world.claims(json!({ "owner": "other" })).to_string().as_bytes());
    assert_eq!(code(world.access(&format!("{header}.{forged}.{signature}")).await), "token-signature");
    assert_eq!(code(world.access(&format!("{rest}.")).await), "token-signature");
}

#[tokio::test]
async fn a_provider_speaks_in_its_own_name_only() {
    let world = World::new().await;
    for other in ["https://other.example.com", "", &format!("{}/", world.issuer())] {
        let token = world.provider.sign(&world.claims(json!({ "iss": other })));
        assert_eq!(code(world.access(&token).await), "token-issuer", "{other}");
    }
    assert_eq!(code(world.access(&world.provider.sign(&world.claims(json!({ "iss": null })))).await), "token-issuer");
}

#[tokio::test]
async fn a_document_leads_nowhere_but_to_public_servers() {
    let world = World::new().await;
    for (inside, why) in [
        ("https://169.254.169.254/latest/meta-data", "outgoing-forbidden"),
        ("https://10.0.0.1/keys", "outgoing-forbidden"),
        ("https://[::1]/keys", "outgoing-forbidden"),
        ("https://[::ffff:7f00:2]/keys", "outgoing-forbidden"),
        ("https://127.0.0.2/keys", "outgoing-forbidden"),
        ("http://login.example.com/keys", "provider-document"),
        ("file:///etc/passwd", "provider-document"),
    ] {
        world.provider.publish(|document| document["jwks_uri"] = inside.into());
        let refused = world.directory.probe(&world.issuer()).await.expect_err("refused");
        assert_eq!(gatehouse_base::Fault::code(&refused), why, "{inside}: {refused}");
    }
    world.provider.publish(|document| document["issuer"] = "https://other.example.com".into());
    assert!(world.directory.probe(&world.issuer()).await.is_err());
    let elsewhere = vec![("location", world.provider.url("/keys"))];
    world.provider.answer_with("/.well-known/openid-configuration", 302, elsewhere, "");
    let refused = world.directory.probe(&world.issuer()).await.expect_err("refused");
    assert_eq!((gatehouse_base::Fault::code(&refused), world.provider.times("/keys")), ("outgoing-redirection", 0));
}

#[tokio::test]
async fn a_provider_inside_is_not_asked_unless_the_operator_allows_it() {
    let world = World::with(|outgoing| outgoing.allow.clear()).await;
    let refused = world.directory.probe(&world.issuer()).await.expect_err("refused");
    assert_eq!((gatehouse_base::Fault::code(&refused), world.provider.asked().len()), ("outgoing-forbidden", 0));
}
