//! `gatehouse admin provider`: foreign OpenID providers, of the whole installation or in an organisation's name.
//!
//! Like all of `gatehouse admin` this needs nobody's password: whoever may read the data directory is trusted with it.

use super::{Context, Exit, Failure, Output, Tint, admin, prompt};
use crate::app::providers::{self, Adding, Answer, Order, Refused};
use clap::{Args, Subcommand};
use gatehouse_accounts::{DeviceSettings, DeviceToken, ProviderInfo, Role, Tested, Trust};
use gatehouse_openid::Issuer;
use gatehouse_types::{OrganisationId, Secret};
use serde::Serialize;
use std::fmt;

/// What to do about them.
#[derive(Debug, Subcommand)]
pub(super) enum AdminProvider {
    /// Let a provider sign people in or vouch for devices
    ///
    /// What it publishes is looked at first. The answer tells the redirect URI to be registered there.
    #[command(after_help = "Examples:
  gatehouse admin provider add Example --issuer https://login.example.com --client-id gatehouse --secret-stdin --sign-in --scope email < secret.txt
  gatehouse admin provider add Devices --issuer https://id.example.com/realms/devices --client-id hub --device-audience hub-devices --owner-claim owner")]
    Add(Box<Add>),
    /// List the providers of the whole installation, or of an organisation
    #[command(after_help = "Examples:
  gatehouse admin provider list
  gatehouse admin provider list --organisation 6c6a1f5e-3c8b-4f0e-9d0e-2f3f4e5a6b7c")]
    List {
        /// Whose [default: those of the whole installation]
        #[arg(long, value_name = "ID")]
        organisation: Option<OrganisationId>,
    },
    /// Remove a provider; who signed in through it is signed out
    #[command(after_help = "Examples:
  gatehouse admin provider remove 0123456789abcdef0123456789abcdef")]
    Remove {
        /// Its id
        id: String,
    },
    /// Say for what a provider is trusted, in place of what was said before
    ///
    /// For a domain it speaks for everybody's address there: whoever has a verified address at the provider is the account with that
    /// address here.
    #[command(after_help = "Examples:
  gatehouse admin provider trust 0123456789abcdef0123456789abcdef --domain example.com --second-factor
  gatehouse admin provider trust 0123456789abcdef0123456789abcdef")]
    Trust {
        /// Its id
        id: String,
        /// A domain whose addresses it speaks for; may be given several times
        #[arg(long = "domain", value_name = "DOMAIN")]
        domains: Vec<String>,
        /// Its word (`amr`) stands for a second factor
        #[arg(long)]
        second_factor: bool,
    },
    /// Ask a provider what it publishes, and find out why a device's token is refused
    #[command(after_help = "Examples:
  gatehouse admin provider test 0123456789abcdef0123456789abcdef
  gatehouse admin provider test 0123456789abcdef0123456789abcdef --token-stdin < token.txt")]
    Test {
        /// Its id
        id: String,
        /// Take a device's token from standard input
        #[arg(long)]
        token_stdin: bool,
    },
    /// Take the devices of an owner for an organisation's
    #[command(after_help = "Examples:
  gatehouse admin provider own 0123456789abcdef0123456789abcdef acme 6c6a1f5e-3c8b-4f0e-9d0e-2f3f4e5a6b7c")]
    Own {
        /// The provider's id
        id: String,
        /// What the claim of its tokens holds
        owner: String,
        /// Whose its devices are
        organisation: OrganisationId,
    },
    /// Take them for nobody's any more
    #[command(after_help = "Examples:
  gatehouse admin provider disown 0123456789abcdef0123456789abcdef acme")]
    Disown {
        /// The provider's id
        id: String,
        /// What the claim of its tokens holds
        owner: String,
    },
}

/// A provider to be let in.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// What people see on the button
    name: String,
    /// Its issuer, exactly as it writes it
    #[arg(long, value_name = "URL", value_parser = issuer)]
    issuer: Issuer,
    /// As which client it knows us
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// Take the client's secret from standard input
    #[arg(long)]
    secret_stdin: bool,
    /// In whose name [default: the whole installation's]
    #[arg(long, value_name = "ID")]
    organisation: Option<OrganisationId>,
    /// It signs people in
    #[arg(long)]
    sign_in: bool,
    /// What is asked for besides `openid`; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// People whom it knows get accounts, where it is trusted for their address
    #[arg(long)]
    new_accounts: bool,
    /// What such people become in the organisation
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    /// It vouches for devices, by tokens for this audience
    #[arg(long, value_name = "AUDIENCE", requires = "owner_claim")]
    device_audience: Option<String>,
    /// The claim that says who the owner is
    #[arg(long, value_name = "CLAIM", requires = "device_audience")]
    owner_claim: Option<String>,
    /// The claim that says which device it is
    #[arg(long, value_name = "CLAIM", requires = "device_audience")]
    device_claim: Option<String>,
    /// Of which type its tokens may be; may be given several times [default: at+jwt]
    #[arg(long = "token-type", value_name = "TYPE", requires = "device_audience")]
    types: Vec<String>,
    /// Codes for devices are not tied to a verifier
    #[arg(long, requires = "device_audience")]
    without_pkce: bool,
    /// Where the codes of devices were sent [default: where those of people are]
    #[arg(long, value_name = "URL", requires = "device_audience")]
    device_redirect_uri: Option<String>,
}

