//! A verdict that may still be in the making.
//!
//! Owns the three ways to wait: a thread, a waker, an await. A contained effect that nobody is asked about is decided when
//! [`Admission::admit`] returns. Whatever is asked, and whatever must be durable first, is decided by another thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::admission::Admission;
use crate::ask::Said;
use crate::permit::{Effect, Permit};
use crate::recorder::Durable;
use crate::slot::Slot;
use crate::{Denial, LedgerClosed};

/// What became of it.
#[must_use]
pub enum Verdict<E> {
    /// It may happen.
    Pass(Permit<E>),
    /// It may not.
    Refuse(Denial),
}

impl<E> Verdict<E> {
    /// The permit.
    ///
    /// # Errors
    /// It was refused.
    pub fn permit(self) -> Result<Permit<E>, Denial> {
        match self {
            Verdict::Pass(permit) => Ok(permit),
            Verdict::Refuse(denial) => Err(denial),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Verdict<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass(permit) => f.debug_tuple("Pass").field(permit).finish(),
            Verdict::Refuse(denial) => f.debug_tuple("Refuse").field(denial).finish(),
        }
    }
}

/// What a slot is filled with.
pub(crate) type Settled = Result<Said, Denial>;

/// What is waited for.
pub(crate) enum On {
    /// That the event is durable, together with others.
    Durable(Arc<Slot<Durable>>),
    /// What somebody answers, durable as well.
    Answer(Arc<Slot<Settled>>),
}

/// A verdict in the making. Dropped while somebody is asked, it withdraws the question.
#[must_use = "without its verdict nothing may happen"]
pub struct Pending<E: Effect> {
    state: State<E>,
}

enum State<E> {
    Decided(Verdict<E>),
    Waiting(Waiting<E>),
    Given,
}

struct Waiting<E> {
    effect: E,
    seq: u64,
    on: On,
    line: Admission,
    ask: Option<String>,
}

impl<E: Effect> Pending<E> {
    pub(crate) fn decided(verdict: Verdict<E>) -> Pending<E> {
        Pending { state: State::Decided(verdict) }
    }

    pub(crate) fn waiting(effect: E, seq: u64, on: On, line: Admission, ask: Option<String>) -> Pending<E> {
        Pending { state: State::Waiting(Waiting { effect, seq, on, line, ask }) }
    }

    /// Whether it is decided that it may happen, and nothing is waited for but the disk.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        match &self.state {
            State::Decided(verdict) => matches!(verdict, Verdict::Pass(_)),
            State::Waiting(waiting) => matches!(waiting.on, On::Durable(_)),
            State::Given => false,
        }
    }

    /// Waits on this thread.
    pub fn wait(mut self) -> Verdict<E> {
        match self.take() {
            State::Decided(verdict) => verdict,
            State::Waiting(waiting) => {
                let settled = match &waiting.on {
                    On::Durable(slot) => waiting.settled(slot.wait()),
                    On::Answer(slot) => slot.wait(),
                };
                waiting.verdict(settled)
            }
            State::Given => already_given(),
        }
    }

    /// The verdict if there is one; otherwise `waker` is woken when there is.
    pub fn or_wake(&mut self, waker: Waker) -> Poll<Verdict<E>> {
        match self.take() {
            State::Decided(verdict) => Poll::Ready(verdict),
            State::Waiting(waiting) => {
                let settled = match &waiting.on {
                    On::Durable(slot) => slot.poll(waker).map(|durable| waiting.settled(durable)),
                    On::Answer(slot) => slot.poll(waker),
                };
                match settled {
                    Poll::Ready(settled) => Poll::Ready(waiting.verdict(settled)),
                    Poll::Pending => {
                        self.state = State::Waiting(waiting);
                        Poll::Pending
                    }
                }
            }
            State::Given => Poll::Ready(already_given()),
        }
    }

    fn take(&mut self) -> State<E> {
        std::mem::replace(&mut self.state, State::Given)
    }
}

impl<E: Effect> Waiting<E> {
    /// What is not durable may not happen.
    fn settled(&self, durable: Durable) -> Settled {
        durable
            .map(|()| Said::default())
            .map_err(|closed| Denial::unrecorded(self.effect.action().to_string(), &closed))
    }

    fn verdict(self, settled: Settled) -> Verdict<E> {
        match settled {
            Ok(_) => Verdict::Pass(Permit::new(self.effect, self.seq, self.line)),
            Err(denial) => Verdict::Refuse(denial),
        }
    }
}

/// A verdict is given once; a second one would be a second permit.
fn already_given<E>() -> Verdict<E> {
    let closed = LedgerClosed { because: "this verdict was given before".to_owned() };
    Verdict::Refuse(Denial::unrecorded("the same effect again".to_owned(), &closed))
}

impl<E: Effect + Unpin> Future for Pending<E> {
    type Output = Verdict<E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdict<E>> {
        self.or_wake(context.waker().clone())
    }
}

impl<E: Effect> Drop for Pending<E> {
    fn drop(&mut self) {
        if let State::Waiting(Waiting { line, ask: Some(ask), seq, .. }) = &self.state {
            line.withdraw(ask, *seq);
        }
    }
}

impl<E: Effect + fmt::Debug> fmt::Debug for Pending<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Decided(verdict) => f.debug_tuple("Pending").field(verdict).finish(),
            State::Waiting(waiting) => f.debug_tuple("Pending").field(&waiting.effect).finish(),
            State::Given => f.write_str("Pending"),
        }
    }
}
