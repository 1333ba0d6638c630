//! Processes out of events made by hand.

use ledger::Trust;
use ledger::event::*;

use super::*;
use crate::places::Places;

/// Events in a row, a millisecond apart.
#[derive(Default)]
struct Tape(Vec<Event>);

impl Tape {
    fn put(&mut self, body: impl Into<Body>) -> u64 {
        self.put_because(body, None)
    }

    fn put_because(&mut self, body: impl Into<Body>, cause: Option<u64>) -> u64 {
        let seq = self.0.len() as u64;
        let (ts, mono) = (1_000 + seq, 500 + 1_000_000 * seq);
        let (run, trust) = ("0abc-def".to_owned(), Trust::Observed);
        self.0.push(Event { v: VERSION, seq, ts, mono, run, trust, cause, cut: false, body: body.into() });
        seq
    }

    /// A run of this agent, whose first process is number 10 and whose parent is number 9.
    fn of(agent: &str) -> Tape {
        let mut tape = Tape::default();
        let agent = Agent { name: agent.to_owned(), ..Agent::default() };
        tape.put(RunOpened { agent, workspace: "/w".into(), ..RunOpened::default() });
        tape.put(Launch { pid: 10, argv: texts(&["codex"]), cwd: "/w".into() });
        tape
    }

    fn exec(&mut self, pid: u32, ppid: u32, line: &str) -> u64 {
        let argv: Vec<&str> = line.split(' ').collect();
        self.put(exec(pid, ppid, &argv, Verdict::Allow))
    }

    fn exit(&mut self, pid: u32, ppid: u32, code: i32) {
        let entry = ExitEntry { pid, ppid, code: Some(code), signal: None, cpu_us: 1500 };
        self.put(Exited { entries: vec![entry] });
    }

    fn touch(&mut self, pid: u32, access: Access, act: Option<NameAct>, path: &str, count: u64) {
        self.put(Opened { entries: vec![OpenEntry { pid, access, act, path: path.into(), count }] });
    }

    fn read(&mut self, pid: u32, path: &str) {
        self.touch(pid, Access::Read, None, path, 1);
    }

    fn write(&mut self, pid: u32, path: &str) {
        self.touch(pid, Access::Write, None, path, 1);
    }

    fn tree(&self) -> ProcessTree {
        ProcessTree::of(&self.0)
    }
}

fn texts(words: &[&str]) -> Vec<OsText> {
    words.iter().map(|word| OsText::from(*word)).collect()
}

fn exec(pid: u32, ppid: u32, argv: &[&str], verdict: Verdict) -> Exec {
    let program = format!("/usr/bin/{}", argv[0]).into();
    Exec { pid, ppid, program, argv: texts(argv), cwd: "/w".into(), verdict, ..Exec::default() }
}

fn places() -> Places {
    Places { project: b"/w".to_vec(), home: b"/home/ada".to_vec() }
}

/// A row as a text: dots for its depth, then what it tells.
fn drawn(tree: &ProcessTree, all: bool, rows: usize) -> Vec<String> {
    let word = |id: usize| {
        let process = tree.get(id).unwrap();
        match process.image() {
            Some(image) => spoken(&image.argv),
            None => format!("fork {}", process.pid),
        }
    };
    let drawn = tree.rows(Folding { all, rows }, &places()).into_iter().map(|row| {
        let deep = ".".repeat(if row.top { 0 } else { row.rails.len() + 1 });
        let told = match row.what {
            Rows::One { id, adrift, beneath, .. } => {
                let beneath = beneath.map(|sum| format!(" (+{})", sum.processes)).unwrap_or_default();
                format!("{}{}{beneath}", word(id), if adrift { " adrift" } else { "" })
            }
            Rows::Alike { first, count, sum } => format!("{} x {count} = {}", word(first), sum.processes),
            Rows::Quiet { programs, sum } => format!("quiet {programs:?} = {}", sum.processes),
        };
        format!("{deep}{told}")
    });
    drawn.collect()
}

#[test]
fn who_started_whom_is_a_tree_in_order() {
    let mut tape = Tape::of("command");
    tape.exec(11, 10, "sh -c make");
    tape.exec(12, 11, "make");
    tape.exec(13, 10, "git status");
    let tree = tape.tree();
    assert_eq!(drawn(&tree, false, 80), ["codex", ".sh -c make", "..make", ".git status"]);
    assert_eq!(tree.depth(3), 2);
    assert!(tree.calls().all().is_empty(), "of a command that is no agent nobody knows what a call is");
}

