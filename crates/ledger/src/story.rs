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
//!
//! A chapter that a crash cut short says so (`run.interrupted`) and owes nothing more. Looks at every event once and remembers
//! only decisions and open asks.

use std::collections::{BTreeSet, HashMap};

use crate::action::ActionRecord;
use crate::event::{Answered, Body, Event, OsText, Trust, Verdict};

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

/// What the story needs of an event: found out once, by whichever thread looks at the event.
#[derive(Debug)]
pub(crate) struct Gist {
    seq: u64,
    cause: Option<u64>,
    reported: bool,
    act: Act,
}

#[derive(Debug)]
enum Act {
    Opened {
        workspace: Option<Vec<u8>>,
    },
    Ended,
    Interrupted,
    Reopened,
    Policy,
    Decision {
        kind: &'static str,
        verdict: Verdict,
        about: Option<Vec<u8>>,
        true_digest: bool,
    },
    Ask {
        ask: String,
        decision: u64,
    },
    Answer {
        ask: String,
        decision: u64,
        allow: bool,
    },
    /// A person said something about a change.
    Said,
    Launch {
        argv: Option<Vec<u8>>,
    },
    Landed {
        path: Option<Vec<u8>>,
    },
    Dialled {
        endpoint: String,
    },
    Outcome {
        of: u64,
    },
    Other,
}

impl Gist {
    pub(crate) fn of(event: &Event) -> Gist {
        let reported = event.trust == Trust::Reported;
        Gist { seq: event.seq, cause: event.cause, reported, act: act(event) }
    }
}

fn act(event: &Event) -> Act {
    // What was cut can be held against nothing; that it was cut is said in the event.
    let whole = |text: &OsText| (!event.cut && text.is_whole()).then(|| text.as_bytes().to_vec());
    match &event.body {
        Body::RunOpened(opened) => Act::Opened { workspace: whole(&opened.workspace) },
        Body::RunEnded(_) => Act::Ended,
        Body::RunInterrupted(_) => Act::Interrupted,
        Body::RunReopened(_) => Act::Reopened,
        Body::PolicyLoaded(_) => Act::Policy,
        Body::Decision(decision) => Act::Decision {
            kind: decision.action.kind(),
            verdict: decision.verdict,
            about: if event.cut { None } else { about(&decision.action) },
            true_digest: event.cut || decision.action.digest() == decision.digest,
        },
        Body::Exec(exec) => Act::Decision {
            kind: "exec",
            verdict: exec.verdict,
            about: None,
            true_digest: event.cut || exec.action().digest() == exec.digest,
        },
        Body::AskOpened(ask) => Act::Ask { ask: ask.ask.clone(), decision: ask.decision },
        Body::AskAnswered(answer) => {
            let allow = answer.answer == Answered::Allow;
            Act::Answer { ask: answer.ask.clone(), decision: answer.decision, allow }
        }
        Body::Launch(launch) => Act::Launch { argv: if event.cut { None } else { words(&launch.argv) } },
        Body::Landed(landed) => Act::Landed { path: whole(&landed.path) },
        Body::Undone(undone) => Act::Landed { path: whole(&undone.path) },
        // Judged as what it is to git: a path in the workspace's git folder.
        Body::RefMoved(moved) => Act::Landed { path: Some([b".git/", moved.name.as_bytes()].concat()) },
        Body::ChangeAccepted(_) | Body::ChangeRejected(_) => Act::Said,
        Body::Resolved(resolved) if !resolved.allowed.is_empty() => {
            Act::Dialled { endpoint: resolved.endpoint.clone() }
        }
        Body::Outcome(outcome) => Act::Outcome { of: outcome.of },
        _ => Act::Other,
    }
}

/// What an action is about that its deed must be about as well; `None` where there is no deed to compare, or it was cut.
fn about(action: &ActionRecord) -> Option<Vec<u8>> {
    match action {
        ActionRecord::Launch(command) => words(&command.argv),
        ActionRecord::Land { path } => path.is_whole().then(|| path.as_bytes().to_vec()),
        ActionRecord::Connect { endpoint } | ActionRecord::Http { endpoint, .. } => {
            Some(endpoint.clone().into_bytes())
        }
        _ => None,
    }
}

