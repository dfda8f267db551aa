//! What the peer of one connection presented, and what was found about it.
//!
//! The judge travels with the connection and not with its context, so that one context serves many judges of the same
//! transport, and the verdict is where the connection is.

use super::ffi;
use crate::Refusal;
use gatehouse_pki::{Blame, Rule, VerifiedChain};
use openssl::{
    error::ErrorStack,
    ex_data::Index,
    ssl::{Ssl, SslContextBuilder, SslRef},
};
use std::{
    ffi::c_int,
    sync::{Arc, OnceLock},
};

/// Judges a presented chain, the peer's own certificate first. A peer whose certificate is known by itself has no chain.
pub(crate) type PeerJudge = dyn Fn(&[&[u8]]) -> Result<Option<VerifiedChain>, Refusal> + Send + Sync;

struct Presented {
    judge: Box<PeerJudge>,
    /// One handshake presents one chain. Renegotiation, which would present another, is off.
    found: OnceLock<Result<Option<Arc<VerifiedChain>>, Refusal>>,
    /// That of the session which is resumed, found good anew.
    again: OnceLock<Arc<VerifiedChain>>,
}

/// Has OpenSSL ask the judge that [`attach`] gives each connection.
pub(super) fn judge_here(builder: &mut SslContextBuilder) {
    ffi::set_judge(builder, judge);
}

/// Gives a new connection its judge.
pub(super) fn attach(ssl: &mut SslRef, judge: Box<PeerJudge>) -> Result<(), ErrorStack> {
    ssl.set_ex_data(index()?, Presented { judge, found: OnceLock::new(), again: OnceLock::new() });
    Ok(())
}

/// The chain that the peer presented and that was found good in this connection's handshake, or anew where that resumed a session.
pub(crate) fn found(ssl: &SslRef) -> Option<Arc<VerifiedChain>> {
    match verdict(ssl) {
        Some(verdict) => verdict.as_ref().ok()?.clone(),
        None if ssl.session_reused() => ssl.ex_data(index().ok()?)?.again.get().cloned(),
        None => None,
    }
}

/// Judges the chain of a session that a peer wants to resume as if the peer presented it now. Where OpenSSL does not resume
/// the session after all, what the peer presents counts and this does not.
pub(crate) fn judge_again(ssl: &SslRef, chain: &VerifiedChain) -> bool {
    let Some(attached) = index().ok().and_then(|index| ssl.ex_data(index)) else { return false };
    // The anchor is ours and never was presented.
    let (_, below) = chain.path().split_last().expect("a path has an anchor");
    let presented: Vec<&[u8]> = below.iter().map(|certificate| certificate.der()).collect();
    match (attached.judge)(&presented) {
        Ok(Some(chain)) => attached.again.set(Arc::new(chain)).is_ok(),
        Ok(None) | Err(_) => false,
    }
}

/// Why the peer was refused, if it was for its certificate.
pub(crate) fn refusal(ssl: &SslRef) -> Option<&Refusal> {
    verdict(ssl)?.as_ref().err()
}

fn verdict(ssl: &SslRef) -> Option<&Result<Option<Arc<VerifiedChain>>, Refusal>> {
    ssl.ex_data(index().ok()?)?.found.get()
}

fn index() -> Result<Index<Ssl, Presented>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Presented>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let made = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| made))
}

fn judge(ssl: &SslRef, presented: &[Vec<u8>]) -> Result<(), c_int> {
    let attached = index().ok().and_then(|index| ssl.ex_data(index)).ok_or(REJECTED)?;
    let presented: Vec<&[u8]> = presented.iter().map(Vec::as_slice).collect();
    let verdict = (attached.judge)(&presented).map(|chain| chain.map(Arc::new));
    let answer = verdict.as_ref().map(|_| ()).map_err(reason);
    attached.found.set(verdict).map_err(|_| REJECTED)?;
    answer
}

/// `X509_V_ERR_CERT_REJECTED`, of which OpenSSL makes the alert `bad_certificate`.
const REJECTED: c_int = 28;

/// The alert tells the peer what it can act on; the numbers are OpenSSL's for what leads to that alert.
fn reason(refusal: &Refusal) -> c_int {
    let Refusal::Chain(rejection) = refusal else { return REJECTED };
    match rejection.rule() {
        Rule::Expired if rejection.blame() == Blame::Time => 10,
        Rule::Revoked => 23,
        Rule::UnknownIssuer | Rule::NotThroughLead => 20,
        Rule::ExtendedKeyUsage => 26,
        _ => REJECTED,
    }
}
