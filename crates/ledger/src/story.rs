//! The story's invariants: what must have come before what, whoever wrote it down.
//!
//! Pure. Owns the rules that make a ledger's events a possible story:
//!
//! 1. It begins with `run.opened`; nothing follows its end but the next chapter.
//! 2. A cause is an earlier event. (That numbers have no gap, `verify` sees.)
//! 3. Every decision comes after the policy that it was judged by, and its digest is that of the action beside it.
//! 4. Every ask is about an earlier decision that asks, has one answer, and has it before its chapter ends.
//! 5. Every deed (launch, landing, moved reference, dialled addresses) has an earlier decision that permits it, about the same thing; a permit
//!    is used once.
//! 6. Every outcome is of such a decision, once; every launch and landing has its outcome before its chapter ends.
//! 7. What only the agent reports decides, answers and does nothing.
//! 8. A grant is given after a yes, once; every decision that it allows comes while it is in being, no more often than it
//!    says, about the very action that was asked about or, where it is for a class, about one of its kind.
//!
//! A chapter that a crash cut short says so (`run.interrupted`) and owes nothing more. Looks at every event once, and remembers
//! of each a few bytes at most, open asks, grants in being, and what those permits are about whose deed may still come.

mod gist;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::event::Verdict;

pub(crate) use gist::Gist;
pub use gist::Taped;
use gist::{Act, Deed, Held};

/// A rule of the story that an event breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// The first event is not `run.opened`, or a later one is.
    #[error("a ledger begins with `run.opened`, and only there")]
    Beginning,
    /// Something follows the end of the run.
    #[error("an event after the end of the run")]
    AfterTheEnd,
    /// The cause is the event itself or a later one.
    #[error("the cause is not an earlier event")]
    Cause,
    /// A decision, an answer or a deed that the agent claims.
    #[error("`reported` by the agent, where only what Provost saw or a person said counts")]
    Reported,
    /// A decision in a chapter that has no policy yet.
    #[error("no policy was loaded that this could be judged by")]
    Unjudged,
    /// The digest is not that of the action beside it.
    #[error("the digest is not the action's")]
    Digest,
    /// An ask without a decision that asks.
    #[error("no earlier decision asks for this")]
    Unasked,
    /// An answer to no open ask.
    #[error("an answer to no open ask")]
    Unopened,
    /// The chapter ends and an ask is still open.
    #[error("an ask has no answer before the end")]
    Unanswered,
    /// An answer that is also for a decision which asks for something else, or nothing.
    #[error("an answer to what was not asked")]
    Beside,
    /// A grant without a yes that it could have come from.
    #[error("a grant that no answer gave")]
    Given,
    /// A decision by a grant that is not in being, or does not cover the action.
    #[error(
        "a grant that does not allow this: it was not given, is over, is used up, or is about something else"
    )]
    Ungranted,
    /// A deed without a permit.
    #[error("no earlier decision permits this")]
    Unpermitted,
    /// A deed that is another than the one that was permitted.
    #[error("what was permitted is something else")]
    Otherwise,
    /// A permit that was used before.
    #[error("what permitted this was used up before")]
    UsedUp,
    /// The chapter ends and nobody said how a deed went.
    #[error("a deed has no outcome before the end")]
    Unsettled,
}

/// A decision, as small as can be: a run has as many as programs it starts.
#[derive(Debug, Clone, Copy)]
struct Judged {
    permits: Deed,
    verdict: Verdict,
    permitted: bool,
    done: bool,
    settled: bool,
}

/// A grant in being.
#[derive(Debug)]
struct Given {
    held: Held,
    exact: bool,
    /// How often it can still be used.
    left: Option<u64>,
}

/// What was seen of a story so far.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// For every event up to the last decision, what was decided, if it is one.
    decisions: Vec<Option<Judged>>,
    /// What those are about whose deed may still come.
    about: HashMap<u64, Vec<u8>>,
    /// Open asks, with the decision each is about.
    asks: HashMap<String, u64>,
    /// The actions that wait for an answer, by their decisions.
    wanted: HashMap<u64, Held>,
    /// Requests that put a question.
    questions: HashSet<u64>,
    /// Asks that had a yes and may give a grant, with the decision and the action.
    agreed: HashMap<String, (u64, Held)>,
    /// Grants in being.
    grants: HashMap<String, Given>,
    /// Deeds that have no outcome yet, by their decisions.
    unsettled: BTreeSet<u64>,
    workspace: Option<Vec<u8>>,
    /// Whether this chapter has a policy.
    policy: bool,
    ended: bool,
    taped: Taped,
}

