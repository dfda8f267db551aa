//! `gatehouse coap ping`: whether a server is there, and how far away.

use super::{
    super::{Context, Exit, Failure},
    target::{Target, span},
};
use clap::Args;
use serde::Serialize;
use std::{fmt, time::Duration};

/// Ask a server for a sign of life
///
/// Over UDP that is an empty message, which every CoAP server answers (RFC 7252 §4.3); over TCP a Ping (RFC 8323 §5.4).
/// Fails when one of them has no answer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse coap ping coap://[::1]
  gatehouse coap ping coaps+tcp://device.local --ca roots.pem --count 5 --interval 500ms")]
pub(super) struct Ping {
    #[command(flatten)]
    target: Target,
    /// How often
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How long to wait between two of them
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    interval: Duration,
}

#[derive(Serialize)]
struct Pong {
    uri: String,
    number: u32,
    milliseconds: f64,
}

impl Ping {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        context.block_on(async {
            let client = self.target.connect(context, Vec::new()).await?;
            let uri = self.target.uri.to_string();
            let mut lost = 0;
            for number in 1..=self.count {
                match client.ping(self.target.timeout()).await {
                    Ok(took) => context.output.answer(&Pong { uri: uri.clone(), number, milliseconds: took.as_secs_f64() * 1000.0 })?,
                    // A server that cannot be reached at all is told at once; one that answers now and then is counted.
                    Err(error) if self.count == 1 => return Err(Failure::from(error).during(&uri)),
                    Err(error) => {
                        lost += 1;
                        context.output.remark(format!("{uri}: {error}"));
                    }
                }
                if number < self.count {
                    tokio::time::sleep(self.interval).await;
                }
            }
            client.close().await;
            match lost {
                0 => Ok(()),
                lost => Err(Failure::new(Exit::Unavailable, format!("{uri}: {lost} of {} were not answered", self.count))),
            }
        })
    }
}

impl fmt::Display for Pong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is alive: {:.2} ms", self.uri, self.milliseconds)
    }
}
