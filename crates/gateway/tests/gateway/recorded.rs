//! What is recorded: all that the inside saw of it, no secret, and nothing that passes without.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use gateway::cassette::{Fault, Flow, Store, Tape, check};
use ledger::Body;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Client, PLACEHOLDER, SECRET, Server, Setting, Stage, allow, until};
use crate::frames::{Came, Frames};
use crate::models::{setting, talk, talking};
use crate::origin::{Ca, Origin};

/// Everything of a flow.
const ALL: usize = 256 << 20;

/// A rule that records whatever goes to this place.
fn records(endpoint: &str) -> String {
    format!("[[rule]]\nid = \"rec\"\nconnect = [\"{endpoint}\"]\nneed = \"none\"\nrecord = \"full\"\n")
}

/// A server in TLS, at this machine's own address, and a gateway that records what it is asked.
fn opened(answer: impl Fn(&mut crate::origin::Served, &str) + Send + Sync + 'static) -> (Origin, Setting) {
    let ca = Ca::new();
    let origin = Origin::start(ca.server("127.0.0.1", |_| {}), answer);
    let setting = Setting::new(records(&format!("127.0.0.1:{}", origin.port))).trusts(ca.der());
    (origin, setting)
}

fn echo() -> (Origin, Setting) {
    opened(|client, head| {
        let body = client.body(&crate::common::headers_of(head), false);
        let text = format!("{head}\n\n{}", String::from_utf8_lossy(&body));
        client.send(format!(
            "HTTP/1.1 200 OK\r\nset-cookie: tasty=yes\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        ));
    })
}

fn post(stage: &Stage, port: u16, headers: &str, body: &[u8]) -> crate::common::Reply {
    let mut client = stage.opened(&format!("127.0.0.1:{port}"));
    let head = format!(
        "POST /public/a?key=my-own-key&b=2 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat());
    client.reply()
}

fn flows(dir: &Path) -> Vec<Flow> {
    let tape = Tape::open(dir).unwrap();
    let mut numbers = BTreeSet::new();
    tape.lines(|line| {
        numbers.insert(line.flow);
        Ok(())
    })
    .unwrap();
    numbers.into_iter().map(|number| tape.flow(number, ALL).unwrap().unwrap()).collect()
}

/// All bytes of all files.
fn everything(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        all.extend(if path.is_dir() { everything(&path) } else { fs::read(&path).unwrap() });
    }
    all
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|window| window == text.as_bytes())
}

fn header<'h>(headers: &'h [(String, String)], wanted: &str) -> &'h str {
    headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
}

#[test]
fn a_request_in_tls_and_its_answer_can_be_read_again() {
    let (origin, setting) = echo();
    let stage = setting.start();
    let question = "what is it? ".repeat(4_000);
    let reply =
        post(&stage, origin.port, "x-plain: yes\r\nauthorization: Bearer mine\r\n", question.as_bytes());
    post(&stage, origin.port, "authorization: Bearer mine\r\n", b"");
    post(&stage, origin.port, "authorization: Bearer other\r\n", b"");
    let place = stage.tape();
    let (ended, _dir) = stage.stop();
    assert_eq!(ended.settled.failed, None);
    let flows = flows(&place);
    assert_eq!(flows.len(), 3);
    let (first, head) = (&flows[0], flows[0].head.as_ref().unwrap());
    assert_eq!((head.method.as_str(), head.version.as_str()), ("POST", "HTTP/1.1"));
    assert!(
        head.url.starts_with(&format!("https://127.0.0.1:{}/public/a?key=<key:", origin.port)),
        "{}",
        head.url
    );
    assert!(head.url.ends_with(">&b=2") && header(&head.headers, "x-plain") == "yes");
    assert_eq!(first.up, question.as_bytes());
    let side = first.up_end.as_ref().unwrap();
    assert_eq!((side.bytes, side.cut), (question.len() as u64, false));
    assert_eq!(side.sha256, format!("{:x}", Sha256::digest(&question)));
    let (status, headers) = first.answer.as_ref().unwrap();
    assert_eq!((*status, first.answered()), (200, reply.body));
    assert!(header(headers, "set-cookie").starts_with("<set-cookie:"), "{headers:?}");
    assert_eq!(first.close.as_ref().unwrap().outcome, "closed");
    // The same credential is the same text, another is another, and none is there as it was.
    let sent = |at: usize| header(&flows[at].head.as_ref().unwrap().headers, "authorization").to_owned();
    assert!(
        sent(0) == sent(1) && sent(0) != sent(2) && sent(0).starts_with("<authorization:"),
        "{}",
        sent(0)
    );
    let head_lines = fs::read(place.join("events.jsonl")).unwrap();
    let heads: Vec<&str> =
        std::str::from_utf8(&head_lines).unwrap().lines().filter(|line| line.contains(".head\"")).collect();
    assert!(
        !heads.concat().contains("Bearer")
            && !heads.concat().contains("tasty")
            && !heads.concat().contains("my-own-key")
    );
    check(&place, &ended.settled.sha256).unwrap();
}

