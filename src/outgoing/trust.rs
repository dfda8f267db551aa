//! Whose certificates are believed: those of the authorities of this system, and of a file where one is named.

use crate::SetupError;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};
use tokio_rustls::TlsConnector;

pub(crate) fn connector(anchors: Option<&Path>) -> Result<TlsConnector, SetupError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reason = found.errors.first().map_or_else(|| "nothing was found".to_owned(), ToString::to_string);
        tracing::warn!(reason, "this system has no list of authorities; no server of the public web is believed");
    }
    if let Some(path) = anchors {
        let unusable = |reason: String| SetupError::Anchors { path: path.display().to_string(), reason };
        let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?.collect();
        let all = all.map_err(|error| unusable(error.to_string()))?;
        if all.is_empty() {
            return Err(unusable("there is no certificate in it".to_owned()));
        }
        for certificate in all {
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
