//! Questions to models: the provider's own tools are judged, what answers use is counted, and where there is no more of it the
//! agent is told so in words that its client understands.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use ledger::Body;
use ledger::event::{LimitReached, ModelAnswered};
use policy::{Endpoint, Limit};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::common::{Reply, Server, Setting, Stage, headers_of};

const ANSWER: &str = "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\",\"call_id\":\"call_1\",\"name\":\"shell\"}}\n\n\
    event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-5-codex\",\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":40},\"output_tokens\":20}}}\n\n";

/// A model that answers every question with these events.
fn model(events: &'static [&'static str]) -> Server {
    Server::start(move |client, head| {
        let body = client.body(&headers_of(head), false);
        assert!(!body.is_empty(), "a question came without its body");
        client
            .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for event in events {
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            if client.0.get_mut().write_all(chunk.as_bytes()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        client.send("0\r\n\r\n");
    })
}

pub(crate) fn setting(server: &Server, rules: &str) -> Setting {
    let mut setting = Setting::new(server.allowed() + rules);
    setting.models.push(Endpoint::parse(&format!("127.0.0.1:{}", server.port)).unwrap());
    setting
}

fn post(stage: &Stage, server: &Server, (path, headers): (&str, &str), body: &[u8]) -> Reply {
    let (url, length) = (server.url(path), body.len());
    let mut client = stage.connect();
    client.send(format!(
        "POST {url} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {length}\r\n{headers}\r\n",
        server.port
    ));
    client.send(body);
    client.reply()
}

fn ask(stage: &Stage, server: &Server, question: &Value) -> Reply {
    post(stage, server, ("/v1/responses", ""), question.to_string().as_bytes())
}

fn answered(stage: &Stage) -> Vec<ModelAnswered> {
    stage.recorded(|body| match body {
        Body::ModelAnswered(answered) => Some(*answered),
        _ => None,
    })
}

fn limits(stage: &Stage) -> Vec<LimitReached> {
    stage.recorded(|body| match body {
        Body::LimitReached(limit) => Some(limit),
        _ => None,
    })
}

#[test]
fn what_an_answer_used_is_in_the_record() {
    let server = model(&[ANSWER]);
    let stage = setting(&server, "").start();
    let reply = ask(&stage, &server, &json!({"model": "gpt-5-codex", "input": "x"}));
    assert_eq!((reply.status, reply.text().as_str()), (200, ANSWER));
    let [seen] = answered(&stage).try_into().unwrap();
    assert_eq!((seen.model.as_str(), seen.input, seen.cache_read, seen.output), ("gpt-5-codex", 60, 40, 20));
    // 60 at 1.25, 40 at 0.125 and 20 at 10 dollars a million.
    assert_eq!((seen.cost, seen.estimated, seen.unpriced), (280, false, false));
    assert_eq!((seen.calls[0].id.as_str(), seen.calls[0].name.as_str()), ("call_1", "shell"));
}

#[test]
fn a_tool_of_the_provider_is_refused_before_the_question_leaves_and_passes_where_a_rule_allows_it() {
    let server = model(&[ANSWER]);
    let question = json!({"model": "m", "input": "x", "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]});
    let stage = setting(&server, "").start();
    let reply = ask(&stage, &server, &question);
    let error = reply.error();
    assert_eq!((reply.status, error["type"].as_str()), (400, Some("insufficient_quota")));
    assert!(error["message"].as_str().unwrap().contains("denied tool openai/web_search"), "{error}");
    assert_eq!(server.connections(), 0, "nothing left");
    let rule = "[[rule]]\nid = \"search\"\ntool = [\"openai/web_search\"]\nneed = \"none\"\n";
    let stage = setting(&server, rule).start();
    assert_eq!(ask(&stage, &server, &question).status, 200);
    let uploads = post(&stage, &server, ("/v1/files", ""), b"{}");
    assert_eq!(uploads.status, 400, "{}", uploads.text());
    let other =
        json!({"input": [{"content": [{"type": "input_file", "file_url": "https://example.com/x"}]}]});
    assert_eq!(ask(&stage, &server, &other).status, 400);
}

#[test]
fn a_question_that_has_no_one_reading_is_refused() {
    let server = model(&[ANSWER]);
    let stage = setting(&server, "").bounds(|bounds| bounds.question_bytes = 1 << 20).start();
    let refused = |headers: &str, body: &[u8]| post(&stage, &server, ("/v1/responses", headers), body).status;
    assert_eq!(refused("", br#"{"tools":[{"type":"mcp"}],"tools":[]}"#), 400);
    assert_eq!(refused("", b"no question"), 400);
    assert_eq!(refused("content-encoding: gzip\r\n", b"{}"), 400);
    assert_eq!(refused("", &[b' '; (1 << 20) + 1]), 413);
    assert_eq!(post(&stage, &server, ("/v1/%2fresponses", ""), b"{}").status, 403);
    assert_eq!(server.connections(), 0, "nothing left");
    // Odd spellings are the same question.
    let odd = post(&stage, &server, ("/v1/%72esponses", ""), br#"{"tools":[{"type":"mcp"}]}"#);
    assert_eq!((odd.status, server.connections()), (400, 0));
}

#[test]
fn a_run_that_used_its_tokens_up_is_told_so_and_the_next_question_does_not_leave() {
    let server = model(&[ANSWER]);
    let mut setting = setting(&server, "");
    setting.limits.narrow(Limit::Tokens, 120, "team");
    let stage = setting.start();
    let question = json!({"model": "gpt-5", "input": "x"});
    assert_eq!(ask(&stage, &server, &question).text(), ANSWER, "what it has asked for it gets");
    for _ in 0..2 {
        let reply = ask(&stage, &server, &question);
        let error = reply.error();
        assert_eq!(
            (reply.status, error["code"].as_str(), error["rule"].as_str()),
            (400, Some("insufficient_quota"), Some("tokens"))
        );
        assert!(error["message"].as_str().unwrap().contains("120 of the 120 tokens that `team`"), "{error}");
    }
    assert_eq!(server.connections(), 1);
    let [reached] = limits(&stage).try_into().expect("it is told once");
    assert_eq!(
        (reached.limit.as_deref(), reached.allowed, reached.used),
        (Some("tokens"), Some(120), Some(120))
    );
}

#[test]
fn a_question_that_alone_is_too_long_for_what_is_left_does_not_leave() {
    let server = model(&[ANSWER]);
    let mut setting = setting(&server, "");
    setting.limits.narrow(Limit::Tokens, 1000, "team");
    let stage = setting.start();
    let reply = ask(&stage, &server, &json!({"model": "gpt-5", "input": "many words ".repeat(2000)}));
    assert_eq!((reply.status, server.connections()), (400, 0));
    let message = reply.error()["message"].to_string();
    assert!(message.contains("with this question the run would have used at least 2750"), "{message}");
}

#[test]
fn an_answer_that_goes_beyond_the_budget_is_ended_with_a_word() {
    const DELTA: &str = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"0123456789012345678901234567890123456789\"}\n\n";
    let server = model(&[DELTA, DELTA, DELTA, DELTA, DELTA, DELTA, ANSWER]);
    let mut setting = setting(&server, "");
    setting.limits.narrow(Limit::Tokens, 30, "team");
    let stage = setting.start();
    let reply = ask(&stage, &server, &json!({"model": "gpt-5", "input": "x"}));
    let text = reply.text();
    assert_eq!(text.matches("output_text.delta").count(), 2, "{text}");
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["error"]["code"]),
        (&json!("response.failed"), &json!("insufficient_quota"))
    );
    let [seen] = answered(&stage).try_into().unwrap();
    assert_eq!((seen.output, seen.estimated), (30, true));
}

#[test]
fn an_answer_that_breaks_off_is_counted_all_the_same() {
    let server = Server::start(|client, head| {
        client.body(&headers_of(head), false);
        client.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"01234567\"}\n\n");
        client.0.get_mut().shutdown(std::net::Shutdown::Both).unwrap();
    });
    let stage = setting(&server, "").start();
    let mut client = stage.connect();
    let body = "{\"model\":\"m\"}";
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {}\r\n\r\n{body}",
        server.url("/v1/responses"),
        server.port,
        body.len()
    ));
    let (first, _) = client.head();
    assert!(first.contains("200"), "{first}");
    crate::common::until("it is recorded", || !answered(&stage).is_empty());
    let seen = answered(&stage).remove(0);
    assert_eq!((seen.model.as_str(), seen.output, seen.estimated, seen.unpriced), ("m", 2, true, true));
}

/// A model that is talked to in messages: it answers each, and says what it was asked.
pub(crate) fn talking() -> Server {
    Server::start(|client, head| {
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        client.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        let stream = client.0.get_ref().try_clone().unwrap();
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
        while let Ok(Message::Text(text)) = socket.read() {
            let response = json!({"model": "gpt-5", "asked": text.to_string(), "usage": {"input_tokens": 10, "output_tokens": 5}});
            let done = json!({"type": "response.completed", "response": response}).to_string();
            if socket.send(Message::text(done)).is_err() {
                return;
            }
        }
    })
}

pub(crate) fn talk(stage: &Stage, server: &Server) -> WebSocket<TcpStream> {
    let mut client = stage.connect();
    client.send(format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\nsec-websocket-version: 13\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n",
        server.url("/v1/responses"), server.port
    ));
    let (first, _) = client.head();
    assert!(first.contains("101"), "{first}");
    WebSocket::from_raw_socket(client.0.into_inner(), Role::Client, None)
}

fn said(socket: &mut WebSocket<TcpStream>) -> Value {
    serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap()
}

#[test]
fn t77_each_message_to_a_model_is_judged_and_each_answer_counted() {
    let server = talking();
    let stage = setting(&server, "").start();
    let mut socket = talk(&stage, &server);
    let question = json!({"type": "response.create", "model": "gpt-5", "tools": []});
    for _ in 0..2 {
        // In pieces, too.
        socket.send(Message::text(question.to_string())).unwrap();
        assert_eq!(said(&mut socket)["response"]["asked"], question.to_string());
    }
    crate::common::until("both are recorded", || answered(&stage).len() == 2);
    assert!(answered(&stage).iter().all(|seen| seen.input == 10 && seen.output == 5 && !seen.estimated));
    for odd in [
        json!({"type": "response.create", "tools": [{"type": "web_search"}]}),
        json!({"type": "response.create", "response": {"tools": [{"type": "mcp"}]}}),
    ] {
        let mut socket = talk(&stage, &server);
        socket.send(Message::text(odd.to_string())).unwrap();
        let last = said(&mut socket);
        assert_eq!(last["type"], "response.failed", "{last}");
        assert!(
            last["response"]["error"]["message"].as_str().unwrap().contains("denied tool openai/"),
            "{last}"
        );
        assert!(socket.read().unwrap().is_close());
    }
    let mut socket = talk(&stage, &server);
    socket.send(Message::binary(question.to_string())).unwrap();
    assert_eq!(said(&mut socket)["type"], "response.failed");
}

#[test]
fn a_conversation_ends_where_the_budget_does() {
    let server = talking();
    let mut setting = setting(&server, "");
    setting.limits.narrow(Limit::Cost, 1, "team");
    let stage = setting.start();
    let mut socket = talk(&stage, &server);
    let question = json!({"type": "response.create", "model": "gpt-5", "max_output_tokens": 1}).to_string();
    // Each costs 62.5 millionths, rounded up; a hundredth of a dollar is 10,000.
    let mut answers = 0;
    let last = loop {
        socket.send(Message::text(question.clone())).unwrap();
        let said = said(&mut socket);
        if said["type"] == "response.failed" {
            break said;
        }
        answers += 1;
        assert!(answers < 200, "there is no end");
    };
    assert_eq!(answers, 159);
    assert!(last["response"]["error"]["message"].as_str().unwrap().contains("0.01 USD"), "{last}");
    assert_eq!(limits(&stage).len(), 1);
}

#[test]
fn a_websocket_to_another_place_of_a_model_is_refused() {
    let server = talking();
    let stage = setting(&server, "").start();
    let reply = stage.ask(&format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n",
        server.url("/v1/realtime"), server.port
    ));
    assert_eq!((reply.status, server.connections()), (403, 0));
}