impl Story {
    /// What was said of recorded traffic last.
    pub(crate) fn taped(&self) -> Taped {
        self.taped
    }

    /// Whether the last event is an end.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Looks at the next event.
    pub(crate) fn see(&mut self, event: Gist) -> Result<(), Breach> {
        if event.cause.is_some_and(|cause| cause >= event.seq) {
            return Err(Breach::Cause);
        }
        self.place(&event)?;
        let Gist { seq, cause, reported, act } = event;
        let vouched = if reported { Err(Breach::Reported) } else { Ok(()) };
        match act {
            Act::Opened { workspace } => self.workspace = workspace,
            Act::Policy => self.policy = true,
            Act::Ended => {
                self.nothing_holds();
                return self.chapter_over();
            }
            Act::Reopened => {
                self.policy = false;
                self.nothing_holds();
                return self.chapter_over();
            }
            Act::Interrupted => {
                self.nothing_holds();
                self.asks.clear();
                self.unsettled.clear();
            }
            Act::Decision { permits, verdict, about, true_digest, held, grant } => {
                vouched?;
                self.remember(seq, permits, verdict, about);
                self.judged(true_digest)?;
                return self.hold(seq, verdict, held, grant);
            }
            Act::Ask { ask, decision } => return self.ask(ask, decision),
            Act::Answer { ask, decision, allow, also } => {
                vouched?;
                return self.answer(ask, decision, allow, &also);
            }
            Act::Given { grant, decision, exact, uses } => {
                vouched?;
                return self.give(grant, decision, exact, uses);
            }
            Act::Over { grant } => {
                vouched?;
                return self.grants.remove(&grant).map(drop).ok_or(Breach::Ungranted);
            }
            Act::Question => drop(self.questions.insert(seq)),
            Act::Said => return vouched,
            Act::Launch { argv } => {
                vouched?;
                self.deed(cause, Deed::Launch, argv)?;
                self.owes_outcome(cause);
            }
            Act::Landed { path } => {
                vouched?;
                let workspace = self.workspace.clone();
                let path = path.zip(workspace).map(|(path, root)| [&root[..], b"/", &path].concat());
                self.deed(cause, Deed::Land, path)?;
                self.owes_outcome(cause);
            }
            Act::Dialled { endpoint } => {
                vouched?;
                return self.deed(cause, Deed::Dial, Some(endpoint.into_bytes()));
            }
            Act::Outcome { of } => return self.outcome(of),
            Act::Tape(taped) => self.taped = taped,
            Act::Other => {}
        }
        Ok(())
    }

    /// At the end of a chapter that no event ended: one in which a run was taken up again.
    pub(crate) fn chapter_over(&self) -> Result<(), Breach> {
        match (self.asks.is_empty(), self.unsettled.is_empty()) {
            (false, _) => Err(Breach::Unanswered),
            (_, false) => Err(Breach::Unsettled),
            _ => Ok(()),
        }
    }

    fn place(&mut self, event: &Gist) -> Result<(), Breach> {
        if (event.seq == 0) != matches!(event.act, Act::Opened { .. }) {
            return Err(Breach::Beginning);
        }
        let follows = self.ended;
        self.ended = matches!(event.act, Act::Ended | Act::Interrupted);
        // A run that was found dead after its end was written, or taken up again, goes on.
        let goes_on = matches!(event.act, Act::Reopened | Act::Interrupted);
        if follows && !goes_on { Err(Breach::AfterTheEnd) } else { Ok(()) }
    }

    fn remember(&mut self, seq: u64, permits: Deed, verdict: Verdict, about: Option<Vec<u8>>) {
        let permitted = verdict == Verdict::Allow;
        // INVARIANT: numbers have no gap, which `verify` holds before it tells the story, so this list is never longer than that.
        self.decisions.resize(seq as usize, None);
        self.decisions.push(Some(Judged { permits, verdict, permitted, done: false, settled: false }));
        // What was denied is never done.
        if let Some(about) = about.filter(|_| verdict != Verdict::Deny) {
            self.about.insert(seq, about);
        }
    }

    fn decision(&mut self, seq: u64) -> Option<&mut Judged> {
        self.decisions.get_mut(usize::try_from(seq).ok()?)?.as_mut()
    }

