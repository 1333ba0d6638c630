//! What it costs that TLS is opened, and that what is in it is recorded, against the same TLS without anybody between, within one run;
//! and how much later each event of an answer comes, also where a model gives it.
//!
//! `cargo bench -p gateway --bench opened`. Rounds are interleaved and medians compared, so that a busy machine slows both alike.
//! Ledger and cassette lie in memory where the machine has such a place: what a disk takes is `gateway`'s figure.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program to be looked at")]

mod common;
mod events;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{BULK, Opened, believes, head, large, median, open, small, tunnel};
use gateway::Roots;
use gateway::cassette::{Cassette, Key, Manifest};
use policy::Endpoint;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const ROUNDS: usize = 9;
const REQUESTS: usize = 300;

fn main() {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let (ca, server) = common::serve_tls();
    let own = believes(ca.clone());
    let [plain, recorded, model] =
        ["plain", "recorded", "model"].map(|name| At::start(&dir.path().join(name), server, &ca));
    let named = &*server.to_string();
    let direct = || open(TcpStream::connect(server).unwrap(), named, &own);
    let (opened, taped) = (|| plain.open(named), || recorded.open(named));
    // `-- events`: those alone.
    if !std::env::args().any(|word| word == "events") {
        println!("{:<40}{:>10}{:>10}{:>8}{:>10}{:>8}", "", "direct", "opened", "ratio", "recorded", "ratio");
        let ways: [&dyn Fn() -> Opened; 3] = [&direct, &opened, &taped];
        compare("a request on a kept connection, us", ways, &|way| request(way(), named));
        compare("a new connection and a request, us", ways, &|way| new(way, named));
        compare("a question of 200 kB, sent again, us", ways, &|way| question(way(), named));
        compare("bulk as an answer, MB/s", ways, &|way| bulk(way(), named));
    }
    events::compare(&[("direct", &direct), ("opened", &opened), ("a model's", &|| model.open(named))], named);
    for at in [plain, recorded, model] {
        assert_eq!(at.gateway.drain(Duration::ZERO).faults, 0);
        assert_eq!(at.cassette.map(|cassette| cassette.close().settled.failed), at.records.then_some(None));
    }
}

fn compare(what: &str, ways: [&dyn Fn() -> Opened; 3], measure: &dyn Fn(&dyn Fn() -> Opened) -> f64) {
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (found, way) in found.iter_mut().zip(ways) {
            found.push(measure(way));
        }
    }
    let [direct, opened, recorded] = found.map(median);
    println!(
        "{what:<40}{direct:>10.1}{opened:>10.1}{:>8.2}{recorded:>10.1}{:>8.2}",
        opened / direct,
        recorded / opened
    );
}

/// The median of many.
fn request(mut stream: Opened, server: &str) -> f64 {
    let times = (0..REQUESTS).map(|_| {
        let began = Instant::now();
        small(&mut stream, server);
        began.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

/// What a conversation does: all that was said before, and a little more.
fn question(mut stream: Opened, server: &str) -> f64 {
    let said: String =
        (0..30_000_u32).map(|at| format!("{:06x} ", at.wrapping_mul(2_654_435_761) >> 8)).collect();
    let times = (0..20).map(|turn| {
        let began = Instant::now();
        let length = said.len() + 6;
        let head = format!("POST /small HTTP/1.1\r\nhost: {server}\r\ncontent-length: {length}\r\n\r\n");
        stream
            .write_all(&[head.as_bytes(), said.as_bytes(), format!("{turn:06}").as_bytes()].concat())
            .unwrap();
        self::head(&mut stream);
        stream.read_exact(&mut [0; 2]).unwrap();
        began.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

fn new(open: &dyn Fn() -> Opened, server: &str) -> f64 {
    let times = (0..20).map(|_| {
        let began = Instant::now();
        small(&mut open(), server);
        began.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

fn bulk(mut stream: Opened, server: &str) -> f64 {
    let began = Instant::now();
    large(&mut stream, server);
    (BULK >> 20) as f64 / began.elapsed().as_secs_f64()
}

/// A gateway at work.
struct At {
    gateway: gateway::Gateway,
    proxy: SocketAddr,
    ours: Arc<ClientConfig>,
    cassette: Option<Cassette>,
    records: bool,
}

impl At {
    /// One that records, or before a model, where its folder says so.
    fn start(dir: &Path, server: SocketAddr, ca: &CertificateDer<'static>) -> At {
        let records = dir.ends_with("recorded");
        std::fs::create_dir(dir).unwrap();
        let cassette = records.then(|| {
            Cassette::create(&dir.join("cassette"), Manifest::default(), Key::new(&[1; 32])).unwrap()
        });
        let recorder = cassette.as_ref().map(Cassette::recorder);
        let record = if records { "record = \"full\"\n" } else { "" };
        let rules = format!(
            "[[rule]]\nid = \"bench\"\nconnect = [\"{server}\"]\nhttp = [\"https://{server}/**\"]\nneed = \"none\"\n{record}"
        );
        let roots = Roots::These(vec![ca.to_vec()]);
        let answers = if dir.ends_with("model") { Endpoint::parse(&server.to_string()).ok() } else { None };
        let (gateway, proxy, authority) =
            common::gateway(dir, &rules, (roots, recorder), answers.into_iter().collect());
        let ours = believes(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap());
        At { gateway, proxy, ours, cassette, records }
    }

    fn open(&self, server: &str) -> Opened {
        open(tunnel(self.proxy, server), server, &self.ours)
    }
}
