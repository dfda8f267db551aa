//! Real conversations: with aiosmtpd, and with servers that do what no server should.

use super::{Notice, World};
use crate::{Blame, Carrier, Config, Delivery, Email, Envelope, NotCarried, Security, Smtp, SmtpConfig};
use gatehouse_testkit::{
    mail::{MailOptions, MailServer, TlsFiles},
    process::free_port,
};
use gatehouse_types::Secret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// An authority of another maker and a certificate for `localhost`, in files.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut root = CertificateParams::new(Vec::new()).expect("parameters");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let anchor = root.self_signed(&key).expect("a root").pem();
        let leaf_key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(root, key)).expect("a leaf").pem();
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in [("anchor.pem", anchor), ("leaf.pem", leaf), ("leaf.key", leaf_key.serialize_pem())] {
            fs::write(folder.path().join(name), content).expect("written");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn config(address: SocketAddr, security: Security, anchors: Option<PathBuf>) -> SmtpConfig {
    let host = "localhost".to_owned();
    SmtpConfig { host, port: address.port(), security, credentials: None, anchors, timeout: Duration::from_secs(20), letters: 100 }
}

fn envelope(to: &str) -> Envelope {
    let address = |text: &str| text.parse::<Email>().expect("an address");
    Envelope { id: "0123".to_owned(), from: address("gate@example.com"), to: address(to) }
}

async fn carried(config: SmtpConfig, to: &str) -> Result<(), NotCarried> {
    let letter = Secret::from("Subject: x\r\nMessage-ID: <1@example.com>\r\n\r\nHello.\r\n.\r\n..dots\r\n".to_owned());
    let smtp = Smtp::new(config, "gatehouse.example.com").expect("set up");
    let carried = smtp.carry(&envelope(to), &letter).await;
    smtp.rest().await;
    carried
}

fn plain() -> Option<MailServer> {
    MailServer::start(&MailOptions::default()).expect("a mail server")
}

#[tokio::test]
async fn a_letter_arrives_as_text_and_html() {
    let Some(server) = plain() else { return };
    let world = World::new().await;
    world.write("ann@example.com", &Notice).await;
    let smtp = Smtp::new(config(server.address(), Security::Plain, None), "gatehouse.example.com").expect("set up");
    assert_eq!(world.deliver(&smtp).await.sent, 1);
    let letter = server.letters().remove(0);
    assert_eq!((letter.from.as_str(), letter.to.as_slice()), ("gatehouse@localhost", &["ann@example.com".to_owned()][..]));
    assert_eq!(letter.header("Subject"), Some("News"));
    assert!(letter.header("Content-Type").is_some_and(|kind| kind.starts_with("multipart/alternative")));
    for part in
        ["Content-Type: text/plain; charset=utf-8", "There are none.", "Content-Type: text/html; charset=utf-8", "<p>There are none.</p>"]
    {
        assert!(letter.data.contains(part), "{part} is not in\n{}", letter.data);
    }
}

#[tokio::test]
async fn lines_that_are_dots_end_no_letter() {
    let Some(server) = plain() else { return };
    carried(config(server.address(), Security::Plain, None), "ann@example.com").await.expect("carried");
    assert!(server.letters()[0].data.replace("\r\n", "\n").contains("Hello.\n.\n..dots\n"), "{:?}", server.letters());
}

#[tokio::test]
async fn encrypted_submission_shows_the_password_to_a_server_that_is_trusted_and_to_no_other() {
    let certificates = Certificates::new();
    let (certificate, key) = (certificates.path("leaf.pem"), certificates.path("leaf.key"));
    let files = Some(TlsFiles { certificate: &certificate, key: &key });
    let user = Some(("gate", "open sesame"));
    for security in [Security::StartTls, Security::Tls] {
        let (starttls, tls) = if security == Security::StartTls { (files, None) } else { (None, files) };
        let Some(server) = MailServer::start(&MailOptions { port: 0, starttls, tls, user }).expect("a mail server") else { return };
        let good = |password: &str| SmtpConfig {
            credentials: Some(("gate".to_owned(), Secret::from(password.to_owned()))),
            ..config(server.address(), security, Some(certificates.path("anchor.pem")))
        };
        carried(good("open sesame"), "ann@example.com").await.unwrap_or_else(|refused| panic!("{security:?}: {refused}"));
        let letter = server.letters().remove(0);
        assert!(letter.encrypted && letter.authenticated, "{letter:?}");

        let wrong = carried(good("open barley"), "ann@example.com").await.expect_err("a wrong password");
        assert_eq!((wrong.blame, wrong.reason), (Blame::Server, "authentication"), "{wrong}");
        assert!(!wrong.text.contains("barley"), "{wrong}");
        let other = Certificates::new();
        let distrusted = SmtpConfig { anchors: Some(other.path("anchor.pem")), ..good("open sesame") };
        let distrusted = carried(distrusted, "ann@example.com").await.expect_err("another authority");
        assert_eq!((distrusted.blame, distrusted.reason), (Blame::Server, "tls"), "{distrusted}");
        let other_name = SmtpConfig { host: "127.0.0.1".to_owned(), ..good("open sesame") };
        assert_eq!(carried(other_name, "ann@example.com").await.expect_err("another name").reason, "tls");
        assert_eq!(server.letters().len(), 1);
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let Some(server) = plain() else { return };
    let anchors = Certificates::new();
    let refused = carried(config(server.address(), Security::StartTls, Some(anchors.path("anchor.pem"))), "ann@example.com").await;
    let refused = refused.expect_err("nothing to secure it with");
    assert_eq!((refused.blame, refused.reason), (Blame::Server, "tls"), "{refused}");
    assert!(server.letters().is_empty());
}

#[tokio::test]
async fn recipients_and_moments_and_our_own_sender_are_told_apart() {
    let Some(server) = plain() else { return };
    let plainly = config(server.address(), Security::Plain, None);
    let to = async |person: &str| carried(plainly.clone(), &format!("{person}@example.com")).await.expect_err("refused");
    let unknown = to("unknown").await;
    assert_eq!((unknown.blame, unknown.reason), (Blame::Letter, "refusal"));
    assert!(unknown.text.contains("nobody of this name"), "{unknown}");
    let greylisted = to("greylisted").await;
    assert_eq!((greylisted.blame, greylisted.reason), (Blame::Moment, "postponed"));
    carried(config(server.address(), Security::Plain, None), "greylisted@example.com").await.expect("it came back");
    let smtp = Smtp::new(config(server.address(), Security::Plain, None), "gatehouse.example.com").expect("set up");
    let stranger = Envelope { from: "stranger@example.com".parse().expect("an address"), ..envelope("ann@example.com") };
    let refused = smtp.carry(&stranger, &Secret::from("x".to_owned())).await.expect_err("not our sender");
    assert_eq!((refused.blame, refused.reason), (Blame::Server, "sender"));
}

#[tokio::test]
async fn greylisting_and_refusal_end_as_they_should_in_the_outbox() {
    let Some(server) = plain() else { return };
    let world = World::new().await;
    for person in ["greylisted", "unknown", "ann"] {
        world.write(&format!("{person}@example.com"), &Notice).await;
    }
    let smtp = Smtp::new(config(server.address(), Security::Plain, None), "gatehouse.example.com").expect("set up");
    let round = world.deliver(&smtp).await;
    assert_eq!((round.sent, round.postponed, round.given_up, round.server_away), (1, 1, 1, false));
    world.pass(Duration::from_secs(40));
    assert_eq!(world.deliver(&smtp).await.sent, 1);
    let left = world.outbox.letters().await.expect("letters");
    assert!(left.len() == 1 && left[0].due.is_none() && left[0].to.as_str() == "unknown@example.com", "{left:?}");
}

/// On which connections letters to these came, in order.
async fn connections(server: &MailServer, letters: u32, people: &[&str]) -> Vec<u64> {
    let world = World::new().await;
    for person in people {
        world.write(&format!("{person}@example.com"), &Notice).await;
        world.pass(Duration::from_millis(1));
    }
    let config = SmtpConfig { letters, ..config(server.address(), Security::Plain, None) };
    let smtp = Smtp::new(config, "gatehouse.example.com").expect("set up");
    world.deliver(&smtp).await;
    let arrived = server.letters();
    let first = arrived.first().map_or(0, |letter| letter.connection);
    arrived.iter().map(|letter| letter.connection - first).collect()
}

#[tokio::test]
async fn letters_that_wait_together_share_a_connection_and_so_many_at_most() {
    let Some(server) = plain() else { return };
    assert_eq!(connections(&server, 100, &["ann", "ben", "cleo", "dora", "eve"]).await, [0, 0, 0, 0, 0]);
    let Some(server) = plain() else { return };
    assert_eq!(connections(&server, 2, &["ann", "ben", "cleo", "dora", "eve"]).await, [0, 0, 1, 1, 2]);
    let Some(server) = plain() else { return };
    assert_eq!(connections(&server, 1, &["ann", "ben"]).await, [0, 1]);
}

#[tokio::test]
async fn a_letter_that_was_refused_leaves_nothing_to_the_next_one_on_the_same_connection() {
    let Some(server) = plain() else { return };
    assert_eq!(connections(&server, 100, &["ann", "unknown", "greylisted", "ben"]).await, [0, 0]);
    let recipients: Vec<_> = server.letters().into_iter().map(|letter| letter.to).collect();
    assert_eq!(recipients, [["ann@example.com"], ["ben@example.com"]]);
}

#[tokio::test]
async fn a_server_that_has_had_enough_of_a_connection_gets_the_next_letter_over_another() {
    for last in ["enough", "hangs-up"] {
        let Some(server) = plain() else { return };
        assert_eq!(connections(&server, 100, &["ann", last, "ben", "cleo"]).await, [0, 0, 1, 1], "{last}");
    }
}

#[tokio::test]
async fn letters_wait_for_a_server_that_is_down_and_go_when_it_is_up() {
    let port = free_port().expect("a port");
    let world = World::new().await;
    world.write("ann@example.com", &Notice).await;
    let smtp = Smtp::new(config(SocketAddr::from(([127, 0, 0, 1], port)), Security::Plain, None), "gatehouse.example.com").expect("set up");
    let round = world.deliver(&smtp).await;
    assert!(round.server_away && round.postponed == 1);
    let Some(server) = MailServer::start(&MailOptions { port, ..MailOptions::default() }).expect("a mail server") else { return };
    world.pass(Duration::from_secs(40));
    assert_eq!(world.deliver(&smtp).await.sent, 1);
    assert_eq!(server.letters().len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_more_is_given_up_in_time() {
    let Some(server) = plain() else { return };
    let slow = SmtpConfig { timeout: Duration::from_millis(300), ..config(server.address(), Security::Plain, None) };
    let refused = carried(slow, "slow@example.com").await.expect_err("too slow");
    assert_eq!((refused.blame, refused.reason), (Blame::Server, "timeout"));
    // Nobody accepts here, or greets.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let certificates = Certificates::new();
    for security in [Security::Plain, Security::StartTls] {
        let silent = config(silent.local_addr().expect("address"), security, Some(certificates.path("anchor.pem")));
        let silent = SmtpConfig { timeout: Duration::from_millis(300), host: "127.0.0.1".to_owned(), ..silent };
        assert_eq!(carried(silent, "ann@example.com").await.expect_err("silence").reason, "timeout");
    }
}

/// Serves one connection by a script: after each line that comes, the next of these.
async fn scripted(replies: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        for reply in replies {
            let _ = stream.write_all(reply.as_bytes()).await;
            let _ = stream.read(&mut [0; 1024]).await;
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    address
}

#[tokio::test]
async fn what_is_said_in_the_clear_after_starttls_is_not_taken_for_the_server() {
    let certificates = Certificates::new();
    let address = scripted(&["220 mail\r\n", "250-mail\r\n250 STARTTLS\r\n", "220 go on\r\n250 injected\r\n"]).await;
    let config = SmtpConfig { host: "127.0.0.1".to_owned(), ..config(address, Security::StartTls, Some(certificates.path("anchor.pem"))) };
    let refused = carried(config, "ann@example.com").await.expect_err("an injected answer");
    assert_eq!((refused.blame, refused.reason), (Blame::Server, "protocol"), "{refused}");
}

#[tokio::test]
async fn a_server_without_end_or_sense_is_left() {
    const ENDLESS: &[&str] = &["220-x\r\n220-y"];
    const NO_GREETING: &[&str] = &["hello\r\n"];
    const AWAY: &[&str] = &["554 go away\r\n"];
    const NO_TLS: &[&str] = &["220 mail\r\n", "250 mail\r\n"];
    for replies in [NO_GREETING, AWAY, NO_TLS, ENDLESS] {
        let address = scripted(replies).await;
        let anchors = Certificates::new();
        let config = SmtpConfig {
            host: "127.0.0.1".to_owned(),
            timeout: Duration::from_millis(500),
            ..config(address, Security::StartTls, Some(anchors.path("anchor.pem")))
        };
        let refused = carried(config, "ann@example.com").await.expect_err("no mail server");
        assert_eq!(refused.blame, Blame::Server, "{refused}");
    }
}

#[test]
fn authorities_that_cannot_be_read_are_told_before_a_letter_goes_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").expect("written");
    for path in [empty, folder.path().join("missing.pem")] {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let smtp = config(address, Security::Tls, Some(path.clone()));
        let config = Config { delivery: Some(Delivery::Smtp(smtp)), ..Config::default() };
        let clock = std::sync::Arc::new(gatehouse_base::SystemClock);
        let error = crate::carrier(&config, clock, "localhost").expect_err("no authorities");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
