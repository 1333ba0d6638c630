//! Promise: however much is asked, a person has few questions to read.

use admission::{Answer, Asking, Bounds, Pending};
use ledger::Body;
use ledger::event::{RunEnded, Verdict};

use crate::common::{Line, connect};

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
