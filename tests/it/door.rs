//! The HTTP door as its peers meet it: rates, pages of other origins, ids of requests, what browsers are told.

use crate::web::{OURS, Reply, Web};

/// Asks until it is refused. However slow the machine is, it asks more than once in a second.
fn until_refused(web: &mut Web, path: &str, fields: &[(&str, &str)]) -> Reply {
    let refused = (0..10_000).map(|_| web.get(path, fields)).find(|reply| reply.status != 200);
    refused.expect("nobody is refused")
}

#[test]
fn a_network_that_asks_too_often_is_told_when_to_come_back() {
    let mut web = Web::start("\n[http]\nnetwork_rate = 1\nnetwork_burst = 3\n");
    assert_eq!(web.get("/health", &[]).status, 200);
    let refused = until_refused(&mut web, "/health", &[]);
    assert_eq!((refused.status, refused.field("retry-after")), (429, Some("1")));
    assert_eq!((refused.field("content-type"), refused.text("code").as_str()), (Some("application/problem+json"), "network-rate"));
}

#[test]
fn a_person_that_asks_too_often_does_not_slow_another_one_down() {
    let mut web = Web::start(&format!(
        "\n[http]\n{}",
        crate::support::UNHURRIED
            .replace("credential_burst = 1000000", "credential_burst = 5")
            .replace("credential_rate = 1000000", "credential_rate = 1")
    ));
    web.add("ann@example.com");
    web.add("ben@example.com");
    let (ann, ben) = (web.sign_in("ann@example.com"), web.sign_in("ben@example.com"));
    let refused = until_refused(&mut web, "/v1/me", &[("cookie", &ann)]);
    assert_eq!((refused.status, refused.text("code").as_str()), (429, "credential-rate"));
    assert_eq!(web.get("/v1/me", &[("cookie", &ben)]).status, 200);
    assert_eq!(web.get("/health", &[]).status, 200);
}

#[test]
fn pages_of_another_origin_are_let_in_by_their_exact_name_and_without_cookies() {
    const PAGE: &str = "https://console.example.com";
    let ask = |web: &mut Web, method: &str, origin: &str| {
        let fields = [("origin", origin), ("access-control-request-method", "PATCH"), ("access-control-request-headers", "authorization")];
        web.send(method, "/v1/tokens/abc", &fields, "")
    };
    let mut closed = Web::start("");
    let refused = ask(&mut closed, "OPTIONS", PAGE);
    assert_eq!((refused.status, refused.field("access-control-allow-origin")), (405, None));

    let mut web = Web::start(&format!("\n[http]\norigins = [\"{PAGE}\"]\n"));
    let asked = ask(&mut web, "OPTIONS", PAGE);
    assert_eq!((asked.status, asked.field("access-control-allow-origin"), asked.field("vary")), (204, Some(PAGE), Some("origin")));
    assert!(asked.field("access-control-allow-methods").expect("methods").contains("PATCH"));
    let read = web.get("/health", &[("origin", PAGE)]);
    assert_eq!((read.status, read.field("access-control-allow-origin")), (200, Some(PAGE)));
    assert_eq!((asked.field("access-control-allow-credentials"), read.field("access-control-allow-credentials")), (None, None));
    for other in ["https://evil.example", "https://console.example.com.evil.example", "http://console.example.com", "null"] {
        let refused = ask(&mut web, "OPTIONS", other);
        assert_eq!(
            (refused.status, refused.field("access-control-allow-origin"), refused.field("vary")),
            (405, None, Some("origin")),
            "{other}"
        );
    }
    web.add("ann@example.com");
    let cookie = web.sign_in("ann@example.com");
    let with_cookie = web.send("POST", "/v1/sign-out", &[("cookie", &cookie), ("origin", PAGE), ("sec-fetch-site", "cross-site")], "");
    assert_eq!((with_cookie.status, with_cookie.text("code").as_str()), (403, "foreign-origin"));
}

#[test]
fn a_requests_id_is_the_balancers_own_and_never_a_strangers() {
    let mut web = Web::start("");
    let stranger = web.get("/no/such/place", &[("x-request-id", "their-own-id")]);
    let id = stranger.field("x-request-id").expect("an id").to_owned();
    assert_eq!((id.len(), stranger.text("request_id")), (32, id));
    let mut web = Web::start("\n[http]\nproxies = [\"127.0.0.0/8\"]\n[log]\nlevel = \"debug\"\n");
    let balancer = web.get("/no/such/place", &[("x-request-id", "edge-7.4711_a")]);
    assert_eq!((balancer.field("x-request-id"), balancer.text("request_id").as_str()), (Some("edge-7.4711_a"), "edge-7.4711_a"));
    web.server.logged("edge-7.4711_a");
    let long = "a".repeat(65);
    for strange in ["", "two words", "a=b", long.as_str()] {
        let reply = web.get("/health", &[("x-request-id", strange)]);
        assert_eq!(reply.field("x-request-id").map(str::len), Some(32), "{strange}");
    }
}

#[test]
fn every_answer_tells_browsers_what_never_to_do() {
    let mut web = Web::start("");
    web.add("ann@example.com");
    let cookie = web.sign_in("ann@example.com");
    let session = [("cookie", cookie.as_str()), OURS];
    for reply in [
        web.get("/health", &[]),
        web.get("/v1/me", &session),
        web.get("/v1/me", &[]),
        web.send("PUT", "/v1/me", &session, ""),
        web.get("/nowhere", &[]),
    ] {
        for (field, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cache-control", "no-store"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(reply.field(field), Some(value), "{reply:?}");
        }
    }
    let mut silent = Web::start("\n[http]\nstrict_transport = \"0s\"\n");
    assert_eq!(silent.get("/health", &[]).field("strict-transport-security"), None);
}
