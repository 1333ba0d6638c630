//! What a person is asked about is held until there is an answer, and withdrawn when its asker goes.

use std::thread;
use std::time::Duration;

use admission::{Answer, Scope, Terms};
use ledger::Body;
use ledger::event::Answered;

use crate::common::{Client, PATIENCE, Server, Setting, Stage, until};

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
fn t90_what_was_taken_back_is_asked_about_again_on_the_connection_that_is_open() {
    let server = Server::echo();
    let stage = asking(&server);
    let mut client = stage.connect();
    let mut ask = || {
        client.send(format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url("/"), server.port));
    };
    ask();
    let decide = |allow: bool| {
        let ask = stage.admission.asks().recv_timeout(PATIENCE).unwrap();
        let scope = Scope::Run(Terms { lasts: None, uses: None });
        let by = Answer { allow, by: "ann".into(), how: "terminal".into(), why: None, scope };
        stage.admission.answer(&ask.ask, by).unwrap();
    };
    decide(true);
    until("it was answered", || server.heads().len() == 1);
    ask();
    until("nobody is asked again", || server.heads().len() == 2);
    let [grant] = &stage.admission.grants()[..] else { panic!("one yes") };
    stage.admission.revoke(&grant.grant, "ann", None).unwrap();
    ask();
    decide(false);
    assert_eq!([client.reply().status, client.reply().status, client.reply().status], [200, 200, 403]);
    assert_eq!(server.heads().len(), 2);
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

/// A connection that asks where to go, and waits.
fn ask_for(stage: &Stage, to: &str) -> Client {
    let mut client = stage.connect();
    client.send(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n"));
    client
}

#[test]
fn an_unknown_host_is_asked_about_with_the_rule_that_would_settle_it() {
    let server = Server::echo();
    let stage = Setting::new("").asks().attended().start();
    let to = format!("127.0.0.1:{}", server.port);
    let mut waiting = ask_for(&stage, &to);
    until("the question is put", || stage.admission.open_asks().len() == 1);
    let ask = stage.admission.open_asks().remove(0);
    let rule = format!("[[rule]]\nid = \"allow-127.0.0.1\"\nconnect = [\"{to}\"]\nneed = \"none\"\n");
    assert_eq!((ask.text.as_str(), ask.offer), (format!("connect {to}").as_str(), Some(rule)));
    answer(&stage, true).join().unwrap();
    waiting.connected().unwrap();
    // Once is once.
    let _again = ask_for(&stage, &to);
    until("it is asked again", || stage.admission.open_asks().len() == 1);
}

#[test]
fn t91_no_answer_is_a_no_and_says_so() {
    let server = Server::echo();
    let mut setting = Setting::new("").asks().attended();
    setting.timeout = Duration::from_millis(300);
    let stage = setting.start();
    let to = format!("127.0.0.1:{}", server.port);
    let Err(reply) = ask_for(&stage, &to).connected() else { panic!("nobody said yes") };
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.text().contains("nobody answered in time"), "{}", reply.text());
    // Nor does whoever attends leave anything open by going: the run ends, and what waits is refused.
    let stage = Setting::new("").asks().attended().start();
    let mut waiting = ask_for(&stage, &to);
    until("the question is put", || stage.admission.open_asks().len() == 1);
    stage.admission.clone().put_down().unwrap();
    assert!(!waiting.line().contains("200"), "it was let through");
    assert_eq!(server.connections(), 0);
}

#[test]
fn t92_ten_thousand_who_wait_are_one_question_and_a_bounded_number_of_them() {
    let server = Server::echo();
    let stage = Setting::new("").asks().attended().bounds(|bounds| bounds.connections = 64).start();
    let to = format!("127.0.0.1:{}", server.port);
    let mut waiting: Vec<Client> = (0..64).map(|_| ask_for(&stage, &to)).collect();
    until("all wait", || stage.admission.open_asks().first().is_some_and(|ask| ask.waiting == 64));
    let busy = (0..10_000).filter(|_| stage.connect().reply().status == 503).count();
    assert_eq!((busy, stage.gateway.flows().turned_away), (10_000, 10_000));
    let asks = stage.admission.open_asks();
    assert_eq!((asks.len(), asks[0].waiting), (1, 64));
    answer(&stage, true).join().unwrap();
    waiting.iter_mut().for_each(|client| client.connected().unwrap());
}

#[test]
fn t92_questions_about_ever_other_hosts_are_few() {
    let stage = Setting::new("").asks().attended().bounds(|bounds| bounds.connections = 64).start();
    let clients: Vec<Client> = (0..64).map(|at| ask_for(&stage, &format!("h{at}.example:443"))).collect();
    let mut refused = 0;
    let most = admission::Asking::usual(true).bounds.open;
    until("as many are asked as may be", || stage.admission.open_asks().len() == most);
    for mut client in clients.into_iter().skip(most) {
        refused += usize::from(client.connected().is_err_and(|reply| reply.status == 403));
    }
    assert!(refused >= 64 - 2 * most, "{refused}");
    assert!(stage.admission.open_asks().len() <= most);
    assert_eq!(stage.lookups(), 0);
}
