//! Promise: what needs a person waits for one, and without a yes in time it does not happen.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use admission::{Answer, AskView, Denial, Open, Permit, Refused};
use ledger::event::{Answered, RunEnded, Verdict};
use ledger::{Body, Event, Trust, verify};
use policy::AbsPath;

use crate::common::{Line, connect};

fn yes(by: &str) -> Answer {
    Answer { allow: true, by: by.into(), how: "terminal".into(), ..Answer::default() }
}

fn no(by: &str, why: &str) -> Answer {
    Answer { allow: false, why: Some(why.into()), ..yes(by) }
}

/// Asks for `endpoint` on a thread of its own while `answer` answers what is shown.
fn asked(
    line: &Line,
    endpoint: &'static str,
    answer: impl FnOnce(&AskView),
) -> Result<Permit<admission::Connect>, Denial> {
    let shown = line.admission.asks();
    let admission = line.admission.clone();
    let waiting = thread::spawn(move || admission.admit(connect(endpoint)).wait().permit());
    let view = shown.recv_timeout(Duration::from_secs(5)).unwrap();
    answer(&view);
    waiting.join().unwrap()
}

fn answers(events: &[Event]) -> Vec<(Answered, String, String, Trust)> {
    let answered = events.iter().filter_map(|event| match &event.body {
        Body::AskAnswered(said) => Some((said.answer, said.by.clone(), said.how.clone(), event.trust)),
        _ => None,
    });
    answered.collect()
}

#[test]
fn a_yes_is_durable_before_the_permit() {
    let line = Line::start(true);
    let permit = asked(&line, "ask.example:443", |view| {
        assert_eq!((view.need.as_str(), view.reasons[0].rule.as_str()), ("human", "asks"));
        assert!(view.text.contains("ask.example:443"));
        let open = line.admission.open_asks();
        assert_eq!((open.len(), &open[0].ask, &open[0].text), (1, &view.ask, &view.text));
        line.admission.answer(&view.ask, yes("ann")).unwrap();
        let there = verify(&line.ledger()).unwrap();
        assert_eq!((there.size, there.unsigned), (5, 0));
    })
    .unwrap();
    let events = line.events();
    assert_eq!(answers(&events), [(Answered::Allow, "ann".into(), "terminal".into(), Trust::Attested)]);
    let Body::Decision(decision) = &events[2].body else { panic!("{:?}", events[2]) };
    assert_eq!((decision.verdict, decision.need.as_deref()), (Verdict::Ask, Some("human")));
    let Body::AskOpened(opened) = &events[3].body else { panic!("{:?}", events[3]) };
    assert_eq!((opened.decision, permit.seq()), (2, 2));
    assert!(line.admission.open_asks().is_empty());
}

#[test]
fn a_no_is_a_denial_in_the_persons_words() {
    let line = Line::start(true);
    let denial = asked(&line, "ask.example:443", |view| {
        line.admission.answer(&view.ask, no("ann", "use the mirror")).unwrap();
        assert_eq!(line.admission.answer(&view.ask, yes("bob")), Err(Refused::NoSuchAsk(view.ask.clone())));
    })
    .unwrap_err();
    assert_eq!(denial.to_string(), "denied connect ask.example:443 (rule asks: use the mirror)");
    assert!(!denial.hint.is_empty());
}

#[test]
fn the_first_valid_answer_wins_whoever_is_faster() {
    for _ in 0..20 {
        let line = Line::start(true);
        let verdict = asked(&line, "ask.example:443", |view| {
            let race = |answer: Answer| {
                let (admission, ask) = (line.admission.clone(), view.ask.clone());
                thread::spawn(move || admission.answer(&ask, answer).is_ok())
            };
            let (one, other) = (race(yes("ann")), race(no("bob", "no")));
            assert!(one.join().unwrap() ^ other.join().unwrap());
        });
        line.admission.barrier().unwrap();
        let said = answers(&line.events());
        assert_eq!(said.len(), 1);
        assert_eq!(verdict.is_ok(), said[0].0 == Answered::Allow);
    }
}

