//! How much work one presented chain may make.

use crate::rule::Rule;

/// How many signatures are checked for one presented chain. A path has at most one certificate more.
pub const MAX_SIGNATURES: usize = 8;

/// How many steps upwards are taken. A chain takes as many as it has certificates; four CAs that all certified each
/// other take 48.
const MAX_STEPS: usize = 128;

/// How many times a name is held against a constraint. A leaf with 100 names below a CA with 40 constraints takes half.
const MAX_COMPARISONS: usize = 8192;

/// The work that is left.
pub(super) struct Budget {
    signatures: usize,
    steps: usize,
    comparisons: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { signatures: MAX_SIGNATURES, steps: MAX_STEPS, comparisons: MAX_COMPARISONS }
    }

    pub(super) fn spent_signatures(&self) -> usize {
        MAX_SIGNATURES - self.signatures
    }

    pub(super) fn signature(&mut self) -> Result<(), Rule> {
        spend(&mut self.signatures, 1)
    }

    pub(super) fn step(&mut self) -> Result<(), Rule> {
        spend(&mut self.steps, 1)
    }

    pub(super) fn comparisons(&mut self, count: usize) -> Result<(), Rule> {
        spend(&mut self.comparisons, count)
    }
}

fn spend(left: &mut usize, count: usize) -> Result<(), Rule> {
    *left = left.checked_sub(count).ok_or(Rule::WorkExceeded)?;
    Ok(())
}
