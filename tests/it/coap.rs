//! CoAP as stock clients see it: libcoap's, over each scheme.

use crate::support::{ForeignAuthority, PROGRAM, text};
use gatehouse_testkit::{
    process::{command, run},
    require_tool,
    server::{Installation, Server},
};
use rcgen::ExtendedKeyUsagePurpose;
use std::{fs, path::Path, process::Output};

/// One listener for each scheme.
const COAP: &str = "
[listener.clear]
address = \"127.0.0.1:0\"
role = \"coap+tcp\"
danger_in_the_clear = true
[listener.datagrams]
address = \"127.0.0.1:0\"
role = \"coap\"
danger_in_the_clear = true
[listener.tcp]
address = \"127.0.0.1:0\"
role = \"coaps+tcp\"
certificate = \"chain.pem\"
key = \"key.pem\"
client_anchors = \"ca.pem\"
[listener.udp]
address = \"127.0.0.1:0\"
role = \"coaps\"
certificate = \"chain.pem\"
key = \"key.pem\"
client_anchors = \"ca.pem\"
";

/// The libraries under libcoap's client.
const ENGINES: [&str; 2] = ["coap-client-openssl", "coap-client-gnutls"];

fn start() -> Server {
    let authority = ForeignAuthority::new("Foreign Root");
    let stranger = ForeignAuthority::new("Stranger Root");
    let installation = Installation::new(PROGRAM, COAP).expect("installation");
    authority.deploy(installation.folder(), 1);
    for (name, (chain, key)) in [
        ("device", authority.leaf(5, ExtendedKeyUsagePurpose::ClientAuth)),
        ("rogue", stranger.leaf(7, ExtendedKeyUsagePurpose::ClientAuth)),
    ] {
        fs::write(installation.folder().join(format!("{name}.pem")), chain).expect("written");
        fs::write(installation.folder().join(format!("{name}.key")), key).expect("written");
    }
    installation.start().expect("the server starts")
}

fn scheme(listener: &str) -> &'static str {
    match listener {
        "clear" => "coap+tcp",
        "datagrams" => "coap",
        "tcp" => "coaps+tcp",
        _ => "coaps",
    }
}

/// Asks with libcoap's client. `who` names the files of its certificate and key.
fn ask(engine: &str, server: &Server, listener: &str, path: &str, who: Option<&str>, more: &[&str]) -> Option<Output> {
    let scheme = scheme(listener);
    let folder = server.installation().folder();
    let file = |name: String| folder.join(Path::new(&name)).to_string_lossy().into_owned();
    let mut client = command(require_tool(engine)?);
    client.args(["-B", "10"]).args(more);
    if ["tcp", "udp"].contains(&listener) {
        client.args(["-C", &file("ca.pem".to_owned())]);
    }
    if let Some(who) = who {
        client.args(["-c", &file(format!("{who}.pem")), "-j", &file(format!("{who}.key"))]);
    }
    client.arg(format!("{scheme}://127.0.0.1:{}{path}", server.address(listener).port()));
    Some(run(client).expect("libcoap's client runs"))
}

