//! What a run may spend on models, and what it has.
//!
//! Owns the sums, over all answers that came and those that are coming. Does not own what happens when there is no more
//! (`tap`, `consult`), nor what a policy allows.

use super::price::Prices;
use super::usage::Usage;
use policy::{Bound, Limit, Limits};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Millionths of a dollar in a hundredth.
const CENT: u64 = 10_000;

/// Tokens, and millionths of a dollar.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) tokens: u64,
    pub(crate) cost: u64,
}

impl Spent {
    fn and(self, more: Spent) -> Spent {
        Spent { tokens: self.tokens.saturating_add(more.tokens), cost: self.cost.saturating_add(more.cost) }
    }

    fn without(self, less: Spent) -> Spent {
        Spent { tokens: self.tokens.saturating_sub(less.tokens), cost: self.cost.saturating_sub(less.cost) }
    }
}

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) limit: Limit,
    pub(crate) bound: Bound,
    /// In the limit's own unit, with what the question takes at the least.
    pub(crate) used: u64,
    /// Of which the question would take so many tokens at the least.
    pub(crate) question: u64,
}

impl Exceeded {
    /// For a person and a model.
    pub(crate) fn says(&self) -> String {
        let (used, most) = (self.limit.show(self.used), self.limit.show(self.bound.most));
        let unit = if self.limit == Limit::Tokens { " tokens" } else { "" };
        let by = &self.bound.by;
        match self.question {
            0 => format!("this run has used {used} of the {most}{unit} that `{by}` gives it for models"),
            _ => format!(
                "with this question the run would have used at least {used} of the {most}{unit} that `{by}` gives it for models"
            ),
        }
    }
}

/// What may be spent, and what is.
#[derive(Debug)]
pub(crate) struct Budget {
    bounds: Vec<(Limit, Bound)>,
    prices: Prices,
    spent: Mutex<Spent>,
    /// Whether it was said that there is no more.
    told: AtomicBool,
}

impl Budget {
    /// Of these limits, those that models are about.
    pub(crate) fn new(limits: &Limits, prices: Prices) -> Budget {
        let bounds = limits.iter().filter(|(limit, _)| limit.is_of_models());
        let bounds = bounds.map(|(limit, bound)| (limit, bound.clone())).collect();
        Budget { bounds, prices, spent: Mutex::default(), told: AtomicBool::new(false) }
    }

    /// What this comes to, and whether the model has a price.
    pub(crate) fn sum(&self, model: &str, usage: &Usage) -> (Spent, bool) {
        let (cost, known) = self.prices.cost(model, usage);
        (Spent { tokens: usage.tokens(), cost }, known)
    }

    /// An answer that had come to `before` has now come to `now`.
    pub(crate) fn grows(&self, before: Spent, now: Spent) {
        let mut spent = self.lock();
        *spent = spent.and(now).without(before);
    }

    /// Whether what was spent, and so much more, is more than may be; where nothing more is asked for, whether all is spent.
    pub(crate) fn exceeded(&self, more: Spent) -> Option<Exceeded> {
        let spent = self.lock().and(more);
        let over = |(limit, bound): &&(Limit, Bound)| match limit {
            Limit::Cost => spent.cost >= bound.most.saturating_mul(CENT),
            _ => spent.tokens >= bound.most,
        };
        let (limit, bound) = self.bounds.iter().find(over)?;
        let used = match limit {
            Limit::Cost => spent.cost.div_ceil(CENT),
            _ => spent.tokens,
        };
        Some(Exceeded { limit: *limit, bound: bound.clone(), used, question: more.tokens })
    }

    /// Whether it is to be said that there is no more: once in a run.
    pub(crate) fn is_news(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limits: &[(Limit, u64)]) -> Budget {
        let mut all = Limits::default();
        limits.iter().for_each(|(limit, most)| all.narrow(*limit, *most, "team"));
        Budget::new(&all, Prices::new(None).unwrap())
    }

    #[test]
    fn what_is_coming_counts_once() {
        let budget = budget(&[(Limit::Tokens, 100)]);
        let tokens = |tokens| Spent { tokens, cost: 0 };
        budget.grows(Spent::default(), tokens(40));
        budget.grows(tokens(40), tokens(60));
        assert_eq!(budget.exceeded(tokens(39)), None);
        let exceeded = budget.exceeded(tokens(40)).unwrap();
        assert_eq!((exceeded.limit, exceeded.used), (Limit::Tokens, 100));
        assert_eq!(
            exceeded.says(),
            "with this question the run would have used at least 100 of the 100 tokens that `team` gives it for models"
        );
        // An estimate that was too high is put right.
        budget.grows(tokens(60), tokens(10));
        assert_eq!(budget.exceeded(tokens(80)), None);
    }

    #[test]
    fn money_is_counted_to_the_millionth() {
        let budget = budget(&[(Limit::Cost, 1), (Limit::Time, 1)]);
        budget.grows(Spent::default(), Spent { tokens: 1, cost: 9_999 });
        assert_eq!(budget.exceeded(Spent::default()), None);
        let exceeded = budget.exceeded(Spent { tokens: 0, cost: 1 }).unwrap();
        assert!(exceeded.says().contains("0.01 USD of the 0.01 USD that"), "{}", exceeded.says());
    }

    #[test]
    fn without_a_limit_nothing_is_too_much() {
        let most = Spent { tokens: u64::MAX, cost: u64::MAX };
        assert_eq!(budget(&[(Limit::Memory, 1)]).exceeded(most), None);
    }
}
