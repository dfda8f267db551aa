//! Another address for an account: the new one confirms, and the old one can take it back.
//!
//! The password is asked for once more. The new address gets a link that makes the change, together with the account's session or
//! password: nobody gets an account with somebody else's address because its owner pressed a button. The old one gets a link that
//! prevents the change, or takes it back within a week: whoever took an account over must not be able to keep it by changing where its
//! letters go. So that link outlives everything but its own use and the use of an older one, and takes the password and all sessions
//! away with it. Until then nobody else can have the old address.

use crate::{
    AccountError, Accounts, Confirming, Email, Happening, MailError, StateError, Visitor,
    history::Fact,
    letters::{AddressChanges, AddressGone, ConfirmNewAddress},
    links::{Link, LinkKind, Purpose},
    rows::{self, ADDRESSES, Row},
    secret::Digest,
};
use gatehouse_mail::EncloseError;
use gatehouse_store::{Batch, Table, codec};
use gatehouse_types::{PersonId, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Addresses that are kept for who had them, folded.
pub(crate) const KEPT_ADDRESSES: Table = Table::new("account-kept-addresses");

const CHANGE_ENDS: Duration = Duration::from_secs(24 * 3600);
const KEEP_ENDS: Duration = Duration::from_secs(7 * 24 * 3600);

/// So often within [`KEEP_ENDS`] can a change be asked for. Each one leaves a link behind that nothing else may push out.
const MOST_ASKED: usize = 10;

/// An address that nobody else can have for a while. A stored type: its old forms must still load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct KeptAddress {
    pub(crate) person: PersonId,
    pub(crate) ends: UnixTime,
}

impl Accounts {
    /// Asks for another address. Whether somebody has it is not told.
    ///
    /// # Errors
    /// The password is wrong, or the text is no other address.
    pub async fn ask_for_address(&self, person: PersonId, to: &str, password: &Secret, from: &Visitor) -> Result<(), AccountError> {
        self.mailer()?;
        let to: Email = to.trim().parse()?;
        self.check_password(person, password, from).await?;
        rows::change(&self.events, || async {
            let row = self.find_person(person).await?.ok_or(AccountError::Wrong)?;
            let present = &row.value.email;
            if present.folded() == to.folded() {
                return Err(AccountError::SameAddress);
            }
            self.check_asked(person).await?;
            let batch = self.ending_links(row.unchanged(), person, &[LinkKind::ChangeAddress]).await?;
            let batch = match self.is_taken_by_others(&to, person).await? {
                true => self.telling_of_use(batch, &to).await?,
                false => {
                    let (linking, link) =
                        self.linking(batch.clone(), person, Purpose::ChangeAddress { to: to.clone() }, CHANGE_ENDS).await?;
                    let letter = ConfirmNewAddress { link: link.address, ends: link.ends };
                    match self.mailer()?.enclose(linking, &to, &letter).await {
                        // Answered like a letter that went out, or it would tell that nobody has the address.
                        Err(EncloseError::Full | EncloseError::Throttled { .. }) => batch,
                        enclosed => enclosed.map_err(MailError::from)?,
                    }
                }
            };
            let keep = Purpose::KeepAddress { address: present.clone(), asked: self.clock.now() };
            let (batch, link) = self.linking(batch, person, keep, KEEP_ENDS).await?;
            let letter = AddressChanges { to: &to, link: link.address, ends: link.ends, from, at: self.clock.now() };
            // Without this letter there is no way back, so there is no change.
            let batch = self.mailer()?.enclose(batch, present, &letter).await.map_err(MailError::from)?;
            Ok((self.telling(batch, person, Happening::AddressChangeAsked { to: to.clone() }, Some(from)).await?, ()))
        })
        .await
    }

    /// Refuses one change too many, until the oldest way back is over.
    async fn check_asked(&self, person: PersonId) -> Result<(), AccountError> {
        let now = self.clock.now();
        let mut ends: Vec<UnixTime> =
            self.ways_back(person).await?.iter().map(|(_, row)| row.value.ends).filter(|ends| now < *ends).collect();
        ends.sort();
        match ends.len().checked_sub(MOST_ASKED).and_then(|over| ends.get(over)) {
            Some(free) => Err(AccountError::Wait { wait: free.since(now) }),
            None => Ok(()),
        }
    }

    async fn ways_back(&self, person: PersonId) -> Result<Vec<(Digest, Row<Link>)>, StateError> {
        let links = self.links_of(person).await?.into_iter();
        Ok(links.filter(|(_, row)| row.value.purpose.kind() == LinkKind::KeepAddress).collect())
    }

