//! Where requests must be seen, TLS is opened: for the host that was asked for, for it alone, and each request is judged.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::common::{Setting, Stage, allow, listener, until};
use crate::origin::{Ca, Origin, believes, hello, in_tls, names, pem};

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
fn t34_t35_what_is_neither_tls_nor_http_is_closed() {
    let (_ca, origin, stage) = echo();
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        // Who would begin TLS later: a mail server's client, a database's.
        b"EHLO me.example\r\nSTARTTLS\r\n",
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

/// A server that says `hi` to whoever sends it anything, and keeps nothing.
fn anything() -> u16 {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut first = [0; 1];
                if stream.read_exact(&mut first).is_ok() {
                    let _ = stream.write_all(b"hi");
                }
            });
        }
    });
    port
}

/// The extension of the name, and of an encrypted hello.
const NAME: u16 = 0;
const ENCRYPTED: u16 = 0xfe0d;

#[test]
fn t23_a_name_said_twice_or_as_an_address_is_closed() {
    let (_ca, origin, stage) = echo();
    let to = format!("api.example:{}", origin.port);
    let with = |hosts: &[&str]| {
        hello("api.example", |extensions| {
            for (kind, body) in extensions {
                if *kind == NAME {
                    *body = names(hosts);
                }
            }
        })
    };
    let taken = |bytes: &[u8]| stage.begun(&to, &[bytes]).first() == Some(&0x16);
    let whole = with(&["api.example"]);
    let mut stream = stage.tunnel(&to);
    stream.write_all(&whole).unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, [0x16], "as it should be, it is answered");
    for hosts in [
        &["api.example", "evil.example"][..],
        &["evil.example", "api.example"],
        &["127.0.0.1"],
        &["api.example.."],
        &["a\0b"],
    ] {
        assert!(!taken(&with(hosts)), "{hosts:?}");
    }
    let twice = hello("api.example", |extensions| extensions.push((NAME, names(&["evil.example"]))));
    assert!(!taken(&twice));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn t24_a_hello_in_pieces_is_read_and_one_that_never_ends_is_not_waited_for() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let stage = origin.setting(&ca).bounds(|bounds| bounds.head = Duration::from_millis(700)).start();
    let to = format!("api.example:{}", origin.port);
    let whole = hello("api.example", |extensions| extensions.push((0xfafa, vec![7; 12_000])));
    let mut stream = stage.tunnel(&to);
    for piece in whole.chunks(997) {
        stream.write_all(piece).unwrap();
    }
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, [0x16]);
    // One message in many records.
    let records: Vec<u8> = whole[5..]
        .chunks(100)
        .flat_map(|piece| [&[0x16, 3, 1, 0, u8::try_from(piece.len()).unwrap()], piece].concat())
        .collect();
    let mut stream = stage.tunnel(&to);
    stream.write_all(&records).unwrap();
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, [0x16]);
    let began = Instant::now();
    let slow: Vec<&[u8]> = whole[..400].chunks(1).collect();
    assert!(stage.begun(&to, &slow).first() != Some(&0x16));
    let endless = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 16379]].concat();
    let endless = [endless, [&[0x16, 3, 1, 0x40, 0][..], &[0; 16384]].concat().repeat(8)].concat();
    assert!(stage.begun(&to, &[&endless]).first() != Some(&0x16));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(origin.connections(), 0);
}

#[test]
fn t25_what_is_encrypted_in_a_hello_leads_nowhere() {
    let (_ca, origin, stage) = echo();
    let to = format!("api.example:{}", origin.port);
    // Outer; two suites, a number, a key, a text.
    let body = [&[0, 0, 1, 0, 1, 42, 0, 32][..], &[7; 32], &[0, 144], &[9; 144]].concat();
    let sealed = |name: &str| hello(name, |extensions| extensions.push((ENCRYPTED, body.clone())));
    assert!(stage.begun(&to, &[&sealed("front.example")]).first() != Some(&0x16));
    // In a tunnel too: the name outside must be the host's, whatever may be within.
    let port = anything();
    let rules = allow(&format!("cdn.example:{port}")) + &allow(&format!("127.0.0.1:{port}"));
    let stage = Setting::new(rules).name("cdn.example", &["127.0.0.1"]).start();
    let to = format!("cdn.example:{port}");
    assert_ne!(stage.begun(&to, &[&sealed("front.example")]), b"hi");
    assert_eq!(stage.begun(&to, &[&sealed("cdn.example")]), b"hi", "what some clients always send");
}

