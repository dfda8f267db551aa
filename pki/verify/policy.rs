//! What is asked of a chain.

use crate::extensions::ExtendedKeyUsage;

/// What is asked of a chain beside leading to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What the leaf is presented for.
    pub purpose: Purpose,
    /// What becomes of a leaf that has expired.
    pub expired_leaf: ExpiredLeaf,
    /// Whether revocation lists must be there.
    pub revocation: Revocation,
    /// Whether key identifiers must be there.
    pub key_identifiers: KeyIdentifiers,
}

/// What a leaf is presented for; it must name all of the extended key usages that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The client's side of TLS, such as a device with its manufacturer certificate.
    Client,
    /// The server's side of TLS.
    Server,
    /// An OCF device with its identity certificate, as a client.
    OcfDevice,
    /// A signed message (CMS), such as a manufacturer's manifest.
    SignedMessage,
}

/// What becomes of a leaf that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpiredLeaf {
    /// It is refused like any other certificate that has expired.
    Refuse,
    /// It is accepted, for manufacturer certificates that outlive their date in a warehouse.
    ///
    /// The CAs of the chain are then judged at the middle of the leaf's own validity, or now when that is earlier:
    /// they must have been good when the leaf was, and a leaf without an end does not ask them to live for ever.
    /// A leaf whose validity has not begun is still refused, and revocation is still judged now.
    ///
    /// The price: whoever has the key of a CA that has expired can date a leaf back. Block that key when it may be known.
    Accept,
}

/// Whether revocation lists must be there. A list is always judged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// No list is looked at.
    Ignore,
    /// Where there are lists of a certificate's issuer, a good and current one of them must not name it.
    WhenPresent,
    /// For each certificate below the anchor there must be such a list.
    Require,
}

/// Whether key identifiers must be there. A wrong one is always refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyIdentifiers {
    /// As RFC 5280 §4.2.1.1 and §4.2.1.2 tell every conforming CA.
    Require,
    /// For foreign chains whose maker left them out.
    WhenPresent,
}

impl Policy {
    /// The strict choice of everything, with revocation judged where there are lists.
    pub const fn new(purpose: Purpose) -> Self {
        Self { purpose, expired_leaf: ExpiredLeaf::Refuse, revocation: Revocation::WhenPresent, key_identifiers: KeyIdentifiers::Require }
    }
}

impl Purpose {
    /// The extended key usages that a leaf must name.
    pub(crate) const fn usages(self) -> &'static [ExtendedKeyUsage] {
        match self {
            Self::Client => &[ExtendedKeyUsage::ClientAuth],
            Self::Server => &[ExtendedKeyUsage::ServerAuth],
            Self::SignedMessage => &[ExtendedKeyUsage::EmailProtection],
            Self::OcfDevice => &[ExtendedKeyUsage::ClientAuth, ExtendedKeyUsage::OcfIdentity],
        }
    }
}
