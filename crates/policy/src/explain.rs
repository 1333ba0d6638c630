//! Why: the decision, every rule that spoke, and the one that almost did.

use crate::{Action, Decision, Policy};

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What is decided.
    pub decision: Decision,
}

/// Explains, by the same judge.
pub(crate) fn explain(policy: &Policy, action: &Action) -> Explanation {
    Explanation { decision: policy.decide(action, &[]) }
}