#[test]
fn a_number_given_twice_is_two_processes() {
    let mut tape = Tape::of("command");
    tape.exec(11, 10, "first");
    tape.write(11, "/w/a");
    tape.exit(11, 10, 3);
    tape.exec(11, 10, "second");
    tape.write(11, "/w/b");
    let tree = tape.tree();
    let both: Vec<_> = tree.by_pid(11).collect();
    assert_eq!(both.len(), 2);
    let changed =
        |process: &Process| process.files.changes().iter().map(|it| it.0.to_string()).collect::<Vec<_>>();
    assert_eq!((changed(both[0]), changed(both[1])), (vec!["/w/a".to_owned()], vec!["/w/b".to_owned()]));
    assert!(both[0].failed() && both[0].ended.is_some() && both[1].ended.is_none());
}

#[test]
fn a_number_given_twice_is_told_by_its_parent_where_no_exit_was_recorded() {
    let mut tape = Tape::of("command");
    tape.exec(11, 10, "first");
    tape.exec(12, 10, "other");
    tape.exec(11, 12, "second");
    let tree = tape.tree();
    assert_eq!(tree.by_pid(11).count(), 2);
    assert_eq!(drawn(&tree, false, 80), ["codex", ".first", ".other", "..second"]);
}

#[test]
fn a_process_whose_parent_died_is_still_the_same() {
    let mut tape = Tape::of("command");
    tape.exec(11, 10, "sh");
    tape.exec(12, 11, "setsid daemon");
    tape.exit(11, 10, 0);
    // The one that adopts orphans is number 9.
    tape.exec(12, 9, "daemon");
    tape.exit(10, 9, 0);
    let tree = tape.tree();
    let daemon: Vec<_> = tree.by_pid(12).collect();
    assert_eq!((daemon.len(), daemon[0].images.len(), daemon[0].parent), (1, 2, Some(2)));
}

#[test]
fn an_exec_of_an_exec_is_one_process_that_was_both() {
    let mut tape = Tape::of("command");
    tape.exec(11, 10, "env A=1 make");
    tape.exec(11, 10, "make");
    let tree = tape.tree();
    assert_eq!(tree.all().len(), 2);
    let process = tree.get(2).unwrap();
    assert_eq!((process.images.len(), spoken(&process.image().unwrap().argv)), (2, "make".to_owned()));
    for at in 0..100 {
        tape.exec(11, 10, &format!("step {at}"));
    }
    let tree = tape.tree();
    let process = tree.get(2).unwrap();
    assert_eq!(
        (process.images.len(), process.more_images),
        (16, 86),
        "of a chain without end the ends are kept"
    );
    assert_eq!(spoken(&process.image().unwrap().argv), "step 99");
}

#[test]
fn an_exec_that_failed_never_was() {
    let mut tape = Tape::of("command");
    let seq = tape.exec(11, 10, "broken");
    tape.put(Outcome { of: seq, result: OutcomeResult::Failed, detail: "no".into() });
    assert!(tape.tree().get(2).unwrap().images.is_empty());
}

#[test]
fn forks_are_told_only_where_they_did_something_and_hold_the_tree_together() {
    let mut tape = Tape::of("command");
    // A subshell, seen only as a parent until it ends: what it started hangs where it hung.
    tape.exec(13, 12, "ls");
    tape.exit(13, 12, 0);
    tape.exit(12, 11, 0);
    tape.exec(11, 10, "sh");
    let tree = tape.tree();
    assert_eq!(tree.all().len(), 4);
    assert_eq!(drawn(&tree, false, 80), ["codex", ".sh", "..ls"]);
    tape.write(14, "/w/from-a-fork");
    tape.exit(14, 11, 0);
    assert_eq!(drawn(&tape.tree(), false, 80), ["codex", ".sh", "..ls", "..fork 14"]);
    tape.read(15, "/etc/passwd");
    tape.exit(15, 11, 0);
    assert_eq!(drawn(&tape.tree(), false, 80).len(), 4, "a fork that only looked did nothing");
}

