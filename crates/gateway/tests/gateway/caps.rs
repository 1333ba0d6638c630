//! How much and how often a rule lets pass is held on the wire, over all flows of the rule, and said by its name.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ledger::Body;

use crate::common::{Client, PLACEHOLDER, Server, Setting, Stage, headers_of, listener, until};

const KIB: usize = 1024;

/// Something that is no HTTP: takes all that comes, and says so much.
struct Raw {
    port: u16,
    taken: Arc<AtomicUsize>,
}

impl Raw {
    fn saying(bytes: usize) -> Raw {
        let (listener, taken) = (listener(), Arc::new(AtomicUsize::new(0)));
        let (port, count) = (listener.local_addr().unwrap().port(), Arc::clone(&taken));
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    // Whoever is cut off hears no more of it.
                    let _ = stream.write_all(&vec![b'x'; bytes]);
                    let mut buffer = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        count.fetch_add(read, Ordering::SeqCst);
                    }
                });
            }
        });
        Raw { port, taken }
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    fn rule(&self, terms: &str) -> String {
        format!(
            "[[rule]]\nid = \"capped\"\nconnect = [\"127.0.0.1:{}\"]\nneed = \"none\"\n{terms}\n",
            self.port
        )
    }
}

fn tunnel(stage: &Stage, port: u16) -> Result<Client, crate::common::Reply> {
    let mut client = stage.connect();
    client.send(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"));
    client.connected().map(|()| client)
}

/// The rules that ended or refused something, and why.
fn denied(stage: &Stage) -> Vec<(String, String)> {
    stage.recorded(|body| match body {
        Body::Denied(denied) => {
            let reason = denied.reasons.into_iter().next().unwrap();
            Some((reason.rule, reason.why.unwrap_or_default()))
        }
        _ => None,
    })
}

/// How each flow ended, with its bytes out and in.
fn flows(stage: &Stage) -> Vec<(String, u64, u64)> {
    stage.recorded(|body| match body {
        Body::Flow(flow) => Some((flow.outcome, flow.bytes_up, flow.bytes_down)),
        _ => None,
    })
}

/// Sends until somebody stops it.
fn pour(stream: &mut TcpStream, bytes: usize) {
    let piece = [b'y'; 8 * KIB];
    let _ = (0..bytes / piece.len()).try_for_each(|_| stream.write_all(&piece));
}

#[test]
fn t94_what_may_leave_leaves_to_the_byte_and_no_more() {
    let server = Raw::saying(0);
    let stage = Setting::new(server.rule("up = \"64KiB\"")).start();
    let mut client = tunnel(&stage, server.port).unwrap();
    pour(client.0.get_mut(), 1024 * KIB);
    until("the flow is over", || flows(&stage).len() == 1);
    assert_eq!(flows(&stage), [("used-up".to_owned(), 64 * KIB as u64, 0)]);
    assert_eq!(server.taken(), 64 * KIB);
    let tally = stage.gateway.flows().destinations[&format!("127.0.0.1:{}", server.port)];
    assert_eq!((tally.bytes_up, tally.bytes_down, tally.denials), (64 * KIB as u64, 0, 1));
    let used = ("capped".to_owned(), "the 65536 bytes that it lets out in a run are used up".to_owned());
    assert_eq!(denied(&stage), std::slice::from_ref(&used));
    // Nor does anything more begin.
    let Err(reply) = tunnel(&stage, server.port) else { panic!("it began") };
    assert_eq!((reply.status, reply.error()["code"].as_str()), (403, Some("used-up")));
    assert_eq!(
        (reply.error()["rule"].as_str(), reply.header("x-provost-denied")),
        (Some("capped"), Some("capped"))
    );
    assert_eq!(denied(&stage), [used.clone(), used]);
}

#[test]
fn what_may_come_in_comes_in_and_what_is_too_much_ends_it() {
    for (says, ends) in [(64 * KIB, false), (64 * KIB + 1, true), (1024 * KIB, true)] {
        let server = Raw::saying(says);
        let stage = Setting::new(server.rule("down = \"64KiB\"")).start();
        let mut client = tunnel(&stage, server.port).unwrap();
        let mut read = vec![0; 64 * KIB];
        if !ends {
            client.0.read_exact(&mut read).unwrap();
            assert!(denied(&stage).is_empty());
            continue;
        }
        let mut rest = Vec::new();
        let _ = client.0.read_to_end(&mut rest);
        assert!(rest.len() <= 64 * KIB, "{}", rest.len());
        until("the flow is over", || flows(&stage).len() == 1);
        let (outcome, _, down) = flows(&stage).remove(0);
        assert_eq!((outcome.as_str(), down), ("used-up", 64 * KIB as u64 + 1));
        assert_eq!(denied(&stage).len(), 1);
    }
}

#[test]
fn flows_of_one_rule_share_what_it_lets_pass() {
    let server = Raw::saying(0);
    let stage = Setting::new(server.rule("up = \"64KiB\"")).start();
    let mut clients: Vec<Client> = (0..4).map(|_| tunnel(&stage, server.port).unwrap()).collect();
    for client in &mut clients {
        pour(client.0.get_mut(), 24 * KIB);
    }
    until("one is ended", || !denied(&stage).is_empty());
    drop(clients);
    until("all are over", || flows(&stage).len() == 4);
    assert_eq!(server.taken(), 64 * KIB);
}

fn http_rule(port: u16, terms: &str) -> String {
    format!("[[rule]]\nid = \"api\"\nhttp = [\"http://127.0.0.1:{port}/**\"]\nneed = \"none\"\n{terms}\n")
}

#[test]
fn a_request_that_says_too_much_is_told_by_which_rule() {
    let server = Server::echo();
    let stage = Setting::new(http_rule(server.port, "up = \"16KiB\"")).start();
    let post = |bytes: usize| {
        format!(
            "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {bytes}\r\n\r\n{}",
            server.url("/a"),
            server.port,
            "z".repeat(bytes)
        )
    };
    assert_eq!(stage.ask(&post(8 * KIB)).status, 200);
    let reply = stage.ask(&post(256 * KIB));
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("api")), "{}", reply.text());
    assert_eq!(reply.error()["code"], "used-up");
    until("both flows are recorded", || flows(&stage).len() == 2);
    let up: u64 = flows(&stage).iter().map(|(_, up, _)| up).sum();
    assert_eq!(up, 16 * KIB as u64, "on the wire, heads included");
    assert_eq!(denied(&stage).len(), 1);
}

