//! HTTP/2 in TLS that is opened: what it says in more places than one, and what a server of HTTP/1 must not get to see.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use crate::common::{Stage, listener};
use crate::frames::{Came, Frames};
use crate::origin::{Ca, Origin};

fn echo() -> (Origin, Stage) {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let stage = origin.setting(&ca).start();
    (origin, stage)
}

fn place(origin: &Origin) -> String {
    format!("api.example:{}", origin.port)
}

/// A request as it should be, with more headers.
fn plain<'a>(place: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [(":method", "GET"), (":scheme", "https"), (":authority", place), (":path", "/public/a")];
    [&own[..], more].concat()
}

#[test]
fn t14_every_place_that_names_the_host_names_the_same() {
    let (origin, stage) = echo();
    let to = place(&origin);
    let mut frames = Frames::to(&stage, &to);
    assert!(
        matches!(frames.ask(&plain(&to, &[]), None), Came::Answer(text) if text.contains("GET /public/a"))
    );
    assert!(
        matches!(frames.ask(&plain(&to, &[("host", &to)]), None), Came::Answer(text) if text.contains("GET"))
    );
    let other = frames.ask(&plain(&to, &[("host", "evil.example")]), None);
    assert_eq!(other.code().as_deref(), Some("malformed"), "{other:?}");
    let other = frames
        .ask(&[(":method", "GET"), (":scheme", "http"), (":authority", &to), (":path", "/public/a")], None);
    assert_eq!(other.code().as_deref(), Some("malformed"), "{other:?}");
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn t15_a_connection_is_for_one_host() {
    let (origin, stage) = echo();
    let to = place(&origin);
    let mut frames = Frames::to(&stage, &to);
    for other in ["other.example", "api.example:444", "api.example"] {
        let came = frames.ask(
            &[(":method", "GET"), (":scheme", "https"), (":authority", other), (":path", "/public/a")],
            None,
        );
        assert_eq!(came.code().as_deref(), Some("misdirected"), "{other}: {came:?}");
    }
    assert!(matches!(frames.ask(&plain(&to, &[]), None), Came::Answer(text) if text.contains("GET")));
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn t46_nothing_that_only_an_older_version_knows_gets_into_its_head() {
    let (origin, stage) = echo();
    let to = place(&origin);
    for bad in [
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("x-a", "b\r\nx-secret: c"),
        ("x-a", "b\nx-secret: c"),
        ("x-a\r\nx-secret", "c"),
        ("te", "chunked"),
    ] {
        let came = Frames::to(&stage, &to).ask(&plain(&to, &[bad]), None);
        assert!(!matches!(&came, Came::Answer(text) if text.contains("GET ")), "{bad:?}: {came:?}");
    }
    let post = |length: &str| {
        let head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &to),
            (":path", "/public/a"),
            ("content-length", length),
        ];
        Frames::to(&stage, &to).ask(&head, Some(b"12345"))
    };
    assert!(matches!(post("5"), Came::Answer(text) if text.ends_with("12345")));
    for wrong in ["3", "9"] {
        assert!(!matches!(post(wrong), Came::Answer(text) if text.contains("POST ")), "{wrong}");
    }
    let crumbs = [("cookie", "a=1"), ("cookie", "b=2")];
    let came = Frames::to(&stage, &to).ask(&plain(&to, &crumbs), None);
    assert!(matches!(came, Came::Answer(text) if text.contains("cookie: a=1; b=2")));
    assert!(origin.heads().iter().all(|head| !head.contains("x-secret")), "{:?}", origin.heads());
}

#[test]
fn t47_heads_have_a_size_and_an_end() {
    let (origin, stage) = echo();
    let to = place(&origin);
    let long = "x".repeat(70 * 1024);
    let came = Frames::to(&stage, &to).ask(&plain(&to, &[("x-long", &long)]), None);
    assert!(!matches!(&came, Came::Answer(text) if text.contains("GET ")), "{came:?}");
    let many: Vec<(&str, &str)> = (0..500).map(|_| ("x-many", "y")).collect();
    let came = Frames::to(&stage, &to).ask(&plain(&to, &many), None);
    assert!(!matches!(&came, Came::Answer(text) if text.contains("GET ")), "{came:?}");
    assert_eq!(Frames::to(&stage, &to).flood(1000), Came::Ended);
    assert_eq!(origin.heads().len(), 0);
}

#[test]
fn t16_no_connection_is_asked_for_within_another() {
    let (origin, stage) = echo();
    let to = place(&origin);
    let came =
        Frames::to(&stage, &to).ask(&[(":method", "CONNECT"), (":authority", "evil.example:443")], None);
    assert!(came.code().is_some() || came != Came::Answer(String::new()), "{came:?}");
    let mut client = stage.opened(&to);
    client.send("CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n");
    assert_eq!(client.reply().error()["code"], "malformed");
    let mut client = stage.opened(&to);
    client.send(format!("GET https://{to}/public/a HTTP/1.1\r\nhost: {to}\r\n\r\n"));
    assert_eq!(client.reply().error()["code"], "malformed");
    assert_eq!((origin.connections(), stage.lookups()), (0, 0));
}

/// A server that speaks HTTP/2 alone, and ends each answer with a status of its own.
fn remote(config: ServerConfig) -> u16 {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                    let answer = service_fn(|request: Request<Incoming>| async move {
                        let te = request.headers().get("te").map_or("", |te| te.to_str().unwrap()).to_owned();
                        let asked = format!("{} {te}|", request.uri().path());
                        let whole = request.into_body().collect().await.unwrap().to_bytes();
                        let body = Full::new(Bytes::from([asked.as_bytes(), &whole].concat()));
                        let mut last = HeaderMap::new();
                        last.insert("grpc-status", HeaderValue::from_static("7"));
                        let body = body.with_trailers(std::future::ready(Some(Ok(last))));
                        Ok::<_, std::convert::Infallible>(Response::new(body))
                    });
                    http2::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await
                });
            }
        });
    });
    port
}

#[test]
fn t79_a_call_of_grpc_goes_through_as_it_is() {
    let ca = Ca::new();
    let mut config = ca.server("api.example", |_| {});
    config.alpn_protocols = vec![b"h2".to_vec()];
    let port = remote(config);
    let stage = crate::origin::seen(port, &ca).start();
    let to = format!("api.example:{port}");
    let mut frames = Frames::to(&stage, &to);
    for _ in 0..3 {
        let head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", to.as_str()),
            (":path", "/public/call"),
            ("te", "trailers"),
        ];
        let came = frames.ask(&head, Some(b"ask"));
        assert_eq!(came, Came::Answer("/public/call trailers|ask".to_owned()));
        assert!(frames.trailed(), "what follows the body is passed on");
    }
    assert_eq!(frames.ask(&plain(&to, &[])[..3], None), Came::Reset, "without a path it is no request");
    let mut old = stage.opened(&to);
    old.send(format!("GET /public/a HTTP/1.1\r\nhost: {to}\r\n\r\n"));
    assert_eq!(old.reply().error()["code"], "untrusted", "what is spoken inside is what is offered outside");
}