#[test]
fn who_has_no_parent_that_was_seen_is_said_to_be_adrift() {
    let mut tape = Tape::of("codex");
    tape.exec(30, 9, "daemon");
    tape.exit(10, 9, 0);
    let tree = tape.tree();
    assert_eq!(drawn(&tree, false, 80), ["codex", ".daemon adrift"]);
    assert_eq!(tree.calls().of(2), None, "whose call it was cannot be told");
}

#[test]
fn what_is_only_said_late_makes_no_circle() {
    let mut tape = Tape::of("command");
    // Each says of the other that it started it.
    tape.write(21, "/w/x");
    tape.write(22, "/w/y");
    tape.put(Exited { entries: vec![ExitEntry { pid: 21, ppid: 22, ..ExitEntry::default() }] });
    tape.put(Exited { entries: vec![ExitEntry { pid: 22, ppid: 21, ..ExitEntry::default() }] });
    assert!(!drawn(&tape.tree(), false, 80).is_empty());
    tape.put(Exited { entries: vec![ExitEntry { pid: 23, ppid: 23, ..ExitEntry::default() }] });
    assert!(tape.tree().calls().all().is_empty());
}

#[test]
fn counts_are_those_of_the_last_word() {
    let mut tape = Tape::of("command");
    for count in [1, 2, 4, 9] {
        tape.touch(10, Access::Read, None, "/w/a", count);
    }
    tape.touch(10, Access::Write, Some(NameAct::Renamed), "/w/a", 1);
    let tree = tape.tree();
    let files = &tree.root().unwrap().files;
    assert_eq!(files.reads(), [(&OsText::from("/w/a"), Touch::Read, 9)]);
    assert_eq!(files.changes(), [(&OsText::from("/w/a"), Touch::Renamed, 1)]);
}

#[test]
fn one_process_names_so_many_files_and_counts_the_rest_and_never_loses_a_change_for_reads() {
    let mut tape = Tape::of("command");
    for at in 0..5000 {
        tape.read(10, &format!("/w/{at}"));
    }
    tape.write(10, "/w/changed");
    let tree = tape.tree();
    let files = &tree.root().unwrap().files;
    assert_eq!((files.reads().len(), files.more_reads, files.changes().len()), (4096, 904, 1));
}

#[test]
fn what_was_refused_is_known_with_its_rule_and_once() {
    let mut tape = Tape::of("command");
    let reasons = vec![Reason { layer: "user".into(), rule: "no-force".into(), why: None }];
    let mut denied = exec(11, 10, &["git", "push", "-f"], Verdict::Deny);
    denied.reasons.clone_from(&reasons);
    let seq = tape.put(denied);
    let again =
        Denied { pid: Some(11), what: "exec".into(), target: "git push -f".into(), ..Denied::default() };
    tape.put_because(again, Some(seq));
    let read =
        Denied { pid: Some(11), what: "read".into(), target: "/h/x".into(), reasons, ..Denied::default() };
    tape.put(read.clone());
    tape.put(read);
    let tree = tape.tree();
    let refused: Vec<_> = tree
        .get(2)
        .unwrap()
        .refused
        .iter()
        .map(|it| (it.kind.as_str(), it.rule.as_str(), it.count))
        .collect();
    assert_eq!(refused, [("exec", "no-force", 1), ("read", "no-force", 2)]);
}

#[test]
fn what_a_person_is_asked_about_starts_when_they_say_so() {
    for (answer, images, refused) in
        [(Answered::Allow, 1, 0), (Answered::Deny, 0, 1), (Answered::Expired, 0, 1)]
    {
        let mut tape = Tape::of("command");
        let decision = tape.put(exec(11, 10, &["id"], Verdict::Ask));
        assert!(tape.tree().get(2).unwrap().images.is_empty(), "nobody answered yet");
        let (ask, by, how) = ("d-1".into(), "eve".into(), "terminal".into());
        tape.put(AskAnswered { ask, decision, answer, by, how, why: None, also: vec![] });
        let tree = tape.tree();
        let process = tree.get(2).unwrap();
        assert_eq!((process.images.len(), process.refused.len()), (images, refused));
    }
}

