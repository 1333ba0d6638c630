//! On which terms a rule lets pass: how much, how often, how it is recorded, which credential goes along.
//!
//! Owns what the terms are and which hold of an action: those of every rule that speaks of it, each for itself. Does not own
//! counting, or what happens where one is used up: who carries the bytes does.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Serialize;

use crate::layer::rule::Rule;
use crate::limits::shown_bytes;
use crate::policy::Counted;
use crate::{Action, Kind, Layer, Missing, Need, Policy};

/// What a rule says about whatever it lets pass, in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Bytes out, in all.
    pub up: Option<u64>,
    /// Bytes in, in all.
    pub down: Option<u64>,
    /// How often.
    pub rate: Option<Rate>,
    /// How it is recorded.
    pub record: Option<Record>,
    /// The credential that goes along.
    pub credential: Option<String>,
    /// Networks of the person's own to which a name may lead.
    pub leads_to: Vec<IpNet>,
}

/// How often something may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// So many.
    pub count: u32,
    /// In so many milliseconds.
    pub window_ms: u32,
}

/// How something is recorded, beyond that it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// Heads and bodies.
    Full,
}

/// The terms of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleTerms {
    /// Its layer.
    pub layer: String,
    /// Its id.
    pub rule: String,
    /// Whether it can only restrict: a credential that it names opens nothing.
    pub narrows: bool,
    /// Its terms.
    pub terms: Terms,
}

/// The windows of rates, and how they are written.
const WINDOWS: [(&str, u32); 3] = [("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate")]
pub struct NotARate(String);

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Rate, NotARate> {
        let read = || {
            let (count, unit) = text.split_once('/')?;
            let plain = !count.starts_with('0') && count.bytes().all(|byte| byte.is_ascii_digit());
            let (_, window_ms) = *WINDOWS.iter().find(|(known, _)| *known == unit)?;
            let count = count.parse().ok().filter(|_| plain)?;
            Some(Rate { count, window_ms })
        };
        read().ok_or_else(|| NotARate(crate::text::printable(text, 40)))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = WINDOWS.iter().find(|(_, ms)| *ms == self.window_ms).map_or("s", |(unit, _)| *unit);
        write!(to, "{}/{unit}", self.count)
    }
}

impl Terms {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Terms::default()
    }

    /// Each as a person reads it.
    pub(crate) fn texts(&self) -> Vec<String> {
        let size =
            |what: &str, bytes: Option<u64>| bytes.map(|bytes| format!("{what} {}", shown_bytes(bytes)));
        let said = [
            size("up", self.up),
            size("down", self.down),
            self.rate.map(|rate| format!("rate {rate}")),
            self.record.map(|Record::Full| "record full".to_owned()),
            self.credential.as_ref().map(|name| format!("credential {name}")),
        ];
        let leads = (!self.leads_to.is_empty()).then(|| {
            let networks: Vec<String> = self.leads_to.iter().map(IpNet::to_string).collect();
            format!("leads to {}", networks.join(", "))
        });
        said.into_iter().chain([leads]).flatten().collect()
    }
}

impl Policy {
    /// The terms of every rule that speaks of an action. Whatever passes is held to all of them, so the least holds.
    pub fn terms(&self, action: &Action) -> Vec<RuleTerms> {
        let mut found: Vec<usize> = Vec::new();
        // What cannot be judged is denied, and needs no terms.
        let _ = self.table(action.kind()).speak(action, |rule, _| {
            if self.rules.get(rule).is_some_and(|counted| !self.rule(*counted).terms.is_empty()) {
                found.push(rule);
            }
        });
        found.sort_unstable();
        found.dedup();
        let of = |rule: usize| {
            let counted = *self.rules.get(rule)?;
            let (layer, rule) = (self.layers().get(counted.layer)?, self.rule(counted));
            let (layer, rule, terms) = (layer.name.clone(), rule.id.clone(), rule.terms.clone());
            Some(RuleTerms { layer, rule, narrows: counted.narrows, terms })
        };
        found.into_iter().filter_map(of).collect()
    }