#[test]
fn two_people_are_two() {
    let line = Line::start(true);
    let both = asked(&line, "two.example:443", |view| {
        line.admission.answer(&view.ask, yes("ann")).unwrap();
        assert_eq!(line.admission.answer(&view.ask, yes("ann")), Err(Refused::Again("ann".into())));
        let model = Answer { how: "model".into(), ..yes("reviewer") };
        assert_eq!(line.admission.answer(&view.ask, model), Err(Refused::NotAPerson));
        assert_eq!(line.admission.open_asks().len(), 1);
        line.admission.answer(&view.ask, yes("bob")).unwrap();
    });
    assert!(both.is_ok());
    assert_eq!(answers(&line.events())[0].1, "ann, bob");
}

#[test]
fn silence_is_a_no() {
    let line = Line::start_with(true, Duration::from_millis(60));
    let begun = Instant::now();
    let denial = asked(&line, "ask.example:443", |view| {
        thread::sleep(Duration::from_millis(120));
        assert!(line.admission.answer(&view.ask, yes("ann")).is_err());
    })
    .unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(60));
    assert!(denial.to_string().contains("nobody answered in time"), "{denial}");
    line.admission.barrier().unwrap();
    let said = answers(&line.events());
    assert_eq!(said, [(Answered::Expired, "clock".into(), "timeout".into(), Trust::Observed)]);
}

#[test]
fn where_nobody_attends_nobody_is_asked() {
    let line = Line::start(false);
    assert!(line.admission.asks().recv().is_err());
    let denial = line.admission.admit(connect("ask.example:443")).wait().permit().unwrap_err();
    assert!(denial.hint.contains("nobody attends") && denial.hint.contains("`asks`"), "{}", denial.hint);
    line.admission.barrier().unwrap();
    let events = line.events();
    let Body::Decision(decision) = &events[2].body else { panic!("{:?}", events[2]) };
    assert_eq!((decision.verdict, decision.need.as_deref()), (Verdict::Deny, Some("human")));
    assert_eq!(denial.seq, Some(2));
    assert_eq!(events.len(), 3);
}

#[test]
fn a_question_nobody_waits_for_is_withdrawn() {
    let line = Line::start(true);
    let shown = line.admission.asks();
    let pending = line.admission.admit(connect("ask.example:443"));
    let view = shown.recv().unwrap();
    drop(pending);
    assert!(matches!(line.admission.answer(&view.ask, yes("ann")), Err(Refused::NoSuchAsk(_))));
    line.admission.barrier().unwrap();
    assert_eq!(answers(&line.events())[0].2, "withdrawn");
}

#[test]
fn whoever_listens_late_is_told_what_is_open() {
    let line = Line::start(true);
    let pending = line.admission.admit(connect("ask.example:443"));
    let late = line.admission.asks();
    let view = late.recv().unwrap();
    line.admission.answer(&view.ask, yes("ann")).unwrap();
    assert!(pending.wait().permit().is_ok());
}

#[test]
fn the_end_of_the_run_ends_its_asks() {
    let line = Line::start(true);
    let shown = line.admission.asks();
    let admission = line.admission.clone();
    let waiting = thread::spawn(move || admission.admit(connect("ask.example:443")).wait().permit());
    shown.recv().unwrap();
    let (host, run) = line.close(RunEnded::default());
    assert!(waiting.join().unwrap().is_err());
    assert!(shown.recv().is_err());
    assert!(host.verify(&run).unwrap().ended);
    let events: Vec<_> = ledger::Reader::open(&host.ledger_dir(&run)).unwrap().map(Result::unwrap).collect();
    assert_eq!(answers(&events), [(Answered::Expired, "run".into(), "ended".into(), Trust::Observed)]);
}