#[test]
fn libcoap_is_told_the_time_over_every_scheme() {
    let server = start();
    for engine in ENGINES {
        for (listener, who) in [("clear", None), ("datagrams", None), ("tcp", Some("device")), ("udp", Some("device"))] {
            // 50 is JSON.
            let Some(output) = ask(engine, &server, listener, "/x.plgd.dev/time", who, &["-A", "50"]) else { return };
            let told = text(&output);
            assert!(told.contains("{\"time\":\"20"), "{engine} {listener}: {told}{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn only_devices_of_the_anchors_come_in() {
    let server = start();
    for engine in ENGINES {
        for listener in ["tcp", "udp"] {
            for who in [Some("rogue"), None] {
                let Some(output) = ask(engine, &server, listener, "/x.plgd.dev/time", who, &["-A", "50", "-B", "3"]) else { return };
                assert!(!text(&output).contains("time"), "{engine} {listener}: {who:?} came in");
            }
        }
    }
}

#[test]
fn libcoap_finds_what_there_is_and_is_told_what_there_is_not() {
    let server = start();
    let Some(output) = ask(ENGINES[0], &server, "clear", "/.well-known/core?rt=gatehouse.*", None, &[]) else { return };
    let found = text(&output);
    assert!(found.contains("</health>;rt=\"gatehouse.health\"") && !found.contains("time"), "{found}");
    let missing = ask(ENGINES[0], &server, "clear", "/no/such/place", None, &[]).expect("the client is there");
    let said = format!("{}{}", text(&missing), String::from_utf8_lossy(&missing.stderr));
    assert!(said.contains("4.04"), "{said}");
}

/// Asks with our own command.
fn gatehouse(server: &Server, listener: &str, path: &str, more: &[&str]) -> Output {
    let url = format!("{}://localhost:{}{path}", scheme(listener), server.address(listener).port());
    let folder = server.installation().folder();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut client = command(PROGRAM);
    client.args(["coap", "get", &url, "--timeout", "10s"]).args(more);
    if ["tcp", "udp"].contains(&listener) {
        client.args(["--ca", &file("ca.pem")]);
    }
    if more.is_empty() && ["tcp", "udp"].contains(&listener) {
        client.args(["--cert", &file("device.pem"), "--key", &file("device.key")]);
    }
    run(client).expect("the command runs")
}

#[test]
fn the_command_asks_over_every_scheme_and_ends_with_the_code_of_the_answer() {
    let server = start();
    for listener in ["clear", "datagrams", "tcp", "udp"] {
        let told = gatehouse(&server, listener, "/x.plgd.dev/time", &[]);
        assert!(told.status.success() && text(&told).starts_with("{\"time\": \"20"), "{listener}: {told:?}");
        let missing = gatehouse(&server, listener, "/no/such/place", &[]);
        assert_eq!((missing.status.code(), text(&missing).as_str()), (Some(6), ""), "{listener}: {missing:?}");
    }
    let folder = server.installation().folder();
    let rogue = ["rogue.pem", "rogue.key"].map(|name| folder.join(name).to_string_lossy().into_owned());
    let refused = gatehouse(&server, "tcp", "/x.plgd.dev/time", &["--cert", &rogue[0], "--key", &rogue[1]]);
    assert!(!refused.status.success() && refused.stdout.is_empty() && !refused.stderr.is_empty(), "{refused:?}");
}

#[test]
fn the_command_shows_what_a_server_presents_and_what_was_agreed_on_with_it() {
    let server = start();
    let folder = server.installation().folder();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (device, key) = (file("device.pem"), file("device.key"));
    for (listener, agreed) in
        [("tcp", ["* TLSv1.3 with 127.0.0.1:", "TLS_AES_", ", coap\n"]), ("udp", ["* DTLSv1.2 with 127.0.0.1:", "ECDHE-", "\n"])]
    {
        let shown = gatehouse(&server, listener, "/health", &["-4", "-v", "--cert", &device, "--key", &key]);
        let shown = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert!(shown.contains("* certificate 0: CN=localhost for localhost\n*   issued by CN=Foreign Root"), "{listener}: {shown}");
        let line = shown.split_inclusive('\n').find(|line| line.starts_with(agreed[0])).unwrap_or_else(|| panic!("{listener}: {shown}"));
        assert!(line.contains(agreed[1]) && line.ends_with(agreed[2]), "{listener}: {line}");
        // A server that is refused is shown as well.
        let refused = gatehouse(&server, listener, "/health", &["-4", "-v", "--server-name", "elsewhere"]);
        let shown = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && shown.contains("* certificate 0: CN=localhost"), "{listener}: {shown}");
    }
}

/// What a real device sends first over DTLS.
fn device_hello() -> Vec<u8> {
    let suites: &[u8] = &[0xc0, 0x2b, 0xc0, 0x23, 0xc0, 0x2c, 0xc0, 0x24, 0xc0, 0x2f, 0xc0, 0x30, 0x00, 0xff];
    // Groups, signatures, point formats, extended master secret.
    let extensions: &[u8] =
        b"\0\x0a\0\x06\0\x04\0\x17\0\x18\0\x0d\0\x0e\0\x0c\x06\x03\x06\x01\x05\x03\x05\x01\x04\x03\x04\x01\0\x0b\0\x02\x01\0\0\x17\0\0";
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
    let body = [&[254, 253][..], &[7; 32], &[0, 0], &length(suites), suites, &[1, 0], &length(extensions), extensions].concat();
    let message = [&[1, 0][..], &length(&body), &[0, 0, 0, 0, 0, 0], &length(&body), &body].concat();
    [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0][..], &length(&message), &message].concat()
}

#[test]
fn a_first_hello_over_dtls_is_answered_with_less_than_a_third_of_it() {
    let server = start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    socket.connect(server.address("udp")).expect("connected");
    socket.set_read_timeout(Some(gatehouse_testkit::server::PATIENCE)).expect("set");
    let hello = device_hello();
    let mut answer = [0; 2048];
    for _ in 0..3 {
        socket.send(&hello).expect("sent");
        let length = socket.recv(&mut answer).expect("answered");
        assert!(length * 10 <= hello.len() * 3, "{length} bytes for {}", hello.len());
        // A handshake record with a HelloVerifyRequest (RFC 6347 §4.2.1).
        assert_eq!((answer[0], answer[13]), (22, 3));
    }
}

#[test]
fn an_operator_sees_the_messages_of_one_peer() {
    let server = start();
    let told = std::thread::scope(|scope| {
        let shown = scope.spawn(|| server.command(&["trace-peer", "--for", "3s", "127.0.0.1"]));
        server.logged("a peer's messages are looked at");
        let asked = ask(ENGINES[0], &server, "udp", "/health", Some("device"), &["-A", "50"]);
        (asked, shown.join().expect("the command ends"))
    });
    let (Some(_), shown) = told else { return };
    let (asked, answered) = (shown.find("<- Confirmable"), shown.find("-> Acknowledgement"));
    assert!(asked.is_some() && asked < answered, "{shown}");
    assert!(shown.contains("/health") && shown.contains("2.05 Content"), "{shown}");
}

#[test]
fn a_stranger_over_udp_gets_no_more_than_it_sends_before_it_has_shown_where_it_is() {
    let server = start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    socket.connect(server.address("datagrams")).expect("connected");
    socket.set_read_timeout(Some(gatehouse_testkit::server::PATIENCE)).expect("set");
    // Confirmable, GET, one byte of token, /.well-known/core: its answer is much longer.
    let request = b"\x41\x01\x12\x34\x07\xbb.well-known\x04core";
    socket.send(request).expect("sent");
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).expect("answered");
    assert!(length <= request.len(), "{length} bytes for {}", request.len());
    // An acknowledgement with 4.01.
    assert_eq!(answer[..4], [0x61, 0x81, 0x12, 0x34]);
}

#[test]
fn a_listener_in_the_clear_is_only_there_when_the_danger_is_named() {
    let configuration = "\n[listener.clear]\naddress = \"127.0.0.1:0\"\nrole = \"coap+tcp\"\n";
    let installation = Installation::new(PROGRAM, configuration).expect("installation");
    let output = installation.run(&["check"]).expect("it runs");
    assert!(!output.status.success());
    assert!(text(&output).contains("danger_in_the_clear"), "{}", text(&output));
    installation.configure(&format!("{configuration}danger_in_the_clear = true\n")).expect("configured");
    assert!(installation.run(&["check"]).expect("it runs").status.success());
}
