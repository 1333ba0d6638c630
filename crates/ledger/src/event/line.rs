//! What went along the line: decisions, asks, outcomes.
//!
//! Owns these bodies of events. Does not own when they are written.

use serde::{Deserialize, Serialize};

use crate::action::ActionRecord;

/// What was decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may happen.
    Allow,
    /// It may happen once what is needed has been shown.
    Ask,
    /// It may not.
    #[default]
    Deny,
}

/// Why: the rule that spoke.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The layer it stands in.
    pub layer: String,
    /// The rule's id, or `default`, or `built-in`.
    pub rule: String,
    /// The rule's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<&policy::Reason> for Reason {
    fn from(reason: &policy::Reason) -> Reason {
        Reason { layer: reason.layer.clone(), rule: reason.rule.clone(), why: reason.why.clone() }
    }
}

/// Body of `decision`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The action in its canonical form.
    pub action: ActionRecord,
    /// SHA-256 of the action's canonical JSON, in hex.
    pub digest: String,
    /// The action as a person reads it.
    pub text: String,
    /// What was decided.
    pub verdict: Verdict,
    /// What an ask needs: `model`, `human`, `humans(n)`. Beside a deny: nobody attended who could have been asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<String>,
    /// The rules that led to it.
    pub reasons: Vec<Reason>,
    /// Whether no rule spoke and the kind's default applied.
    pub default_applied: bool,
}

/// Body of `ask.opened`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskOpened {
    /// The ask's id, unique in this run.
    pub ask: String,
    /// The `seq` of the decision that needs it.
    pub decision: u64,
    /// What the person reads.
    pub text: String,
    /// How long it stands open, in milliseconds; then it is denied.
    pub timeout_ms: u64,
}

/// Body of `ask.answered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskAnswered {
    /// The ask's id.
    pub ask: String,
    /// The `seq` of the decision that needed it.
    pub decision: u64,
    /// The answer.
    pub answer: Answered,
    /// Who answered: a person's name, or `clock`, or `run` where the run ended first.
    pub by: String,
    /// How: `terminal`, `command`, ..; `timeout`.
    pub how: String,
    /// The person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How an ask ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    /// It may happen.
    Allow,
    /// It may not.
    Deny,
    /// Nobody answered in time: it may not.
    Expired,
}

/// Body of `outcome`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The `seq` of the decision that permitted it.
    pub of: u64,
    /// How it went.
    pub result: OutcomeResult,
    /// More about it; empty where there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How an effect went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeResult {
    /// It was done.
    Done,
    /// It was tried and failed.
    Failed,
    /// Nobody said: the permit's holder went away.
    Unknown,
}
