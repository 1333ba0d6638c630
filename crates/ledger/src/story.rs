//! The story's invariants: what must have come before what, whoever wrote it down.
//!
//! Pure. Owns the rules that make a ledger's events a possible story: nothing is launched, landed or settled that was not
//! permitted by an earlier decision, no ask is answered that was not opened, nothing follows the end. Looks at every event
//! once and remembers only decisions and open asks.

use std::collections::HashMap;

use crate::action::ActionRecord;
use crate::event::{Answered, Body, Event, Trust, Verdict};

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
    /// The digest is not that of the action beside it.
    #[error("the digest is not the action's")]
    Digest,
    /// An ask without a decision that asks.
    #[error("no earlier decision asks for this")]
    Unasked,
    /// An answer to no open ask.
    #[error("an answer to no open ask")]
    Unopened,
    /// A deed without a permit.
    #[error("no earlier decision permits this")]
    Unpermitted,
}

#[derive(Debug)]
struct Judged {
    kind: &'static str,
    verdict: Verdict,
    permitted: bool,
}

/// What was seen of a story so far.
#[derive(Debug, Default)]
pub(crate) struct Story {
    decisions: HashMap<u64, Judged>,
    /// Open asks, with the decision each is about.
    asks: HashMap<String, u64>,
    ended: bool,
}

impl Story {
    /// Whether the last event is an end.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Looks at the next event.
    pub(crate) fn see(&mut self, event: &Event) -> Result<(), Breach> {
        if event.cause.is_some_and(|cause| cause >= event.seq) {
            return Err(Breach::Cause);
        }
        self.place(event)?;
        match &event.body {
            Body::Decision(decision) => {
                self.decision(event, &decision.action, &decision.digest, decision.verdict)
            }
            Body::Exec(exec) => self.decision(event, &exec.action(), &exec.digest, exec.verdict),
            Body::AskOpened(ask) => match self.decisions.get(&ask.decision) {
                Some(judged) if judged.verdict == Verdict::Ask && !judged.permitted => {
                    self.asks.insert(ask.ask.clone(), ask.decision);
                    Ok(())
                }
                _ => Err(Breach::Unasked),
            },
            Body::AskAnswered(answer) => {
                not_reported(event)?;
                if self.asks.remove(&answer.ask) != Some(answer.decision) {
                    return Err(Breach::Unopened);
                }
                if answer.answer == Answered::Allow
                    && let Some(judged) = self.decisions.get_mut(&answer.decision)
                {
                    judged.permitted = true;
                }
                Ok(())
            }
            Body::Launch(_) => self.deed(event, &["launch"]),
            Body::Landed(_) | Body::Undone(_) => self.deed(event, &["land"]),
            Body::ChangeAccepted(_) | Body::ChangeRejected(_) => not_reported(event),
            Body::Resolved(resolved) if !resolved.allowed.is_empty() => {
                self.deed(event, &["connect", "http"])
            }
            Body::Outcome(outcome) => {
                let permitted = self.decisions.get(&outcome.of).is_some_and(|judged| judged.permitted);
                if permitted { Ok(()) } else { Err(Breach::Unpermitted) }
            }
            _ => Ok(()),
        }
    }

    fn place(&mut self, event: &Event) -> Result<(), Breach> {
        if (event.seq == 0) != matches!(event.body, Body::RunOpened(_)) {
            return Err(Breach::Beginning);
        }
        let follows = self.ended;
        self.ended = matches!(event.body, Body::RunEnded(_) | Body::RunInterrupted(_));
        // A run that was found dead after its end was written, or taken up again, goes on.
        let goes_on = matches!(event.body, Body::RunReopened(_) | Body::RunInterrupted(_));
        if follows && !goes_on { Err(Breach::AfterTheEnd) } else { Ok(()) }
    }

    fn decision(
        &mut self,
        event: &Event,
        action: &ActionRecord,
        digest: &str,
        verdict: Verdict,
    ) -> Result<(), Breach> {
        not_reported(event)?;
        if !event.cut && action.digest() != digest {
            return Err(Breach::Digest);
        }
        let kind = action.kind();
        self.decisions.insert(event.seq, Judged { kind, verdict, permitted: verdict == Verdict::Allow });
        Ok(())
    }

    /// Something was done that needs a permit for one of these kinds.
    fn deed(&self, event: &Event, kinds: &[&str]) -> Result<(), Breach> {
        not_reported(event)?;
        let judged = event.cause.and_then(|cause| self.decisions.get(&cause));
        let permitted = judged.is_some_and(|judged| judged.permitted && kinds.contains(&judged.kind));
        if permitted { Ok(()) } else { Err(Breach::Unpermitted) }
    }
}

