//! Who signs what: the authorities, their generations and their states.
//!
//! An authority *awaits* its certificate from an offline root, is the *active* one of its seat, is still *trusted*
//! after a roll-over while what it signed is in use, or is *withdrawn*. This file holds the rows and the reading
//! of them; `ceremony.rs` changes them.

use crate::{
    authority::{HIERARCHY, PAGE},
    codec::{self, Bytes},
    error::StateError,
    keyring::Keyring,
    seat::{CaId, Seat},
};
use gatehouse_pki::{Certificate, Fingerprint, Issuer, KeyId};
use gatehouse_store::{Batch, Entry, Range, Store};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Where in its life an authority is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaState {
    /// It has a key; its certificate is to come from the offline root.
    Awaiting,
    /// It signs new certificates.
    Active,
    /// It signs revocation lists only; what it signed before stays good.
    Trusted,
    /// Nothing that it signed is good.
    Withdrawn,
}

/// Who signs the certificates of a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Issuing {
    /// The authority itself. Devices time their renewal by the last certificate that they hold, and then that is
    /// the leaf.
    #[default]
    Direct,
    /// Short-lived intermediates, each of which ends together with the leaves that it signs, for the same reason.
    /// The authority's own key is then used a few times a year only, and may live in a token.
    Through,
}

/// A stored type: its old forms must still load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CaRow {
    pub(crate) key: Bytes,
    pub(crate) key_id: Bytes,
    pub(crate) state: CaState,
    /// Its own certificate first, the root last; empty while it awaits one.
    pub(crate) chain: Vec<Bytes>,
    pub(crate) created: UnixTime,
    pub(crate) issuing: Issuing,
    /// The organisation in its subject.
    pub(crate) organisation: String,
}

/// One authority, read.
pub(crate) struct Ca {
    pub(crate) id: CaId,
    pub(crate) row: CaRow,
    pub(crate) entry: Entry,
    pub(crate) key: Fingerprint,
    pub(crate) key_id: KeyId,
    pub(crate) chain: Vec<Certificate>,
    /// None when it has no certificate, is withdrawn, or its key is not to be had now; then `why_not` says why.
    pub(crate) issuer: Option<Arc<Issuer>>,
    pub(crate) why_not: Option<String>,
}

/// What is shown of an authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaInfo {
    /// Its name.
    pub id: CaId,
    /// Where in its life it is.
    pub state: CaState,
    /// Who signs for its seat.
    pub issuing: Issuing,
    /// Its subject; none while it awaits its certificate.
    pub subject: Option<String>,
    /// Its last second.
    pub not_after: Option<UnixTime>,
    /// The key identifier under which its revocation list is fetched.
    pub key_id: String,
    /// Why it cannot sign now.
    pub why_not: Option<String>,
}

/// All authorities.
#[derive(Default)]
pub(crate) struct Hierarchy {
    pub(crate) all: Vec<Arc<Ca>>,
}

impl Hierarchy {
    /// Reads all rows. An authority that nobody changed is taken over from before: opening one checks signatures.
    pub(crate) async fn load(store: &Store, keyring: &Keyring, before: &Self) -> Result<Self, StateError> {
        let mut hierarchy = Self::default();
        let mut range = Range::all();
        loop {
            let rows = store.scan(HIERARCHY, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(hierarchy) };
            range = range.after(last);
            for (name, entry) in rows {
                let same = |ca: &&Arc<Ca>| ca.entry.version == entry.version && row_of(ca.id) == name && ca.why_not.is_none();
                let ca = match before.all.iter().find(same) {
                    Some(ca) => Arc::clone(ca),
                    None => Arc::new(Ca::read(&name, entry, keyring).await?),
                };
                hierarchy.all.push(ca);
            }
        }
    }

    pub(crate) fn find(&self, id: CaId) -> Option<&Ca> {
        self.all.iter().map(AsRef::as_ref).find(|ca| ca.id == id)
    }

    pub(crate) fn by_key_id(&self, key_id: &KeyId) -> Option<&Ca> {
        self.all.iter().map(AsRef::as_ref).find(|ca| ca.key_id == *key_id)
    }

    /// The seat's own active authority.
    pub(crate) fn active(&self, seat: Seat) -> Option<&Ca> {
        self.all.iter().map(AsRef::as_ref).find(|ca| ca.id.seat == seat && ca.id.turn == 0 && ca.row.state == CaState::Active)
    }

