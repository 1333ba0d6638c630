//! Promise: a yes gives what was agreed to and no more: this action, in this folder, so often, so long, in this run.

use std::thread;
use std::time::{Duration, Instant};

use admission::{Admission, Answer, Effect, Exec, Refused, Requested, Scope, Terms};
use ledger::event::{GrantOver, GrantScope, RequestInside, RunEnded};
use ledger::{Body, Event, Trust};
use policy::{Action, Command, Endpoint};

use crate::common::{Line, connect, path};

const FOREVER: Terms = Terms { lasts: None, uses: None };

fn yes(by: &str, scope: Scope) -> Answer {
    Answer { allow: true, by: by.into(), how: "command".into(), why: None, scope }
}

/// Asks, and answers with this; gives the ask's id.
fn agreed<E: Effect + Send + 'static>(line: &Line, effect: E, scope: Scope) -> String {
    let pending = line.admission.admit(effect);
    let ask = line.admission.open_asks().pop().unwrap().ask;
    line.admission.answer(&ask, yes("ann", scope)).unwrap();
    assert!(pending.wait().permit().is_ok());
    ask
}

/// Whether it passes without anybody being asked.
fn passes<E: Effect>(line: &Admission, effect: E) -> bool {
    let pending = line.admit(effect);
    let asked = line.open_asks().pop();
    match asked {
        None => pending.wait().permit().is_ok(),
        Some(_) => false,
    }
}

fn asks(words: &[&str], env: &[(&str, &str)], cwd: &str) -> Exec {
    let argv = std::iter::once("ask").chain(words.iter().copied()).map(|word| word.as_bytes().to_vec());
    let env = env.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    Exec::new(Command::new(path("/bin/ask"), argv.collect(), env.collect()), 7, 3, cwd.into())
}

fn over(events: &[Event]) -> Vec<(GrantOver, String, u64)> {
    let over = events.iter().filter_map(|event| match &event.body {
        Body::GrantEnded(over) => Some((over.because, over.by.clone(), over.used)),
        _ => None,
    });
    over.collect()
}

/// Ends the run, has its story verified, and gives its events.
fn told(line: Line) -> Vec<Event> {
    let (host, run) = line.close(RunEnded::default());
    host.verify(&run).unwrap();
    ledger::Reader::open(&host.ledger_dir(&run)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn once_is_once() {
    let line = Line::start(true);
    agreed(&line, connect("ask.example:443"), Scope::Once);
    assert!(!passes(&line.admission, connect("ask.example:443")));
    assert!(line.admission.grants().is_empty());
}

#[test]
fn a_yes_for_the_run_is_for_the_very_same_and_every_use_names_it() {
    let line = Line::start(true);
    let grant = agreed(&line, connect("ask.example:443"), Scope::Run(FOREVER));
    assert!(passes(&line.admission, connect("ask.example:443")));
    assert!(passes(&line.admission, connect("ask.example:443")));
    assert!(!passes(&line.admission, connect("ask.example:80")), "another port is another action");
    let [held] = &line.admission.grants()[..] else { panic!() };
    assert_eq!((held.grant.as_str(), held.used, held.uses, held.left), (grant.as_str(), 2, None, None));
    let events = told(line);
    let used = events.iter().filter(
        |event| matches!(&event.body, Body::Decision(decision) if decision.grant.as_deref() == Some(&grant)),
    );
    assert_eq!(used.count(), 2);
    assert_eq!(over(&events), [(GrantOver::Ended, "run".into(), 2)]);
    let given = events.iter().find(|event| matches!(event.body, Body::GrantGiven(_))).unwrap();
    assert_eq!(given.trust, Trust::Attested);
}

#[test]
fn what_was_agreed_to_for_one_command_starts_no_other() {
    let line = Line::start(true);
    agreed(&line, asks(&["push", "a"], &[], "/w"), Scope::Run(FOREVER));
    assert!(passes(&line.admission, asks(&["push", "a"], &[], "/w")));
    assert!(!passes(&line.admission, asks(&["push", "b"], &[], "/w")), "other words");
    assert!(!passes(&line.admission, asks(&["push", "a"], &[("LD_PRELOAD", "x")], "/w")), "other variables");
    assert!(!passes(&line.admission, asks(&["push", "a"], &[], "/w/sub")), "another folder");
}

#[test]
fn a_class_is_what_was_shown() {
    let line = Line::start(true);
    let pending = line.admission.admit(asks(&["push", "origin", "a"], &[], "/w"));
    let view = line.admission.open_asks().pop().unwrap();
    assert_eq!(view.class.as_deref(), Some("exec /bin/ask push origin **"));
    assert_eq!(view.folder.as_deref(), Some(std::path::Path::new("/w")));
    line.admission.answer(&view.ask, yes("ann", Scope::Class(FOREVER))).unwrap();
    assert!(pending.wait().permit().is_ok());
    assert_eq!(line.admission.grants()[0].scope, GrantScope::Class);
    assert!(passes(&line.admission, asks(&["push", "origin", "b", "c"], &[], "/w")));
    assert!(!passes(&line.admission, asks(&["push", "other", "b"], &[], "/w")));
    told(line);
}

#[test]
fn where_there_is_no_class_none_is_given() {
    let line = Line::start(true);
    let pending = line.admission.admit(asks(&["-x"], &[], "/w"));
    let view = line.admission.open_asks().pop().unwrap();
    assert_eq!(view.class, None);
    let refused = line.admission.answer(&view.ask, yes("ann", Scope::Class(FOREVER))).unwrap_err();
    assert!(
        matches!(refused, Refused::NoClass(_)) && refused.to_string().contains("no plain word"),
        "{refused}"
    );
    line.admission.answer(&view.ask, yes("ann", Scope::Once)).unwrap();
    assert!(pending.wait().permit().is_ok());
}

#[test]
fn a_grant_is_used_as_often_as_it_says() {
    let line = Line::start(true);
    let terms = Terms { uses: Some(2), lasts: None };
    agreed(&line, connect("ask.example:443"), Scope::Run(terms));
    let passed = (0..4).filter(|_| passes(&line.admission, connect("ask.example:443"))).count();
    assert_eq!(passed, 2);
    assert_eq!(over(&told(line)), [(GrantOver::Used, "run".into(), 2)]);
}

#[test]
fn a_grant_ends_with_its_time_and_that_is_recorded_then() {
    let line = Line::start(true);
    let terms = Terms { lasts: Some(Duration::from_millis(300)), uses: None };
    agreed(&line, connect("ask.example:443"), Scope::Run(terms));
    assert!(passes(&line.admission, connect("ask.example:443")));
    thread::sleep(Duration::from_millis(350));
    let begun = Instant::now();
    while over(&line.events()).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody let time pass");
        line.admission.barrier().unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!passes(&line.admission, connect("ask.example:443")));
    assert_eq!(over(&told(line)), [(GrantOver::Expired, "clock".into(), 1)]);
}

#[test]
fn t90_a_grant_that_is_taken_back_allows_nothing_more() {
    let line = Line::start(true);
    let grant = agreed(&line, connect("ask.example:443"), Scope::Run(FOREVER));
    let changed = line.admission.grants_changed();
    assert_eq!(line.admission.revoke(&grant, "bob", Some("enough".into())), Ok(0));
    assert_ne!(line.admission.grants_changed(), changed);
    assert!(!passes(&line.admission, connect("ask.example:443")));
    assert!(matches!(line.admission.revoke(&grant, "bob", None), Err(Refused::NoSuchAsk(_))));
    assert_eq!(over(&told(line)), [(GrantOver::Revoked, "bob".into(), 0)]);
}

#[test]
fn two_people_give_what_both_agree_to() {
    let line = Line::start(true);
    let pending = line.admission.admit(connect("two.example:443"));
    let ask = line.admission.open_asks().pop().unwrap().ask;
    let (wide, narrow) = (Terms { lasts: None, uses: Some(5) }, Terms { lasts: None, uses: Some(1) });
    line.admission.answer(&ask, yes("ann", Scope::Class(wide))).unwrap();
    assert_eq!(line.admission.open_asks()[0].said_yes, ["ann"]);
    line.admission.answer(&ask, yes("bob", Scope::Run(narrow))).unwrap();
    assert!(pending.wait().permit().is_ok());
    let [held] = &line.admission.grants()[..] else { panic!() };
    assert_eq!((held.scope, held.uses, held.by.as_str()), (GrantScope::Run, Some(1), "ann, bob"));
}

#[test]
fn uses_and_the_end_keep_their_order_however_they_race() {
    let line = Line::start(true);
    let grant = agreed(&line, asks(&["push"], &[], "/w"), Scope::Run(FOREVER));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    drop(line.admission.admit(asks(&["push"], &[], "/w")));
                }
            });
        }
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(2));
            line.admission.revoke(&grant, "ann", None).unwrap();
        });
    });
    // The story holds every use against the grant: one behind its end would be a breach.
    let events = told(line);
    assert_eq!(over(&events).len(), 1);
}

