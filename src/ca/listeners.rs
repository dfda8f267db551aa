//! The certificates that our own listeners show.
//!
//! A listener names what it needs; the service authority signs it, with a new key each time, and renews it when two
//! thirds of its life have passed, when what the listener needs has changed, when it was revoked, or when its
//! authority was rolled over. What hands it to the TLS engine is the composition root's business.

use crate::{
    authority::Authority,
    codec::{self, Bytes},
    error::StateError,
    hierarchy::CaState,
    issue::{IssueError, Renewal},
    record::CertificateId,
    seat::{CaId, Seat},
};
use gatehouse_pki::{Builtin, Certificate, Facts, Fingerprint, Host, KeyAlgorithm, Profile, SignedCsr, Signer};
use gatehouse_store::{Key, Table};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

pub(crate) const LISTENERS: Table = Table::new("ca-listeners");

/// What a listener needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerCertificate {
    /// The listener's name in the configuration.
    pub listener: String,
    /// What sort of server it is.
    pub role: ServerRole,
    /// The hosts that it is reached by; the first becomes the common name where that is not the hub's.
    pub hosts: Vec<Host>,
}

/// A sort of server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// The API and the console.
    Api,
    /// A provisioning server.
    Provisioning,
    /// A hub with this id.
    Hub(gatehouse_pki::DeviceName),
}

/// What a listener presents.
#[derive(Clone)]
pub struct Presented {
    /// Its own certificate first, then the intermediates; without the root.
    pub chain: Vec<Certificate>,
    /// Signs with the key of the first.
    pub signer: Arc<dyn Signer>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    key: Bytes,
    certificate: CertificateId,
    authority: CaId,
    /// What was asked for when it was made.
    wanted: String,
    chain: Vec<Bytes>,
}

impl Authority {
    /// The certificate of a listener: the present one while it serves, else a new one.
    ///
    /// # Errors
    /// When a new one is needed and issuing is halted or fails.
    pub async fn listener_certificate(&self, wanted: &ListenerCertificate) -> Result<Presented, IssueError> {
        let row_name = Vec::from(Key::new().text(&wanted.listener));
        let before = self.load::<Row>(LISTENERS, &row_name).await?;
        let due = match &before {
            Some((row, _)) => self.is_due(row, wanted).await?,
            None => true,
        };
        if let (Some((row, _)), false) = (&before, due) {
            return self.present(row).await;
        }
        let renewed = self.renew(wanted, &row_name, before.clone()).await;
        crate::metrics::ordered(&wanted.role.profile(), &renewed);
        match renewed {
            Ok(presented) => Ok(presented),
            // Halted or not: what is still valid goes on being shown.
            Err(error) => match &before {
                Some((row, _)) if self.still_serves(row).await? => {
                    tracing::error!(listener = wanted.listener, %error, "the certificate could not be renewed; the old one is shown on");
                    self.present(row).await
                }
                _ => Err(error),
            },
        }
    }

    async fn renew(
        &self,
        wanted: &ListenerCertificate,
        row_name: &[u8],
        before: Option<(Row, gatehouse_store::Entry)>,
    ) -> Result<Presented, IssueError> {
        let (now, _) = self.may_issue().await?;
        let purpose = format!("listener/{}", wanted.listener);
        let key = self.0.keyring.generate(&purpose, KeyAlgorithm::P256, now).map_err(StateError::from)?;
        let request = SignedCsr::for_key(&*key.signer)
            .map_err(|error| IssueError::CannotSign { authority: CaId::new(Seat::Service, 0), reason: error.to_string() })?;
        let profile = wanted.role.profile();
        let issued = self.sign_and_record(Seat::Service, &profile, request, wanted.facts(), Renewal::Supersede, now).await?;
        let (_, above) = issued.chain.split_last().expect("an authority has a chain");
        let chain: Vec<Certificate> = std::iter::once(issued.certificate).chain(above.iter().cloned()).collect();
        let row = Row {
            key: key.signer.public_key().fingerprint().as_bytes().to_vec().into(),
            certificate: issued.id,
            authority: issued.authority,
            wanted: wanted.text(),
            chain: chain.iter().map(|certificate| certificate.der().to_vec().into()).collect(),
        };
        let entry = before.as_ref().map(|(_, entry)| entry);
        let mut batch = key.batch.require_unchanged(LISTENERS, row_name, entry).put(LISTENERS, row_name, codec::encode(&row));
        if let Some((old, _)) = &before {
            // Connections that use the old key hold it in memory until they end.
            batch = batch.and(self.0.keyring.remove(&old.fingerprint()?));
        }
        match self.commit(batch, now, Vec::new()).await? {
            Some(_) => Ok(Presented { chain, signer: key.signer }),
            // Another node renewed it at the same time; its certificate is as good.
            None => match self.load::<Row>(LISTENERS, row_name).await? {
                Some((row, _)) => self.present(&row).await,
                None => Err(StateError::Contention.into()),
            },
        }
    }

    async fn present(&self, row: &Row) -> Result<Presented, IssueError> {
        let signer = self.0.keyring.signer(&row.fingerprint()?).await.map_err(StateError::from)?;
        Ok(Presented { chain: row.certificates()?, signer })
    }

    async fn is_due(&self, row: &Row, wanted: &ListenerCertificate) -> Result<bool, StateError> {
        if row.wanted != wanted.text() || !self.still_serves(row).await? {
            return Ok(true);
        }
        let hierarchy = self.hierarchy();
        let active = hierarchy.find(row.authority).is_some_and(|ca| ca.row.state == CaState::Active);
        let own = row.certificates()?.into_iter().next();
        let old = own.is_none_or(|own| {
            let life = own.not_after().since(own.not_before());
            self.now() >= own.not_before() + life / 3 * 2
        });
        Ok(old || !active)
    }

    /// Whether it is still good to show: not expired and not revoked.
    async fn still_serves(&self, row: &Row) -> Result<bool, StateError> {
        Ok(self.standing(&row.certificate).await?.is_some_and(|standing| standing.is_good()))
    }
}

impl ListenerCertificate {
    fn facts(&self) -> Facts {
        let facts = self.hosts.iter().cloned().fold(Facts::new(), Facts::host);
        match &self.role {
            ServerRole::Hub(id) => facts.hub(*id),
            ServerRole::Api | ServerRole::Provisioning => facts,
        }
    }

    /// Tells one need from another, as the row remembers it.
    fn text(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        let role = match &self.role {
            ServerRole::Api => "api".to_owned(),
            ServerRole::Provisioning => "provisioning".to_owned(),
            ServerRole::Hub(id) => format!("hub {id}"),
        };
        format!("{role} {}", hosts.join(" "))
    }
}

impl ServerRole {
    fn profile(&self) -> Profile {
        Profile::builtin(match self {
            Self::Api => Builtin::ApiServer,
            Self::Provisioning => Builtin::ProvisioningServer,
            Self::Hub(_) => Builtin::HubServer,
        })
    }
}

impl Row {
    fn fingerprint(&self) -> Result<Fingerprint, StateError> {
        let bytes: [u8; Fingerprint::LEN] = (*self.key).try_into().map_err(|_| StateError::Damaged("a listener's key".to_owned()))?;
        Ok(bytes.into())
    }

    fn certificates(&self) -> Result<Vec<Certificate>, StateError> {
        let read = |der: &Bytes| Certificate::from_der(der).map_err(|error| StateError::Damaged(error.to_string()));
        self.chain.iter().map(read).collect()
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Presented({:?})", self.chain.first().map(|own| own.subject().to_string()))
    }
}
