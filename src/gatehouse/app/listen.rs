//! Listeners: what stands in the configuration, and the bound sockets that come of it.

use super::custody::{IssuedCertificates, IssuedError};
use gatehouse_base::{
    Clock, SystemRandom,
    config::{Choice, Configure, Section},
};
use gatehouse_ca::{Authority, ListenerCertificate, ServerRole};
use gatehouse_coap::Framing;
use gatehouse_net::{
    BindError, CertificateSource, ClientJudge, CredentialsError, DatagramGate, DatagramListener, Dtls, FileCertificates, FileClients,
    FromFiles, Listener, Network, Tls,
};
use gatehouse_pki::Host;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

const ALPN_HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// RFC 8323 §8.2.
const ALPN_COAP: &[&[u8]] = &[b"coap"];

/// The section `[listener.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address and port. Port 0 lets the system choose one, which `serve` reports. Required.
    pub address: SocketAddr,
    /// What is served here: `https`, `http`, `metrics`, `coaps+tcp`, `coaps`, `coap+tcp` or `coap`. Required.
    pub role: Role,
    /// The certificate that an encrypted listener presents. Without it the service authority issues one for the external
    /// address and renews it (`gatehouse ca init` makes that authority).
    pub certificate: Option<CertificateFiles>,
    /// Who may come in to an encrypted listener. For `https` it may be left out, and no client is asked for a certificate.
    pub clients: Option<ClientFiles>,
    /// Networks of balancers, such as `["10.0.0.0/8"]`, whose connections begin with the PROXY protocol's header (version 1 or 2). It
    /// says whose connection it is, and that address is counted and logged. Default none: nobody's header is believed.
    pub proxy_from: Vec<Network>,
    /// How a CoAP listener over TCP introduces itself: `standard` as RFC 8323 has it, or `devices` for OCF devices that
    /// cannot be changed. Default `standard`.
    pub framing: Framing,
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
    /// CoAP over UDP in the clear. Only with `danger_in_the_clear`.
    Coap,
    /// CoAP over TCP in the clear. Only with `danger_in_the_clear`.
    CoapTcp,
    /// CoAP over UDP and DTLS.
    Coaps,
    /// CoAP over TCP and TLS.
    CoapsTcp,
}

impl Choice for Role {
    const ALL: &'static [(&'static str, Self)] = &[
        ("https", Self::Https),
        ("http", Self::Http),
        ("metrics", Self::Metrics),
        ("coap", Self::Coap),
        ("coap+tcp", Self::CoapTcp),
        ("coaps", Self::Coaps),
        ("coaps+tcp", Self::CoapsTcp),
    ];
}

impl Role {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }

    /// The scheme of its addresses.
    pub fn scheme(self) -> &'static str {
        if self == Self::Metrics { "http" } else { self.name() }
    }

    /// Whether it is bound to a port of UDP.
    pub fn is_datagrams(self) -> bool {
        matches!(self, Self::Coap | Self::Coaps)
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Https | Self::Coaps | Self::CoapsTcp)
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
            framing: Framing::Standard,
        };
        [("public".to_owned(), loopback(8080, Role::Http)), ("metrics".to_owned(), loopback(9464, Role::Metrics))].into()
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let address: Option<SocketAddr> = from.required("address");
        let role: Option<Role> = from.required("role");
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
        let framing = from.or("framing", Framing::Standard);
        let danger = from.or("danger_in_the_clear", false);
        let (address, role) = (address?, role?);
        if certificate.is_some() && !role.is_encrypted() {
            from.refuse("certificate", "is not used here: only an encrypted listener presents one");
        }
        if clients.is_some() && !role.is_encrypted() {
            from.refuse("client_anchors", "is not used here: only an encrypted listener sees a client's certificate");
        }
        if clients.is_none() && matches!(role, Role::Coaps | Role::CoapsTcp) {
            from.refuse("client_anchors", "is missing; it names the file of the anchors whose devices are let in");
        }
        if from.mentions("framing") && !matches!(role, Role::CoapTcp | Role::CoapsTcp) {
            from.refuse("framing", "is not used here: only CoAP over TCP has frames");
        }
        if from.mentions("proxy_from") && role.is_datagrams() {
            from.refuse("proxy_from", "is not used here: the PROXY protocol begins connections, and datagrams have none");
        }
        match (role, danger) {
            (Role::Coap | Role::CoapTcp, false) => from.refuse(
                "danger_in_the_clear",
                "has to be true for this role: anybody on the way can read and change what is said, and nobody shows who it is",
            ),
            (role, true) if !matches!(role, Role::Coap | Role::CoapTcp) => from.refuse("danger_in_the_clear", "is not used here"),
            _ => {}
        }
        remark_on_reach(from, address, role);
        Some(Self { address, role, certificate, clients, proxy_from, framing })
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
            Role::Coaps | Role::CoapsTcp => format!("is open to {reach}: only devices whose chain leads to `client_anchors` come in"),
            Role::Coap | Role::CoapTcp => {
                format!("is open to {reach}, in the clear: anybody on the way reads and changes what is said here")
            }
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
    pub(super) listener: Socket,
    pub(super) role: Role,
    pub(super) framing: Framing,
    /// The files to watch.
    pub(super) files: Vec<Arc<dyn FromFiles>>,
    /// The certificate to renew.
    pub(super) issued: Option<Arc<IssuedCertificates>>,
}

