//! What all layers say about one kind of action: one automaton, a pattern for each rule and one for its holes.

use crate::action::Action;
use crate::automaton::{Automaton, TooLarge};
use crate::canonical::NotCanonical;
use crate::pattern::host::EndpointPattern;
use crate::pattern::{Pattern, Places, regex, spell};
use crate::policy::Counted;
use crate::{Endpoint, Kind, Layer, PolicyError};

/// Buffers above this size are not kept.
const KEPT: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    automaton: Option<Automaton>,
    /// For each pattern of the automaton.
    slots: Vec<Slot>,
}

/// What a pattern stands for.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// What a rule speaks of, and the pattern of its holes.
    Rule { rule: usize, holes: Option<usize> },
    /// The holes of a rule.
    Holes,
}

impl Table {
    /// Of all rules that count.
    pub(crate) fn new(
        kind: Kind,
        layers: &[Layer],
        rules: &[Counted],
        places: &Places,
    ) -> Result<Table, PolicyError> {
        let mut slots = Vec::new();
        let mut expressions = Vec::new();
        for (rule, counted) in rules.iter().enumerate() {
            let said = layers.get(counted.layer).and_then(|layer| layer.content.rules.get(counted.rule));
            let Some(said) = said else { continue };
            let written = |pattern: &Pattern| pattern.regex(places);
            let says: Vec<String> = said.patterns(kind).map(written).collect();
            if says.is_empty() {
                continue;
            }
            let holes: Vec<String> = said.holes(kind).map(written).collect();
            let at = (!holes.is_empty()).then_some(slots.len() + 1);
            slots.push(Slot::Rule { rule, holes: at });
            expressions.push(regex::either(&says));
            if at.is_some() {
                slots.push(Slot::Holes);
                expressions.push(regex::either(&holes));
            }
        }
        Ok(Table { automaton: automaton(kind, &expressions)?, slots })
    }

    /// Tells every rule that speaks of an action, in the order of layers: its number, and whether it does so only by a
    /// name of a command that proves nothing.
    ///
    /// # Errors
    /// When the action has no canonical spelling. Then nothing was told.
    pub(crate) fn speak(
        &self,
        action: &Action,
        mut each: impl FnMut(usize, bool),
    ) -> Result<(), NotCanonical> {
        let Some(automaton) = &self.automaton else {
            return spell::action(action, &mut Vec::new()).map(drop);
        };
        let mut scratch = automaton.scratch();
        let mut buffer = std::mem::take(&mut scratch.buffer);
        let mut found = std::mem::take(&mut scratch.found);
        let told = (|| {
            let input = spell::action(action, &mut buffer)?;
            found.clear();
            automaton.matches(&mut scratch, input, |pattern| found.push(pattern));
            self.tell(&mut found, false, &mut each);
            for (input, narrows) in spell::names(action)? {
                found.clear();
                automaton.matches(&mut scratch, &input, |pattern| found.push(pattern));
                self.tell(&mut found, narrows, &mut each);
            }
            Ok(())
        })();
        if buffer.capacity() <= KEPT {
            scratch.buffer = buffer;
        }
        scratch.found = found;
        told
    }

    fn tell(&self, found: &mut [usize], by_name: bool, each: &mut impl FnMut(usize, bool)) {
        found.sort_unstable();
        for pattern in &*found {
            if let Some(Slot::Rule { rule, holes }) = self.slots.get(*pattern)
                && holes.is_none_or(|holes| found.binary_search(&holes).is_err())
            {
                each(*rule, by_name);
            }
        }
    }
}

fn automaton(kind: Kind, expressions: &[String]) -> Result<Option<Automaton>, PolicyError> {
    if expressions.is_empty() {
        return Ok(None);
    }
    let too_large = |error: TooLarge| {
        PolicyError::whole("all layers", format!("the rules about `{kind}` cannot be put together: {error}"))
            .hint("write fewer or shorter patterns")
    };
    Automaton::new(expressions).map(Some).map_err(too_large)
}

/// Places whose requests some rule speaks of.
#[derive(Debug)]
pub(crate) struct Requests(Option<Automaton>);

impl Requests {
    pub(crate) fn new(layers: &[Layer], rules: &[Counted]) -> Result<Requests, PolicyError> {
        let mut expressions = Vec::new();
        for counted in rules {
            let said = layers.get(counted.layer).and_then(|layer| layer.content.rules.get(counted.rule));
            let patterns = said.into_iter().flat_map(|rule| rule.patterns(Kind::Http));
            expressions.extend(patterns.filter_map(|pattern| match pattern {
                Pattern::Http(http) => Some(expression(&http.endpoint)),
                _ => None,
            }));
        }
        expressions.sort();
        expressions.dedup();
        automaton(Kind::Http, &expressions).map(Requests)
    }

    /// What has no canonical spelling is looked into, so that it is judged, and refused.
    pub(crate) fn speak_of(&self, endpoint: &Endpoint) -> bool {
        let Some(automaton) = &self.0 else { return false };
        let mut scratch = automaton.scratch();
        let mut buffer = std::mem::take(&mut scratch.buffer);
        buffer.clear();
        let mut found = spell::endpoint(&mut buffer, endpoint).is_err();
        if !found {
            automaton.matches(&mut scratch, &buffer, |_| found = true);
        }
        scratch.buffer = buffer;
        found
    }
}

fn expression(endpoint: &EndpointPattern) -> String {
    let mut out = regex::Regex::default();
    endpoint.write(&mut out);
    out.finish()
}
