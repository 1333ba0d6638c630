//! A message that two readers could read differently is read in one way, or not at all; what is sent on is written anew.

use std::io::Read as _;
use std::time::Duration;

use crate::common::{Server, Setting, Stage, until};

fn stage(server: &Server) -> Stage {
    Setting::new(server.allowed()).start()
}

/// A gateway that soon gives up on what does not come.
fn impatient(server: &Server) -> Stage {
    let soon = Duration::from_millis(300);
    let setting = Setting::new(server.allowed());
    setting.bounds(|bounds| (bounds.head, bounds.idle) = (soon, soon)).start()
}

/// Sends this, and gives the first status of what came back, once the connection has ended.
fn outcome(stage: &Stage, bytes: &str) -> Option<u16> {
    let mut client = stage.connect();
    client.send(bytes);
    let mut all = Vec::new();
    // However it ends; what came before that is kept.
    let _ = client.0.read_to_end(&mut all);
    String::from_utf8_lossy(&all).split(' ').nth(1)?.parse().ok()
}

#[test]
fn t37_t38_t39_a_second_request_cannot_hide_in_the_first() {
    let server = Server::echo();
    let (url, host) = (server.url("/"), format!("127.0.0.1:{}", server.port));
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for framing in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "content-length: 0\r\ncontent-length: 39",
        "content-length: 39\r\ncontent-length: 0",
        "content-length: 3\r\ncontent-length: 3",
        "content-length: 0, 39",
        "content-length: +0",
        "content-length: 0x0",
        "content-length: -1",
        "content-length : 0",
        " content-length: 0",
        "content-length:\r\n 0",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding\x00: chunked",
        "x: y\rcontent-length: 0",
        "x: y\ncontent-length: 0",
        "x: y\n\ncontent-length: 0",
    ] {
        let stage = impatient(&server);
        let before = server.heads().len();
        let sent = format!("POST {url} HTTP/1.1\r\nhost: {host}\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        outcome(&stage, &sent);
        let heads = server.heads().split_off(before);
        assert!(heads.len() <= 1, "{framing}: {heads:?}");
        assert!(!heads.iter().any(|head| head.starts_with("GET /smuggled")), "{framing}: {heads:?}");
        for head in heads {
            let framed =
                head.matches("\ncontent-length").count() + head.matches("\ntransfer-encoding").count();
            assert!(framed <= 1, "{framing}: {head}");
        }
    }
}

#[test]
fn t07_t08_t11_t12_t13_t39_what_has_two_readings_is_refused_and_recorded() {
    let server = Server::echo();
    let (url, host) = (server.url("/"), format!("127.0.0.1:{}", server.port));
    for (request, status) in [
        (format!("GET {url} HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n"), 400),
        (format!("GET {url} HTTP/1.1\r\nhost: evil.example\r\n\r\n"), 400),
        (format!("GET {url} HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n"), 400),
        (format!("GET https://{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n"), 400),
        (format!("CONNECT {host} HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n"), 400),
        (format!("GET {url} HTTP/1.1\r\n\r\n"), 400),
        (format!("GET http://allowed@{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n"), 400),
        (format!("GET http://{host}\0.example/ HTTP/1.1\r\nhost: {host}\r\n\r\n"), 400),
        (format!("GET http://0x7f.1:{}/ HTTP/1.1\r\nhost: 0x7f.1:{}\r\n\r\n", server.port, server.port), 400),
        (format!("GET http://2130706433:{0}/ HTTP/1.1\r\nhost: 2130706433:{0}\r\n\r\n", server.port), 400),
        (format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"), 400),
        (
            format!(
                "GET {url} HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (format!("CONNECT {host} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 3\r\n\r\nabc"), 400),
        (format!("CONNECT evil@{host} HTTP/1.1\r\nhost: {host}\r\n\r\n"), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".to_owned(), 400),
        (format!("GET {url} HTTP/1.1\r\nhost: {host}\r\n folded: x\r\n\r\n"), 400),
        (format!("GET {url} HTTP/1.1\r\nhost: {host}\r\nx: y\r\n folded\r\n\r\n"), 400),
        (format!("GET {url} HTTP/1.1\r\nhost: {host}\r\nx : y\r\n\r\n"), 400),
        (format!("GET {url} HTTP/1.1\r\nhost: {host}\r\nx: y\0z\r\n\r\n"), 400),
        (format!("GET {url} HTTP/1.1\r\nhost: {host}\r\nx: {}\r\n\r\n", "y".repeat(300_000)), 431),
        (format!("GET {url} HTTP/1.1\r\nhost: {host}\r\n{}\r\n", "x: y\r\n".repeat(200)), 431),
    ] {
        let stage = impatient(&server);
        let shown = request.get(..request.len().min(120)).unwrap();
        assert_eq!(outcome(&stage, &request), Some(status), "{shown:?}");
        until("it is counted", || stage.gateway.flows().malformed == 1);
        assert_eq!(stage.recorded(|body| matches!(body, ledger::Body::Denied(_)).then_some(())).len(), 1);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn t01_t02_one_host_has_one_spelling() {
    let server = Server::echo();
    let rules = crate::common::allow(&format!("service.example:{}", server.port)) + &server.allowed();
    let stage = Setting::new(rules).name("service.example", &["127.0.0.1"]).start();
    for host in ["service.example", "SERVICE.Example", "service.example."] {
        let reply = stage.get(&format!("http://{host}:{}/", server.port));
        assert_eq!(reply.status, 200, "{host}");
        assert!(
            reply.text().contains(&format!("host: service.example:{}\n", server.port)),
            "{}",
            reply.text()
        );
    }
    let reply = stage.get(&format!("http://service.example..:{}/", server.port));
    assert_eq!((reply.status, server.connections()), (400, 3), "two dots are no host");
}

#[test]
fn an_answer_is_framed_anew_whatever_the_server_says_of_its_length() {
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
    ];
    for answer in answers {
        let server = Server::start(move |client, _| {
            client.send(answer);
            client.0.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
        });
        let stage = stage(&server);
        let mut client = stage.connect();
        for _ in 0..2 {
            client.send(format!(
                "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n",
                server.url("/"),
                server.port
            ));
            let reply = client.reply();
            assert_eq!(reply.text(), "hello", "{answer:?}: {reply:?}");
        }
    }
}

#[test]
fn a_server_that_speaks_another_protocol_unasked_is_not_listened_to() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nsmuggled",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "SSH-2.0-OpenSSH\r\n",
    ] {
        let server = Server::start(move |client, _| client.send(answer));
        let stage = stage(&server);
        let reply = stage.get(&server.url("/"));
        assert_eq!((reply.status, reply.error()["code"].as_str()), (502, Some("unanswered")), "{answer:?}");
    }
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let server = Server::echo();
    let stage =
        Setting::new(server.allowed()).bounds(|bounds| bounds.head = Duration::from_millis(200)).start();
    let mut slow = stage.connect();
    slow.send(format!("GET {} HTTP/1.1\r\n", server.url("/")));
    assert!(slow.is_over());
    let mut idle = stage.connect();
    assert!(idle.is_over());
    assert_eq!(server.connections(), 0);
}
