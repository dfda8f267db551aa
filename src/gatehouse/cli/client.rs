//! `gatehouse client`: the programs that an organisation lets in, through the API of the context's server.

use super::{
    Context, Exit, Failure,
    api::{Api, printable},
    logins::Name,
};
use clap::{Args, Subcommand, ValueEnum};
use gatehouse_accounts::CertificateRule;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{fmt, fs, path::PathBuf};

const PATH: &str = "/v1/clients";
const MOST_KEY_BYTES: u64 = 64 * 1024;

/// Programs that an organisation lets in: add one, list them, remove one
#[derive(Debug, Args)]
pub(super) struct Client {
    #[command(subcommand)]
    command: Command,
    /// At which server and as whom [default: the present context]
    #[arg(long, global = true, value_name = "NAME", value_parser = Name::parse, env = "GATEHOUSE_CONTEXT")]
    context: Option<Name>,
}

/// How a program proves that it is the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Authentication {
    /// By a secret, which is shown once
    Secret,
    /// By a key of its own (--key)
    Key,
    /// By a certificate (--subject-dn or --san-dns), at a listener that asks for one
    Certificate,
    /// Not at all: it runs on people's machines
    None,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let a program in
    ///
    /// The answer is the only place that ever shows its secret.
    #[command(after_help = "Examples:
  gatehouse client add agent --role viewer --scope members:read
  gatehouse client add dashboard --role viewer --scope members:read --redirect-uri https://app.example.com/callback
  gatehouse client add desktop --role viewer --authentication none --redirect-uri http://127.0.0.1/callback
  gatehouse client add robot --role operator --scope members:read --authentication key --key robot.jwk
  gatehouse client add agent --role viewer --scope members:read --authentication certificate --subject-dn CN=agent,O=Acme
  gatehouse client add agent --role viewer --scope members:read --bound")]
    Add {
        /// What to call it
        name: String,
        /// What it is in the organisation: owner, admin, operator, viewer or factory
        #[arg(long)]
        role: String,
        /// What it may do at most; may be given several times
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// How it proves itself
        #[arg(long, value_enum, default_value = "secret")]
        authentication: Authentication,
        /// Where people's answers may be sent; may be given several times
        #[arg(long = "redirect-uri", value_name = "URI")]
        redirect_uris: Vec<String>,
        /// A file with its public key as a JWK; may be given several times
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
        /// It may ask people by device codes
        #[arg(long)]
        device_code: bool,
        /// The subject of its certificate, the last attribute first (RFC 4514)
        #[arg(long, value_name = "NAME", conflicts_with = "san_dns")]
        subject_dn: Option<String>,
        /// A host among its certificate's alternative names
        #[arg(long, value_name = "HOST")]
        san_dns: Option<String>,
        /// The SHA-256 of the anchor of its certificate, in hexadecimal [default: any of the listener's]
        #[arg(long, value_name = "FINGERPRINT")]
        anchor: Option<String>,
        /// Its tokens are worth something over the certificate only over which it got them
        #[arg(long)]
        bound: bool,
    },
    /// List the programs of the organisation
    #[command(after_help = "Examples:
  gatehouse client list
  gatehouse --json client list")]
    List,
    /// Remove a program; its tokens are refused from the next request on
    #[command(after_help = "Examples:
  gatehouse client remove 0123456789abcdef0123456789abcdef")]
    Remove {
        /// Its id
        id: String,
    },
}

impl Client {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut api = Api::open(self.context)?;
        let output = context.output;
        match self.command {
            Command::Add { name, role, scopes, authentication, redirect_uris, keys, device_code, subject_dn, san_dns, anchor, bound } => {
                let by_certificate = matches!(authentication, Authentication::Certificate);
                let certificate = by_certificate.then(|| CertificateRule { subject_dn, san_dns, anchor, ..CertificateRule::default() });
                let keys: Vec<Value> = keys.iter().map(read_key).collect::<Result<_, _>>()?;
                let authentication = match authentication {
                    Authentication::Secret => "secret",
                    Authentication::Key => "key",
                    Authentication::Certificate => "certificate",
                    Authentication::None => "none",
                };
                let body = json!({
                    "name": name, "role": role, "scopes": scopes, "authentication": authentication,
                    "redirect_uris": redirect_uris, "keys": keys, "device_code": device_code, "certificate": certificate, "bound": bound,
                });
                let made: Listed = context.block_on(async { api.read("POST", PATH, Some(&body)).await })?;
                output.answer(&made)
            }
            Command::List => {
                let clients: Vec<Listed> = context.block_on(async { api.read("GET", PATH, None).await })?;
                output.answer(&Clients(clients))
            }
            Command::Remove { id } => {
                if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Err(Failure::new(Exit::Invalid, "a client's id has letters and digits only"));
                }
                context.block_on(async { api.ask("DELETE", &format!("{PATH}/{id}"), None).await })?;
                output.answer(&Removed { removed: id })
            }
        }
    }
}

fn read_key(path: &PathBuf) -> Result<Value, Failure> {
    let unusable = |error: &dyn fmt::Display| Failure::new(Exit::Invalid, format!("{} cannot be used: {error}", path.display()));
    let length = fs::metadata(path).map_err(|error| unusable(&error))?.len();
    if length > MOST_KEY_BYTES {
        return Err(unusable(&"it is too long"));
    }
    let text = fs::read(path).map_err(|error| unusable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unusable(&error))
}

/// A client as the server tells of it.
#[derive(Serialize, Deserialize)]
struct Listed {
    id: String,
    name: String,
    role: String,
    scopes: Vec<String>,
    authentication: String,
    redirect_uris: Vec<String>,
    device_code: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateRule>,
    #[serde(default)]
    bound: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Clients(Vec<Listed>);

#[derive(Serialize)]
struct Removed {
    removed: String,
}

impl fmt::Display for Listed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.scopes.join(" ");
        writeln!(out, "{}  {}  {}  {}  {}", self.id, printable(&self.name), self.role, self.authentication, printable(&scopes))?;
        for uri in &self.redirect_uris {
            writeln!(out, "  back to {}", printable(uri))?;
        }
        if self.bound {
            writeln!(out, "  tokens are bound to its certificate")?;
        }
        match &self.secret {
            Some(secret) => writeln!(out, "  secret, shown once: {secret}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Clients {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(out, "none; `gatehouse client add` lets one in");
        }
        self.0.iter().try_for_each(|client| client.fmt(out))
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "removed {}", self.removed)
    }
}
