//! `gatehouse coap discover`: what a server has (RFC 6690 §4).

use super::{
    super::{Context, Exit, Failure},
    answer::Rendering,
    ask::exchange,
    request::RequestOptions,
    target::Target,
};
use clap::Args;
use gatehouse_wire::coap::{Code, ContentFormat, Uri};

/// List the resources of a server
///
/// Asks for /.well-known/core, or for the path of the URL where it has one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse coap discover coap://[::1]
  gatehouse coap discover coap://device.local --filter rt=oic.wk.* --filter obs
  gatehouse coap discover coap://device.local/oic/res --accept cbor")]
pub(super) struct Discover {
    #[command(flatten)]
    target: Target,
    /// Only resources with this attribute: rt=oic.wk.*, href=/light*, obs; may be given several times
    #[arg(long, value_name = "ATTRIBUTE[=VALUE]")]
    filter: Vec<String>,
    #[command(flatten)]
    request: RequestOptions,
    #[command(flatten)]
    rendering: Rendering,
}

impl Discover {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { target, filter, request, rendering } = self;
        let uri = &target.uri;
        let too_long = |error: gatehouse_wire::coap::ValueLength| Failure::new(Exit::Usage, error.to_string());
        let mut options = if uri.path().is_empty() {
            let root = Uri::new(uri.scheme(), uri.host().clone(), Some(uri.port()));
            let options = root.to_options(uri.port()).path(WELL_KNOWN).map_err(too_long)?;
            uri.query().iter().try_fold(options, |options, argument| options.query(argument)).map_err(too_long)?
        } else {
            uri.to_options(uri.port())
        };
        options = filter.iter().try_fold(options, |options, argument| options.query(argument)).map_err(too_long)?;
        if !request.accepts() {
            options = options.accept(ContentFormat::LINK_FORMAT);
        }
        let asked = request.request(Code::GET, &target, options)?;
        exchange(&target, &request, asked, &rendering, context)
    }
}

const WELL_KNOWN: &str = "/.well-known/core";
