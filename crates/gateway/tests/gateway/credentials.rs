//! The inside holds placeholders; the secret is put in where it leaves, only towards its place, and never comes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::atomic::Ordering;

use ledger::Body;
use policy::Selector;

use crate::common::{Client, PLACEHOLDER, Reply, SECRET, Server, Setting, Stage};

/// A server to whose port the credential is bound, and which may have it.
fn stage(server: &Server, release: &str) -> Stage {
    let rule = format!(
        "[[rule]]\nid = \"key\"\ncredential = [\"MODEL_KEY 127.0.0.1:{}\"]\nneed = \"{release}\"\n",
        server.port
    );
    Setting::new(server.allowed() + &rule).credential(server.port).port(server.port).start()
}

fn with(stage: &Stage, server: &Server, headers: &str) -> Reply {
    let (url, port) = (server.url("/v1?a=b&api_key=mine"), server.port);
    stage.ask(&format!("GET {url} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{headers}\r\n\r\n"))
}

fn alarms(stage: &Stage) -> Vec<String> {
    stage.recorded(|body| match body {
        Body::Denied(denied) => {
            let reason = denied.reasons.first()?;
            (reason.rule == "placeholder").then(|| reason.why.clone().unwrap_or_default())
        }
        _ => None,
    })
}

#[test]
fn a_placeholder_is_exchanged_towards_its_place_and_the_answer_never_shows_the_secret() {
    let server = Server::echo();
    let stage = stage(&server, "none");
    for header in ["authorization: Bearer ", "x-api-key: "] {
        let reply = with(&stage, &server, &format!("{header}{PLACEHOLDER}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let sent = server.heads().pop().unwrap();
        assert!(sent.contains(&format!("\n{header}{SECRET}")), "{sent}");
        assert!(!sent.contains(PLACEHOLDER));
        let text = reply.text();
        assert!(text.contains(PLACEHOLDER) && !text.contains(SECRET), "the echo is scrubbed: {text}");
    }
    let basic = format!("authorization: Basic {}", STANDARD.encode(format!("user:{PLACEHOLDER}")));
    let reply = with(&stage, &server, &basic);
    assert_eq!(reply.status, 200);
    let (text, went) = (reply.text(), STANDARD.encode(format!("user:{SECRET}")));
    assert!(text.contains(&basic) && !text.contains(&went), "the echo is scrubbed: {text}");
    assert!(server.heads().pop().unwrap().contains(&STANDARD.encode(format!("user:{SECRET}"))));
    let released = stage.recorded(|body| match body {
        Body::Decision(decision) => decision.text.starts_with("credential MODEL_KEY").then_some(()),
        _ => None,
    });
    assert_eq!((released.len(), stage.released.load(Ordering::SeqCst)), (3, 3));
}

#[test]
fn t86_no_secret_is_written_into_the_ledger() {
    let server = Server::echo();
    let stage = stage(&server, "none");
    assert_eq!(with(&stage, &server, &format!("x-api-key: {PLACEHOLDER}")).status, 200);
    for event in stage.events() {
        assert!(!serde_json::to_string(&event).unwrap().contains(SECRET));
    }
}

#[test]
fn the_exchange_works_for_who_knows_nothing_of_proxies_and_within_a_tunnel() {
    let server = Server::echo();
    let stage = stage(&server, "none");
    let request = format!(
        "POST /v1 HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nx-api-key: {PLACEHOLDER}\r\ncontent-length: 2\r\n\r\nhi",
        server.port
    );
    let mut client = Client::to(stage.ports[&server.port]);
    client.send(&request);
    assert_eq!(client.reply().status, 200);
    let mut client = stage.connect();
    client.send(format!("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nhost: 127.0.0.1:{0}\r\n\r\n", server.port));
    client.connected().unwrap();
    for _ in 0..2 {
        client.send(&request);
        assert!(!client.reply().text().contains(SECRET));
    }
    for head in server.heads() {
        assert!(head.contains(&format!("x-api-key: {SECRET}")), "{head}");
    }
    assert_eq!(server.heads().len(), 3);
}

#[test]
fn no_other_credential_goes_beside_it() {
    let server = Server::echo();
    let stage = stage(&server, "none");
    let mine = format!(
        "x-api-key: {PLACEHOLDER}\r\nauthorization: Bearer mine\r\ncookie: a=mine\r\nx-api-key: mine"
    );
    for headers in [mine.as_str(), "authorization: Bearer mine\r\nx-goog-api-key: mine"] {
        assert_eq!(with(&stage, &server, headers).status, 200);
        let sent = server.heads().pop().unwrap();
        assert!(!sent.contains("mine") && sent.starts_with("GET /v1?a=b HTTP/1.1\n"), "{sent}");
    }
}

#[test]
fn t81_a_placeholder_anywhere_else_is_an_alarm_and_goes_nowhere() {
    let (bound, other) = (Server::echo(), Server::echo());
    let rules = bound.allowed() + &other.allowed();
    let stage = Setting::new(rules).credential(bound.port).name("x", &[]).start();
    let escaped = PLACEHOLDER.replace("sk-", "sk%2D");
    let url = |server: &Server, rest: &str| (server.url(rest), format!("127.0.0.1:{}", server.port));
    let basic = format!("authorization: Basic {}", STANDARD.encode(format!("{PLACEHOLDER}:x")));
    for ((url, host), header) in [
        (url(&other, "/"), format!("x-whatever: {PLACEHOLDER}")),
        (url(&other, "/"), format!("authorization: Bearer {}", PLACEHOLDER.to_uppercase())),
        (url(&other, "/"), basic),
        (url(&other, &format!("/{PLACEHOLDER}")), "a: b".to_owned()),
        (url(&other, &format!("/?q={escaped}")), "a: b".to_owned()),
        (url(&bound, &format!("/?key={PLACEHOLDER}")), "a: b".to_owned()),
        (("http://evil.example/".to_owned(), "evil.example".to_owned()), format!("a: {PLACEHOLDER}")),
    ] {
        let before = alarms(&stage).len();
        let reply = stage.ask(&format!("GET {url} HTTP/1.1\r\nhost: {host}\r\n{header}\r\n\r\n"));
        assert_eq!(
            (reply.status, reply.error()["rule"].as_str()),
            (403, Some("placeholder")),
            "{url} {header}"
        );
        assert_eq!(alarms(&stage).len(), before + 1);
    }
    let name = format!("{}.example", PLACEHOLDER.to_ascii_lowercase());
    let reply = stage.ask(&format!("CONNECT {name}:443 HTTP/1.1\r\nhost: {name}:443\r\n\r\n"));
    assert_eq!(reply.error()["rule"], "placeholder");
    assert_eq!((bound.connections(), other.connections(), stage.lookups()), (0, 0, 0));
    assert_eq!(stage.released.load(Ordering::SeqCst), 0);
}

#[test]
fn a_placeholder_in_a_body_to_another_place_is_an_alarm_and_cuts_it_off() {
    let (bound, other) = (Server::echo(), Server::echo());
    let stage = Setting::new(bound.allowed() + &other.allowed()).credential(bound.port).start();
    let body = format!("{{\"stolen\":\"{PLACEHOLDER}\"}}");
    let (first, second) = body.split_at(20);
    let mut client = stage.connect();
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {}\r\n\r\n{first}",
        other.url("/"),
        other.port,
        body.len()
    ));
    client.send(second);
    let reply = client.reply();
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("placeholder")));
    assert_eq!(alarms(&stage).len(), 1, "{:?}", alarms(&stage));
    // Towards its place it is no news: what the model says about the environment goes back to the model.
    let reply = stage.ask(&format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {}\r\n\r\n{body}",
        bound.url("/"),
        bound.port,
        body.len()
    ));
    assert_eq!(reply.status, 200);
}

