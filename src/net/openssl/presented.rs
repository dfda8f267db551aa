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
    ssl::{Ssl, SslContextBuilder, SslRef, SslVersion},
};
use std::{
    ffi::c_int,
    mem,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Judges a presented chain, the peer's own certificate first. A peer whose certificate is known by itself has no chain.
pub(crate) type PeerJudge = dyn Fn(&[&[u8]]) -> Result<Option<VerifiedChain>, Refusal> + Send + Sync;

struct Presented {
    judge: Box<PeerJudge>,
    /// The message with the chain, from when it comes until it is judged.
    message: Mutex<Vec<u8>>,
    /// One handshake presents one chain. Renegotiation, which would present another, is off.
    found: OnceLock<Result<Option<Arc<VerifiedChain>>, Refusal>>,
    /// That of the session which is resumed, found good anew.
    again: OnceLock<Arc<VerifiedChain>>,
}

/// Has OpenSSL ask the judge that [`attach`] gives each connection.
pub(super) fn judge_here(builder: &mut SslContextBuilder) {
    ffi::set_judge(builder, see, judge);
}

/// Gives a new connection its judge.
pub(super) fn attach(ssl: &mut SslRef, judge: Box<PeerJudge>) -> Result<(), ErrorStack> {
    ssl.set_ex_data(index()?, Presented { judge, message: Mutex::default(), found: OnceLock::new(), again: OnceLock::new() });
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
    let Some((_, below)) = chain.path().split_last() else { return false };
    let presented: Vec<&[u8]> = below.iter().map(|certificate| certificate.der()).collect();
    match ffi::contain(|| (attached.judge)(&presented)) {
        Some(Ok(Some(chain))) => attached.again.set(Arc::new(chain)).is_ok(),
        // A judge that panics finds nothing good.
        None | Some(Ok(None) | Err(_)) => false,
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

/// The type of the message with the chain (RFC 5246 §7.4, RFC 8446 §4).
const CERTIFICATE: u8 = 11;

fn see(ssl: &SslRef, message: &[u8]) {
    if message.first() == Some(&CERTIFICATE)
        && let Some(attached) = index().ok().and_then(|index| ssl.ex_data(index))
    {
        *attached.message.lock().unwrap_or_else(PoisonError::into_inner) = message.to_vec();
    }
}

fn judge(ssl: &SslRef) -> Result<(), c_int> {
    let attached = index().ok().and_then(|index| ssl.ex_data(index)).ok_or(REJECTED)?;
    let message = mem::take(&mut *attached.message.lock().unwrap_or_else(PoisonError::into_inner));
    // OpenSSL reads other encodings than DER and would write them anew as DER: what counts is what was presented.
    let presented = certificates(&message, ssl.version2()).ok_or(REJECTED)?;
    let verdict = (attached.judge)(&presented).map(|chain| chain.map(Arc::new));
    let answer = verdict.as_ref().map(|_| ()).map_err(reason);
    attached.found.set(verdict).map_err(|_| REJECTED)?;
    answer
}

/// The certificates of the message, whose header DTLS has eight more bytes in.
fn certificates(message: &[u8], version: Option<SslVersion>) -> Option<Vec<&[u8]>> {
    let is_13 = version == Some(SslVersion::TLS1_3);
    let mut rest = message.get(if version == Some(SslVersion::DTLS1_2) { 12 } else { 4 }..)?;
    if is_13 {
        let context = number(&mut rest, 1)?;
        rest = rest.get(context..)?;
    }
    let length = number(&mut rest, 3)?;
    if length != rest.len() {
        return None;
    }
    let mut certificates = Vec::new();
    while !rest.is_empty() {
        let length = number(&mut rest, 3)?;
        let (certificate, after) = rest.split_at_checked(length)?;
        certificates.push(certificate);
        rest = after;
        if is_13 {
            // RFC 8446 §4.4.2: what is said about the certificate.
            let extensions = number(&mut rest, 2)?;
            rest = rest.get(extensions..)?;
        }
    }
    Some(certificates)
}

fn number(rest: &mut &[u8], width: usize) -> Option<usize> {
    let (bytes, after) = rest.split_at_checked(width)?;
    *rest = after;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
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
