//! Links in letters: who shows the secret of one has read the mailbox that it was sent to.
//!
//! A secret has 256 bits and is kept as a digest only; the look-up is by that digest. A link is good once and for a while, and one
//! that is used voids the others that were sent for the same. Fetching a link does nothing: programs that look at mail fetch links.
//! Its address is made from the configured one, never from what a request calls us.

use crate::{
    AccountError, Accounts, Email, StateError,
    rows::{self, MARK, Row},
    secret::{self, Digest},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_mail::{EncloseError, Outbox, OutboxError};
use gatehouse_store::{Batch, Table};
use gatehouse_types::{PersonId, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Links by the digest of their secret.
pub(crate) const LINKS: Table = Table::new("account-links");
/// The links of a person: person, then digest; without content.
pub(crate) const LINKS_OF: Table = Table::new("account-links-of");

/// The most links that somebody has; the one that ends first goes for the next. Ways back to an old address are bounded where they are
/// asked for, and go for none.
const MOST: usize = 50;

/// What a link does. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "kebab-case")]
pub(crate) enum Purpose {
    /// Confirms the address of an account.
    Confirm,
    /// Sets a new password.
    Reset,
    /// Makes this the account's address.
    ChangeAddress { to: Email },
    /// Takes a change of address back.
    KeepAddress { address: Email, asked: UnixTime },
}

/// Which kind of link is shown. A secret of one kind is worthless as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    Confirm,
    Reset,
    ChangeAddress,
    KeepAddress,
    Invitation,
}

/// What ends with a password: links that whoever knew it asked for, or that set another one.
pub(crate) const OF_A_PASSWORD: &[LinkKind] = &[LinkKind::Reset, LinkKind::ChangeAddress];

/// A link as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) person: PersonId,
    pub(crate) purpose: Purpose,
    pub(crate) ends: UnixTime,
}

/// A link that was made, for the letter that carries it.
#[derive(Debug)]
pub(crate) struct NewLink {
    pub(crate) address: Secret,
    pub(crate) ends: UnixTime,
}

/// Nobody can be written to.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// There is no mail here.
    #[error("this installation sends no mail, so this cannot be done; ask whoever runs it")]
    Off,
    /// Links would lead nowhere.
    #[error(
        "this installation does not know the address under which people reach it, so letters cannot hold links; [accounts] issuer sets it"
    )]
    NoAddress,
    /// The letter cannot be put into the outbox.
    #[error(transparent)]
    Outbox(#[from] EncloseError),
}

impl Purpose {
    pub(crate) fn kind(&self) -> LinkKind {
        match self {
            Self::Confirm => LinkKind::Confirm,
            Self::Reset => LinkKind::Reset,
            Self::ChangeAddress { .. } => LinkKind::ChangeAddress,
            Self::KeepAddress { .. } => LinkKind::KeepAddress,
        }
    }
}

impl LinkKind {
    /// The page that a link of this kind opens.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Confirm => "/account/confirm",
            Self::Reset => "/account/reset",
            Self::ChangeAddress => "/account/address",
            Self::KeepAddress => "/account/keep-address",
            Self::Invitation => "/account/invitation",
        }
    }

    pub(crate) fn digest(self, secret: &Secret) -> Digest {
        secret::digest_of(&format!("link {}", self.path()), secret)
    }
}

impl Accounts {
    /// The outbox, where there is one.
    pub(crate) fn mailer(&self) -> Result<&Outbox, MailError> {
        let outbox = self.mail.as_ref().ok_or(MailError::Off)?;
        if self.issuer.is_some() { Ok(outbox) } else { Err(MailError::NoAddress) }
    }

    /// The address of a link: the one that is configured, with the secret behind it.
    pub(crate) fn link_address(&self, kind: LinkKind, secret: &Secret) -> Result<Secret, MailError> {
        let issuer = self.issuer.as_deref().ok_or(MailError::NoAddress)?;
        Ok(Secret::from(format!("{issuer}{}?secret={}", kind.path(), secret::text(secret))))
    }

    /// Adds a new link to a batch.
    pub(crate) async fn linking(
        &self,
        batch: Batch,
        person: PersonId,
        purpose: Purpose,
        lifetime: Duration,
    ) -> Result<(Batch, NewLink), AccountError> {
        let mut batch = batch;
        let mut kept = self.links_of(person).await?;
        kept.retain(|(_, row)| row.value.purpose.kind() != LinkKind::KeepAddress);
        kept.sort_by_key(|(_, row)| row.value.ends);
        for (digest, _) in kept.iter().take((kept.len() + 1).saturating_sub(MOST)) {
            batch = ending(batch, person, digest);
        }
        let secret = secret::draw(&*self.random);
        let ends = self.clock.now() + lifetime;
        let digest = purpose.kind().digest(&secret);
        let address = self.link_address(purpose.kind(), &secret)?;
        let link = Link { person, purpose, ends };
        let batch = batch.and(rows::new(LINKS, digest, &link)).put(LINKS_OF, rows::of_person(person, &digest), MARK);
        Ok((batch, NewLink { address, ends }))
    }

    /// The link of this kind and secret, if it is good.
    pub(crate) async fn link(&self, kind: LinkKind, secret: &Secret) -> Result<Option<Row<Link>>, StateError> {
        let found = rows::find::<Link>(&self.events, LINKS, kind.digest(secret)).await?;
        Ok(found.filter(|row| self.clock.now() < row.value.ends && row.value.purpose.kind() == kind))
    }

    /// Ends somebody's links of these kinds, in a batch.
    pub(crate) async fn ending_links(&self, batch: Batch, person: PersonId, kinds: &[LinkKind]) -> Result<Batch, StateError> {
        let ended = self.links_of(person).await?.into_iter().filter(|(_, row)| kinds.contains(&row.value.purpose.kind()));
        Ok(ended.fold(batch, |batch, (digest, _)| ending(batch, person, &digest)))
    }

    /// Forgets links that have ended.
    pub(crate) async fn forget_ended_links(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        let also = |batch: Batch, digest: &[u8], link: &Link| batch.delete(LINKS_OF, rows::of_person(link.person, digest));
        rows::forget(&self.events, LINKS, |link: &Link| link.ends <= now, also).await
    }

    pub(crate) async fn links_of(&self, person: PersonId) -> Result<Vec<(Digest, Row<Link>)>, StateError> {
        let mut links = Vec::new();
        for tail in rows::tails(&self.events, LINKS_OF, rows::by_person(person), MOST * 2).await? {
            let digest = Digest::try_from(tail.as_slice()).map_err(|_| StateError::Damaged("a link's key".to_owned()))?;
            if let Some(row) = rows::find::<Link>(&self.events, LINKS, digest).await? {
                links.push((digest, row));
            }
        }
        Ok(links)
    }
}

fn ending(batch: Batch, person: PersonId, digest: &Digest) -> Batch {
    batch.delete(LINKS, *digest).delete(LINKS_OF, rows::of_person(person, digest))
}

impl From<OutboxError> for StateError {
    fn from(error: OutboxError) -> Self {
        Self::Outbox(error)
    }
}

impl Fault for MailError {
    fn kind(&self) -> Kind {
        match self {
            Self::Off | Self::NoAddress => Kind::Conflict,
            Self::Outbox(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Off => "no-mail",
            Self::NoAddress => "no-external-address",
            Self::Outbox(error) => error.code(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Outbox(error) => error.retry_after(),
            Self::Off | Self::NoAddress => None,
        }
    }
}
