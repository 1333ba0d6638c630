//! The life of a grant: given, used, over once.
//!
//! Pure: the clock is a number that is handed in, and one that goes back is not believed. Owns how long and how often. Does
//! not own what a grant covers (`policy`), or what is recorded (`grants`).

use ledger::event::GrantOver;

/// How long a grant lasts, and how often it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    /// The moment from which it is over, in milliseconds of the caller's clock.
    closes: Option<u64>,
    /// How often it can still be used.
    left: Option<u64>,
    used: u64,
    over: Option<GrantOver>,
}

impl Term {
    /// Begins at `now`.
    pub(crate) fn begin(now: u64, lasts: Option<u64>, uses: Option<u64>) -> Term {
        let closes = lasts.map(|lasts| now.saturating_add(lasts));
        Term { closes, left: uses, used: 0, over: None }
    }

    /// Lets time pass; why it is over, if it is. What is over stays over, whatever the clock says then.
    pub(crate) fn tick(&mut self, now: u64) -> Option<GrantOver> {
        if self.over.is_none() {
            self.over = match (self.closes, self.left) {
                (Some(closes), _) if now >= closes => Some(GrantOver::Expired),
                (_, Some(0)) => Some(GrantOver::Used),
                _ => None,
            };
        }
        self.over
    }

    /// Uses it once; whether it could be used.
    pub(crate) fn spend(&mut self, now: u64) -> bool {
        if self.tick(now).is_some() {
            return false;
        }
        self.used += 1;
        self.left = self.left.map(|left| left.saturating_sub(1));
        true
    }

    /// Ends it, unless it is over; why it is over now.
    pub(crate) fn end(&mut self, why: GrantOver) -> GrantOver {
        *self.over.get_or_insert(why)
    }

    /// How often it was used.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// How often it can still be used; without end if none.
    pub(crate) fn left(&self) -> Option<u64> {
        self.left
    }

    /// The moment from which it is over.
    pub(crate) fn closes(&self) -> Option<u64> {
        self.closes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_used_as_often_as_it_says() {
        let mut term = Term::begin(0, None, Some(2));
        assert!(term.spend(1) && term.spend(u64::MAX));
        assert!(!term.spend(1));
        assert_eq!((term.tick(1), term.used()), (Some(GrantOver::Used), 2));
    }

    #[test]
    fn what_was_taken_back_stays_so() {
        let mut term = Term::begin(0, Some(10), None);
        assert_eq!(term.end(GrantOver::Revoked), GrantOver::Revoked);
        assert_eq!((term.spend(1), term.tick(100)), (false, Some(GrantOver::Revoked)));
    }

    proptest! {
        /// Whatever the clock says in whatever order: no use after its time, however far the clock goes back then, and no
        /// more uses than there are.
        #[test]
        fn t93_a_clock_that_is_set_back_gives_no_grant_more_time(
            lasts in prop::option::of(1_u64..100),
            uses in prop::option::of(1_u64..5),
            moments in prop::collection::vec(0_u64..200, 0..40),
        ) {
            let mut term = Term::begin(50, lasts, uses);
            let (mut latest, mut used) = (50, 0);
            for now in moments {
                latest = latest.max(now);
                let spent = term.spend(now);
                used += u64::from(spent);
                let late = lasts.is_some_and(|lasts| latest >= 50 + lasts);
                prop_assert!(!(spent && late));
                prop_assert!(uses.is_none_or(|uses| used <= uses));
                prop_assert!(spent || late || uses == Some(used));
            }
        }
    }
}