impl AdminProvider {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let order = match self {
            Self::Add(add) => Order::Add(Box::new(add.adding()?)),
            Self::List { organisation } => Order::List { organisation },
            Self::Remove { id } => Order::Remove { id },
            Self::Trust { id, domains, second_factor } => Order::Trust { id, trust: Trust { domains, second_factor } },
            Self::Test { id, token_stdin } => Order::Test { id, token: token_stdin.then(piped).transpose()? },
            Self::Own { id, owner, organisation } => Order::Own { id, owner, organisation },
            Self::Disown { id, owner } => Order::Disown { id, owner },
        };
        let is_list = matches!(order, Order::List { .. });
        let answer = admin::carry_out(context, order, providers::perform)?;
        let refused = answer.refused.is_some();
        context.output.answer(&Shown { answer, is_list, output: context.output })?;
        if refused { Err(Failure::silent(Exit::Invalid)) } else { Ok(()) }
    }
}

impl Add {
    fn adding(self) -> Result<Adding, Failure> {
        let secret = self.secret_stdin.then(piped).transpose()?;
        let devices = self.device_audience.zip(self.owner_claim).map(|(audience, owner_claim)| DeviceSettings {
            audience,
            owner_claim,
            device_claim: self.device_claim,
            types: if self.types.is_empty() { vec!["at+jwt".to_owned()] } else { self.types },
            pkce: !self.without_pkce,
            redirect_uri: self.device_redirect_uri,
        });
        Ok(Adding {
            organisation: self.organisation,
            name: self.name,
            issuer: self.issuer,
            client_id: self.client_id,
            secret,
            scopes: self.scopes,
            sign_in: self.sign_in,
            new_accounts: self.new_accounts,
            role: self.role,
            devices,
        })
    }
}

fn piped() -> Result<String, Failure> {
    let given: Secret = prompt::read_piped()?;
    String::from_utf8(given.expose().to_vec()).map_err(|_| Failure::new(Exit::Invalid, "standard input is not UTF-8"))
}

fn issuer(text: &str) -> Result<Issuer, String> {
    text.parse().map_err(|error: gatehouse_openid::IssuerError| error.to_string())
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|error: gatehouse_accounts::UnknownWord| error.to_string())
}

struct Shown {
    answer: Answer,
    is_list: bool,
    output: Output,
}

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_list { self.answer.providers.serialize(serializer) } else { self.answer.serialize(serializer) }
    }
}

impl Shown {
    fn provider(&self, out: &mut fmt::Formatter<'_>, provider: &ProviderInfo) -> fmt::Result {
        let ProviderInfo { id, name, issuer, client_id, sign_in, new_accounts, devices, trust, redirect_uri, owners, .. } = provider;
        writeln!(out, "{}  {name}", self.output.tint(Tint::Strong, id))?;
        writeln!(out, "  {issuer} as {client_id}")?;
        let accounts = if *new_accounts { ", makes accounts" } else { "" };
        if *sign_in {
            writeln!(out, "  signs people in{accounts}")?;
        }
        if let Some(uri) = redirect_uri {
            writeln!(out, "  register there: {uri}")?;
        }
        if let Some(devices) = devices {
            writeln!(out, "  vouches for devices by tokens for {}, owner in `{}`", devices.audience, devices.owner_claim)?;
        }
        owners.iter().try_for_each(|owner| writeln!(out, "  owner {} is organisation {}", owner.owner, owner.organisation))?;
        if !trust.domains.is_empty() {
            writeln!(out, "  trusted for addresses of {}", trust.domains.join(", "))?;
        }
        if trust.second_factor { writeln!(out, "  trusted for a second factor") } else { Ok(()) }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { providers, tested, token, refused } = &self.answer;
        providers.iter().try_for_each(|provider| self.provider(out, provider))?;
        if let Some(Tested { issuer, keys, leads_to, .. }) = tested {
            writeln!(out, "{issuer} publishes {keys} keys that verify tokens, and sends people to {leads_to}")?;
        }
        if let Some(DeviceToken { organisation, owner, device, expires, .. }) = token {
            let device = device.map(|device| format!(", device {device}")).unwrap_or_default();
            writeln!(out, "the token is good until {expires}: owner {owner}, organisation {organisation}{device}")?;
        }
        if let Some(Refused { code, why }) = refused {
            writeln!(out, "the token is refused ({code}): {why}")?;
        }
        let nothing = providers.is_empty() && tested.is_none();
        if nothing { writeln!(out, "{}", if self.is_list { "none" } else { "done" }) } else { Ok(()) }
    }
}
