//! Refusals, as values.
//!
//! Owns what is told to whoever wanted something and did not get it. Rendering for people and protocols is done elsewhere,
//! from these parts.

use std::fmt;

use policy::{Kind, Need, Reason};

use crate::flood::Turned;

/// An action that may not happen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The action as a person reads it.
    pub action: String,
    /// The rules that led to it.
    pub reasons: Vec<Reason>,
    /// What to do instead, or where to ask.
    pub hint: String,
    /// The command that asks for it inside the run, where somebody's yes is still possible.
    pub ask: Option<String>,
    /// The event that says so; none if the ledger could not take it.
    pub seq: Option<u64>,
}

/// The ledger takes nothing more, and so nothing more happens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger takes nothing more: {because}")]
pub struct LedgerClosed {
    /// Why.
    pub because: String,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "denied {}", self.action)?;
        self.reasons.first().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// An action in words.
#[derive(Debug, Clone)]
pub(crate) struct Worded {
    pub(crate) kind: Option<Kind>,
    /// As a person reads it.
    pub(crate) text: String,
    /// See [`Denial::ask`].
    pub(crate) ask: Option<String>,
}

impl Denial {
    /// The line that a denied process is told.
    pub fn told(&self) -> String {
        match &self.ask {
            Some(ask) => format!("provost: {self}  ask: {ask}\n"),
            None => format!("provost: {self}\n"),
        }
    }

    /// A rule, or the default, says no.
    pub(crate) fn by_policy(action: Worded, reasons: Vec<Reason>, seq: u64) -> Denial {
        let spoken = reasons.iter().find(|reason| reason.rule != "default");
        let hint = match spoken {
            Some(reason) => format!("rule `{}` of layer `{}` forbids it", reason.rule, reason.layer),
            None => format!(
                "a `{}` rule could allow it; `provost policy explain` shows the nearest",
                action.kind_word()
            ),
        };
        Denial { action: action.text, reasons, hint, ask: None, seq: Some(seq) }
    }

    /// A person would have to be asked, and nobody attends.
    pub(crate) fn unattended(action: Worded, need: Need, reasons: Vec<Reason>, seq: u64) -> Denial {
        let needs = need_text(need);
        let hint = match reasons.iter().find(|reason| reason.rule != "default") {
            Some(reason) => format!(
                "it needs {needs} and nobody attends this run; rule `{}` of layer `{}` could allow it",
                reason.rule, reason.layer
            ),
            None => format!(
                "it needs {needs} and nobody attends this run; a `{}` rule could allow it",
                action.kind_word()
            ),
        };
        Denial { action: action.text, reasons, hint, ask: action.ask, seq: Some(seq) }
    }

    /// Somebody was asked and said no, or said nothing.
    pub(crate) fn answered(
        action: Worded,
        mut reasons: Vec<Reason>,
        why: String,
        hint: &str,
        seq: u64,
    ) -> Denial {
        let rule = reasons.first().map_or("default", |reason| &reason.rule).to_owned();
        reasons.insert(0, Reason { layer: "answer".into(), rule, why: Some(why) });
        Denial { action: action.text, reasons, hint: hint.to_owned(), ask: action.ask, seq: Some(seq) }
    }

    /// It is not asked: there are too many questions, or it was answered a moment ago.
    pub(crate) fn turned_away(action: String, turned: &Turned, seq: Option<u64>) -> Denial {
        let (reason, hint) = (turned.reason(), turned.hint().to_owned());
        Denial { action, reasons: vec![reason], hint, ask: None, seq }
    }

    /// Without an event there is no permit.
    pub(crate) fn unrecorded(action: String, closed: &LedgerClosed) -> Denial {
        let why = Some(closed.to_string());
        let reasons = vec![Reason { layer: "built-in".into(), rule: "ledger".into(), why }];
        let hint = "nothing happens that is not recorded; end this run and look at the disk".to_owned();
        Denial { action, reasons, hint, ask: None, seq: None }
    }

    /// The name may be reached, what it leads to may not.
    pub(crate) fn by_address(action: String, because: String, seq: Option<u64>) -> Denial {
        let reasons = vec![Reason { layer: "built-in".into(), rule: "address".into(), why: Some(because) }];
        let hint = "a `connect` rule that names the address itself could allow it".to_owned();
        Denial { action, reasons, hint, ask: None, seq }
    }
}

impl Worded {
    fn kind_word(&self) -> &'static str {
        self.kind.map_or("question", Kind::word)
    }
}

/// A need in one word, as events and texts have it.
pub(crate) fn need_text(need: Need) -> String {
    match need {
        Need::None => "none".to_owned(),
        Need::Model => "model".to_owned(),
        Need::Human => "human".to_owned(),
        Need::Humans(count) => format!("humans({count})"),
        Need::Never => "never".to_owned(),
    }
}
