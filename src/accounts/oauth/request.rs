//! What a program sends somebody's browser to us with (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1), looked at completely before
//! anything is answered.
//!
//! Until it is known that the client exists and that the address is registered for it, nothing is ever sent to that address: the
//! person sees a page of ours. From then on the client is told what is wrong, with `state` and with our name (RFC 9207): at once where it
//! is trusted, and otherwise once the person has seen where that leads ([`browser`](super::browser)).

use super::{
    Client, Scope,
    code::is_challenge,
    redirect::{source_of, with_answers},
    scope::Word,
};
use crate::{Accounts, StateError};
use axum::{extract::Query, http::Uri};

/// The longest request: browsers and servers in between take no longer ones everywhere.
const MOST_BYTES: usize = 4096;
/// The longest `state` and `nonce`.
const MOST_VALUE_BYTES: usize = 1024;

/// A request of a known client, whose answer may be sent to its address.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub(crate) id: String,
    pub(crate) client: Client,
    pub(crate) redirect: String,
    pub(crate) scope: Scope,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: String,
    pub(crate) prompt: Prompt,
    /// How many seconds ago the person may have signed in.
    pub(crate) max_age: Option<u64>,
    pub(crate) login_hint: String,
    state: Option<String>,
    issuer: String,
    /// Whether nobody but this client can be behind the address.
    pub(crate) is_exclusive: bool,
}

/// What the client wants the person to be asked (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) none: bool,
    pub(crate) login: bool,
    pub(crate) consent: bool,
}

/// Why a client gets nothing, in the words of RFC 6749 §4.1.2.1 and in ours.
pub(crate) type Why = (&'static str, &'static str);

/// A request that nobody is asked about.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is told to the person, on a page of ours.
    Page(&'static str),
    /// It is told to the client, at its address, if the browser may be sent there.
    Client(Box<AuthorizationRequest>, Why),
    Ours(StateError),
}

impl From<StateError> for Refused {
    fn from(error: StateError) -> Self {
        Self::Ours(error)
    }
}

/// The parameters of a query, none of which may come twice (RFC 6749 §3.1).
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn read(query: &str) -> Option<Self> {
        let uri: Uri = format!("/?{query}").parse().ok().filter(|_| query.len() <= MOST_BYTES)?;
        Query::<Vec<(String, String)>>::try_from_uri(&uri).ok().map(|pairs| Self(pairs.0))
    }

    /// Nothing where it is absent, empty or comes twice: an empty one counts as left out (RFC 6749 §3.1).
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let (_, value) = values.next()?;
        (values.next().is_none() && !value.is_empty()).then_some(value)
    }

    /// Whether one comes twice: then nobody knows which of them counts.
    pub(crate) fn repeated(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair.first() == pair.last())
    }
}

impl Accounts {
    /// Reads and checks a request.
    pub(crate) async fn authorization_request(&self, query: &str) -> Result<AuthorizationRequest, Refused> {
        let parameters = Parameters::read(query).ok_or(Refused::Page("The request cannot be read, or is too long."))?;
        let issuer = self.issuer.clone().ok_or(Refused::Page("This installation has no address by which programs know it."))?;
        let id = parameters.one("client_id").ok_or(Refused::Page("The request does not say which program it comes from."))?;
        let client = self.client(id).await?.ok_or(Refused::Page("The program that sent you here is not known."))?;
        let asked = parameters.one("redirect_uri").ok_or(Refused::Page("The request does not say where to go back to."))?;
        let unknown = Refused::Page("The program that sent you here wants you sent to an address that is not registered for it.");
        let registered = client.redirect(asked).ok_or(unknown)?;
        let is_exclusive = registered.is_exclusive();
        let state = parameters.one("state").map(str::to_owned);
        let mut request = AuthorizationRequest {
            id: id.to_owned(),
            redirect: asked.to_owned(),
            scope: Scope::default(),
            nonce: parameters.one("nonce").map(str::to_owned),
            challenge: String::new(),
            prompt: Prompt::default(),
            max_age: None,
            login_hint: parameters.one("login_hint").unwrap_or_default().chars().take(320).collect(),
            state: state.filter(|state| state.len() <= MOST_VALUE_BYTES),
            issuer,
            is_exclusive,
            client,
        };
        match request.complete(&parameters) {
            Ok(()) => Ok(request),
            Err(why) => Err(Refused::Client(Box::new(request), why)),
        }
    }
}

