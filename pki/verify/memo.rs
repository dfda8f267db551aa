//! Which signatures of intermediates were found good before.
//!
//! A verification of a signature is the dearest part of judging a chain, and devices of one maker all present the same
//! intermediates. What is remembered is one fact of arithmetic: that this issuer's key made the signature in these very bytes.
//! It stays true whatever the time, the purpose, the policy or the revocation lists are, so that all of those are judged anew
//! each time, and nothing has to be forgotten when one of them changes. A leaf's signature is never remembered: a fleet has too many.
//!
//! Signatures are checked from the anchor down, so that only what a believed CA has signed is ever remembered, and a peer
//! cannot drive out what is known with certificates of its own making. Who judges keeps one of these beside the anchors.

use crate::certificate::Certificate;
use ring::digest;
use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{Mutex, PoisonError},
};

/// Remembers good signatures of intermediates, up to a number.
pub struct Memo {
    capacity: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    facts: HashSet<Fact>,
    /// The oldest first.
    order: VecDeque<Fact>,
}

/// SHA-256 over the issuer's key and the certificate, both in DER, which says by itself where it ends.
type Fact = [u8; digest::SHA256_OUTPUT_LEN];

impl Memo {
    /// Remembers nothing yet, and never more than this many signatures; the oldest is forgotten for a new one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, known: Mutex::default() }
    }

    /// How many signatures are known to be good.
    pub fn len(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).facts.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn knows(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).facts.contains(&fact(certificate, issuer))
    }

    pub(super) fn learn(&self, certificate: &Certificate, issuer: &Certificate) {
        let fact = fact(certificate, issuer);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.capacity == 0 || !known.facts.insert(fact) {
            return;
        }
        known.order.push_back(fact);
        if known.order.len() > self.capacity
            && let Some(oldest) = known.order.pop_front()
        {
            known.facts.remove(&oldest);
        }
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Memo({} of {})", self.len(), self.capacity)
    }
}

fn fact(certificate: &Certificate, issuer: &Certificate) -> Fact {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(issuer.public_key().spki_der());
    hash.update(certificate.der());
    let mut fact = [0; digest::SHA256_OUTPUT_LEN];
    fact.copy_from_slice(hash.finish().as_ref());
    fact
}
