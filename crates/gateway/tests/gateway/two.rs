//! HTTP/2 in TLS that is opened: what it says in more places than one, and what a server of HTTP/1 must not get to see.

use crate::common::Stage;
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