#[test]
fn what_a_provider_offers_beside_is_refused_unless_a_rule_names_the_request() {
    let server = model(&[ANSWER]);
    let stage = setting(&server, "").start();
    for path in
        ["/v1/sessions", "/v1/threads/t/runs", "/v1beta/interactions", "/v1/responses;x", "/v1/responses/r"]
    {
        let reply = post(&stage, &server, (path, ""), b"{}");
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
        assert_eq!(reply.error()["rule"], "model");
    }
    assert_eq!(server.connections(), 0, "nothing left");
    assert_eq!(post(&stage, &server, ("/v1/embeddings", ""), b"{}").status, 200);
    let rule = format!(
        "[[rule]]\nid = \"sessions\"\nhttp = [\"http://127.0.0.1:{}/v1/sessions\"]\nneed = \"none\"\n",
        server.port
    );
    let stage = setting(&server, &rule).start();
    assert_eq!(post(&stage, &server, ("/v1/sessions", ""), b"{}").status, 200);
}

#[test]
fn a_question_about_which_a_person_is_asked_keeps_its_seat() {
    let server = model(&[ANSWER]);
    let rule = "[[rule]]\nid = \"search\"\ntool = [\"openai/web_search\"]\nneed = \"human\"\n";
    let stage = setting(&server, rule).attended().bounds(|bounds| bounds.questions = 1).start();
    let searching = json!({"model": "m", "tools": [{"type": "web_search"}]});
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&stage, &server, &searching).status);
        crate::common::until("it is asked", || stage.admission.open_asks().len() == 1);
        let second = scope.spawn(|| ask(&stage, &server, &json!({"model": "m"})).status);
        std::thread::sleep(Duration::from_millis(300));
        assert!(server.connections() == 0 && !second.is_finished(), "it was read beside the first");
        let id = stage.admission.open_asks()[0].ask.clone();
        let yes = admission::Answer {
            allow: true,
            by: "tester".into(),
            how: "terminal".into(),
            ..Default::default()
        };
        stage.admission.answer(&id, yes).unwrap();
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (200, 200));
    });
}
