//! Writing a request of our own: for a root that is kept elsewhere, and for a station that waits for its certificate.

use super::Csr;
use crate::{
    der::{tag, write},
    key::{Signer, SignerError},
    oid::attribute::{COMMON_NAME, ORGANISATION},
    pem,
};

impl Csr {
    /// A request for the signer's key, in PEM. It asks for a name and nothing else: what the certificate may do is the
    /// decision of whoever signs it.
    ///
    /// # Errors
    /// The signer fails.
    pub fn write_pem(organisation: Option<&str>, common_name: &str, signer: &dyn Signer) -> Result<String, SignerError> {
        let organisation = organisation.map(|name| relative_name(ORGANISATION, name)).unwrap_or_default();
        let subject = write::sequence(&[&organisation, &relative_name(COMMON_NAME, common_name)]);
        let no_attributes = write::context(0, &[]);
        let info = write::sequence(&[&write::small(0), &subject, signer.public_key().spki_der(), &no_attributes]);
        let signature = signer.sign(&info)?;
        let request = write::sequence(&[&info, signer.signature_algorithm().identifier_der(), &write::bits(&signature)]);
        Ok(pem::encode(pem::CERTIFICATE_REQUEST, &request))
    }
}

fn relative_name(kind: &[u8], text: &str) -> Vec<u8> {
    let kind = write::element(tag::OID, &[kind]);
    write::set(&[&write::sequence(&[&kind, &write::element(tag::UTF8_STRING, &[text.as_bytes()])])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyAlgorithm, SoftwareKey};

    #[test]
    fn what_is_written_is_read_and_shows_that_the_key_is_there() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
            let key = SoftwareKey::generate(algorithm).expect("issued with");
            for (organisation, subject) in [(None, "CN=line-1"), (Some("Beispiel GmbH"), "O=Beispiel GmbH, CN=line-1")] {
                let request = Csr::write_pem(organisation, "line-1", &key).expect("software keys sign");
                let request = Csr::from_pem(request.as_bytes()).expect("a request");
                assert_eq!(request.subject.to_string(), subject);
                assert_eq!(request.verify().expect("signed").key(), key.public_key());
            }
        }
    }
}
