//! The story of events made by hand.

use ledger::action::{ActionRecord, CommandRecord};
use ledger::event::*;

use super::*;

struct Tape(Vec<Event>);

impl Tape {
    fn new() -> Tape {
        Tape(Vec::new())
    }

    fn put(&mut self, body: impl Into<Body>) -> u64 {
        self.put_because(body, None)
    }

    fn put_because(&mut self, body: impl Into<Body>, cause: Option<u64>) -> u64 {
        let seq = self.0.len() as u64;
        self.0.push(Event {
            v: VERSION,
            seq,
            ts: 1_000 + seq,
            mono: 500 + 10 * seq,
            run: "0abc-def".into(),
            trust: Trust::Observed,
            cause,
            cut: false,
            body: body.into(),
        });
        seq
    }

    fn story(&self) -> Story {
        Story::of(&self.0)
    }
}

fn texts(words: &[&str]) -> Vec<OsText> {
    words.iter().map(|word| OsText::from(*word)).collect()
}

fn exec(pid: u32, ppid: u32, argv: &[&str], verdict: Verdict) -> Exec {
    let program = format!("/usr/bin/{}", argv[0]).into();
    Exec { pid, ppid, program, argv: texts(argv), verdict, ..Exec::default() }
}

fn reason(rule: &str) -> Reason {
    Reason { layer: "build".into(), rule: rule.into(), why: Some("because".into()) }
}

fn decision(action: ActionRecord, text: &str, verdict: Verdict) -> Decision {
    let digest = action.digest();
    let reasons = vec![reason("r")];
    Decision {
        action,
        digest,
        text: text.into(),
        verdict,
        need: None,
        reasons,
        default_applied: false,
        grant: None,
    }
}

fn connect(endpoint: &str, verdict: Verdict) -> Decision {
    let action = ActionRecord::Connect { endpoint: endpoint.into() };
    decision(action, &format!("connect {endpoint}"), verdict)
}

fn staged(path: &str, handoff: bool) -> StagedFile {
    let (change, path) = (Change::Modified, path.into());
    StagedFile { path, change, added: 2, removed: 1, size: 9, handoff, why: None, risk: None, digest: None }
}

#[test]
fn execs_are_a_tree_in_order() {
    let mut tape = Tape::new();
    tape.put(RunOpened { task: "fix it".into(), ..RunOpened::default() });
    tape.put(Launch { pid: 7, argv: texts(&["agent"]), cwd: "/w".into() });
    tape.put(exec(8, 7, &["sh", "-c", "make"], Verdict::Allow));
    tape.put(exec(9, 8, &["make"], Verdict::Allow));
    tape.put(exec(10, 7, &["git", "status"], Verdict::Allow));
    let story = tape.story();
    let depths: Vec<usize> = story.moments.iter().map(|moment| moment.depth).collect();
    assert_eq!(depths, [0, 1, 2, 1]);
    assert_eq!(story.moments[1].at, 20);
    assert_eq!(story.counts.execs, 3);
    assert_eq!(story.opened.unwrap().task, "fix it");
}

#[test]
fn many_alike_are_one_moment_with_a_count() {
    let mut tape = Tape::new();
    tape.put(Launch { pid: 7, argv: texts(&["agent"]), cwd: "/w".into() });
    for pid in 100..150 {
        tape.put(exec(pid, 7, &["cc", "-c"], Verdict::Allow));
    }
    let story = tape.story();
    assert_eq!(story.moments.len(), 4);
    assert!(matches!(story.moments[3].what, What::Exec { more: 47, .. }));
    assert_eq!(story.counts.execs, 50);
}