/// Arguments as one text: none of them holds a NUL.
fn words(argv: &[OsText]) -> Option<Vec<u8>> {
    let whole = argv.iter().all(OsText::is_whole);
    whole.then(|| argv.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect())
}

#[derive(Debug)]
struct Judged {
    kind: &'static str,
    verdict: Verdict,
    permitted: bool,
    about: Option<Vec<u8>>,
    done: bool,
    settled: bool,
}

/// What was seen of a story so far.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Decisions by their numbers, which rise.
    decisions: Vec<(u64, Judged)>,
    /// Open asks, with the decision each is about.
    asks: HashMap<String, u64>,
    /// Deeds that have no outcome yet, by their decisions.
    unsettled: BTreeSet<u64>,
    workspace: Option<Vec<u8>>,
    /// Whether this chapter has a policy.
    policy: bool,
    ended: bool,
}

impl Story {
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
            Act::Ended => return self.chapter_over(),
            Act::Reopened => {
                self.policy = false;
                return self.chapter_over();
            }
            Act::Interrupted => {
                self.asks.clear();
                self.unsettled.clear();
            }
            Act::Decision { kind, verdict, about, true_digest } => {
                vouched?;
                let permitted = verdict == Verdict::Allow;
                self.decisions
                    .push((seq, Judged { kind, verdict, permitted, about, done: false, settled: false }));
                return self.judged(true_digest);
            }
            Act::Ask { ask, decision } => return self.ask(ask, decision),
            Act::Answer { ask, decision, allow } => {
                vouched?;
                return self.answer(&ask, decision, allow);
            }
            Act::Said => return vouched,
            Act::Launch { argv } => {
                vouched?;
                self.deed(cause, &["launch"], argv)?;
                self.owes_outcome(cause);
            }
            Act::Landed { path } => {
                vouched?;
                let workspace = self.workspace.clone();
                let path = path.zip(workspace).map(|(path, root)| [&root[..], b"/", &path].concat());
                self.deed(cause, &["land"], path)?;
                self.owes_outcome(cause);
            }
            Act::Dialled { endpoint } => {
                vouched?;
                return self.deed(cause, &["connect", "http"], Some(endpoint.into_bytes()));
            }
            Act::Outcome { of } => return self.outcome(of),
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

    fn decision(&mut self, seq: u64) -> Option<&mut Judged> {
        let at = self.decisions.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        self.decisions.get_mut(at).map(|(_, judged)| judged)
    }

    fn judged(&self, true_digest: bool) -> Result<(), Breach> {
        match (true_digest, self.policy) {
            (false, _) => Err(Breach::Digest),
            (_, false) => Err(Breach::Unjudged),
            _ => Ok(()),
        }
    }

    fn ask(&mut self, ask: String, decision: u64) -> Result<(), Breach> {
        let asks =
            self.decision(decision).is_some_and(|judged| judged.verdict == Verdict::Ask && !judged.permitted);
        match asks && self.asks.insert(ask, decision).is_none() {
            true => Ok(()),
            false => Err(Breach::Unasked),
        }
    }

    fn answer(&mut self, ask: &str, decision: u64, allow: bool) -> Result<(), Breach> {
        if self.asks.remove(ask) != Some(decision) {
            return Err(Breach::Unopened);
        }
        if allow && let Some(judged) = self.decision(decision) {
            judged.permitted = true;
        }
        Ok(())
    }

