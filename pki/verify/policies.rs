//! Certificate policies (RFC 5280 §6.1.2 to §6.1.5).
//!
//! The user's initial policies are *any*, so the only question is whether the tree of valid policies is empty where a
//! CA demands that it is not. For that each level's set of expected policies is enough: whole trees, which can grow
//! exponentially, are never built.

use crate::{
    certificate::Certificate,
    extensions::{Extensions, PolicyMapping},
    oid::ANY_POLICY,
    rule::Rule,
};

/// The state of policy processing between two certificates, on the way down from the anchor.
#[derive(Debug)]
pub(super) struct Policies {
    /// How many more certificates may follow before a valid policy is demanded; likewise for the other two.
    explicit: u32,
    mapping: u32,
    any: u32,
    /// Whether the tree has a node for any-policy at this depth.
    holds_any: bool,
    /// The expected policies of all other nodes at this depth. Kept sorted and without repetitions.
    expected: Vec<Box<[u8]>>,
}

impl Policies {
    /// The state below an anchor, for a path with so many certificates below it.
    pub(super) fn below(anchor: &Certificate, certificates: usize) -> Self {
        // RFC 5280 §6.1.2 (d) to (f): more than can ever be counted down.
        let most = u32::try_from(certificates).unwrap_or(u32::MAX).saturating_add(1);
        let mut policies = Self { explicit: most, mapping: most, any: most, holds_any: true, expected: Vec::new() };
        policies.constrain(&anchor.extensions);
        policies
    }

    /// Takes the next certificate.
    pub(super) fn take(&mut self, certificate: &Certificate, is_leaf: bool) -> Result<(), Rule> {
        self.intersect(certificate, is_leaf);
        // §6.1.3 (f)
        if self.explicit == 0 && self.is_empty() {
            return Err(Rule::Policy);
        }
        if is_leaf { self.wrap_up(certificate) } else { self.prepare(certificate) }
    }

    /// §6.1.3 (d) and (e): which policies of the certificate are valid.
    fn intersect(&mut self, certificate: &Certificate, is_leaf: bool) {
        let policies = &certificate.extensions.policies;
        let names_any = policies.iter().any(|policy| **policy == *ANY_POLICY);
        let takes_any = names_any && (self.any > 0 || !is_leaf && certificate.is_self_issued());
        let before = std::mem::take(&mut self.expected);
        let valid = policies.iter().filter(|policy| ***policy != *ANY_POLICY && (self.holds_any || before.contains(policy)));
        self.expected = valid.cloned().collect();
        if takes_any {
            self.expected.extend(before);
        }
        self.holds_any &= takes_any;
        self.tidy();
    }

    /// §6.1.4 (a), (b), (h), (i), (j)
    fn prepare(&mut self, certificate: &Certificate) -> Result<(), Rule> {
        let mappings = &certificate.extensions.policy_mappings;
        if mappings.iter().any(|mapping| *mapping.issuers == *ANY_POLICY || *mapping.subjects == *ANY_POLICY) {
            return Err(Rule::PolicyMapping);
        }
        self.map(mappings);
        if !certificate.is_self_issued() {
            for counter in [&mut self.explicit, &mut self.mapping, &mut self.any] {
                *counter = counter.saturating_sub(1);
            }
        }
        self.constrain(&certificate.extensions);
        Ok(())
    }

    /// §6.1.4 (b)
    fn map(&mut self, mappings: &[PolicyMapping]) {
        let before = std::mem::take(&mut self.expected);
        let mapped = |policy: &[u8]| mappings.iter().any(|mapping| *mapping.issuers == *policy);
        if self.mapping > 0 {
            let subjects = mappings.iter().filter(|mapping| self.holds_any || before.contains(&mapping.issuers));
            self.expected = subjects.map(|mapping| mapping.subjects.clone()).collect();
        }
        self.expected.extend(before.into_iter().filter(|policy| !mapped(policy)));
        self.tidy();
    }

    /// §6.1.5 (a), (b) and (g)
    fn wrap_up(&mut self, leaf: &Certificate) -> Result<(), Rule> {
        self.explicit = self.explicit.saturating_sub(1);
        if leaf.extensions.policy_constraints.and_then(|constraints| constraints.require_explicit) == Some(0) {
            self.explicit = 0;
        }
        if self.explicit == 0 && self.is_empty() { Err(Rule::Policy) } else { Ok(()) }
    }

    /// §6.1.4 (i) and (j)
    fn constrain(&mut self, extensions: &Extensions) {
        if let Some(constraints) = extensions.policy_constraints {
            self.explicit = constraints.require_explicit.map_or(self.explicit, |limit| limit.min(self.explicit));
            self.mapping = constraints.inhibit_mapping.map_or(self.mapping, |limit| limit.min(self.mapping));
        }
        self.any = extensions.inhibit_any_policy.map_or(self.any, |limit| limit.min(self.any));
    }

    fn is_empty(&self) -> bool {
        !self.holds_any && self.expected.is_empty()
    }

    fn tidy(&mut self) {
        self.expected.sort();
        self.expected.dedup();
    }
}
