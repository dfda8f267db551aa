//! `gatehouse admission`: the devices that an organisation has let in, and alarms about their codes and tokens, through the API of the
//! context's server.

use super::{
    Context, Failure,
    api::{Api, printable},
    logins::Name,
    onboarding::checked,
};
use clap::{Args, Subcommand};
use gatehouse_accounts::{AdmissionInfo, AlarmInfo};
use gatehouse_types::DeviceId;
use serde::Serialize;
use std::fmt;

const PATH: &str = "/v1/admissions";
const ALARMS: &str = "/v1/admission-alarms";

/// How many are asked for at a time.
const PAGE: usize = 500;

/// What devices have that were let in: list it, revoke it, see alarms
#[derive(Debug, Args)]
pub(super) struct Admission {
    #[command(subcommand)]
    command: Command,
    /// At which server and as whom [default: the present context]
    #[arg(long, global = true, value_name = "NAME", value_parser = Name::parse, env = "GATEHOUSE_CONTEXT")]
    context: Option<Name>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the devices that were let in
    #[command(after_help = "Examples:
  gatehouse admission list
  gatehouse admission list --device 921e7b6e-5ff7-4559-60d9-bf03bc730cc4
  gatehouse --json admission list --limit 100")]
    List {
        /// Only this device
        #[arg(long)]
        device: Option<DeviceId>,
        /// How many at most
        #[arg(long, default_value_t = 10_000)]
        limit: usize,
    },
    /// End an admission: its tokens are refused from now on, and the device has to be let in anew
    #[command(after_help = "Examples:
  gatehouse admission revoke 0123456789abcdef0123456789abcdef")]
    Revoke {
        /// Its id
        id: String,
    },
    /// List codes and tokens that somebody else has shown, the newest first
    #[command(after_help = "Examples:
  gatehouse admission alarms
  gatehouse --json admission alarms")]
    Alarms,
}

impl Admission {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut api = Api::open(self.context)?;
        let output = context.output;
        match self.command {
            Command::List { device: Some(device), .. } => {
                let path = format!("{PATH}?device={device}");
                output.answer(&Admissions(context.block_on(async { api.read("GET", &path, None).await })?))
            }
            Command::List { device: None, limit } => output.answer(&Admissions(context.block_on(all(&mut api, limit))?)),
            Command::Revoke { id } => {
                let path = format!("{PATH}/{}", checked(&id)?);
                context.block_on(async { api.ask("DELETE", &path, None).await })?;
                output.answer(&Revoked { revoked: id })
            }
            Command::Alarms => {
                let path = format!("{ALARMS}?limit={PAGE}");
                output.answer(&Alarms(context.block_on(async { api.read("GET", &path, None).await })?))
            }
        }
    }
}

async fn all(api: &mut Api, limit: usize) -> Result<Vec<AdmissionInfo>, Failure> {
    let mut admissions: Vec<AdmissionInfo> = Vec::new();
    while admissions.len() < limit {
        let page = PAGE.min(limit - admissions.len());
        let after = admissions.last().map(|last| format!("&after={}", last.id)).unwrap_or_default();
        let mut more: Vec<AdmissionInfo> = api.read("GET", &format!("{PATH}?limit={page}{after}"), None).await?;
        if more.is_empty() {
            break;
        }
        admissions.append(&mut more);
    }
    Ok(admissions)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Admissions(Vec<AdmissionInfo>);

#[derive(Serialize)]
#[serde(transparent)]
struct Alarms(Vec<AlarmInfo>);

#[derive(Serialize)]
struct Revoked {
    revoked: String,
}

impl fmt::Display for Admissions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(out, "none; `gatehouse onboarding add` makes a code for a device");
        }
        self.0.iter().try_for_each(|info| {
            let AdmissionInfo { id, device, hub, authority, began, used, .. } = info;
            writeln!(out, "{id}  device {device}  hub {hub}  by {}  since {began}  used {used}", printable(authority))
        })
    }
}

impl fmt::Display for Alarms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(out, "none");
        }
        self.0.iter().try_for_each(|alarm| {
            let AlarmInfo { at, device, why, by, key, .. } = alarm;
            writeln!(out, "{at}  device {device}  {}  shown by {by} over the key {}", why.name(), printable(key))
        })
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "revoked {}", self.revoked)
    }
}
