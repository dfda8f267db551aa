//! Clients that prove themselves by a certificate, and tokens that are bound to one (RFC 8705).

use super::{
    World,
    authorization::{App, text},
    doors::{Door, OURS},
    oauth::Program,
};
use crate::oauth::Certified;
use axum::http::StatusCode;
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde_json::{Value, json};
use std::sync::Arc;

const CERTIFIED: &str = "https://gatehouse.example.com:8445";

/// An authority, and the certificates that it gives to clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let certificate = Certificate::from_der(certificate.der()).expect("a certificate");
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    /// What a connection has proven over which a client of this name showed a new certificate.
    fn client(&self, name: &str, others: Vec<SanType>) -> Certified {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, "Acme");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.subject_alt_names = others;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        parameters.use_authority_key_identifier_extension = true;
        parameters.is_ca = IsCa::ExplicitNoCa;
        let leaf = parameters.signed_by(&KeyPair::generate().expect("a key"), &self.issuer).expect("a certificate");
        let anchors = Anchors::builder().anchor(self.certificate.clone()).build().expect("an anchor");
        let now = super::START;
        Certified(Arc::new(anchors.verify(&[leaf.der().as_ref()], &Policy::new(Purpose::Client), now).expect("a good chain")))
    }
}

async fn door() -> Door {
    Door::of(World::with(|config| config.certified_address = Some(CERTIFIED.to_owned())).await)
}

