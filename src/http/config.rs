//! The section `[http]`: how much a request may hold and how long it may take.

use crate::ProxyHeader;
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
    /// Networks of the balancers that speak HTTP in front of us. Only from them `proxy_header` is believed. Default none.
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
            proxies: Vec::new(),
            proxy_header: ProxyHeader::XForwardedFor,
        }
    }
}
