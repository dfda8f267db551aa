//! Peers that want too much: each limit is reached, and the server stays well.

use crate::support::{HTTPS, PLAIN, curl, start, start_https, text};
use gatehouse_testkit::{
    process::poll_until,
    server::{PATIENCE, Server},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

#[test]
fn a_head_that_never_ends_is_cut_off_at_its_time_limit() {
    let server = start(&format!("[http]\nheader_timeout = \"1s\"\n{PLAIN}"));
    let mut slow = connect(server.address("public"));
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: local").expect("sent");
    // Nothing more is sent; the end comes from the server.
    let said = read_to_end(&mut slow);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    still_well(&server);
}

#[test]
fn a_kept_connection_may_rest_longer_than_a_head_may_take_but_its_next_head_may_not() {
    let server = start(&format!("[http]\nheader_timeout = \"1s\"\nidle_timeout = \"1h\"\n{PLAIN}"));
    let mut resting = connect(server.address("public"));
    let mut dragging = connect(server.address("public"));
    for stream in [&mut resting, &mut dragging] {
        assert!(ask(stream).starts_with("HTTP/1.1 200"));
    }
    dragging.write_all(b"GET /health HT").expect("sent");
    // Its end takes the time limit of a head, after which the resting connection is still there.
    assert_eq!(read_to_end(&mut dragging), "");
    assert!(ask(&mut resting).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_connection_that_rests_too_long_is_closed() {
    let server = start(&format!("[http]\nheader_timeout = \"300s\"\nidle_timeout = \"1s\"\n{PLAIN}"));
    let mut resting = connect(server.address("public"));
    assert!(ask(&mut resting).starts_with("HTTP/1.1 200"));
    assert_eq!(read_to_end(&mut resting), "");
}

#[test]
fn a_silent_connection_is_closed_at_its_time_limit() {
    let server = start(&format!("[http]\nheader_timeout = \"1s\"\n{PLAIN}"));
    assert_eq!(read_to_end(&mut connect(server.address("public"))), "");
    still_well(&server);
}

#[test]
fn a_handshake_that_never_ends_is_cut_off_at_its_time_limit() {
    let (server, _authority) = start_https(&format!("[net]\nhandshake_timeout = \"200ms\"\n{HTTPS}{PLAIN}"));
    let mut silent = connect(server.address("api"));
    let mut half = connect(server.address("api"));
    // The start of a ClientHello record that promises 512 bytes.
    half.write_all(b"\x16\x03\x01\x02\x00\x01").expect("sent");
    assert_eq!(read_to_end(&mut silent), "");
    read_to_end(&mut half);
    assert_metric(&server, "gatehouse_net_handshake_failures_total{listener=\"api\",reason=\"timeout\"} 2");
}

#[test]
fn a_head_that_is_too_large_is_refused_and_not_collected() {
    let server = start(PLAIN);
    let mut bomb = connect(server.address("public"));
    bomb.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-bomb: ").expect("sent");
    let piece = [b'a'; 16 * 1024];
    let before = most_memory(&server);
    // The server throws 4 MiB away before it closes, so that its answer arrives; the kernel's buffers take as much and more.
    let sent = (0..8192).take_while(|_| bomb.write_all(&piece).is_ok()).count() * piece.len();
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    let kept = most_memory(&server) - before;
    assert!(kept < 4 << 10, "{kept} KiB were kept");
    still_well(&server);

    let many: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    let mut many_fields = connect(server.address("public"));
    write!(many_fields, "GET /health HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").expect("sent");
    let said = read_to_end(&mut many_fields);
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
}

/// The most memory that the server ever had, in KiB.
fn most_memory(server: &Server) -> u64 {
    let said = server.command(&["status"]);
    let process = said.split_once("process ").and_then(|(_, rest)| rest.split_once(',')).expect("a process id").0.to_owned();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a running server");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line about memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_body_that_is_too_large_is_refused_and_its_sender_gets_to_know() {
    let server = start(PLAIN);
    let mut stream = connect(server.address("public"));
    write!(stream, "POST /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n").expect("sent");
    // Nobody reads this; a server that closed at once would reset the connection, and the answer would be lost.
    let _ = stream.write_all(&vec![b'x'; 512 * 1024]);
    let said = read_to_end(&mut stream);
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("\"code\":\"body-too-large\""), "{said}");
}

#[test]
fn one_peer_cannot_have_more_connections_than_its_share() {
    let server = start(&format!("[net]\nconnections_per_peer = 3\n{PLAIN}"));
    let held: Vec<_> = (0..3).map(|_| connect(server.address("public"))).collect();
    // All of them are inside before the next one comes.
    let inside = poll_until(PATIENCE, || server.command(&["--json", "status"]).contains("\"connections\":3").then_some(()));
    assert!(inside.is_some());
    assert_eq!(read_to_end(&mut connect(server.address("public"))), "");
    drop(held);
    let again = poll_until(PATIENCE, || server.command(&["--json", "status"]).contains("\"connections\":0").then_some(()));
    assert!(again.is_some(), "places are free again");
    still_well(&server);
    assert_metric(&server, "gatehouse_net_refused_total{listener=\"public\",reason=\"peer\"} 1");
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// One request on a kept connection; the head and the body of the answer, which is `{"status":"alive"}`.
fn ask(stream: &mut TcpStream) -> String {
    write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"}") {
        stream.read_exact(&mut byte).expect("answered");
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Everything up to the end of the connection, which must come.
fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection was not closed: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn still_well(server: &Server) {
    let mut stream = connect(server.address("metrics"));
    write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
    let said = read_to_end(&mut stream);
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

fn assert_metric(server: &Server, line: &str) {
    let Some(output) = curl(&[&format!("http://{}/metrics", server.address("metrics"))]) else { return };
    let shown = text(&output);
    assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
}
