//! Promise: a connection that comes without a proxy is judged, held, carried and counted like one that asked for it, and a
//! name is an address that means this name and nothing else.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use admission::Answer;
use gateway::Asker;
use ledger::Body;
use ledger::event::{Ingress, Verdict};
use policy::Endpoint;

use super::common::{Client, PATIENCE, Server, Setting, Stage, allow, listener, until};
use super::origin::{believes, in_tls};

const ASKER: Asker = Asker { pid: 4711, inside: 12 };

impl Stage {
    /// A connection that the supervisor has carried here.
    fn carried(&self, to: &str) -> Client {
        let client = Client::to(self.streams);
        self.tell(&client, to);
        client
    }

    fn tell(&self, client: &Client, to: &str) {
        let from = client.0.get_ref().local_addr().unwrap();
        self.carriage.expect(from, Endpoint::parse(to).unwrap(), ASKER);
    }

    /// What was said on the process's standard error.
    fn said(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        assert!(said.iter().all(|(asker, _)| *asker == ASKER));
        said.iter().map(|(_, line)| line.clone()).collect()
    }

    fn connections(&self) -> Vec<(Option<u32>, String, Verdict, Ingress)> {
        self.recorded(|body| match body {
            Body::Connection(seen) => Some((seen.pid, seen.endpoint, seen.verdict, seen.ingress)),
            _ => None,
        })
    }

    /// What the answer to a question by datagram says: the status, and the addresses.
    fn name(&self, name: &str, kind: u16) -> (u16, Vec<Vec<u8>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.names).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.carriage.asks_names(socket.local_addr().unwrap(), ASKER);
        socket.send(&question(name, kind)).unwrap();
        let mut answer = [0; 1500];
        let length = socket.recv(&mut answer).unwrap();
        read(name, kind, &answer[..length])
    }

    pub(crate) fn address(&self, name: &str) -> Ipv4Addr {
        let (status, found) = self.name(name, 1);
        assert_eq!((status, found.len()), (0, 1), "{name}");
        Ipv4Addr::from(<[u8; 4]>::try_from(found[0].as_slice()).unwrap())
    }
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(1_u16.to_be_bytes());
    message
}

/// Reads an answer by hand: it repeats the question, and names are written out.
fn read(name: &str, kind: u16, answer: &[u8]) -> (u16, Vec<Vec<u8>>) {
    let asked = question(name, kind);
    let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    assert_eq!(&answer[..2], &asked[..2], "another question's");
    assert!(word(2) & 0x8000 != 0, "no answer");
    if word(2) & 0xf == 1 {
        return (1, Vec::new());
    }
    assert_eq!(answer.get(12..asked.len()), asked.get(12..), "the question is not repeated: {name} {kind}");
    let mut at = asked.len();
    let mut found = Vec::new();
    for _ in 0..word(6) {
        at += asked.len() - 12 - 4 + 8;
        let length = usize::from(word(at));
        found.push(answer[at + 2..at + 2 + length].to_vec());
        at += 2 + length;
    }
    (word(2) & 0xf, found)
}

/// Sends a word back with another before it.
fn greeter() -> u16 {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"hello ");
            let mut word = [0; 5];
            if stream.read_exact(&mut word).is_ok() {
                let _ = stream.write_all(&word);
            }
        }
    });
    port
}

