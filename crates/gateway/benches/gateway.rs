//! What going through the gateway costs, against the same over loopback directly, as ratios within one run.
//!
//! `cargo bench -p gateway`. Rounds of both are interleaved and medians compared, so that a busy machine slows both alike. The
//! ledger is a real one in a directory of its own: a new connection or request waits until its decision is on the disk.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program to be looked at")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use admission::{Admission, Permit, Release};
use gateway::{
    Answering, Authority, Credentials, Inside, InsideAnswer, Models, Prices, Roots, Seat, Secret, Tls, Vault,
    VaultError,
};
use ledger::Host;
use ledger::event::RunOpened;
use policy::{Anchors, Context, Layer, LayerKind, Policy};

const ROUNDS: usize = 7;
const BULK: u64 = 256 << 20;
const PINGS: u32 = 2000;
const REQUESTS: u32 = 100;

fn main() {
    let server = serve();
    let dir = tempfile::tempdir().unwrap();
    let (gateway, proxy) = gateway(dir.path(), server);
    println!("{:<44}{:>12}{:>12}{:>9}", "", "direct", "gateway", "ratio");
    let direct = || TcpStream::connect(server).unwrap();
    let tunnel = || tunnel(proxy, server);
    compare(
        "bulk through a tunnel, MB/s",
        || per_second(BULK >> 20, bulk(direct())),
        || per_second(BULK >> 20, bulk(tunnel())),
    );
    compare(
        "bulk as an HTTP answer, MB/s",
        || per_second(BULK >> 20, answer(direct(), &origin(server))),
        || per_second(BULK >> 20, answer(TcpStream::connect(proxy).unwrap(), &absolute(server))),
    );
    compare("round trip within a tunnel, us", || micros(ping(direct())), || micros(ping(tunnel())));
    compare("a new connection, us", || micros(connections(&direct)), || micros(connections(&tunnel)));
    compare(
        "a request on a kept connection, us",
        || micros(requests(server, &small(&origin(server)))),
        || micros(requests(proxy, &small(&absolute(server)))),
    );
    let flows = gateway.drain(Duration::ZERO);
    assert_eq!(flows.faults, 0);
}

fn compare(what: &str, mut direct: impl FnMut() -> f64, mut through: impl FnMut() -> f64) {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(direct());
        other.push(through());
    }
    let (one, other) = (median(one), median(other));
    println!("{what:<44}{one:>12.1}{other:>12.1}{:>9.2}", other / one);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn per_second(amount: u64, took: Duration) -> f64 {
    amount as f64 / took.as_secs_f64()
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// How long much takes to come.
fn bulk(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    stream.write_all(b"B").unwrap();
    swallow(&mut stream, BULK);
    began.elapsed()
}

fn answer(mut stream: TcpStream, request: &str) -> Duration {
    let began = Instant::now();
    stream.write_all(request.as_bytes()).unwrap();
    head(&mut stream);
    swallow(&mut stream, BULK);
    began.elapsed()
}

fn swallow(stream: &mut TcpStream, mut left: u64) {
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it ended early");
        left -= count as u64;
    }
}

fn ping(mut stream: TcpStream) -> Duration {
    stream.set_nodelay(true).unwrap();
    let began = Instant::now();
    let mut byte = [0];
    for _ in 0..PINGS {
        stream.write_all(b"P").unwrap();
        stream.read_exact(&mut byte).unwrap();
    }
    began.elapsed() / PINGS
}

fn connections(open: &dyn Fn() -> TcpStream) -> Duration {
    let began = Instant::now();
    for _ in 0..REQUESTS {
        let mut stream = open();
        stream.write_all(b"P").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    began.elapsed() / REQUESTS
}

fn requests(at: SocketAddr, request: &str) -> Duration {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_nodelay(true).unwrap();
    let began = Instant::now();
    for _ in 0..REQUESTS {
        stream.write_all(request.as_bytes()).unwrap();
        head(&mut stream);
        stream.read_exact(&mut [0; 2]).unwrap();
    }
    began.elapsed() / REQUESTS
}

fn origin(server: SocketAddr) -> String {
    format!("GET /bulk HTTP/1.1\r\nhost: {server}\r\n\r\n")
}

fn absolute(server: SocketAddr) -> String {
    format!("GET http://{server}/bulk HTTP/1.1\r\nhost: {server}\r\n\r\n")
}

fn small(request: &str) -> String {
    request.replace("/bulk", "/small")
}

/// Reads a head, and not a byte more.
fn head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap() == 0 {
            return head;
        }
        head.extend(byte);
    }
    head
}

fn tunnel(proxy: SocketAddr, server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.write_all(format!("CONNECT {server} HTTP/1.1\r\nhost: {server}\r\n\r\n").as_bytes()).unwrap();
    assert!(head(&mut stream).starts_with(b"HTTP/1.1 200"));
    stream
}

/// A server that answers `P` with a byte, `B` with much, and a request with a little or with much.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || attend(stream));
        }
    });
    at
}

fn attend(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let piece = vec![b'x'; 256 << 10];
    let much =
        |stream: &mut TcpStream| (0..BULK / piece.len() as u64).try_for_each(|_| stream.write_all(&piece));
    let mut byte = [0];
    loop {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        match byte {
            [b'P'] => stream.write_all(b"p")?,
            [b'B'] => much(&mut stream)?,
            _ if head(&mut stream).starts_with(b"ET /bulk") => {
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {BULK}\r\n\r\n").as_bytes())?;
                much(&mut stream)?;
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?,
        }
    }
}

fn gateway(dir: &std::path::Path, server: SocketAddr) -> (gateway::Gateway, SocketAddr) {
    let rule = format!("version = 1\n[[rule]]\nid = \"bench\"\nconnect = [\"{server}\"]\nneed = \"none\"\n");
    let layer = Layer::parse("bench", LayerKind::File, &rule).unwrap();
    let place = |name: &str| dir.join(name);
    let (workspace, home) = (place("work"), place("home"));
    let anchors = Anchors { workspace, home, state: place("state"), config: place("config") };
    let policy = Policy::compile(vec![layer], &anchors, &Context::default()).unwrap();
    let host = Host::open(&place("state")).unwrap();
    let writer = host.begin(&host.new_run().unwrap(), RunOpened::default()).unwrap();
    let admission = Admission::start(Arc::new(policy), writer, false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    let seat = Seat { proxy: listener, loopback: Vec::new(), carried: None, guests: None };
    let credentials = Credentials::new(Vec::new(), Arc::new(Nothing), []).unwrap();
    let tls = Tls { authority: Authority::new().unwrap(), roots: Roots::System };
    let models = Models::new(Vec::new(), Prices::new(None).unwrap(), &policy::Limits::default());
    (gateway::serve(seat, admission, credentials, Arc::new(Nothing), tls, (models, None)).unwrap(), proxy)
}

/// Keeps nothing, says nothing.
struct Nothing;

impl Vault for Nothing {
    fn secret(&self, permit: Permit<Release>) -> Result<Secret, VaultError> {
        Err(VaultError { name: permit.of().name.clone(), because: "there is none".into() })
    }
}

impl Inside for Nothing {
    fn answer(&self, _: &str, _: &[u8]) -> Answering {
        InsideAnswer { status: 404, json: serde_json::Value::Null }.into()
    }
}