    /// Whether a credential may go with what these actions are together. Where no rule names it in `credential = "name"`, it may.
    /// Otherwise such a rule must speak: one of the working policy if any of it names it, and one of each layer that only narrows
    /// and names it, so that none of these opens what another closed.
    pub fn goes_with(&self, credential: &str, actions: &[Action]) -> bool {
        let slashed = |action: &Action| match action {
            Action::Http(request) => request.slashed().map(Action::Http),
            _ => None,
        };
        let other = || actions.iter().map(|action| slashed(action).unwrap_or_else(|| action.clone()));
        let both = actions.iter().any(|action| slashed(action).is_some());
        self.goes_with_these(credential, actions)
            && (!both || self.goes_with_these(credential, &other().collect::<Vec<_>>()))
    }

    fn goes_with_these(&self, credential: &str, actions: &[Action]) -> bool {
        let names = |counted: &Counted| self.rule(*counted).terms.credential.as_deref() == Some(credential);
        let of = |counted: &Counted| counted.narrows.then_some(counted.layer);
        let mut open: BTreeSet<Option<usize>> =
            self.rules.iter().filter(|counted| names(counted)).map(of).collect();
        for action in actions {
            // What cannot be judged is denied before.
            let _ = self.table(action.kind()).speak(action, |rule, restricts| {
                if let Some(counted) = self.rules.get(rule).filter(|counted| !restricts && names(counted)) {
                    open.remove(&of(counted));
                }
            });
        }
        open.is_empty()
    }

    /// Whether something may pass of which heads and bodies are recorded.
    pub fn records(&self) -> bool {
        self.records_models() || self.rules.iter().any(|counted| self.rule(*counted).terms.record.is_some())
    }

    /// What is recorded, in words: rules as `layer/rule`, and `models`.
    pub fn recorded(&self) -> Vec<String> {
        let named = |counted: &Counted| {
            let (layer, rule) = (self.layers().get(counted.layer)?, self.rule(*counted));
            rule.terms.record.map(|Record::Full| format!("{}/{}", layer.name, rule.id))
        };
        let models = self.records_models().then(|| "models".to_owned());
        self.rules.iter().filter_map(named).chain(models).collect()
    }

    /// Whether what models are asked and answer is recorded: any layer that holds here says so.
    pub fn records_models(&self) -> bool {
        let holding = |layer: &&Layer| layer.content.when.fails(self.context()).is_none();
        self.layers().iter().filter(holding).any(|layer| layer.content.record_models.is_some())
    }

    /// The networks of the person's own that hold this address, and to which rules let this action lead. What only narrows opens
    /// none.
    pub fn leads_to(&self, action: &Action, address: IpAddr) -> Vec<IpNet> {
        let mut found = Vec::new();
        // What cannot be judged is denied before.
        let _ = self.table(action.kind()).speak(action, |rule, restricts| {
            if let Some(counted) = self.rules.get(rule).filter(|counted| !restricts && !counted.narrows) {
                let networks = self.rule(*counted).terms.leads_to.iter();
                found.extend(networks.filter(|network| network.contains(&address)));
            }
        });
        found
    }

    /// What layers ask for that nothing holds yet: a run that rests on it does not start.
    pub fn unheld(&self) -> Vec<Missing> {
        let unheld = |counted: &Counted| self.rule(*counted).unheld();
        self.rules.iter().filter_map(unheld).collect()
    }
}

/// Whether a pattern speaks of no tool that a model's provider runs: those are all that anybody sees.
fn is_unseen(pattern: &str) -> bool {
    let first = pattern.split('/').next().unwrap_or_default();
    !first.contains(['*', '?', '{', '\\']) && !["openai", "anthropic", "google"].contains(&first)
}

impl Rule {
    /// What of it nothing holds yet.
    fn unheld(&self) -> Option<Missing> {
        let mut restricts = self.says.iter().filter(|_| self.need != Need::None);
        let missing = |what: &str, hint: &str| Missing {
            what: format!("rule {} restricts {what}", self.id),
            hint: hint.to_owned(),
        };
        restricts.find_map(|said| match said.kind {
            Kind::Spend => Some(missing(
                "what is spent: nothing asks about it on the way yet",
                "leave it out; `tokens`, `cost`, `time` and `cpu` in `[limits]` hold",
            )),
            Kind::Tool if is_unseen(&said.text) => Some(missing(
                &format!("the tool `{}`: nothing sees it yet", said.text),
                "leave it out; tools that a model's provider runs (`openai/..`, `anthropic/..`, `google/..`) are seen",
            )),
            _ => None,
        })
    }
}
