//! The server of a context, asked as whoever logged in. Commands that talk to the HTTP API go through here.
//!
//! An access token is renewed before it ends, under the context's lock. What the server refuses becomes a [`Failure`] with the code and
//! the words that it gave.

use super::{
    Exit, Failure,
    logins::{Locked, Name, Saved},
};
use gatehouse_accounts::COMMAND_LINE;
use gatehouse_base::{Clock, SystemClock};
use gatehouse_client::https::{Answer, Belief, Sending, Server};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// A token that ends sooner is renewed first.
const SPARE: Duration = Duration::from_secs(30);
const FORM: &str = "application/x-www-form-urlencoded";

/// The API of a context's server.
pub(super) struct Api {
    name: Name,
    saved: Saved,
    server: Server,
    belief: Belief,
}

impl Api {
    /// The API of the context of this name, or of the present one.
    pub(super) fn open(named: Option<Name>) -> Result<Self, Failure> {
        let name = Name::or_present(named);
        let saved = name.load()?.ok_or_else(|| not_logged_in(&name))?;
        let (server, belief) = saved.server()?;
        Ok(Self { name, saved, server, belief })
    }

    /// The context.
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// The server.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Asks, with a body in JSON where there is one.
    pub(super) async fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let token = self.token().await?;
        let body = body.map(Value::to_string);
        let body = body.as_ref().map(|body| ("application/json", body.as_bytes()));
        let answer = self.server.ask(&self.belief, method, path, Sending { bearer: Some(&token), body }).await?;
        if answer.status < 300 { Ok(answer) } else { Err(refused(&answer)) }
    }

    /// Asks and reads the answer.
    pub(super) async fn read<T: DeserializeOwned>(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<T, Failure> {
        let answer = self.ask(method, path, body).await?;
        json(&answer)
    }

    /// Which organisation the token is for, as the token itself tells.
    pub(super) fn organisation(&self) -> Option<String> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let claims = URL_SAFE_NO_PAD.decode(self.saved.access_token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        claims.get("owner")?.as_str().map(str::to_owned)
    }

    /// Ends the login, here and at the server.
    pub(super) async fn log_out(self) -> Result<(), Failure> {
        let locked = lock(&self.name).await?;
        let saved = self.name.load()?.ok_or_else(|| not_logged_in(&self.name))?;
        // Forgotten here whatever the server says: whoever logs out must not be logged in because the server is away.
        locked.forget()?;
        let form = format!("client_id={COMMAND_LINE}&token={}", saved.refresh_token);
        let answer = post_form(&self.server, &self.belief, &saved.revocation_path, &form).await?;
        if answer.status == 200 { Ok(()) } else { Err(refused(&answer)) }
    }

    async fn token(&mut self) -> Result<String, Failure> {
        if self.is_old() {
            let locked = lock(&self.name).await?;
            // Another command may have renewed it while we waited.
            self.saved = self.name.load()?.ok_or_else(|| not_logged_in(&self.name))?;
            if self.is_old() {
                let form = format!("grant_type=refresh_token&client_id={COMMAND_LINE}&refresh_token={}", self.saved.refresh_token);
                let answer = post_form(&self.server, &self.belief, &self.saved.token_path, &form).await?;
                if answer.status != 200 {
                    return Err(refused(&answer).advise("`gatehouse login` begins a new login"));
                }
                take(&mut self.saved, &json(&answer)?)?;
                locked.save(&self.saved)?;
            }
        }
        Ok(self.saved.access_token.clone())
    }

    fn is_old(&self) -> bool {
        SystemClock.now() + SPARE >= self.saved.access_ends
    }
}

/// Puts the tokens of an answer into a login.
pub(super) fn take(saved: &mut Saved, answer: &Value) -> Result<(), Failure> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let seconds = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(0);
    let (Some(access), Some(refresh)) = (text("access_token"), text("refresh_token")) else {
        return Err(Failure::new(Exit::Failed, "the server gave no tokens"));
    };
    (saved.access_token, saved.refresh_token) = (access, refresh);
    saved.access_ends = SystemClock.now() + Duration::from_secs(seconds.min(24 * 3600));
    Ok(())
}

/// Sends a form, as OAuth has it.
pub(super) async fn post_form(server: &Server, belief: &Belief, path: &str, form: &str) -> Result<Answer, Failure> {
    Ok(server.ask(belief, "POST", path, Sending { bearer: None, body: Some((FORM, form.as_bytes())) }).await?)
}

/// The answer's JSON.
pub(super) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| Failure::new(Exit::Failed, format!("the server's answer cannot be read: {error}")))
}

/// What the server refused, in its words: problem details, or an error of OAuth.
pub(super) fn refused(answer: &Answer) -> Failure {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |names: [&str; 3]| names.iter().find_map(|name| body.get(*name)?.as_str()).map(printable);
    let exit = match answer.status {
        400 | 413 | 415 | 422 => Exit::Invalid,
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 => Exit::Conflict,
        429 | 502..=504 => Exit::Unavailable,
        _ => Exit::Failed,
    };
    let message = text(["detail", "error_description", "title"]).unwrap_or_else(|| "it gave no reason".to_owned());
    let mut failure = Failure::new(exit, format!("the server refused ({}): {message}", answer.status));
    if let Some(code) = text(["code", "error", "error"]) {
        failure.code = code;
    }
    if answer.status == 401 { failure.advise("`gatehouse login` begins a new login") } else { failure }
}

/// A server's words must not move the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(1000).collect()
}

/// Waits for the lock without holding up anything else.
pub(super) async fn lock(name: &Name) -> Result<Locked, Failure> {
    let name = name.clone();
    let locked = tokio::task::spawn_blocking(move || name.lock()).await;
    locked.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?
}

fn not_logged_in(name: &Name) -> Failure {
    let failure = Failure::new(Exit::Denied, format!("nobody is logged in in the context `{name}`"));
    failure.advise("`gatehouse login --server https://HOST:PORT` begins a login")
}