impl AuthorizationRequest {
    /// Checks what the client may be told about.
    fn complete(&mut self, parameters: &Parameters) -> Result<(), Why> {
        if parameters.repeated() {
            return Err(("invalid_request", "every parameter comes once"));
        }
        let too_long = |name| parameters.one(name).is_some_and(|value| value.len() > MOST_VALUE_BYTES);
        if too_long("state") || too_long("nonce") {
            return Err(("invalid_request", "state and nonce have 1024 bytes at most"));
        }
        if parameters.one("request").is_some() {
            return Err(("request_not_supported", "requests are not taken as JWT"));
        }
        if parameters.one("request_uri").is_some() {
            return Err(("request_uri_not_supported", "requests are not fetched"));
        }
        match parameters.one("response_type") {
            Some("code") => {}
            Some(_) => return Err(("unsupported_response_type", "the response type here is code")),
            None => return Err(("invalid_request", "response_type is missing")),
        }
        if parameters.one("response_mode").is_some_and(|mode| mode != "query") {
            return Err(("invalid_request", "the response mode here is query"));
        }
        // Left out, the method would be `plain` (RFC 7636 §4.3), which whoever sees the request can answer.
        let method = parameters.one("code_challenge_method");
        let challenge = parameters.one("code_challenge").filter(|challenge| method == Some("S256") && is_challenge(challenge));
        self.challenge = challenge.ok_or(("invalid_request", "code_challenge with the method S256 is needed (RFC 7636)"))?.to_owned();
        let allowed = self.client.scope();
        self.scope = match parameters.one("scope").map(str::parse::<Scope>) {
            Some(Ok(scope)) if !scope.is_empty() => scope,
            Some(_) => return Err(("invalid_scope", "there is a scope that is not known here")),
            None => Scope::of(self.client.rights.iter().copied().map(Word::Of)),
        };
        if self.scope.is_empty() || self.scope.beyond(&allowed).is_some() {
            return Err(("invalid_scope", "the client may not ask for all of this"));
        }
        self.prompt = prompt(parameters.one("prompt").unwrap_or_default())?;
        if let Some(age) = parameters.one("max_age") {
            self.max_age = Some(age.parse().map_err(|_| ("invalid_request", "max_age is a number of seconds"))?);
        }
        Ok(())
    }

    /// Where a refusal is told.
    pub(crate) fn refusal(&self, (error, description): Why) -> String {
        self.answer(&[("error", error), ("error_description", description)])
    }

    /// Where a code is sent.
    pub(crate) fn success(&self, code: &str) -> String {
        self.answer(&[("code", code)])
    }

    fn answer(&self, answers: &[(&str, &str)]) -> String {
        let state = self.state.as_ref().map(|state| ("state", state.as_str()));
        let answers: Vec<_> = answers.iter().copied().chain(state).chain([("iss", self.issuer.as_str())]).collect();
        with_answers(&self.redirect, &answers)
    }

    /// Where the browser goes with an answer, as a page's policy names it.
    pub(crate) fn leads_to(&self) -> String {
        source_of(&self.redirect)
    }
}

fn prompt(text: &str) -> Result<Prompt, Why> {
    let mut prompt = Prompt::default();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.none = true,
            // There is no list of accounts to choose from: whoever wants another one signs in with it.
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return Err(("invalid_request", "prompt is none, login, consent or select_account")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(("invalid_request", "prompt=none stands alone"));
    }
    Ok(prompt)
}
