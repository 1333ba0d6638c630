//! What is spoken at a run's socket: a line of JSON each way, version 1.
//!
//! Owns these shapes, and the ask and the grant as programs see them. Does not own the socket.

use std::time::Duration;

use admission::{AskView, EndedAsk, GrantView, Scope, Terms};
use ledger::event::{Answered, GrantOver};
use serde::{Deserialize, Serialize};

/// The version that is spoken.
pub const VERSION: u32 = 1;
/// The longest line of an order, in bytes.
pub const LONGEST: u64 = 1 << 16;

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// [`VERSION`].
    pub v: u32,
    /// What to do.
    #[serde(flatten)]
    pub what: What,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum What {
    /// Name the open asks, and the grants in being.
    Asks,
    /// Name them, and from then on whatever changes.
    Follow,
    /// Answer an ask, or take a grant back.
    Answer(Said),
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The ask, or the grant.
    pub id: String,
    /// Yes or no.
    pub allow: bool,
    /// What a yes is good for: `once`, `run`, `class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// How long it holds, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// How often it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// The person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it answers a question that was seen open: then it takes nothing back that somebody else gave meanwhile.
    #[serde(default)]
    pub seen_open: bool,
}

impl Said {
    /// What a yes is good for.
    ///
    /// # Errors
    /// It is no scope.
    pub fn scope(&self) -> Result<Scope, String> {
        let terms = Terms { lasts: self.for_ms.map(Duration::from_millis), uses: self.uses };
        let bounded = terms != Terms::default();
        if terms.uses == Some(0) || terms.lasts == Some(Duration::ZERO) {
            return Err("what holds for no time, or no use, is no yes".to_owned());
        }
        match self.scope.as_deref() {
            None | Some("once") if bounded => Err("once is once: no time and no count go with it".to_owned()),
            None | Some("once") => Ok(Scope::Once),
            Some("run") => Ok(Scope::Run(terms)),
            Some("class") => Ok(Scope::Class(terms)),
            Some(other) => Err(format!("`{other}` is no scope: once, run or class")),
        }
    }
}

/// What is answered, or told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub v: u32,
    /// The open asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Vec<Asked>>,
    /// The grants in being.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<Granted>>,
    /// What an answer did: `allowed`, `denied`, `counted` (another person must agree too), `revoked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
    /// How often what was taken back was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// What a yes gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gave: Option<Granted>,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Something is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// An ask ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Ended>,
    /// A grant was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Granted>,
    /// A grant is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
}

impl Reply {
    /// Nothing yet.
    pub fn new() -> Reply {
        Reply { v: VERSION, ..Reply::default() }
    }

    /// Nothing was done.
    pub fn refused(because: impl Into<String>) -> Reply {
        Reply { refused: Some(because.into()), ..Reply::new() }
    }
}

/// The run that asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Its id.
    pub run: String,
    /// The agent.
    pub agent: String,
    /// The folder it works on.
    pub workspace: String,
}

/// An open ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// Who asks.
    #[serde(flatten)]
    pub asker: Asker,
    /// The kind of action; `question` for words.
    pub kind: String,
    /// What it comes to.
    pub effect: String,
    /// The exact action, or the question.
    pub text: String,
    /// The folder where a command would start.
    pub folder: Option<String>,
    /// What is needed.
    pub need: String,
    /// The rule that asks.
    pub rule: Option<String>,
    /// The layer it stands in.
    pub layer: Option<String>,
    /// What its author says.
    pub why: Option<String>,
    /// The class that can be agreed to with it.
    pub class: Option<String>,
    /// The rule, as it would stand in a policy, by which nobody is asked again.
    pub offer: Option<String>,
    /// Whether the agent asks beforehand, and nothing is held.
    pub requested: bool,
    /// What the agent says it is for: a claim.
    pub claim: Option<String>,
    /// How many calls wait for the answer.
    pub waiting: usize,
    /// Who said yes so far.
    pub said_yes: Vec<String>,
    /// How long ago it was put, in milliseconds.
    pub age_ms: u64,
    /// How long it still stands, in milliseconds.
    pub left_ms: u64,
}

/// A grant in being.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Its id.
    pub id: String,
    /// Whose it is.
    #[serde(flatten)]
    pub asker: Asker,
    /// `run` or `class`.
    pub scope: String,
    /// The actions it covers, as a pattern.
    pub selector: String,
    /// The folder in which a command must start.
    pub folder: Option<String>,
    /// Who gave it.
    pub by: String,
    /// How often it was used.
    pub used: u64,
    /// How often it can still be used; without end if none.
    pub uses: Option<u64>,
    /// How long it still lasts, in milliseconds; until the run ends if none.
    pub left_ms: Option<u64>,
}

/// An ask that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// `allow`, `deny` or `expired`.
    pub answer: String,
    /// Who answered.
    pub by: String,
    /// How.
    pub how: String,
    /// Their words.
    pub why: Option<String>,
}