/// Asks twelve times for each of two places, on threads of their own.
fn asked_by_many(line: &Line) -> Vec<thread::JoinHandle<Option<u64>>> {
    let one = |at: usize| {
        let admission = line.admission.clone();
        let endpoint = if at.is_multiple_of(2) { "ask.example:443" } else { "ask.example:80" };
        thread::spawn(move || {
            admission.admit(connect(endpoint)).wait().permit().ok().map(|permit| permit.seq())
        })
    };
    (0..24).map(one).collect()
}

#[test]
fn those_who_ask_for_the_same_get_the_same_answer() {
    let line = Line::start(true);
    let waiting = asked_by_many(&line);
    let begun = Instant::now();
    let all = || {
        let open = line.admission.open_asks();
        open.len() == 2 && open.iter().map(|ask| ask.waiting).sum::<usize>() == 24
    };
    while !all() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", line.admission.open_asks());
        thread::sleep(Duration::from_millis(2));
    }
    for ask in line.admission.open_asks() {
        let answer = if ask.text.ends_with(":443") { yes("ann") } else { no("ann", "plain") };
        line.admission.answer(&ask.ask, answer).unwrap();
    }
    let mut passed: Vec<u64> = waiting.into_iter().filter_map(|one| one.join().unwrap()).collect();
    passed.sort_unstable();
    let (host, run) = line.close(RunEnded::default());
    host.verify(&run).unwrap();
    let events: Vec<Event> =
        ledger::Reader::open(&host.ledger_dir(&run)).unwrap().map(Result::unwrap).collect();
    let answered: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            Body::AskAnswered(said) => Some(said),
            _ => None,
        })
        .collect();
    assert_eq!(answered.len(), 2);
    let yes = answered.iter().find(|said| said.answer == Answered::Allow).unwrap();
    let mut allowed: Vec<u64> = std::iter::once(yes.decision).chain(yes.also.iter().copied()).collect();
    allowed.sort_unstable();
    assert_eq!((passed.len(), passed), (12, allowed));
}

#[test]
fn the_last_who_waits_takes_the_question_along() {
    let line = Line::start(true);
    let (one, other) =
        (line.admission.admit(connect("ask.example:443")), line.admission.admit(connect("ask.example:443")));
    drop(one);
    assert_eq!(line.admission.open_asks()[0].waiting, 1);
    drop(other);
    assert!(line.admission.open_asks().is_empty());
}

fn open_file() -> Open {
    Open { path: AbsPath::new(Path::new("/asked/file")).unwrap(), write: false }
}

#[test]
fn one_answer_is_for_all_who_wait_for_the_same_file() {
    let line = Line::start(true);
    let shown = line.admission.asks();
    let pending: Vec<_> = (0..3).map(|_| line.admission.admit(open_file())).collect();
    let view = shown.recv().unwrap();
    assert_eq!(line.admission.open_asks().len(), 1);
    line.admission.answer(&view.ask, yes("ann")).unwrap();
    let seqs: Vec<u64> = pending.into_iter().map(|pending| pending.wait().permit().unwrap().seq()).collect();
    assert!(seqs.is_sorted() && seqs[0] == view.decision);
    // A later one is asked about again.
    let _later = line.admission.admit(open_file());
    assert!(shown.recv_timeout(Duration::from_secs(5)).is_ok());
}

#[test]
fn one_who_goes_leaves_the_question_to_the_others() {
    let line = Line::start(true);
    let shown = line.admission.asks();
    let (one, other) = (line.admission.admit(open_file()), line.admission.admit(open_file()));
    let view = shown.recv().unwrap();
    drop(one);
    assert_eq!(line.admission.open_asks().len(), 1);
    line.admission.answer(&view.ask, no("ann", "not now")).unwrap();
    assert!(other.wait().permit().unwrap_err().to_string().contains("not now"));
    let (one, other) = (line.admission.admit(open_file()), line.admission.admit(open_file()));
    drop((one, other));
    assert!(line.admission.open_asks().is_empty());
}
