//! The outer side of TLS that is opened: whom it believes, what it sends and takes, and what it keeps of neither.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use policy::Endpoint;
use rcgen::CertificateParams;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::common::{PATIENCE, PLACEHOLDER, SECRET, Server, Setting, Stage, allow, headers_of};
use crate::origin::{Ca, Opened, Origin, believes, in_tls, pem, provider, seen};

fn get(port: u16, more: &str) -> String {
    format!("GET /public/a HTTP/1.1\r\nhost: api.example:{port}\r\n{more}\r\n")
}

fn opened(stage: &Stage, port: u16) -> Opened {
    stage.opened(&format!("api.example:{port}"))
}

#[test]
fn t29_a_certificate_that_is_not_to_be_trusted_ends_it_with_the_reason() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let past = |params: &mut CertificateParams| {
        params.not_before = (SystemTime::now() - Duration::from_secs(200_000)).into();
        params.not_after = (SystemTime::now() - Duration::from_secs(100_000)).into();
    };
    for (config, why) in [
        (ca.server("api.example", past), "expired"),
        (ca.server("other.example", |_| {}), "not valid for"),
        (stranger.server("api.example", |_| {}), "BadSignature"),
    ] {
        let origin = Origin::echo(config);
        let stage = origin.setting(&ca).start();
        let mut client = opened(&stage, origin.port);
        client.send(get(origin.port, ""));
        let reply = client.reply();
        let error = reply.error();
        assert_eq!((reply.status, error["code"].as_str()), (502, Some("untrusted")), "{error}");
        assert!(error["why"].as_str().unwrap().contains(why), "{why}: {error}");
        assert!(origin.heads().is_empty());
    }
    // What speaks no TLS at all is not spoken to in the clear.
    let server = Server::echo();
    let stage = seen(server.port, &ca).bounds(|bounds| bounds.dial = Duration::from_secs(1)).start();
    let mut client = opened(&stage, server.port);
    client.send(get(server.port, ""));
    assert_eq!(client.reply().error()["code"], "untrusted");
    assert!(server.heads().iter().all(|head| !head.contains("public")), "{:?}", server.heads());
}

#[test]
fn t30_a_server_that_wants_a_certificate_of_ours_gets_none() {
    let ca = Ca::new();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().to_vec().into()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let origin = Origin::echo(ca.server_asking("api.example", verifier));
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    client.send(get(origin.port, ""));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn t33_the_authority_of_one_run_is_nobody_in_another() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let (one, other) = (origin.setting(&ca).start(), origin.setting(&ca).start());
    let stream = other.tunnel(&format!("api.example:{}", origin.port));
    let error = in_tls(stream, believes(&one.authority, &[]), "api.example").err().unwrap();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(!pem(ca.der()).is_empty());
}

#[test]
fn t41_headers_of_one_hop_go_no_further() {
    let ca = Ca::new();
    let origin = Origin::start(ca.server("api.example", |_| {}), |client, head| {
        let text = head.to_owned();
        client.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: x-hop\r\nx-hop: 1\r\nx-kept: 1\r\nproxy-authenticate: x\r\n\r\n{text}",
            text.len()
        ));
    });
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    client.send(get(
        origin.port,
        "connection: keep-alive, x-secret\r\nx-secret: a\r\nproxy-authorization: b\r\nte: gzip\r\nx-end: c\r\nexpect: 100-continue\r\n",
    ));
    let reply = client.reply();
    let arrived = reply.text();
    for gone in ["x-secret", "proxy-authorization", "te:", "connection", "expect"] {
        assert!(!arrived.contains(gone), "{gone}: {arrived}");
    }
    assert!(arrived.contains("x-end: c"));
    assert_eq!((reply.header("x-hop"), reply.header("proxy-authenticate")), (None, None));
    assert_eq!(reply.header("x-kept"), Some("1"));
}

#[test]
fn t36_a_length_that_is_said_twice_is_no_length() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let stage = origin.setting(&ca).start();
    for more in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
    ] {
        let mut client = opened(&stage, origin.port);
        let port = origin.port;
        client.send(format!(
            "POST /public/a HTTP/1.1\r\nhost: api.example:{port}\r\n{more}\r\n0\r\n\r\nGET /secret HTTP/1.1\r\n\r\n"
        ));
        assert_eq!(client.reply().status, 400, "{more}");
    }
    assert_eq!(origin.connections(), 0);
    // Of a length and an encoding the encoding counts, here and on the other side: it is framed anew.
    let mut client = opened(&stage, origin.port);
    let port = origin.port;
    client.send(format!(
        "POST /public/a HTTP/1.1\r\nhost: api.example:{port}\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /secret HTTP/1.1\r\nhost: api.example:{port}\r\n\r\n"
    ));
    assert_eq!(client.reply().status, 200);
    assert!(client.is_over(), "what comes behind it is nobody's");
    assert!(
        origin.heads().len() == 1 && !origin.heads()[0].contains("content-length"),
        "{:?}",
        origin.heads()
    );
}

