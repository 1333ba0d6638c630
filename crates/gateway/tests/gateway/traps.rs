//! Known ways around a gateway, by their number, each tried over the wire; and whatever a mutation makes of a request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ledger::Body;

use crate::common::{Client, Server, Setting, Stage, allow, headers_of, until};

fn read_only(port: u16) -> String {
    format!(
        "[[rule]]\nid = \"read\"\nhttp = [\"http://127.0.0.1:{port}/public/**\"]\nmethods = [\"GET\"]\nneed = \"none\"\n"
    )
}

/// A request in absolute form, as it is written.
fn ask(stage: &Stage, port: u16, line: &str) -> u16 {
    let (method, path) = line.split_once(' ').unwrap();
    let mut client = stage.connect();
    client.send(format!("{method} http://127.0.0.1:{port}{path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"));
    client.head().0.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default()
}

fn connect(stage: &Stage, to: &str) -> Result<(), u16> {
    let mut client = stage.connect();
    client.send(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n"));
    client.connected().map_err(|reply| reply.status)
}

#[test]
fn t03_letters_of_other_scripts_are_no_host_and_their_spelling_in_ascii_is_another() {
    let stage = Setting::new("").open().start();
    for host in [
        "fa\u{df}.example",
        "a\u{200d}b.example",
        "a\u{3002}example",
        "\u{ff41}pi.example",
        "a\u{ad}pi.example",
        "\u{430}pi.example",
        "a%2eexample",
    ] {
        assert_eq!(connect(&stage, &format!("{host}:443")), Err(400), "{host}");
        assert_eq!(stage.get(&format!("http://{host}/")).status, 400, "{host}");
    }
    assert_eq!(stage.lookups(), 0);
    let stage = Setting::new(allow("fass.example")).name("fass.example", &["1.1.1.1"]).start();
    assert_eq!((connect(&stage, "xn--fa-hia.example:443"), stage.lookups()), (Err(403), 0));
}

#[test]
fn t44_requests_of_the_old_version_are_judged_one_by_one() {
    let server = Server::echo();
    let stage = Setting::new(read_only(server.port)).start();
    let mut client = stage.connect();
    for (path, status) in [("/public/a", 200), ("/secret", 403), ("/public/b", 200)] {
        client.send(format!("GET {} HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", server.url(path)));
        assert_eq!(client.reply().status, status, "{path}");
    }
    let chunked = "transfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    client.send(format!("GET {} HTTP/1.0\r\n{chunked}", server.url("/public/c")));
    assert_eq!(client.reply().status, 400, "it knew no chunks");
    assert!(client.is_over());
    let mut client = stage.connect();
    client.send(format!("GET {} HTTP/1.0\r\n\r\n", server.url("/public/d")));
    assert_eq!(client.reply().status, 200);
    assert!(client.is_over(), "who does not ask to go on is done");
    assert_eq!(server.heads().len(), 3);
}

#[test]
fn t17_a_whole_url_is_judged_as_every_request_is() {
    let server = Server::echo();
    let stage = Setting::new(read_only(server.port) + &server.allowed()).port(server.port).start();
    let origin = |path: &str| {
        let mut client = Client::to(stage.ports[&server.port]);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.port));
        client.reply().status
    };
    for path in ["/public/a", "/secret", "/public/../secret", "/public;x/../secret", "/publicity"] {
        assert_eq!(ask(&stage, server.port, &format!("GET {path}")), origin(path), "{path}");
    }
    assert!(server.heads().iter().all(|head| head.starts_with("GET /public/a ")), "{:?}", server.heads());
}

#[test]
fn t19_an_address_is_no_way_to_an_allowed_name() {
    let server = Server::echo();
    let rule = allow(&format!("api.example:{}", server.port));
    let stage = Setting::new(rule).name("api.example", &["127.0.0.1"]).start();
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "1.1.1.1"] {
        assert_eq!(connect(&stage, &format!("{host}:{}", server.port)), Err(403), "{host}");
    }
    assert_eq!((server.connections(), stage.lookups()), (0, 0));
}