    /// Something was done that needs a permit for one of these kinds, about this.
    fn deed(&mut self, cause: Option<u64>, kinds: &[&str], done: Option<Vec<u8>>) -> Result<(), Breach> {
        let judged = cause.and_then(|cause| self.decision(cause));
        let judged = judged.filter(|judged| judged.permitted && kinds.contains(&judged.kind));
        let judged = judged.ok_or(Breach::Unpermitted)?;
        if done.zip(judged.about.as_ref()).is_some_and(|(done, about)| done != *about) {
            return Err(Breach::Otherwise);
        }
        if std::mem::replace(&mut judged.done, true) { Err(Breach::UsedUp) } else { Ok(()) }
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
mod tests {
    use super::*;
    use crate::action::CommandRecord;
    use crate::event::{
        AskAnswered, AskOpened, ChangeAccepted, ChangeRejected, Decision, Discarded, Exec, Landed, Launch,
        Outcome, OutcomeResult, PolicyLoaded, RefMoved, Resolved, RunEnded, RunInterrupted, RunOpened,
        RunReopened, Undone,
    };

    type Told = (Body, Option<u64>, Trust);

    /// Tells a story in a workspace `/w` under a policy, its first two events; gives the place and nature of the first breach.
    fn tell(events: Vec<Told>) -> Option<(u64, Breach)> {
        let opened = RunOpened { workspace: "/w".into(), ..RunOpened::default() };
        tell_all([vec![seen(opened, None), policy()], events].concat())
    }

    fn tell_all(events: Vec<Told>) -> Option<(u64, Breach)> {
        let mut story = Story::default();
        let mut end = 0;
        for (seq, (body, cause, trust)) in events.into_iter().enumerate() {
            let seq = seq as u64;
            let event = Event { v: 1, seq, ts: 0, mono: 0, run: "r".into(), trust, cause, cut: false, body };
            if let Err(breach) = story.see(Gist::of(&event)) {
                return Some((seq, breach));
            }
            end = seq + 1;
        }
        story.chapter_over().err().map(|breach| (end, breach))
    }

    fn seen(body: impl Into<Body>, cause: Option<u64>) -> Told {
        (body.into(), cause, Trust::Observed)
    }

    fn policy() -> Told {
        seen(PolicyLoaded::default(), None)
    }

    fn decision(action: ActionRecord, verdict: Verdict) -> Told {
        let (digest, text) = (action.digest(), String::new());
        let decision =
            Decision { action, digest, text, verdict, need: None, reasons: vec![], default_applied: false };
        seen(decision, None)
    }

    fn land(verdict: Verdict) -> Told {
        decision(ActionRecord::Land { path: "/w/a".into() }, verdict)
    }

    fn launch(verdict: Verdict) -> Told {
        let argv = vec!["true".into(), "x".into()];
        decision(
            ActionRecord::Launch(CommandRecord { program: "/bin/true".into(), argv, env: vec![] }),
            verdict,
        )
    }

    fn launched(cause: u64, argv: &[&str]) -> Told {
        seen(
            Launch { argv: argv.iter().map(|word| (*word).into()).collect(), ..Launch::default() },
            Some(cause),
        )
    }

    fn asked(decision: u64) -> Told {
        seen(AskOpened { ask: "a".into(), decision, ..AskOpened::default() }, None)
    }

    fn answered(decision: u64, answer: Answered) -> Told {
        let (by, how) = ("ann".into(), "terminal".into());
        seen(AskAnswered { ask: "a".into(), decision, answer, by, how, why: None }, None)
    }

    fn landed(cause: u64) -> Told {
        seen(Landed { path: "a".into(), ..Landed::default() }, Some(cause))
    }

    fn resolved(cause: u64, endpoint: &str) -> Told {
        let allowed = vec!["192.0.2.1".into()];
        seen(Resolved { endpoint: endpoint.into(), allowed, refused: vec![] }, Some(cause))
    }

    fn settled(of: u64) -> Told {
        seen(Outcome { of, result: OutcomeResult::Done, detail: String::new() }, Some(of))
    }

    fn ended() -> Told {
        seen(RunEnded::default(), None)
    }

    fn reopened() -> Told {
        seen(RunReopened::default(), None)
    }

    fn reported((body, cause, _): Told) -> Told {
        (body, cause, Trust::Reported)
    }

    const ALLOW: Verdict = Verdict::Allow;
    const ASK: Verdict = Verdict::Ask;
    const DENY: Verdict = Verdict::Deny;

    #[test]
    fn what_was_permitted_may_happen() {
        assert_eq!(tell(vec![land(ALLOW), landed(2), settled(2), ended()]), None);
        assert_eq!(tell(vec![land(ALLOW), settled(2), landed(2), ended()]), None);
        assert_eq!(
            tell(vec![land(ASK), asked(2), answered(2, Answered::Allow), landed(2), settled(2)]),
            None
        );
        assert_eq!(tell(vec![launch(ALLOW), launched(2, &["true", "x"]), settled(2)]), None);
        let endpoint = "a.example:443";
        let http = ActionRecord::Http {
            scheme: "https".into(),
            endpoint: endpoint.into(),
            method: "GET".into(),
            path: "/".into(),
        };
        for action in [ActionRecord::Connect { endpoint: endpoint.into() }, http] {
            assert_eq!(tell(vec![decision(action, ALLOW), resolved(2, endpoint), settled(2)]), None);
        }
    }

    #[test]
    fn what_was_not_permitted_is_a_breach() {
        let unpermitted = |at| Some((at, Breach::Unpermitted));
        assert_eq!(tell(vec![land(DENY), landed(2)]), unpermitted(3));
        assert_eq!(tell(vec![land(ASK), landed(2)]), unpermitted(3));
        assert_eq!(tell(vec![land(ASK), asked(2), landed(2)]), unpermitted(4));
        for answer in [Answered::Deny, Answered::Expired] {
            assert_eq!(tell(vec![land(ASK), asked(2), answered(2, answer), landed(2)]), unpermitted(5));
        }
        assert_eq!(tell(vec![land(ALLOW), launched(2, &[])]), unpermitted(3));
        assert_eq!(tell(vec![seen(Launch::default(), None)]), unpermitted(2));
        assert_eq!(tell(vec![seen(Landed::default(), None)]), unpermitted(2));
        assert_eq!(tell(vec![seen(Undone::default(), None)]), unpermitted(2));
        assert_eq!(tell(vec![land(DENY), settled(2)]), unpermitted(3));
        assert_eq!(tell(vec![settled(1)]), unpermitted(2));
    }

    #[test]
    fn a_permit_for_one_thing_is_no_permit_for_another() {
        let otherwise = Some((3, Breach::Otherwise));
        let elsewhere = seen(Landed { path: "b".into(), ..Landed::default() }, Some(2));
        assert_eq!(tell(vec![land(ALLOW), elsewhere]), otherwise);
        assert_eq!(tell(vec![launch(ALLOW), launched(2, &["true"])]), otherwise);
        assert_eq!(tell(vec![launch(ALLOW), launched(2, &["false", "x"])]), otherwise);
        let connect = decision(ActionRecord::Connect { endpoint: "a.example:443".into() }, ALLOW);
        assert_eq!(tell(vec![connect, resolved(2, "b.example:443")]), otherwise);
    }

    #[test]
    fn a_reference_moves_by_a_permit_for_its_own_path() {
        let judged = || decision(ActionRecord::Land { path: "/w/.git/refs/heads/a".into() }, ALLOW);
        let moved = |name: &str| seen(RefMoved { name: name.into(), ..RefMoved::default() }, Some(2));
        assert_eq!(tell(vec![judged(), moved("refs/heads/a"), settled(2)]), None);
        assert_eq!(tell(vec![judged(), moved("refs/heads/b")]), Some((3, Breach::Otherwise)));
        assert_eq!(tell(vec![judged(), reported(moved("refs/heads/a"))]), Some((3, Breach::Reported)));
    }

    #[test]
    fn a_permit_is_used_once() {
        assert_eq!(tell(vec![land(ALLOW), landed(2), landed(2)]), Some((4, Breach::UsedUp)));
        assert_eq!(tell(vec![land(ALLOW), landed(2), settled(2), settled(2)]), Some((5, Breach::UsedUp)));
    }

    #[test]
    fn only_an_open_ask_is_answered_and_once() {
        let allow = || answered(2, Answered::Allow);
        assert_eq!(tell(vec![land(ASK), allow()]), Some((3, Breach::Unopened)));
        assert_eq!(tell(vec![land(ASK), asked(2), allow(), allow()]), Some((5, Breach::Unopened)));
        assert_eq!(tell(vec![land(DENY), asked(2)]), Some((3, Breach::Unasked)));
        assert_eq!(tell(vec![land(ASK), asked(2), asked(2)]), Some((4, Breach::Unasked)));
        assert_eq!(tell(vec![land(ASK), asked(2), allow(), asked(2)]), Some((5, Breach::Unasked)));
        assert_eq!(
            tell(vec![land(ASK), asked(2), answered(0, Answered::Allow)]),
            Some((4, Breach::Unopened))
        );
    }

    #[test]
    fn an_ask_is_answered_before_the_end() {
        assert_eq!(tell(vec![land(ASK), asked(2), ended()]), Some((4, Breach::Unanswered)));
        assert_eq!(tell(vec![land(ASK), asked(2), answered(2, Answered::Expired), ended()]), None);
        assert_eq!(
            tell(vec![ended(), reopened(), policy(), land(ASK), asked(5)]),
            Some((7, Breach::Unanswered))
        );
        // Nobody could answer any more.
        assert_eq!(tell(vec![land(ASK), asked(2), seen(RunInterrupted::default(), None)]), None);
    }

    #[test]
    fn a_deed_has_its_outcome_before_the_end() {
        assert_eq!(tell(vec![land(ALLOW), landed(2), ended()]), Some((4, Breach::Unsettled)));
        assert_eq!(
            tell(vec![ended(), reopened(), policy(), land(ALLOW), landed(5)]),
            Some((7, Breach::Unsettled))
        );
        let again = vec![ended(), reopened(), policy(), land(ALLOW), landed(5), reopened()];
        assert_eq!(tell(again), Some((7, Breach::Unsettled)));
        assert_eq!(tell(vec![land(ALLOW), landed(2), seen(RunInterrupted::default(), None)]), None);
    }

    #[test]
    fn a_digest_must_be_the_actions() {
        let (mut body, cause, trust) = land(ALLOW);
        if let Body::Decision(decision) = &mut body {
            decision.action = ActionRecord::Land { path: "/w/b".into() };
        }
        assert_eq!(tell(vec![(body, cause, trust)]), Some((2, Breach::Digest)));
        let exec = Exec { program: "/bin/true".into(), verdict: ALLOW, ..Exec::default() };
        let digest = exec.action().digest();
        assert_eq!(tell(vec![seen(Exec { digest, ..exec.clone() }, None)]), None);
        assert_eq!(tell(vec![seen(exec, None)]), Some((2, Breach::Digest)));
    }

    #[test]
    fn a_decision_comes_after_its_policy() {
        let opened = || seen(RunOpened::default(), None);
        assert_eq!(tell_all(vec![opened(), land(ALLOW)]), Some((1, Breach::Unjudged)));
        assert_eq!(tell_all(vec![opened(), policy(), land(ALLOW)]), None);
        assert_eq!(tell(vec![ended(), reopened(), land(ALLOW)]), Some((4, Breach::Unjudged)));
    }

    #[test]
    fn what_the_agent_reports_decides_and_does_nothing() {
        let by_agent = |events: Vec<Told>, at| assert_eq!(tell(events), Some((at, Breach::Reported)));
        by_agent(vec![reported(land(ALLOW))], 2);
        by_agent(vec![land(ASK), asked(2), reported(answered(2, Answered::Allow))], 4);
        by_agent(vec![land(ALLOW), reported(landed(2))], 3);
        by_agent(vec![reported(seen(ChangeAccepted::default(), None))], 2);
        by_agent(vec![reported(seen(ChangeRejected::default(), None))], 2);
        by_agent(vec![launch(ALLOW), reported(launched(2, &["true", "x"]))], 3);
    }

    #[test]
    fn a_cause_is_an_earlier_event() {
        for cause in [2, 3] {
            assert_eq!(tell(vec![seen(Discarded::default(), Some(cause))]), Some((2, Breach::Cause)));
        }
    }

    #[test]
    fn nothing_follows_the_end_but_a_new_chapter() {
        let more = || seen(Discarded::default(), None);
        assert_eq!(tell(vec![ended(), more()]), Some((3, Breach::AfterTheEnd)));
        assert_eq!(tell(vec![ended(), land(ALLOW)]), Some((3, Breach::AfterTheEnd)));
        assert_eq!(tell(vec![ended(), reopened(), more(), ended()]), None);
        assert_eq!(tell(vec![seen(RunOpened::default(), None)]), Some((2, Breach::Beginning)));
        assert_eq!(tell_all(vec![policy()]), Some((0, Breach::Beginning)));
    }
}