#[test]
fn connections_are_put_down_to_who_made_them() {
    let mut tape = Tape::of("command");
    let entry = |count| ConnectEntry { pid: 10, target: "unix:/x".into(), count, how: Reach::Refused };
    tape.put(Connected { entries: vec![entry(1), entry(3)] });
    let (endpoint, ingress) = ("a.example:443".to_owned(), Ingress::Socket);
    for _ in 0..2 {
        let endpoint = endpoint.clone();
        tape.put(Connection { pid: Some(10), endpoint, verdict: Verdict::Allow, ingress });
    }
    tape.put(Connection { pid: None, endpoint, verdict: Verdict::Allow, ingress });
    let tree = tape.tree();
    let links: Vec<_> =
        tree.root().unwrap().links.iter().map(|it| (it.target.as_str(), it.how, it.count)).collect();
    assert_eq!(links, [("unix:/x", Linked::Refused, 3), ("a.example:443", Linked::Reached, 2)]);
}

#[test]
fn the_content_of_a_program_is_that_of_the_exec_it_was_told_after() {
    let mut tape = Tape::of("command");
    let told = |digest: &str| Program { path: "/usr/bin/a.out".into(), digest: digest.into(), size: 1 };
    tape.exec(11, 10, "a.out");
    tape.put(told("one"));
    tape.exec(12, 10, "a.out");
    tape.exec(13, 10, "a.out");
    tape.put(told("two"));
    tape.exec(14, 10, "a.out");
    let tree = tape.tree();
    let digests: Vec<_> = tree.all().iter().skip(1).map(|it| it.image().unwrap().digest.as_deref()).collect();
    assert_eq!(digests, [Some("one"), Some("one"), Some("two"), Some("two")]);
}

#[test]
fn what_the_agent_starts_begins_a_call_and_what_is_beneath_is_part_of_it() {
    let mut tape = Tape::of("codex");
    tape.exec(11, 10, "codex --inner");
    tape.exec(12, 11, "bash -lc make");
    tape.exec(13, 12, "make");
    tape.exec(14, 11, "bash -lc ls");
    // A fork of the agent's own is still the agent.
    tape.exec(16, 15, "rg x");
    tape.exit(15, 11, 0);
    let tree = tape.tree();
    let calls = tree.calls();
    let number = |pid| calls.of(tree.by_pid(pid).next().unwrap().id).map(|call| call.number);
    assert_eq!([10, 11, 12, 13, 14, 16].map(number), [None, None, Some(1), Some(1), Some(2), Some(3)]);
    assert!(calls.all().iter().all(|call| call.ground == Ground::ProcessTree));
    assert!(calls.is_agent(1) && calls.is_agent(2) && !calls.is_agent(3));
}

#[test]
fn what_the_agent_sets_up_itself_is_told_from_what_it_only_starts() {
    let mut tape = Tape::of("codex");
    tape.exec(11, 10, "git status");
    tape.exec(12, 10, "codex --set-up");
    tape.exec(12, 10, "bash -c ls|wc");
    tape.exec(12, 10, "wc");
    tape.exec(13, 12, "ls");
    let tree = tape.tree();
    let calls = tree.calls();
    let told: Vec<_> = calls.all().iter().map(|call| (call.by, call.ground)).collect();
    assert_eq!(told, [(2, Ground::ProcessTree), (3, Ground::OwnSetup)]);
    assert_eq!(calls.of(4).map(|call| call.by), Some(3));
    assert_eq!(spoken(&tree.get(3).unwrap().asked().unwrap().argv), "bash -c ls|wc");
}

#[test]
fn what_came_and_went_is_counted_apart() {
    let mut tape = Tape::of("codex");
    tape.exec(11, 10, "make all");
    for pid in 20..26 {
        tape.exec(pid, 11, "cc a.c");
        tape.write(pid, &format!("/w/a{pid}.o"));
        tape.touch(pid, Access::Write, Some(NameAct::Truncated), &format!("/w/a{pid}.o"), 1);
        tape.write(pid, &format!("/w/a{pid}.s"));
        tape.touch(pid, Access::Write, Some(NameAct::Removed), &format!("/w/a{pid}.s"), 1);
        tape.write(pid, &format!("/tmp/cc{pid}"));
    }
    let rows = tape.tree().rows(Folding { all: false, rows: 100 }, &places());
    let sums: Vec<(usize, usize)> = rows
        .iter()
        .filter_map(|row| match &row.what {
            Rows::Alike { sum, .. } => Some((sum.changed, sum.temporary)),
            _ => None,
        })
        .collect();
    assert_eq!(sums, [(6, 12)]);
}

