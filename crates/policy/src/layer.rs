//! One policy file.

use crate::{Kind, Need};
use std::path::PathBuf;

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

impl Layer {
    /// Reads a file; refused whole if anything in it is wrong.
    pub fn parse(name: &str, kind: LayerKind, _text: &str) -> Result<Layer, PolicyError> {
        Ok(Layer { name: name.to_owned(), kind, trusted: false })
    }

    /// A layer of rules made by the program.
    pub fn from_rules(name: &str, kind: LayerKind, _rules: Vec<RuleSpec>) -> Result<Layer, PolicyError> {
        Ok(Layer { name: name.to_owned(), kind, trusted: false })
    }

    /// The bytes whose digest names this layer.
    pub fn digest_input(&self) -> Vec<u8> {
        self.name.clone().into_bytes()
    }
}

/// The shipped profiles: name, text, and what each is for in one line.
pub fn profiles() -> &'static [(&'static str, &'static str, &'static str)] {
    &[]
}

/// The shipped layer that always comes first.
pub fn system_layer() -> &'static str {
    ""
}
