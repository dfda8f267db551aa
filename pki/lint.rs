//! The pre-issuance lint: a last look at the finished bytes before a key signs them.
//!
//! A signature cannot be taken back, so what is about to be signed is read once more, by code that shares nothing with the
//! encoder, and held to RFC 5280, to the rules of its profile (IEEE 802.1AR, OCF, TLS servers), and to what was
//! approved, byte by byte. A finding stops the signature; it means that a profile, an option or the encoder does
//! something that nobody thought of. The judging half's reader has the last word.

mod content;
mod finding;
mod purpose;
mod tbs;
#[cfg(test)]
mod tests;

pub use finding::{Finding, LintRule};

use crate::{
    certificate::{Certificate, MAX_CERTIFICATE},
    der::{self, write},
    issue::IssueError,
    key::{SignatureAlgorithm, Signer},
    profile::Approved,
    serial::Serial,
};
use finding::Findings;
use gatehouse_types::UnixTime;
use tbs::Tbs;

/// What the bytes must say.
pub(crate) struct Expected<'a> {
    pub(crate) approved: &'a Approved,
    pub(crate) serial: Serial,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) issuing: IssuingCa<'a>,
}

/// Who is going to sign.
pub(crate) struct IssuingCa<'a> {
    /// The CA's name in DER; for a root, whose name is its own subject, nothing.
    pub(crate) name: &'a [u8],
    pub(crate) key_id: &'a [u8],
    pub(crate) signature_algorithm: SignatureAlgorithm,
    /// When every CA above the certificate is valid; for a root always.
    pub(crate) window: Option<(UnixTime, UnixTime)>,
    /// How many CAs may follow below the signing one.
    pub(crate) cas_below: Option<u32>,
}

/// A certificate that only lacks its signature, and whose to-be-signed bytes break no rule. Only [`examine`] makes one.
#[derive(Debug)]
pub(crate) struct Examined(Certificate);

impl Examined {
    /// Has a key sign exactly the bytes that were examined. What was read from them then is what the certificate says; it is
    /// not read again.
    pub(crate) fn sign(self, signer: &dyn Signer) -> Result<Certificate, IssueError> {
        let signature = signer.sign(self.0.to_be_signed())?;
        Ok(self.0.with_signature(&signature)?)
    }
}

/// Examines to-be-signed bytes; refused, they come with every rule that they break.
pub(crate) fn examine(to_be_signed: &[u8], expected: &Expected<'_>) -> Result<Examined, Vec<Finding>> {
    let mut findings = Findings::default();
    let without_signature = write::signed(to_be_signed, expected.issuing.signature_algorithm.identifier_der(), &[]);
    if let Err(error) = der::check(&without_signature, MAX_CERTIFICATE) {
        findings.add(LintRule::Encoding, error.to_string());
        return Err(findings.into_vec());
    }
    match Tbs::read(to_be_signed) {
        Ok(tbs) => {
            content::examine(&tbs, expected, &mut findings);
            purpose::examine(&tbs, expected, &mut findings);
        }
        Err(error) => findings.add(LintRule::Encoding, error.to_string()),
    }
    match Certificate::from_checked(&without_signature) {
        Ok(certificate) if findings.is_empty() => return Ok(Examined(certificate)),
        Ok(_) => {}
        Err(error) => findings.add(LintRule::NotAccepted, error.to_string()),
    }
    Err(findings.into_vec())
}

/// The issuer's name in to-be-signed bytes.
pub(crate) fn issuer_of(to_be_signed: &[u8]) -> Option<&[u8]> {
    Tbs::read(to_be_signed).ok().map(|tbs| tbs.issuer)
}
