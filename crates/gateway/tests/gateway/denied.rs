//! What is denied, how it is said, and that nothing of it leaves.

use ledger::Body;

use crate::common::{PATIENCE, Server, Setting};

#[test]
fn t68_what_no_rule_allows_is_refused_before_its_name_is_looked_up() {
    let stage = Setting::new("").name("evil.example", &["93.184.216.34"]).start();
    for request in [
        "GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n",
    ] {
        let reply = stage.ask(request);
        assert_eq!(reply.status, 403, "{}", reply.text());
    }
    assert_eq!(stage.lookups(), 0);
    let denied = stage.recorded(|body| match body {
        Body::Decision(decision) => Some(decision.text),
        _ => None,
    });
    assert_eq!(denied, ["connect evil.example:80", "connect evil.example:443"]);
    assert_eq!(stage.gateway.flows().destinations["evil.example:443"].denials, 1);
}

#[test]
fn a_refusal_says_the_rule_why_and_how_to_ask_where_a_yes_could_help() {
    let refused = Setting::new("").start().get("http://evil.example/").error();
    assert!(refused["hint"].is_string() && refused["ask"].is_null(), "{refused}");
    let stage =
        Setting::new("[[rule]]\nid = \"asks\"\nconnect = [\"evil.example:80\"]\nneed = \"human\"\n").start();
    let reply = stage.get("http://evil.example/");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let error = reply.error();
    for key in ["message", "code", "action", "hint", "ask"] {
        assert!(error[key].is_string(), "{key}: {error}");
    }
    assert_eq!(error["ask"], "provost request --why \"...\" connect evil.example:80");
}

#[test]
fn the_reserved_host_is_answered_and_goes_nowhere() {
    let stage = Setting::new("").start();
    let body = "{\"why\":\"x\"}";
    let request = format!(
        "POST http://provost.internal/v1/request HTTP/1.1\r\nhost: provost.internal\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = stage.ask(&request);
    assert_eq!((reply.status, reply.text().as_str()), (200, "{\"path\":\"/v1/request\",\"bytes\":11}\n"));
    assert_eq!(stage.lookups(), 0);
    assert!(stage.events().len() == 1, "only the run's beginning: {:?}", stage.events());
}

#[test]
fn a_port_of_the_host_that_no_rule_allows_is_not_reached() {
    let server = Server::echo();
    let stage = Setting::new("").port(server.port).start();
    let mut client = crate::common::Client::to(stage.ports[&server.port]);
    client.send(format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.port));
    assert_eq!(client.reply().status, 403);
    let mut client = crate::common::Client::to(stage.ports[&server.port]);
    client.send("\x00\x01 something else");
    assert!(client.is_over());
    assert_eq!(server.connections(), 0);
}

#[test]
fn who_is_refused_while_sending_much_hears_why() {
    let stage = Setting::new("").start();
    let mut client = stage.connect();
    let length = 2 << 20;
    for _ in 0..2 {
        client.send(format!(
            "POST http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\ncontent-length: {length}\r\n\r\n"
        ));
        client.send(vec![b'x'; length]);
        let reply = client.reply();
        assert_eq!((reply.status, reply.error()["code"].as_str()), (403, Some("denied")));
    }
}

#[test]
fn whoever_waits_at_the_door_holds_up_nobody_and_is_one_of_few() {
    let stage = Setting::new("").bounds(|bounds| bounds.inside_waiting = 2).start();
    let request = |path: &str| {
        format!(
            "POST http://provost.internal{path} HTTP/1.1\r\nhost: provost.internal\r\ncontent-length: 1\r\n\r\n."
        )
    };
    let mut waiting: Vec<_> = (0..2).map(|_| stage.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send(request("/never")));
    // They have their places when the next finds none.
    let until = std::time::Instant::now() + PATIENCE;
    while stage.ask(&request("/one")).status != 503 {
        assert!(std::time::Instant::now() < until, "nobody is refused");
    }
    assert_eq!(stage.get("http://evil.example/").status, 403);
    // Whoever goes away leaves the place to another.
    waiting.pop();
    while stage.ask(&request("/one")).status != 200 {
        assert!(std::time::Instant::now() < until, "a place is never free again");
    }
}
