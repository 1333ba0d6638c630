//! The rules, each with a story that keeps it and one that breaks it.

use super::*;
use crate::action::{ActionRecord, CommandRecord};
use crate::event::{
    Answered, AskAnswered, AskOpened, Body, ChangeAccepted, ChangeRejected, Decision, Discarded, Event, Exec,
    GrantEnded, GrantGiven, GrantOver, GrantScope, Landed, Launch, Outcome, OutcomeResult, PolicyLoaded,
    RefMoved, RequestInside, Resolved, RunEnded, RunInterrupted, RunOpened, RunReopened, Trust, Undone,
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
    let decision = Decision {
        action,
        digest,
        text,
        verdict,
        need: None,
        reasons: vec![],
        default_applied: false,
        grant: None,
    };
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
    seen(AskAnswered { ask: "a".into(), decision, answer, by, how, why: None, also: vec![] }, None)
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
        query: String::new(),
        headers: Vec::new(),
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

fn given(decision: u64, scope: GrantScope, uses: Option<u64>) -> Told {
    let (grant, selector, by) = ("a".into(), String::new(), "ann".into());
    seen(GrantGiven { grant, decision, scope, selector, by, uses, lasts_ms: None }, None)
}

fn over() -> Told {
    let (grant, by) = ("a".into(), "ann".into());
    seen(GrantEnded { grant, because: GrantOver::Revoked, by, used: 0, why: None }, None)
}

fn reads(path: &str, verdict: Verdict, grant: Option<&str>) -> Told {
    let (body, cause, trust) = decision(ActionRecord::Read { path: path.into() }, verdict);
    let Body::Decision(mut decision) = body else { panic!() };
    decision.grant = grant.map(str::to_owned);
    (decision.into(), cause, trust)
}

impl From<Box<Decision>> for Body {
    fn from(decision: Box<Decision>) -> Body {
        Body::Decision(decision)
    }
}

/// Somebody was asked about `/w/a`, and said yes for more than once.
fn granted(scope: GrantScope, uses: Option<u64>, then: Vec<Told>) -> Option<(u64, Breach)> {
    let yes = vec![reads("/w/a", ASK, None), asked(2), answered(2, Answered::Allow), given(2, scope, uses)];
    tell([yes, then].concat())
}

#[test]
fn what_a_grant_allows_is_held_against_it() {
    use GrantScope::{Class, Run};
    let used = |path| reads(path, ALLOW, Some("a"));
    let breach = |at| Some((at, Breach::Ungranted));
    assert_eq!(granted(Run, None, vec![used("/w/a"), used("/w/a"), over(), ended()]), None);
    assert_eq!(granted(Run, None, vec![used("/w/b")]), breach(6), "another action");
    assert_eq!(granted(Class, None, vec![used("/w/b"), ended()]), None);
    assert_eq!(granted(Class, None, vec![land_by_grant()]), breach(6), "another kind");
    assert_eq!(granted(Run, Some(1), vec![used("/w/a"), used("/w/a")]), breach(7), "used up");
    assert_eq!(granted(Run, None, vec![over(), used("/w/a")]), breach(7), "taken back");
    assert_eq!(granted(Run, None, vec![over(), over()]), breach(7));
    assert_eq!(tell(vec![used("/w/a")]), breach(2), "never given");
    assert_eq!(granted(Run, None, vec![reads("/w/a", DENY, Some("a"))]), breach(6));
    let (body, cause, _) = used("/w/a");
    assert_eq!(granted(Run, None, vec![(body, cause, Trust::Reported)]), Some((6, Breach::Reported)));
    assert_eq!(
        granted(Run, None, vec![ended(), reopened(), policy(), used("/w/a")]),
        breach(9),
        "a chapter's grants end with it"
    );
}

fn land_by_grant() -> Told {
    let (body, cause, trust) = land(ALLOW);
    let Body::Decision(mut decision) = body else { panic!() };
    decision.grant = Some("a".to_owned());
    (decision.into(), cause, trust)
}

#[test]
fn a_grant_comes_from_a_yes_once() {
    use GrantScope::Run;
    let breach = |at| Some((at, Breach::Given));
    assert_eq!(tell(vec![given(1, Run, None)]), breach(2));
    let no = vec![reads("/w/a", ASK, None), asked(2), answered(2, Answered::Deny), given(2, Run, None)];
    assert_eq!(tell(no), breach(5));
    assert_eq!(granted(Run, None, vec![given(2, Run, None)]), breach(6));
    let other = vec![reads("/w/a", ASK, None), asked(2), answered(2, Answered::Allow), given(1, Run, None)];
    assert_eq!(tell(other), breach(5));
    let reported = vec![
        reads("/w/a", ASK, None),
        asked(2),
        answered(2, Answered::Allow),
        self::reported(given(2, Run, None)),
    ];
    assert_eq!(tell(reported), Some((5, Breach::Reported)));
}

#[test]
fn one_answer_is_for_all_who_asked_for_the_same() {
    let also = |seqs: Vec<u64>, answer| {
        let (by, how) = ("ann".into(), "terminal".into());
        seen(AskAnswered { ask: "a".into(), decision: 2, answer, by, how, why: None, also: seqs }, None)
    };
    let allow = Answered::Allow;
    let two = |other: Told, answer: Told, rest: Vec<Told>| {
        tell([vec![land(ASK), asked(2), other, answer], rest].concat())
    };
    assert_eq!(
        two(land(ASK), also(vec![4], allow), vec![landed(2), landed(4), settled(2), settled(4), ended()]),
        None
    );
    assert_eq!(two(land(ASK), also(vec![], allow), vec![landed(4)]), Some((6, Breach::Unpermitted)));
    assert_eq!(
        two(land(ASK), also(vec![4], Answered::Deny), vec![landed(4)]),
        Some((6, Breach::Unpermitted))
    );
    assert_eq!(two(land(DENY), also(vec![4], allow), vec![]), Some((5, Breach::Beside)));
    assert_eq!(two(reads("/w/b", ASK, None), also(vec![4], allow), vec![]), Some((5, Breach::Beside)));
    assert_eq!(two(land(ASK), also(vec![4, 4], allow), vec![]), Some((5, Breach::Beside)));
}

#[test]
fn a_question_is_answered_and_permits_nothing() {
    let put = |what: &str| {
        let request = RequestInside { what: what.into(), text: "which?".into(), why: "x".into() };
        reported(seen(request, None))
    };
    assert_eq!(tell(vec![put("question"), asked(2), answered(2, Answered::Allow), ended()]), None);
    assert_eq!(tell(vec![put("connect"), asked(2)]), Some((3, Breach::Unasked)));
    assert_eq!(
        tell(vec![put("question"), asked(2), answered(2, Answered::Allow), given(2, GrantScope::Run, None)]),
        Some((5, Breach::Given))
    );
}