#[test]
fn an_answer_that_is_too_long_is_broken_off_and_never_cut_short_in_silence() {
    let server = Server::start(|client, head| {
        let bytes = if head.starts_with("GET /long") { 256 * KIB } else { KIB };
        client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{}", "a".repeat(bytes)));
    });
    let stage = Setting::new(http_rule(server.port, "down = \"32KiB\"")).start();
    assert_eq!(stage.get(&server.url("/short")).body.len(), KIB);
    let mut client = stage.connect();
    client.send(format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url("/long"), server.port));
    let (first, headers) = client.head();
    assert!(first.contains("200"), "{first}");
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let mut rest = Vec::new();
    let _ = client.0.read_to_end(&mut rest);
    assert!(rest.len() < 64 * KIB && !(chunked && rest.ends_with(b"0\r\n\r\n")), "{}", rest.len());
    until("it is recorded", || flows(&stage).len() == 2);
    assert_eq!(flows(&stage)[1].0, "used-up");
    assert_eq!(denied(&stage)[0].0, "api");
}

#[test]
fn so_many_are_begun_and_the_next_waits() {
    let server = Server::echo();
    let rules = http_rule(server.port, "rate = \"3/h\"") + &server.allowed();
    let stage = Setting::new(rules).start();
    for _ in 0..3 {
        assert_eq!(stage.get(&server.url("/a")).status, 200);
    }
    let reply = stage.get(&server.url("/a"));
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (429, Some("api")));
    assert_eq!(server.connections(), 3);
    assert_eq!(denied(&stage), [("api".to_owned(), "no more than 3/h are begun".to_owned())]);
}

#[test]
fn terms_on_the_connection_hold_for_the_requests_on_it() {
    let server = Server::echo();
    let connect = format!(
        "[[rule]]\nid = \"site\"\nconnect = [\"127.0.0.1:{}\"]\nneed = \"none\"\nrate = \"1/h\"\n",
        server.port
    );
    let stage = Setting::new(http_rule(server.port, "rate = \"9/h\"") + &connect).start();
    assert_eq!(stage.get(&server.url("/a")).status, 200);
    let reply = stage.get(&server.url("/a"));
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (429, Some("site")));
}

#[test]
fn a_websocket_is_held_to_its_rule() {
    let server = Server::start(|client, _| {
        client.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        let mut rest = Vec::new();
        let _ = client.0.read_to_end(&mut rest);
    });
    let rule = format!(
        "[[rule]]\nid = \"live\"\nhttp = [\"ws://127.0.0.1:{}/**\"]\nneed = \"none\"\nup = \"8KiB\"\n",
        server.port
    );
    let stage = Setting::new(rule).start();
    let mut client = stage.connect();
    client.send(format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
        server.url("/live"),
        server.port
    ));
    assert!(client.head().0.contains("101"));
    pour(client.0.get_mut(), 64 * KIB);
    until("it is ended", || flows(&stage).len() == 1);
    let (outcome, up, _) = flows(&stage).remove(0);
    assert_eq!((outcome.as_str(), up), ("used-up", 8 * KIB as u64));
    assert_eq!(denied(&stage)[0].0, "live");
}

#[test]
fn a_credential_goes_with_the_requests_that_a_rule_names_it_for() {
    let server = Server::echo();
    let rules = format!(
        "[[rule]]\nid = \"with\"\nhttp = [\"http://127.0.0.1:{0}/with/**\"]\nneed = \"none\"\ncredential = \"MODEL_KEY\"\n\
         [[rule]]\nid = \"without\"\nhttp = [\"http://127.0.0.1:{0}/**\"]\nneed = \"none\"\n",
        server.port
    );
    let stage = Setting::new(rules).credential(server.port).start();
    let ask = |path: &str, key: bool| {
        let key = if key { format!("authorization: Bearer {PLACEHOLDER}\r\n") } else { String::new() };
        stage
            .ask(&format!(
                "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n{key}\r\n",
                server.url(path),
                server.port
            ))
            .status
    };
    assert_eq!((ask("/with/a", true), ask("/other", true), ask("/other", false)), (200, 403, 200));
    assert_eq!(stage.released.load(Ordering::SeqCst), 1);
    let sent: Vec<bool> = server
        .heads()
        .iter()
        .map(|head| headers_of(head).iter().any(|(name, _)| name == "authorization"))
        .collect();
    assert_eq!(sent, [true, false]);
}
