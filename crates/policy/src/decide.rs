//! The only judge.

use std::fmt;

use serde::Serialize;

/// A rule, or what stood in for one, that led to a decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Reason {
    /// The layer that says so.
    pub layer: String,
    /// The rule's id, or `default`, or `built-in`.
    pub rule: String,
    /// What its author says to whom it stops.
    pub why: Option<String>,
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(to, "rule {}: {why}", self.rule),
            None => write!(to, "rule {}", self.rule),
        }
    }
}

/// What is decided about an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may happen.
    Allow {
        /// The rules that allow it.
        reasons: Vec<Reason>,
    },
    /// It may happen once this is shown.
    Ask {
        /// What must be shown.
        need: crate::Need,
        /// The rules that ask.
        reasons: Vec<Reason>,
    },
    /// It may not happen.
    Deny {
        /// The rules that deny it.
        reasons: Vec<Reason>,
    },
}
