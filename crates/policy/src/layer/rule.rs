//! What a rule holds once it is read: patterns by kind, holes, a need, and when it counts.

use std::ops::Range;

use crate::layer::{PatternSpec, PolicyError, RuleSpec};
use crate::pattern::command::{CommandPattern, Program};
use crate::pattern::condition::Condition;
use crate::pattern::name::ToolPattern;
use crate::pattern::path::PathPattern;
use crate::pattern::{Pattern, PatternError, regex};
use crate::terms::{Record, Terms};
use crate::{Context, Kind, Limit, Need};

/// How long an id can be.
const LONGEST_ID: usize = 64;

/// Everything a file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// What no rule speaks about, for each kind of [`Kind::ALL`] that the file names.
    pub(crate) defaults: Vec<(Kind, Need)>,
    pub(crate) when: When,
    /// Whether namespaces may be made inside.
    pub(crate) nested: Option<bool>,
    /// The most of what this layer limits.
    pub(crate) limits: Vec<(Limit, u64)>,
    /// How what models are asked and answer is recorded.
    pub(crate) record_models: Option<Record>,
    pub(crate) rules: Vec<Rule>,
}

impl Content {
    pub(crate) fn default_of(&self, kind: Kind) -> Option<Need> {
        self.defaults.iter().find(|(given, _)| *given == kind).map(|(_, need)| *need)
    }
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) need: Need,
    pub(crate) why: Option<String>,
    pub(crate) when: When,
    /// What it speaks of, in the order of the file.
    pub(crate) says: Vec<Said>,
    /// What must hold of a request beside.
    pub(crate) conditions: Vec<Condition>,
    /// How what it speaks of may pass.
    pub(crate) terms: Terms,
    /// The holes in it, for each kind.
    pub(crate) except: Vec<Said>,
    pub(crate) yes: Vec<Example>,
    pub(crate) no: Vec<Example>,
    /// Where it stands in its file.
    pub(crate) span: Range<usize>,
}

/// One text of a rule, and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) patterns: Vec<Pattern>,
}

/// An action that must match, or must not.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
}

impl Rule {
    /// From what the program made.
    pub(crate) fn of(layer: &str, spec: RuleSpec) -> Result<Rule, PolicyError> {
        let wrong = |because: String| {
            PolicyError::whole(layer, format!("rule `{}`: {because}", crate::text::printable(&spec.id, 80)))
        };
        check_id(&spec.id).map_err(wrong)?;
        let mut says = Vec::new();
        for (kind, pattern) in &spec.patterns {
            let (text, patterns) =
                read_spec(*kind, pattern, spec.need).map_err(|error| wrong(error.because))?;
            says.push(Said { kind: *kind, text, patterns });
        }
        Ok(Rule {
            id: spec.id.clone(),
            need: spec.need,
            why: spec.why,
            when: When::default(),
            says,
            conditions: Vec::new(),
            terms: Terms::default(),
            except: Vec::new(),
            yes: Vec::new(),
            no: Vec::new(),
            span: 0..0,
        })
    }

    /// The kinds that it speaks of, each once.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.says.iter().map(|said| said.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    pub(crate) fn patterns(&self, kind: Kind) -> impl Iterator<Item = &Pattern> {
        of_kind(&self.says, kind)
    }

    pub(crate) fn holes(&self, kind: Kind) -> impl Iterator<Item = &Pattern> {
        of_kind(&self.except, kind)
    }
}

fn of_kind(said: &[Said], kind: Kind) -> impl Iterator<Item = &Pattern> {
    said.iter().filter(move |said| said.kind == kind).flat_map(|said| &said.patterns)
}

fn read_spec(kind: Kind, pattern: &PatternSpec, need: Need) -> Result<(String, Vec<Pattern>), PatternError> {
    let (path, beneath) = match pattern {
        PatternSpec::Text(text) => return Ok((text.clone(), Pattern::parse(kind, text, need, &[])?)),
        PatternSpec::Exact(path) => (path, false),
        PatternSpec::Tree(path) => (path, true),
    };
    let path = crate::AbsPath::new(path)
        .map_err(|error| PatternError::new(format!("`{}` is no path: {error}", path.display())))?;
    let literal = PathPattern::literal(path.as_path(), beneath);
    let text = if beneath { format!("{path}/**") } else { path.to_string() };
    let pattern = match kind {
        Kind::Read | Kind::Write | Kind::Land => Pattern::Path(literal),
        Kind::Exec | Kind::Launch => Pattern::Command(CommandPattern {
            variable: None,
            program: Program::At(literal),
            words: vec![crate::pattern::glob::Part::Any],
        }),
        _ => return Err(PatternError::new(format!("a path says nothing about `{kind}`"))),
    };
    Ok((text, vec![pattern]))
}

/// An id can stand in a sentence, on a command line and in a file name.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+".contains(&byte);
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(plain) {
        return Err("an id is made of up to 64 letters, digits and `-_.:/@+`".to_owned());
    }
    if matches!(id, "default" | "built-in") {
        return Err(format!("the id `{id}` has a meaning of its own"));
    }
    Ok(())
}

/// Every id stands once.
pub(crate) fn distinct(layer: &str, rules: &[Rule]) -> Result<(), PolicyError> {
    let mut seen = std::collections::BTreeSet::new();
    match rules.iter().find(|rule| !seen.insert(rule.id.as_str())) {
        Some(rule) => Err(PolicyError::whole(layer, format!("two rules have the id `{}`", rule.id))),
        None => Ok(()),
    }
}

/// When a file or a rule counts. Everything that is named must hold; nothing named always does.
#[derive(Debug, Clone, Default)]
pub(crate) struct When {
    /// Any of these, each a name with stars.
    pub(crate) repo: Option<Vec<Named>>,
    pub(crate) agent: Option<Vec<Named>>,
    pub(crate) principal: Option<Vec<Named>>,
    pub(crate) attended: Option<bool>,
}

/// A name with stars.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) text: String,
    pattern: ToolPattern,
}

impl Named {
    pub(crate) fn parse(text: &str) -> Result<Named, PatternError> {
        Ok(Named { text: text.to_owned(), pattern: ToolPattern::parse(text)? })
    }

    fn holds(&self, name: &str) -> bool {
        let mut out = regex::Regex::default();
        self.pattern.write(&mut out);
        regex::is_match(&[out.finish()], format!("/{name}").as_bytes())
    }
}

impl When {
    /// What does not hold, as a person reads it; `None` if all does.
    pub(crate) fn fails(&self, context: &Context) -> Option<String> {
        let lower = |name: &str| name.to_ascii_lowercase();
        let repo = context.repo.as_deref().map(lower);
        let named = [
            ("repo", &self.repo, repo.as_deref()),
            ("agent", &self.agent, Some(&context.agent)),
            ("principal", &self.principal, Some(&context.principal)),
        ];
        for (what, asked, is) in named {
            let Some(asked) = asked else { continue };
            if !is.is_some_and(|is| asked.iter().any(|named| named.holds(is))) {
                let asked: Vec<&str> = asked.iter().map(|named| named.text.as_str()).collect();
                return Some(format!("{what} is {}, not {}", is.unwrap_or("unknown"), asked.join(" or ")));
            }
        }
        match self.attended {
            Some(true) if !context.attended => Some("nobody attends".to_owned()),
            Some(false) if context.attended => Some("somebody attends".to_owned()),
            _ => None,
        }
    }
}
