//! What went along the line: decisions, asks, grants, outcomes.
//!
//! Owns these bodies of events. Does not own when they are written.

use serde::{Deserialize, Serialize};

use crate::action::ActionRecord;

use super::OsText;

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
    /// The grant that allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// Body of `ask.opened`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskOpened {
    /// The ask's id, drawn by chance: unique in this run, and in practice on this host.
    pub ask: String,
    /// The `seq` of the decision that needs it; of a question to a person, that of the request that puts it.
    pub decision: u64,
    /// What the person reads.
    pub text: String,
    /// The folder where a command would start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<OsText>,
    /// The class that can be agreed to with it, as a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
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
    /// The `seq` of further decisions about the very same action, made while the ask was open, that it answers too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<u64>,
}

/// Body of `grant.given`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantGiven {
    /// The grant's id: that of the ask it came from.
    pub grant: String,
    /// The `seq` of the decision that was asked about.
    pub decision: u64,
    /// What it is good for.
    pub scope: GrantScope,
    /// The actions it covers, as a pattern of their kind.
    pub selector: String,
    /// Who gave it.
    pub by: String,
    /// How often it can be used; without end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// How long it lasts, in milliseconds, while the machine sleeps too; until the run ends if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_ms: Option<u64>,
}

/// What a grant is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantScope {
    /// The very same action, in this run.
    Run,
    /// The class of the action that the person was shown, in this run.
    Class,
}

/// Body of `grant.ended`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantEnded {
    /// The grant's id.
    pub grant: String,
    /// Why it is over.
    pub because: GrantOver,
    /// Who ended it: a person's name, or `clock`, or `run`.
    pub by: String,
    /// How often it was used.
    pub used: u64,
    /// The person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why a grant is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantOver {
    /// Its time was up.
    Expired,
    /// It was used as often as it can be.
    Used,
    /// A person took it back.
    Revoked,
    /// The run is over.
    Ended,
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
