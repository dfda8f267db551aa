//! The transport under one connection: datagrams with or without DTLS, or a stream with or without TLS.
//!
//! The driver gives it one item at a time to send and waits for what happens next. Both directions go on at once: a server
//! that only sends does not stop us from sending, nor the other way round.

use bytes::{Buf, Bytes};
use gatehouse_net::{DtlsClient, SendError};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::UdpSocket,
};

/// The bytes of a connection, encrypted or not.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The transport of one connection.
pub(crate) enum Link {
    Udp(Udp),
    Dtls(Box<DtlsClient>),
    Stream(Stream),
}

/// What happened on the transport.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A datagram, or some bytes of a stream.
    Arrived(Bytes),
    /// The item was taken whole; the next one may come.
    Sent,
    /// The server has ended it.
    Ended,
}

/// A socket without encryption. Until something is heard, an address where nobody listens is left for the next one.
pub(crate) struct Udp {
    socket: UdpSocket,
    others: Vec<SocketAddr>,
    /// What was sent before anything was heard, for the next address.
    unheard: Vec<Bytes>,
    heard: bool,
    buffer: Vec<u8>,
}

pub(crate) struct Stream {
    reader: ReadHalf<Box<dyn Duplex>>,
    writer: WriteHalf<Box<dyn Duplex>>,
    buffer: Vec<u8>,
}

impl Link {
    pub(crate) fn stream(stream: Box<dyn Duplex>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self::Stream(Stream { reader, writer, buffer: vec![0; READ_STEP] })
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Waits for the next thing while sending what is left of `item`. Can be given up and asked again with the same item.
    pub(crate) async fn next(&mut self, item: &mut Bytes) -> io::Result<Happened> {
        match self {
            Self::Udp(udp) => udp.next(item).await,
            Self::Dtls(client) if !item.is_empty() => match client.send(&std::mem::take(item)).await {
                // What is too long for a datagram is lost like any other; the endpoint sends nothing like that.
                Ok(()) | Err(SendError::TooLong | SendError::Full) => Ok(Happened::Sent),
                Err(SendError::Closed) => Ok(Happened::Ended),
            },
            Self::Dtls(client) => Ok(client.receive().await?.map_or(Happened::Ended, Happened::Arrived)),
            Self::Stream(stream) => stream.next(item).await,
        }
    }

    /// Takes leave of the server.
    pub(crate) async fn close(self) {
        match self {
            Self::Udp(_) => {}
            Self::Dtls(client) => client.close().await,
            // The server may be gone already.
            Self::Stream(mut stream) => drop(stream.writer.shutdown().await),
        }
    }
}

impl Udp {
    /// A socket for the first of these addresses.
    pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<Self> {
        let (first, others) = addresses.split_first().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let others = others.iter().rev().copied().collect();
        Ok(Self { socket: socket(*first).await?, others, unheard: Vec::new(), heard: false, buffer: vec![0; LARGEST_DATAGRAM] })
    }

    async fn next(&mut self, item: &mut Bytes) -> io::Result<Happened> {
        let outcome = if item.is_empty() { self.receive().await } else { self.send(std::mem::take(item)).await };
        match outcome {
            // Nobody listens there. What was heard once may come back, and repetition decides that; until then it is the truth.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => match (self.heard, self.others.pop()) {
                (true, _) => Ok(Happened::Sent),
                (false, Some(next)) => self.turn_to(next).await,
                (false, None) => Err(error),
            },
            outcome => outcome,
        }
    }

    async fn send(&mut self, item: Bytes) -> io::Result<Happened> {
        if !self.heard && !self.others.is_empty() && self.unheard.len() < MOST_UNHEARD {
            self.unheard.push(item.clone());
        }
        self.socket.send(&item).await?;
        Ok(Happened::Sent)
    }

    async fn receive(&mut self) -> io::Result<Happened> {
        let length = self.socket.recv(&mut self.buffer).await?;
        self.heard = true;
        self.unheard = Vec::new();
        Ok(Happened::Arrived(Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default())))
    }

    async fn turn_to(&mut self, address: SocketAddr) -> io::Result<Happened> {
        self.socket = socket(address).await?;
        for item in &self.unheard {
            self.socket.send(item).await?;
        }
        Ok(Happened::Sent)
    }
}

/// From here on the kernel takes datagrams of this server only, and tells when nobody listens there.
async fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

impl Stream {
    async fn next(&mut self, item: &mut Bytes) -> io::Result<Happened> {
        loop {
            tokio::select! {
                written = self.writer.write(item), if !item.is_empty() => {
                    item.advance(written?);
                    if item.is_empty() {
                        self.writer.flush().await?;
                        return Ok(Happened::Sent);
                    }
                }
                read = self.reader.read(&mut self.buffer) => {
                    let arrived = self.buffer.get(..read?).unwrap_or_default();
                    return Ok(if arrived.is_empty() { Happened::Ended } else { Happened::Arrived(Bytes::copy_from_slice(arrived)) });
                }
            }
        }
    }
}

/// No datagram is longer.
const LARGEST_DATAGRAM: usize = 65_535;
/// How much of a stream is read at once.
const READ_STEP: usize = 16 << 10;
/// What is kept for the next address: a client that has heard nothing has sent little.
const MOST_UNHEARD: usize = 16;
