//! The client's end of DTLS, for our own client of device services.

use super::association::{DtlsAssociation, OVERHEAD};
use crate::{
    ClientOptions, ConnectError, Engine, Peer, SendError,
    openssl::{ClientContext, ContextError, Transport, ffi, found, refusal},
    udp::engine::{Association, Closed, Event},
};
use bytes::Bytes;
use openssl::ssl::SslRef;
use std::{
    collections::VecDeque,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::net::UdpSocket;

/// What is sent passes every network, as with [`UdpConfig::mtu`](crate::UdpConfig).
const MTU: u16 = 1200;

/// The longest datagram that is taken in.
const LARGEST_DATAGRAM: usize = 8192;

/// RFC 6347 §4.2.4.1.
const RETRANSMIT_AFTER: Duration = Duration::from_secs(1);

/// How a client speaks DTLS 1.2. Made once for any number of associations.
#[derive(Debug)]
pub struct DtlsConnector {
    context: ClientContext,
}

impl DtlsConnector {
    /// Prepares what all associations have in common.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(options: ClientOptions<'_>) -> Result<Self, ConnectError> {
        let ClientOptions { trust, credentials, shared, alpn } = options;
        Ok(Self { context: ClientContext::new(Transport::Datagrams, trust, credentials, shared.as_ref(), alpn)? })
    }

    /// Does the handshake with the server at this address. The name, where there is one, is told to the server, and no more: whoever
    /// wants the certificate to have it compares it with the peer's chain. The caller limits the time, because a server
    /// with another shared key says nothing; what gets lost is sent again meanwhile.
    ///
    /// # Errors
    /// The server is refused or refuses.
    pub async fn connect(&self, address: SocketAddr, name: Option<&str>) -> Result<DtlsClient, ConnectError> {
        let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let socket = UdpSocket::bind((any, 0)).await.map_err(ConnectError::Lost)?;
        // From here on the kernel takes datagrams of this server only, and tells when nobody listens there.
        socket.connect(address).await.map_err(ConnectError::Lost)?;
        let association = self.begin(name, now())?;
        let peer = Peer::unproven(address).served_by(Engine::OpenSsl);
        let mut client =
            DtlsClient { socket, association, peer, records: VecDeque::new(), closed: None, buffer: vec![0; LARGEST_DATAGRAM] };
        client.flush().await.map_err(ConnectError::Lost)?;
        while !client.is_established() {
            client.turn().await.map_err(ConnectError::Lost)?;
            if client.closed.is_some() {
                return Err(client.failure());
            }
        }
        if let Some(ssl) = client.association.ssl() {
            client.peer = client.peer.agreeing(ssl).speaking(ssl.selected_alpn_protocol()).proven(found(ssl));
        }
        Ok(client)
    }

    fn begin(&self, name: Option<&str>, now: Instant) -> Result<DtlsAssociation, ConnectError> {
        let mut ssl = self.context.connection(name)?;
        ssl.set_mtu(MTU.into()).map_err(ContextError::from)?;
        ffi::set_first_timeout(&mut ssl, RETRANSMIT_AFTER).map_err(ContextError::from)?;
        Ok(DtlsAssociation::connect(ssl, MTU.into(), now).map_err(ContextError::from)?)
    }
}

/// An association with a server. Dropping it without [`DtlsClient::close`] leaves the server to find out by itself.
pub struct DtlsClient {
    socket: UdpSocket,
    association: DtlsAssociation,
    peer: Peer,
    records: VecDeque<Bytes>,
    closed: Option<Closed>,
    buffer: Vec<u8>,
}

impl DtlsClient {
    /// The server.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The longest record that fits into one datagram.
    pub fn largest(&self) -> usize {
        usize::from(MTU) - OVERHEAD
    }

    /// Sends one record. Nobody says whether it arrives.
    ///
    /// # Errors
    /// It is too long, or the association is over.
    pub async fn send(&mut self, record: &[u8]) -> Result<(), SendError> {
        self.association.send(now(), record)?;
        // What the system does not take is lost, as on every network; that nobody listens is seen when receiving.
        drop(self.flush().await);
        Ok(())
    }

    /// The next record. `None` when the association is over. Can be given up and asked again.
    ///
    /// # Errors
    /// The network says that nobody is there, or the server broke off.
    pub async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Ok(Some(record));
            }
            match self.closed {
                None => self.turn().await?,
                Some(Closed::Protocol) => {
                    return Err(io::Error::other(self.association.fault().unwrap_or("the server broke off").to_owned()));
                }
                Some(_) => return Ok(None),
            }
        }
    }

    /// Takes leave.
    pub async fn close(mut self) {
        self.association.close(now());
        drop(self.flush().await);
    }

    /// Waits for the next datagram or deadline, and does what follows from it.
    async fn turn(&mut self) -> io::Result<()> {
        let wait = async {
            match self.association.poll_timeout() {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = self.socket.recv(&mut self.buffer) => {
                if let Some(datagram) = self.buffer.get(..received?) {
                    self.association.handle_datagram(now(), datagram);
                }
            }
            () = wait => self.association.handle_timeout(now()),
        }
        while let Some(event) = self.association.poll_event() {
            match event {
                Event::Established { .. } => {}
                Event::Data(record) => self.records.push_back(record),
                Event::Closed(why) => self.closed = Some(why),
            }
        }
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(datagram) = self.association.poll_transmit() {
            self.socket.send(&datagram).await?;
        }
        Ok(())
    }

    fn is_established(&self) -> bool {
        self.association.ssl().is_some_and(SslRef::is_init_finished) && self.closed.is_none()
    }

    fn failure(&self) -> ConnectError {
        match self.association.ssl().and_then(refusal) {
            Some(refused) => ConnectError::Refused(refused.clone()),
            None => ConnectError::Handshake(self.association.fault().unwrap_or("the server did not answer").to_owned()),
        }
    }
}

impl fmt::Debug for DtlsClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DtlsClient({:?})", self.peer)
    }
}

/// The runtime's time.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
