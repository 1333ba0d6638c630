//! What the inside asks for beforehand: a grant for an action that is not tried yet, or words of a person.
//!
//! Owns that a request is judged as the action itself would be, and that it can only ask: what is allowed needs no grant, what is
//! denied for good is not put to anybody. Does not own how a request comes in, or that it is the agent's own word.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ledger::event::Verdict;
use policy::{Action, Decision, Need, Reason};

use crate::admission::Admission;
use crate::ask::{Question, Said, Wanted};
use crate::denial::Worded;
use crate::judged::Judged;
use crate::pending::Settled;
use crate::slot::Slot;
use crate::{Denial, LedgerClosed};

/// What became of a request.
#[derive(Debug)]
pub enum Requested {
    /// Nothing needs to be asked for: it may happen.
    Allowed(Vec<Reason>),
    /// Nobody is asked.
    Refused(Denial),
    /// Nobody attends who could be asked.
    Unattended,
    /// Somebody is asked.
    Waiting(Waiting),
}

/// An answer in the making. Dropped, it withdraws the question.
pub struct Waiting {
    slot: Arc<Slot<Settled>>,
    line: Admission,
    ask: String,
    decision: u64,
    over: bool,
}

impl Admission {
    /// Asks for a grant for an action, in the agent's words; `cause` is the event that says so.
    pub fn request(&self, action: Action, place: Option<PathBuf>, claim: String, cause: u64) -> Requested {
        let (need, reasons) = match self.decide(&action) {
            Decision::Allow { reasons } => return Requested::Allowed(reasons),
            Decision::Ask { need, reasons } => (need, reasons),
            Decision::Deny { reasons } => {
                return Requested::Refused(Denial::by_policy(self.worded(&action), reasons, cause));
            }
        };
        let class = self.policy().class_of(&action);
        let offer = self.policy().offer(&action, &reasons);
        let digested = Judged { verdict: Verdict::Ask, need: Some(need), reasons, grant: None };
        let (event, reasons) = (digested.decision(&action), digested.reasons);
        let worded = self.worded(&action);
        let wanted = Wanted::Request(action, place);
        let question = Question { wanted, worded, need, reasons, class, offer, claim: Some(claim) };
        self.put(question, |line| line.record(event, Some(cause)))
    }

    /// Puts a question to a person; `cause` is the event that says so.
    pub fn question(&self, text: String, claim: String, cause: u64) -> Requested {
        let worded = Worded { kind: None, text: text.clone(), ask: None };
        let (wanted, need) = (Wanted::Words(text), Need::Human);
        let question = Question {
            wanted,
            worded,
            need,
            reasons: Vec::new(),
            class: Err("a question has none"),
            offer: None,
            claim: Some(claim),
        };
        self.put(question, |_| Ok(cause))
    }

    fn put(
        &self,
        question: Question,
        record: impl FnOnce(&Admission) -> Result<u64, LedgerClosed>,
    ) -> Requested {
        let Some(asks) = self.asking() else { return Requested::Unattended };
        let text = question.worded.text.clone();
        if let Err(turned) = asks.may_ask(&question.wanted, &text) {
            return Requested::Refused(Denial::turned_away(text, &turned, None));
        }
        let asked = record(self).and_then(|decision| Ok((decision, asks.open(question, decision)?)));
        match asked {
            Ok((decision, asked)) => {
                let (slot, ask, line) = (asked.slot, asked.ask, self.clone());
                Requested::Waiting(Waiting { slot, line, ask, decision, over: false })
            }
            Err(closed) => Requested::Refused(Denial::unrecorded(text, &closed)),
        }
    }
}

impl Waiting {
    /// The ask's id.
    pub fn ask(&self) -> &str {
        &self.ask
    }

    /// Waits for the answer on this thread.
    ///
    /// # Errors
    /// It is no yes.
    pub fn wait(mut self) -> Result<Said, Denial> {
        let settled = self.slot.wait();
        self.over = true;
        settled
    }

    /// Lets the question stand, and waits for nothing.
    pub fn leave(mut self) {
        self.over = true;
    }
}

impl Future for Waiting {
    type Output = Result<Said, Denial>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let settled = self.slot.poll(context.waker().clone());
        self.over |= settled.is_ready();
        settled
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over {
            self.line.withdraw(&self.ask, self.decision);
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("ask", &self.ask).finish_non_exhaustive()
    }
}
