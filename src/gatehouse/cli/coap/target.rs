//! Whom to ask, and how to get there.

use super::{super::Context, trust::TrustOptions, verbose::Verbose};
use crate::cli::Failure;
use clap::Args;
use gatehouse_base::config::parse_duration;
use gatehouse_client::{Client, Family, Settings};
use gatehouse_wire::coap::{
    BlockSize, OptionNumber, Uri,
    endpoint::{Config, Reliability},
};
use std::{sync::Arc, time::Duration};

#[derive(Debug, Args)]
pub(super) struct Target {
    /// The resource: coap://, coap+tcp://, coaps:// or coaps+tcp://HOST[:PORT]/PATH?QUERY
    #[arg(value_name = "URL")]
    pub(super) uri: Uri,
    #[command(flatten)]
    transport: Transport,
    #[command(flatten)]
    trust: TrustOptions,
    /// Show every message that is sent or received, with its options and bytes, on standard error; before them, what a secure server has
    /// presented, and the version and suite that were agreed on
    #[arg(short, long)]
    pub(super) verbose: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Transport")]
struct Transport {
    /// How long the server may be silent: while connecting, and before each answer or block of one
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = span)]
    timeout: Duration,
    /// Over UDP, the wait before the first repetition, which doubles with each
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span)]
    ack_timeout: Duration,
    /// Over UDP, how often a message is repeated
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=10))]
    retransmit: u32,
    /// The largest block of a body, in bytes: 16, 32, 64, 128, 256, 512 or 1024
    #[arg(long, value_name = "BYTES", default_value = "1024", value_parser = block_size)]
    block_size: BlockSize,
    /// The largest body that is taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    max_body: usize,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
}

impl Target {
    /// How long the server may be silent.
    pub(super) fn timeout(&self) -> Duration {
        self.transport.timeout
    }

    /// Connects. `known` are critical options that the caller of the command asked for, and so understands.
    pub(super) async fn connect(&self, context: &Context, known: Vec<OptionNumber>) -> Result<Client, Failure> {
        let settings = self.settings(context, known)?;
        Client::connect(&self.uri, settings).await.map_err(|error| TrustOptions::advise(error).during(&self.uri))
    }

    fn settings(&self, context: &Context, known_options: Vec<OptionNumber>) -> Result<Settings, Failure> {
        let Transport { ack_timeout, retransmit, block_size, max_body, .. } = self.transport;
        let base = Settings::bounded(max_body);
        let reliability = Reliability { ack_timeout, max_retransmit: retransmit, ..base.reliability };
        let family = match (self.transport.ipv4, self.transport.ipv6) {
            (true, _) => Some(Family::V4),
            (_, true) => Some(Family::V6),
            _ => None,
        };
        Ok(Settings {
            security: self.trust.security()?,
            connect_timeout: self.transport.timeout,
            family,
            endpoint: Config { reliability, block_size, known_options, ..base },
            tap: self.verbose.then(|| Arc::new(Verbose::new(context.output)) as _),
            ..Settings::default()
        })
    }
}

/// A time such as `500ms` or `2s`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|span| !span.is_zero() && *span <= LONGEST)
        .ok_or_else(|| "a time is 500ms, 2s, 5m or 1h, up to 24h".to_owned())
}

fn block_size(text: &str) -> Result<BlockSize, String> {
    text.parse().ok().and_then(BlockSize::from_bytes).ok_or_else(|| "a block has 16, 32, 64, 128, 256, 512 or 1024 bytes".to_owned())
}

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
