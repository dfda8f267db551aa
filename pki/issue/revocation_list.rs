//! Building revocation lists (RFC 5280 §5).
//!
//! One list for each issuer, complete and without a scope of its own: whoever has it knows all that there is to know.
//! Delta lists, indirect lists and lists for parts of the certificates are not made; no device reads them.

use super::{
    Issuer,
    encode::{self, EncoderError},
};
use crate::{
    certificate::CertificateError,
    crl::{CertificateList, RevocationReason, RevokedCertificate},
    der::write,
    key::SignerError,
    serial::Serial,
};
use gatehouse_types::UnixTime;
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use std::num::NonZeroU64;

/// What a revocation list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlContent {
    /// Its number. Whoever keeps the lists counts it up with each of them, for each issuer.
    pub number: NonZeroU64,
    /// When it is made.
    pub this_update: UnixTime,
    /// When the next one is there at the latest.
    pub next_update: UnixTime,
    /// The revoked certificates, in any order, each once.
    pub revoked: Vec<RevokedCertificate>,
}

/// A revocation list that is not made.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// It would end before it begins.
    #[error("a revocation list's next update, {next_update}, comes after it is made, {this_update} (RFC 5280 §5.1.2.5)")]
    Dates {
        /// When it is made.
        this_update: UnixTime,
        /// When the next one is due.
        next_update: UnixTime,
    },
    /// It would be made outside of the issuer's own life.
    #[error("{issuer} is not valid at {this_update}, so that its revocation list would say nothing")]
    IssuerNotValid {
        /// The issuing CA.
        issuer: String,
        /// When the list would be made.
        this_update: UnixTime,
    },
    /// One certificate twice, perhaps with two reasons.
    #[error("the certificate {0} is listed twice; which entry counts would be anybody's guess")]
    Duplicate(Serial),
    /// A certificate that is revoked later than the list is made.
    #[error("the certificate {serial} is revoked {time}, which is after the list is made; list it in a later one")]
    Later {
        /// Which one.
        serial: Serial,
        /// When it is revoked.
        time: UnixTime,
    },
    /// A reason that is not given here.
    #[error(
        "the certificate {serial} cannot be listed as {reason:?}: what is revoked here stays revoked, and nobody is an attribute authority"
    )]
    Reason {
        /// Which one.
        serial: Serial,
        /// The reason.
        reason: RevocationReason,
    },
    /// The list that was about to be signed is not the one that was meant.
    #[error("the revocation list was not signed, because it would not say what it should: {0}")]
    Lint(&'static str),
    /// The list that was about to be signed is not one that is accepted.
    #[error("the revocation list was not signed, because it would not be accepted")]
    NotAccepted(#[from] CertificateError),
    /// The signer did not sign.
    #[error("the revocation list could not be signed")]
    Signer(#[from] SignerError),
    /// The encoder did not write it.
    #[error("the revocation list could not be written")]
    Encoder(#[from] EncoderError),
}

impl Issuer {
    /// Makes and signs a revocation list. Like a certificate it is read back before the key signs it.
    pub fn sign_crl(&self, content: &CrlContent) -> Result<CertificateList, CrlError> {
        let content = self.checked(content)?;
        let own = self.certificate();
        let key_id = own.subject_key_id().unwrap_or_default();
        let parameters = CertificateRevocationListParams {
            this_update: content.this_update.to_date_time(),
            next_update: content.next_update.to_date_time(),
            crl_number: SerialNumber::from(content.number.get()),
            issuing_distribution_point: None,
            revoked_certs: content.revoked.iter().map(entry).collect(),
            // The identifier in the CA's certificate, whichever way it was made.
            key_identifier_method: KeyIdMethod::PreSpecified(key_id.to_vec()),
        };
        let sign = |to_be_signed: &[u8]| -> Result<Vec<u8>, CrlError> {
            self.examine(to_be_signed, &content)?;
            Ok(self.signer().sign(to_be_signed)?)
        };
        let public = encode::PublicInfo::new(self.signer().public_key())?;
        let encoded = encode::tapped(public, &sign, |tap| parameters.signed_by(&rcgen::Issuer::from_params(self.written(), tap)))?;
        Ok(CertificateList::from_der(encoded.der())?)
    }

    /// The content with its entries sorted, if it keeps the rules.
    fn checked(&self, content: &CrlContent) -> Result<CrlContent, CrlError> {
        let (this_update, next_update) = (whole_seconds(content.this_update), whole_seconds(content.next_update));
        if next_update <= this_update {
            return Err(CrlError::Dates { this_update, next_update });
        }
        let own = self.certificate();
        if !(own.not_before()..=own.not_after()).contains(&this_update) {
            return Err(CrlError::IssuerNotValid { issuer: own.subject().to_string(), this_update });
        }
        let mut revoked = content.revoked.clone();
        revoked.sort_by(|one, other| one.serial.cmp(&other.serial));
        if let Some(pair) = revoked.windows(2).find(|pair| pair[0].serial == pair[1].serial) {
            return Err(CrlError::Duplicate(pair[0].serial.clone()));
        }
        for entry in &mut revoked {
            entry.time = whole_seconds(entry.time);
            if entry.time > this_update {
                return Err(CrlError::Later { serial: entry.serial.clone(), time: entry.time });
            }
            if code(entry.reason).is_none() {
                return Err(CrlError::Reason { serial: entry.serial.clone(), reason: entry.reason });
            }
        }
        Ok(CrlContent { number: content.number, this_update, next_update, revoked })
    }

    /// Reads the finished bytes back, as whoever fetches the list will.
    fn examine(&self, to_be_signed: &[u8], content: &CrlContent) -> Result<(), CrlError> {
        let own = self.certificate();
        let list = CertificateList::from_der(&write::signed(to_be_signed, self.signer().signature_algorithm().identifier_der(), &[]))?;
        let number = list.number().map(Serial::as_bytes).unwrap_or_default();
        let key_id = list.authority_key_id.as_ref().and_then(|authority| authority.key_id.as_deref());
        let wrong = if list.issuer() != own.subject() {
            "its issuer is another one"
        } else if key_id != own.subject_key_id() {
            "it points at another key"
        } else if (list.this_update(), list.next_update()) != (content.this_update, content.next_update) {
            "its dates are others"
        } else if number != significant(&content.number.get().to_be_bytes()) {
            "its number is another one"
        } else if list.entries() != content.revoked {
            "its entries are others"
        } else {
            return Ok(());
        };
        Err(CrlError::Lint(wrong))
    }
}

fn entry(revoked: &RevokedCertificate) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(revoked.serial.as_bytes()),
        revocation_time: revoked.time.to_date_time(),
        reason_code: code(revoked.reason),
        invalidity_date: None,
    }
}

/// The encoder's word for a reason; none for those that are not given here.
fn code(reason: RevocationReason) -> Option<rcgen::RevocationReason> {
    match reason {
        RevocationReason::Unspecified => Some(rcgen::RevocationReason::Unspecified),
        RevocationReason::KeyCompromise => Some(rcgen::RevocationReason::KeyCompromise),
        RevocationReason::CaCompromise => Some(rcgen::RevocationReason::CaCompromise),
        RevocationReason::AffiliationChanged => Some(rcgen::RevocationReason::AffiliationChanged),
        RevocationReason::Superseded => Some(rcgen::RevocationReason::Superseded),
        RevocationReason::CessationOfOperation => Some(rcgen::RevocationReason::CessationOfOperation),
        RevocationReason::PrivilegeWithdrawn => Some(rcgen::RevocationReason::PrivilegeWithdrawn),
        RevocationReason::CertificateHold | RevocationReason::AaCompromise => None,
    }
}

/// The bytes from the first that is not zero.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// Lists hold no fractions of seconds.
fn whole_seconds(time: UnixTime) -> UnixTime {
    UnixTime::from_secs(time.secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::tests::{NOW, below, root};
    use crate::profile::Builtin;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);

    fn revoked(serial: &str, reason: RevocationReason) -> RevokedCertificate {
        RevokedCertificate { serial: serial.parse().expect("hexadecimal"), time: NOW - DAY, reason }
    }

    fn content(revoked: Vec<RevokedCertificate>) -> CrlContent {
        CrlContent { number: NonZeroU64::new(7).expect("not zero"), this_update: NOW, next_update: NOW + DAY, revoked }
    }

    #[test]
    fn a_list_says_what_it_should_and_is_signed_by_its_issuer() {
        let issuer = below(&root(Builtin::CustomerRoot), Builtin::CustomerIntermediate);
        let reasons = [
            RevocationReason::Unspecified,
            RevocationReason::KeyCompromise,
            RevocationReason::CaCompromise,
            RevocationReason::AffiliationChanged,
            RevocationReason::Superseded,
            RevocationReason::CessationOfOperation,
            RevocationReason::PrivilegeWithdrawn,
        ];
        // Serials of one to seven bytes, the highest bit set in each, in falling order.
        let entries: Vec<_> = reasons.iter().enumerate().rev().map(|(at, reason)| revoked(&"f1".repeat(at + 1), *reason)).collect();
        // The issuer's life begins 65 minutes before now.
        let list = issuer.sign_crl(&content(entries.clone())).expect("a list");
        assert!(list.is_signed_by(issuer.certificate().public_key()));
        assert_eq!(list.number().map(ToString::to_string).as_deref(), Some("07"));
        assert_eq!((list.this_update(), list.next_update()), (NOW, NOW + DAY));
        assert_eq!(list.entries().len(), reasons.len());
        for entry in &entries {
            assert_eq!(list.find(&entry.serial), Some(entry));
        }
    }

    #[test]
    fn rfc_5280_section_5_1_2_6_an_empty_list_is_a_list() {
        let list = root(Builtin::CustomerRoot).sign_crl(&content(vec![])).expect("a list");
        assert_eq!(list.entries(), []);
    }

    #[test]
    fn numbers_of_every_size_are_written() {
        let issuer = root(Builtin::CustomerRoot);
        for number in [1, 127, 128, 255, 256, u64::MAX] {
            let list =
                issuer.sign_crl(&CrlContent { number: NonZeroU64::new(number).expect("not zero"), ..content(vec![]) }).expect("a list");
            assert_eq!(u64::from_str_radix(&list.number().expect("a number").to_string(), 16), Ok(number));
        }
    }

    #[test]
    fn what_would_mislead_is_refused() {
        let issuer = root(Builtin::CustomerRoot);
        let refused = |content: &CrlContent| issuer.sign_crl(content).map(drop).expect_err("refused");
        let fine = revoked("11", RevocationReason::Superseded);
        assert!(issuer.sign_crl(&content(vec![fine.clone()])).is_ok());
        let twice =
            content(vec![fine.clone(), revoked("22", RevocationReason::Unspecified), revoked("11", RevocationReason::KeyCompromise)]);
        assert!(matches!(refused(&twice), CrlError::Duplicate(_)));
        let later = content(vec![RevokedCertificate { time: NOW + Duration::from_secs(1), ..fine.clone() }]);
        assert!(matches!(refused(&later), CrlError::Later { .. }));
        for reason in [RevocationReason::CertificateHold, RevocationReason::AaCompromise] {
            assert!(matches!(refused(&content(vec![revoked("11", reason)])), CrlError::Reason { .. }));
        }
        let ends_at_once = CrlContent { next_update: NOW, ..content(vec![]) };
        assert!(matches!(refused(&ends_at_once), CrlError::Dates { .. }));
        let before_the_issuer = CrlContent { this_update: NOW - DAY, ..content(vec![]) };
        assert!(matches!(refused(&before_the_issuer), CrlError::IssuerNotValid { .. }));
    }
}
