//! The rules, each with a story that keeps it and one that breaks it.

use super::*;
use crate::action::{ActionRecord, CommandRecord};
use crate::event::{
    Answered, AskAnswered, AskOpened, Body, ChangeAccepted, ChangeRejected, Decision, Discarded, Event, Exec,
    Landed, Launch, Outcome, OutcomeResult, PolicyLoaded, RefMoved, Resolved, RunEnded, RunInterrupted,
    RunOpened, RunReopened, Trust, Undone,
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
    decision(ActionRecord::Launch(CommandRecord { program: "/bin/true".into(), argv, env: vec![] }), verdict)
}

fn launched(cause: u64, argv: &[&str]) -> Told {
    seen(Launch { argv: argv.iter().map(|word| (*word).into()).collect(), ..Launch::default() }, Some(cause))
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
    assert_eq!(tell(vec![land(ASK), asked(2), answered(2, Answered::Allow), landed(2), settled(2)]), None);
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
    assert_eq!(tell(vec![land(ASK), asked(2), answered(0, Answered::Allow)]), Some((4, Breach::Unopened)));
}

#[test]
fn an_ask_is_answered_before_the_end() {
    assert_eq!(tell(vec![land(ASK), asked(2), ended()]), Some((4, Breach::Unanswered)));
    assert_eq!(tell(vec![land(ASK), asked(2), answered(2, Answered::Expired), ended()]), None);
    assert_eq!(tell(vec![ended(), reopened(), policy(), land(ASK), asked(5)]), Some((7, Breach::Unanswered)));
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
