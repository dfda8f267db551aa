//! `gatehouse coap observe`: the states of a resource as they change (RFC 7641).

use super::{
    super::{Context, Exit, Failure},
    answer::{Answer, Rendering},
    request::RequestOptions,
    target::Target,
};
use clap::Args;
use gatehouse_client::{Observation, Update};
use gatehouse_wire::coap::Code;

/// Show a resource and every change of it
///
/// Goes on until Ctrl-C, until --count states were shown, or until the server ends it. With --json, each state is one line.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse coap observe coap://[::1]/sensors/temperature
  gatehouse --json coap observe coap+tcp://device.local/state --count 3")]
pub(super) struct Observe {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    request: RequestOptions,
    #[command(flatten)]
    rendering: Rendering,
    /// End after so many states
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Observe {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let options = self.target.uri.to_options(self.target.uri.port());
        let request = self.request.request(Code::GET, &self.target, options)?;
        context.block_on(async {
            let client = self.target.connect(context, self.request.known()).await?;
            let observation = client.observe(request).map_err(|error| Failure::from(error).during(&self.target.uri))?;
            let outcome = tokio::select! {
                outcome = self.watch(observation, context) => outcome,
                _ = tokio::signal::ctrl_c() => Ok(()),
            };
            // The observation is dropped: the server is told before the connection ends.
            client.close().await;
            outcome
        })
    }

    async fn watch(&self, mut observation: Observation, context: &Context) -> Result<(), Failure> {
        let mut shown = 0;
        while self.count.is_none_or(|count| shown < count) {
            match observation.next().await {
                Ok(Some(Update::State(response))) => {
                    shown += 1;
                    self.rendering.show(&Answer::new(response), context)?;
                }
                Ok(Some(Update::Stale)) => context.output.remark("no news for longer than the last state was good for; asking again"),
                Ok(None) => {
                    let ended = format!("{}: the server ended the observation after {shown} states", self.target.uri);
                    return Err(Failure::new(Exit::Conflict, ended));
                }
                Err(error) => return Err(Failure::from(error).during(&self.target.uri)),
            }
        }
        Ok(())
    }
}
