//! One policy file.
//!
//! Owns what a layer is and that a bad one is refused whole. `read` owns the TOML, `rule` what a rule holds, `example`
//! how its examples are judged. Does not own what layers come to together: `policy` does.

use crate::text;
use crate::{Kind, Need};
use std::ops::Range;
use std::path::PathBuf;

mod example;
mod read;
pub(crate) mod rule;

pub use example::Tested;
use rule::{Content, Rule};

/// Where a layer stands. The order is that of defaults: the last one given holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// What every run needs of the machine.
    System,
    /// The profile of the run.
    Profile,
    /// What the tools at hand need; made by the program.
    Toolchains,
    /// What the agent needs; made by its adapter.
    Agent,
    /// The person's own.
    User,
    /// The repository's: narrows, until it is trusted.
    Repo,
    /// A file named on the command line.
    File,
    /// An organisation's or team's: only restricts, and nothing lifts it.
    Floor,
}

/// One policy file, or rules made by the program.
#[derive(Debug, Clone)]
pub struct Layer {
    /// How it is named in reasons.
    pub name: String,
    /// Where it stands.
    pub kind: LayerKind,
    /// Whether a repository's layer may also allow.
    pub trusted: bool,
    pub(crate) content: Content,
    /// What it was read from, for its digest.
    source: Vec<u8>,
}

/// A rule made by the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// Its id, unique within the layer.
    pub id: String,
    /// What it needs.
    pub need: Need,
    /// What it says to whom it stops.
    pub why: Option<String>,
    /// What it speaks of.
    pub patterns: Vec<(Kind, PatternSpec)>,
}

/// What a rule made by the program speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternSpec {
    /// As it would stand in a file.
    Text(String),
    /// This very path, whatever characters it has.
    Exact(PathBuf),
    /// This path and all beneath it, whatever characters it has.
    Tree(PathBuf),
}

impl RuleSpec {
    /// A rule that speaks of nothing yet.
    pub fn new(id: impl Into<String>, need: Need) -> RuleSpec {
        RuleSpec { id: id.into(), need, why: None, patterns: Vec::new() }
    }

    /// What it says to whom it stops.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> RuleSpec {
        self.why = Some(why.into());
        self
    }

    /// Speaks of a pattern, written as in a file.
    #[must_use]
    pub fn pattern(mut self, kind: Kind, text: impl Into<String>) -> RuleSpec {
        self.patterns.push((kind, PatternSpec::Text(text.into())));
        self
    }

    /// Speaks of one path (read, write, land).
    #[must_use]
    pub fn exact(mut self, kind: Kind, path: impl Into<PathBuf>) -> RuleSpec {
        self.patterns.push((kind, PatternSpec::Exact(path.into())));
        self
    }

    /// Speaks of a path and all beneath it (read, write, land).
    #[must_use]
    pub fn tree(mut self, kind: Kind, path: impl Into<PathBuf>) -> RuleSpec {
        self.patterns.push((kind, PatternSpec::Tree(path.into())));
        self
    }
}

/// Why a policy is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {because}")]
pub struct PolicyError {
    /// The layer.
    pub name: String,
    /// The line, from 1; 0 if no single line is at fault.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of that line.
    pub text: String,
    /// What is wrong.
    pub because: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl PolicyError {
    /// Something that no single line is at fault for.
    pub(crate) fn whole(name: &str, because: impl Into<String>) -> PolicyError {
        PolicyError {
            name: name.to_owned(),
            line: 0,
            column: 0,
            text: String::new(),
            because: because.into(),
            hint: None,
        }
    }

    /// Something that stands at these bytes of a file.
    pub(crate) fn at(name: &str, file: &str, span: &Range<usize>, because: impl Into<String>) -> PolicyError {
        let before = file.get(..span.start).unwrap_or(file);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = file.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        PolicyError {
            name: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            text: text::printable(line, 200),
            because: because.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> PolicyError {
        self.hint = Some(hint.into());
        self
    }
}

impl Layer {
    /// Reads a file; refused whole if anything in it is wrong.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn parse(name: &str, kind: LayerKind, text: &str) -> Result<Layer, PolicyError> {
        let content = read::content(name, kind, text)?;
        let layer =
            Layer { name: name.to_owned(), kind, trusted: false, content, source: text.as_bytes().to_vec() };
        example::check(name, &layer.content.rules, text)?;
        Ok(layer)
    }

    /// Judges every example of a file, whatever comes of it; [`Layer::parse`] stops at the first that is wrong.
    ///
    /// # Errors
    /// Anything else that is wrong with the file.
    pub fn test(name: &str, kind: LayerKind, text: &str) -> Result<Vec<Tested>, PolicyError> {
        let content = read::content(name, kind, text)?;
        Ok(example::test(name, &content.rules, text))
    }

    /// Refuses a floor with a rule that rests on commands alone: whoever may run an interpreter can do the same without
    /// the command that the rule names.
    ///
    /// # Errors
    /// The first such rule.
    pub fn check(&self) -> Result<(), PolicyError> {
        let on_commands = |kind: &Kind| matches!(kind, Kind::Exec | Kind::Launch);
        let alone = |rule: &&Rule| rule.kinds().iter().all(on_commands);
        match self.content.rules.iter().find(alone) {
            Some(rule) if self.kind == LayerKind::Floor => {
                let because = format!("rule `{}` of a floor rests on commands alone", rule.id);
                let text = String::from_utf8_lossy(&self.source).into_owned();
                let error = PolicyError::at(&self.name, &text, &rule.span, because);
                Err(error.hint(
                    "an allowed interpreter does the same without that command: name in this rule what it protects (connect, \
                     http, write, land, credential), or keep it as a guard rail in a file that is no floor",
                ))
            }
            _ => Ok(()),
        }
    }

    /// A layer of rules made by the program; one that found nothing to speak of is left out.
    ///
    /// # Errors
    /// A rule that could not stand in a file either.
    pub fn from_rules(name: &str, kind: LayerKind, rules: Vec<RuleSpec>) -> Result<Layer, PolicyError> {
        let source = format!("{rules:?}").into_bytes();
        let speaking = rules.into_iter().filter(|spec| !spec.patterns.is_empty());
        let rules = speaking.map(|spec| Rule::of(name, spec)).collect::<Result<Vec<_>, _>>()?;
        rule::distinct(name, &rules)?;
        let content = Content { rules, ..Content::default() };
        Ok(Layer { name: name.to_owned(), kind, trusted: false, content, source })
    }

    /// The bytes whose digest names this layer.
    pub fn digest_input(&self) -> Vec<u8> {
        let head = format!("{:?} {} {}\n{}\n", self.kind, self.trusted, self.name.len(), self.name);
        [head.as_bytes(), &self.source].concat()
    }

    /// Whether it can only restrict: a floor, and what a repository says of itself.
    pub fn only_narrows(&self) -> bool {
        match self.kind {
            LayerKind::Floor => true,
            LayerKind::Repo => !self.trusted,
            _ => false,
        }
    }
}
