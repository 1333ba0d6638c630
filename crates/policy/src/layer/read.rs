//! From TOML to rules, every key known and every value of the right kind, or refused with the place.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::canonical;
use crate::layer::rule::{self, Content, Example, Named, Rule, Said, When};
use crate::layer::{LayerKind, PolicyError};
use crate::pattern::{Family, Pattern, PatternError, family};
use crate::{Kind, Limit, Need};

mod beside;

/// The largest file.
const LARGEST: usize = 1 << 20;
/// The longest `why`, in bytes.
const LONGEST_WHY: usize = 1000;

const FILE_KEYS: [&str; 7] = ["version", "default", "when", "nested", "limits", "record", "rule"];
const RULE_KEYS: [&str; 15] = [
    "id", "need", "why", "when", "except", "methods", "query", "headers", "up", "down", "rate", "record",
    "leads_to", "yes", "no",
];
const WHEN_KEYS: [&str; 4] = ["repo", "agent", "principal", "attended"];

type Key<'i> = Spanned<DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

/// Reads a file.
pub(crate) fn content(name: &str, kind: LayerKind, text: &str) -> Result<Content, PolicyError> {
    let page = Page { name, kind, text };
    if text.len() > LARGEST {
        return Err(PolicyError::whole(name, "it is larger than 1 MiB"));
    }
    let table = DeTable::parse(text).map_err(|error| {
        page.wrong(&error.span().unwrap_or(0..0), format!("it is no TOML: {}", error.message()))
    })?;
    page.content(&table)
}

struct Page<'a> {
    name: &'a str,
    kind: LayerKind,
    text: &'a str,
}

