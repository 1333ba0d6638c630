//! A place for one answer, waited for by a thread or a waker.
//!
//! Owns the hand-over between the thread that learns the answer and the one that wants it. Does not own what it means.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[derive(Debug)]
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    answer: Option<T>,
    wakers: Vec<Waker>,
}

impl<T: Clone> Slot<T> {
    pub(crate) fn new() -> Arc<Slot<T>> {
        Arc::new(Slot {
            state: Mutex::new(State { answer: None, wakers: Vec::new() }),
            filled: Condvar::new(),
        })
    }

    /// Puts the answer in, if there is none yet, and wakes who waits for it.
    pub(crate) fn fill(&self, answer: T) {
        let mut state = lock(&self.state);
        state.answer.get_or_insert(answer);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.filled.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits for the answer.
    pub(crate) fn wait(&self) -> T {
        let mut state = lock(&self.state);
        loop {
            if let Some(answer) = &state.answer {
                return answer.clone();
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The answer, or `waker` is woken when it is there.
    pub(crate) fn poll(&self, waker: Waker) -> Poll<T> {
        let mut state = lock(&self.state);
        match &state.answer {
            Some(answer) => Poll::Ready(answer.clone()),
            None => {
                // Several may wait at one slot, and each may look more than once.
                if !state.wakers.iter().any(|known| known.will_wake(&waker)) {
                    state.wakers.push(waker);
                }
                Poll::Pending
            }
        }
    }
}

/// Locks, also after a panic elsewhere: nothing that is guarded here is ever half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
