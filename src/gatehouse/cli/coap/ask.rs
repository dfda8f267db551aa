//! One request and its answer: `get`, `delete`, `post`, `put`, `fetch`, `patch`, `ipatch`.

use super::{
    super::{Context, Failure},
    answer::{Answer, Rendering},
    body::Body,
    request::RequestOptions,
    target::Target,
};
use clap::Args;
use gatehouse_client::{Request, RequestError};
use gatehouse_wire::coap::{Code, OptionNumber};

#[derive(Debug, Args)]
pub(super) struct Ask {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    request: RequestOptions,
    #[command(flatten)]
    rendering: Rendering,
}

#[derive(Debug, Args)]
pub(super) struct Send {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    body: Body,
    #[command(flatten)]
    request: RequestOptions,
    #[command(flatten)]
    rendering: Rendering,
}

impl Ask {
    pub(super) fn run(self, code: Code, context: &Context) -> Result<(), Failure> {
        let Self { target, request, rendering } = self;
        let options = target.uri.to_options(target.uri.port());
        let asked = request.request(code, &target, options)?;
        exchange(&target, &request, asked, &rendering, context)
    }
}

impl Send {
    pub(super) fn run(self, code: Code, context: &Context) -> Result<(), Failure> {
        let Self { target, body, request, rendering } = self;
        let mut options = target.uri.to_options(target.uri.port());
        if let Some(format) = body.format() {
            options = options.content_format(format);
        }
        let asked = request.request(code, &target, options)?.payload(body.bytes()?);
        exchange(&target, &request, asked, &rendering, context)
    }
}

/// Connects, asks, shows the answer, and takes leave.
pub(super) fn exchange(
    target: &Target,
    options: &RequestOptions,
    request: Request,
    rendering: &Rendering,
    context: &Context,
) -> Result<(), Failure> {
    let known = options.known();
    let silent = known.contains(&OptionNumber::NO_RESPONSE);
    context.block_on(async {
        let client = target.connect(context, known).await?;
        let outcome = client.request(request).await;
        client.close().await;
        match outcome {
            Ok(response) => rendering.show(&Answer::new(response), context),
            Err(RequestError::Silent) if silent => {
                context.output.remark("no answer, as No-Response asks");
                Ok(())
            }
            Err(error) => Err(Failure::from(error).during(&target.uri)),
        }
    })
}
