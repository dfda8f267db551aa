//! `gatehouse coap`: asks CoAP servers, as curl asks those of HTTP. Needs no configuration and no server of ours.
//!
//! [`target`] says whom to ask and how, [`request`] makes the request, [`body`] what it carries; [`answer`] shows what comes
//! back, and [`verbose`] every message on the way. The work is done by `gatehouse-client`.

mod answer;
mod ask;
mod body;
mod discover;
mod dump;
mod observe;
mod ping;
mod request;
mod target;
mod trust;
mod verbose;

use super::{Context, Failure};
use clap::{Args, Subcommand};
use gatehouse_wire::coap::Code;

/// Ask CoAP servers: read, change and observe what devices have
///
/// Speaks coap, coap+tcp, coaps (DTLS 1.2) and coaps+tcp (TLS 1.2 and 1.3). Needs no configuration. The guide is docs/coap.md.
#[derive(Debug, Args)]
#[command(after_long_help = CODES)]
pub(super) struct Coap {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read a resource
    #[command(after_help = "Examples:
  gatehouse coap get coap://[::1]/sensors/temperature
  gatehouse coap get coap+tcp://device.local/state --accept cbor
  gatehouse coap get coaps://device.local/state --ca roots.pem --cert me.pem --key me.key
  gatehouse --json coap get coap://[::1]/state -v")]
    Get(ask::Ask),
    /// Have a resource process a body
    #[command(after_help = "Examples:
  gatehouse coap post coap://[::1]/commands {\"blink\":3} --format cbor
  gatehouse coap post coap://[::1]/upload @firmware.bin --format octet-stream --block-size 512")]
    Post(ask::Send),
    /// Put a body in a resource's place
    #[command(after_help = "Examples:
  gatehouse coap put coap://[::1]/light on --format text
  gatehouse coap put coap://[::1]/settings @settings.json --format cbor --option If-Match=0x01ff")]
    Put(ask::Send),
    /// Remove a resource
    #[command(after_help = "Examples:
  gatehouse coap delete coap://[::1]/rules/4")]
    Delete(ask::Ask),
    /// Read the part of a resource that a body describes
    #[command(after_help = "Examples:
  gatehouse coap fetch coap://[::1]/state [\"power\"] --format cbor --accept cbor")]
    Fetch(ask::Send),
    /// Change a part of a resource
    #[command(after_help = "Examples:
  gatehouse coap patch coap://[::1]/settings {\"level\":7} --format merge-patch+json")]
    Patch(ask::Send),
    /// Change a part of a resource; doing it twice does no harm
    #[command(after_help = "Examples:
  gatehouse coap ipatch coap://[::1]/settings {\"level\":7} --format merge-patch+json")]
    Ipatch(ask::Send),
    Observe(observe::Observe),
    Ping(ping::Ping),
    Discover(discover::Discover),
}

const CODES: &str = "Answers and exit codes:
  2.xx                 0
  4.01, 4.03           5
  4.04                 6
  4.09, 4.12           7
  4.29, 5.xx           8, like a server that cannot be reached or does not answer
  every other 4.xx     4";

impl Coap {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Get(ask) => ask.run(Code::GET, context),
            Command::Delete(ask) => ask.run(Code::DELETE, context),
            Command::Post(send) => send.run(Code::POST, context),
            Command::Put(send) => send.run(Code::PUT, context),
            Command::Fetch(send) => send.run(Code::FETCH, context),
            Command::Patch(send) => send.run(Code::PATCH, context),
            Command::Ipatch(send) => send.run(Code::IPATCH, context),
            Command::Observe(command) => command.run(context),
            Command::Ping(command) => command.run(context),
            Command::Discover(command) => command.run(context),
        }
    }
}
