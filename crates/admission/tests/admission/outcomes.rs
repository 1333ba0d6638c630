//! Promise: every permit that was used has an outcome in the ledger, if only that nobody knows it; every denial has an event.

use admission::{Effect, Outcome};
use ledger::event::{OutcomeResult, RunEnded, Verdict};
use ledger::{Body, Trust};

use crate::common::{Line, connect, exec, land, launch, read};

#[test]
fn what_was_begun_is_settled() {
    let line = Line::start(false);
    let (_, receipt) = line.admission.admit(land("/w/a")).wait().permit().unwrap().begin();
    receipt.settle(Outcome::done());
    let (_, receipt) = line.admission.admit(launch()).wait().permit().unwrap().begin();
    receipt.settle(Outcome::failed("no such file"));
    let (_, receipt) = line.admission.admit(read("/r/a")).wait().permit().unwrap().begin();
    drop(receipt);
    let (_, receipt) = line.admission.admit(exec("/bin/true")).wait().permit().unwrap().begin();
    receipt.settle(Outcome::done());
    let unused = line.admission.admit(read("/r/b")).wait().permit().unwrap();
    drop(unused);
    let (host, run) = line.close(RunEnded::default());
    host.verify(&run).unwrap();
    let events = ledger::Reader::open(&host.ledger_dir(&run)).unwrap().map(Result::unwrap);
    let outcomes: Vec<_> = events
        .filter_map(|event| match event.body {
            Body::Outcome(outcome) => Some((outcome.of, outcome.result, outcome.detail, event.cause)),
            _ => None,
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            (2, OutcomeResult::Done, String::new(), Some(2)),
            (4, OutcomeResult::Failed, "no such file".into(), Some(4)),
            (6, OutcomeResult::Unknown, String::new(), Some(6)),
        ]
    );
}

#[test]
fn a_denial_says_which_rule_and_what_to_do_and_is_recorded() {
    let line = Line::start(true);
    let denial = line.admission.admit(connect("never.example:443")).wait().permit().unwrap_err();
    assert_eq!(denial.to_string(), "denied connect never.example:443 (rule no: Use the mirror.)");
    assert!(denial.hint.contains("`no`"));
    let unspoken = line.admission.admit(connect("other.example:443")).wait().permit().unwrap_err();
    assert_eq!(unspoken.to_string(), "denied connect other.example:443 (no rule allows it)");
    line.admission.barrier().unwrap();
    let events = line.events();
    let Body::Decision(decision) = &events[2].body else { panic!("{:?}", events[2]) };
    assert_eq!((decision.verdict, decision.default_applied), (Verdict::Deny, false));
    assert_eq!((decision.reasons[0].rule.as_str(), denial.seq), ("no", Some(2)));
    let Body::Decision(decision) = &events[3].body else { panic!("{:?}", events[3]) };
    assert!(decision.default_applied);
}

#[test]
fn looking_leaves_no_trace() {
    let line = Line::start(true);
    let action = policy::Action::Connect(policy::Endpoint::parse("allowed.example:443").unwrap());
    assert!(matches!(line.admission.decide(&action), policy::Decision::Allow { .. }));
    line.admission.barrier().unwrap();
    assert_eq!(line.events().len(), 2);
}

#[test]
fn a_long_list_goes_on_in_the_next_event() {
    use ledger::event::{Access, OpenEntry, Opened};
    let line = Line::start(false);
    let entry =
        |pid| OpenEntry { pid, access: Access::Read, act: None, path: "/usr/lib/libc.so.6".into(), count: 1 };
    let entries: Vec<_> = (0..5000).map(entry).collect();
    let last =
        line.admission.note(Opened { entries: entries.clone() }.into(), Trust::Observed, None).unwrap();
    line.admission.barrier().unwrap();
    assert!(last > 3);
    let kept = line.events().into_iter().flat_map(|event| match event.body {
        Body::Opened(opened) => opened.entries,
        _ => Vec::new(),
    });
    assert_eq!(kept.collect::<Vec<_>>(), entries);
}

#[test]
fn a_run_dropped_without_its_end_is_written_and_interrupted() {
    let line = Line::start(true);
    line.admission.admit(land("/w/a")).wait().permit().map(drop).unwrap();
    line.admission.note(ledger::event::Denied::default().into(), Trust::Observed, None).unwrap();
    let (host, run) = line.drop_it();
    let verified = host.verify(&run).unwrap();
    assert_eq!((verified.size, verified.unsigned, verified.ended), (4, 0, false));
    assert_eq!(host.interrupted().unwrap().len(), 1);
}

#[test]
fn after_the_end_nothing_is_admitted() {
    let line = Line::start(true);
    let other = line.admission.clone();
    let (host, run) = line.close(RunEnded::default());
    let denial = other.admit(read("/r/a")).wait().permit().unwrap_err();
    assert_eq!((denial.seq, denial.reasons[0].rule.as_str()), (None, "ledger"));
    assert!(other.note(ledger::event::Denied::default().into(), Trust::Observed, None).is_err());
    assert!(other.barrier().is_err());
    assert!(other.close(RunEnded::default().into()).is_err());
    assert_eq!(host.verify(&run).unwrap().size, 3);
}

#[test]
fn an_exec_is_decision_and_observation_in_one() {
    let line = Line::start(false);
    let permit = line.admission.admit(exec("/bin/true")).wait().permit().unwrap();
    let denied = line.admission.admit(exec("/bin/false")).wait().permit().unwrap_err();
    line.admission.barrier().unwrap();
    let events = line.events();
    assert_eq!(events.len(), 4);
    let Body::Exec(passed) = &events[2].body else { panic!("{:?}", events[2]) };
    assert_eq!((passed.pid, passed.ppid, passed.cwd.to_string().as_str()), (7, 3, "/w"));
    assert_eq!((passed.verdict, passed.program.to_string().as_str()), (Verdict::Allow, "/bin/true"));
    assert_eq!(passed.digest, ledger::action::ActionRecord::from(&permit.of().action()).digest());
    let Body::Exec(refused) = &events[3].body else { panic!("{:?}", events[3]) };
    assert_eq!((refused.verdict, denied.seq), (Verdict::Deny, Some(3)));
}
