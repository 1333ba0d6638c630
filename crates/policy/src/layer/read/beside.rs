//! What an `http` or `connect` rule says beside its patterns: conditions on requests, and the terms on which they pass.

use std::collections::BTreeSet;
use std::ops::Range;

use ipnet::IpNet;
use toml::de::DeTable;

use super::{Key, Page, Value};
use crate::layer::rule::Said;
use crate::layer::{LayerKind, PolicyError};
use crate::pattern::condition::{Condition, Place};
use crate::pattern::host;
use crate::pattern::name::CredentialPattern;
use crate::pattern::{Pattern, PatternError};
use crate::terms::{Rate, Record, Terms};
use crate::{Kind, Limit, Need};

/// How conditions are written.
const CONDITIONS: &str =
    "as in { \"content-type\" = [\"application/json*\"] }; `false` is for one that is not there";

impl Page<'_> {
    /// The conditions of a rule.
    pub(super) fn conditions(
        &self,
        table: &DeTable<'_>,
        says: &[Said],
    ) -> Result<Vec<Condition>, PolicyError> {
        let mut conditions = Vec::new();
        for (key, value) in table {
            let place = match &**key.get_ref() {
                "query" => Place::Query,
                "headers" => Place::Header,
                _ => continue,
            };
            if says.iter().all(|said| said.kind != Kind::Http) {
                let because = format!("a rule has {} and does not speak of `http`", key.get_ref());
                return Err(self.wrong(&key.span(), because));
            }
            let mut seen = BTreeSet::new();
            for (name, value) in self.table(key, value)? {
                let condition = self.condition(place, name, value)?;
                if !seen.insert(condition.name.clone()) {
                    let because =
                        format!("`{}` is the same to a server as another name here", name.get_ref());
                    return Err(self.wrong(&name.span(), because).hint("say all of it in one list"));
                }
                conditions.push(condition);
            }
            if seen.is_empty() {
                return Err(self.wrong(&value.span(), "no condition is named").hint(CONDITIONS));
            }
        }
        Ok(conditions)
    }

    fn condition(&self, place: Place, name: &Key<'_>, value: &Value<'_>) -> Result<Condition, PolicyError> {
        let wrong = |span: &Range<usize>| {
            self.wrong(span, format!("`{}` is asked for nothing", name.get_ref())).hint(CONDITIONS)
        };
        let (mut patterns, mut absent) = (Vec::new(), false);
        let alone = [value.clone()];
        let items: &[Value<'_>] = match value.get_ref().as_array() {
            Some(items) => items,
            None => &alone,
        };
        for item in items {
            match (item.get_ref().as_str(), item.get_ref().as_bool()) {
                (Some(text), _) => patterns.push(text),
                (None, Some(false)) => absent = true,
                _ => return Err(wrong(&item.span())),
            }
        }
        if items.is_empty() {
            return Err(wrong(&value.span()));
        }
        Condition::parse(place, name.get_ref(), &patterns, absent).map_err(
            |PatternError { because, hint }| {
                let error = self.wrong(&name.span(), format!("`{}`: {because}", name.get_ref()));
                PolicyError { hint, ..error }
            },
        )
    }

    /// The terms of a rule.
    pub(super) fn terms(&self, table: &DeTable<'_>, says: &[Said], need: Need) -> Result<Terms, PolicyError> {
        let mut terms = Terms::default();
        for (key, value) in table {
            match &**key.get_ref() {
                "up" => terms.up = Some(self.bytes(key, value)?),
                "down" => terms.down = Some(self.bytes(key, value)?),
                "rate" => terms.rate = Some(self.rate(key, value)?),
                "record" => terms.record = Some(self.record(key, value)?),
                "leads_to" => terms.leads_to = self.networks(key, value)?,
                "credential" if value.get_ref().as_str().is_some() => {
                    terms.credential = Some(self.string(key, value)?.to_owned());
                }
                _ => continue,
            }
            let carries = |said: &Said| matches!(said.kind, Kind::Http | Kind::Connect);
            if !says.iter().any(carries) {
                let because =
                    format!("a rule has `{}` and speaks of neither `http` nor `connect`", key.get_ref());
                return Err(self.wrong(&key.span(), because));
            }
            if need == Need::Never {
                let because = format!("a rule has `{}` and lets nothing pass", key.get_ref());
                return Err(self
                    .wrong(&key.span(), because)
                    .hint("leave it out, or say what the rule needs"));
            }
        }
        Ok(terms)
    }

    fn networks(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Vec<IpNet>, PolicyError> {
        if self.kind == LayerKind::Floor {
            return Err(self.wrong(&key.span(), "a floor opens nothing").hint("write it in a file of yours"));
        }
        let network = |(text, span): (&str, Range<usize>)| {
            host::network(text).map_err(|error| self.pattern_error(&span, error))
        };
        self.strings(key, value)?.into_iter().map(network).collect()
    }

    fn bytes(&self, key: &Key<'_>, value: &Value<'_>) -> Result<u64, PolicyError> {
        let text = value.get_ref().as_str().unwrap_or_default();
        Limit::Disk.read(text).map_err(|_| {
            let because = format!("`{}` is no number of bytes", key.get_ref());
            self.wrong(&value.span(), because)
                .hint("a number and its unit, KiB, MiB, GiB or TiB, as in \"20MiB\"; more than nothing")
        })
    }

    fn rate(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Rate, PolicyError> {
        let rate = value.get_ref().as_str().and_then(|text| text.parse().ok());
        rate.ok_or_else(|| {
            self.wrong(&value.span(), format!("`{}` is no rate", key.get_ref()))
                .hint("how many in a second, a minute or an hour, as in \"10/s\", \"100/m\", \"1000/h\"")
        })
    }

    fn record(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Record, PolicyError> {
        match self.string(key, value)? {
            "full" => Ok(Record::Full),
            _ => Err(self
                .wrong(&value.span(), "this depth of recording is not known")
                .hint("record = \"full\"")),
        }
    }

    /// What a whole file says of recording: of models, which a run may know by names that no rule has.
    pub(super) fn recorded(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Option<Record>, PolicyError> {
        let mut models = None;
        for (key, value) in self.table(key, value)? {
            match &**key.get_ref() {
                "models" => models = Some(self.record(key, value)?),
                _ => return Err(self.unknown(key, &["models"])),
            }
        }
        Ok(models)
    }

    /// What `credential = "name"` says beside: that it may go where the rule leads.
    pub(super) fn credential(
        &self,
        terms: &Terms,
        says: &[Said],
        span: &Range<usize>,
    ) -> Result<Vec<Said>, PolicyError> {
        let Some(name) = &terms.credential else { return Ok(Vec::new()) };
        let mut patterns = Vec::new();
        for pattern in says.iter().flat_map(|said| &said.patterns) {
            let to = match pattern {
                Pattern::Http(http) => &http.endpoint,
                Pattern::Connect(endpoint) => endpoint,
                _ => continue,
            };
            let bound =
                CredentialPattern::at(name, to.clone()).map_err(|error| self.pattern_error(span, error))?;
            if !patterns.contains(&Pattern::Credential(bound.clone())) {
                patterns.push(Pattern::Credential(bound));
            }
        }
        Ok(vec![Said { kind: Kind::Credential, text: name.clone(), patterns }])
    }
}
