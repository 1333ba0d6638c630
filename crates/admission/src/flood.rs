//! What keeps a person from being flooded with questions.
//!
//! Pure: the clock is a number that is handed in. Owns how many questions may stand open, how many may be put in a while, and
//! what a person's no, or silence, is good for when the same comes again. Does not own which questions are the same (`asks`).

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use policy::Reason;

/// How much may be asked in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Questions that may stand open at once.
    pub open: usize,
    /// Calls that one question can be about: all that wait for the same.
    pub joined: usize,
    /// Questions that may be put in any [`Bounds::window_ms`].
    pub rate: usize,
    /// See [`Bounds::rate`].
    pub window_ms: u64,
    /// How long a no, or that nobody answered, is good for the same again.
    pub remembered_ms: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { open: 16, joined: 4096, rate: 60, window_ms: 10 * 60_000, remembered_ms: 60_000 }
    }
}

/// The most answers that are remembered.
const MOST_REMEMBERED: usize = 1024;

/// That nobody said yes before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Before {
    /// Who said no; none where nobody answered.
    pub(crate) by: Option<String>,
    /// Their words.
    pub(crate) why: Option<String>,
}

/// Why a question is not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turned {
    /// It was put, and answered with no.
    Before(Before),
    /// So many stand open.
    Open(usize),
    /// So many were put lately.
    Often(usize),
}

impl Turned {
    /// As a reason, in place of a rule's.
    pub(crate) fn reason(&self) -> Reason {
        let why = match self {
            Turned::Before(Before { by: None, .. }) => "nobody answered this a moment ago".to_owned(),
            Turned::Before(Before { why: Some(why), .. }) => {
                format!("{why} (said a moment ago, to the same)")
            }
            Turned::Before(Before { by: Some(by), why: None }) => {
                format!("{by} said no to this a moment ago")
            }
            Turned::Open(open) => format!("{open} questions wait for an answer already"),
            Turned::Often(put) => {
                format!("{put} questions were put within a short time, and a person is not flooded")
            }
        };
        Reason { layer: "built-in".to_owned(), rule: "flood".to_owned(), why: Some(why) }
    }

    /// What to do instead.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Turned::Before(Before { by: None, .. }) => "do it another way, or try again in a minute",
            Turned::Before(_) => "do it another way; asking again does not change the answer",
            Turned::Open(_) | Turned::Often(_) => "wait for the answers, and ask for less",
        }
    }
}

/// What was asked lately.
#[derive(Debug)]
pub(crate) struct Flood<Key> {
    bounds: Bounds,
    put: VecDeque<u64>,
    refused: HashMap<Key, (u64, Before)>,
    latest: u64,
}

impl<Key: Eq + Hash> Flood<Key> {
    pub(crate) fn new(bounds: Bounds) -> Flood<Key> {
        Flood { bounds, put: VecDeque::new(), refused: HashMap::new(), latest: 0 }
    }

    /// Whether another question may be put while `open` stand; it then counts as put.
    pub(crate) fn put(&mut self, key: &Key, open: usize, now: u64) -> Result<(), Turned> {
        let now = self.moment(now);
        if let Some((_, before)) = self.refused.get(key).filter(|(until, _)| now < *until) {
            return Err(Turned::Before(before.clone()));
        }
        let window = self.bounds.window_ms;
        while self.put.front().is_some_and(|put| now.saturating_sub(*put) >= window) {
            self.put.pop_front();
        }
        if open >= self.bounds.open {
            return Err(Turned::Open(open));
        }
        if self.put.len() >= self.bounds.rate {
            return Err(Turned::Often(self.put.len()));
        }
        self.put.push_back(now);
        Ok(())
    }

    /// Somebody said no, or nobody answered.
    pub(crate) fn refused(&mut self, key: Key, before: Before, now: u64) {
        let now = self.moment(now);
        if self.refused.len() >= MOST_REMEMBERED {
            self.refused.retain(|_, (until, _)| now < *until);
        }
        if self.refused.len() < MOST_REMEMBERED {
            self.refused.insert(key, (now.saturating_add(self.bounds.remembered_ms), before));
        }
    }

    fn moment(&mut self, now: u64) -> u64 {
        self.latest = self.latest.max(now);
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { open: 3, joined: 2, rate: 5, window_ms: 100, remembered_ms: 50 };

    #[test]
    fn no_more_stand_open_than_may() {
        let mut flood = Flood::new(BOUNDS);
        assert_eq!((0..3).map(|open| flood.put(&open, open, 0)).collect::<Vec<_>>(), vec![Ok(()); 3]);
        assert_eq!(flood.put(&3, 3, 0), Err(Turned::Open(3)));
    }

    #[test]
    fn no_more_are_put_in_a_while_than_may_whatever_becomes_of_them() {
        let mut flood = Flood::new(BOUNDS);
        for now in 0..5 {
            assert_eq!(flood.put(&now, 0, now), Ok(()));
        }
        assert_eq!(flood.put(&9, 0, 99), Err(Turned::Often(5)));
        assert_eq!(flood.put(&9, 0, 3), Err(Turned::Often(5)), "a clock that goes back");
        assert_eq!(flood.put(&9, 0, 100), Ok(()));
        assert_eq!(flood.put(&9, 0, 100), Err(Turned::Often(5)));
    }

    #[test]
    fn a_no_is_good_for_the_same_again_for_a_while() {
        let mut flood = Flood::new(BOUNDS);
        let before = Before { by: Some("ann".into()), why: Some("no".into()) };
        flood.refused(1, before.clone(), 10);
        assert_eq!(flood.put(&1, 0, 59), Err(Turned::Before(before)));
        assert_eq!(flood.put(&2, 0, 59), Ok(()));
        assert_eq!(flood.put(&1, 0, 60), Ok(()));
    }
}
