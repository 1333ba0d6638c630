//! What is allowed is carried whole, as it comes, both ways, and counted.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ledger::Body;
use ledger::event::Ingress;

use crate::common::{Client, PATIENCE, Server, Setting, Stage, headers_of, listener, until};

const LARGE: usize = 64 << 20;

fn connect(stage: &Stage, port: u16) -> Client {
    let mut client = stage.connect();
    client.send(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"));
    client.connected().unwrap();
    client
}

#[test]
fn a_request_goes_out_in_origin_form_and_its_answer_comes_back() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).start();
    let body = "hello";
    let reply = stage.ask(&format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nx-mine: 1\r\nproxy-connection: keep-alive\r\nconnection: x-hop\r\nx-hop: 1\r\ncontent-length: {}\r\n\r\n{body}",
        server.url("/a/b?c=d"), server.port, body.len(),
    ));
    assert_eq!(reply.status, 200);
    let (head, echoed) = reply.text().split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(echoed, body);
    assert!(head.starts_with("POST /a/b?c=d HTTP/1.1\n"), "{head}");
    let headers = headers_of(&head);
    let value =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    assert_eq!(value("host"), Some(format!("127.0.0.1:{}", server.port)));
    assert_eq!(
        (value("x-mine").as_deref(), value("x-hop"), value("proxy-connection")),
        (Some("1"), None, None)
    );
}

#[test]
fn a_connection_from_inside_serves_many_requests_also_sent_ahead() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    let request =
        |path: &str| format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url(path), server.port);
    client.send(request("/1"));
    assert!(client.reply().text().starts_with("GET /1 "));
    client.send([request("/2"), request("/3")].concat());
    assert!(client.reply().text().starts_with("GET /2 "));
    assert!(client.reply().text().starts_with("GET /3 "));
    assert_eq!(server.heads().len(), 3);
}

#[test]
fn t75_a_tunnel_carries_bytes_as_they_are_and_ends_half_by_half() {
    let server = listener();
    let port = server.local_addr().unwrap().port();
    let all = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(b"that was all").unwrap();
        all
    });
    let stage = Setting::new(crate::common::allow(&format!("127.0.0.1:{port}"))).start();
    let mut client = stage.connect();
    // The first bytes come with the request itself, as some programs send them.
    client.send(format!(
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n\x15\x03\x01 first"
    ));
    client.connected().unwrap();
    client.send(" second");
    client.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    client.0.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "that was all");
    assert_eq!(all.join().unwrap(), b"\x15\x03\x01 first second");
    until("it is counted", || stage.gateway.flows().destinations.values().any(|tally| tally.bytes_up == 16));
}

#[test]
fn a_port_of_the_host_is_reached_by_who_knows_nothing_of_proxies() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).port(server.port).start();
    let mut client = Client::to(stage.ports[&server.port]);
    for host in ["127.0.0.1", "localhost"] {
        client.send(format!("GET /v1/models HTTP/1.1\r\nhost: {host}:{}\r\n\r\n", server.port));
        assert!(client.reply().text().starts_with("GET /v1/models "));
    }
    let seen = stage.recorded(|body| match body {
        Body::Connection(connection) => Some((connection.ingress, connection.endpoint)),
        _ => None,
    });
    assert_eq!(seen, vec![(Ingress::Port, format!("127.0.0.1:{}", server.port)); 2]);
}

#[test]
fn a_port_named_as_localhost_is_the_same_port() {
    let server = Server::echo();
    let stage =
        Setting::new(crate::common::allow(&format!("localhost:{}", server.port))).port(server.port).start();
    let mut client = Client::to(stage.ports[&server.port]);
    client.send(format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.port));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_port_of_the_host_that_speaks_no_http_is_carried_too() {
    for server_first in [false, true] {
        let server = listener();
        let port = server.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            if server_first {
                stream.write_all(b"* ready\n").unwrap();
            }
            let mut line = [0; 5];
            stream.read_exact(&mut line).unwrap();
            stream.write_all(&line).unwrap();
        });
        let rules = crate::common::allow(&format!("127.0.0.1:{port}"));
        let stage = Setting::new(rules)
            .port(port)
            .bounds(|bounds| bounds.first_bytes = Duration::from_millis(50))
            .start();
        let mut client = Client::to(stage.ports[&port]);
        if server_first {
            assert_eq!(client.line(), "* ready");
        }
        client.send("PING\n");
        assert_eq!(client.line(), "PING");
    }
}

