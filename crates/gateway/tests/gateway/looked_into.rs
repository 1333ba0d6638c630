//! Where rules speak of requests, each request is judged for itself, by the path that is sent, however it came.

use crate::common::{Client, Server, Setting, Stage};

fn rules(port: u16) -> String {
    format!(
        "[[rule]]\nid = \"read\"\nhttp = [\"http://127.0.0.1:{port}/public/**\"]\nmethods = [\"GET\"]\nneed = \"none\"\n"
    )
}

fn status(stage: &Stage, server: &Server, method: &str, path: &str) -> u16 {
    let (url, port) = (server.url(path), server.port);
    stage.ask(&format!("{method} {url} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n")).status
}

#[test]
fn only_the_requests_that_a_rule_allows_pass() {
    let server = Server::echo();
    let stage = Setting::new(rules(server.port)).start();
    assert_eq!(status(&stage, &server, "GET", "/public/a?q=1"), 200);
    for (method, path) in [
        ("POST", "/public/a"),
        ("GET", "/secret"),
        ("GET", "/public/../secret"),
        ("GET", "/public/%2e%2e/secret"),
        ("GET", "/public/%2E./secret"),
        ("GET", "/public%2f..%2fsecret"),
        ("GET", "/publicity"),
        ("GET", "//public/a"),
    ] {
        assert_eq!(status(&stage, &server, method, path), 403, "{method} {path}");
    }
    assert_eq!(server.heads().len(), 1);
    assert!(server.heads()[0].starts_with("GET /public/a?q=1 "));
}

#[test]
fn the_path_that_was_judged_is_the_path_that_is_sent() {
    let server = Server::echo();
    let stage = Setting::new(rules(server.port)).start();
    assert_eq!(status(&stage, &server, "GET", "/public/%7eann"), 200);
    assert!(server.heads()[0].starts_with("GET /public/~ann "), "{:?}", server.heads());
}

#[test]
fn a_header_that_names_another_method_is_refused() {
    let server = Server::echo();
    let stage = Setting::new(rules(server.port)).start();
    let reply = stage.ask(&format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nx-http-method-override: DELETE\r\n\r\n",
        server.url("/public/a"),
        server.port
    ));
    assert_eq!(reply.status, 403);
    assert_eq!(server.connections(), 0);
}

#[test]
fn t83_a_tunnel_is_no_way_around_it() {
    let server = Server::echo();
    let forbidden = format!(
        "[[rule]]\nid = \"admin\"\nhttp = [\"http://127.0.0.1:{}/admin/**\"]\nneed = \"never\"\nwhy = \"No.\"\n",
        server.port
    );
    let stage = Setting::new(rules(server.port) + &server.allowed() + &forbidden).port(server.port).start();
    let mut tunnel = stage.connect();
    tunnel.send(format!("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nhost: 127.0.0.1:{0}\r\n\r\n", server.port));
    tunnel.connected().unwrap();
    let port = Client::to(stage.ports[&server.port]);
    for mut client in [tunnel, port] {
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.port);
        client.send(request("/public/a"));
        assert_eq!(client.reply().status, 200);
        client.send(request("/admin/x"));
        let reply = client.reply();
        assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("admin")));
        // What is no HTTP cannot be judged, and so does not pass.
        client.send("\x16\x03\x01\x00\x05hello");
        assert_ne!(client.line(), "hello");
    }
    assert_eq!(server.heads().len(), 2);
}

#[test]
fn a_tunnel_that_nobody_could_agree_to_is_refused_at_once() {
    let rule = "[[rule]]\nid = \"api\"\nhttp = [\"https://api.example/**\"]\nneed = \"none\"\n";
    let no = "[[rule]]\nid = \"no\"\nconnect = [\"api.example:443\"]\nneed = \"never\"\n";
    let stage = Setting::new(rule.to_owned() + no).name("api.example", &["1.1.1.1"]).start();
    let reply = stage.ask("CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\n\r\n");
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("no")));
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn a_rule_against_the_connection_holds_for_its_requests() {
    let server = Server::echo();
    let no = format!("[[rule]]\nid = \"no\"\nconnect = [\"127.0.0.1:{}\"]\nneed = \"never\"\n", server.port);
    let stage = Setting::new(rules(server.port) + &no).start();
    let reply = stage.get(&server.url("/public/a"));
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("no")));
    assert_eq!(server.connections(), 0);
}
