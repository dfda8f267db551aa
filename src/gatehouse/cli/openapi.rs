//! `gatehouse openapi`: the document of the API, for who generates a client from it.

use super::{Context, Exit, Failure};
use crate::app::{Role, api};
use clap::{Args, ValueEnum};

/// Print the document of the HTTP API (OpenAPI 3.1)
///
/// It is made from the routes of this program and needs no installation. A running server has its own at /v1/openapi.json.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse openapi > gatehouse.json
  gatehouse openapi --role metrics")]
pub(super) struct OpenApi {
    /// Of what a listener of this role serves
    #[arg(long, value_enum, default_value = "https")]
    role: Spoken,
}

/// The roles that speak HTTP.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spoken {
    Https,
    Http,
    Metrics,
}

impl OpenApi {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let role = match self.role {
            Spoken::Https => Role::Https,
            Spoken::Http => Role::Http,
            Spoken::Metrics => Role::Metrics,
        };
        let document = context.block_on(async {
            let made = api::document_of(role).await.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            made.ok_or_else(|| Failure::new(Exit::Usage, "this role serves nothing over HTTP"))
        })?;
        context.output.raw(format!("{:#}\n", document.json).as_bytes())
    }
}