#[test]
fn a_denied_exec_is_never_among_those_that_are_only_counted() {
    let mut tape = Tape::new();
    tape.put(Launch { pid: 7, argv: texts(&["agent"]), cwd: "/w".into() });
    for pid in 100..110 {
        tape.put(exec(pid, 7, &["git", "log"], Verdict::Allow));
    }
    let mut denied = exec(111, 7, &["git", "push", "-f"], Verdict::Deny);
    denied.reasons = vec![reason("no-force")];
    let seq = tape.put(denied);
    let spoken =
        Denied { what: "exec".into(), target: "git push -f".into(), spoken: true, ..Denied::default() };
    tape.put_because(spoken, Some(seq));
    let story = tape.story();
    let denials: Vec<&Denial> = story.denials().collect();
    assert_eq!(denials.len(), 1, "the decision and what came of it are one");
    assert_eq!((denials[0].rule.as_str(), denials[0].count), ("no-force", 1));
    assert!(
        matches!(&story.moments.last().unwrap().what, What::Denied(denial) if denial.target == "git push -f")
    );
}

#[test]
fn denials_alike_are_counted_together() {
    let mut tape = Tape::new();
    for _ in 0..3 {
        tape.put(connect("evil.example:443", Verdict::Deny));
    }
    tape.put(Denied { what: "read".into(), target: "/etc/shadow".into(), ..Denied::default() });
    let story = tape.story();
    let denials: Vec<(&str, &str, u64)> =
        story.denials().map(|denial| (denial.kind.as_str(), denial.target.as_str(), denial.count)).collect();
    assert_eq!(denials, [("connect", "evil.example:443", 3), ("read", "/etc/shadow", 1)]);
    assert_eq!(story.counts.denials, 4);
    assert_eq!(
        story.denials().nth(1).unwrap().rule,
        "default",
        "a denial without a rule names what stood in for it"
    );
}

#[test]
fn what_a_person_refused_was_denied() {
    let mut tape = Tape::new();
    let seq = tape.put(connect("api.example:443", Verdict::Ask));
    tape.put(AskOpened {
        ask: "d-1".into(),
        decision: seq,
        text: "connect api.example:443".into(),
        timeout_ms: 9,
        ..AskOpened::default()
    });
    tape.put(AskAnswered {
        ask: "d-1".into(),
        decision: seq,
        answer: Answered::Deny,
        by: "eve".into(),
        how: "terminal".into(),
        why: None,
        also: vec![],
    });
    let story = tape.story();
    assert_eq!((story.counts.asks, story.counts.denials), (1, 1));
    assert_eq!(story.denials().next().unwrap().target, "api.example:443");
}

#[test]
fn a_file_that_was_asked_about_is_denied_once() {
    let mut tape = Tape::new();
    let read = |verdict| decision(ActionRecord::Read { path: "/n/plan".into() }, "read /n/plan", verdict);
    let failed = || Denied {
        what: "read".into(),
        target: "/n/plan".into(),
        reasons: vec![reason("r")],
        ..Denied::default()
    };
    let seq = tape.put(read(Verdict::Ask));
    let (by, how) = ("eve".to_owned(), "command".to_owned());
    tape.put(AskAnswered {
        ask: "d".into(),
        decision: seq,
        answer: Answered::Deny,
        by,
        how,
        why: None,
        also: vec![],
    });
    tape.put(failed());
    assert_eq!(tape.story().counts.denials, 1);
    // The same again at once is turned away by a decision, and then fails.
    tape.put(read(Verdict::Deny));
    tape.put(failed());
    assert_eq!(tape.story().counts.denials, 2);
    // One that nobody decided about is a denial of its own.
    tape.put(failed());
    assert_eq!(tape.story().counts.denials, 3);
}

#[test]
fn words_of_a_denied_command_are_apart() {
    let mut tape = Tape::new();
    tape.put(exec(7, 1, &["git", "tag", "v 1", "it's", ""], Verdict::Deny));
    assert_eq!(tape.story().denials().next().unwrap().target, r"git tag 'v 1' 'it'\''s' ''");
}

#[test]
fn what_a_person_allowed_was_not_denied() {
    let mut tape = Tape::new();
    let seq = tape.put(connect("api.example:443", Verdict::Ask));
    let (ask, by, how) = ("d-1".into(), "eve".into(), "terminal".into());
    tape.put(AskAnswered { ask, decision: seq, answer: Answered::Allow, by, how, why: None, also: vec![] });
    assert_eq!(tape.story().counts.denials, 0);
}

