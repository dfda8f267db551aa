//! Letters of the real program, taken by a real mail server.

use crate::{
    accounts::admin,
    support::{PLAIN, start, text},
};
use gatehouse_testkit::{
    mail::{MailOptions, MailServer},
    process::poll_until,
    server::{PATIENCE, Server},
};
use serde_json::Value;
use std::net::SocketAddr;

const PASSWORD: &str = "tall ships sail";

fn configuration(mail: SocketAddr) -> String {
    let port = mail.port();
    format!("{PLAIN}[mail]\nfrom = \"gate@example.com\"\n[mail.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"plain\"\n")
}

/// Has a letter written to somebody: an account is made and reset at the console.
fn letter_to(server: &Server, email: &str) {
    for arguments in [&["add", email, "--password-stdin"][..], &["reset", email, "--password-stdin"]] {
        let done = admin(server, arguments, PASSWORD);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn letters(server: &Server) -> Vec<Value> {
    serde_json::from_str(&server.command(&["--json", "mail", "list"])).expect("JSON")
}

#[test]
fn a_letter_that_was_accepted_and_not_noted_when_the_program_was_killed_comes_once_more_with_the_same_name() {
    let Some(mail) = MailServer::start(&MailOptions::default()).expect("a mail server") else { return };
    let server = start(&configuration(mail.address()));
    // This mail server keeps the letter and never says so.
    letter_to(&server, "held@example.com");
    mail.wait_for(1, PATIENCE);
    let server = server.restart().expect("killed and started again");
    let twice = mail.wait_for(2, PATIENCE);
    assert_eq!(twice[0].data, twice[1].data, "to the byte");
    assert!(twice[0].header("Message-ID").is_some_and(|id| id.ends_with("@example.com>")));
    poll_until(PATIENCE, || letters(&server).is_empty().then_some(())).expect("nothing waits any more");
    assert_eq!(mail.letters().len(), 2);
}

#[test]
fn a_letter_that_was_refused_is_listed_tried_again_and_dropped() {
    let Some(mail) = MailServer::start(&MailOptions::default()).expect("a mail server") else { return };
    let server = start(&configuration(mail.address()));
    letter_to(&server, "unknown@example.com");
    let dead = |attempts: u64| {
        let found = || letters(&server).pop().filter(|letter| letter["due"].is_null() && letter["attempts"] == attempts);
        poll_until(PATIENCE, found).expect("it was refused")
    };
    let letter = dead(1);
    assert!(letter["problem"].as_str().is_some_and(|problem| problem.contains("nobody of this name")), "{letter}");
    server.command(&["mail", "retry"]);
    dead(2);
    server.command(&["mail", "drop", letter["id"].as_str().expect("an id")]);
    assert!(letters(&server).is_empty());
    server.command(&["mail", "test", "--to", "ann@example.com"]);
    assert_eq!(mail.letters().len(), 1);
    let refused = server.installation().run(&["mail", "test", "--to", "unknown@example.com"]).expect("it runs");
    assert_eq!((refused.status.code(), text(&refused).as_str()), (Some(4), ""));
}