fn noted(line: &Line) -> u64 {
    let request = RequestInside { what: "connect".into(), text: "x".into(), why: "y".into() };
    line.admission.note(request.into(), Trust::Reported, None).unwrap()
}

fn endpoint(text: &str) -> Action {
    Action::Connect(Endpoint::parse(text).unwrap())
}

#[test]
fn what_is_asked_for_beforehand_can_be_done_then() {
    let line = Line::start(true);
    let request =
        |line: &Line, place: &str| line.admission.request(endpoint(place), None, "docs".into(), noted(line));
    assert!(matches!(request(&line, "allowed.example:443"), Requested::Allowed(_)));
    let Requested::Refused(denial) = request(&line, "never.example:443") else { panic!() };
    assert!(denial.to_string().contains("Use the mirror."), "{denial}");
    let Requested::Waiting(waiting) = request(&line, "ask.example:443") else { panic!() };
    let view = line.admission.open_asks().pop().unwrap();
    assert_eq!((view.requested, view.claim.as_deref()), (true, Some("docs")));
    line.admission.answer(&view.ask, yes("ann", Scope::Once)).unwrap();
    let said = waiting.wait().unwrap();
    assert_eq!(said.grant.unwrap().uses, Some(1));
    assert!(passes(&line.admission, connect("ask.example:443")));
    assert!(!passes(&line.admission, connect("ask.example:443")));
    told(line);
}

#[test]
fn a_question_is_answered_in_words_and_gives_nothing() {
    let line = Line::start(true);
    let request = RequestInside { what: "question".into(), text: "which?".into(), why: "y".into() };
    let cause = line.admission.note(request.into(), Trust::Reported, None).unwrap();
    let Requested::Waiting(waiting) = line.admission.question("which?".into(), "y".into(), cause) else {
        panic!()
    };
    let view = line.admission.open_asks().pop().unwrap();
    assert_eq!((view.kind, view.text.as_str()), (None, "which?"));
    let run = yes("ann", Scope::Run(FOREVER));
    assert_eq!(line.admission.answer(&view.ask, run), Err(Refused::OnlyOnce));
    let answer = Answer { why: Some("the second".into()), ..yes("ann", Scope::Once) };
    line.admission.answer(&view.ask, answer).unwrap();
    let said = waiting.wait().unwrap();
    assert_eq!((said.why.as_deref(), said.grant), (Some("the second"), None));
    told(line);
}
