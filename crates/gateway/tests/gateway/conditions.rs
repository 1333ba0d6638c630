//! What rules ask of query and headers, and of what becomes a WebSocket, is asked of what goes on and of nothing else.

use crate::common::{Server, Setting, Stage};

fn rules(port: u16) -> String {
    format!(
        r#"
        [[rule]]
        id = "page"
        http = ["http://127.0.0.1:{port}/page"]
        methods = ["GET"]
        query = {{ per_page = ["?", "??"] }}
        need = "none"
        [[rule]]
        id = "post"
        http = ["http://127.0.0.1:{port}/post"]
        methods = ["POST"]
        headers = {{ "content-type" = ["application/json*"] }}
        need = "none"
        [[rule]]
        id = "live"
        http = ["ws://127.0.0.1:{port}/live", "http://127.0.0.1:{port}/plain"]
        need = "none"
        "#
    )
}

fn ask(stage: &Stage, server: &Server, line: &str, headers: &[&str]) -> u16 {
    let (method, path) = line.split_once(' ').unwrap();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head =
        format!("{method} {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n{headers}\r\n", server.url(path), server.port);
    stage.ask(&head).status
}

#[test]
fn a_request_passes_where_all_that_a_rule_asks_of_it_holds() {
    let server = Server::echo();
    let stage = Setting::new(rules(server.port)).start();
    const JSON: &str = "content-type: application/json";
    for (line, headers, status) in [
        ("GET /page?per_page=5&x=%zz", &[][..], 403),
        ("GET /page?per_page=5&x=1", &[], 200),
        ("GET /page?per_page=500", &[], 403),
        ("GET /page", &[], 403),
        ("GET /page?per_page=5&per_page=500", &[], 403),
        ("GET /page?per_page=5;per_page=500", &[], 403),
        ("GET /page?per_page=5&Per%5FPage[]=500", &[], 403),
        ("POST /post", &[JSON], 200),
        ("POST /post", &["Content-Type: application/json; charset=utf-8"], 200),
        ("POST /post", &[], 403),
        ("POST /post", &[JSON, "content-type: text/xml"], 403),
        ("POST /post", &["content-type: application/json, text/xml"], 403),
        // What is taken off on the way is not there.
        ("POST /post", &[JSON, "connection: content-type"], 403),
    ] {
        assert_eq!(ask(&stage, &server, line, headers), status, "{line} {headers:?}");
    }
    let seen = server.heads();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[0].starts_with("GET /page?per_page=5&x=1 "), "{seen:?}");
}

#[test]
fn a_request_that_tells_another_method_in_its_query_is_refused() {
    let server = Server::echo();
    let rules = format!(
        "[[rule]]\nid = \"a\"\nhttp = [\"http://127.0.0.1:{}/**\"]\nmethods = [\"POST\"]\nneed = \"none\"\n",
        server.port
    );
    let stage = Setting::new(rules).start();
    for (line, status) in [
        ("POST /a?x=1", 200),
        ("POST /a?x=1&_method=DELETE", 403),
        ("POST /a?%5fMethod=DELETE", 403),
        ("POST /a?x;_method=DELETE", 403),
    ] {
        assert_eq!(ask(&stage, &server, line, &[]), status, "{line}");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_websocket_begins_where_a_rule_says_so_and_nowhere_else() {
    let server = Server::start(|client, head| {
        client.send(match head.contains("\nupgrade: websocket") {
            true => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            false => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        });
    });
    let stage = Setting::new(rules(server.port)).start();
    const UPGRADE: [&str; 2] = ["connection: Upgrade", "upgrade: websocket"];
    assert_eq!(ask(&stage, &server, "GET /live", &UPGRADE), 101);
    assert_eq!(ask(&stage, &server, "GET /plain", &[]), 200);
    for (line, headers) in [("GET /live", &[][..]), ("GET /plain", &UPGRADE), ("GET /other", &UPGRADE)] {
        assert_eq!(ask(&stage, &server, line, headers), 403, "{line} {headers:?}");
    }
    assert_eq!(server.heads().len(), 2);
}