#[test]
fn t86_the_secret_is_nowhere_in_a_cassette_and_the_placeholder_stands_for_it() {
    let (origin, setting) = echo();
    let mut setting = setting.credential(origin.port);
    let rule = "[[rule]]\nid = \"key\"\nneed = \"none\"\n";
    setting.rules += &format!("{rule}credential = [\"MODEL_KEY 127.0.0.1:{}\"]\n", origin.port);
    let stage = setting.start();
    let body = format!("my key is {PLACEHOLDER}, they say");
    let reply = post(&stage, origin.port, &format!("x-odd: {PLACEHOLDER}\r\n"), body.as_bytes());
    assert!(origin.heads()[0].contains(SECRET), "it went out: {:?}", origin.heads());
    assert!(String::from_utf8_lossy(&reply.body).contains(PLACEHOLDER));
    // What is refused because of a secret is not recorded with it either.
    let refused = post(&stage, origin.port, &format!("x-odd: {SECRET}\r\n"), b"");
    assert_eq!(refused.status, 403);
    post(&stage, origin.port, "", format!("{} {SECRET}", "x".repeat(100_000)).as_bytes());
    let place = stage.tape();
    let (_, _dir) = stage.stop();
    let all = everything(&place);
    assert!(!holds(&all, SECRET) && holds(&all, PLACEHOLDER));
    let flows = flows(&place);
    assert_eq!(flows[0].answered(), reply.body);
    assert!(flows.last().unwrap().up_end.as_ref().unwrap().cut);
}

#[test]
fn a_request_of_http_2_is_recorded_as_one() {
    let ca = Ca::new();
    let origin = Origin::echo(ca.server("api.example", |_| {}));
    let to = format!("api.example:{}", origin.port);
    let rules = format!(
        "{}[[rule]]\nid = \"rec\"\nhttp = [\"https://{to}/public/**\"]\nneed = \"none\"\nrecord = \"full\"\n",
        allow(&format!("127.0.0.1:{}", origin.port))
    );
    let stage = Setting::new(rules).name("api.example", &["127.0.0.1"]).trusts(ca.der()).start();
    let asked = |path: &'static str| {
        let head = [(":method", "POST"), (":scheme", "https"), (":authority", &*to), (":path", path)];
        Frames::to(&stage, &to).ask(&head, Some(b"hello"))
    };
    assert!(matches!(asked("/public/a"), Came::Answer(text) if text.ends_with("hello")));
    // What the rule does not speak of is refused, and not the recording's business.
    assert!(matches!(asked("/private/a"), Came::Answer(text) if text.contains("denied")));
    let place = stage.tape();
    let (_, _dir) = stage.stop();
    let flows = flows(&place);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].head.as_ref().unwrap().version, "HTTP/2.0");
    assert_eq!((flows[0].up.as_slice(), flows[0].answer.as_ref().unwrap().0), (&b"hello"[..], 200));
}

#[test]
fn pieces_of_a_stream_keep_their_times() {
    let (origin, setting) = opened(|client, _| {
        client
            .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for number in 0..3 {
            thread::sleep(Duration::from_millis(150));
            client.send(format!("9\r\ndata: {number}\n\n\r\n"));
        }
        client.send("0\r\n\r\n");
    });
    let stage = setting.start();
    post(&stage, origin.port, "", b"{}");
    let place = stage.tape();
    let (_, _dir) = stage.stop();
    let down = &flows(&place)[0].down;
    let texts: Vec<&[u8]> = down.iter().map(|piece| &piece.bytes[..]).collect();
    assert_eq!(texts, [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]);
    assert!(down.windows(2).all(|two| two[1].t_us - two[0].t_us > 100_000), "{down:?}");
}