#[test]
fn t43_t48_no_byte_of_a_body_leaves_before_the_verdict() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let stage = origin.setting(&ca).start();
    let post = |path: &str, more: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: api.example:{}\r\ncontent-length: 5\r\n{more}\r\n",
            origin.port
        )
    };
    let mut client = opened(&stage, origin.port);
    client.send(post("/secret", "") + "12345");
    assert_eq!(client.reply().status, 403);
    let mut client = opened(&stage, origin.port);
    client.send(post("/secret", "expect: 100-continue\r\n"));
    assert_eq!(client.reply().status, 403, "who waits to be told to go on hears the refusal instead");
    assert_eq!(origin.connections(), 0);
    let mut client = opened(&stage, origin.port);
    client.send(post("/public/a", "expect: 100-continue\r\n"));
    assert!(client.head().0.contains("100"));
    client.send("12345");
    assert!(client.reply().text().ends_with("12345"));
}

#[test]
fn t49_what_a_server_says_beyond_its_answer_answers_nothing() {
    let ca = Ca::new();
    let origin = Origin::start(ca.server("api.example", |_| {}), |client, head| {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue";
        let more =
            if head.contains("x-first") { "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfalse" } else { "" };
        client.send(format!("{answer}{more}"));
    });
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    for more in ["x-first: 1\r\n", "", "x-first: 1\r\n", ""] {
        client.send(get(origin.port, more));
        assert_eq!(client.reply().text(), "true");
        std::thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(origin.connections(), 3, "what was said out of turn is not listened to on");
}

#[test]
fn a_connection_that_the_server_has_closed_is_not_used_again() {
    let ca = Ca::new();
    let origin = Origin::start(ca.server("api.example", |_| {}), |client, _| {
        client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        client.0.get_mut().conn.send_close_notify();
        let _ = client.0.get_mut().flush();
        let _ = client.0.get_mut().sock.shutdown(std::net::Shutdown::Both);
    });
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    for _ in 0..5 {
        client.send(get(origin.port, ""));
        assert_eq!(client.reply().status, 200);
    }
    assert_eq!(origin.connections(), 5);
}

#[test]
fn t42_t76_a_websocket_begins_when_the_server_says_so_and_where_a_rule_does() {
    let ca = Ca::new();
    let origin = Origin::start(ca.server("api.example", |_| {}), |client, head| {
        if head.contains("/public/no") {
            client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
            return;
        }
        client.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        let mut frame = [0; 5];
        while client.0.read_exact(&mut frame).is_ok() {
            client.send(frame);
        }
    });
    let port = origin.port;
    let rules = format!(
        "[[rule]]\nid = \"ws\"\nhttp = [\"https://api.example:{port}/public/**\", \"wss://api.example:{port}/public/**\"]\nneed = \"none\"\n"
    );
    let setting = Setting::new(rules + &allow(&format!("127.0.0.1:{port}")));
    let stage = setting.name("api.example", &["127.0.0.1"]).trusts(ca.der()).start();
    let ask = |path: &str, then: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: api.example:{port}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n{then}"
        )
    };
    let mut client = opened(&stage, port);
    client.send(ask("/public/ws", ""));
    let (first, _) = client.head();
    assert!(first.contains("101"), "{first}");
    for text in ["12345", "abcde"] {
        client.send(text);
        let mut frame = [0; 5];
        client.0.read_exact(&mut frame).unwrap();
        assert_eq!(frame, text.as_bytes());
    }
    // A server that does not begin one: what was sent behind the request is a request, and judged.
    let mut client = opened(&stage, port);
    let hidden = format!("GET /secret HTTP/1.1\r\nhost: api.example:{port}\r\n\r\n");
    client.send(ask("/public/no", &hidden));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (200, "no"));
    assert_eq!(client.reply().status, 403);
    assert!(origin.heads().iter().all(|head| !head.contains("/secret")), "{:?}", origin.heads());
    let mut client = opened(&stage, port);
    client.send(ask("/secret", ""));
    assert_eq!(client.reply().status, 403);
}

