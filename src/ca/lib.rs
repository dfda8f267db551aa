//! Custody of certificate authorities.
//!
//! The `pki` crate knows what a good certificate is; this crate keeps the keys that sign them and remembers what they
//! signed. The composition root opens the [`Keyring`] after [`process::harden`], then the [`Authority`] over it; rooms
//! order certificates from [`Authority::issue`], report first use, and ask for a certificate's [`Standing`]. The command
//! line does the same when no server runs.
//!
//! - *Keys* lie in the store, each sealed under a data key of its own; the data keys are wrapped under the
//!   key-encryption key, which is kept elsewhere ([`unlock`]) and never in a backup. A key may also live in a token.
//! - The *hierarchy* is the instance's root (which may be kept offline), the service authority for our own listeners, and a
//!   device authority for each organisation. A roll-over makes a new generation and trusts the old one beside it.
//! - A certificate is *recorded before it leaves*. It is current, superseded by its renewal, revoked or expired.
//! - *Revocation lists* are made within a second of a revocation; their numbers only go up.
//! - A *switch* stops issuing, by hand or because the clock cannot be trusted.
//!
//! What it does not do: it talks to no peer, terminates no TLS and decides no profile. `docs/ca.md` tells operators the
//! rest.

mod authority;
mod ceremony;
mod clock_guard;
mod codec;
mod crl;
mod error;
mod event;
mod forget;
mod hierarchy;
mod issue;
mod journal;
mod keyring;
mod listeners;
mod metrics;
mod offline;
pub mod process;
pub mod recipient;
mod record;
mod restore;
mod revoke;
mod rsa_key;
mod seal;
pub mod sealed_stream;
mod seat;
mod switch;
pub mod unlock;
mod upkeep;

pub use authority::{Authority, Settings};
pub use ceremony::{CeremonyError, InstancePlan, KeyHome, RootCustody};
pub use clock_guard::{ClockFault, ClockTolerance, Moment};
pub use crl::{CRL_BYTES_MAX, Crl, CrlError};
pub use error::StateError;
pub use event::{Fact, HaltCause, STREAM, stream};
pub use hierarchy::{CaInfo, CaState, Issuing};
pub use issue::{IssueError, Issued, Order, Renewal};
pub use journal::{JOURNAL_MAX, JournalError};
pub use keyring::{KeyInfo, Keyring, KeyringError, NewKey, Tokens};
pub use listeners::{ListenerCertificate, Presented, ServerRole};
pub use metrics::{METRICS, Told};
pub use record::{CertificateId, CertificateIdError, Reason, Record, Standing, serial_from_text};
pub use revoke::RevokeError;
pub use seal::{LockError, StretchCost};
pub use seat::{CaId, Seat, SeatError};
pub use switch::Issuance;

/// What this crate keeps in the store, for [`gatehouse_store::Store::prepare`].
pub const SCHEMA: gatehouse_store::Schema = gatehouse_store::Schema {
    name: "ca",
    tables: &[
        keyring::KEYRING,
        listeners::LISTENERS,
        authority::HIERARCHY,
        authority::RECORDS,
        authority::INDEX,
        authority::REVOKED,
        authority::CRLS,
        authority::STATE,
    ],
    migrations: &[],
};