#[test]
fn hosts_are_summed_and_told_once() {
    let mut tape = Tape::new();
    for _ in 0..2 {
        tape.put(connect("a.example:443", Verdict::Allow));
        let (endpoint, verdict) = ("a.example:443".into(), Verdict::Allow);
        tape.put(Connection { pid: None, endpoint, verdict, ingress: Ingress::Connect });
        tape.put(Flow {
            endpoint: "a.example:443".into(),
            bytes_up: 3,
            bytes_down: 40,
            ms: 1,
            status: None,
            method: None,
            path: None,
            sent: None,
            recorded: None,
            outcome: "closed".into(),
        });
    }
    let story = tape.story();
    let reached: Vec<&Reached> = story.reached().collect();
    assert_eq!(reached.len(), 1);
    assert_eq!((reached[0].connections, reached[0].bytes_up, reached[0].bytes_down), (2, 6, 80));
    let told = story.moments.iter().filter(|moment| matches!(moment.what, What::Reached { .. })).count();
    assert_eq!(told, 1);
}

#[test]
fn a_name_that_leads_to_no_address_that_may_be_dialled_was_denied() {
    let mut tape = Tape::new();
    let refused = vec![RefusedAddress { address: "127.0.0.1".into(), because: "loopback".into() }];
    tape.put(Resolved { endpoint: "evil.example:80".into(), allowed: vec![], refused });
    let story = tape.story();
    let denial = story.denials().next().unwrap();
    assert!(denial.why.as_ref().unwrap().contains("127.0.0.1"));
}

#[test]
fn opens_are_summed_by_folder() {
    let mut tape = Tape::new();
    let entry = |path: &str, access, count| OpenEntry { pid: 1, access, act: None, path: path.into(), count };
    tape.put(Opened {
        entries: vec![
            entry("/usr/lib/x86/libc.so", Access::Read, 5),
            entry("/usr/lib/y/z", Access::Read, 2),
            entry("/w/src/a.rs", Access::Write, 1),
            entry("/top", Access::Read, 1),
        ],
    });
    let story = tape.story();
    assert_eq!((story.opens.reads, story.opens.writes), (8, 1));
    let top = story.opens.top(2, 2);
    assert_eq!(top[0], (OsText::from("/usr/lib"), Folder { reads: 7, writes: 0 }));
    assert_eq!(top.len(), 2);
}

#[test]
fn a_count_goes_on_where_the_last_of_its_process_ended() {
    let mut tape = Tape::new();
    let entry = |count| OpenEntry { pid: 7, access: Access::Read, act: None, path: "/x".into(), count };
    let exit = |pid| Exited { entries: vec![ExitEntry { pid, ..ExitEntry::default() }] };
    tape.put(Opened { entries: vec![entry(1), entry(2)] });
    tape.put(Opened { entries: vec![entry(4), entry(5)] });
    assert_eq!(tape.story().opens.reads, 5);
    // Another process by the same number.
    tape.put(exit(7));
    tape.put(Opened { entries: vec![entry(6)] });
    assert_eq!(tape.story().opens.reads, 11);
    tape.put(Opened { entries: vec![entry(2)] });
    assert_eq!(tape.story().opens.reads, 13);
}

#[test]
fn changes_end_where_the_gate_left_them() {
    let mut tape = Tape::new();
    tape.put(ChangeStaged { files: vec![staged("a", false), staged("b", true)] });
    tape.put(ChangeStaged { files: vec![staged("c", false), staged("d", false)] });
    assert!(tape.story().waits());
    tape.put(Landed { path: "a".into(), post: Some("00".into()), ..Landed::default() });
    tape.put(LandRefused { path: "b".into(), because: "waits for a person".into() });
    let fates: Vec<Fate> = tape.story().changes().map(|changed| changed.fate.clone()).collect();
    let kept = Fate::Kept("waits for a person".into());
    assert_eq!(fates, [Fate::Landed, kept, Fate::Waiting, Fate::Waiting]);
    tape.put(Discarded { files: 3, cassette: false });
    let story = tape.story();
    assert!(!story.waits());
    assert_eq!(story.changes().filter(|changed| changed.fate == Fate::Discarded).count(), 3);
}

