//! `gatehouse login`, `whoami` and `logout`: a person at a command line, by a device code (RFC 8628) of our own provider.
//!
//! Which server it is has to be certain before anything is sent: its chain leads to an authority of the system, or a person has compared
//! a fingerprint, or a script gave one. What is pinned is the end of the chain that the server presents, so that it may renew its own
//! certificate.

use super::{
    Context, Exit, Failure, Output, Tint,
    api::{self, Api, json, post_form, printable, refused, take},
    logins::{Name, Saved},
    prompt,
};
use clap::Args;
use gatehouse_accounts::COMMAND_LINE;
use gatehouse_client::https::{Belief, HttpsError, Sending, Server, fingerprint_from_text};
use gatehouse_pki::{Certificate, Fingerprint};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{fmt, time::Duration};

const DISCOVERY: &str = "/.well-known/oauth-authorization-server";
/// What the command line may do: everything that the person may.
const SCOPE: &str = "openid profile email offline_access account members:read members:write clients:write devices:read devices:write";
/// How long a server may make us wait between two questions.
const LONGEST_INTERVAL: u64 = 60;

/// Log in to a server
///
/// Shows a code and an address to open in a browser, where you sign in and let this command line act for you. The login is kept in
/// $XDG_CONFIG_HOME/gatehouse/contexts, readable by you only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse login --server https://gatehouse.example.com:8443
  gatehouse login --server https://gatehouse.example.com --context work
  gatehouse --json login --server https://[::1]:8443 --fingerprint 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08")]
pub(super) struct Login {
    /// The server [default: that of the context]
    #[arg(long, value_name = "URL")]
    server: Option<Server>,
    /// Under which name to remember it [default: the present context]
    #[arg(long, value_name = "NAME", value_parser = Name::parse, env = "GATEHOUSE_CONTEXT")]
    context: Option<Name>,
    /// Believe the server whose chain has the certificate with this SHA-256 fingerprint, 64 hexadecimal digits
    #[arg(long, value_name = "SHA256", value_parser = parse_fingerprint)]
    fingerprint: Option<Fingerprint>,
}

/// End a login, here and at the server
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse logout
  gatehouse logout --context work")]
pub(super) struct Logout {
    /// Which login [default: the present context]
    #[arg(long, value_name = "NAME", value_parser = Name::parse, env = "GATEHOUSE_CONTEXT")]
    context: Option<Name>,
}

/// Tell who is logged in where
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse whoami
  gatehouse --json whoami --context work")]
pub(super) struct Whoami {
    /// Which login [default: the present context]
    #[arg(long, value_name = "NAME", value_parser = Name::parse, env = "GATEHOUSE_CONTEXT")]
    context: Option<Name>,
}

fn parse_fingerprint(text: &str) -> Result<Fingerprint, String> {
    fingerprint_from_text(text).ok_or_else(|| "a fingerprint has 64 hexadecimal digits, with or without colons".to_owned())
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    device_authorization_endpoint: String,
}

#[derive(Deserialize)]
struct Waiting {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl Login {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let name = Name::or_present(self.context);
        let before = name.load()?.map(|saved| saved.server()).transpose()?;
        let no_server = || Failure::new(Exit::Usage, "no server is named").advise("give --server https://HOST:PORT");
        let server = self.server.or_else(|| before.as_ref().map(|(server, _)| server.clone())).ok_or_else(no_server)?;
        // The same server is recognised as before; another one is not, whatever the context is called.
        let known = before.filter(|(known, _)| *known == server).map(|(_, belief)| belief);
        let output = context.output;
        context.block_on(async {
            let belief = believed(&server, known, self.fingerprint).await?;
            let saved = logged_in(&server, &belief, output).await?;
            let locked = api::lock(&name).await?;
            locked.save(&saved)?;
            locked.make_present()?;
            drop(locked);
            output.answer(&who(Api::open(Some(name))?, output).await?)
        })
    }
}

