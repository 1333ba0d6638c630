//! Why: the decision, every rule that spoke, and the one that almost did.
//!
//! The decision is the judge's own, so that an explanation cannot contradict what happened. `nearest` finds the rule that
//! almost spoke. Does not own how any of it is shown.

use serde::Serialize;

use crate::decide::{Reason, by_standard};
use crate::layer::rule::Rule;
use crate::pattern::{regex, spell};
use crate::policy::Counted;
use crate::{Action, Decision, Kind, LayerKind, Need, Policy};

mod nearest;

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The action as a person reads it.
    pub action: String,
    /// Its kind.
    pub kind: Kind,
    /// allow, ask or deny.
    pub verdict: &'static str,
    /// What is needed.
    pub need: Need,
    /// What was judged instead: the connection, for a request that no rule looks at.
    pub judged_as: Option<String>,
    /// The rules that decide; the first is the one to name.
    pub decided_by: Vec<Reason>,
    /// Whose decision it is, where it is not an allowance: the layers to ask a change of.
    pub ask: Vec<String>,
    /// Every rule that spoke, in the order of layers.
    pub spoke: Vec<Spoke>,
    /// What holds where no rule speaks.
    pub default: Standing,
    /// The rule that almost allowed it, where no rule spoke.
    pub nearest: Option<Nearest>,
    /// What is decided, as the judge gives it.
    #[serde(skip)]
    pub decision: Decision,
}

/// A rule that spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spoke {
    /// Its layer.
    pub layer: String,
    /// Where that stands.
    pub stands: LayerKind,
    /// Its id.
    pub rule: String,
    /// What it needs.
    pub need: Need,
    /// The patterns of it that match, as they are written.
    pub patterns: Vec<String>,
    /// On which terms it lets pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    /// What its author says.
    pub why: Option<String>,
    /// It could only restrict: by its layer, or because it knows the command only by a name that proves nothing, or the
    /// request only as some servers might read it.
    pub narrows: bool,
    /// It is as strict as the decision.
    pub decides: bool,
}

/// A kind's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What it needs.
    pub need: Need,
    /// The layer that says so.
    pub layer: String,
}

/// The rule that almost spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// Its layer.
    pub layer: String,
    /// Its id.
    pub rule: String,
    /// What it would need.
    pub need: Need,
    /// Its pattern, as it is written.
    pub pattern: String,
    /// Why it does not speak.
    pub because: String,
}

/// Explains, by the same judge.
pub(crate) fn explain(policy: &Policy, action: &Action) -> Explanation {
    let heeded = match action {
        Action::Http(request) => Action::Http(policy.heeding(request.clone())),
        other => other.clone(),
    };
    let action = &heeded;
    let decision = policy.decide(action, &[]);
    if let Action::Http(request) = action
        && !policy.looks_inside(&request.endpoint)
    {
        let travels = Action::Connect(request.endpoint.clone());
        let why = explain(policy, &travels);
        return Explanation {
            action: action.to_string(),
            kind: Kind::Http,
            judged_as: Some(travels.to_string()),
            decision,
            ..why
        };
    }
    let need = match &decision {
        Decision::Allow { .. } => Need::None,
        Decision::Ask { need, .. } => *need,
        Decision::Deny { .. } => Need::Never,
    };
    let spoke = spoke(policy, action, need);
    let standard = policy.standard(action.kind());
    let by_default = spoke.iter().all(|spoke| spoke.narrows) && standard.need == need;
    let nearest = (by_default && need != Need::None).then(|| nearest::find(policy, action, need)).flatten();
    Explanation {
        action: action.to_string(),
        kind: action.kind(),
        verdict: decision.word(),
        need,
        judged_as: None,
        decided_by: decision.reasons().to_vec(),
        ask: if need == Need::None { Vec::new() } else { deciders(decision.reasons(), &spoke) },
        spoke,
        default: Standing { need: standard.need, layer: by_standard(policy, standard).layer },
        nearest,
        decision,
    }
}

/// The layers of the rules that decide. A rule that is named but is less strict does not decide.
fn deciders(reasons: &[Reason], spoke: &[Spoke]) -> Vec<String> {
    let decides = |reason: &&Reason| {
        let same = |spoke: &&Spoke| spoke.layer == reason.layer && spoke.rule == reason.rule;
        let mut same = spoke.iter().filter(same).peekable();
        same.peek().is_none() || same.any(|spoke| spoke.decides)
    };
    let mut layers: Vec<String> = reasons.iter().filter(decides).map(|reason| reason.layer.clone()).collect();
    layers.dedup();
    layers
}

fn spoke(policy: &Policy, action: &Action, need: Need) -> Vec<Spoke> {
    let mut found: Vec<(usize, bool)> = Vec::new();
    let told = policy.table(action.kind()).speak(action, |rule, by_name| {
        if !found.contains(&(rule, false)) {
            found.push((rule, by_name));
        }
    });
    if told.is_err() {
        return Vec::new();
    }
    let mut inputs = Vec::new();
    let mut buffer = Vec::new();
    inputs.extend(spell::action(action, &mut buffer).map(<[u8]>::to_vec));
    inputs.extend(spell::names(action).unwrap_or_default().into_iter().map(|(spelled, _)| spelled));
    found.sort_unstable();
    let said = |(rule, by_name): (usize, bool)| {
        let counted = *policy.rules.get(rule)?;
        let layer = policy.layers().get(counted.layer)?;
        let rule = policy.rule(counted);
        Some(Spoke {
            layer: layer.name.clone(),
            stands: layer.kind,
            rule: rule.id.clone(),
            need: counted.need,
            patterns: matching(policy, rule, action.kind(), &inputs),
            terms: rule.terms.texts(),
            why: rule.why.clone(),
            narrows: counted.narrows || by_name,
            decides: counted.need == need,
        })
    };
    found.into_iter().filter_map(said).collect()
}

/// The texts of a rule that match one of the inputs.
fn matching(policy: &Policy, rule: &Rule, kind: Kind, inputs: &[Vec<u8>]) -> Vec<String> {
    let of_kind = rule.says.iter().filter(|said| said.kind == kind);
    let matches = |patterns: &[crate::pattern::Pattern]| {
        let written: Vec<String> = patterns.iter().map(|pattern| pattern.regex(&policy.places)).collect();
        inputs.iter().any(|input| regex::is_match(&written, input))
    };
    of_kind.filter(|said| matches(&said.patterns)).map(|said| said.text.clone()).collect()
}

/// Where a rule stands, for whoever looks for the nearest.
pub(crate) fn position(policy: &Policy) -> impl Iterator<Item = (Counted, Option<String>)> {
    let context = policy.context();
    policy.layers().iter().enumerate().flat_map(move |(at, layer)| {
        let whole = layer.content.when.fails(context);
        let narrows = layer.only_narrows();
        layer.content.rules.iter().enumerate().map(move |(rule, said)| {
            let idle = whole.clone().or_else(|| said.when.fails(context));
            (Counted { layer: at, rule, need: said.need, narrows }, idle)
        })
    })
}