#[test]
fn t20_an_allowed_host_is_reached_on_its_port_only() {
    let stage = Setting::new(allow("api.example")).name("api.example", &["1.1.1.1"]).start();
    for port in [22, 25, 53, 80, 853, 5353, 6443] {
        assert_eq!(connect(&stage, &format!("api.example:{port}")), Err(403), "{port}");
    }
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn t50_a_method_that_is_not_allowed_does_not_pass_in_any_spelling() {
    let server = Server::echo();
    let stage = Setting::new(read_only(server.port)).start();
    for method in ["get", "Get", "TRACE", "PROPFIND", "HEAD", "POST"] {
        assert_ne!(ask(&stage, server.port, &format!("{method} /public/a")), 200, "{method}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn t51_to_t56_no_spelling_of_a_path_leads_out_of_what_is_allowed() {
    let server = Server::echo();
    let stage = Setting::new(read_only(server.port)).start();
    for path in [
        "/public/../secret",
        "/public/%2e%2e/secret",
        "/public/..;/secret",
        "/public/..%3b/secret",
        "/public/%252e%252e/secret",
        "/public/./a",
        "/public%2f..%2fsecret",
        "/public%2fa",
        "/public/%5c..%5csecret",
        "/public/..\\secret",
        "//public/a",
        "/public//a",
        "/public-evil/a",
        "/public;x/a",
        "/public/%c0%ae%c0%ae/secret",
        "/public/%ff",
        "/public/%00",
        "/public/a%0d%0ax",
        "/public%3fa",
        "/PUBLIC/a",
    ] {
        let status = ask(&stage, server.port, &format!("GET {path}"));
        assert!(matches!(status, 400 | 403), "{path}: {status}");
    }
    assert_eq!(server.connections(), 0);
    assert_eq!(ask(&stage, server.port, "GET /public/a?x=/../secret"), 200);
}

#[test]
fn t58_a_request_for_the_server_as_a_whole_is_none() {
    let server = Server::echo();
    let open = format!(
        "[[rule]]\nid = \"all\"\nhttp = [\"http://127.0.0.1:{}/**\"]\nneed = \"none\"\n",
        server.port
    );
    let stage = Setting::new(open).port(server.port).start();
    let to = format!("host: 127.0.0.1:{}\r\n\r\n", server.port);
    let mut client = Client::to(stage.ports[&server.port]);
    client.send(format!("OPTIONS * HTTP/1.1\r\n{to}"));
    assert_eq!(client.reply().status, 400);
    assert_eq!(stage.ask(&format!("OPTIONS * HTTP/1.1\r\n{to}")).status, 400);
    assert_eq!(server.connections(), 0);
}

#[test]
fn t60_a_name_does_not_lead_to_this_machine_in_whatever_address_that_is_wrapped() {
    let server = Server::echo();
    let wraps = [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::",
        "fec0::1",
        "0.0.0.0",
    ];
    for wrap in wraps {
        let stage =
            Setting::new(allow(&format!("api.example:{}", server.port))).name("api.example", &[wrap]).start();
        assert_eq!(connect(&stage, &format!("api.example:{}", server.port)), Err(403), "{wrap}");
        assert_eq!(stage.lookups(), 1);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn t61_a_number_is_no_host() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).open().start();
    for host in
        ["127.1", "0177.0.0.1", "0x7f.1", "2130706433", "017700000001", "0", "127.0.0.1.", "127.0.0.01"]
    {
        let status = connect(&stage, &format!("{host}:{}", server.port));
        // A dot at the end is no other host, and this one is allowed.
        assert_eq!(status.is_ok(), host == "127.0.0.1.", "{host}: {status:?}");
    }
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn t80_an_upload_that_says_too_much_is_stopped_in_the_middle_and_told_so() {
    const MIB: usize = 1 << 20;
    let server = Server::echo();
    let rule = format!(
        "[[rule]]\nid = \"up\"\nhttp = [\"http://127.0.0.1:{}/**\"]\nneed = \"none\"\nup = \"2MiB\"\n",
        server.port
    );
    let stage = Setting::new(rule).start();
    let mut client = stage.connect();
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {}\r\n\r\n",
        server.url("/big"),
        server.port,
        100 * MIB
    ));
    let sent = pour(client.0.get_mut(), 100 * MIB);
    let reply = client.reply();
    assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("up")));
    assert!(sent < 16 * MIB, "{sent} bytes were taken though 2 MiB may leave");
    until("the flow is recorded", || !ends(&stage).is_empty());
    assert_eq!(ends(&stage), [("used-up".to_owned(), 2 * MIB as u64)]);
}