impl Page<'_> {
    fn wrong(&self, span: &Range<usize>, because: impl Into<String>) -> PolicyError {
        PolicyError::at(self.name, self.text, span, because)
    }

    fn pattern_error(&self, span: &Range<usize>, error: PatternError) -> PolicyError {
        PolicyError { hint: error.hint, ..self.wrong(span, error.because) }
    }

    fn content(&self, table: &Spanned<DeTable<'_>>) -> Result<Content, PolicyError> {
        let mut content = Content::default();
        let mut version = false;
        for (key, value) in table.get_ref() {
            match &**key.get_ref() {
                "version" => {
                    self.version(value)?;
                    version = true;
                }
                "default" => content.defaults = self.defaults(key, value)?,
                "when" => content.when = self.when(value)?,
                "nested" => content.nested = Some(self.boolean(key, value)?),
                "limits" => content.limits = self.limits(key, value)?,
                "record" => content.record_models = self.recorded(key, value)?,
                "rule" => content.rules = self.rules(key, value)?,
                _ => return Err(self.unknown(key, &FILE_KEYS)),
            }
        }
        if version {
            Ok(content)
        } else {
            Err(self.wrong(&(0..0), "it has no version").hint("begin the file with `version = 1`"))
        }
    }

    fn version(&self, value: &Value<'_>) -> Result<(), PolicyError> {
        match value.get_ref().as_integer() {
            Some(number) if number.as_str() == "1" => Ok(()),
            _ => Err(self
                .wrong(&value.span(), "this version of the language is not known")
                .hint("this program reads `version = 1`")),
        }
    }

    fn defaults(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Vec<(Kind, Need)>, PolicyError> {
        if self.kind == LayerKind::Floor {
            return Err(self
                .wrong(&key.span(), "a floor has no defaults: what it does not speak of is not its business")
                .hint("write a rule"));
        }
        let mut defaults = Vec::new();
        for (key, value) in self.table(key, value)? {
            let kind: Kind = match key.get_ref().parse() {
                Ok(kind) => kind,
                Err(_) => return Err(self.unknown(key, &Kind::ALL.map(Kind::word))),
            };
            let text = self.string(key, value)?;
            let need = match text {
                "ask" => Need::Human,
                "deny" => Need::Never,
                _ => self.need(value, text)?,
            };
            defaults.push((kind, need));
        }
        Ok(defaults)
    }

    fn limits(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Vec<(Limit, u64)>, PolicyError> {
        let mut limits = Vec::new();
        for (key, value) in self.table(key, value)? {
            let limit = Limit::named(key.get_ref());
            let limit = limit.ok_or_else(|| self.unknown(key, &Limit::ALL.map(Limit::word)))?;
            limits.push((limit, self.amount(limit, value)?));
        }
        Ok(limits)
    }

    fn amount(&self, limit: Limit, value: &Value<'_>) -> Result<u64, PolicyError> {
        let written = value.get_ref();
        let text = match written.as_integer().filter(|number| limit.is_count() && number.radix() == 10) {
            Some(number) => number.as_str(),
            // A number without a unit, or a text where a number belongs: refused as what it looks like.
            None if limit.is_count() => "",
            None => written.as_str().unwrap_or_default(),
        };
        limit.read(text).map_err(|error| {
            let because = format!("`{limit}` is no limit that can be held");
            self.wrong(&value.span(), because).hint(error.hint())
        })
    }

    fn need(&self, value: &Value<'_>, text: &str) -> Result<Need, PolicyError> {
        text.parse().map_err(|_| {
            self.wrong(&value.span(), format!("`{}` is no need", crate::text::printable(text, 40)))
                .hint("write none, model, human, humans(n) with n from 2, or never")
        })
    }

    fn when(&self, value: &Value<'_>) -> Result<When, PolicyError> {
        let Some(table) = value.get_ref().as_table() else {
            return Err(self.wrong(&value.span(), "`when` is no table").hint("when = { agent = \"codex\" }"));
        };
        let mut when = When::default();
        for (key, value) in table {
            match &**key.get_ref() {
                "repo" => when.repo = Some(self.names(key, value, true)?),
                "agent" => when.agent = Some(self.names(key, value, false)?),
                "principal" => when.principal = Some(self.names(key, value, false)?),
                "attended" => when.attended = Some(self.boolean(key, value)?),
                _ => return Err(self.unknown(key, &WHEN_KEYS)),
            }
        }
        Ok(when)
    }

    /// One name with stars, or several of which one must hold.
    fn names(&self, key: &Key<'_>, value: &Value<'_>, folded: bool) -> Result<Vec<Named>, PolicyError> {
        let texts = match value.get_ref().as_str() {
            Some(text) => vec![(text, value.span())],
            None => self.strings(key, value)?,
        };
        let named = |(text, span): (&str, Range<usize>)| {
            // Owners and names of repositories are the same in any case.
            let text = if folded { text.to_ascii_lowercase() } else { text.to_owned() };
            Named::parse(&text).map_err(|error| self.pattern_error(&span, error))
        };
        texts.into_iter().map(named).collect()
    }

    fn rules(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Vec<Rule>, PolicyError> {
        let tables = value.get_ref().as_array().ok_or_else(|| {
            self.wrong(&key.span(), "`rule` is no list of rules").hint("write `[[rule]]` above each rule")
        })?;
        let mut rules: Vec<Rule> = Vec::new();
        for one in tables {
            let Some(table) = one.get_ref().as_table() else {
                return Err(self.wrong(&one.span(), "a rule is no table").hint("write `[[rule]]` above it"));
            };
            let rule = self.rule(table, &one.span())?;
            rules.push(rule);
        }
        let mut seen = std::collections::BTreeSet::new();
        for (rule, one) in rules.iter().zip(tables) {
            if !seen.insert(&rule.id) {
                return Err(self
                    .wrong(&one.span(), format!("two rules have the id `{}`", rule.id))
                    .hint("give each rule an id of its own: reasons name it"));
            }
        }
        Ok(rules)
    }

    fn rule(&self, table: &DeTable<'_>, span: &Range<usize>) -> Result<Rule, PolicyError> {
        let find = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name);
        for (key, _) in table {
            let word: &str = key.get_ref();
            if !RULE_KEYS.contains(&word) && word.parse::<Kind>().is_err() {
                let kinds = Kind::ALL.map(Kind::word);
                return Err(self.unknown(key, &[RULE_KEYS.as_slice(), &kinds].concat()));
            }
        }
        let missing = |what: &str, hint: &str| self.wrong(span, format!("a rule has no {what}")).hint(hint);
        let (key, value) = find("id").ok_or_else(|| missing("id", "id = \"a-name-of-its-own\""))?;
        let id = self.string(key, value)?;
        rule::check_id(id).map_err(|because| self.wrong(&value.span(), because))?;
        let (key, value) = find("need").ok_or_else(|| missing("need", "need = \"human\""))?;
        let need = self.need(value, self.string(key, value)?)?;
        let why = find("why").map(|(key, value)| self.why(key, value)).transpose()?;
        let when = find("when").map(|(_, value)| self.when(value)).transpose()?.unwrap_or_default();
        let methods = find("methods").map(|(key, value)| self.methods(key, value)).transpose()?;
        let mut says = self.says(table, span, need, methods.as_deref())?;
        let conditions = self.conditions(table, &says)?;
        let terms = self.terms(table, &says, need)?;
        let kinds: Vec<Kind> = says.iter().map(|said| said.kind).collect();
        let except = match find("except") {
            Some((key, value)) => self.except(key, value, &kinds, need)?,
            None => Vec::new(),
        };
        let examples = |name: &str| match find(name) {
            Some((key, value)) => self.examples(key, value, &kinds),
            None => Ok(Vec::new()),
        };
        let (yes, no) = (examples("yes")?, examples("no")?);
        says.extend(self.credential(&terms, &says, span)?);
        let (id, span) = (id.to_owned(), span.clone());
        Ok(Rule { id, need, why, when, says, conditions, terms, except, yes, no, span })
    }

    fn why(&self, key: &Key<'_>, value: &Value<'_>) -> Result<String, PolicyError> {
        let text = self.string(key, value)?;
        if text.len() > LONGEST_WHY || text.chars().any(char::is_control) {
            return Err(self.wrong(&value.span(), "`why` is one line of at most 1000 bytes"));
        }
        Ok(text.to_owned())
    }

    fn methods(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Vec<String>, PolicyError> {
        let method = |(text, span): (&str, Range<usize>)| {
            canonical::method(text)
                .map(|()| text.to_owned())
                .map_err(|error| self.wrong(&span, error.to_string()).hint("as in `GET`"))
        };
        self.strings(key, value)?.into_iter().map(method).collect()
    }

    fn says(
        &self,
        table: &DeTable<'_>,
        span: &Range<usize>,
        need: Need,
        methods: Option<&[String]>,
    ) -> Result<Vec<Said>, PolicyError> {
        let mut says = Vec::new();
        for (key, value) in table {
            let Ok(kind) = key.get_ref().parse::<Kind>() else { continue };
            // `credential = "name"` says what goes along, not what the rule speaks of.
            if kind == Kind::Credential && value.get_ref().as_str().is_some() {
                continue;
            }
            for (text, span) in self.strings(key, value)? {
                let patterns = Pattern::parse(kind, text, need, methods.unwrap_or_default())
                    .map_err(|error| self.pattern_error(&span, error))?;
                says.push(Said { kind, text: text.to_owned(), patterns });
            }
        }
        if says.is_empty() {
            let kinds = Kind::ALL.map(Kind::word).join(", ");
            return Err(self.wrong(span, "a rule speaks of nothing").hint(format!("name one of: {kinds}")));
        }
        if methods.is_some() && says.iter().all(|said| said.kind != Kind::Http) {
            return Err(self.wrong(span, "a rule has methods and does not speak of `http`"));
        }
        Ok(says)
    }

    fn except(
        &self,
        key: &Key<'_>,
        value: &Value<'_>,
        kinds: &[Kind],
        need: Need,
    ) -> Result<Vec<Said>, PolicyError> {
        self.one_family(key, kinds)?;
        // A hole in what is allowed may be as wide as it likes; a hole in what is not, no wider than a rule that allows.
        let as_if = if need == Need::None { Need::Never } else { Need::None };
        let mut except = Vec::new();
        for (text, span) in self.strings(key, value)? {
            let mut kinds = kinds.to_vec();
            kinds.sort_unstable();
            kinds.dedup();
            for kind in kinds {
                let patterns = Pattern::parse(kind, text, as_if, &[])
                    .map_err(|error| self.pattern_error(&span, error))?;
                except.push(Said { kind, text: text.to_owned(), patterns });
            }
        }
        Ok(except)
    }

    fn examples(
        &self,
        key: &Key<'_>,
        value: &Value<'_>,
        kinds: &[Kind],
    ) -> Result<Vec<Example>, PolicyError> {
        self.one_family(key, kinds)?;
        let example = |(text, span): (&str, Range<usize>)| Example { text: text.to_owned(), span };
        Ok(self.strings(key, value)?.into_iter().map(example).collect())
    }

    /// `except`, `yes` and `no` are read as what the rule speaks of, so that must be one thing.
    fn one_family(&self, key: &Key<'_>, kinds: &[Kind]) -> Result<(), PolicyError> {
        let families: Vec<Family> = kinds.iter().map(|kind| family(*kind)).collect();
        match families.windows(2).all(|pair| pair.first() == pair.last()) {
            true => Ok(()),
            false => Err(self
                .wrong(
                    &key.span(),
                    format!(
                        "`{}` cannot be read: the rule speaks of things of different kinds",
                        key.get_ref()
                    ),
                )
                .hint("write a rule for each kind")),
        }
    }

    fn boolean(&self, key: &Key<'_>, value: &Value<'_>) -> Result<bool, PolicyError> {
        let wrong = || self.wrong(&value.span(), format!("`{}` is neither true nor false", key.get_ref()));
        value.get_ref().as_bool().ok_or_else(wrong)
    }

    fn string<'v>(&self, key: &Key<'_>, value: &'v Value<'_>) -> Result<&'v str, PolicyError> {
        let wrong = || self.wrong(&value.span(), format!("`{}` is no text", key.get_ref()));
        value.get_ref().as_str().ok_or_else(wrong)
    }

    fn table<'v, 'i>(&self, key: &Key<'_>, value: &'v Value<'i>) -> Result<&'v DeTable<'i>, PolicyError> {
        let wrong = || self.wrong(&value.span(), format!("`{}` is no table", key.get_ref()));
        value.get_ref().as_table().ok_or_else(wrong)
    }

    fn strings<'v>(
        &self,
        key: &Key<'_>,
        value: &'v Value<'_>,
    ) -> Result<Vec<(&'v str, Range<usize>)>, PolicyError> {
        let wrong = |span: &Range<usize>| {
            self.wrong(span, format!("`{}` is no list of texts", key.get_ref()))
                .hint(format!("{} = [\"..\"]", key.get_ref()))
        };
        let items = value.get_ref().as_array().ok_or_else(|| wrong(&value.span()))?;
        if items.is_empty() {
            return Err(self.wrong(&value.span(), format!("`{}` is empty", key.get_ref())));
        }
        let text = |item: &'v Value<'_>| match item.get_ref().as_str() {
            Some(text) => Ok((text, item.span())),
            None => Err(wrong(&item.span())),
        };
        items.iter().map(text).collect()
    }

    fn unknown(&self, key: &Key<'_>, known: &[&str]) -> PolicyError {
        let word: &str = key.get_ref();
        let near = known.iter().map(|known| (distance(word, known), known)).min();
        let hint = match near {
            Some((steps, near)) if steps <= 2 => format!("did you mean `{near}`?"),
            _ => format!("known here: {}", known.join(", ")),
        };
        self.wrong(&key.span(), format!("the key `{}` is not known", crate::text::printable(word, 40)))
            .hint(hint)
    }
}

/// How many letters must be added, taken away or exchanged.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().take(32).enumerate() {
        let mut diagonal = at;
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
        for (column, other) in to.iter().enumerate() {
            let above = row.get(column + 1).copied().unwrap_or_default();
            let left = row.get(column).copied().unwrap_or_default();
            let step = (diagonal + usize::from(letter != *other)).min(above + 1).min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(column + 1) {
                *cell = step;
            }
        }
    }
    row.last().copied().unwrap_or_default()
}
