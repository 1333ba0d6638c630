//! SOCKS5 at the proxy's port: the same rules, for names and addresses, and nothing but CONNECT.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use crate::common::{Client, Server, Setting, Stage, allow};
use crate::origin::{Ca, Origin, believes, in_tls};

/// What the proxy answers to this greeting and this request; and the connection.
fn asked(stage: &Stage, greeting: &[u8], request: &[u8]) -> (Vec<u8>, TcpStream) {
    let mut stream = Client::to(stage.proxy).0.into_inner();
    stream.write_all(greeting).unwrap();
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).unwrap();
    if chosen != [5, 0] {
        return (chosen.to_vec(), stream);
    }
    stream.write_all(request).unwrap();
    let mut reply = [0; 10];
    let reply = stream.read_exact(&mut reply).map(|()| reply.to_vec()).unwrap_or_default();
    (reply, stream)
}

fn named(host: &[u8], port: u16) -> Vec<u8> {
    [&[5, 1, 0, 3, u8::try_from(host.len()).unwrap()], host, &port.to_be_bytes()].concat()
}

fn said(stage: &Stage, request: &[u8]) -> Option<u8> {
    asked(stage, &[5, 1, 0], request).0.get(1).copied()
}

#[test]
fn a_name_and_an_address_are_judged_as_anywhere() {
    let server = Server::echo();
    let rules = server.allowed() + &allow(&format!("a.example:{}", server.port));
    let stage = Setting::new(rules).name("a.example", &["127.0.0.1"]).start();
    let address = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &server.port.to_be_bytes()].concat();
    for request in [named(b"A.example.", server.port), address.clone()] {
        let (reply, stream) = asked(&stage, &[5, 2, 2, 0], &request);
        assert_eq!(reply[..2], [5, 0]);
        let mut client = Client(std::io::BufReader::new(stream));
        client.send("GET /x HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(client.reply().status, 200);
    }
    let mapped =
        [&[5, 1, 0, 4][..], &[0; 10], &[255, 255, 127, 0, 0, 1], &server.port.to_be_bytes()].concat();
    assert_eq!(said(&stage, &mapped), Some(0), "it is the same address");
    let lookups = stage.lookups();
    for (request, reply) in [
        (named(b"b.example", 443), 2),
        ([&[5, 1, 0, 1, 192, 0, 2, 1][..], &443_u16.to_be_bytes()].concat(), 2),
        ([&[5, 2, 0, 1, 127, 0, 0, 1][..], &server.port.to_be_bytes()].concat(), 7),
        ([&[5, 3, 0, 1, 127, 0, 0, 1][..], &server.port.to_be_bytes()].concat(), 7),
    ] {
        assert_eq!(said(&stage, &request), Some(reply), "{request:?}");
    }
    assert_eq!(stage.lookups(), lookups);
}

#[test]
fn t09_t10_a_name_that_has_no_one_spelling_is_none() {
    let stage = Setting::new(allow("a.example:443")).name("a.example", &["127.0.0.1"]).open().start();
    let long = [b'a'; 255];
    for name in [
        &b"a.example\0.evil.example"[..],
        b"a.example\r\n",
        b"a. example",
        b"user@a.example",
        b"a.example..",
        b"127.1",
        b"0x7f.1",
        b"2130706433",
        b"a%2eexample",
        b"\xff\xfe",
        b"",
        b"provost.internal",
        &long,
    ] {
        let said = said(&stage, &named(name, 443));
        assert_eq!(said, Some(1), "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(said(&stage, &named(b"a.example", 0)), Some(1));
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn only_who_need_not_log_in_are_served() {
    let stage = Setting::new("").start();
    assert_eq!(asked(&stage, &[5, 1, 2], &[]).0, [5, 0xff]);
    assert_eq!(asked(&stage, &[5, 0], &[]).0, [5, 0xff]);
}

#[test]
fn a_host_that_must_be_seen_is_seen_by_this_way_too() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let stage = origin.setting(&ca).start();
    let (reply, stream) = asked(&stage, &[5, 1, 0], &named(b"api.example", origin.port));
    assert_eq!(reply[..2], [5, 0]);
    let mut client = in_tls(stream, believes(&stage.authority, &[]), "api.example").unwrap();
    client.send(format!("GET /secret HTTP/1.1\r\nhost: api.example:{}\r\n\r\n", origin.port));
    assert_eq!(client.reply().status, 403);
    assert_eq!(origin.connections(), 0);

    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, &stage.authority).unwrap();
    let curl = |path: &str| {
        let out = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert"])
            .arg(&bundle)
            .args(["--socks5-hostname", &stage.proxy.to_string()])
            .arg(format!("https://api.example:{}{path}", origin.port))
            .env_clear()
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    };
    assert!(curl("/public/a").contains("GET /public/a HTTP/1.1"));
    assert!(curl("/secret").contains("provost: denied http GET https://api.example"));
}

#[test]
fn an_address_that_stands_for_a_name_means_the_name() {
    let server = Server::echo();
    let rules = server.allowed() + &allow(&format!("a.example:{}", server.port));
    let stage = Setting::new(rules).name("a.example", &["127.0.0.1"]).start();
    let address = stage.address("a.example");
    let request = [&[5, 1, 0, 1][..], &address.octets(), &server.port.to_be_bytes()].concat();
    assert_eq!(said(&stage, &request), Some(0));
    assert_eq!(stage.lookups(), 1);
}
