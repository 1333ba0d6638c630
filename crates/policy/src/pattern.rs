//! What a rule says, as a regular language.
//!
//! Owns the grammar of patterns (`glob` for words and folders, `path`, `command`, `host`, `http`, `name` for the rest) and the
//! bytes by which an action is matched (`spell`). Every pattern becomes one regular expression over those bytes; what
//! runs them is `automaton`. Does not own which rule wins.

pub(crate) mod command;
pub(crate) mod condition;
pub(crate) mod glob;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod name;
pub(crate) mod path;
pub(crate) mod regex;
pub(crate) mod spell;

use std::path::PathBuf;

use crate::{Kind, Need};

/// The longest pattern, in bytes.
pub(crate) const LONGEST: usize = 4096;

/// So many `**`, and stars in all, one pattern has at most: what is matched with them costs time for each.
const MOST_ANY: usize = 16;
const MOST_STARS: usize = 64;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PatternError {
    pub(crate) because: String,
    pub(crate) hint: Option<String>,
}

impl PatternError {
    pub(crate) fn new(because: impl Into<String>) -> PatternError {
        PatternError { because: because.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> PatternError {
        self.hint = Some(hint.into());
        self
    }
}

/// The places that path patterns start from, as they are on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) workspace: PathBuf,
    pub(crate) home: PathBuf,
}

/// What a rule says of one kind of action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Read, write, land.
    Path(path::PathPattern),
    /// Launch, exec.
    Command(command::CommandPattern),
    /// Connect.
    Connect(host::EndpointPattern),
    /// Http.
    Http(http::HttpPattern),
    /// Tool.
    Tool(name::ToolPattern),
    /// Credential.
    Credential(name::CredentialPattern),
    /// Spend.
    Spend(name::SpendPattern),
}

impl Pattern {
    /// Reads what a rule says of a kind. One text can be several patterns: alternatives in hosts are written out. What a
    /// rule needs matters, because a pattern too wide to allow anything can still be one that forbids.
    pub(crate) fn parse(
        kind: Kind,
        text: &str,
        need: Need,
        methods: &[String],
    ) -> Result<Vec<Pattern>, PatternError> {
        if text.len() > LONGEST {
            return Err(PatternError::new("a pattern is longer than 4096 bytes"));
        }
        if text.trim().is_empty() {
            return Err(PatternError::new("a pattern is empty"));
        }
        if let Some(control) = text.chars().find(|character| character.is_control()) {
            return Err(PatternError::new(format!("a pattern contains the control character {control:?}")));
        }
        if text.matches("**").count() > MOST_ANY || text.matches('*').count() > MOST_STARS {
            return Err(PatternError::new("a pattern has more than 16 `**`, or more than 64 stars"));
        }
        let one = |pattern| Ok(vec![pattern]);
        match kind {
            Kind::Read | Kind::Write | Kind::Land => one(Pattern::Path(path::PathPattern::parse(text)?)),
            Kind::Launch | Kind::Exec => one(Pattern::Command(command::CommandPattern::parse(text)?)),
            Kind::Connect => Ok(host::parse_all(text, need)?.into_iter().map(Pattern::Connect).collect()),
            Kind::Http => Ok(http::parse_all(text, need, methods)?.into_iter().map(Pattern::Http).collect()),
            Kind::Tool => one(Pattern::Tool(name::ToolPattern::parse(text)?)),
            Kind::Credential => one(Pattern::Credential(name::CredentialPattern::parse(text, need)?)),
            Kind::Spend => one(Pattern::Spend(name::SpendPattern::parse(text)?)),
        }
    }

    /// The regular expression over what `spell` makes of an action.
    pub(crate) fn regex(&self, places: &Places) -> String {
        let mut out = regex::Regex::default();
        match self {
            Pattern::Path(pattern) => pattern.write(&mut out, places),
            Pattern::Command(pattern) => pattern.write(&mut out, places),
            Pattern::Connect(pattern) => pattern.write(&mut out),
            Pattern::Http(pattern) => pattern.write(&mut out),
            Pattern::Tool(pattern) => pattern.write(&mut out),
            Pattern::Credential(pattern) => pattern.write(&mut out),
            Pattern::Spend(pattern) => pattern.write(&mut out),
        }
        out.finish()
    }
}

/// Which grammar a kind's patterns and examples follow: kinds of one family can share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Path,
    Command,
    Connect,
    Http,
    Tool,
    Credential,
    Spend,
}

/// See [`Family`].
pub(crate) fn family(kind: Kind) -> Family {
    match kind {
        Kind::Read | Kind::Write | Kind::Land => Family::Path,
        Kind::Launch | Kind::Exec => Family::Command,
        Kind::Connect => Family::Connect,
        Kind::Http => Family::Http,
        Kind::Tool => Family::Tool,
        Kind::Credential => Family::Credential,
        Kind::Spend => Family::Spend,
    }
}