    fn judged(&self, true_digest: bool) -> Result<(), Breach> {
        match (true_digest, self.policy) {
            (false, _) => Err(Breach::Digest),
            (_, false) => Err(Breach::Unjudged),
            _ => Ok(()),
        }
    }

    /// A new chapter, or none: what a person agreed to in this one is over with it.
    fn nothing_holds(&mut self) {
        self.wanted.clear();
        self.questions.clear();
        self.agreed.clear();
        self.grants.clear();
    }

    /// What waits for an answer is remembered; what a grant allowed is held against it.
    fn hold(
        &mut self,
        seq: u64,
        verdict: Verdict,
        held: Option<Held>,
        grant: Option<String>,
    ) -> Result<(), Breach> {
        match (grant, held) {
            (Some(grant), Some(held)) if verdict == Verdict::Allow => self.use_grant(&grant, &held),
            (Some(_), _) => Err(Breach::Ungranted),
            (None, Some(held)) => {
                self.wanted.insert(seq, held);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    fn use_grant(&mut self, grant: &str, held: &Held) -> Result<(), Breach> {
        let given = self.grants.get_mut(grant).ok_or(Breach::Ungranted)?;
        // A request that no rule looks at is judged as the connection that it travels on.
        let travels = (given.held.kind, held.kind) == ("connect", "http");
        let covers = if given.exact { given.held == *held } else { given.held.kind == held.kind };
        match &mut given.left {
            _ if !covers && !travels => Err(Breach::Ungranted),
            Some(0) => Err(Breach::Ungranted),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn give(&mut self, grant: String, decision: u64, exact: bool, uses: Option<u64>) -> Result<(), Breach> {
        let (asked, held) = self.agreed.remove(&grant).ok_or(Breach::Given)?;
        if asked != decision {
            return Err(Breach::Given);
        }
        match self.grants.insert(grant, Given { held, exact, left: uses }) {
            None => Ok(()),
            Some(_) => Err(Breach::Given),
        }
    }

    fn ask(&mut self, ask: String, decision: u64) -> Result<(), Breach> {
        let asks =
            self.decision(decision).is_some_and(|judged| judged.verdict == Verdict::Ask && !judged.permitted);
        let puts = asks || self.questions.remove(&decision);
        match puts && self.asks.insert(ask, decision).is_none() {
            true => Ok(()),
            false => Err(Breach::Unasked),
        }
    }

    fn answer(&mut self, ask: String, decision: u64, allow: bool, also: &[u64]) -> Result<(), Breach> {
        if self.asks.remove(&ask) != Some(decision) {
            return Err(Breach::Unopened);
        }
        let held = self.wanted.remove(&decision);
        for other in also {
            let alike = self.wanted.remove(other).filter(|other| Some(other) == held.as_ref());
            alike.ok_or(Breach::Beside)?;
        }
        for seq in std::iter::once(&decision).chain(also).filter(|_| allow) {
            if let Some(judged) = self.decision(*seq) {
                judged.permitted = true;
            }
        }
        if let Some(held) = held.filter(|_| allow) {
            self.agreed.insert(ask, (decision, held));
        }
        Ok(())
    }

    /// Something was done that needs a permit for such a deed, about this.
    fn deed(&mut self, cause: Option<u64>, deed: Deed, done: Option<Vec<u8>>) -> Result<(), Breach> {
        let cause = cause.ok_or(Breach::Unpermitted)?;
        let judged = self.decision(cause).copied();
        let judged = judged.filter(|judged| judged.permitted && judged.permits == deed);
        let judged = judged.ok_or(Breach::Unpermitted)?;
        if judged.done {
            return Err(Breach::UsedUp);
        }
        if done.zip(self.about.get(&cause)).is_some_and(|(done, about)| done != *about) {
            return Err(Breach::Otherwise);
        }
        if let Some(judged) = self.decision(cause) {
            judged.done = true;
        }
        // It is never done again, so that nothing is held against this again.
        self.about.remove(&cause);
        Ok(())
    }

    fn owes_outcome(&mut self, cause: Option<u64>) {
        if let Some(cause) = cause
            && self.decision(cause).is_some_and(|judged| !judged.settled)
        {
            self.unsettled.insert(cause);
        }
    }

    fn outcome(&mut self, of: u64) -> Result<(), Breach> {
        self.unsettled.remove(&of);
        let judged = self.decision(of).filter(|judged| judged.permitted).ok_or(Breach::Unpermitted)?;
        if std::mem::replace(&mut judged.settled, true) { Err(Breach::UsedUp) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
