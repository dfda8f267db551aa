//! From a URI to a transport: finding the host, connecting, the handshake, and whose certificate it is.

use crate::{
    ConnectError, Expected, Family, Settings, Trust,
    link::{Link, Udp},
    names,
};
use gatehouse_net::{ClientOptions, Connector, DtlsConnector, Peer, ServerTrust};
use gatehouse_wire::coap::{
    Uri,
    uri::{Host, Scheme},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::{TcpStream, lookup_host};

/// Connects to the server of a URI. The caller limits the time.
pub(crate) async fn connect(uri: &Uri, settings: &Settings) -> Result<Link, ConnectError> {
    if uri.scheme().is_secure() && matches!(settings.security.trust, Trust::Nobody) {
        return Err(ConnectError::NoTrust(uri.scheme()));
    }
    let addresses = lookup(uri, settings.family).await?;
    if let Some(group) = addresses.iter().find(|address| address.ip().is_multicast()) {
        return Err(ConnectError::Multicast(*group));
    }
    match uri.scheme() {
        Scheme::Coap => {
            let unreachable = |source| ConnectError::Unreachable { address: first(&addresses), source };
            Ok(Link::Udp(Udp::connect(&addresses).await.map_err(unreachable)?))
        }
        Scheme::CoapTcp => Ok(Link::stream(Box::new(tcp(&addresses).await?))),
        Scheme::CoapsTcp => {
            let secure = Secure::new(uri, settings);
            // RFC 8323 §8.2.
            let connector = Connector::new(secure.options(settings, &[b"coap"]))?;
            let (stream, peer) = connector.connect(tcp(&addresses).await?, secure.name()).await?;
            secure.check(&peer, settings)?;
            Ok(Link::stream(Box::new(stream)))
        }
        Scheme::Coaps => {
            let secure = Secure::new(uri, settings);
            let connector = DtlsConnector::new(secure.options(settings, &[]))?;
            let client = dtls(&connector, &addresses, secure.name()).await?;
            secure.check(client.peer(), settings)?;
            Ok(Link::Dtls(Box::new(client)))
        }
    }
}

async fn lookup(uri: &Uri, family: Option<Family>) -> Result<Vec<SocketAddr>, ConnectError> {
    let port = uri.port();
    let found: Vec<SocketAddr> = match uri.host() {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => {
            let lookup = lookup_host((name.as_str(), port)).await;
            lookup.map_err(|source| ConnectError::Lookup { host: name.clone(), source })?.collect()
        }
    };
    let wanted = |address: &SocketAddr| family.is_none_or(|family| address.is_ipv4() == (family == Family::V4));
    let found: Vec<_> = found.into_iter().filter(wanted).take(MOST_ADDRESSES).collect();
    if found.is_empty() { Err(ConnectError::NoAddress { host: uri.host().to_string() }) } else { Ok(found) }
}

/// The first address that accepts.
async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError::Unreachable { address: first(addresses), source: io::ErrorKind::AddrNotAvailable.into() };
    for &address in addresses {
        match TcpStream::connect(address).await.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(source) => last = ConnectError::Unreachable { address, source },
        }
    }
    Err(last)
}

/// The first address where somebody listens.
async fn dtls(connector: &DtlsConnector, addresses: &[SocketAddr], name: Option<&str>) -> Result<gatehouse_net::DtlsClient, ConnectError> {
    let mut last = ConnectError::Unreachable { address: first(addresses), source: io::ErrorKind::AddrNotAvailable.into() };
    for &address in addresses {
        match connector.connect(address, name).await {
            Ok(client) => return Ok(client),
            Err(gatehouse_net::ConnectError::Lost(source)) => last = ConnectError::Unreachable { address, source },
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

/// There is always one: [`lookup`] refuses an empty list.
fn first(addresses: &[SocketAddr]) -> SocketAddr {
    addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// What a handshake needs to know of the server.
struct Secure {
    trust: ServerTrust,
    /// Whom the certificate has to be for; none where any will do, or none is presented.
    expected: Option<Host>,
    /// Whom the server is told that we want.
    wanted: Host,
}

impl Secure {
    fn new(uri: &Uri, settings: &Settings) -> Self {
        let host = uri.host().clone();
        let (trust, expected, wanted) = match &settings.security.trust {
            Trust::Nobody | Trust::Shared(_) => (ServerTrust::nothing(), None, host),
            Trust::Fingerprint(pinned) => (ServerTrust::fingerprint(*pinned), None, host),
            Trust::DangerAnybody => (ServerTrust::danger_anything(), None, host),
            Trust::Anchors { anchors, name } => {
                let trust = ServerTrust::anchors(Arc::clone(anchors), Arc::clone(&settings.clock));
                match name {
                    Expected::Host => (trust, Some(host.clone()), host),
                    Expected::Name(name) => (trust, Some(Host::named(name)), Host::named(name)),
                    Expected::Address(address) => (trust, Some(Host::Address(*address)), host),
                    Expected::DangerAny => (trust, None, host),
                }
            }
        };
        Self { trust, expected, wanted }
    }

    fn options<'a>(&self, settings: &'a Settings, alpn: &'a [&'a [u8]]) -> ClientOptions<'a> {
        let shared = match &settings.security.trust {
            Trust::Shared(key) => Some(key.clone()),
            _ => None,
        };
        let trust = match settings.tap.clone() {
            Some(tap) => self.trust.clone().shown_to(move |presented| tap.presented(presented)),
            None => self.trust.clone(),
        };
        ClientOptions { trust, credentials: settings.security.credentials.as_deref(), shared, alpn }
    }

    /// RFC 6066 §3: addresses are not told.
    fn name(&self) -> Option<&str> {
        match &self.wanted {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    fn check(&self, peer: &Peer, settings: &Settings) -> Result<(), ConnectError> {
        if let Some(tap) = &settings.tap {
            tap.secured(peer);
        }
        let Some(expected) = &self.expected else { return Ok(()) };
        let leaf = peer.chain().map(|chain| chain.leaf());
        if leaf.is_some_and(|leaf| names::is_for(leaf, expected)) {
            return Ok(());
        }
        let found = leaf.map_or_else(|| "nobody".to_owned(), names::list);
        Err(ConnectError::WrongName { expected: expected.to_string(), found })
    }
}

/// A name with more addresses than this is tried at these.
const MOST_ADDRESSES: usize = 8;
