//! What a person is asked about is held until there is an answer, and withdrawn when its asker goes.

use std::thread;

use admission::Answer;
use ledger::Body;
use ledger::event::Answered;

use crate::common::{Server, Setting, Stage, until};

fn asking(server: &Server) -> Stage {
    let rule =
        format!("[[rule]]\nid = \"ask\"\nconnect = [\"127.0.0.1:{}\"]\nneed = \"human\"\n", server.port);
    Setting::new(rule).attended().start()
}

fn answer(stage: &Stage, allow: bool) -> thread::JoinHandle<()> {
    let admission = stage.admission.clone();
    let asks = admission.asks();
    thread::spawn(move || {
        let ask = asks.recv().unwrap();
        let answer = Answer {
            allow,
            by: "ann".into(),
            how: "terminal".into(),
            why: Some("because".into()),
            ..Answer::default()
        };
        admission.answer(&ask.ask, answer).unwrap();
    })
}

#[test]
fn a_yes_lets_it_through_and_a_no_is_told() {
    let server = Server::echo();
    for (allow, status) in [(true, 200), (false, 403)] {
        let stage = asking(&server);
        let person = answer(&stage, allow);
        let reply = stage.get(&server.url("/"));
        assert_eq!(reply.status, status, "{}", reply.text());
        person.join().unwrap();
        if !allow {
            assert!(reply.error()["why"].as_str().unwrap().contains("because"));
            assert!(reply.error()["ask"].is_null(), "who was asked has answered");
        }
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn whoever_goes_away_takes_the_question_along() {
    let server = Server::echo();
    let stage = asking(&server);
    let mut client = stage.connect();
    client.send(format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url("/"), server.port));
    until("the question is put", || stage.admission.open_asks().len() == 1);
    drop(client);
    until("the question is withdrawn", || stage.admission.open_asks().is_empty());
    let answers = stage.recorded(|body| match body {
        Body::AskAnswered(answered) => Some(answered.answer),
        _ => None,
    });
    assert!(!answers.contains(&Answered::Allow), "{answers:?}");
    assert_eq!(server.connections(), 0);
}

#[test]
fn others_pass_while_one_is_asked_about() {
    let (asked, free) = (Server::echo(), Server::echo());
    let rule =
        format!("[[rule]]\nid = \"ask\"\nconnect = [\"127.0.0.1:{}\"]\nneed = \"human\"\n", asked.port);
    let stage = Setting::new(rule + &free.allowed()).attended().start();
    let mut waiting = stage.connect();
    waiting.send(format!("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nhost: 127.0.0.1:{0}\r\n\r\n", asked.port));
    until("the question is put", || stage.admission.open_asks().len() == 1);
    assert_eq!(stage.get(&free.url("/")).status, 200);
    answer(&stage, true).join().unwrap();
    waiting.connected().unwrap();
}