#[test]
fn a_release_that_policy_denies_sends_nothing() {
    let server = Server::echo();
    let stage = stage(&server, "never");
    let reply = with(&stage, &server, &format!("x-api-key: {PLACEHOLDER}"));
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("key")), "{}", reply.text());
    assert_eq!((server.connections(), stage.released.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn a_secret_is_taken_out_of_heads_and_out_of_bodies_in_pieces() {
    let (first, second) = SECRET.split_at(9);
    let server = Server::start(move |client, _| {
        client.send(format!("HTTP/1.1 200 OK\r\nx-echo: {SECRET}\r\ntransfer-encoding: chunked\r\n\r\n"));
        client.send(format!("{:x}\r\n>{first}\r\n", first.len() + 1));
        client.send(format!("{:x}\r\n{second}<\r\n0\r\n\r\n", second.len() + 1));
    });
    let stage = stage(&server, "none");
    let reply = with(&stage, &server, &format!("x-api-key: {PLACEHOLDER}"));
    assert_eq!(reply.header("x-echo"), Some(PLACEHOLDER));
    assert_eq!(reply.text(), format!(">{PLACEHOLDER}<"));
}

#[test]
fn words_beside_a_status_are_not_passed_on() {
    let server = Server::start(|client, _| {
        client.send(format!("HTTP/1.1 403 no, {SECRET}\r\ncontent-length: 0\r\n\r\n"));
    });
    let stage = stage(&server, "none");
    let mut client = stage.connect();
    let (url, port) = (server.url("/"), server.port);
    client.send(format!("GET {url} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-api-key: {PLACEHOLDER}\r\n\r\n"));
    assert_eq!(client.line().trim_end(), "HTTP/1.1 403 Forbidden");
}

#[test]
fn an_answer_that_cannot_be_searched_is_not_given() {
    let server = Server::start(move |client, head| {
        assert!(head.contains("\naccept-encoding: identity"), "{head}");
        client.send("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nxxx");
    });
    let stage = stage(&server, "none");
    let reply = with(&stage, &server, &format!("accept-encoding: gzip\r\nx-api-key: {PLACEHOLDER}"));
    assert_eq!((reply.status, reply.error()["code"].as_str()), (502, Some("unanswered")));
}

#[test]
fn a_credential_is_good_for_the_requests_it_is_bound_to_and_no_others() {
    let server = Server::echo();
    let rule = format!(
        "[[rule]]\nid = \"key\"\ncredential = [\"MODEL_KEY 127.0.0.1:{}\"]\nneed = \"none\"\n",
        server.port
    );
    let mut setting = Setting::new(server.allowed() + &rule).credential(server.port);
    let pattern = format!("http://127.0.0.1:{}/v1/**", server.port);
    setting.only.push(Selector::requests(&pattern, &["GET".to_owned()]).unwrap());
    let stage = setting.start();
    let ask = |method: &str, path: &str| {
        let (url, port) = (server.url(path), server.port);
        let head =
            format!("{method} {url} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-api-key: {PLACEHOLDER}\r\n");
        stage.ask(&format!("{head}content-length: 0\r\n\r\n")).status
    };
    assert_eq!(ask("GET", "/v1/x"), 200);
    assert!(server.heads().pop().unwrap().contains(SECRET));
    let before = server.heads().len();
    for (method, path) in
        [("POST", "/v1/x"), ("GET", "/v2/x"), ("GET", "/v1/../v2"), ("GET", "/v1%2f..%2fv2")]
    {
        assert_eq!(ask(method, path), 403, "{method} {path}");
    }
    assert_eq!((server.heads().len(), alarms(&stage).len()), (before, 4));
}

#[test]
fn t85_a_secret_itself_is_stopped_wherever_it_is_seen_leaving() {
    let server = Server::echo();
    let stage = stage(&server, "none");
    let elsewhere = Server::echo();
    let other = Setting::new(elsewhere.allowed()).start();
    for (stage, server) in [(&stage, &server), (&other, &elsewhere)] {
        let (port, before) = (server.port, server.heads().len());
        let send = |path: &str, headers: &str, body: &str| {
            let length = body.len();
            stage.ask(&format!(
                "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{headers}content-length: {length}\r\n\r\n{body}",
                server.url(path)
            ))
        };
        let inner = STANDARD.encode(format!("{{\"key\":\"{SECRET}\"}}"));
        let basic = format!("authorization: Basic {}\r\n", STANDARD.encode(format!("u:{SECRET}")));
        for (path, headers, body) in [
            (format!("/x?q={SECRET}"), String::new(), String::new()),
            ("/x".to_owned(), format!("x-note: {SECRET}\r\n"), String::new()),
            ("/x".to_owned(), basic, String::new()),
        ] {
            let reply = send(&path, &headers, &body);
            assert_eq!(reply.status, 403, "{path} {headers} {}", reply.text());
            assert!(!reply.text().contains(SECRET));
        }
        assert_eq!(server.heads().len(), before, "nothing left");
        for body in [format!("the key is {SECRET}."), format!("at the very end: {SECRET}"), inner] {
            let reply = send("/x", "", &body);
            assert_eq!(reply.status, 403, "{}", reply.text());
            assert!(!server.heads().concat().contains(SECRET));
        }
        let seen = alarms(stage);
        assert_eq!(seen.len(), 6, "{seen:#?}");
        assert!(
            seen.iter().all(|why| why.contains("the value of `MODEL_KEY` was about to leave in")),
            "{seen:#?}"
        );
    }
}