    /// The number that the seat's next generation gets.
    pub(crate) fn next_generation(&self, seat: Seat) -> u32 {
        1 + self.all.iter().filter(|ca| ca.id.seat == seat).map(|ca| ca.id.generation).max().unwrap_or(0)
    }

    /// The intermediates below an authority, the newest first.
    pub(crate) fn turns(&self, of: CaId) -> impl Iterator<Item = &Ca> {
        let mut turns: Vec<&Ca> =
            self.all.iter().map(AsRef::as_ref).filter(|ca| ca.id.turn > 0 && CaId { turn: 0, ..ca.id } == of).collect();
        turns.sort_by_key(|ca| std::cmp::Reverse(ca.id.turn));
        turns.into_iter()
    }

    pub(crate) fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.all.iter().map(|ca| ca.key_id)
    }

    /// What whoever trusts the seat has to trust: the last certificates of all chains that still count.
    pub(crate) fn anchors(&self, seat: Seat) -> Vec<Certificate> {
        let mut anchors: Vec<Certificate> = Vec::new();
        let counts = |ca: &&Arc<Ca>| matches!(ca.row.state, CaState::Active | CaState::Trusted);
        for ca in self.all.iter().filter(|ca| ca.id.seat == seat).filter(counts) {
            if let Some(anchor) = ca.chain.last()
                && !anchors.iter().any(|known| known.der() == anchor.der())
            {
                anchors.push(anchor.clone());
            }
        }
        anchors
    }
}

impl Ca {
    async fn read(name: &[u8], entry: Entry, keyring: &Keyring) -> Result<Self, StateError> {
        let damaged = |what: &str| StateError::Damaged(format!("the authority {}: {what}", name.escape_ascii()));
        let id: CaId = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or_else(|| damaged("no name"))?;
        let row: CaRow = codec::decode(&entry.value)?;
        let key = <[u8; Fingerprint::LEN]>::try_from(&*row.key).map_err(|_| damaged("no key"))?.into();
        let key_id = <[u8; KeyId::LEN]>::try_from(&*row.key_id).map_err(|_| damaged("no key identifier"))?.into();
        let chain = row.chain.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| damaged(&error.to_string()))?;
        let mut ca = Self { id, row, entry, key, key_id, chain, issuer: None, why_not: None };
        if matches!(ca.row.state, CaState::Active | CaState::Trusted) {
            // A token that is away must not keep the server from starting and revoking.
            match ca.open(keyring).await {
                Ok(issuer) => ca.issuer = Some(Arc::new(issuer)),
                Err(why_not) => ca.why_not = Some(why_not),
            }
        }
        Ok(ca)
    }

    async fn open(&self, keyring: &Keyring) -> Result<Issuer, String> {
        let signer = keyring.signer(&self.key).await.map_err(|error| error.to_string())?;
        Issuer::new(self.chain.clone(), signer).map_err(|error| error.to_string())
    }

    pub(crate) fn info(&self) -> CaInfo {
        CaInfo {
            id: self.id,
            state: self.row.state,
            issuing: self.row.issuing,
            subject: self.chain.first().map(|own| own.subject().to_string()),
            not_after: self.chain.first().map(Certificate::not_after),
            key_id: self.key_id.to_string(),
            why_not: self.why_not.clone(),
        }
    }

    /// Demands that the authority is still what it was when it was read.
    pub(crate) fn unchanged(&self) -> Batch {
        Batch::new().require_version(HIERARCHY, row_of(self.id), self.entry.version)
    }

    /// Writes the authority in another state, if nobody changed it meanwhile.
    pub(crate) fn with_state(&self, state: CaState) -> Batch {
        self.unchanged().put(HIERARCHY, row_of(self.id), codec::encode(&CaRow { state, ..self.row.clone() }))
    }
}

/// Writes a new authority, if there is none of this name.
pub(crate) fn new_row(id: CaId, row: &CaRow) -> Batch {
    Batch::new().require_absent(HIERARCHY, row_of(id)).put(HIERARCHY, row_of(id), codec::encode(row))
}

pub(crate) fn row_of(id: CaId) -> Vec<u8> {
    id.to_string().into_bytes()
}

impl fmt::Display for CaState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Awaiting => "awaiting",
            Self::Active => "active",
            Self::Trusted => "trusted",
            Self::Withdrawn => "withdrawn",
        })
    }
}