/// A bound socket, for connections or for datagrams.
#[derive(Debug)]
pub(super) enum Socket {
    Streams(Listener),
    Datagrams(DatagramListener),
}

impl Socket {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Streams(listener) => listener.name(),
            Self::Datagrams(listener) => listener.name(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Streams(listener) => listener.address(),
            Self::Datagrams(listener) => listener.address(),
        }
    }

    pub(super) fn certificate_source(&self) -> Option<Arc<dyn CertificateSource>> {
        match self {
            Self::Streams(listener) => listener.certificate_source(),
            Self::Datagrams(listener) => listener.certificate_source(),
        }
    }
}

/// Reads or issues certificates and binds sockets.
pub(super) async fn bind(
    listeners: &BTreeMap<String, Config>,
    external_address: &Host,
    authority: &Authority,
    clock: &Arc<dyn Clock>,
    net: &gatehouse_net::Config,
    datagrams: &Arc<DatagramGate>,
) -> Result<Vec<Bound>, ListenError> {
    let mut bound = Vec::new();
    for (name, config) in listeners {
        let issued = match (config.role, &config.certificate) {
            (role, None) if role.is_encrypted() => {
                let role = if role == Role::Https { ServerRole::Api } else { ServerRole::Provisioning };
                let wanted = ListenerCertificate { listener: name.clone(), role, hosts: vec![external_address.clone()] };
                let opened = IssuedCertificates::open(authority.clone(), wanted).await;
                Some(Arc::new(opened.map_err(|source| ListenError::Issued { listener: name.clone(), source })?))
            }
            _ => None,
        };
        bound.push(bind_one(name, config, issued, clock, net, datagrams)?);
    }
    Ok(bound)
}

fn bind_one(
    name: &str,
    config: &Config,
    issued: Option<Arc<IssuedCertificates>>,
    clock: &Arc<dyn Clock>,
    net: &gatehouse_net::Config,
    datagrams: &Arc<DatagramGate>,
) -> Result<Bound, ListenError> {
    let unusable = |source| ListenError::Certificate { listener: name.to_owned(), source };
    let mut files: Vec<Arc<dyn FromFiles>> = Vec::new();
    let mut source: Option<Arc<dyn CertificateSource>> = issued.clone().map(|issued| issued as _);
    if let Some(certificate) = &config.certificate {
        let opened = Arc::new(FileCertificates::open(&certificate.chain, &certificate.key).map_err(unusable)?);
        files.push(Arc::clone(&opened) as Arc<dyn FromFiles>);
        source = Some(opened);
    }
    let mut judge: Option<Arc<dyn ClientJudge>> = None;
    if let Some(clients) = &config.clients {
        let opened = FileClients::open(&clients.anchors, &clients.revocation_lists, net.known_intermediates).map_err(unusable)?;
        let opened = Arc::new(opened);
        files.push(Arc::clone(&opened) as Arc<dyn FromFiles>);
        judge = Some(opened);
    }
    let (address, clock) = (config.address, Arc::clone(clock));
    let stream = |tls| Ok::<_, BindError>(Socket::Streams(Listener::bind(name, address, tls)?.behind(config.proxy_from.clone())));
    let listener = match (config.role, source, judge) {
        (Role::Coaps, Some(source), Some(judge)) => {
            let dtls = Dtls::new(name, datagrams, source, ALPN_COAP, judge, clock, &SystemRandom);
            Socket::Datagrams(DatagramListener::bind(name, address, Arc::clone(datagrams), Some(dtls))?)
        }
        (Role::Coap, ..) => Socket::Datagrams(DatagramListener::bind(name, address, Arc::clone(datagrams), None)?),
        (Role::CoapsTcp, Some(source), Some(judge)) => stream(Some(Tls::for_devices(name, source, ALPN_COAP, judge, clock)))?,
        (_, Some(source), Some(judge)) => stream(Some(Tls::with_clients(source, ALPN_HTTP, judge, clock)))?,
        (_, Some(source), None) => stream(Some(Tls::new(source, ALPN_HTTP)))?,
        (_, None, _) => stream(None)?,
    };
    Ok(Bound { listener, role: config.role, framing: config.framing, files, issued })
}