    /// Changes an address by the link that was sent to the new one.
    ///
    /// # Errors
    /// The link is over, it is somebody else's account, or somebody has the address by now.
    pub async fn change_address(&self, link: &Secret, by: Confirming<'_>, from: &Visitor) -> Result<(), AccountError> {
        let person = self.link(LinkKind::ChangeAddress, link).await?.ok_or(AccountError::LinkOver)?.value.person;
        self.check_confirming(person, by, from).await?;
        rows::change(&self.events, || async {
            let row = self.link(LinkKind::ChangeAddress, link).await?.ok_or(AccountError::LinkOver)?;
            let (person, Purpose::ChangeAddress { to }) = (row.value.person, row.value.purpose.clone()) else {
                return Err(AccountError::LinkOver);
            };
            if self.is_taken_by_others(&to, person).await? {
                return Err(AccountError::AddressTaken);
            }
            let batch = self.ending_links(row.deleted(), person, &[LinkKind::ChangeAddress, LinkKind::Reset]).await?;
            let mut row = self.find_person(person).await?.ok_or(AccountError::LinkOver)?;
            let old = std::mem::replace(&mut row.value.email, to.clone());
            let kept = KeptAddress { person, ends: self.clock.now() + KEEP_ENDS };
            let batch = batch.and(row.rewritten()).delete(ADDRESSES, old.folded()).and(rows::new(ADDRESSES, to.folded(), &person));
            let batch = batch.delete(KEPT_ADDRESSES, to.folded()).put(KEPT_ADDRESSES, old.folded(), codec::encode(&kept));
            let batch = self.stating(batch, &Fact::AddressChanged { person })?;
            let batch = self.telling(batch, person, Happening::AddressChanged { from: old.clone(), to }, Some(from)).await?;
            let Some(outbox) = &self.mail else { return Ok((batch, ())) };
            let letter = AddressGone { from, at: self.clock.now(), removed: false };
            Ok((outbox.enclose_if_possible(batch, &old, &letter).await.map_err(StateError::from)?, ()))
        })
        .await
    }

    /// Prevents a change of address or takes it back, by the link that was sent to the old one. All sessions end, the password is none any
    /// more, and a link for a new one goes to the address.
    ///
    /// # Errors
    /// The link is over.
    pub async fn keep_address(&self, link: &Secret, from: &Visitor) -> Result<(), AccountError> {
        rows::change(&self.events, || async {
            let row = self.link(LinkKind::KeepAddress, link).await?.ok_or(AccountError::LinkOver)?;
            let (person, Purpose::KeepAddress { address, asked }) = (row.value.person, row.value.purpose.clone()) else {
                return Err(AccountError::LinkOver);
            };
            let batch = self.ending_links(row.deleted(), person, &[LinkKind::ChangeAddress, LinkKind::Reset]).await?;
            // Whoever has the address by a change that is taken back does not get it again by a link of that time.
            let used = LinkKind::KeepAddress.digest(link);
            let later = self.ways_back(person).await?.into_iter().filter(|(at, other)| *at != used && other.value.ends >= row.value.ends);
            let batch = later.fold(batch, |batch, (_, other)| batch.and(other.deleted()));
            let mut row = self.find_person(person).await?.ok_or(AccountError::LinkOver)?;
            // Whoever asked for the change knows it, and may have let themselves in for good.
            row.value.password = self.passwords.none();
            let batch = self.ending_passkeys_since(batch, &mut row.value.second_factor, asked).await?;
            let present = std::mem::replace(&mut row.value.email, address.clone());
            let batch = batch.and(row.rewritten());
            let batch = if present.folded() == address.folded() {
                batch
            } else {
                let batch = batch.delete(ADDRESSES, present.folded()).and(rows::new(ADDRESSES, address.folded(), &person));
                batch.delete(KEPT_ADDRESSES, address.folded())
            };
            let batch = self.ending_sessions(batch, person, None).await?;
            let batch = self.telling(batch, person, Happening::AddressKept { address }, Some(from)).await?;
            // A letter too many does not stop the way back.
            let with_letter = self.resetting(batch.clone(), person, &row).await;
            Ok((with_letter.unwrap_or(batch), ()))
        })
        .await
    }

    /// Whether an address is somebody's, or kept for somebody.
    pub(crate) async fn is_taken(&self, email: &Email) -> Result<bool, StateError> {
        let taken = self.events.store().get(ADDRESSES, email.folded()).await?.is_some();
        Ok(taken || self.kept_for(email).await?.is_some())
    }

    /// The same for somebody who may go back to an address that is kept for them.
    async fn is_taken_by_others(&self, email: &Email, person: PersonId) -> Result<bool, StateError> {
        Ok(self.is_taken(email).await? && self.kept_for(email).await? != Some(person))
    }

    async fn kept_for(&self, email: &Email) -> Result<Option<PersonId>, StateError> {
        let kept = rows::find::<KeptAddress>(&self.events, KEPT_ADDRESSES, email.folded()).await?;
        Ok(kept.filter(|row| self.clock.now() < row.value.ends).map(|row| row.value.person))
    }

    /// The addresses, folded, that are kept for somebody.
    pub(crate) async fn addresses_kept_for(&self, person: PersonId) -> Result<Vec<String>, StateError> {
        let links = self.links_of(person).await?.into_iter();
        let addresses = links.filter_map(|(_, row)| match row.value.purpose {
            Purpose::KeepAddress { address, .. } => Some(address.folded()),
            Purpose::Confirm | Purpose::Reset | Purpose::ChangeAddress { .. } => None,
        });
        let mut kept = Vec::new();
        for address in addresses {
            let row = rows::find::<KeptAddress>(&self.events, KEPT_ADDRESSES, address.as_bytes()).await?;
            kept.extend(row.filter(|row| row.value.person == person).map(|_| address));
        }
        Ok(kept)
    }

    /// Forgets for whom addresses were kept.
    pub(crate) async fn forget_kept_addresses(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, KEPT_ADDRESSES, |kept: &KeptAddress| kept.ends <= now, |batch: Batch, _, _| batch).await
    }
}
