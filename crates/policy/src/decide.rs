//! The only judge.
//!
//! Owns how the rules that speak come to one need: the strictest of the working policy or, where none speaks, its default;
//! then the strictest of that and of every rule that only narrows. Does not own which rules speak: `policy` does.

use std::fmt;

use serde::Serialize;

use crate::policy::{Counted, Standard};
use crate::{Action, Command, Grant, Guise, HttpRequest, Need, NotCanonical, Policy};

/// The layer of the reason that names a grant.
const GRANT: &str = "grant";
/// The most rules that a decision names; an explanation names all.
pub(crate) const MOST_REASONS: usize = 16;

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

/// The rules of the floor that precedes every file.
pub(crate) const FLOOR: [&str; 2] = ["provost", "home-secrets"];

/// Whether a rule by this id stands in a file, or is told by `policy show`. What else is called a rule stands in for one: the
/// default, a person's answer, what Provost itself holds to.
pub fn is_a_rule(layer: &str, rule: &str) -> bool {
    match layer {
        "built-in" => FLOOR.contains(&rule),
        "answer" => false,
        _ => rule != "default",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) if self.layer == "built-in" && !is_a_rule(&self.layer, &self.rule) => to.write_str(why),
            None if self.rule == "default" => to.write_str("no rule allows it"),
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

impl Decision {
    /// The rules that led to it.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Decision::Allow { reasons } | Decision::Ask { reasons, .. } | Decision::Deny { reasons } => {
                reasons
            }
        }
    }

    /// Its first word, for people and scripts: allow, ask or deny.
    pub fn word(&self) -> &'static str {
        match self {
            Decision::Allow { .. } => "allow",
            Decision::Ask { .. } => "ask",
            Decision::Deny { .. } => "deny",
        }
    }

    fn of(need: Need, reasons: Vec<Reason>) -> Decision {
        match need {
            Need::None => Decision::Allow { reasons },
            Need::Never => Decision::Deny { reasons },
            need => Decision::Ask { need, reasons },
        }
    }
}

/// What the rules that speak come to, before it is put in words.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    /// The strictest of the working policy.
    working: Option<Need>,
    /// The strictest of what can only restrict.
    narrowing: Option<Need>,
}

impl Sum {
    fn add(&mut self, counted: Counted, by_name: bool) {
        // A name that a command gives itself, or its file, proves nothing: it can only restrict.
        let place = if counted.narrows || by_name { &mut self.narrowing } else { &mut self.working };
        *place = (*place).max(Some(counted.need));
    }

    fn need(self, standard: Standard) -> Need {
        self.working.unwrap_or(standard.need).max(self.narrowing.unwrap_or(Need::None))
    }
}

/// Judges. Requests that no rule looks at are judged as the connection that they travel on.
pub(crate) fn decide(policy: &Policy, action: &Action, grants: &[Grant]) -> Decision {
    if let Action::Http(request) = action
        && !policy.looks_inside(&request.endpoint)
    {
        return as_connection(policy, request, grants);
    }
    if let Action::Http(request) = action
        && let Some(slashed) = request.slashed()
        && !matches!(decide(policy, &Action::Http(slashed), &[]), Decision::Allow { .. })
    {
        // Nobody knows which of both the server reads, so it passes only where rules allow both.
        return Decision::Deny { reasons: vec![unreadable(&NotCanonical::Slash)] };
    }
    let judged =
        judge(policy, action).unwrap_or_else(|error| Decision::Deny { reasons: vec![unreadable(&error)] });
    match judged {
        Decision::Ask { mut reasons, need } => {
            match grants.iter().find(|grant| grant.lifts(action, need, &reasons)) {
                Some(grant) => {
                    reasons.push(granted(&grant.id));
                    Decision::Allow { reasons }
                }
                None => Decision::Ask { need, reasons },
            }
        }
        decided => decided,
    }
}

/// No rule speaks of the request itself, so its reason is a default; an explanation names the rules about the connection.
fn as_connection(policy: &Policy, request: &HttpRequest, grants: &[Grant]) -> Decision {
    let travels = Action::Connect(request.endpoint.clone());
    let why = format!("no rule looks at requests there, so it is judged as `{travels}`");
    let reasons = vec![Reason { layer: "built-in".to_owned(), rule: "default".to_owned(), why: Some(why) }];
    match decide(policy, &travels, grants) {
        // By which grant it is allowed is said of the request as of the connection.
        Decision::Allow { reasons: theirs } => {
            let grant = theirs.into_iter().filter(|reason| reason.layer == GRANT);
            Decision::Allow { reasons: reasons.into_iter().chain(grant).collect() }
        }
        Decision::Ask { need, .. } => Decision::Ask { need, reasons },
        Decision::Deny { .. } => Decision::Deny { reasons },
    }
}

