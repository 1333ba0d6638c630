//! Where requests must be seen, TLS is opened: for the host that was asked for, for it alone, and each request is judged.

use std::io::{Read as _, Write as _};
use std::process::Command;

use crate::common::{Setting, Stage, allow};
use crate::origin::{Ca, Origin, believes, in_tls};

fn echo() -> (Ca, Origin, Stage) {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let stage = origin.setting(&ca).start();
    (ca, origin, stage)
}

fn get(path: &str, port: u16) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: api.example:{port}\r\n\r\n")
}

#[test]
fn each_request_in_tls_is_judged_by_itself() {
    let (_ca, origin, stage) = echo();
    let mut client = stage.opened(&format!("api.example:{}", origin.port));
    client.send(get("/public/a?q=1", origin.port));
    let reply = client.reply();
    assert_eq!(reply.status, 200, "{}", reply.text());
    for (path, status) in [("/secret", 403), ("/public/../secret", 403), ("/public/b", 200)] {
        client.send(get(path, origin.port));
        assert_eq!(client.reply().status, status, "{path}");
    }
    let asked: Vec<String> =
        origin.heads().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(asked, ["GET /public/a?q=1 HTTP/1.1", "GET /public/b HTTP/1.1"]);
    assert_eq!(origin.connections(), 1, "a connection is used again");
}

#[test]
fn t45_requests_sent_at_once_have_a_verdict_each() {
    let (_ca, origin, stage) = echo();
    let mut client = stage.opened(&format!("api.example:{}", origin.port));
    client.send(["/public/a", "/secret", "/public/b"].map(|path| get(path, origin.port)).concat());
    let statuses: Vec<u16> = (0..3).map(|_| client.reply().status).collect();
    assert_eq!(statuses, [200, 403, 200]);
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn t21_another_name_in_tls_than_was_asked_for_is_closed() {
    let (_ca, origin, stage) = echo();
    let to = format!("api.example:{}", origin.port);
    let error = stage.named(&to, "evil.example").err().unwrap();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    assert!(stage.named(&to, "API.example").is_ok(), "it is the same name");
    assert_eq!(origin.connections(), 0);
    let told = stage.recorded(|body| match body {
        ledger::Body::Denied(denied) => Some(denied.reasons[0].why.clone().unwrap()),
        _ => None,
    });
    assert_eq!(told, ["TLS names `evil.example`, and what was asked for is api.example"]);
}

#[test]
fn t22_no_name_in_tls_is_closed_where_a_name_was_asked_for() {
    let (_ca, origin, stage) = echo();
    let mut config = believes(&stage.authority, &[]);
    config.enable_sni = false;
    let stream = stage.tunnel(&format!("api.example:{}", origin.port));
    assert!(in_tls(stream, config, "api.example").is_err());
    assert_eq!(origin.connections(), 0);
}

#[test]
fn t34_what_is_neither_tls_nor_http_is_closed() {
    let (_ca, origin, stage) = echo();
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x16\x03\x01\x00\x02\x00\x00",
    ] {
        let mut stream = stage.tunnel(&format!("api.example:{}", origin.port));
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        // A reset ends it as well as an end.
        let _ = stream.read_to_end(&mut all);
        assert!(!String::from_utf8_lossy(&all).contains("200"), "{all:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn t18_what_a_rule_allows_in_tls_is_not_allowed_in_the_clear() {
    let (_ca, origin, stage) = echo();
    let mut stream = stage.tunnel(&format!("api.example:{}", origin.port));
    stream.write_all(get("/public/a", origin.port).as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn what_nobody_must_see_is_tunnelled() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let rules =
        allow(&format!("api.example:{}", origin.port)) + &allow(&format!("127.0.0.1:{}", origin.port));
    let stage = Setting::new(rules).name("api.example", &["127.0.0.1"]).start();
    let stream = stage.tunnel(&format!("api.example:{}", origin.port));
    let pem = pem(ca.der());
    let mut client = in_tls(stream, believes(&pem, &[]), "api.example").unwrap();
    client.send(get("/whatever", origin.port));
    assert_eq!(client.reply().status, 200);
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn t26_a_real_client_speaks_either_version_of_http() {
    let (_ca, origin, stage) = echo();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, &stage.authority).unwrap();
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let run = |path: &str| {
            let out = Command::new("curl")
                .args(["-sS", flag, "-w", "\n%{http_code} %{http_version}", "--max-time", "20"])
                .arg("--cacert")
                .arg(&bundle)
                .args(["--proxy", &format!("http://{}", stage.proxy)])
                .arg(format!("https://api.example:{}{path}", origin.port))
                .env_clear()
                .output()
                .unwrap();
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
        };
        let allowed = run("/public/a");
        assert!(allowed.contains("GET /public/a HTTP/1.1"), "{allowed}");
        assert!(allowed.ends_with(&format!("200 {version}")), "{allowed}");
        let denied = run("/secret");
        assert!(denied.contains("provost: denied http GET https://api.example"), "{denied}");
        assert!(denied.ends_with(&format!("403 {version}")), "{denied}");
    }
}