fn not_reported(event: &Event) -> Result<(), Breach> {
    if event.trust == Trust::Reported { Err(Breach::Reported) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        AskAnswered, AskOpened, Decision, Discarded, Landed, Launch, Outcome, OutcomeResult, RunEnded,
        RunOpened, RunReopened, Undone,
    };

    /// Tells a story and gives the place and nature of the first breach.
    fn tell(events: Vec<(Body, Option<u64>)>) -> Option<(u64, Breach)> {
        let mut story = Story::default();
        let opened = (RunOpened::default().into(), None);
        let all = std::iter::once(opened).chain(events).enumerate();
        for (seq, (body, cause)) in all {
            let seq = seq as u64;
            let run = "r".to_owned();
            let event =
                Event { v: 1, seq, ts: 0, mono: 0, run, trust: Trust::Observed, cause, cut: false, body };
            if let Err(breach) = story.see(&event) {
                return Some((seq, breach));
            }
        }
        None
    }

    fn decision(action: ActionRecord, verdict: Verdict) -> (Body, Option<u64>) {
        let (digest, text) = (action.digest(), String::new());
        let decision =
            Decision { action, digest, text, verdict, need: None, reasons: vec![], default_applied: false };
        (decision.into(), None)
    }

    fn land(verdict: Verdict) -> (Body, Option<u64>) {
        decision(ActionRecord::Land { path: "/w/a".into() }, verdict)
    }

    fn asked(decision: u64) -> (Body, Option<u64>) {
        (AskOpened { ask: "a".into(), decision, ..AskOpened::default() }.into(), None)
    }

    fn answered(decision: u64, answer: Answered) -> (Body, Option<u64>) {
        let (by, how) = ("ann".into(), "terminal".into());
        (AskAnswered { ask: "a".into(), decision, answer, by, how, why: None }.into(), None)
    }

    fn landed(cause: u64) -> (Body, Option<u64>) {
        (Landed { path: "a".into(), ..Landed::default() }.into(), Some(cause))
    }

    #[test]
    fn what_was_permitted_may_happen() {
        let settled = Outcome { of: 1, result: OutcomeResult::Done, detail: String::new() };
        assert_eq!(tell(vec![land(Verdict::Allow), landed(1), (settled.into(), None)]), None);
        assert_eq!(tell(vec![land(Verdict::Ask), asked(1), answered(1, Answered::Allow), landed(1)]), None);
    }

    #[test]
    fn what_was_not_permitted_is_a_breach() {
        let unpermitted = |at| Some((at, Breach::Unpermitted));
        assert_eq!(tell(vec![land(Verdict::Deny), landed(1)]), unpermitted(2));
        assert_eq!(tell(vec![land(Verdict::Ask), landed(1)]), unpermitted(2));
        assert_eq!(tell(vec![land(Verdict::Ask), asked(1), landed(1)]), unpermitted(3));
        for answer in [Answered::Deny, Answered::Expired] {
            assert_eq!(
                tell(vec![land(Verdict::Ask), asked(1), answered(1, answer), landed(1)]),
                unpermitted(4)
            );
        }
        let launch = (Launch::default().into(), Some(1));
        assert_eq!(tell(vec![land(Verdict::Allow), launch]), unpermitted(2));
        assert_eq!(tell(vec![(Launch::default().into(), None)]), unpermitted(1));
        assert_eq!(tell(vec![(Undone::default().into(), None)]), unpermitted(1));
        let settled = Outcome { of: 1, result: OutcomeResult::Done, detail: String::new() };
        assert_eq!(tell(vec![land(Verdict::Deny), (settled.into(), None)]), unpermitted(2));
    }

    #[test]
    fn only_an_open_ask_is_answered_and_once() {
        let allow = || answered(1, Answered::Allow);
        assert_eq!(tell(vec![land(Verdict::Ask), allow()]), Some((2, Breach::Unopened)));
        assert_eq!(tell(vec![land(Verdict::Ask), asked(1), allow(), allow()]), Some((4, Breach::Unopened)));
        assert_eq!(tell(vec![land(Verdict::Deny), asked(1)]), Some((2, Breach::Unasked)));
        let other = answered(0, Answered::Allow);
        assert_eq!(tell(vec![land(Verdict::Ask), asked(1), other]), Some((3, Breach::Unopened)));
    }

    #[test]
    fn a_digest_must_be_the_actions() {
        let (mut body, cause) = land(Verdict::Allow);
        if let Body::Decision(decision) = &mut body {
            decision.action = ActionRecord::Land { path: "/w/b".into() };
        }
        assert_eq!(tell(vec![(body, cause)]), Some((1, Breach::Digest)));
    }

    #[test]
    fn nothing_follows_the_end_but_a_new_chapter() {
        let end = || (RunEnded::default().into(), None);
        let more = || (Discarded::default().into(), None);
        let again = (RunReopened::default().into(), None);
        assert_eq!(tell(vec![end(), more()]), Some((2, Breach::AfterTheEnd)));
        assert_eq!(tell(vec![end(), again, more(), end()]), None);
        assert_eq!(tell(vec![(RunOpened::default().into(), None)]), Some((1, Breach::Beginning)));
    }
}