#[test]
fn t78_an_event_arrives_when_it_is_sent() {
    let ca = Ca::new();
    let began = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sent = Arc::clone(&began);
    let origin = Origin::start(ca.server("api.example", |_| {}), move |client, _| {
        client
            .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(5));
            sent.lock().unwrap().push(Instant::now());
            client.send("a\r\ndata: hi\n\n\r\n");
        }
        client.send("0\r\n\r\n");
    });
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    client.send(get(origin.port, ""));
    assert_eq!(client.head().0, "HTTP/1.1 200 OK");
    let mut came = Vec::new();
    while client.chunk().is_some() {
        came.push(Instant::now());
    }
    let sent = began.lock().unwrap().clone();
    assert_eq!(came.len(), sent.len(), "none waits for the next");
    let mut late: Vec<Duration> =
        came.iter().zip(&sent).map(|(came, sent)| came.duration_since(*sent)).collect();
    late.sort();
    println!("an event takes {:?} in the middle, {:?} at most", late[late.len() / 2], late[late.len() - 1]);
    // The best of them: how late the others are is the machine's matter. One that waited for the next took five.
    assert!(late[0] < Duration::from_millis(1), "{late:?}");
}

#[test]
fn t78_an_event_arrives_before_the_next_is_sent_also_where_a_model_answers() {
    let ca = Ca::new();
    let (go, next) = std::sync::mpsc::channel::<()>();
    let next = std::sync::Mutex::new(next);
    let origin = Origin::start(ca.server("api.example", |_| {}), move |client, head| {
        client.body(&headers_of(head), false);
        client
            .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for event in 1..=3 {
            client.send(format!("b\r\ndata: {{{event}}}\n\n\r\n"));
            next.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        client.send("0\r\n\r\n");
    });
    for is_model in [false, true] {
        let mut setting = origin.setting(&ca);
        if is_model {
            setting.models.push(Endpoint::parse(&format!("api.example:{}", origin.port)).unwrap());
        }
        let stage = setting.start();
        let mut client = opened(&stage, origin.port);
        let length = "content-length: 13";
        client.send(format!(
            "POST /public/v1/responses HTTP/1.1\r\nhost: api.example:{}\r\n{length}\r\n\r\n{{\"model\":\"m\"}}",
            origin.port
        ));
        assert_eq!(client.head().0, "HTTP/1.1 200 OK");
        for event in 1..=3 {
            assert_eq!(client.chunk().unwrap(), format!("data: {{{event}}}\n\n").as_bytes());
            go.send(()).unwrap();
        }
        assert_eq!(client.chunk(), None);
        let counted = stage.recorded(|body| matches!(body, ledger::Body::ModelAnswered(_)).then_some(()));
        assert_eq!(
            counted.len(),
            usize::from(is_model),
            "read beside where a model answers, and nowhere else"
        );
    }
}

#[test]
fn t79_what_follows_a_body_is_passed_on_to_who_listens_for_it() {
    let ca = Ca::new();
    let origin = Origin::start(ca.server("api.example", |_| {}), |client, _| {
        client.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status, host\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 7\r\nhost: evil\r\n\r\n",
        );
    });
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    client.send(get(origin.port, "te: trailers\r\n"));
    let (_, headers) = client.head();
    assert!(headers.iter().any(|(name, _)| name == "transfer-encoding"), "{headers:?}");
    assert_eq!(client.chunk().as_deref(), Some(&b"ok"[..]));
    assert_eq!(client.line(), "0");
    assert_eq!((client.line().as_str(), client.line().as_str()), ("grpc-status: 7", ""));
    assert!(origin.heads()[0].contains("te: trailers"));
    client.send(get(origin.port, ""));
    assert_eq!(client.reply().text(), "ok", "and to nobody else");
}

#[test]
fn t40_what_follows_a_request_is_left_out() {
    let ca = Ca::new();
    let origin = Origin::start(ca.server("api.example", |_| {}), |client, _| {
        let mut all = String::new();
        while let Some(chunk) = client.chunk() {
            all.push_str(&String::from_utf8_lossy(&chunk));
        }
        client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{all}", all.len()));
    });
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    client.send(format!(
        "POST /public/a HTTP/1.1\r\nhost: api.example:{}\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n2;x=y\r\nok\r\n0\r\nauthorization: stolen\r\n\r\n",
        origin.port
    ));
    assert_eq!(client.reply().text(), "ok");
    assert_eq!(origin.heads().len(), 1, "{:?}", origin.heads());
}