/// A client that proves itself by this certificate.
async fn certified_client(door: &Door, certificate: Value) -> String {
    let body = json!({
        "name": "agent", "role": "viewer", "scopes": ["members:read"], "authentication": "certificate", "certificate": certificate,
    });
    let made = door.post("/v1/clients", &[("cookie", &door.cookie().await), OURS], body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert!(made.body.get("secret").is_none() && made.body["bound"] == true);
    text(&made, "id")
}

async fn token(door: &Door, id: &str) -> Value {
    door.form("/oauth/token", &[], &format!("grant_type=client_credentials&client_id={id}")).await.body
}

async fn members(door: &Door, token: &str) -> StatusCode {
    door.get("/v1/members", &[("authorization", &format!("Bearer {token}"))]).await.status
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("claims");
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base 64")).expect("JSON")
}

fn thumbprint(certified: &Certified) -> String {
    data_encoding::BASE64URL_NOPAD.encode(certified.0.leaf().fingerprint().as_bytes())
}

#[tokio::test]
async fn a_client_proves_itself_by_a_certificate_of_its_name() {
    let mut door = door().await;
    let authority = Authority::new("Root");
    let host = || vec![SanType::DnsName("agent.example.com".try_into().expect("a host"))];
    let uri = || vec![SanType::URI("urn:agent:1".try_into().expect("a URI"))];
    let ip = || vec![SanType::IpAddress("192.0.2.7".parse().expect("an address"))];
    let email = || vec![SanType::Rfc822Name("agent@example.com".try_into().expect("a mailbox"))];
    for (rule, right, wrong) in [
        (json!({ "subject_dn": "CN=agent,O=Acme" }), authority.client("agent", Vec::new()), authority.client("agent2", host())),
        (json!({ "san_dns": "agent.example.com" }), authority.client("x", host()), authority.client("agent.example.com", uri())),
        (json!({ "san_uri": "urn:agent:1" }), authority.client("x", uri()), authority.client("urn:agent:1", host())),
        (json!({ "san_ip": "192.0.2.7" }), authority.client("x", ip()), authority.client("192.0.2.7", email())),
        (json!({ "san_email": "agent@example.com" }), authority.client("x", email()), authority.client("x", ip())),
    ] {
        door.certified = None;
        let id = certified_client(&door, rule.clone()).await;
        assert_eq!(token(&door, &id).await["error"], "invalid_client", "{rule} without a certificate");
        door.certified = Some(wrong);
        assert_eq!(token(&door, &id).await["error"], "invalid_client", "{rule} with another name");
        door.certified = Some(right.clone());
        let given = token(&door, &id).await;
        let access = given["access_token"].as_str().unwrap_or_else(|| panic!("{rule}: {given}"));
        assert_eq!(claims(access)["cnf"]["x5t#S256"], thumbprint(&right));
        assert_eq!(members(&door, access).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_name_under_another_anchor_is_somebody_elses_where_the_anchor_is_named() {
    let mut door = door().await;
    let (own, other) = (Authority::new("Root"), Authority::new("Other Root"));
    let anchor = data_encoding::HEXLOWER.encode(own.certificate.fingerprint().as_bytes());
    let id = certified_client(&door, json!({ "subject_dn": "CN=agent,O=Acme", "anchor": anchor })).await;
    door.certified = Some(other.client("agent", Vec::new()));
    assert_eq!(token(&door, &id).await["error"], "invalid_client");
    door.certified = Some(own.client("agent", Vec::new()));
    assert!(token(&door, &id).await["access_token"].is_string());
}

#[tokio::test]
async fn a_bound_token_is_worth_nothing_over_another_certificate_or_over_none() {
    let mut door = door().await;
    let authority = Authority::new("Root");
    let id = certified_client(&door, json!({ "subject_dn": "CN=agent,O=Acme" })).await;
    let (first, renewed) = (authority.client("agent", Vec::new()), authority.client("agent", Vec::new()));
    door.certified = Some(first.clone());
    let access = token(&door, &id).await["access_token"].as_str().expect("a token").to_owned();
    for other in [None, Some(renewed)] {
        door.certified = other;
        for path in ["/v1/members", "/v1/me", "/oauth/userinfo", "/ready"] {
            let answer = door.get(path, &[("authorization", &format!("Bearer {access}"))]).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    door.certified = Some(first.clone());
    assert_eq!(members(&door, &access).await, StatusCode::OK);
    let told = door.form("/oauth/introspect", &[], &format!("client_id={id}&token={access}")).await.body;
    assert_eq!((&told["active"], &told["cnf"]["x5t#S256"]), (&json!(true), &json!(thumbprint(&first))));
    door.certified = None;
    let watcher = Program::new(&door, "viewer", &["members:read"]).await;
    let told = watcher.ask(&door, "/oauth/introspect", &format!("token={access}")).await.body;
    assert_eq!(told["cnf"]["x5t#S256"], thumbprint(&first), "whoever looks needs no certificate, and is told which one counts");
}

#[tokio::test]
async fn a_client_with_a_secret_may_have_its_tokens_bound() {
    let mut door = door().await;
    let certificate = Authority::new("Root").client("whoever", Vec::new());
    let body = json!({ "name": "agent", "role": "viewer", "scopes": ["members:read"], "bound": true });
    let made = door.post("/v1/clients", &[("cookie", &door.cookie().await), OURS], body).await;
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", text(&made, "id"), text(&made, "secret"));
    assert_eq!(text(&door.form("/oauth/token", &[], &form).await, "error"), "invalid_request", "not over a connection that proves none");
    door.certified = Some(certificate.clone());
    let access = text(&door.form("/oauth/token", &[], &form).await, "access_token");
    assert_eq!(members(&door, &access).await, StatusCode::OK);
    door.certified = None;
    assert_eq!(members(&door, &access).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_person_lets_a_bound_client_do_is_bound_and_no_code_is_used_up_without_a_certificate() {
    let mut door = door().await;
    let app = App::new(&door).await;
    door.world.accounts.bind_client(&app.id).await;
    let code = app.code(&door, &[]).await;
    assert_eq!(text(&app.exchange(&door, &code).await, "error"), "invalid_request");
    door.certified = Some(Authority::new("Root").client("app", Vec::new()));
    let given = app.exchange(&door, &code).await;
    let access = text(&given, "access_token");
    assert_eq!(members(&door, &access).await, StatusCode::OK);
    let refresh = format!("grant_type=refresh_token&refresh_token={}", text(&given, "refresh_token"));
    let renewed = door.certified.take();
    assert_eq!(members(&door, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(text(&app.token(&door, &refresh).await, "error"), "invalid_request");
    door.certified = renewed;
    assert!(claims(&text(&app.token(&door, &refresh).await, "access_token"))["cnf"]["x5t#S256"].is_string());
}

#[tokio::test]
async fn a_rule_names_one_name_and_goes_with_its_kind_of_client_only() {
    let door = door().await;
    let cookie = door.cookie().await;
    let dn = json!({ "subject_dn": "CN=agent" });
    for (authentication, certificate, bound) in [
        ("certificate", Value::Null, false),
        ("certificate", json!({}), false),
        ("certificate", json!({ "subject_dn": "CN=agent", "san_dns": "agent" }), false),
        ("certificate", json!({ "subject_dn": "" }), false),
        ("certificate", json!({ "subject_dn": "CN=agent", "anchor": "12" }), false),
        ("secret", dn.clone(), false),
        ("none", Value::Null, true),
    ] {
        let body = json!({
            "name": "agent", "role": "viewer", "scopes": ["members:read"], "authentication": authentication, "certificate": certificate,
            "bound": bound, "redirect_uris": ["https://app.example.com/callback"],
        });
        let answer = door.post("/v1/clients", &[("cookie", &cookie), OURS], body.clone()).await;
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::BAD_REQUEST, &json!("client-shape")), "{body}");
    }
}

#[tokio::test]
async fn the_discovery_document_tells_where_certificates_are_asked_for_if_anywhere() {
    let with = door().await.get("/.well-known/openid-configuration", &[]).await.body;
    assert_eq!(with["tls_client_certificate_bound_access_tokens"], true);
    let aliases = with["mtls_endpoint_aliases"].as_object().expect("aliases");
    for (name, alias) in aliases {
        let usual = with[name].as_str().unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(alias, &json!(usual.replace("https://gatehouse.example.com:8443", CERTIFIED)));
    }
    assert!(aliases.contains_key("token_endpoint") && aliases.contains_key("introspection_endpoint"));
    let takes = |document: &Value| {
        document["token_endpoint_auth_methods_supported"].as_array().expect("a list").contains(&json!("tls_client_auth"))
    };
    let without = Door::new().await.get("/.well-known/openid-configuration", &[]).await.body;
    assert_eq!((&without["tls_client_certificate_bound_access_tokens"], takes(&without), takes(&with)), (&json!(false), false, true));
    assert!(without.get("mtls_endpoint_aliases").is_none());
}
