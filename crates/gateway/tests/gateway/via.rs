//! Where a proxy of the organisation stands between the machine and the world, what may leave goes by it, to the very address that
//! was judged.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::{Server, Setting, allow, listener};
use crate::origin::{Ca, Origin};

/// An address of the world; only the proxy here makes something of it.
const FAR: &str = "93.184.216.34";

/// A proxy that takes the world for this machine, and what it was asked.
fn proxy(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let (listener, heads) = (listener(), Arc::new(Mutex::new(Vec::new())));
    let (at, asked) = (listener.local_addr().unwrap(), Arc::clone(&heads));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let asked = Arc::clone(&asked);
            thread::spawn(move || attend(stream, answer, &asked));
        }
    });
    (at, heads)
}

fn attend(mut inner: TcpStream, answer: &str, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        inner.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let port: u16 = head.split(' ').nth(1).unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    asked.lock().unwrap().push(head);
    inner.write_all(answer.as_bytes())?;
    if !answer.contains(" 200 ") {
        return Ok(());
    }
    let outer = TcpStream::connect(("127.0.0.1", port))?;
    let (mut from, mut to) = (inner.try_clone()?, outer.try_clone()?);
    let up = thread::spawn(move || io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write)));
    io::copy(&mut &outer, &mut inner)?;
    inner.shutdown(Shutdown::Write)?;
    up.join().unwrap()
}

const YES: &str = "HTTP/1.1 200 Connection established\r\nvia: 1.1 proxy\r\n\r\n";

fn far(server: &Server, at: SocketAddr) -> Setting {
    Setting::new(allow(&format!("far.example:{}", server.port))).name("far.example", &[FAR]).via(at)
}

#[test]
fn t67_the_proxy_is_asked_for_the_address_that_was_judged() {
    let (server, (at, asked)) = (Server::echo(), proxy(YES));
    let stage = far(&server, at).start();
    let reply = stage.get(&format!("http://far.example:{}/", server.port));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = asked.lock().unwrap().concat();
    // The name is nowhere: the proxy cannot be led to look it up again. The password was decoded.
    let pass = "bWU6cGFzcyB3b3Jk";
    let expected = format!(
        "CONNECT {FAR}:{port} HTTP/1.1\r\nhost: {FAR}:{port}\r\nproxy-authorization: Basic {pass}\r\n\r\n",
        port = server.port
    );
    assert_eq!(asked, expected);
    assert!(!server.heads().concat().contains(pass), "what is said to the proxy goes no further");
}

#[test]
fn what_may_not_be_reached_is_not_asked_of_the_proxy() {
    let (server, (at, asked)) = (Server::echo(), proxy(YES));
    let stage = far(&server, at).name("metadata.example", &["169.254.169.254"]).start();
    assert_eq!(stage.get("http://elsewhere.example/").status, 403);
    let rules = allow("metadata.example:80");
    let other = Setting::new(rules).name("metadata.example", &["169.254.169.254"]).via(at).start();
    assert_eq!(other.get("http://metadata.example/").status, 403);
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
}

#[test]
fn what_is_on_this_machine_is_reached_without_the_proxy() {
    let (server, (at, asked)) = (Server::echo(), proxy(YES));
    let stage = Setting::new(server.allowed()).via(at).start();
    assert_eq!(stage.get(&server.url("/")).status, 200);
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
}

#[test]
fn a_proxy_that_refuses_or_says_no_http_is_no_way_out() {
    for answer in ["HTTP/1.1 407 Who are you\r\n\r\n", "HTTP/1.1 302 Found\r\n\r\n", "yes\r\n\r\n", ""] {
        let (server, (at, asked)) = (Server::echo(), proxy(answer));
        let stage = far(&server, at).start();
        let reply = stage.get(&format!("http://far.example:{}/", server.port));
        assert_eq!((reply.status, server.connections()), (502, 0), "{answer}: {}", reply.text());
        assert!(reply.text().contains(&format!("the proxy at {at}")), "{}", reply.text());
        assert!(!reply.text().contains("cGFzcyB3b3Jk"));
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}

#[test]
fn a_proxy_that_does_not_answer_is_named() {
    let at = listener().local_addr().unwrap();
    let reply = far(&Server::echo(), at).start().get("http://far.example:1/");
    assert_eq!(reply.status, 403, "another port than the one that is allowed");
    let server = Server::echo();
    let reply = far(&server, at).start().get(&format!("http://far.example:{}/", server.port));
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains(&format!("the proxy at {at}: it does not answer")), "{}", reply.text());
}

#[test]
fn tls_is_opened_by_way_of_a_proxy_and_the_certificate_is_the_servers() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let (at, asked) = proxy(YES);
    let stage = origin.setting(&ca).name("api.example", &[FAR]).via(at).start();
    let mut client = stage.opened(&format!("api.example:{}", origin.port));
    client.send(format!("GET /public/a HTTP/1.1\r\nhost: api.example:{}\r\n\r\n", origin.port));
    assert_eq!(client.reply().status, 200);
    assert_eq!(asked.lock().unwrap().len(), 1);
    // Another's certificate is none, whoever stands between.
    let other = Origin::echo(Ca::new().server("api.example", |_| {}));
    let stage = other.setting(&ca).name("api.example", &[FAR]).via(at).start();
    let mut client = stage.opened(&format!("api.example:{}", other.port));
    client.send(format!("GET /public/a HTTP/1.1\r\nhost: api.example:{}\r\n\r\n", other.port));
    assert_eq!((client.reply().status, other.heads().len()), (502, 0));
}
