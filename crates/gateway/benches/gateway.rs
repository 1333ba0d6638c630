//! What going through the gateway costs, against the same over loopback directly, as ratios within one run.
//!
//! `cargo bench -p gateway`. Rounds of both are interleaved and medians compared, so that a busy machine slows both alike. The
//! ledger is a real one in a directory of its own: a new connection or request waits until its decision is on the disk.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program to be looked at")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::{BULK, head, median, swallow, tunnel};
use gateway::Roots;

const ROUNDS: usize = 7;
const PINGS: u32 = 2000;
const REQUESTS: u32 = 100;

fn main() {
    let server = common::serve();
    let dir = tempfile::tempdir().unwrap();
    let rules = format!("[[rule]]\nid = \"bench\"\nconnect = [\"{server}\"]\nneed = \"none\"\n");
    let (gateway, proxy, _) = common::gateway(dir.path(), &rules, (Roots::System, None), Vec::new());
    println!("{:<44}{:>12}{:>12}{:>9}", "", "direct", "gateway", "ratio");
    let direct = || TcpStream::connect(server).unwrap();
    let tunnel = || tunnel(proxy, &server.to_string());
    let inner = |at| format!("GET {at}/bulk HTTP/1.1\r\nhost: {server}\r\n\r\n");
    let absolute = inner(format!("http://{server}"));
    let origin = inner(String::new());
    compare(
        "bulk through a tunnel, MB/s",
        || per_second(answer(direct(), &origin)),
        || per_second(answer(tunnel(), &origin)),
    );
    compare(
        "bulk as an HTTP answer, MB/s",
        || per_second(answer(direct(), &origin)),
        || per_second(answer(TcpStream::connect(proxy).unwrap(), &absolute)),
    );
    compare("round trip within a tunnel, us", || micros(ping(direct())), || micros(ping(tunnel())));
    compare("a new connection, us", || micros(connections(&direct)), || micros(connections(&tunnel)));
    compare(
        "a request on a kept connection, us",
        || micros(requests(server, &origin)),
        || micros(requests(proxy, &absolute)),
    );
    assert_eq!(gateway.drain(Duration::ZERO).faults, 0);
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

fn per_second(took: Duration) -> f64 {
    (BULK >> 20) as f64 / took.as_secs_f64()
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn answer(mut stream: TcpStream, request: &str) -> Duration {
    let began = Instant::now();
    stream.write_all(request.as_bytes()).unwrap();
    head(&mut stream);
    swallow(&mut stream, BULK);
    began.elapsed()
}

fn ping(mut stream: TcpStream) -> Duration {
    stream.set_nodelay(true).unwrap();
    let began = Instant::now();
    for _ in 0..PINGS {
        stream.write_all(b".").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    began.elapsed() / PINGS
}

fn connections(open: &dyn Fn() -> TcpStream) -> Duration {
    let began = Instant::now();
    for _ in 0..REQUESTS {
        let mut stream = open();
        stream.write_all(b".").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    began.elapsed() / REQUESTS
}

fn requests(at: SocketAddr, request: &str) -> Duration {
    let request = request.replace("/bulk", "/small");
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
