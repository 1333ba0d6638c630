//! Why: the decision, every rule that spoke, and the one that almost did.

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What is decided.
    pub decision: crate::Decision,
}
