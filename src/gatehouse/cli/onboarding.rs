//! `gatehouse onboarding`: codes with which an organisation lets devices in, through the API of the context's server.

use super::{Context, Exit, Failure, api::Api, logins::Name};
use clap::{Args, Subcommand};
use gatehouse_accounts::CodeInfo;
use gatehouse_types::{DeviceId, GroupId, HubId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;

const PATH: &str = "/v1/onboarding-codes";

/// How many are asked for at a time.
const PAGE: usize = 500;

/// Onboarding codes, with which devices sign up: make one, list those that wait, withdraw one
#[derive(Debug, Args)]
pub(super) struct Onboarding {
    #[command(subcommand)]
    command: Command,
    /// At which server and as whom [default: the present context]
    #[arg(long, global = true, value_name = "NAME", value_parser = Name::parse, env = "GATEHOUSE_CONTEXT")]
    context: Option<Name>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a code for a device
    ///
    /// The answer is the only place that ever shows it.
    #[command(after_help = "Examples:
  gatehouse onboarding add 921e7b6e-5ff7-4559-60d9-bf03bc730cc4 --hub 6c6a1f5e-3c8b-4f0e-9d0e-2f3f4e5a6b7c
  gatehouse --json onboarding add 921e7b6e-5ff7-4559-60d9-bf03bc730cc4 --hub 6c6a1f5e-3c8b-4f0e-9d0e-2f3f4e5a6b7c")]
    Add {
        /// The device's id (the OCF `di`), as its certificate names it
        device: DeviceId,
        /// The id of the hub where it signs up
        #[arg(long)]
        hub: HubId,
        /// As one of which group
        #[arg(long)]
        group: Option<GroupId>,
    },
    /// List the codes that wait for their devices
    #[command(after_help = "Examples:
  gatehouse onboarding list
  gatehouse --json onboarding list")]
    List,
    /// Withdraw a code that nobody has used
    #[command(after_help = "Examples:
  gatehouse onboarding withdraw 0123456789abcdef0123456789abcdef")]
    Withdraw {
        /// Its id
        id: String,
    },
}

impl Onboarding {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut api = Api::open(self.context)?;
        let output = context.output;
        match self.command {
            Command::Add { device, hub, group } => {
                let body = json!({ "device": device, "hub": hub, "group": group });
                let made: Made = context.block_on(async { api.read("POST", PATH, Some(&body)).await })?;
                output.answer(&made)
            }
            Command::List => output.answer(&Codes(context.block_on(all(&mut api))?)),
            Command::Withdraw { id } => {
                let path = format!("{PATH}/{}", checked(&id)?);
                context.block_on(async { api.ask("DELETE", &path, None).await })?;
                output.answer(&Withdrawn { withdrawn: id })
            }
        }
    }
}

async fn all(api: &mut Api) -> Result<Vec<CodeInfo>, Failure> {
    let mut codes: Vec<CodeInfo> = Vec::new();
    loop {
        let after = codes.last().map(|last| format!("&after={}", last.id)).unwrap_or_default();
        let mut more: Vec<CodeInfo> = api.read("GET", &format!("{PATH}?limit={PAGE}{after}"), None).await?;
        let is_last = more.len() < PAGE;
        codes.append(&mut more);
        if is_last {
            return Ok(codes);
        }
    }
}

/// An id as the server gives them: nothing that would be another path.
pub(super) fn checked(id: &str) -> Result<&str, Failure> {
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_id { Ok(id) } else { Err(Failure::new(Exit::Invalid, "an id has letters and digits only")) }
}

#[derive(Serialize, Deserialize)]
struct Made {
    #[serde(flatten)]
    info: CodeInfo,
    code: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Codes(Vec<CodeInfo>);

#[derive(Serialize)]
struct Withdrawn {
    withdrawn: String,
}

fn line(info: &CodeInfo, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let leaked = if info.leaked { "  another device has shown it: withdraw it" } else { "" };
    writeln!(out, "{}  device {}  hub {}  until {}{leaked}", info.id, info.device, info.hub, info.ends)
}

impl fmt::Display for Made {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(&self.info, out)?;
        writeln!(out, "  code, shown once: {}", self.code)
    }
}

impl fmt::Display for Codes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(out, "none; `gatehouse onboarding add` makes one");
        }
        self.0.iter().try_for_each(|info| line(info, out))
    }
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "withdrawn {}", self.withdrawn)
    }
}