impl Logout {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let api = Api::open(self.context)?;
        let (name, server) = (api.name().to_string(), api.server().to_string());
        context.block_on(api.log_out()).map_err(|failure| failure.during("the login is forgotten here; the server"))?;
        context.output.answer(&LoggedOut { context: name, server })
    }
}

impl Whoami {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let api = Api::open(self.context)?;
        context.block_on(async { context.output.answer(&who(api, context.output).await?) })
    }
}

/// How a server is recognised from now on.
async fn believed(server: &Server, known: Option<Belief>, wanted: Option<Fingerprint>) -> Result<Belief, Failure> {
    if let Some(wanted) = wanted {
        let presented = server.presented().await?;
        let found = presented.into_iter().find(|certificate| certificate.fingerprint() == wanted);
        let missing =
            || Failure::new(Exit::Denied, format!("{server} presents no certificate with this fingerprint; nothing was sent to it"));
        return Ok(Belief::Pinned(Box::new(found.ok_or_else(missing)?)));
    }
    let belief = known.unwrap_or(Belief::System);
    let refused = match server.ask(&belief, "GET", DISCOVERY, Sending::default()).await {
        Ok(_) => return Ok(belief),
        Err(error @ (HttpsError::NotBelieved { .. } | HttpsError::Authorities { .. })) if matches!(belief, Belief::System) => error,
        Err(error) => return Err(error.into()),
    };
    let end = server.presented().await?.pop();
    let end = end.ok_or_else(|| Failure::new(Exit::Denied, format!("{server} presents no certificate")))?;
    match asked(server, &end) {
        Some(true) => Ok(Belief::Pinned(Box::new(end))),
        Some(false) => Err(Failure::new(Exit::Denied, "the server is not believed; nothing was sent to it")),
        None => Err(Failure::from(refused).advise(format!(
            "--fingerprint believes one certificate of its chain; the last one that it presents has\n{}\nwhich means nothing until you have \
             compared it with what the server's operator says",
            end.fingerprint()
        ))),
    }
}

/// Asks the person at the terminal; nothing where there is none.
fn asked(server: &Server, certificate: &Certificate) -> Option<bool> {
    let what = if certificate.is_ca() { "Its authority's certificate" } else { "Its certificate" };
    let subject = printable(&certificate.subject().to_string());
    let question = format!(
        "The system does not trust {server}. {what} ({subject}) has the SHA-256 fingerprint\n  {}\nCompare it with what the server's operator \
         says. Is it the same? [yes/no]",
        certificate.fingerprint()
    );
    prompt::ask(&question).map(|answer| answer.trim() == "yes")
}

/// Goes through the device code flow.
async fn logged_in(server: &Server, belief: &Belief, output: Output) -> Result<Saved, Failure> {
    let answer = server.ask(belief, "GET", DISCOVERY, Sending::default()).await?;
    if answer.status != 200 {
        return Err(refused(&answer));
    }
    let found: Discovery = json(&answer)?;
    // RFC 8414 §3.3. Endpoints elsewhere would get what is meant for this server.
    let issuer = server.to_string();
    if found.issuer != issuer {
        let failure = Failure::new(Exit::Invalid, format!("{issuer} calls itself {}", printable(&found.issuer)));
        return Err(failure.advise("log in at that address, or set `[accounts] issuer` at the server"));
    }
    let path = |endpoint: &str| {
        let path = endpoint.strip_prefix(&issuer).filter(|path| path.starts_with('/'));
        path.map(str::to_owned).ok_or_else(|| Failure::new(Exit::Invalid, format!("{issuer} names paths of another server")))
    };
    let scope = SCOPE.replace(' ', "%20");
    let form = format!("client_id={COMMAND_LINE}&scope={scope}");
    let answer = post_form(server, belief, &path(&found.device_authorization_endpoint)?, &form).await?;
    if answer.status != 200 {
        return Err(refused(&answer));
    }
    let waiting: Waiting = json(&answer)?;
    tell(&waiting, output);
    let mut saved = Saved {
        server: issuer.clone(),
        pinned: if let Belief::Pinned(certificate) = belief { Some(certificate.pem()) } else { None },
        token_path: path(&found.token_endpoint)?,
        revocation_path: path(&found.revocation_endpoint)?,
        access_token: String::new(),
        access_ends: UnixTime::from_secs(0),
        refresh_token: String::new(),
    };
    let tokens = answered(server, belief, &saved.token_path, &waiting).await?;
    take(&mut saved, &tokens)?;
    Ok(saved)
}