#[test]
fn t82_t84_t88_a_key_is_put_in_in_tls_alone_and_comes_back_as_its_placeholder() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let port = origin.port;
    let to = format!("api.example:{port}");
    let rules = format!(
        "[[rule]]\nid = \"model\"\nconnect = [\"{to}\", \"127.0.0.1:{port}\"]\ncredential = [\"MODEL_KEY {to}\"]\nneed = \"none\"\n"
    );
    let setting = || Setting::new(rules.clone()).name("api.example", &["127.0.0.1"]).trusts(ca.der());
    let stage = setting().credential_at(&to).start();
    let key = format!("authorization: Bearer {PLACEHOLDER}\r\n");
    let mut client = opened(&stage, port);
    client.send(get(port, &key));
    let reply = client.reply();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(origin.heads()[0].contains(&format!("authorization: Bearer {SECRET}")), "{:?}", origin.heads());
    assert!(reply.text().contains(PLACEHOLDER) && !reply.text().contains(SECRET), "{}", reply.text());
    // Another host's name in the head moves nothing.
    client.send(format!("GET /public/a HTTP/1.1\r\nhost: evil.example\r\n{key}\r\n"));
    assert_eq!(client.reply().status, 400);
    // In the clear it goes nowhere, by whatever way.
    let mut stream = stage.tunnel(&to);
    stream.write_all(get(port, &key).as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 403");
    let reply = stage.ask(&format!("GET http://{to}/public/a HTTP/1.1\r\nhost: {to}\r\n{key}\r\n"));
    assert_eq!(reply.error()["rule"], "placeholder");
    assert_eq!(origin.heads().len(), 1);
    // In TLS that is opened for another reason it is an alarm.
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, port);
    client.send(get(port, &key));
    assert_eq!(client.reply().error()["rule"], "placeholder");
    let text = format!("x={PLACEHOLDER}");
    client = opened(&stage, port);
    client.send(format!(
        "POST /public/a HTTP/1.1\r\nhost: {to}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    ));
    assert_eq!(client.reply().error()["rule"], "placeholder");
}

#[test]
fn where_a_model_answers_is_always_seen() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let port = origin.port;
    let rules = allow(&format!("api.example:{port}")) + &allow(&format!("127.0.0.1:{port}"));
    let stage = Setting::new(rules).name("api.example", &["127.0.0.1"]).trusts(ca.der());
    let stage = stage.model(&format!("api.example:{port}")).start();
    let mut client = opened(&stage, port);
    client.send(get(port, ""));
    assert_eq!(client.reply().status, 200);
    // Who believes only the server itself is not let through.
    let stream = stage.tunnel(&format!("api.example:{port}"));
    assert!(in_tls(stream, believes(&pem(ca.der()), &[]), "api.example").is_err());
}

#[test]
fn a_stream_is_carried_without_being_gathered() {
    const WHOLE: usize = 64 << 20;
    let ca = Ca::new();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let origin = Origin::start(ca.server("api.example", |_| {}), move |client, head| {
        let length: usize = headers_of(head)
            .iter()
            .find(|(name, _)| name == "content-length")
            .map_or(0, |(_, value)| value.parse().unwrap());
        let mut piece = vec![0; 64 << 10];
        let mut left = length;
        while left > 0 {
            let most = piece.len().min(left);
            let count = client.0.read(&mut piece[..most]).unwrap();
            assert!(count > 0);
            left -= count;
            counted.fetch_add(count, Ordering::SeqCst);
        }
        client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
        let mut left = length;
        while left > 0 {
            client.send(&piece[..piece.len().min(left)]);
            left -= piece.len().min(left);
        }
    });
    let stage = origin.setting(&ca).start();
    let mut client = opened(&stage, origin.port);
    client.send(format!(
        "POST /public/a HTTP/1.1\r\nhost: api.example:{}\r\ncontent-length: {WHOLE}\r\n\r\n",
        origin.port
    ));
    let piece = vec![7; 1 << 20];
    for _ in 0..WHOLE >> 20 {
        client.send(&piece);
    }
    let reply = client.reply();
    assert_eq!((reply.body.len(), taken.load(Ordering::SeqCst)), (WHOLE, WHOLE));
}

#[test]
fn t28_no_byte_is_taken_before_tls_is_agreed_on() {
    let ca = Ca::new();
    let mut config: ServerConfig = ca.server("api.example", |_| {});
    config.max_early_data_size = 1 << 14;
    let origin = Origin::echo(config);
    let stage = origin.setting(&ca).start();
    let mut config = believes(&stage.authority, &["http/1.1"]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let name = rustls::pki_types::ServerName::try_from("api.example").unwrap();
    for _ in 0..2 {
        let stream = stage.tunnel(&format!("api.example:{}", origin.port));
        let mut tls = rustls::ClientConnection::new(Arc::clone(&config), name.clone()).unwrap();
        assert!(tls.early_data().is_none(), "nobody is offered to send early");
        let mut client = rustls::StreamOwned::new(tls, stream);
        client.write_all(get(origin.port, "").as_bytes()).unwrap();
        let mut first = [0; 12];
        client.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
}