fn talk(client: &mut Client) -> String {
    client.send("there");
    let mut said = [0; 11];
    client.0.read_exact(&mut said).unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

/// Whether the connection was broken off, and nothing was said on it.
fn broken_off(client: &mut Client) -> bool {
    let mut rest = [0; 1];
    matches!(client.0.read(&mut rest), Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn what_is_carried_reaches_what_it_means_and_is_recorded_with_its_process() {
    let port = greeter();
    let to = format!("127.0.0.1:{port}");
    let stage = Setting::new(allow(&to)).start();
    assert_eq!(talk(&mut stage.carried(&to)), "hello there");
    until("the flow ends", || stage.gateway.flows().destinations.contains_key(&to));
    assert_eq!(stage.connections(), [(Some(4711), to.clone(), Verdict::Allow, Ingress::Socket)]);
    let flows = stage.gateway.flows();
    let tally = flows.destinations[&to];
    assert_eq!((tally.bytes_up, tally.bytes_down), (5, 11));
}

#[test]
fn t73_t74_what_nobody_told_of_is_broken_off() {
    let port = greeter();
    let to = format!("127.0.0.1:{port}");
    let stage = Setting::new(allow(&to)).bounds(|bounds| bounds.word = Duration::from_millis(50)).start();
    assert!(broken_off(&mut Client::to(stage.streams)));
    // The word may come a moment later, and is good once.
    let stage = Setting::new(allow(&to)).start();
    let mut late = Client::to(stage.streams);
    thread::sleep(Duration::from_millis(30));
    stage.tell(&late, &to);
    assert_eq!(talk(&mut late), "hello there");
    assert_eq!(stage.connections().len(), 1);
}

#[test]
fn t73_whoever_relays_for_another_is_judged_as_the_other() {
    let port = greeter();
    let to = format!("127.0.0.1:{port}");
    let stage = Setting::new(allow(&to)).start();
    let by = |pid: u32, to: &str| {
        let client = Client::to(stage.streams);
        let from = client.0.get_ref().local_addr().unwrap();
        stage.carriage.expect(from, Endpoint::parse(to).unwrap(), Asker { pid, inside: pid.cast_signed() });
        client
    };
    for pid in [1, 12, 4711] {
        assert_eq!(talk(&mut by(pid, &to)), "hello there");
        assert!(broken_off(&mut by(pid, "evil.example:443")), "{pid}");
    }
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn what_is_refused_is_broken_off_and_said_to_its_process() {
    let stage = Setting::new(
        "[[rule]]\nid = \"evil\"\nconnect = [\"evil.example:*\"]\nneed = \"never\"\nwhy = \"It is evil.\"\n",
    )
    .start();
    for _ in 0..2 {
        assert!(broken_off(&mut stage.carried("evil.example:443")));
    }
    assert_eq!(
        stage.said(),
        ["provost: denied connect evil.example:443 (rule evil: It is evil.)\n"],
        "a loop is told once"
    );
    assert_eq!(stage.lookups(), 0);
    let deny = (Some(4711), "evil.example:443".to_owned(), Verdict::Deny, Ingress::Socket);
    assert_eq!(stage.connections(), [deny.clone(), deny]);
}

#[test]
fn what_is_allowed_and_not_there_is_broken_off_with_the_reason() {
    let gone = listener().local_addr().unwrap();
    let stage = Setting::new(allow(&gone.to_string())).start();
    assert!(broken_off(&mut stage.carried(&gone.to_string())));
    assert!(
        stage.said()[0].starts_with(&format!("provost: unreachable connect {gone}")),
        "{:?}",
        stage.said()
    );
}

#[test]
fn a_question_is_waited_for_on_the_open_connection() {
    let port = greeter();
    let to = format!("127.0.0.1:{port}");
    let stage = Setting::new(format!("[[rule]]\nid = \"ask\"\nconnect = [\"{to}\"]\nneed = \"human\"\n"))
        .attended()
        .start();
    let answer = |allow: bool| {
        let ask = stage.admission.asks().recv_timeout(PATIENCE).unwrap();
        assert_eq!(ask.text, format!("connect {to}"));
        let by = Answer {
            allow,
            by: "tester".into(),
            how: "terminal".into(),
            why: Some("because".into()),
            ..Answer::default()
        };
        stage.admission.answer(&ask.ask, by).unwrap();
    };
    let mut first = stage.carried(&to);
    answer(true);
    assert_eq!(talk(&mut first), "hello there");
    let mut second = stage.carried(&to);
    answer(false);
    assert!(broken_off(&mut second));
    assert!(stage.said()[0].starts_with(&format!("provost: denied connect {to}")), "{:?}", stage.said());
    // Whoever goes away takes the question along.
    drop(stage.carried(&to));
    until("the question is withdrawn", || stage.admission.open_asks().is_empty());
}

#[test]
fn t83_where_rules_look_at_requests_nothing_else_passes() {
    let server = Server::echo();
    let place = format!("127.0.0.1:{}", server.port);
    let rules = format!(
        "[[rule]]\nid = \"read\"\nhttp = [\"http://{place}/public/**\", \"https://secure.example/**\"]\nmethods = [\"GET\"]\nneed = \"none\"\n"
    );
    let stage = Setting::new(rules).bounds(|bounds| bounds.head = Duration::from_millis(300)).start();
    let ask = |method: &str, path: &str, host: &str| {
        let mut client = stage.carried(&place);
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        client.reply().status
    };
    assert_eq!(ask("GET", "/public/a", &place), 200);
    assert_eq!(ask("GET", "/secret", &place), 403);
    assert_eq!(ask("POST", "/public/a", &place), 403);
    assert_eq!(ask("GET", "/public/a", "127.0.0.1:1"), 400);
    assert_eq!(ask("GET", "/public/a", "other.example"), 400);
    // Each request of a connection for itself.
    let mut client = stage.carried(&place);
    client.send(format!(
        "GET /public/a HTTP/1.1\r\nhost: {place}\r\n\r\nGET /secret HTTP/1.1\r\nhost: {place}\r\n\r\n"
    ));
    assert_eq!((client.reply().status, client.reply().status), (200, 403));
    let seen = server.connections();
    // What is no request reaches nobody; and TLS is opened for the host that was connected to.
    let mut bytes = stage.carried(&place);
    bytes.send([22, 3, 1, 0, 5, 1, 0, 0, 1, 0, 13, 10, 13, 10]);
    let mut rest = Vec::new();
    let _ = bytes.0.read_to_end(&mut rest);
    let tls = stage.carried("secure.example:443").0.into_inner();
    assert!(in_tls(tls, believes(&stage.authority, &[]), "other.example").is_err());
    assert_eq!((server.connections(), stage.lookups()), (seen, 0));
    let told = |line: &String| line.contains("TLS names `other.example`");
    until("the process is told", || stage.said().iter().any(told));
    let tls = stage.carried("secure.example:443").0.into_inner();
    let mut client = in_tls(tls, believes(&stage.authority, &[]), "secure.example").unwrap();
    client.send("DELETE / HTTP/1.1\r\nhost: secure.example\r\n\r\n");
    assert_eq!((client.reply().status, stage.lookups()), (403, 0));
    let processes = stage.connections();
    assert!(processes.iter().all(|(pid, ..)| *pid == Some(4711)), "{processes:?}");
}

#[test]
fn on_the_port_of_http_a_refusal_is_an_answer() {
    let stage = Setting::new("").start();
    let mut client = stage.carried("unlisted.example:80");
    client.send("GET / HTTP/1.1\r\nhost: unlisted.example\r\n\r\n");
    assert_eq!(client.reply().error()["action"], "connect unlisted.example:80");
    let mut client = stage.carried("unlisted.example:80");
    client.send("GET / HTTP/1.1\r\nhost: other.example\r\n\r\n");
    assert_eq!(client.reply().status, 400);
    // What is none is a connection like any other.
    let mut client = stage.carried("unlisted.example:80");
    client.send([0, 1, 2]);
    assert!(broken_off(&mut client));
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn a_name_is_an_address_that_means_it_and_is_looked_up_when_it_is_dialled() {
    let port = greeter();
    let rules = format!(
        "[[rule]]\nid = \"a\"\nconnect = [\"web.example:{port}\", \"127.0.0.1:{port}\"]\nneed = \"none\"\n"
    );
    let stage = Setting::new(rules).name("web.example", &["127.0.0.1"]).start();
    let address = stage.address("web.example");
    assert_eq!(address.octets()[..2], [198, 18]);
    assert_eq!(stage.address("WEB.example"), address, "in any letters");
    assert_eq!(stage.lookups(), 0);
    let meant = stage.carriage.meant(SocketAddr::from((address, port)));
    assert_eq!(meant.to_string(), format!("web.example:{port}"));
    let within_six = SocketAddr::from((address.to_ipv6_mapped(), port));
    assert_eq!(stage.carriage.meant(within_six), meant);
    assert_eq!(talk(&mut stage.carried(&meant.to_string())), "hello there");
    assert_eq!(stage.lookups(), 1);
    let other = SocketAddr::from(([198, 18, 255, 255], port));
    assert_eq!(stage.carriage.meant(other).to_string(), other.to_string());
}

#[test]
fn a_name_that_nobody_may_connect_to_does_not_exist() {
    let rules = "[[rule]]\nid = \"a\"\nconnect = [\"web.example:8443\"]\nneed = \"none\"\n\
                 [[rule]]\nid = \"b\"\nhttp = [\"http://seen.example/a\"]\nneed = \"none\"\n\
                 [[rule]]\nid = \"no\"\nconnect = [\"*.evil.example:*\"]\nneed = \"never\"\nwhy = \"It is evil.\"\n";
    let stage = Setting::new(rules).start();
    for known in ["web.example", "seen.example"] {
        stage.address(known);
    }
    for (name, why) in [("unlisted.example", "no rule allows it"), ("x.evil.example", "rule no: It is evil.")]
    {
        for kind in [1, 28, 1] {
            assert_eq!(stage.name(name, kind), (3, vec![]), "{name}");
        }
        assert!(
            stage.said().iter().any(|line| line.contains(name) && line.contains(why)),
            "{:?}",
            stage.said()
        );
    }
    assert_eq!(stage.said().len(), 2, "each once: {:?}", stage.said());
    let denied = stage.recorded(|body| match body {
        Body::Denied(denied) => Some((denied.what, denied.target.to_string())),
        _ => None,
    });
    let expected = ["unlisted.example", "x.evil.example"].map(|name| ("connect".to_owned(), name.to_owned()));
    assert_eq!(denied, expected);
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn t69_other_names_and_other_records_have_their_one_answer() {
    let stage = Setting::new("").open().start();
    stage.address("any.example");
    // Addresses of IPv6, mail, texts, services, anything at all: there are none.
    for kind in [28, 15, 16, 33, 65, 255, 12, 10, 64] {
        assert_eq!(stage.name("any.example", kind), (0, vec![]), "{kind}");
    }
    // Of a kind that nobody knows the reader makes nothing, and says so.
    assert_eq!(stage.name("any.example", 65_000), (1, vec![]));
    for own in ["localhost", "LOCALHOST", "a.localhost", "the-inside"] {
        assert_eq!(stage.name(own, 1), (0, vec![vec![127, 0, 0, 1]]), "{own}");
    }
    assert_eq!(stage.name("localhost", 28).1.len(), 1);
    let longest = [63, 63, 63, 61].map(|length| "a".repeat(length)).join(".");
    stage.address(&longest);
    for none in [
        "",
        "127.1",
        "0x7f.1",
        "1.2.3.4",
        "a b.example",
        "a/b",
        "x@y.example",
        "%61.example",
        "*.example",
        "provost.internal",
        "a.provost.internal",
        "1.0.18.198.in-addr.arpa",
        "-.example",
    ] {
        assert_eq!(stage.name(none, 1), (3, vec![]), "{none}");
    }
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn a_message_that_is_no_question_gets_no_answer_and_harms_nothing() {
    let stage = Setting::new("").open().start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(stage.names).unwrap();
    let good = question("any.example", 1);
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
    let changed = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        message
    };
    bad.push(changed(2, 0x81));
    // Two questions, none, 65,280 of each kind of record.
    bad.extend([
        changed(5, 2),
        changed(5, 0),
        changed(6, 255),
        changed(8, 255),
        changed(10, 255),
        changed(4, 255),
    ]);
    // A name that leads to itself, ahead, out of the message, and labels longer than any.
    for pointer in [[0xc0, 12], [0xc0, 14], [0xc3, 0xff], [0xff, 0xff], [0x7f, 0x41], [0x80, 0]] {
        bad.push([&good[..12], &pointer, &[0, 1, 0, 1]].concat());
    }
    bad.push([good.as_slice(), &[0; 3000]].concat());
    for message in &bad {
        // A message that is too long is cut, and nothing more.
        let _ = socket.send(message);
    }
    stage.address("still.example");
    assert_eq!(stage.gateway.flows().faults, 0);
}

#[test]
fn names_are_answered_on_streams_too() {
    let stage = Setting::new("").open().start();
    let mut stream = TcpStream::connect(stage.long_names).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for name in ["one.example", "two.example"] {
        let question = question(name, 1);
        stream.write_all(&u16::try_from(question.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&question).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        let (status, found) = read(name, 1, &answer);
        assert_eq!((status, found), (0, vec![stage.address(name).octets().to_vec()]));
    }
    // Nonsense ends the stream, and only that.
    stream.write_all(&[0, 3, 1, 2, 3]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    stage.address("three.example");
}
