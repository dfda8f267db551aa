//! Revocation lists of the lines, and certificates for provisioning servers.

use crate::{
    error::FactoryError,
    home::Factory,
    input,
    ledger::Revocation,
    name::LineName,
    record::{Reason, Record},
};
use gatehouse_ca::unlock::Unlock;
use gatehouse_pki::{Builtin, Certificate, CertificateList, CrlContent, Facts, Host, Profile, RevocationReason, RevokedCertificate};
use std::{num::NonZeroU64, path::Path};

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

impl Factory {
    /// Signs the line's next revocation list.
    ///
    /// # Errors
    /// The line's key is not here.
    pub fn revocation_list(&mut self, line: &LineName, unlock: &Unlock) -> Result<CertificateList, FactoryError> {
        let issuer = self.books.issuer(line, unlock)?;
        let tally = self.books.ledger.line(line).cloned().unwrap_or_default();
        let number = tally.list_number + 1;
        let this_update = self.now();
        let revoked = tally.revoked.into_iter().map(|(serial, Revocation { reason, at })| RevokedCertificate {
            serial,
            time: at,
            reason: reason.into(),
        });
        let list = issuer.sign_crl(&CrlContent {
            number: NonZeroU64::MIN.saturating_add(tally.list_number),
            this_update,
            next_update: this_update + self.books.settings.crl_validity,
            revoked: revoked.collect(),
        })?;
        // The number is used before the list is seen, so that no two lists have it.
        self.write(vec![Record::Listed { line: line.clone(), number, at: this_update }])?;
        Ok(list)
    }

    /// Signs the certificate of a provisioning server: the only thing that the service root signs.
    ///
    /// # Errors
    /// The request is not good, or the root's key is not here.
    pub fn sign_server(&mut self, request: &Path, hosts: &[Host], unlock: &Unlock) -> Result<Vec<Certificate>, FactoryError> {
        let issuer = self.books.service_issuer(unlock)?;
        let facts = hosts.iter().cloned().fold(Facts::new().organisation(self.books.settings.manufacturer.clone()), Facts::host);
        let approved = Profile::builtin(Builtin::ProvisioningServer).approve(input::request(request)?, &facts, self.now())?;
        let certificate = issuer.issue(approved, self.surroundings.random.as_ref())?;
        let names = hosts.iter().map(ToString::to_string).collect();
        let fingerprint = certificate.fingerprint().into();
        self.write(vec![Record::Server { certificate: certificate.serial().clone(), fingerprint, hosts: names, at: self.now() }])?;
        Ok(vec![certificate, issuer.certificate().clone()])
    }
}