#[test]
fn a_conversation_that_is_sent_again_and_again_is_kept_about_once() {
    let (origin, setting) = opened(|client, head| {
        client.body(&crate::common::headers_of(head), false);
        client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let stage = setting.start();
    let turn = |number: u32| {
        let words: String =
            (0..600).map(|word| format!("{} ", (number * 600 + word).wrapping_mul(2_654_435_761))).collect();
        format!("{{\"turn\": {number}, \"text\": \"{words}\"}}, ")
    };
    let mut said = String::new();
    for number in 0..40 {
        said.push_str(&turn(number));
        // Something that changes stands before it, and something that does not behind.
        let question = format!("{{\"now\": {number}, \"messages\": [{said}], \"tools\": \"{}\"}}", turn(99));
        post(&stage, origin.port, "", question.as_bytes());
    }
    let place = stage.tape();
    let (ended, _dir) = stage.stop();
    let last = said.len() as u64;
    assert!(ended.settled.blob_bytes < 4 * last, "{} of {last}", ended.settled.blob_bytes);
    let sent: u64 = flows(&place).iter().map(|flow| flow.up.len() as u64).sum();
    assert!(ended.settled.bytes + ended.settled.blob_bytes < sent / 4, "{ended:?} of {sent}");
    let flow = flows(&place).pop().unwrap();
    assert_eq!(flow.up_end.unwrap().sha256, format!("{:x}", Sha256::digest(&flow.up)));
}

/// A frame as a client sends it.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, by)| byte ^ by));
    frame
}

#[test]
fn t77_each_frame_of_a_websocket_is_recorded_with_its_way() {
    let big = 300_000;
    let server = Server::start(move |client, head| {
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        client.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n");
        let mut first = vec![0; masked(1, b"hello").len() + masked(2, &vec![7; big]).len()];
        client.0.read_exact(&mut first).unwrap();
        client.send(b"\x81\x05world\x88\x00");
        let _ = client.0.read(&mut [0; 100]);
    });
    let place_of = format!("127.0.0.1:{}", server.port);
    let stage = Setting::new(records(&place_of)).start();
    let mut client = stage.connect();
    client.send(format!(
        "GET {} HTTP/1.1\r\nhost: {place_of}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n",
        server.url("/talk")
    ));
    assert!(client.head().0.contains("101"));
    client.send(masked(1, b"hello"));
    client.send(masked(2, &vec![7; big]));
    let mut came = [0; 9];
    client.0.read_exact(&mut came).unwrap();
    assert_eq!(&came[2..7], b"world");
    drop(client);
    let place = stage.tape();
    let (_, _dir) = stage.stop();
    let flow = flows(&place).remove(0);
    let of = |dir: &str, opcode: u8| -> Vec<u8> {
        let frames = flow.frames.iter().filter(|frame| frame.dir == dir && frame.opcode == opcode);
        frames.flat_map(|frame| frame.bytes.clone()).collect()
    };
    assert_eq!((of("up", 1), of("down", 1)), (b"hello".to_vec(), b"world".to_vec()));
    assert_eq!(of("up", 2), vec![7; big]);
    assert!(flow.frames.iter().any(|frame| frame.dir == "down" && frame.opcode == 8));
}

/// A disk that takes nothing while it is shut, or no more than so much.
#[derive(Clone, Default)]
struct Disk(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    shut: bool,
    most: Option<usize>,
    taken: usize,
}

impl Disk {
    fn shut(&self, shut: bool) {
        self.0.0.lock().unwrap().shut = shut;
        self.0.1.notify_all();
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| state.shut).unwrap();
        state.taken += bytes;
        match state.most.is_some_and(|most| state.taken > most) {
            true => Err(io::Error::new(io::ErrorKind::StorageFull, "no space is left")),
            false => Ok(()),
        }
    }
}

