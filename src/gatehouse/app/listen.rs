//! Listeners: what stands in the configuration, and the bound sockets that come of it.

use super::custody::{IssuedCertificates, IssuedError};
use gatehouse_base::{
    Clock,
    config::{Choice, Configure, Section},
};
use gatehouse_ca::{Authority, ListenerCertificate, ServerRole};
use gatehouse_net::{BindError, CertificateSource, CredentialsError, FileCertificates, FileClients, FromFiles, Listener, Network, Tls};
use gatehouse_pki::Host;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

const ALPN_HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The section `[listener.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address and port. Port 0 lets the system choose one, which `serve` reports. Required.
    pub address: SocketAddr,
    /// What is served here: `https`, `http` or `metrics`. Required.
    pub role: Role,
    /// The certificate that an `https` listener presents. Without it the service authority issues one for the external
    /// address and renews it (`gatehouse ca init` makes that authority).
    pub certificate: Option<CertificateFiles>,
    /// Who may come in to an `https` listener. Without it everybody may, and no client is asked for a certificate.
    pub clients: Option<ClientFiles>,
    /// Networks of balancers, such as `["10.0.0.0/8"]`, whose connections begin with the PROXY protocol's header (version 1 or 2). It
    /// says whose connection it is, and that address is counted and logged. Default none: nobody's header is believed.
    pub proxy_from: Vec<Network>,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything that speaks HTTP, encrypted.
    Https,
    /// Health, certificates and revocation lists in the clear: they are signed, and whoever checks a certificate must
    /// be able to fetch them without one.
    Http,
    /// Metrics and health for the operator's own monitoring.
    Metrics,
}

impl Choice for Role {
    const ALL: &'static [(&'static str, Self)] = &[("https", Self::Https), ("http", Self::Http), ("metrics", Self::Metrics)];
}

impl Role {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

/// A chain and a key that somebody else puts into files. They are read again when they change and on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the server's own certificate first: key `certificate`.
    pub chain: PathBuf,
    /// Its private key in PEM: key `key`.
    pub key: PathBuf,
}

/// Anchors and revocation lists for clients, in files that are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The anchors in PEM: key `client_anchors`. Only clients whose chain leads to one of them come in.
    pub anchors: PathBuf,
    /// Revocation lists in PEM, a file each: key `client_crls`. When there are any, each certificate of a client's
    /// chain must be covered by a current one.
    pub revocation_lists: Vec<PathBuf>,
}

impl Config {
    /// What is listened on when no listener is configured.
    pub fn defaults() -> BTreeMap<String, Self> {
        let loopback = |port, role| Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            role,
            certificate: None,
            clients: None,
            proxy_from: Vec::new(),
        };
        [("public".to_owned(), loopback(8080, Role::Http)), ("metrics".to_owned(), loopback(9464, Role::Metrics))].into()
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let address: Option<SocketAddr> = from.required("address");
        let role = from.required("role");
        let chain = from.path("certificate");
        let key = from.path("key");
        let certificate = match (chain, key) {
            (Some(chain), Some(key)) => Some(CertificateFiles { chain, key }),
            (None, None) => None,
            (Some(_), None) => {
                from.refuse("key", "is missing; `certificate` needs the file of its private key");
                None
            }
            (None, Some(_)) => {
                from.refuse("certificate", "is missing; `key` needs the file of its certificate chain");
                None
            }
        };
        let anchors = from.path("client_anchors");
        let revocation_lists = from.paths("client_crls");
        if anchors.is_none() && !revocation_lists.is_empty() {
            from.refuse("client_crls", "is not used without `client_anchors`");
        }
        let clients = anchors.map(|anchors| ClientFiles { anchors, revocation_lists });
        let proxy_from = from.or("proxy_from", Vec::new());
        let (address, role) = (address?, role?);
        match role {
            Role::Http | Role::Metrics if certificate.is_some() => {
                from.refuse("certificate", "is not used here: only an https listener presents one");
            }
            Role::Http | Role::Metrics if clients.is_some() => {
                from.refuse("client_anchors", "is not used here: only an https listener sees a client's certificate");
            }
            _ => {}
        }
        remark_on_reach(from, address, role);
        Some(Self { address, role, certificate, clients, proxy_from })
    }
}

fn remark_on_reach(from: &mut Section<'_>, address: SocketAddr, role: Role) {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() {
        return;
    }
    let reach = if ip.is_unspecified() { "every network this machine is in" } else { "other machines" };
    from.remark(
        "address",
        match role {
            Role::Https => format!("is open to {reach}: meant for devices and people; put a firewall in front of what is not"),
            Role::Http => format!(
                "is open to {reach}, in the clear: fine for health, certificates and revocation lists, and nothing else is served here"
            ),
            Role::Metrics => format!("shows metrics to {reach} without asking who they are: prefer a loopback or management address"),
        },
    );
}

/// Why the listeners could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A socket could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A certificate cannot be presented.
    #[error("listener `{listener}` has no usable certificate")]
    Certificate {
        /// The listener's name.
        listener: String,
        /// What is wrong.
        #[source]
        source: CredentialsError,
    },
    /// The service authority does not issue one.
    #[error("listener `{listener}` names no certificate, and none was issued")]
    Issued {
        /// The listener's name.
        listener: String,
        /// What is in the way.
        #[source]
        source: IssuedError,
    },
}

impl gatehouse_base::Fault for ListenError {
    fn kind(&self) -> gatehouse_base::Kind {
        match self {
            Self::Bind(error) => error.kind(),
            Self::Certificate { source, .. } => source.kind(),
            Self::Issued { source, .. } => source.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Bind(error) => error.code(),
            Self::Certificate { source, .. } => source.code(),
            Self::Issued { source, .. } => source.code(),
        }
    }
}

/// A bound listener with its role.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: Listener,
    pub(super) role: Role,
    /// The files to watch.
    pub(super) files: Vec<Arc<dyn FromFiles>>,
    /// The certificate to renew.
    pub(super) issued: Option<Arc<IssuedCertificates>>,
}

/// Reads or issues certificates and binds sockets.
pub(super) async fn bind(
    listeners: &BTreeMap<String, Config>,
    external_address: &Host,
    authority: &Authority,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Bound>, ListenError> {
    let mut bound = Vec::new();
    for (name, config) in listeners {
        let issued = match (config.role, &config.certificate) {
            (Role::Https, None) => {
                let wanted = ListenerCertificate { listener: name.clone(), role: ServerRole::Api, hosts: vec![external_address.clone()] };
                let opened = IssuedCertificates::open(authority.clone(), wanted).await;
                Some(Arc::new(opened.map_err(|source| ListenError::Issued { listener: name.clone(), source })?))
            }
            _ => None,
        };
        bound.push(bind_one(name, config, issued, clock)?);
    }
    Ok(bound)
}

fn bind_one(name: &str, config: &Config, issued: Option<Arc<IssuedCertificates>>, clock: &Arc<dyn Clock>) -> Result<Bound, ListenError> {
    let unusable = |source| ListenError::Certificate { listener: name.to_owned(), source };
    let mut files: Vec<Arc<dyn FromFiles>> = Vec::new();
    let mut source: Option<Arc<dyn CertificateSource>> = issued.clone().map(|issued| issued as _);
    if let Some(certificate) = &config.certificate {
        let opened = Arc::new(FileCertificates::open(&certificate.chain, &certificate.key).map_err(unusable)?);
        files.push(Arc::clone(&opened) as Arc<dyn FromFiles>);
        source = Some(opened);
    }
    let mut tls = None;
    if let Some(source) = source {
        tls = Some(match &config.clients {
            None => Tls::new(source, ALPN_HTTP),
            Some(clients) => {
                let judge = Arc::new(FileClients::open(&clients.anchors, &clients.revocation_lists).map_err(unusable)?);
                files.push(Arc::clone(&judge) as Arc<dyn FromFiles>);
                Tls::with_clients(source, ALPN_HTTP, judge, Arc::clone(clock))
            }
        });
    }
    let listener = Listener::bind(name, config.address, tls)?.behind(config.proxy_from.clone());
    Ok(Bound { listener, role: config.role, files, issued })
}
