//! On which terms rules let pass: how much of each is left in this run.
//!
//! Owns the counting against `up`, `down` and `rate` of every rule, over all flows that it speaks of. A flow is held to all of its
//! rules, so the least holds. Does not own where bytes are counted (`meter`), or how a no is put (`refusal`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use policy::{Rate, Reason, RuleTerms, Terms};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Out.
    Up,
    /// In.
    Down,
}

/// What is left of all rules' terms.
#[derive(Debug, Default)]
pub(crate) struct Caps(Mutex<HashMap<(String, String), Arc<Cap>>>);

/// What is left of the terms of one rule.
#[derive(Debug)]
struct Cap {
    layer: String,
    rule: String,
    terms: Terms,
    up: AtomicU64,
    down: AtomicU64,
    /// When the next would be due if all came evenly.
    due: Mutex<Option<Instant>>,
}

/// What a flow is held to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Vec<Arc<Cap>>);

/// Something that a rule lets pass is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsedUp {
    pub(crate) reason: Reason,
    /// Whether it comes back.
    pub(crate) again: bool,
}

impl Caps {
    /// Begins something that is held to these terms.
    pub(crate) fn hold(&self, terms: Vec<RuleTerms>) -> Result<Held, UsedUp> {
        let capped = |of: &RuleTerms| of.terms.up.or(of.terms.down).is_some() || of.terms.rate.is_some();
        let terms: Vec<RuleTerms> = terms.into_iter().filter(capped).collect();
        if terms.is_empty() {
            return Ok(Held::default());
        }
        let mut caps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = Held::default();
        for RuleTerms { layer, rule, terms, .. } in terms {
            let cap = caps
                .entry((layer.clone(), rule.clone()))
                .or_insert_with(|| Arc::new(Cap::new(layer, rule, terms)));
            held.0.push(Arc::clone(cap));
        }
        held.used_up(Way::Up).or_else(|| held.used_up(Way::Down)).map_or(Ok(()), Err)?;
        // Under the lock, so that what one looks at is what it takes.
        held.begin(Instant::now())?;
        Ok(held)
    }
}

impl Held {
    /// Takes one of every rate, or none of any.
    fn begin(&self, now: Instant) -> Result<(), UsedUp> {
        let limited = || self.0.iter().filter_map(|cap| Some((cap, cap.terms.rate?)));
        if let Some((cap, rate)) = limited().find(|(cap, rate)| cap.next(*rate, now).is_none()) {
            let why = format!("no more than {rate} are begun");
            return Err(UsedUp { reason: cap.reason(why), again: true });
        }
        for (cap, rate) in limited() {
            let next = cap.next(rate, now);
            *cap.due.lock().unwrap_or_else(PoisonError::into_inner) = next;
        }
        Ok(())
    }

    /// How many bytes may still go this way.
    pub(crate) fn left(&self, way: Way) -> Option<u64> {
        self.0.iter().filter_map(|cap| cap.left(way)).min()
    }

    /// So many bytes went this way.
    pub(crate) fn spend(&self, way: Way, bytes: u64) {
        for cap in &self.0 {
            cap.used(way).fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// The first rule of which nothing is left in this way.
    pub(crate) fn used_up(&self, way: Way) -> Option<UsedUp> {
        let cap = self.0.iter().find(|cap| cap.left(way) == Some(0))?;
        let (most, word) = (cap.most(way)?, if way == Way::Up { "out" } else { "in" });
        let why = format!("the {most} bytes that it lets {word} in a run are used up");
        Some(UsedUp { reason: cap.reason(why), again: false })
    }
}

impl Cap {
    fn new(layer: String, rule: String, terms: Terms) -> Cap {
        let (up, down, due) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(None));
        Cap { layer, rule, terms, up, down, due }
    }

    fn used(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    fn most(&self, way: Way) -> Option<u64> {
        match way {
            Way::Up => self.terms.up,
            Way::Down => self.terms.down,
        }
    }

    fn left(&self, way: Way) -> Option<u64> {
        Some(self.most(way)?.saturating_sub(self.used(way).load(Ordering::Relaxed)))
    }

    /// When the one after this would be due; none if this one comes too early.
    fn next(&self, rate: Rate, now: Instant) -> Option<Instant> {
        let window = Duration::from_millis(u64::from(rate.window_ms));
        let each = window / rate.count.max(1);
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(now).max(now);
        (due + each <= now + window).then(|| due + each)
    }

    fn reason(&self, why: String) -> Reason {
        Reason { layer: self.layer.clone(), rule: self.rule.clone(), why: Some(why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(rule: &str, up: Option<u64>, rate: Option<&str>) -> RuleTerms {
        let rate = rate.map(|rate| rate.parse().unwrap());
        let terms = Terms { up, rate, ..Terms::default() };
        RuleTerms { layer: "team".into(), rule: rule.into(), narrows: false, terms }
    }

    fn rule(refused: Result<Held, UsedUp>) -> String {
        refused.unwrap_err().reason.rule
    }

    #[test]
    fn a_rate_lets_so_many_begin_at_once_and_then_evenly() {
        let cap = Cap::new("a".into(), "b".into(), terms("b", None, Some("10/s")).terms);
        let held = Held(vec![Arc::new(cap)]);
        let start = Instant::now();
        let begun = |ms: u64| held.begin(start + Duration::from_millis(ms)).is_ok();
        assert_eq!((0..20).filter(|_| begun(0)).count(), 10);
        assert!(!begun(99));
        assert!(begun(100) && !begun(100));
        assert_eq!((0..20).filter(|_| begun(10_000)).count(), 10, "what was not used is not saved up");
    }

    #[test]
    fn bytes_are_counted_over_all_flows_of_a_rule_and_the_least_holds() {
        let caps = Caps::default();
        let both = || vec![terms("a", Some(100), None), terms("b", Some(50), None)];
        let (one, two) = (caps.hold(both()).unwrap(), caps.hold(vec![terms("a", Some(100), None)]).unwrap());
        assert_eq!((one.left(Way::Up), one.left(Way::Down)), (Some(50), None));
        one.spend(Way::Up, 50);
        assert_eq!((one.left(Way::Up), two.left(Way::Up)), (Some(0), Some(50)));
        assert_eq!(one.used_up(Way::Up).unwrap().reason.rule, "b");
        assert_eq!(rule(caps.hold(both())), "b");
        two.spend(Way::Up, 60);
        assert_eq!(rule(caps.hold(vec![terms("a", Some(100), None)])), "a");
        assert!(caps.hold(vec![terms("c", None, None)]).unwrap().0.is_empty());
    }

    #[test]
    fn what_one_rule_refuses_takes_nothing_of_another() {
        let caps = Caps::default();
        let (few, many) = (terms("few", None, Some("1/h")), terms("many", None, Some("2/h")));
        caps.hold(vec![many.clone(), few.clone()]).unwrap();
        assert_eq!(rule(caps.hold(vec![many.clone(), few])), "few");
        caps.hold(vec![many.clone()]).unwrap();
        assert_eq!(rule(caps.hold(vec![many])), "many");
    }
}
