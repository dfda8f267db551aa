//! HTTPS as stock clients see it.

use crate::support::{ForeignAuthority, HTTPS, PLAIN, PROGRAM, curl, start, start_https, text};
use gatehouse_testkit::{
    openssl,
    process::poll_until,
    server::{Installation, PATIENCE},
};
use rcgen::ExtendedKeyUsagePurpose;
use std::fs;

#[test]
fn curl_speaks_both_versions_of_http_over_tls() {
    let (server, _authority) = start_https(HTTPS);
    let port = server.address("api").port();
    let ca = server.installation().folder().join("ca.pem");
    let (resolve, url) = (format!("localhost:{port}:127.0.0.1"), format!("https://localhost:{port}/ready"));
    for (flag, version) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let Some(output) = curl(&["-i", flag, "--cacert", ca.to_str().expect("path"), "--resolve", &resolve, &url]) else { return };
        let answer = text(&output);
        assert!(answer.starts_with(version), "{answer}{}", String::from_utf8_lossy(&output.stderr));
        assert!(answer.contains("\"status\":\"ready\""), "{answer}");
        for header in
            ["strict-transport-security: max-age=31536000", "x-content-type-options: nosniff", "cache-control: no-store", "x-request-id: "]
        {
            assert!(answer.contains(header), "{header} is missing in {answer}");
        }
    }
}

#[test]
fn an_error_is_a_problem_with_the_id_of_its_request() {
    let server = start(PLAIN);
    let base = format!("http://{}", server.address("public"));
    let Some(output) = curl(&["-i", &format!("{base}/no/such/place")]) else { return };
    let answer = text(&output);
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("id").trim().to_owned();
    assert!(answer.contains(&format!("\"request_id\":\"{id}\"")), "{answer}");

    let answer = text(&curl(&["-i", "-X", "DELETE", &format!("{base}/health")]).expect("curl is there"));
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET,HEAD"), "{answer}");
    assert!(answer.contains("\"code\":\"method-not-allowed\""), "{answer}");
}

#[test]
fn metrics_count_what_was_answered_and_only_the_metrics_listener_shows_them() {
    let server = start(PLAIN);
    let (public, metrics) = (format!("http://{}", server.address("public")), format!("http://{}", server.address("metrics")));
    if curl(&[&format!("{public}/health")]).is_none() {
        return;
    }
    let shown = text(&curl(&[&format!("{metrics}/metrics")]).expect("curl is there"));
    assert!(shown.contains("gatehouse_http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 1"), "{shown}");
    assert!(shown.contains("gatehouse_net_connections{listener=\"metrics\"} 1"), "{shown}");
    let hidden = text(&curl(&["-i", &format!("{public}/metrics")]).expect("curl is there"));
    assert!(hidden.starts_with("HTTP/1.1 404"), "{hidden}");
}

#[test]
fn metrics_tell_when_the_certificate_of_a_listener_ends() {
    let (server, _authority) = start_https(&format!("{HTTPS}{}", PLAIN.trim_start()));
    let url = format!("http://{}/metrics", server.address("metrics"));
    // rcgen's certificates end with the year 4095.
    let line = "gatehouse_certificate_not_after_seconds{listener=\"api\"} 67090118400";
    if curl(&[&url]).is_none() {
        return;
    }
    let found = poll_until(PATIENCE, || text(&curl(&[&url])?).lines().any(|shown| shown == line).then_some(()));
    assert!(found.is_some(), "{}", text(&curl(&[&url]).expect("curl is there")));
}

#[test]
fn where_clients_need_a_certificate_only_those_of_the_right_authority_come_in() {
    let authority = ForeignAuthority::new("Foreign Root");
    let stranger = ForeignAuthority::new("Stranger Root");
    let installation = Installation::new(PROGRAM, &format!("{HTTPS}client_anchors = \"ca.pem\"\n")).expect("installation");
    authority.deploy(installation.folder(), 1);
    let server = installation.start().expect("the server starts");
    let folder = server.installation().folder().to_owned();
    let port = server.address("api").port();
    let (resolve, url) = (format!("localhost:{port}:127.0.0.1"), format!("https://localhost:{port}/health"));
    let ask = |name: &str, version: &[&str]| {
        let (ca, chain, key) = (folder.join("ca.pem"), folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        let path = |path: &std::path::Path| path.to_str().expect("path").to_owned();
        let mut arguments = vec!["--cacert".to_owned(), path(&ca), "--resolve".to_owned(), resolve.clone(), url.clone()];
        arguments.extend(version.iter().map(|word| (*word).to_owned()));
        if name != "nobody" {
            arguments.extend(["--cert".to_owned(), path(&chain), "--key".to_owned(), path(&key)]);
        }
        curl(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for (name, (chain, key)) in [
        ("friend", authority.leaf(5, ExtendedKeyUsagePurpose::ClientAuth)),
        ("server", authority.leaf(6, ExtendedKeyUsagePurpose::ServerAuth)),
        ("stranger", stranger.leaf(7, ExtendedKeyUsagePurpose::ClientAuth)),
    ] {
        fs::write(folder.join(format!("{name}.pem")), chain).expect("written");
        fs::write(folder.join(format!("{name}.key")), key).expect("written");
    }
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        let Some(output) = ask("friend", version) else { return };
        assert_eq!(text(&output), "{\"status\":\"alive\"}", "{version:?}: {}", String::from_utf8_lossy(&output.stderr));
        for name in ["nobody", "server", "stranger"] {
            let output = ask(name, version).expect("curl is there");
            assert!(!output.status.success() && output.stdout.is_empty(), "{name} came in with {version:?}");
        }
    }
}

#[test]
fn openssl_is_offered_no_session_to_resume() {
    let (server, _authority) = start_https(HTTPS);
    let address = server.address("api").to_string();
    let request = b"GET /health HTTP/1.0\r\n\r\n";
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = ["s_client", "-connect", &address, "-servername", "localhost", "-ign_eof", version];
        let Some(output) = openssl(&arguments, request).expect("openssl runs") else { return };
        let said = text(&output);
        assert!(said.contains("HTTP/1.0 200") || said.contains("HTTP/1.1 200"), "{said}");
        assert!(!said.contains("TLS session ticket:"), "{said}");
        assert!(!said.contains("Post-Handshake New Session Ticket arrived"), "{said}");
    }
}
