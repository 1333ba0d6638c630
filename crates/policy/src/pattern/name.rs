//! Patterns on tools (`mcp/github/*`), credentials (`github-token api.github.com`) and what is spent (`tokens > 200000`).

use crate::Need;
use crate::pattern::PatternError;
use crate::pattern::glob::{self, Between, Glob, Part};
use crate::pattern::host::EndpointPattern;
use crate::pattern::path::write_folders;
use crate::pattern::regex::Regex;

/// A pattern on tools: names with slashes between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolPattern(Vec<Part>);

impl ToolPattern {
    pub(crate) fn parse(text: &str) -> Result<ToolPattern, PatternError> {
        if text.contains(' ') {
            return Err(PatternError::new("the name of a tool has no blanks"));
        }
        let parts: Result<_, _> = glob::globs(text, Between::Folders)?.into_iter().map(glob::part).collect();
        parts.map(ToolPattern)
    }

    pub(crate) fn write(&self, out: &mut Regex) {
        write_folders(out, &self.0, "(?:/[^/\\x00]*)*");
    }
}

/// A pattern on credentials: which, and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialPattern {
    name: Glob,
    to: Option<EndpointPattern>,
}

impl CredentialPattern {
    pub(crate) fn parse(text: &str, need: Need) -> Result<CredentialPattern, PatternError> {
        let (name, to) = text.split_once(' ').map_or((text, None), |(name, to)| (name, Some(to.trim())));
        let mut globs = glob::globs(name, Between::Words)?;
        let to = to.map(|to| EndpointPattern::parse(to, need, Some(443))).transpose()?;
        match (globs.pop(), globs.is_empty()) {
            (Some(name), true) => {
                let Part::One(name) = glob::part(name)? else {
                    return Err(PatternError::new("`**` stands for a credential").hint("write `*`"));
                };
                Ok(CredentialPattern { name, to })
            }
            _ => Err(PatternError::new("a credential is a name, and the host that it goes to")),
        }
    }

    /// This very credential, to where a pattern of another kind leads.
    pub(crate) fn at(name: &str, to: EndpointPattern) -> Result<CredentialPattern, PatternError> {
        let CredentialPattern { name: read, to: None } = CredentialPattern::parse(name, Need::Never)? else {
            return Err(PatternError::new("a credential is a name"));
        };
        match read.text() {
            Some(_) => Ok(CredentialPattern { name: read, to: Some(to) }),
            None => Err(PatternError::new("one credential is named").hint("write its name, without stars")),
        }
    }

    pub(crate) fn write(&self, out: &mut Regex) {
        out.glob(&self.name, "[^\\x00]");
        out.raw("\\x00");
        match &self.to {
            Some(to) => to.write(out),
            None => out.raw("[^\\x00]+\\x00"),
        }
    }
}

/// A pattern on what is spent: a unit, and from or up to which amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpendPattern {
    unit: Glob,
    bound: Bound,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    Any,
    Above(u64),
    UpTo(u64),
}

impl SpendPattern {
    pub(crate) fn parse(text: &str) -> Result<SpendPattern, PatternError> {
        let wrong = || {
            PatternError::new(format!("`{text}` is no amount"))
                .hint("write `tokens`, `tokens > 200000` or `tokens <= 200000`")
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let amount = |text: &str| text.replace('_', "").parse::<u64>().map_err(|_| wrong());
        let (unit, bound) = match words.as_slice() {
            [unit] => (unit, Bound::Any),
            [unit, ">", least] => (unit, Bound::Above(amount(least)?)),
            [unit, "<=", most] => (unit, Bound::UpTo(amount(most)?)),
            _ => return Err(wrong()),
        };
        let mut globs = glob::globs(unit, Between::Words)?;
        match globs.pop().map(glob::part) {
            Some(Ok(Part::One(unit))) if globs.is_empty() => Ok(SpendPattern { unit, bound }),
            _ => Err(wrong()),
        }
    }

    pub(crate) fn write(&self, out: &mut Regex) {
        out.glob(&self.unit, "[^\\x00]");
        out.raw("\\x00");
        match self.bound {
            Bound::Any => out.raw("[0-9]+"),
            Bound::Above(least) => write_bound(out, least, '9', |digit| digit + 1),
            Bound::UpTo(most) => {
                out.raw("(?:");
                out.literal(format!("{most:020}").as_bytes());
                out.raw("|");
                write_bound(out, most, '0', |digit| digit - 1);
                out.raw(")");
            }
        }
    }
}

/// All numbers of twenty digits beyond `bound`, towards the digit `end`: those that share some first digits with it and
/// then have a digit beyond. An empty set if there are none.
fn write_bound(out: &mut Regex, bound: u64, end: char, next: fn(u8) -> u8) {
    let digits = format!("{bound:020}");
    let mut some = false;
    out.raw("(?:");
    for (at, digit) in digits.bytes().enumerate().filter(|(_, digit)| char::from(*digit) != end) {
        out.raw(if some { "|" } else { "" });
        some = true;
        out.literal(digits.as_bytes().get(..at).unwrap_or_default());
        let (from, to) = (char::from(next(digit)).min(end), char::from(next(digit)).max(end));
        out.raw(&format!("[{from}-{to}][0-9]{{{}}}", digits.len() - at - 1));
    }
    if !some {
        // No byte is in this set.
        out.raw("[^\\x00-\\xff]");
    }
    out.raw(")");
}
