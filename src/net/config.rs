//! The section `[net]`: how many peers may be there at once, and how long they may take.

use crate::{UdpConfig, places::Prefixes};
use gatehouse_base::config::{Configure, Section, Size};
use std::{net::IpAddr, time::Duration};

/// Limits of the accept loop. They hold for all listeners together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections in total. One more is closed before its first byte is read. Default 16384; the limit on open files
    /// must be above it, and `gatehouse doctor` compares them.
    pub connections: usize,
    /// Connections from one peer network. Default 2048.
    pub connections_per_peer: usize,
    /// How many leading bits of an IPv4 address make a peer network. Default 32, the single address.
    pub peer_prefix_v4: u8,
    /// How many leading bits of an IPv6 address make a peer network. Default 56, what a provider gives one customer.
    pub peer_prefix_v6: u8,
    /// TLS handshakes that are computed at the same time; others wait their turn within their own time limit.
    /// Default 256.
    pub handshakes: usize,
    /// From accepting a connection to the end of its TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// What is read of a connection before it is known who serves it: on device ports the first message of its handshake, and the header
    /// of a balancer. A connection that needs more is closed. Default 20 KiB, which is more than either may have.
    pub first_message: Size,
    /// Intermediate certificates of clients whose signatures are remembered to be good, for each file of anchors. The oldest is
    /// forgotten for a new one, and then checked again when it comes. Each takes a hundred bytes; a manufacturer has tens.
    /// Default 4096; 0 remembers none.
    pub known_intermediates: usize,
    /// `[net.udp]`: peers that speak in datagrams.
    pub udp: UdpConfig,
}

impl Config {
    /// The peer network that an address counts for.
    pub fn network(&self, address: IpAddr) -> IpAddr {
        self.prefixes().network(address)
    }

    pub(crate) fn prefixes(&self) -> Prefixes {
        Prefixes { v4: self.peer_prefix_v4, v6: self.peer_prefix_v6 }
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let udp = from.section("udp");
        let config = Self {
            connections: from.within("connections", defaults.connections, 1..=1_000_000),
            connections_per_peer: from.within("connections_per_peer", defaults.connections_per_peer, 1..=1_000_000),
            peer_prefix_v4: from.within("peer_prefix_v4", defaults.peer_prefix_v4, 8..=32),
            peer_prefix_v6: from.within("peer_prefix_v6", defaults.peer_prefix_v6, 16..=128),
            handshakes: from.within("handshakes", defaults.handshakes, 1..=65_536),
            handshake_timeout: from.within(
                "handshake_timeout",
                defaults.handshake_timeout,
                Duration::from_millis(100)..=Duration::from_secs(300),
            ),
            first_message: from.within("first_message", defaults.first_message, Size::kib(1)..=Size::kib(20)),
            known_intermediates: from.within("known_intermediates", defaults.known_intermediates, 0..=1_000_000),
            udp: udp?,
        };
        if config.connections_per_peer > config.connections {
            from.remark("connections_per_peer", "is above `connections`, so that one peer can use them all");
        }
        Some(config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_peer: 2048,
            peer_prefix_v4: 32,
            peer_prefix_v6: 56,
            handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            first_message: Size::kib(20),
            known_intermediates: 4096,
            udp: UdpConfig::default(),
        }
    }
}