#[test]
fn many_alike_are_one_row_and_what_matters_is_never_in_it() {
    let mut tape = Tape::of("command");
    tape.exec(11, 10, "make");
    for pid in 100..200 {
        tape.exec(pid, 11, "cc -c a.c");
        tape.exec(pid + 1000, pid, "cc1 a.c");
        tape.write(pid + 1000, &format!("/w/{pid}.o"));
    }
    tape.read(150, "/home/ada/.ssh/id_rsa");
    tape.put(Denied {
        pid: Some(160),
        what: "read".into(),
        target: "/etc/shadow".into(),
        ..Denied::default()
    });
    tape.put(Exited {
        entries: vec![ExitEntry { pid: 170, ppid: 11, signal: Some(9), ..ExitEntry::default() }],
    });
    tape.exit(180, 11, 1);
    let rows = drawn(&tape.tree(), false, 80);
    assert_eq!(rows[..3], ["codex", ".make", "..cc -c a.c x 96 = 192"]);
    assert_eq!(rows.len(), 3 + 4 * 2, "{rows:#?}");
    assert_eq!(drawn(&tape.tree(), true, 80).len(), 202, "unfolded");
}

#[test]
fn what_only_looked_is_folded_where_there_is_too_much() {
    let mut tape = Tape::of("command");
    for (pid, line) in [(11, "uname"), (12, "id"), (13, "id"), (14, "cat x")] {
        tape.exec(pid, 10, line);
        tape.read(pid, "/etc/passwd");
    }
    tape.read(14, "/w/x");
    assert_eq!(drawn(&tape.tree(), false, 80), ["codex", ".uname", ".id", ".id", ".cat x"]);
    let rows = drawn(&tape.tree(), false, 4);
    assert_eq!(rows, ["codex", ".quiet [(\"id\", 2), (\"uname\", 1)] = 3", ".cat x"]);
}

#[test]
fn what_lies_deep_is_summed_where_there_is_too_much() {
    let mut tape = Tape::of("command");
    for level in 0..30 {
        tape.exec(11 + level, 10 + level, &format!("sh{level}"));
        tape.write(11 + level, &format!("/w/{level}"));
    }
    let rows = drawn(&tape.tree(), false, 5);
    assert_eq!(rows, ["codex", ".sh0", "..sh1", "...sh2", "....sh3 (+26)"]);
    assert_eq!(drawn(&tape.tree(), true, 5).len(), 31);
}

#[test]
fn a_chain_without_end_brings_nothing_down() {
    let mut tape = Tape::of("codex");
    for level in 0..30_000 {
        tape.exec(11 + level, 10 + level, "sh");
    }
    let tree = tape.tree();
    assert!(tree.rows(Folding { all: false, rows: 80 }, &places()).len() <= 80);
    assert_eq!(tree.rows(Folding { all: true, rows: 80 }, &places()).len(), 30_001);
    assert_eq!(tree.calls().of(30_000).map(|call| call.number), Some(1));
}

/// 100,000 events, among them what an inside could send to make this dear. In release it takes a tenth of a second; a debug build
/// may take ten times that, on a machine that others use.
#[test]
fn a_hundred_thousand_events_are_told_in_no_time() {
    let mut tape = Tape::of("codex");
    for round in 0..20_000_u32 {
        let pid = 11 + round;
        tape.exec(pid, 10 + round % 97, "cc -c a.c -o a.o");
        tape.read(pid, &format!("/usr/include/{}.h", round % 500));
        tape.write(pid, &format!("/w/{round}.o"));
        tape.put(Denied { pid: Some(pid), what: "read".into(), target: "/x".into(), ..Denied::default() });
        tape.exit(pid, 10 + round % 97, 0);
    }
    let began = std::time::Instant::now();
    let tree = tape.tree();
    let rows = tree.rows(Folding { all: false, rows: 80 }, &places());
    let took = began.elapsed();
    assert!(tree.all().len() >= 20_000 && !rows.is_empty());
    let most = if cfg!(debug_assertions) { 10 } else { 1 };
    assert!(took.as_secs() < most, "{} events took {took:?}", tape.0.len());
}