/// A grant that is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// Its id.
    pub id: String,
    /// `expired`, `used`, `revoked` or `ended`.
    pub because: String,
    /// How often it was used.
    #[serde(default)]
    pub used: u64,
    /// Who ended it.
    pub by: String,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An ask, as it is told.
pub fn asked(ask: &AskView, asker: &Asker) -> Asked {
    let rule = ask.reasons.first();
    Asked {
        id: ask.ask.clone(),
        asker: asker.clone(),
        kind: ask.kind.map_or("question", policy::Kind::word).to_owned(),
        effect: super::effect(ask.kind).0.to_owned(),
        text: ask.text.clone(),
        folder: ask.folder.as_ref().map(|folder| folder.display().to_string()),
        need: ask.need.clone(),
        rule: rule.map(|rule| rule.rule.clone()),
        layer: rule.map(|rule| rule.layer.clone()),
        why: rule.and_then(|rule| rule.why.clone()),
        class: ask.class.clone(),
        offer: ask.offer.clone(),
        requested: ask.requested,
        claim: ask.claim.clone(),
        waiting: ask.waiting,
        said_yes: ask.said_yes.clone(),
        age_ms: millis(ask.opened.elapsed()),
        left_ms: millis(ask.left),
    }
}

/// A grant, as it is told.
pub fn granted(grant: &GrantView, asker: &Asker) -> Granted {
    Granted {
        id: grant.grant.clone(),
        asker: asker.clone(),
        scope: word(&grant.scope),
        selector: grant.selector.clone(),
        folder: grant.folder.as_ref().map(|folder| folder.display().to_string()),
        by: grant.by.clone(),
        used: grant.used,
        uses: grant.uses,
        left_ms: grant.left.map(millis),
    }
}

/// An end, as it is told.
pub fn ended(ended: &EndedAsk) -> Ended {
    let (id, by, how, why) = (ended.ask.clone(), ended.by.clone(), ended.how.clone(), ended.why.clone());
    Ended { id, answer: word(&ended.answer), by, how, why }
}

/// The end of a grant, as it is told.
pub fn over(grant: &str, because: GrantOver, used: u64, by: &str) -> Over {
    Over { id: grant.to_owned(), because: word(&because), used, by: by.to_owned() }
}

/// A word as the ledger spells it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// How an ask ended, in a sentence.
pub fn told(ended: &EndedAsk) -> String {
    let EndedAsk { answer, by, how, why, .. } = ended;
    let said = match (answer, how.as_str()) {
        (Answered::Allow, _) => format!("{by} allowed it ({})", where_it_was(how)),
        (Answered::Deny, _) => format!("{by} refused it ({})", where_it_was(how)),
        (Answered::Expired, "timeout") => "nobody answered in time, so it was denied".to_owned(),
        (Answered::Expired, _) => "whoever asked does not wait any more".to_owned(),
    };
    match why {
        Some(why) => format!("{said}: {why}"),
        None => said,
    }
}

/// From where an answer came, in words.
pub fn where_it_was(how: &str) -> &str {
    match how {
        "command" => "from another terminal",
        "terminal" => "at the run's terminal",
        other => other,
    }
}

/// What a grant is good for, in a few words.
pub fn extent(grant: &Granted) -> String {
    let place = grant.folder.as_ref().map_or_else(String::new, |folder| format!(" in {folder}"));
    let uses = match grant.uses {
        None => String::new(),
        Some(1) => ", once".to_owned(),
        Some(uses) => format!(", {uses} times"),
    };
    let lasts = match grant.left_ms {
        None => "until the run ends".to_owned(),
        Some(left) => format!("for {}", crate::render::time(left)),
    };
    format!("{}{place}, {lasts}{uses}", grant.selector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_as_it_is_written() {
        for what in [What::Asks, What::Follow, What::Answer(Said { id: "x".into(), ..Said::default() })] {
            let order = Order { v: VERSION, what };
            let line = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order, "{line}");
        }
        assert!(serde_json::from_str::<Order>(r#"{"v":1,"do":"rule"}"#).is_err());
    }

    #[test]
    fn once_takes_no_terms_and_nothing_is_for_no_time() {
        let said = |scope: Option<&str>, for_ms, uses| {
            Said { scope: scope.map(str::to_owned), for_ms, uses, ..Said::default() }.scope()
        };
        assert_eq!(said(None, None, None), Ok(Scope::Once));
        assert_eq!(said(Some("run"), None, Some(2)), Ok(Scope::Run(Terms { lasts: None, uses: Some(2) })));
        for (scope, for_ms, uses) in [
            (None, Some(1), None),
            (Some("once"), None, Some(1)),
            (Some("run"), Some(0), None),
            (Some("run"), None, Some(0)),
            (Some("all"), None, None),
        ] {
            assert!(said(scope, for_ms, uses).is_err());
        }
    }
}
