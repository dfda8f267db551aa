//! What arrives in people's mailboxes.

use super::World;
use crate::links::LinkKind;
use gatehouse_mail::{Carried, Carrier, Envelope};
use gatehouse_types::Secret;
use std::sync::Mutex;

/// Takes every letter.
#[derive(Debug, Default)]
struct Postman(Mutex<Vec<Arrived>>);

/// A letter in a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) to: String,
    pub(super) subject: String,
    /// Everything that it says, in both alternatives.
    pub(super) text: String,
}

impl Carrier for Postman {
    fn carry<'a>(&'a self, envelope: &'a Envelope, letter: &'a Secret) -> Carried<'a> {
        let raw = String::from_utf8_lossy(letter.expose()).into_owned();
        // RFC 2045 §6.7, as far as our letters need it.
        let text = raw.replace("=\r\n", "").replace("=3D", "=");
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned();
        self.0.lock().expect("unpoisoned").push(Arrived { to: envelope.to.to_string(), subject, text });
        Box::pin(std::future::ready(Ok(())))
    }
}

impl World {
    /// The letters that were written since this was asked last.
    pub(super) async fn post(&self) -> Vec<Arrived> {
        let postman = Postman::default();
        while self.outbox.deliver_due(&postman).await.expect("delivered").sent > 0 {}
        postman.0.into_inner().expect("unpoisoned")
    }

    /// The one letter that was written since, with a link of this kind.
    pub(super) async fn link(&self, to: &str, kind: LinkKind) -> Secret {
        let post = self.post().await;
        let found: Vec<_> = post.iter().filter(|letter| letter.to == to).filter_map(|letter| letter.link(kind)).collect();
        assert_eq!(found.len(), 1, "{post:?}");
        found.into_iter().next().expect("one")
    }
}

impl Arrived {
    /// The secret of the link of this kind, which leads to the configured address.
    pub(super) fn link(&self, kind: LinkKind) -> Option<Secret> {
        let start = format!("{}{}?secret=", super::ISSUER, kind.path());
        let (_, rest) = self.text.split_once(&start)?;
        let secret: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        Some(Secret::from(secret))
    }
}
