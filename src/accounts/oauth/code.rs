//! Authorization codes: what a browser carries from a person's consent to the program (RFC 6749 §4.1, RFC 7636).
//!
//! A code is good once, for a minute, for the client, the address and the challenge that it was asked with. A wrong try uses it up.
//! One that is shown again was copied on its way: what the first one gave ends.

use super::{
    Scope,
    consent::Said,
    grants::{Granting, NewGrant, Proof},
};
use crate::{Accounts, StateError, rows, secret, session::SessionId};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_store::{Batch, Table, codec::Bytes};
use gatehouse_types::{OrganisationId, PersonId, Secret, UnixTime};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Codes by their digest.
pub(crate) const CODES: Table = Table::new("account-codes");

const ENDS: Duration = Duration::from_secs(60);
/// How long a used code is known, so that a second use is noticed: longer than what it gave without a refresh token.
const KNOWN_AFTER: Duration = Duration::from_secs(3600);
const PURPOSE: &str = "authorization code";

/// A code as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Code {
    client: String,
    redirect: String,
    challenge: String,
    nonce: Option<String>,
    person: PersonId,
    organisation: OrganisationId,
    scope: Scope,
    proof: Proof,
    /// The session in which it was asked for; a code does not outlive it.
    session: Bytes,
    /// Since when the consent stands that it is given for; a code does not outlive that either.
    #[serde(default)]
    consent: Option<UnixTime>,
    ends: UnixTime,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Fresh,
    /// It was tried and did not fit.
    Burnt,
    /// It gave this grant.
    Used(String),
}

/// What a code is asked for with.
#[derive(Clone, Debug)]
pub(crate) struct NewCode {
    pub(crate) client: String,
    pub(crate) redirect: String,
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    pub(crate) person: PersonId,
    pub(crate) organisation: OrganisationId,
    pub(crate) scope: Scope,
    pub(crate) proof: Proof,
    pub(crate) session: SessionId,
    pub(crate) consent: UnixTime,
}

/// What a program shows with a code.
#[derive(Debug)]
pub(crate) struct ShownCode<'a> {
    pub(crate) code: Secret,
    pub(crate) redirect: &'a str,
    pub(crate) verifier: &'a str,
}

/// What became of a code that was shown.
#[derive(Debug)]
pub(crate) enum Exchanged {
    Granted(Box<Granting>, Option<String>),
    Refused,
}

impl Accounts {
    /// A new code with the batch that keeps it.
    pub(crate) fn beginning_code(&self, batch: Batch, new: NewCode) -> (Batch, Secret) {
        let NewCode { client, redirect, challenge, nonce, person, organisation, scope, proof, session, consent } = new;
        let drawn = secret::draw(&*self.random);
        let (session, ends) = (session.0.to_vec().into(), self.clock.now() + ENDS);
        let (consent, state) = (Some(consent), State::Fresh);
        let code = Code { client, redirect, challenge, nonce, person, organisation, scope, proof, session, consent, ends, state };
        (batch.and(rows::new(CODES, secret::digest_of(PURPOSE, &drawn), &code)), drawn)
    }

    /// Takes a code, once.
    pub(crate) async fn exchange(&self, by: &str, shown: &ShownCode<'_>) -> Result<Exchanged, StateError> {
        let key = secret::digest_of(PURPOSE, &shown.code);
        rows::change(&self.events, || async {
            let refused = |batch| Ok((batch, Exchanged::Refused));
            let Some(mut row) = rows::find::<Code>(&self.events, CODES, key).await? else { return refused(Batch::new()) };
            // Another client cannot use it up: whoever has it must not spoil it for the one that it is for.
            if row.value.client != by {
                return refused(Batch::new());
            }
            match &row.value.state {
                State::Fresh => {}
                State::Burnt => return refused(Batch::new()),
                State::Used(grant) => return refused(self.ending_replayed(Batch::new(), grant).await?),
            }
            let code = row.value.clone();
            let fits = code.redirect == shown.redirect && challenge_of(shown.verifier).as_deref() == Some(code.challenge.as_str());
            let may_act = self.may_act_in(code.person, code.organisation).await?;
            let session = SessionId::from_kept(&code.session);
            let session = if let Some(id) = session { self.session_proof(id).await? } else { None };
            let said = Said { person: code.person, organisation: code.organisation, since: code.consent };
            let consent = self.standing_consent(&said, by, &code.scope).await?;
            let standing = session.zip(consent).filter(|_| fits && may_act && self.clock.now() < code.ends);
            let Some(((session, _), consent)) = standing else {
                row.value.state = State::Burnt;
                return refused(row.rewritten());
            };
            let Code { client, person, organisation, scope, proof, nonce, .. } = code;
            let new = NewGrant { person, organisation, client, scope, proof };
            // A password that changes at this moment ends the session, and this with it; so does a consent that is taken back.
            let (batch, granting) = self.beginning_grant(session.rewritten().and(consent), new).await?;
            row.value.state = State::Used(granting.id.to_string());
            Ok((row.rewritten().and(batch), Exchanged::Granted(Box::new(granting), nonce)))
        })
        .await
    }

    /// Forgets codes whose time is over.
    pub(crate) async fn forget_ended_codes(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, CODES, |code: &Code| code.ends + KNOWN_AFTER <= now, |batch, _, _| batch).await
    }
}

/// RFC 7636 §4.6, for a verifier as §4.1 writes it.
fn challenge_of(verifier: &str) -> Option<String> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_verifier = (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved);
    is_verifier.then(|| BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref()))
}

/// Whether a text can be the challenge of a verifier: a SHA-256 in base 64.
pub(crate) fn is_challenge(text: &str) -> bool {
    BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_the_specification_is_that_of_its_verifier() {
        // RFC 7636 appendix B.
        let challenge = challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge.as_deref(), Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        for short in ["", "abc", &"a".repeat(42), &"a".repeat(129), &format!("{}+", "a".repeat(43))] {
            assert_eq!(challenge_of(short), None, "{short}");
        }
        assert!(is_challenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM") && !is_challenge("E9Melhoa") && !is_challenge(""));
    }
}