/// The code goes to standard error in both forms: whoever waits has to see it before there is an answer.
fn tell(waiting: &Waiting, output: Output) {
    let address = printable(waiting.verification_uri_complete.as_ref().unwrap_or(&waiting.verification_uri));
    let (code, page) = (printable(&waiting.user_code), printable(&waiting.verification_uri));
    if output.is_json() {
        let line = serde_json::json!({ "user_code": code, "verification_uri": page, "verification_uri_complete": address });
        output.notice(line);
    } else {
        output.remark(format!("Open {}\nand let the code {} in.", output.tint(Tint::Strong, address), output.tint(Tint::Strong, code)));
    }
}

/// RFC 8628 §3.5.
async fn answered(server: &Server, belief: &Belief, path: &str, waiting: &Waiting) -> Result<Value, Failure> {
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id={COMMAND_LINE}&device_code={}",
        printable(&waiting.device_code)
    );
    let mut interval = waiting.interval.unwrap_or(5).clamp(1, LONGEST_INTERVAL);
    let mut waited = 0;
    while waited < waiting.expires_in {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        waited += interval;
        let answer = match post_form(server, belief, path, &form).await {
            Ok(answer) => answer,
            // A connection that breaks says nothing about the answer.
            Err(failure) if failure.exit() == Exit::Unavailable => continue,
            Err(failure) => return Err(failure),
        };
        if answer.status == 200 {
            return json(&answer);
        }
        let error: Value = json(&answer).unwrap_or_default();
        match error.get("error").and_then(Value::as_str) {
            Some("authorization_pending") => {}
            Some("slow_down") => interval = (interval + 5).min(LONGEST_INTERVAL),
            Some("access_denied") => return Err(Failure::new(Exit::Denied, "the answer was no")),
            _ => return Err(refused(&answer)),
        }
    }
    Err(Failure::new(Exit::Unavailable, "nobody let the code in in time").advise("`gatehouse login` begins again"))
}

#[derive(Deserialize)]
struct Me {
    id: String,
    email: String,
    name: String,
    organisations: Vec<Organisation>,
}

#[derive(Deserialize)]
struct Organisation {
    id: String,
    name: String,
    role: String,
}

/// Who is logged in where.
#[derive(Serialize)]
struct Who {
    context: String,
    server: String,
    person: String,
    email: String,
    name: String,
    organisation: String,
    organisation_name: String,
    role: String,
    #[serde(skip)]
    output: Output,
}

async fn who(mut api: Api, output: Output) -> Result<Who, Failure> {
    let Me { id, email, name, organisations } = api.read("GET", "/v1/me", None).await?;
    let organisation = api.organisation().unwrap_or_default();
    let own = organisations.into_iter().find(|own| own.id == organisation);
    let (organisation_name, role) = own.map(|own| (own.name, own.role)).unwrap_or_default();
    let (context, server) = (api.name().to_string(), api.server().to_string());
    Ok(Who { context, server, person: id, email, name, organisation, organisation_name, role, output })
}

impl fmt::Display for Who {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let email = self.output.tint(Tint::Strong, printable(&self.email));
        let (name, organisation, role) = (printable(&self.name), printable(&self.organisation_name), printable(&self.role));
        writeln!(out, "{email} ({name})\n  in {organisation} as {role}\n  at {}, context {}", self.server, self.context)
    }
}

#[derive(Serialize)]
struct LoggedOut {
    context: String,
    server: String,
}

impl fmt::Display for LoggedOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "logged out of {} (context {})", self.server, self.context)
    }
}
