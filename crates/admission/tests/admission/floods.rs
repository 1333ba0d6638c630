//! Promise: however much is asked, a person has few questions to read.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use admission::{Answer, Asking, Bounds, Effect as _, Pending, Requested};
use ledger::event::{RunEnded, Verdict};
use ledger::{Body, Trust};

use policy::Action;

use crate::common::{Line, connect, exec, launch};

fn few() -> Line {
    let bounds = Bounds { open: 3, joined: 100, rate: 6, window_ms: 600_000, remembered_ms: 60_000 };
    Line::asking(Asking { bounds, ..Asking::usual(true) })
}

fn denials(line: &Line) -> usize {
    line.admission.barrier().unwrap();
    let denied = |body: &Body| {
        matches!(body, Body::Decision(decision) if decision.verdict == Verdict::Deny
            && decision.reasons[0].rule == "flood")
    };
    line.events().iter().filter(|event| denied(&event.body)).count()
}

fn ask(line: &Line, port: u16) -> Pending<admission::Connect> {
    line.admission.admit(connect(&format!("host.example:{port}")))
}

#[test]
fn ten_thousand_who_ask_for_the_same_are_one_question() {
    let line = Line::start(true);
    let shown = line.admission.asks();
    let waiting: Vec<_> = (0..10_000).map(|_| ask(&line, 443)).collect();
    let [view] = &line.admission.open_asks()[..] else { panic!() };
    // So many wait for the one answer; who comes beside them is not asked about.
    assert_eq!(view.waiting, Bounds::default().joined);
    assert_eq!(shown.try_iter().count(), 1);
    line.admission.answer(&view.ask, Answer { by: "ann".into(), ..Answer::default() }).unwrap();
    assert!(waiting.into_iter().all(|one| one.wait().permit().is_err()));
    let (host, run) = line.close(RunEnded::default());
    host.verify(&run).unwrap();
}

#[test]
fn different_questions_are_few_at_once_and_the_rest_is_denied_with_the_reason() {
    let line = few();
    let open: Vec<_> = (1..=3).map(|port| ask(&line, port)).collect();
    let denial = ask(&line, 4).wait().permit().unwrap_err();
    assert!(denial.to_string().contains("3 questions wait for an answer already"), "{denial}");
    // The same again is the same question.
    let again = ask(&line, 3);
    assert_eq!((line.admission.open_asks().len(), denials(&line)), (3, 1));
    drop((open, again));
}

#[test]
fn questions_that_come_and_go_stop_by_themselves() {
    let line = few();
    let shown = line.admission.asks();
    for port in 1..=200 {
        drop(ask(&line, port));
    }
    assert_eq!((shown.try_iter().count(), denials(&line)), (6, 194));
}

#[test]
fn what_nobody_answered_is_not_asked_again_at_once_not_even_of_the_next_folder() {
    let line = Line::start_with(true, Duration::from_millis(50));
    let shown = line.admission.asks();
    let ask = |program: &str| line.admission.admit(exec(program)).wait().permit().unwrap_err();
    let first = ask("/usr/local/bin/ask");
    assert!(first.to_string().contains("nobody answered in time"), "{first}");
    let again = ask("/usr/bin/ask");
    assert!(again.to_string().ends_with("(nobody answered this a moment ago)"), "{again}");
    assert_eq!(again.ask, None);
    assert_eq!(shown.try_iter().count(), 1);
    // Asked for beforehand, it is another question.
    let Action::Exec(command) = exec("/usr/bin/ask").action() else { panic!() };
    let put = line.admission.request(Action::Exec(command), Some("/w".into()), "why".into(), 0);
    assert!(matches!(put, Requested::Waiting(_)), "{put:?}");
}

#[test]
fn who_ask_the_same_at_the_same_moment_ask_one_question() {
    let bounds = Bounds { rate: 1000, ..Bounds::default() };
    let line = Line::asking(Asking { bounds, ..Asking::usual(true) });
    let (shown, over) = (line.admission.asks(), AtomicBool::new(false));
    let mut together_asked: Vec<Vec<usize>> = Vec::new();
    thread::scope(|scope| {
        // The recorder has no room, so that whoever opens a question is on the way for a while.
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    line.admission.note(RunEnded::default().into(), Trust::Observed, None).unwrap();
                }
            });
        }
        for port in 1..=16 {
            let together = Barrier::new(8);
            let one = || {
                together.wait();
                ask(&line, port)
            };
            let waiting: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            together_asked.push(line.admission.open_asks().iter().map(|ask| ask.waiting).collect());
            drop(waiting);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(together_asked, vec![vec![8]; 16]);
    assert_eq!(shown.try_iter().count(), 16);
}

#[test]
fn how_to_ask_is_said_where_a_yes_could_help_and_as_a_shell_takes_it() {
    let denied =
        |line: &Line, program: &str| line.admission.admit(exec(program)).wait().permit().unwrap_err();
    let line = Line::start(false);
    let ask = denied(&line, "/bin/ask").ask;
    assert_eq!(ask.as_deref(), Some("provost request --why \"...\" exec 'LD_PRELOAD=x' word"));
    assert_eq!(denied(&line, "/bin/no").ask, None, "the default lets nobody");
    // What the agent itself started with goes without saying.
    drop(line.admission.admit(launch()).wait());
    let denial = denied(&line, "/bin/ask");
    assert_eq!(denial.ask.as_deref(), Some("provost request --why \"...\" exec word"));
    assert!(denial.action.starts_with("exec ask"), "{denial}");
    // Who said no is not asked again by another door.
    let line = Line::start(true);
    let pending = line.admission.admit(exec("/bin/ask"));
    let ask = line.admission.open_asks().remove(0).ask;
    line.admission.answer(&ask, Answer { by: "ann".into(), ..Answer::default() }).unwrap();
    assert_eq!(pending.wait().permit().unwrap_err().ask, None);
}

#[test]
fn what_a_person_refused_is_not_asked_again_at_once() {
    let line = few();
    let shown = line.admission.asks();
    for _ in 0..50 {
        let pending = ask(&line, 443);
        if let Some(view) = line.admission.open_asks().pop() {
            let why = Some("use the cache".to_owned());
            let no = Answer { by: "ann".into(), how: "command".into(), why, ..Answer::default() };
            line.admission.answer(&view.ask, no).unwrap();
        }
        let denial = pending.wait().permit().unwrap_err();
        assert!(denial.to_string().contains("use the cache"), "{denial}");
    }
    assert_eq!((shown.try_iter().count(), denials(&line)), (1, 49));
}
