//! The section `[http]`: how much a request may hold and how long it may take.

use crate::{Origin, ProxyHeader};
use gatehouse_base::config::{Configure, Section, Size};
use gatehouse_net::Network;
use std::time::Duration;

/// Limits of every HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The head of a request: its line and all header fields. A larger one is answered with 431. Default 16 KiB.
    pub header_size: Size,
    /// The body of a request. A larger one is answered with 413. Default 1 MiB.
    pub body_size: Size,
    /// How long the head of a request may take: the first of a connection from its beginning, a later one from its first
    /// byte. HTTP/2 has `idle_timeout` only. Default 10 s.
    pub header_timeout: Duration,
    /// From the head of a request to the head of its answer, reading the body included. Default 30 s.
    pub request_timeout: Duration,
    /// How long a connection may do nothing: no request is worked on, and no byte of an answer gets through.
    /// Default 60 s.
    pub idle_timeout: Duration,
    /// Requests that one HTTP/2 connection may have at once. Default 128.
    pub streams: u32,
    /// How long an idle HTTP/1.1 connection is kept after draining begins. A request that is on its way then is still
    /// answered, with `connection: close`, and does not meet a closed door. Default 2 s.
    pub drain_idle: Duration,
    /// Requests that are worked on at once, those of all listeners together. One more is answered with 503. Default 4096.
    pub requests: usize,
    /// The same of one peer network, as `[net]` draws them. One more is answered with 429. Default 512.
    pub requests_per_network: usize,
    /// Requests a second that one peer network may make, on average. Default 200.
    pub network_rate: u32,
    /// Requests that one peer network may make at once after a rest. Default 2000.
    pub network_burst: u32,
    /// Requests a second with one credential: a token, a program's access tokens, a person's sessions. Default 50.
    pub credential_rate: u32,
    /// Requests with one credential at once after a rest. Default 500.
    pub credential_burst: u32,
    /// Networks, and credentials, whose rates are remembered at most; who has used least is forgotten first. Default 100,000.
    pub rate_entries: usize,
    /// Origins whose pages may call the API with tokens, such as `["https://console.example.com"]`. Cookies are never allowed along.
    /// Default none.
    pub origins: Vec<Origin>,
    /// For how long browsers are told to come over TLS only (RFC 6797), on encrypted listeners. 0 tells them nothing. Default 365 days.
    pub strict_transport: Duration,
    /// Networks of the balancers that speak HTTP in front of us. Only from them `proxy_header` is believed. Default none.
    /// An `X-Request-Id` of theirs is taken over.
    pub proxies: Vec<Network>,
    /// The header in which they tell whose request it is: `x-forwarded-for` or `forwarded`. Default `x-forwarded-for`.
    pub proxy_header: ProxyHeader,
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let seconds = |low: u64, high: u64| Duration::from_secs(low)..=Duration::from_secs(high);
        Some(Self {
            // hyper's smallest buffer is 8 KiB.
            header_size: from.within("header_size", defaults.header_size, Size::kib(8)..=Size::mib(1)),
            body_size: from.within("body_size", defaults.body_size, Size::kib(1)..=Size::mib(1024)),
            header_timeout: from.within("header_timeout", defaults.header_timeout, seconds(1, 300)),
            request_timeout: from.within("request_timeout", defaults.request_timeout, seconds(1, 3600)),
            idle_timeout: from.within("idle_timeout", defaults.idle_timeout, seconds(1, 3600)),
            streams: from.within("streams", defaults.streams, 1..=10_000),
            drain_idle: from.within("drain_idle", defaults.drain_idle, seconds(0, 60)),
            requests: from.within("requests", defaults.requests, 1..=1_000_000),
            requests_per_network: from.within("requests_per_network", defaults.requests_per_network, 1..=1_000_000),
            network_rate: from.within("network_rate", defaults.network_rate, 1..=1_000_000),
            network_burst: from.within("network_burst", defaults.network_burst, 1..=10_000_000),
            credential_rate: from.within("credential_rate", defaults.credential_rate, 1..=1_000_000),
            credential_burst: from.within("credential_burst", defaults.credential_burst, 1..=10_000_000),
            rate_entries: from.within("rate_entries", defaults.rate_entries, 1000..=10_000_000),
            origins: from.or("origins", defaults.origins),
            strict_transport: from.within("strict_transport", defaults.strict_transport, seconds(0, 2 * 365 * 86_400)),
            proxies: from.or("proxies", defaults.proxies),
            proxy_header: from.or("proxy_header", defaults.proxy_header),
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header_size: Size::kib(16),
            body_size: Size::mib(1),
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            streams: 128,
            drain_idle: Duration::from_secs(2),
            requests: 4096,
            requests_per_network: 512,
            network_rate: 200,
            network_burst: 2000,
            credential_rate: 50,
            credential_burst: 500,
            rate_entries: 100_000,
            origins: Vec::new(),
            strict_transport: Duration::from_secs(365 * 86_400),
            proxies: Vec::new(),
            proxy_header: ProxyHeader::XForwardedFor,
        }
    }
}