impl Store for Disk {
    fn lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.take(lines.len())
    }

    fn blob(&mut self, _: &str, bytes: &[u8]) -> io::Result<bool> {
        self.take(bytes.len()).map(|()| true)
    }

    fn manifest(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// A server that counts what it is sent, and answers at the end.
fn sink() -> (Server, Arc<AtomicUsize>) {
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    let server = Server::start(move |client, head| {
        let length = header(&crate::common::headers_of(head), "content-length").parse().unwrap_or(0);
        let (mut left, mut buffer) = (length, vec![0; 64 << 10]);
        while left > 0 {
            let most = left.min(buffer.len());
            match client.0.read(&mut buffer[..most]) {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    left -= read;
                    counted.fetch_add(read, Ordering::SeqCst);
                }
            }
        }
        client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    (server, came)
}

/// Who is about to send so many bytes.
fn posting(stage: &Stage, server: &Server, size: usize) -> Client {
    let mut client = stage.connect();
    let (url, port) = (server.url("/"), server.port);
    client.send(format!("POST {url} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {size}\r\n\r\n"));
    client
}

#[test]
fn a_slow_disk_holds_up_what_passes_and_nothing_is_lost() {
    let (server, came) = sink();
    let disk = Disk::default();
    let stage = Setting::new(records(&format!("127.0.0.1:{}", server.port))).store(disk.clone()).start();
    let size = 64 << 20;
    let mut client = posting(&stage, &server, size);
    until("the head came", || !server.heads().is_empty());
    disk.shut(true);
    let body: Vec<u8> = (0..size).map(|at| u8::try_from((at * 31 + at / 977) % 251).unwrap()).collect();
    let mut writing = client.0.get_ref().try_clone().unwrap();
    let sender = thread::spawn(move || writing.write_all(&body));
    // It comes to a stand where the queue is full, long before all of it left.
    let mut before = usize::MAX;
    until("it stands still", || {
        thread::sleep(Duration::from_millis(300));
        let now = came.load(Ordering::SeqCst);
        std::mem::replace(&mut before, now) == now && now > 0
    });
    // First, so that a test that fails does not wait for its writer for ever.
    disk.shut(false);
    assert!(before < 24 << 20, "{before} bytes passed unrecorded");
    assert_eq!(client.reply().status, 200);
    sender.join().unwrap().unwrap();
    let (ended, _dir) = stage.stop();
    assert_eq!(ended.settled.failed, None);
    assert_eq!(came.load(Ordering::SeqCst), size);
    // All of it is there; a last piece may be short enough to stand in its line.
    let kept = ended.settled.blob_bytes;
    assert!((size as u64 - 2_048..=size as u64).contains(&kept), "{kept} of {size}");
}

#[test]
fn what_cannot_be_recorded_does_not_pass_and_it_is_said() {
    let (server, came) = sink();
    let disk = Disk::default();
    disk.0.0.lock().unwrap().most = Some(1 << 20);
    let stage = Setting::new(records(&format!("127.0.0.1:{}", server.port))).store(disk).start();
    let size = 64 << 20;
    let client = posting(&stage, &server, size);
    let mut writing = client.0.get_ref().try_clone().unwrap();
    let sender = thread::spawn(move || writing.write_all(&vec![1; size]));
    until("it is broken off", || {
        sender.is_finished() || stage.gateway.flows().destinations.values().any(|tally| tally.requests > 0)
    });
    drop(client);
    assert!(came.load(Ordering::SeqCst) < size / 2);
    let next = stage.get(&server.url("/again"));
    assert_eq!(next.status, 403);
    assert!(next.text().contains("no space is left"), "{}", next.text());
    let denied = stage.recorded(|body| match body {
        Body::Denied(denied) => Some(denied.reasons[0].rule.clone()),
        _ => None,
    });
    assert!(denied.contains(&"record".to_owned()), "{denied:?}");
    let outcomes = stage.recorded(|body| match body {
        Body::Flow(flow) => Some(flow.outcome),
        _ => None,
    });
    assert_eq!(outcomes, ["unrecorded"]);
    let (ended, _dir) = stage.stop();
    assert!(ended.settled.failed.unwrap().contains("no space is left"));
}

#[test]
fn what_passes_beside_the_cassette_is_a_gap_and_said() {
    let (recorded, beside) = (Server::echo(), Server::echo());
    let rules = records(&format!("127.0.0.1:{}", recorded.port)) + &beside.allowed();
    let stage = Setting::new(rules).start();
    stage.get(&recorded.url("/a"));
    stage.get(&beside.url("/b"));
    drop(stage.tunnel(&format!("127.0.0.1:{}", beside.port)));
    until("all is over", || {
        stage.gateway.flows().destinations.values().map(|tally| tally.requests).sum::<u64>() == 3
    });
    let place = stage.tape();
    let (ended, _dir) = stage.stop();
    let gaps: Vec<(String, u64)> = ended.gaps.iter().map(|gap| (gap.because.clone(), gap.flows)).collect();
    assert_eq!(gaps, [("not asked".to_owned(), 1), ("tunnel".to_owned(), 1)]);
    assert!(ended.gaps.iter().all(|gap| gap.endpoint == format!("127.0.0.1:{}", beside.port)));
    assert_eq!(Tape::open(&place).unwrap().manifest.gaps, ended.gaps);
}

#[test]
fn a_cassette_is_its_owners_alone_and_a_changed_one_is_noticed() {
    let (origin, setting) = echo();
    let stage = setting.start();
    post(&stage, origin.port, "", &vec![b'x'; 10_000]);
    let place = stage.tape();
    let (ended, _dir) = stage.stop();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join("events.jsonl"))), (0o700, 0o600));
    let shelf = fs::read_dir(place.join("blobs")).unwrap().next().unwrap().unwrap().path();
    let blob = fs::read_dir(&shelf).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&shelf), mode(&blob)), (0o700, 0o600));
    check(&place, &ended.settled.sha256).unwrap();
    let kept = fs::read(&blob).unwrap();
    fs::write(&blob, vec![b'y'; kept.len()]).unwrap();
    assert!(matches!(check(&place, &ended.settled.sha256), Err(Fault::Blob(..))));
    fs::write(&blob, kept).unwrap();
    let events = place.join("events.jsonl");
    let text = fs::read_to_string(&events).unwrap();
    fs::write(&events, text.replacen("/public/", "/pablic/", 1)).unwrap();
    assert!(matches!(check(&place, &ended.settled.sha256), Err(Fault::Changed)));
    // A last line that was cut off is no fault to a reader; one in the middle is.
    fs::write(&events, &text[..text.len() - 10]).unwrap();
    assert_eq!(flows(&place)[0].close, None);
    fs::write(&events, text.replacen('{', "", 1)).unwrap();
    assert!(matches!(Tape::open(&place).unwrap().lines(|_| Ok(())), Err(Fault::Line(0, _))));
}

