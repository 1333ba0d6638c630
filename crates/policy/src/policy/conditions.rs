//! The conditions of all rules on requests, and whether they hold of one.
//!
//! Which direction is safe depends on what a rule does, so each condition is asked twice. **All** of it holds where every
//! occurrence matches strictly: then the rule speaks, and can open. **Some** of it holds where any occurrence matches in any way
//! that a server might read it: then the rule can only make stricter. So a second `content-type` or `per_page` beside the one
//! that is allowed opens nothing, and one beside the one that is forbidden hides nothing.
//!
//! They are asked only of rules that the automaton found to speak otherwise, so a thousand rules cost what ten do.

use std::collections::BTreeSet;

use crate::canonical::{self, NotCanonical};
use crate::layer::rule::Rule;
use crate::pattern::condition::{Condition, Place};
use crate::{HttpRequest, Need};

/// How far the conditions of a rule hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holds {
    /// In no way.
    Not,
    /// Of something that the request says, or as some server might read it.
    Some,
    /// Of all that the request says.
    All,
}

/// The names that rules ask about.
pub(crate) type Names = BTreeSet<(Place, String)>;

/// What a request says beside its path: names as servers read them, and values.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    query: Result<Vec<(String, String)>, NotCanonical>,
    headers: &'a [(String, Vec<u8>)],
}

impl<'a> Said<'a> {
    /// Reads a request.
    pub(crate) fn of(request: &'a HttpRequest) -> Said<'a> {
        let named = |pairs: Vec<(String, String)>| {
            pairs.into_iter().map(|(key, value)| (canonical::query_key(&key), value)).collect()
        };
        Said { query: canonical::query(&request.query).map(named), headers: &request.headers }
    }

    /// How far the conditions of a rule hold.
    ///
    /// # Errors
    /// It asks about a query that can be read in several ways.
    pub(crate) fn holds(&self, asked: &[Condition], need: Need) -> Result<Holds, NotCanonical> {
        let mut least = Holds::All;
        for one in asked {
            least = least.min(self.one(one)?);
        }
        // What only makes stricter says nothing where it asks for nothing.
        Ok(if least == Holds::Some && need == Need::None { Holds::Not } else { least })
    }

    /// The values under a name.
    fn values(&self, asked: &Condition) -> Result<Vec<&[u8]>, NotCanonical> {
        Ok(match asked.place {
            Place::Query => {
                let pairs = self.query.as_ref().map_err(NotCanonical::clone)?.iter();
                pairs.filter(|(key, _)| *key == asked.name).map(|(_, value)| value.as_bytes()).collect()
            }
            Place::Header => {
                let lines = self.headers.iter().filter(|(name, _)| *name == asked.name);
                lines.map(|(_, value)| value.as_slice()).collect()
            }
        })
    }

    fn one(&self, asked: &Condition) -> Result<Holds, NotCanonical> {
        let values = self.values(asked)?;
        if values.is_empty() {
            return Ok(if asked.absent { Holds::All } else { Holds::Not });
        }
        let (mut all, mut some) = (true, false);
        for value in values {
            // A comma parts the values of one header.
            let mut parts = value.split(|byte| *byte == b',' && asked.place == Place::Header);
            let is = |part: &[u8], loose| asked.matches(part.trim_ascii(), loose);
            all &= asked.matches(value, false) || parts.clone().all(|part| is(part, false));
            some |= asked.matches(value, true) || parts.any(|part| is(part, true));
        }
        Ok(match (all, some) {
            (true, _) => Holds::All,
            (false, true) => Holds::Some,
            (false, false) => Holds::Not,
        })
    }
}

/// Whether the conditions of one rule hold in any way.
pub(crate) fn hold(rule: &Rule, request: &HttpRequest) -> bool {
    Said::of(request).holds(&rule.conditions, rule.need).is_ok_and(|holds| holds != Holds::Not)
}

/// The first condition of a rule that does not hold in full.
pub(crate) fn failing<'a>(rule: &'a Rule, request: &HttpRequest) -> Option<&'a Condition> {
    let said = Said::of(request);
    rule.conditions.iter().find(|asked| said.one(asked) != Ok(Holds::All))
}

impl HttpRequest {
    /// What of it rules ask about: the rest of query and headers is left out.
    pub(crate) fn heeding(mut self, names: &Names) -> HttpRequest {
        self.headers.retain(|(name, _)| names.contains(&(Place::Header, name.clone())));
        let asked = |piece: &&str| match canonical::query(piece) {
            Ok(pairs) => {
                pairs.iter().any(|(key, _)| names.contains(&(Place::Query, canonical::query_key(key))))
            }
            // What cannot be read is for the judge to see.
            Err(_) => names.iter().any(|(place, _)| *place == Place::Query),
        };
        let kept: Vec<&str> = self.query.split('&').filter(asked).collect();
        self.query = kept.join("&");
        self
    }
}