#[test]
fn events_are_passed_on_as_each_comes() {
    let (go, next) = channel::<()>();
    let next = Mutex::new(next);
    let server = Server::start(move |client, _| {
        client
            .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for event in 1..=3 {
            client.send(format!("9\r\ndata: {event}\n\n\r\n"));
            // The next is not sent before this one has arrived.
            next.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        client.send("0\r\n\r\n");
    });
    // Where a credential is bound, answers are searched; they must not be held up by that.
    for setting in [Setting::new(server.allowed()), Setting::new(server.allowed()).credential(server.port)] {
        let stage = setting.start();
        let mut client = stage.connect();
        client.send(format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url("/"), server.port));
        let (_, headers) = client.head();
        assert!(headers.contains(&("content-type".to_owned(), "text/event-stream".to_owned())));
        for event in 1..=3 {
            assert_eq!(client.chunk().unwrap(), format!("data: {event}\n\n").as_bytes());
            go.send(()).unwrap();
        }
        assert_eq!(client.chunk(), None);
    }
}

#[test]
fn a_body_is_passed_on_while_it_is_still_being_sent() {
    let (seen, arrived) = channel();
    let seen = Mutex::new(seen);
    let server = Server::start(move |client, _| {
        while let Some(chunk) = client.chunk() {
            seen.lock().unwrap().send(chunk).unwrap();
        }
        client.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ntransfer-encoding: chunked\r\n\r\n",
        server.url("/"),
        server.port
    ));
    for part in ["one", "two"] {
        client.send(format!("{:x}\r\n{part}\r\n", part.len()));
        assert_eq!(arrived.recv_timeout(PATIENCE).unwrap(), part.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.reply().status, 204);
}

#[test]
fn large_bodies_pass_whole_both_ways() {
    let server = Server::start(|client, head| {
        let length = client.body(&headers_of(head), false).len();
        client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
        client.send(vec![b'x'; length]);
    });
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {LARGE}\r\n\r\n",
        server.url("/"),
        server.port
    ));
    client.send(vec![b'y'; LARGE]);
    let reply = client.reply();
    assert_eq!(reply.body.len(), LARGE);
    assert!(reply.body.iter().all(|byte| *byte == b'x'));
    until("it is counted", || !stage.gateway.flows().destinations.is_empty());
    let tally = *stage.gateway.flows().destinations.values().next().unwrap();
    let size = LARGE as u64..LARGE as u64 + 1024;
    assert!(size.contains(&tally.bytes_up) && size.contains(&tally.bytes_down), "{tally:?}");
}

/// Bytes that find room between a writer and a reader that does not read; far less than what is sent.
const ROOM: u64 = (LARGE / 2) as u64;

#[test]
fn t75_whoever_sends_faster_than_the_other_side_reads_is_made_to_wait() {
    let (held, hold) = channel::<()>();
    let hold = Mutex::new(hold);
    let server = Server::start(move |_, _| hold.lock().unwrap().recv_timeout(PATIENCE).unwrap());
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {LARGE}\r\n\r\n",
        server.url("/"),
        server.port
    ));
    let stream = client.0.get_mut();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while let Ok(count) = stream.write(&[b'x'; 65536]) {
        sent += count as u64;
        assert!(sent < ROOM, "the gateway keeps what nobody reads");
    }
    held.send(()).unwrap();
}