/// Judges an action, and each command that starts with it: the strictest counts.
fn judge(policy: &Policy, action: &Action) -> Result<Decision, NotCanonical> {
    let (need, reasons) = strictest(policy, action, false)?;
    Ok(Decision::of(need, reasons))
}

fn strictest(policy: &Policy, action: &Action, narrows: bool) -> Result<(Need, Vec<Reason>), NotCanonical> {
    let mut judged = judge_alone(policy, action, narrows)?;
    if let Action::Launch(command) | Action::Exec(command) = action {
        for guise in &command.also {
            let (command, brought) = match guise {
                Guise::Starts(command) => (command, narrows),
                Guise::Brings(command) => (command, true),
                Guise::Named(_) | Guise::Copy(_) => continue,
            };
            let other = strictest(policy, &Action::Exec(Command::clone(command)), brought)?;
            if other.0 > judged.0 {
                judged = other;
            } else if other.0 == judged.0 && judged.0 > Need::None {
                // Whoever answers for all of it answers for the rules on each.
                let room = MOST_REASONS.saturating_sub(judged.1.len());
                let new = other.1.into_iter().filter(|reason| !judged.1.contains(reason));
                let new: Vec<Reason> = new.take(room).collect();
                judged.1.extend(new);
            }
        }
    }
    Ok(judged)
}

/// Judges one action. One that only narrows needs nothing where no rule speaks of it.
fn judge_alone(policy: &Policy, action: &Action, narrows: bool) -> Result<(Need, Vec<Reason>), NotCanonical> {
    let (table, mut standard) = (policy.table(action.kind()), policy.standard(action.kind()));
    if narrows {
        standard.need = Need::None;
    }
    let mut sum = Sum::default();
    let mut spoke = Spoken::default();
    table.speak(action, |rule, by_name| {
        if let Some(counted) = policy.rules.get(rule) {
            sum.add(*counted, by_name);
            spoke.add(*counted);
        }
    })?;
    let need = sum.need(standard);
    let mut reasons = Vec::with_capacity(1);
    let by_default = sum.working.is_none() && standard.need == need;
    if spoke.need != Some(Need::None) || !by_default {
        // Where the default is stricter than what a floor or an alias says, that they speak of this is named all the same.
        spoke.name(policy, &mut reasons);
    }
    if by_default {
        reasons.push(by_standard(policy, standard));
    }
    if spoke.need == Some(Need::None) && by_default {
        spoke.name(policy, &mut reasons);
    }
    Ok((need, reasons))
}

/// The strictest rules that spoke, as many as are named.
#[derive(Debug, Default)]
struct Spoken {
    need: Option<Need>,
    rules: [Option<Counted>; MOST_REASONS],
    count: usize,
}

impl Spoken {
    fn add(&mut self, counted: Counted) {
        if Some(counted.need) > self.need {
            self.need = Some(counted.need);
            self.count = 0;
        }
        let told = self.rules.iter().take(self.count).flatten();
        // One command has several names, and a rule may know more than one of them.
        let is_new = !told.clone().any(|known| (known.layer, known.rule) == (counted.layer, counted.rule));
        if Some(counted.need) == self.need
            && is_new
            && let Some(place) = self.rules.get_mut(self.count)
        {
            *place = Some(counted);
            self.count += 1;
        }
    }

    fn name(&self, policy: &Policy, reasons: &mut Vec<Reason>) {
        let named = self.rules.iter().take(self.count).flatten();
        reasons.extend(named.map(|counted| reason(policy, *counted)));
    }
}

/// A grant, as a reason.
fn granted(id: &str) -> Reason {
    Reason { layer: GRANT.to_owned(), rule: id.to_owned(), why: None }
}

/// A rule, as a reason.
pub(crate) fn reason(policy: &Policy, counted: Counted) -> Reason {
    let layer = policy.layers().get(counted.layer).map(|layer| layer.name.clone()).unwrap_or_default();
    let rule = policy.rule(counted);
    Reason { layer, rule: rule.id.clone(), why: rule.why.clone() }
}

/// A default, as a reason.
pub(crate) fn by_standard(policy: &Policy, standard: Standard) -> Reason {
    let layer = standard.layer.and_then(|at| policy.layers().get(at));
    let layer = layer.map_or_else(|| "built-in".to_owned(), |layer| layer.name.clone());
    Reason { layer, rule: "default".to_owned(), why: None }
}

/// What cannot be judged, as a reason.
pub(crate) fn unreadable(error: &NotCanonical) -> Reason {
    Reason {
        layer: "built-in".to_owned(),
        rule: "canonical".to_owned(),
        why: Some(format!("it cannot be judged: {error}")),
    }
}