#[test]
fn what_landed_in_part_or_was_put_back_waits_on() {
    let mut tape = Tape::new();
    tape.put(ChangeStaged { files: vec![staged("a", false), staged("b", false)] });
    tape.put(ChangeAccepted { by: "ann".into(), hunks: vec!["12ab".into()], ..ChangeAccepted::default() });
    tape.put(ChangeRejected { path: "a".into(), why: "too wide".into(), ..ChangeRejected::default() });
    tape.put(Landed { path: "a".into(), hunks: vec!["12ab".into()], ..Landed::default() });
    tape.put(Landed { path: "b".into(), ..Landed::default() });
    let fates = |tape: &Tape| tape.story().changes().map(|changed| changed.fate.clone()).collect::<Vec<_>>();
    assert_eq!(fates(&tape), [Fate::Part, Fate::Landed]);
    assert!(tape.story().waits());
    tape.put(Undone { path: "b".into(), ..Undone::default() });
    assert_eq!(fates(&tape), [Fate::Part, Fate::Waiting]);
    let told: Vec<What> = tape.story().moments.into_iter().map(|moment| moment.what).collect();
    assert!(
        matches!(&told[1], What::Accepted { by, named: Some(named) } if by == "ann" && named == &["12ab"])
    );
    assert!(matches!(&told[2], What::Rejected { why, hunk: None, .. } if why == "too wide"));
    assert!(matches!(&told[5], What::Undone { .. }));
}

#[test]
fn a_list_of_layers_goes_on_in_the_next_event() {
    let layer = |name: &str| PolicyLayer { name: name.into(), ..PolicyLayer::default() };
    let mut tape = Tape::new();
    tape.put(PolicyLoaded {
        digest: "d".into(),
        profile: None,
        layers: vec![layer("one")],
        ..PolicyLoaded::default()
    });
    tape.put(PolicyLoaded {
        digest: "d".into(),
        profile: None,
        layers: vec![layer("two")],
        ..PolicyLoaded::default()
    });
    assert_eq!(tape.story().policy.unwrap().layers.len(), 2);
}

#[test]
fn the_policy_is_the_one_the_agent_was_under() {
    let layer = |name: &str| PolicyLayer { name: name.into(), kind: "file".into(), digest: "0".into() };
    let mut tape = Tape::new();
    tape.put(PolicyLoaded {
        digest: "a".into(),
        profile: None,
        layers: vec![layer("one")],
        ..PolicyLoaded::default()
    });
    tape.put(RunReopened::default());
    for digest in ["a", "b"] {
        tape.put(PolicyLoaded {
            digest: digest.into(),
            profile: None,
            layers: vec![layer("then")],
            ..PolicyLoaded::default()
        });
    }
    assert_eq!(tape.story().policy.unwrap().layers, [layer("one")]);
}

#[test]
fn the_end_is_kept_and_an_interruption_too() {
    let mut tape = Tape::new();
    let exit = Exit { code: Some(3), signal: None };
    tape.put(RunEnded { exit, wall_ms: 1500, cpu_ms: 20, ..RunEnded::default() });
    assert_eq!(tape.story().ended, Some(End { exit, wall_ms: 1500, cpu_ms: 20, stopped: None }));
    let mut tape = Tape::new();
    tape.put(RunInterrupted { found_by: "status".into(), cut_bytes: 0, unsigned: 2 });
    assert_eq!(tape.story().interrupted.as_deref(), Some("status"));
}

#[test]
fn a_clock_that_went_back_does_not_bring_the_story_down() {
    let mut tape = Tape::new();
    tape.put(RunOpened::default());
    tape.put(Launch { pid: 7, argv: texts(&["agent"]), cwd: "/w".into() });
    tape.0[1].mono = 0;
    tape.0[1].ts = 0;
    assert_eq!(tape.story().moments[0].at, 0);
    let command = CommandRecord { program: "/x".into(), argv: vec![], env: vec![] };
    let mut tape = Tape::new();
    tape.put(decision(ActionRecord::Exec(command), "", Verdict::Deny));
    assert_eq!(
        tape.story().denials().next().unwrap().target,
        "",
        "a text that is not ours is no reason to fall"
    );
}
