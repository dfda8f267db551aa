//! The rules about certificates: who may get one, what it says, and whether one that is shown is good.
//!
//! The crate has two halves. The *issuing* half reads a request and checks that the requester holds the key,
//! lets a profile decide what the certificate says, examines the finished bytes once more, and only then asks a
//! signer for a signature. The *judging* half reads foreign certificates and revocation lists strictly and decides whether
//! a presented chain leads to an anchor. Both use one table of what keys and signatures may be ([`Role`]).
//!
//! The device, factory and custody parts of the workspace call it; the doors hand it the chains that peers show.
//! It does no I/O, reads no clock and knows no runtime: times and randomness are arguments (the one exception is
//! `ring`, which draws the nonces of its signatures and new keys from the operating system itself). It keeps no
//! records and no private key at rest; that is custody's task.
//!
//! Every byte that a peer supplies is bounded before it is read, and a refusal names the rule that failed.
//!
//! # From a request to a certificate
//!
//! Each step takes what only the step before can make.
//!
//! ```
//! use gatehouse_pki::*;
//! # use gatehouse_types::{Random, UnixTime};
//! fn identity(csr: &[u8], facts: &Facts, issuer: &Issuer, random: &dyn Random, now: UnixTime) -> Option<Certificate> {
//!     let csr: Csr = Csr::from_der(csr).ok()?;              // it was read
//!     let signed: SignedCsr = csr.verify().ok()?;           // its sender has the key
//!     let profile = Profile::builtin(Builtin::OcfIdentity);
//!     let approved: Approved = profile.approve(signed, facts, now).ok()?; // what it says is decided
//!     issuer.issue(approved, random).ok()                   // it was examined and signed
//! }
//! ```
//!
//! None can be left out. The same with a request that was only read:
//!
//! ```compile_fail,E0308
//! # use gatehouse_pki::*;
//! # use gatehouse_types::{Random, UnixTime};
//! fn identity(csr: &[u8], facts: &Facts, issuer: &Issuer, random: &dyn Random, now: UnixTime) -> Option<Certificate> {
//!     let csr: Csr = Csr::from_der(csr).ok()?;
//!     let profile = Profile::builtin(Builtin::OcfIdentity);
//!     let approved: Approved = profile.approve(csr, facts, now).ok()?;
//!     issuer.issue(approved, random).ok()
//! }
//! ```
//!
//! … with a request that no profile approved:
//!
//! ```compile_fail,E0308
//! # use gatehouse_pki::*;
//! # use gatehouse_types::{Random, UnixTime};
//! fn identity(csr: &[u8], facts: &Facts, issuer: &Issuer, random: &dyn Random, now: UnixTime) -> Option<Certificate> {
//!     let csr: Csr = Csr::from_der(csr).ok()?;
//!     let signed: SignedCsr = csr.verify().ok()?;
//!     issuer.issue(signed, random).ok()
//! }
//! ```
//!
//! … with one approval for two certificates:
//!
//! ```compile_fail,E0382
//! # use gatehouse_pki::*;
//! # use gatehouse_types::{Random, UnixTime};
//! fn identities(signed: SignedCsr, profile: &Profile, facts: &Facts, issuer: &Issuer, random: &dyn Random, now: UnixTime) -> Option<Certificate> {
//!     let approved: Approved = profile.approve(signed, facts, now).ok()?;
//!     issuer.issue(approved, random).ok()?;
//!     issuer.issue(approved, random).ok()
//! }
//! ```
//!
//! … or with one that was made by hand:
//!
//! ```compile_fail,E0451
//! # use gatehouse_pki::*;
//! fn claim(key: PublicKey) -> SignedCsr {
//!     SignedCsr { key, claimed_device: None }
//! }
//! ```

mod certificate;
#[cfg(test)]
mod crafted;
mod crl;
mod csr;
pub mod der;
mod distinguished_name;
mod extensions;
mod general_name;
mod issue;
mod key;
mod lint;
mod name;
mod oid;
mod pem;
mod profile;
mod rule;
mod serial;
mod verify;

pub use certificate::{Certificate, CertificateError, MAX_CERTIFICATE, MAX_CHAIN};
pub use crl::{CertificateList, MAX_REVOCATION_LIST, RevocationReason, RevokedCertificate};
pub use csr::{Csr, CsrError, MAX_CSR, SignedCsr};
pub use der::{DerError, MAX_DEPTH};
pub use distinguished_name::{Attribute, DistinguishedName};
pub use extensions::{ExtendedKeyUsage, KeyUsage};
pub use general_name::GeneralName;
pub use issue::{CrlContent, CrlError, EncoderError, IssueError, Issuer, IssuerError};
pub use key::{
    AlgorithmError, BadSignature, Fingerprint, KeyAlgorithm, KeyError, KeyId, MAX_SPKI, NewKey, PrivateKeyError, PublicKey, Role,
    SignatureAlgorithm, Signer, SignerError, SoftwareKey, Use,
};
pub use lint::{Finding, LintRule};
pub use name::{CommonName, CrlAddress, DeviceName, Host, HostName, NameError, OrganisationName, SerialNumber};
pub use profile::{Approved, Builtin, Fact, Facts, Profile, ProfileError, Refusal};
pub use rule::Rule;
pub use serial::{Serial, SerialError};
pub use verify::{
    Anchors, AnchorsBuilder, AnchorsError, Blame, ExpiredLeaf, KeyIdentifiers, MAX_PRESENTED, MAX_PRESENTED_BYTES, MAX_SIGNATURES, Memo,
    Place, Policy, Purpose, Rejection, Revocation, VerifiedChain,
};