/// Sends until nobody takes more; how much was taken.
fn pour(stream: &mut TcpStream, bytes: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let piece = [b'y'; 64 * 1024];
    (0..bytes / piece.len()).take_while(|_| stream.write_all(&piece).is_ok()).count() * piece.len()
}

/// How flows ended, with their bytes out.
fn ends(stage: &Stage) -> Vec<(String, u64)> {
    stage.recorded(|body| match body {
        Body::Flow(flow) => Some((flow.outcome, flow.bytes_up)),
        _ => None,
    })
}

/// Changes a request in a few places; the same number gives the same change.
fn mutate(text: &str, seed: &mut u64) -> Vec<u8> {
    let mut random = |below: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).unwrap() % below.max(1)
    };
    const PIECES: [&str; 24] = [
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        "%2e%2e/",
        "%2f",
        "..",
        "/",
        ";",
        "?",
        "host: evil.example\r\n",
        "content-length: 3\r\n",
        "transfer-encoding: chunked\r\n",
        "0\r\n\r\n",
        "GET /secret HTTP/1.1\r\n",
        "\0",
        "@",
        "CONNECT ",
        "http://",
        "x-http-method: PUT\r\n",
        "connection: host\r\n",
        "upgrade: websocket\r\n",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random(2) {
        let at = random(bytes.len() + 1);
        match random(4) {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 if at < bytes.len() => bytes[at] ^= 1 << random(7),
            _ => drop(bytes.splice(at..at, PIECES[random(PIECES.len())].bytes())),
        }
    }
    bytes
}

#[test]
fn whatever_a_mutation_makes_of_a_request_only_what_is_allowed_arrives() {
    let server = Server::echo();
    let stage = Setting::new(read_only(server.port)).port(server.port).start();
    let to = format!("127.0.0.1:{}", server.port);
    let corpus = [
        format!("GET http://{to}/public/a?x=1 HTTP/1.1\r\nhost: {to}\r\naccept: */*\r\n\r\n"),
        format!("GET http://{to}/public/a HTTP/1.1\r\nhost: {to}\r\ncontent-length: 3\r\n\r\nabc"),
        format!(
            "GET http://{to}/public/a HTTP/1.1\r\nhost: {to}\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        ),
        format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n"),
        format!("POST http://{to}/secret HTTP/1.1\r\nhost: {to}\r\n\r\n"),
        "POST /v1/ask HTTP/1.1\r\nhost: provost.internal\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
    ];
    let mut seed = 11_u64;
    for at in 0..2_400 {
        let bytes = mutate(&corpus[at % corpus.len()], &mut seed);
        let mut client = TcpStream::connect(stage.proxy).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let _ = client.write_all(&bytes);
        let _ = client.read(&mut [0; 512]);
    }
    let seen = server.heads();
    assert!(seen.len() > 80, "some must be whole: {}", seen.len());
    for head in &seen {
        let first = head.lines().next().unwrap();
        let path = first.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
        let path = path.unwrap_or_else(|| panic!("{first}")).split('?').next().unwrap();
        assert!(
            path.starts_with("/public") && !path.split('/').any(|name| matches!(name, "." | "..")),
            "{first}"
        );
        let hosts: Vec<_> = headers_of(head).into_iter().filter(|(name, _)| name == "host").collect();
        assert_eq!(hosts, [("host".to_owned(), to.clone())], "{head}");
    }
    assert_eq!(stage.gateway.flows().faults, 0);
    assert_eq!(ask(&stage, server.port, "GET /public/a"), 200, "it goes on");
}
