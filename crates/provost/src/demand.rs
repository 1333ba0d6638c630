//! What policy demands before a change lands, beside what every landing needs.
//!
//! Owns asking the one judge for each changed file, and saying it. Does not own the judgement, nor what is kept back by it
//! (`admission`, `workspace`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use policy::{AbsPath, Action, Decision, Need, Policy, Reason};
use serde::Serialize;

/// What a rule demands of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Demand {
    /// `human`, `humans(2)`, `never` and their like.
    pub need: Need,
    /// The rule, or `default`.
    pub rule: String,
    /// What its author says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Demand {
    /// What a policy demands of a file, if that is more than a person's word: by a rule that speaks of it, or by a default
    /// that lets nothing land.
    #[must_use]
    pub fn of(policy: &Policy, root: &Path, path: &Path) -> Option<Demand> {
        let action = Action::Land(AbsPath::new(&root.join(path)).ok()?);
        let (need, reasons) = match policy.decide(&action, &[]) {
            Decision::Allow { .. } => return None,
            Decision::Ask { need, reasons } => (need, reasons),
            Decision::Deny { reasons } => (Need::Never, reasons),
        };
        let Reason { rule, why, .. } = reasons.into_iter().next()?;
        (need > Need::Human || rule != "default").then_some(Demand { need, rule, why })
    }

    /// Of all these files, what waits for a yes of its own by it.
    #[must_use]
    pub fn waiting<'a>(
        policy: &Policy,
        root: &Path,
        paths: impl Iterator<Item = &'a Path>,
    ) -> BTreeMap<PathBuf, Demand> {
        let demand = |path: &Path| Some((path.to_owned(), Demand::of(policy, root, path)?));
        paths.filter_map(demand).collect()
    }

    /// Whether nothing lets it land.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.need == Need::Never
    }

    /// Whether the word of one person is not enough.
    #[must_use]
    pub fn is_more_than_one(&self) -> bool {
        matches!(self.need, Need::Humans(many) if many > 1)
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.need {
            Need::Never => to.write_str("policy lets it never land")?,
            Need::Humans(many) if many > 1 => {
                write!(to, "policy wants the yes of {many} people, and here one can give it")?;
            }
            Need::None | Need::Model | Need::Human | Need::Humans(_) => {
                to.write_str("policy wants a person to look at it")?;
            }
        }
        match (&self.why, self.rule.as_str()) {
            (Some(why), rule) => write!(to, " (rule {rule}: {why})"),
            (None, "default") => Ok(()),
            (None, rule) => write!(to, " (rule {rule})"),
        }
    }
}
