//! Whether a presented chain leads to an anchor (RFC 5280 §6).
//!
//! [`Anchors`] is what is configured: the CAs that are believed, intermediates that peers may leave out,
//! revocation lists and blocked keys. It is built once and shared. [`Anchors::verify`] takes what a peer presented
//! and the time, and answers with a [`VerifiedChain`], which nothing else can make, or with a [`Rejection`] that
//! names the rule, the certificate and whose fault it is.
//!
//! The work is bounded whatever is presented. A path is looked for among names and key identifiers first and judged
//! by every rule that costs nothing; only a path that passed them, down from the anchor, has its signatures
//! checked, and of those no more than [`MAX_SIGNATURES`] in all.
//!
//! Where RFC 5280 leaves a choice, or other programs are more lenient, the strict side is taken:
//! - Every certificate, anchors too, is version 3. An anchor is a CA like any other: its validity, key usage, path
//!   length, name constraints, extended key usages and policy constraints apply. A certificate that is no CA's cannot
//!   be an anchor, so a self-signed leaf is never accepted, not even when it is configured.
//! - An anchor may be an intermediate. Nothing is asked of what is above it, and nobody asks whether an anchor is
//!   revoked: that is what removing it, or blocking its key, is for.
//! - A CA has critical basic constraints, a key usage with certificate signing and a subject key identifier, and what it
//!   issued has an authority key identifier ([`KeyIdentifiers`] relaxes the last two for foreign chains).
//! - A leaf names the extended key usages of its purpose itself; *any* is not enough there, but it is in a CA, whose
//!   extended key usages limit what is below when there are any.
//! - A name constraint of a form that is not judged (other names, X.400, EDI, registered identifiers) makes every
//!   chain through that CA refused. A leaf without DNS alternative names has its common name held against the
//!   constraints where that looks like a host name or an address.
//! - Certificate policies follow RFC 5280 §6.1 with any policy acceptable: they matter when a CA demands one.
//! - A revocation list counts when the key that issued the certificate signed it. Delta lists, indirect lists and
//!   lists for some reasons only are never evidence that a certificate is good, but any of them can take one back.
//!
//! Connections live longer than a verdict: [`Anchors::recheck`] asks about a chain that was accepted whether it still is, and
//! checks no signatures. Who judges many chains keeps a [`Memo`] of the intermediates whose signatures were good before.
//!
//! Whose name it is remains for the caller: nothing here compares a host with a certificate.

mod anchors;
mod budget;
mod constraints;
mod memo;
mod outcome;
mod path;
mod policies;
mod policy;
mod recheck;
mod revocation;
mod search;
#[cfg(test)]
mod tests;

pub use anchors::{Anchors, AnchorsBuilder, AnchorsError};
pub use budget::MAX_SIGNATURES;
pub use memo::Memo;
pub use outcome::{Blame, Place, Rejection, VerifiedChain};
pub use policy::{ExpiredLeaf, KeyIdentifiers, Policy, Purpose, Revocation};
pub use search::{MAX_PRESENTED, MAX_PRESENTED_BYTES};
