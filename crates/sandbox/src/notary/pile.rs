//! What waits for the notary.
//!
//! Owns: that nothing waits long, nothing is lost while somebody takes it, and whoever is too fast waits. Whoever puts something
//! there looks at no clock, and wakes the other side only where it sleeps. Does not own: what is put there.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many are taken at once, where that many come before the first has waited long.
const BATCH: usize = 512;
/// How many may wait.
const MOST: usize = 64 * BATCH;
/// How long something may wait for more.
const PATIENCE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Pile<T> {
    state: Mutex<State<T>>,
    /// There is something to take, or it must not wait any longer.
    work: Condvar,
    /// There is room for more.
    room: Condvar,
}

#[derive(Debug)]
struct State<T> {
    things: Vec<T>,
    /// What is there must not wait for more.
    urgent: bool,
    /// Nothing more will come.
    closed: bool,
    /// Nobody will take anything.
    left: bool,
}

impl<T> Default for Pile<T> {
    fn default() -> Self {
        let state = State { things: Vec::new(), urgent: false, closed: false, left: false };
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() }
    }
}

impl<T> Pile<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something behind what is there. What nobody will take is dropped.
    pub(super) fn put(&self, thing: T, urgent: bool) {
        let full = |state: &mut State<T>| state.things.len() >= MOST && !state.left;
        let mut state = self.room.wait_while(self.state(), full).unwrap_or_else(PoisonError::into_inner);
        if state.left {
            return;
        }
        state.things.push(thing);
        state.urgent |= urgent;
        let wake = urgent || matches!(state.things.len(), 1 | BATCH);
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits for something, and a little for more; `None` once nothing more will come.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let nothing = |state: &mut State<T>| state.things.is_empty() && !state.closed;
        let few = |state: &mut State<T>| state.things.len() < BATCH && !state.urgent && !state.closed;
        let state = self.work.wait_while(self.state(), nothing).unwrap_or_else(PoisonError::into_inner);
        let waited = self.work.wait_timeout_while(state, PATIENCE, few);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let things = std::mem::take(&mut state.things);
        state.urgent = false;
        drop(state);
        self.room.notify_one();
        (!things.is_empty()).then_some(things)
    }

    /// Nothing more will be put there.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_one();
    }

    /// Nothing more will be taken: what is there is dropped, and nobody waits for room.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.left = true;
        let things = std::mem::take(&mut state.things);
        drop(state);
        drop(things);
        self.room.notify_all();
    }

    pub(super) fn is_left(&self) -> bool {
        self.state().left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread::spawn;
    use std::time::Instant;

    #[test]
    fn everything_is_taken_in_order_and_soon() {
        let pile = Arc::new(Pile::default());
        let taker = {
            let pile = Arc::clone(&pile);
            spawn(move || std::iter::from_fn(|| pile.take()).collect::<Vec<_>>())
        };
        let many = 3 * BATCH;
        (0..many).for_each(|number| pile.put(number, false));
        let begun = Instant::now();
        while !pile.state().things.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(5), "what was put there waits");
        }
        pile.put(many, true);
        pile.close();
        let taken = taker.join().unwrap();
        assert!(taken.len() < many / 2, "they are taken together");
        assert_eq!(taken.concat(), (0..=many).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_urgent_waits_for_nothing() {
        let pile = Pile::default();
        let begun = Instant::now();
        let rounds = 200;
        for number in 0..rounds {
            pile.put(number, true);
            assert_eq!(pile.take(), Some(vec![number]));
        }
        assert!(begun.elapsed() < rounds * PATIENCE / 2);
    }

    #[test]
    fn whoever_is_too_fast_waits_until_somebody_takes_or_leaves() {
        let pile = Arc::new(Pile::default());
        let putter = |count| {
            let pile = Arc::clone(&pile);
            spawn(move || (0..count).for_each(|_| pile.put((), false)))
        };
        let first = putter(MOST + 1);
        while pile.state().things.len() < MOST {}
        std::thread::sleep(Duration::from_millis(20));
        assert!(!first.is_finished() && pile.state().things.len() == MOST);
        assert_eq!(pile.take().map(|things| things.len()), Some(MOST));
        first.join().unwrap();
        let second = putter(MOST);
        while pile.state().things.len() < MOST {}
        pile.leave();
        second.join().unwrap();
        assert!(pile.is_left() && pile.state().things.is_empty(), "nothing waits for nobody");
    }
}