#[test]
fn t75_an_answer_that_nobody_reads_is_not_kept() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let server = Server::start(move |client, _| {
        client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"));
        let stream = client.0.get_mut();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        while let Ok(count) = stream.write(&[b'x'; 65536]) {
            counted.fetch_add(count as u64, Ordering::SeqCst);
        }
        counted.fetch_add(LARGE as u64, Ordering::SeqCst);
    });
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url("/"), server.port));
    assert_eq!(client.head().0, "HTTP/1.1 200 OK");
    until("the server waits", || sent.load(Ordering::SeqCst) >= LARGE as u64);
    assert!(sent.load(Ordering::SeqCst) - (LARGE as u64) < ROOM);
}

#[test]
fn a_websocket_is_carried_both_ways_and_its_bytes_are_counted() {
    let server = Server::start(|client, head| {
        assert!(head.contains("\nupgrade: websocket") && head.contains("\nsec-websocket-key: abc"), "{head}");
        client.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfirst",
        );
        let mut frame = [0; 6];
        client.0.read_exact(&mut frame).unwrap();
        client.send(frame);
    });
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n",
        server.url("/socket"),
        server.port
    ));
    let (first, headers) = client.head();
    assert!(first.starts_with("HTTP/1.1 101"), "{first}");
    assert!(headers.contains(&("upgrade".to_owned(), "websocket".to_owned())));
    client.send("second");
    let mut both = [0; 11];
    client.0.read_exact(&mut both).unwrap();
    assert_eq!(&both, b"firstsecond");
    drop(client);
    until("it is over", || !stage.gateway.flows().destinations.is_empty());
    let flows = stage.recorded(|body| match body {
        Body::Flow(flow) => Some((flow.status, flow.path.clone(), flow.bytes_up > 6, flow.bytes_down > 11)),
        _ => None,
    });
    assert_eq!(flows, [(Some(101), Some("/socket".to_owned()), true, true)]);
}

#[test]
fn a_websocket_that_the_server_refuses_is_an_ordinary_answer() {
    let server = Server::start(|client, _| {
        client.send("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno")
    });
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        server.url("/"),
        server.port
    ));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (426, "no"));
}

#[test]
fn what_moved_is_said_per_destination_and_per_request() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
    let server = Server::start(move |client, _| client.send(answer));
    let stage = Setting::new(server.allowed()).start();
    for _ in 0..2 {
        assert_eq!(stage.get(&server.url("/x?secret=1")).status, 200);
    }
    assert_eq!(stage.get("http://127.0.0.1:9/").status, 403);
    let mut client = connect(&stage, server.port);
    client.send("GET /y HTTP/1.1\r\nhost: z\r\n\r\n");
    assert_eq!(client.reply().text(), "abc");
    drop(client);
    let place = format!("127.0.0.1:{}", server.port);
    until("all is counted", || stage.gateway.flows().destinations[&place].requests == 3);
    let flows = stage.gateway.flows();
    assert_eq!(flows.destinations[&place].bytes_down, 3 * answer.len() as u64);
    assert_eq!(flows.destinations["127.0.0.1:9"].denials, 1);
    let recorded = stage.recorded(|body| match body {
        Body::Flow(flow) => Some((flow.method, flow.path, flow.bytes_down, flow.outcome)),
        _ => None,
    });
    let (get, down, closed) = (Some("GET".to_owned()), answer.len() as u64, "closed".to_owned());
    assert_eq!(recorded[..2], vec![(get, Some("/x".to_owned()), down, closed.clone()); 2]);
    assert_eq!(recorded[2], (None, None, down, closed));
}

#[test]
fn an_answer_to_head_says_a_length_and_has_no_body() {
    let server = Server::start(|client, _| client.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"));
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    for _ in 0..2 {
        client.send(format!("HEAD {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url("/"), server.port));
        let (first, headers) = client.head();
        assert_eq!(first, "HTTP/1.1 200 OK");
        assert!(headers.contains(&("content-length".to_owned(), "1000".to_owned())), "{headers:?}");
    }
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        server.url("/"),
        server.port
    ));
    assert_eq!(client.head().0, "HTTP/1.1 100 Continue");
    client.send("hello");
    assert!(client.reply().text().ends_with("\n\nhello"));
    client.send("POST http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(client.reply().status, 403, "and who may not is told that instead");
}