#[test]
fn a_digest_of_what_was_sent_is_in_the_record_without_any_cassette() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).start();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: 5\r\n\r\nhello",
        server.url("/a"),
        server.port
    );
    assert_eq!(stage.ask(&head).status, 200);
    stage.get(&server.url("/b"));
    drop(stage.tunnel(&format!("127.0.0.1:{}", server.port)));
    until("all is over", || {
        stage.gateway.flows().destinations.values().map(|tally| tally.requests).sum::<u64>() == 3
    });
    let sent = stage.recorded(|body| match body {
        Body::Flow(flow) => Some(flow.sent.map(|sent| (sent.bytes, sent.sha256, sent.cut))),
        _ => None,
    });
    let digest = format!("{:x}", Sha256::digest(b"hello"));
    assert_eq!(sent, [Some((5, digest, false)), None, None]);
}

/// What was said over a WebSocket to a model, one way.
fn messages(flow: &Flow, dir: &str) -> Vec<String> {
    let said = flow.frames.iter().filter(|frame| frame.dir == dir && frame.opcode == 1);
    said.map(|frame| String::from_utf8(frame.bytes.clone()).unwrap()).collect()
}

const MODELS: &str = "[record]\nmodels = \"full\"\n";

#[test]
fn a_conversation_with_a_model_is_recorded_message_by_message_and_without_secrets() {
    let server = talking();
    let stage = setting(&server, MODELS).start();
    let mut socket = talk(&stage, &server);
    let question =
        |said: &str| json!({"type": "response.create", "model": "gpt-5", "input": said}).to_string();
    for said in ["one", SECRET] {
        socket.send(Message::text(question(said))).unwrap();
        assert!(socket.read().unwrap().to_text().unwrap().contains("response.completed"));
    }
    drop(socket);
    let place = stage.tape();
    let (_, _dir) = stage.stop();
    let flow = flows(&place).remove(0);
    let (up, down) = (messages(&flow, "up"), messages(&flow, "down"));
    assert_eq!((up.len(), down.len(), up[0].as_str()), (2, 2, question("one").as_str()));
    assert!(down[0].contains("response.completed") && up[1].contains("the value of `MODEL_KEY`"), "{up:?}");
    assert!(!holds(&everything(&place), SECRET));
}

#[test]
fn a_websocket_that_cannot_be_recorded_ends() {
    for (server, rules) in [(talking(), MODELS.to_owned()), (talking(), String::new())] {
        let disk = Disk::default();
        disk.0.0.lock().unwrap().most = Some(4_000);
        let model = !rules.is_empty();
        let setting = match model {
            true => setting(&server, &rules),
            false => Setting::new(records(&format!("127.0.0.1:{}", server.port))),
        };
        let stage = setting.store(disk).start();
        let mut socket = talk(&stage, &server);
        let question =
            json!({"type": "response.create", "model": "gpt-5", "input": "x".repeat(1_000)}).to_string();
        let ended = (0..2_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            socket.send(Message::text(question.clone())).is_err() || socket.read().is_err()
        });
        assert!(ended, "it went on unrecorded");
        drop(socket);
        let outcomes = || {
            stage.recorded(|body| match body {
                Body::Flow(flow) => Some(flow.outcome),
                _ => None,
            })
        };
        until("it is over", || !outcomes().is_empty());
        assert_eq!(outcomes(), ["unrecorded"]);
    }
}
