//! A judgement as it is written down.
//!
//! Owns how a decision becomes an event. An exec is written as `exec`, which is decision and observation in one, because
//! there are so many of them; everything else as `decision`.

use ledger::Body;
use ledger::action::ActionRecord;
use ledger::event::{self, Verdict};
use policy::{Action, Need, Reason};

use crate::denial::need_text;

/// A judgement that is about to be recorded.
#[derive(Debug)]
pub struct Judged {
    pub(crate) verdict: Verdict,
    /// What an ask needs, or would have needed if somebody attended.
    pub(crate) need: Option<Need>,
    pub(crate) reasons: Vec<Reason>,
    /// The grant that allowed it.
    pub(crate) grant: Option<String>,
}

impl Judged {
    /// The rules that spoke.
    pub(crate) fn reasons(&self) -> Vec<event::Reason> {
        self.reasons.iter().map(event::Reason::from).collect()
    }

    /// What is needed, in one word.
    pub(crate) fn need(&self) -> Option<String> {
        self.need.map(need_text)
    }

    /// Whether no rule spoke.
    pub(crate) fn by_default(&self) -> bool {
        self.reasons.iter().all(|reason| reason.rule == "default")
    }

    /// As a `decision`.
    pub(crate) fn decision(&self, action: &Action) -> Body {
        let record = ActionRecord::from(action);
        event::Decision {
            digest: record.digest(),
            action: record,
            text: action.to_string(),
            verdict: self.verdict,
            need: self.need(),
            reasons: self.reasons(),
            default_applied: self.by_default(),
            grant: self.grant.clone(),
        }
        .into()
    }
}
