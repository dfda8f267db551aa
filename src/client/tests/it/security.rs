//! What a client believes and presents.

use gatehouse_client::{Expected, Security, Settings, Trust};
use gatehouse_net::Credentials;
use gatehouse_pki::{Anchors, Certificate};
use gatehouse_types::Secret;
use std::{fs, path::Path, sync::Arc};

/// Believes who has a certificate below this one.
pub(crate) fn believing(ca: &Path, name: Expected) -> Security {
    let certificates = Certificate::chain_from_pem(&fs::read(ca).expect("read")).expect("certificates");
    let anchors = certificates.into_iter().fold(Anchors::builder(), |all, one| all.anchor(one)).build().expect("anchors");
    Security { trust: Trust::Anchors { anchors: Arc::new(anchors), name }, credentials: None }
}

/// And presents this itself.
pub(crate) fn presenting(security: Security, [cert, key]: &[std::path::PathBuf; 2]) -> Security {
    let key = Secret::new(fs::read(key).expect("read"));
    let credentials = Credentials::from_pem(&fs::read(cert).expect("read"), &key).expect("credentials");
    Security { credentials: Some(Arc::new(credentials)), ..security }
}

pub(crate) fn settings(security: Security) -> Settings {
    Settings { security, ..Settings::default() }
}