#[test]
fn t21_a_tunnel_begins_tls_for_the_host_that_was_asked_for() {
    let port = anything();
    let rules = allow(&format!("cdn.example:{port}")) + &allow(&format!("127.0.0.1:{port}"));
    let stage = Setting::new(rules).name("cdn.example", &["127.0.0.1"]).start();
    let to = format!("cdn.example:{port}");
    let whole = hello("cdn.example", |_| {});
    assert_eq!(stage.begun(&to, &[&whole]), b"hi");
    assert_eq!(stage.begun(&to, &[&whole[..7], &whole[7..90], &whole[90..]]), b"hi");
    assert_eq!(stage.begun(&to, &[b"no TLS at all"]), b"hi");
    let nobody = hello("cdn.example", |extensions| extensions.retain(|(kind, _)| *kind != NAME));
    assert_eq!(stage.begun(&to, &[&nobody]), b"hi");
    let other = hello("evil.example", |_| {});
    let said = stage.begun(&to, &[&other]);
    assert_eq!(said, [0x15, 3, 3, 0, 2, 2, 112], "an alert: nobody has that name here");
    assert_ne!(stage.begun(&to, &[&other[..7], &other[7..]]), b"hi");
    let told = stage.recorded(|body| match body {
        ledger::Body::Denied(denied) => denied.reasons[0].why.clone(),
        _ => None,
    });
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("TLS names `evil.example`"), "{told:?}");
}

#[test]
fn t19_an_address_is_no_way_around_the_rules_on_a_host() {
    let (ca, origin, _) = echo();
    let rule = format!(
        "[[rule]]\nid = \"api\"\nhttp = [\"https://api.example:{}/**\"]\nneed = \"never\"\n",
        origin.port
    );
    let stage = Setting::new(rule + &allow(&format!("127.0.0.1:{}", origin.port))).trusts(ca.der()).start();
    let to = format!("127.0.0.1:{}", origin.port);
    assert!(in_tls(stage.tunnel(&to), believes(&pem(ca.der()), &[]), "api.example").is_err());
    assert!(origin.heads().is_empty());
}

/// A certificate as openssl tells it.
fn told(der: &[u8], words: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.pem");
    std::fs::write(&path, pem(der)).unwrap();
    let out =
        Command::new("openssl").args(["x509", "-noout", "-in"]).arg(&path).args(words).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// How long it is good for, in seconds from now.
fn good_for(der: &[u8], seconds: u64) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.pem");
    std::fs::write(&path, pem(der)).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"]).arg(&path);
    openssl.output().unwrap().status.success()
}

#[test]
fn t32_the_authority_is_of_one_day_and_signs_for_one_host_at_a_time() {
    let (_ca, origin, stage) = echo();
    let authority = CertificateDer::from_pem_slice(stage.authority.as_bytes()).unwrap();
    let text = told(&authority, &["-text"]);
    for said in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "prime256v1"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let day = 24 * 60 * 60;
    assert!(good_for(&authority, day - 120) && !good_for(&authority, day));
    let client = stage.opened(&format!("api.example:{}", origin.port));
    let leaf = client.0.get_ref().conn.peer_certificates().unwrap()[0].clone();
    let text = told(&leaf, &["-text", "-ext", "subjectAltName"]);
    assert!(text.contains("DNS:api.example") && !text.contains('*') && !text.contains("CA:TRUE"), "{text}");
    assert!(!good_for(&leaf, day), "no longer than the authority");
    assert_eq!(text.matches("DNS:").count(), text.matches("DNS:api.example").count(), "{text}");
    // An address is named as one.
    let rules = "[[rule]]\nid = \"a\"\nconnect = [\"192.0.2.1:443\"]\nhttp = [\"https://192.0.2.1/**\"]\nneed = \"none\"\n";
    let stage = Setting::new(rules).start();
    let client = stage.opened("192.0.2.1:443");
    let leaf = client.0.get_ref().conn.peer_certificates().unwrap()[0].clone();
    assert!(told(&leaf, &["-text"]).contains("IP Address:192.0.2.1"));
}

#[test]
fn t31_a_program_that_does_not_believe_the_run_gets_nowhere_and_it_is_said_why() {
    let (ca, origin, stage) = echo();
    let stream = stage.tunnel(&format!("api.example:{}", origin.port));
    assert!(
        in_tls(stream, believes(&pem(ca.der()), &[]), "api.example").is_err(),
        "it is not the host's own"
    );
    until("it is recorded", || {
        let told = stage.recorded(|body| match body {
            ledger::Body::Denied(denied) => denied.reasons[0].why.clone(),
            _ => None,
        });
        told.iter().any(|why| why.contains("TLS was not agreed on"))
    });
    assert_eq!(origin.connections(), 0);
}
