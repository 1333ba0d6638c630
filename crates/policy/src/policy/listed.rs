//! Every rule, pattern by pattern, for whoever reads a policy.

use serde::Serialize;

use crate::layer::rule::{Rule, Said};
use crate::pattern::Pattern;
use crate::{Context, Kind, Layer, LayerKind, Need};

/// One pattern of one rule, or one default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The layer.
    pub layer: String,
    /// Where the layer stands.
    pub stands: LayerKind,
    /// Whether it can only restrict.
    pub narrows: bool,
    /// The rule's id, or `default`.
    pub rule: String,
    /// What it speaks of.
    pub kind: Kind,
    /// The pattern as it is written; none for a default.
    pub pattern: Option<String>,
    /// The holes in the rule.
    pub except: Vec<String>,
    /// What must hold of a request beside: methods, query, headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// How it may pass: `up`, `down`, `rate`, `record`, `credential`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    /// What it needs.
    pub need: Need,
    /// What its author says.
    pub why: Option<String>,
    /// Why it does not count in this run; none if it does.
    pub idle: Option<String>,
}

/// All layers, in their order.
pub(crate) fn of(layers: &[Layer], context: &Context) -> Vec<Listed> {
    layers.iter().flat_map(|layer| of_layer(layer, context)).collect()
}

fn of_layer(layer: &Layer, context: &Context) -> Vec<Listed> {
    let whole = layer.content.when.fails(context);
    let blank = |rule: &str, kind: Kind, need: Need| Listed {
        layer: layer.name.clone(),
        stands: layer.kind,
        narrows: layer.only_narrows(),
        rule: rule.to_owned(),
        kind,
        pattern: None,
        except: Vec::new(),
        conditions: Vec::new(),
        terms: Vec::new(),
        need,
        why: None,
        idle: whole.clone(),
    };
    let mut listed: Vec<Listed> =
        layer.content.defaults.iter().map(|(kind, need)| blank("default", *kind, *need)).collect();
    for rule in &layer.content.rules {
        let idle = whole.clone().or_else(|| rule.when.fails(context));
        for said in &rule.says {
            let holes = rule.except.iter().filter(|hole| hole.kind == said.kind);
            listed.push(Listed {
                pattern: Some(said.text.clone()),
                except: holes.map(|hole| hole.text.clone()).collect(),
                conditions: conditions(rule, said),
                terms: terms(rule, said),
                why: rule.why.clone(),
                idle: idle.clone(),
                ..blank(&rule.id, said.kind, rule.need)
            });
        }
    }
    listed
}

/// The methods of a pattern on requests, and the rule's conditions on them.
fn conditions(rule: &Rule, said: &Said) -> Vec<String> {
    let methods = said.patterns.iter().find_map(|pattern| match pattern {
        Pattern::Http(http) if !http.methods.is_empty() => {
            Some(format!("methods {}", http.methods.join(", ")))
        }
        _ => None,
    });
    let asked = rule.conditions.iter().filter(|_| said.kind == Kind::Http).map(|asked| asked.text.clone());
    methods.into_iter().chain(asked).collect()
}

fn terms(rule: &Rule, said: &Said) -> Vec<String> {
    if matches!(said.kind, Kind::Http | Kind::Connect) { rule.terms.texts() } else { Vec::new() }
}
