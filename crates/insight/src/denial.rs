//! What was not allowed, as a story and a process tell it.
//!
//! Owns which rule a denial is put down to, and which denials are the same. Does not own where it is counted.

use ledger::OsText;
use ledger::event::Reason;

use crate::places::is_named_like_a_secret;

/// Something that was not allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denial {
    /// The kind of action, or the system call.
    pub kind: String,
    /// What it was about.
    pub target: String,
    /// The layer that forbade it.
    pub layer: String,
    /// The rule that forbade it.
    pub rule: String,
    /// What its author says.
    pub why: Option<String>,
    /// How often.
    pub count: u64,
}

impl Denial {
    pub(crate) fn new(kind: &str, target: &str, reasons: &[Reason]) -> Denial {
        let first = reasons.first().cloned().unwrap_or_default();
        let (layer, rule) = match first.rule.is_empty() {
            true => ("built-in".to_owned(), "default".to_owned()),
            false => (first.layer, first.rule),
        };
        Denial { kind: kind.to_owned(), target: target.to_owned(), layer, rule, why: first.why, count: 1 }
    }

    /// Whether it is a read of what is only not shown: runtimes look around like that by the dozen.
    pub fn is_looking_around(&self) -> bool {
        self.kind == "read" && self.rule == "default" && !is_named_like_a_secret(&OsText::from(&*self.target))
    }

    pub(crate) fn same(&self, other: &Denial) -> bool {
        (&self.kind, &self.target, &self.layer, &self.rule)
            == (&other.kind, &other.target, &other.layer, &other.rule)
    }
}
