//! What all layers say about one kind of action: one automaton, a pattern for each rule and one for its holes.

use std::collections::{BTreeMap, HashMap};

use crate::action::Action;
use crate::automaton::{Automaton, TooLarge};
use crate::canonical::NotCanonical;
use crate::layer::rule::Rule;
use crate::pattern::condition::Condition;
use crate::pattern::host::EndpointPattern;
use crate::pattern::{Pattern, Places, regex, spell};
use crate::policy::Counted;
use crate::policy::conditions::{Holds, Names, Said};
use crate::{Endpoint, Kind, Layer, Need, PolicyError};

/// Buffers above this size are not kept.
const KEPT: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    automaton: Option<Automaton>,
    /// For each pattern of the automaton.
    slots: Vec<Slot>,
    /// What rules on requests ask beside, by their number.
    asked: HashMap<usize, (Need, Vec<Condition>)>,
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
        let mut asked = HashMap::new();
        for (rule, counted) in rules.iter().enumerate() {
            let said = layers.get(counted.layer).and_then(|layer| layer.content.rules.get(counted.rule));
            let Some(said) = said else { continue };
            let written = |pattern: &Pattern| pattern.regex(places);
            let says: Vec<String> = said.patterns(kind).map(written).collect();
            if says.is_empty() {
                continue;
            }
            if kind == Kind::Http && !said.conditions.is_empty() {
                asked.insert(rule, (said.need, said.conditions.clone()));
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
        Ok(Table { automaton: automaton(kind, &expressions)?, slots, asked })
    }

    /// Tells every rule that speaks of an action, in the order of layers: its number, and whether that can only make stricter:
    /// because it knows a command only by a name that proves nothing, or a request only as some servers might read it.
    ///
    /// # Errors
    /// When the action has no canonical spelling. It is then to be denied, whatever was told.
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
            self.tell(action, &mut found, false, &mut each)?;
            for (input, narrows) in spell::names(action)? {
                found.clear();
                automaton.matches(&mut scratch, &input, |pattern| found.push(pattern));
                self.tell(action, &mut found, narrows, &mut each)?;
            }
            Ok(())
        })();
        if buffer.capacity() <= KEPT {
            scratch.buffer = buffer;
        }
        scratch.found = found;
        told
    }

    fn tell(
        &self,
        action: &Action,
        found: &mut [usize],
        by_name: bool,
        each: &mut impl FnMut(usize, bool),
    ) -> Result<(), NotCanonical> {
        found.sort_unstable();
        let mut said: Option<Said<'_>> = None;
        for pattern in &*found {
            let Some(Slot::Rule { rule, holes }) = self.slots.get(*pattern) else { continue };
            if holes.is_some_and(|holes| found.binary_search(&holes).is_ok()) {
                continue;
            }
            let mut holds = Holds::All;
            if let (Action::Http(request), Some((need, asked))) = (action, self.asked.get(rule)) {
                holds = said.get_or_insert_with(|| Said::of(request)).holds(asked, *need)?;
            }
            if holds != Holds::Not {
                each(*rule, by_name || holds == Holds::Some);
            }
        }
        Ok(())
    }
}

/// The rules that speak of requests, by their number.
fn on_requests<'a>(layers: &'a [Layer], rules: &'a [Counted]) -> impl Iterator<Item = (usize, &'a Rule)> {
    let said = move |counted: &Counted| layers.get(counted.layer)?.content.rules.get(counted.rule);
    let speaking = move |(at, counted): (usize, &Counted)| Some((at, said(counted)?));
    rules
        .iter()
        .enumerate()
        .filter_map(speaking)
        .filter(|(_, rule)| rule.patterns(Kind::Http).next().is_some())
}

fn too_large(kind: Kind, error: &TooLarge) -> PolicyError {
    PolicyError::whole("all layers", format!("the rules about `{kind}` cannot be put together: {error}"))
        .hint("write fewer or shorter patterns")
}

fn automaton(kind: Kind, expressions: &[String]) -> Result<Option<Automaton>, PolicyError> {
    if expressions.is_empty() {
        return Ok(None);
    }
    Automaton::new(expressions).map(Some).map_err(|error| too_large(kind, &error))
}

/// Places whose requests some rule speaks of, and what rules ask of requests there.
#[derive(Debug)]
pub(crate) struct Requests {
    automaton: Option<Automaton>,
    /// For each place.
    names: Vec<Names>,
}

impl Requests {
    pub(crate) fn new(layers: &[Layer], rules: &[Counted]) -> Result<Requests, PolicyError> {
        let mut places: BTreeMap<String, Names> = BTreeMap::new();
        for (_, rule) in on_requests(layers, rules) {
            let asked = rule.conditions.iter().map(|asked| (asked.place, asked.name.clone()));
            let asked: Names = asked.collect();
            for pattern in rule.patterns(Kind::Http) {
                if let Pattern::Http(http) = pattern {
                    places.entry(expression(&http.endpoint)).or_default().extend(asked.iter().cloned());
                }
            }
        }
        let (expressions, names): (Vec<String>, Vec<Names>) = places.into_iter().unzip();
        Ok(Requests { automaton: automaton(Kind::Http, &expressions)?, names })
    }

    /// What has no canonical spelling is looked into, so that it is judged, and refused.
    pub(crate) fn speak_of(&self, endpoint: &Endpoint) -> bool {
        let mut found = false;
        self.places(endpoint, |_| found = true).is_err() || found
    }

    /// What rules ask of requests to this place.
    pub(crate) fn names(&self, endpoint: &Endpoint) -> Names {
        let mut names = Names::new();
        // What has no canonical spelling is refused, whatever it says beside.
        let _ = self.places(endpoint, |at| names.extend(self.names.get(at).into_iter().flatten().cloned()));
        names
    }

    fn places(&self, endpoint: &Endpoint, each: impl FnMut(usize)) -> Result<(), NotCanonical> {
        let Some(automaton) = &self.automaton else { return Ok(()) };
        let mut scratch = automaton.scratch();
        let mut buffer = std::mem::take(&mut scratch.buffer);
        buffer.clear();
        let spelled = spell::endpoint(&mut buffer, endpoint);
        if spelled.is_ok() {
            automaton.matches(&mut scratch, &buffer, each);
        }
        scratch.buffer = buffer;
        spelled
    }
}

fn expression(endpoint: &EndpointPattern) -> String {
    let mut out = regex::Regex::default();
    endpoint.write(&mut out);
    out.finish()
}
