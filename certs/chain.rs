//! A chain with everything that belongs to judging it.

use crate::{
    Error,
    draft::{Draft, ListDraft, NOW},
    key::{Key, NAMES},
};
use std::{collections::HashMap, path::Path};
use time::OffsetDateTime;

/// All throw-away keys.
pub struct Keys(HashMap<&'static str, Key>);

impl Keys {
    /// Reads all keys from the folder.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Ok(Self(NAMES.iter().map(|name| Ok((*name, Key::load(folder, name)?))).collect::<Result<_, Error>>()?))
    }

    /// The key of this name.
    ///
    /// # Panics
    /// When there is none; the names are in this crate.
    pub fn get(&self, name: &str) -> &Key {
        self.0.get(name).expect("the name is one of the list")
    }
}

/// A chain before it is signed: the leaf first, the anchor last.
#[derive(Clone)]
pub struct Chain {
    /// Leaf, intermediates upwards, anchor.
    pub certificates: Vec<Draft>,
    /// Revocation lists.
    pub lists: Vec<ListDraft>,
}

impl Chain {
    /// A chain without revocation lists.
    pub fn new(certificates: impl Into<Vec<Draft>>) -> Self {
        Self { certificates: certificates.into(), lists: Vec::new() }
    }

    /// Signs everything: the last certificate is the anchor, the others are presented.
    pub fn sign(&self) -> Result<Bundle, Error> {
        let mut presented = self.certificates.iter().map(Draft::encode).collect::<Result<Vec<_>, _>>()?;
        let anchors = presented.pop().into_iter().collect();
        let lists = self.lists.iter().map(ListDraft::encode).collect::<Result<_, _>>()?;
        Ok(Bundle { presented, anchors, intermediates: Vec::new(), lists })
    }
}

/// A chain as it is presented and judged, in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What the peer shows, leaf first.
    pub presented: Vec<Vec<u8>>,
    /// What is trusted.
    pub anchors: Vec<Vec<u8>>,
    /// What is configured below the anchors.
    pub intermediates: Vec<Vec<u8>>,
    /// The revocation lists.
    pub lists: Vec<Vec<u8>>,
}

/// What is asked of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the leaf is presented for.
    pub purpose: Purpose,
    /// At which time.
    pub at: OffsetDateTime,
    /// Whether revocation lists are looked at.
    pub revocation: Revocation,
    /// Whether an expired leaf is accepted.
    pub accepts_expired_leaf: bool,
    /// Whether key identifiers may be missing.
    pub accepts_missing_key_ids: bool,
    /// Which configured CA the path must pass through: a place among anchors and then intermediates.
    pub lead: Option<usize>,
}

/// What a leaf is presented for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// TLS client.
    Client,
    /// TLS server.
    Server,
    /// OCF device.
    OcfDevice,
}

/// Whether revocation lists are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revocation {
    /// No.
    Ignore,
    /// Where there are any.
    WhenPresent,
    /// They must be there.
    Require,
}

impl Question {
    /// The strict question about a TLS client, now.
    pub const CLIENT: Self = Self {
        purpose: Purpose::Client,
        at: NOW,
        revocation: Revocation::WhenPresent,
        accepts_expired_leaf: false,
        accepts_missing_key_ids: false,
        lead: None,
    };
}
