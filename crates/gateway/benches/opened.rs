//! What it costs that TLS is opened, and that what is in it is recorded, against the same TLS without anybody between, within one run.
//!
//! `cargo bench -p gateway --bench opened`. Rounds are interleaved and medians compared, so that a busy machine slows both alike.
//! Ledger and cassette lie in memory where the machine has such a place: what a disk takes is `gateway`'s figure.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program to be looked at")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use admission::{Admission, Permit, Release};
use gateway::cassette::{Cassette, Key, Manifest, Recorder};
use gateway::{
    Answering, Authority, Credentials, Inside, InsideAnswer, Models, Prices, Roots, Seat, Secret, Tls, Vault,
    VaultError,
};
use ledger::Host;
use ledger::event::RunOpened;
use policy::{Anchors, Context, Layer, LayerKind, Policy};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const ROUNDS: usize = 9;
const BULK: usize = 128 << 20;
const REQUESTS: usize = 300;

type Opened = StreamOwned<ClientConnection, TcpStream>;

fn main() {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let (ca, server) = serve();
    let own = believes(ca.clone());
    let [plain, recorded] = ["plain", "recorded"].map(|name| At::start(&dir.path().join(name), server, &ca));
    let direct = || open(TcpStream::connect(server).unwrap(), &own);
    let (opened, taped) = (|| plain.open(server), || recorded.open(server));
    println!("{:<40}{:>10}{:>10}{:>8}{:>10}{:>8}", "", "direct", "opened", "ratio", "recorded", "ratio");
    let ways: [&dyn Fn() -> Opened; 3] = [&direct, &opened, &taped];
    compare("a request on a kept connection, us", ways, &|way| request(way(), server));
    compare("a new connection and a request, us", ways, &|way| new(way, server));
    compare("a question of 200 kB, sent again, us", ways, &|way| question(way(), server));
    compare("bulk as an answer, MB/s", ways, &|way| bulk(way(), server));
    for at in [plain, recorded] {
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ask(stream: &mut Opened, server: SocketAddr, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {server}\r\n\r\n").as_bytes()).unwrap();
}

/// The median of many.
fn request(mut stream: Opened, server: SocketAddr) -> f64 {
    let times = (0..REQUESTS).map(|_| {
        let began = Instant::now();
        small(&mut stream, server);
        began.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

fn small(stream: &mut Opened, server: SocketAddr) {
    ask(stream, server, "/small");
    head(stream);
    stream.read_exact(&mut [0; 2]).unwrap();
}

/// What a conversation does: all that was said before, and a little more.
fn question(mut stream: Opened, server: SocketAddr) -> f64 {
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

fn new(open: &dyn Fn() -> Opened, server: SocketAddr) -> f64 {
    let times = (0..20).map(|_| {
        let began = Instant::now();
        small(&mut open(), server);
        began.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

fn bulk(mut stream: Opened, server: SocketAddr) -> f64 {
    let began = Instant::now();
    ask(&mut stream, server, "/bulk");
    head(&mut stream);
    let mut buffer = vec![0; 256 << 10];
    let mut left = BULK;
    while left > 0 {
        left -= stream.read(&mut buffer).unwrap();
    }
    (BULK >> 20) as f64 / began.elapsed().as_secs_f64()
}

/// Reads a head, and not a byte more.
fn head(stream: &mut impl Read) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
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

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn believes(root: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn open(stream: TcpStream, config: &Arc<ClientConfig>) -> Opened {
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream)
}

/// A server that answers with a little or with much.
fn serve() -> (CertificateDer<'static>, SocketAddr) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &*ca).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![own.der().clone()], private).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            thread::spawn(move || attend(StreamOwned::new(ServerConnection::new(config).unwrap(), stream)));
        }
    });
    (ca.der().clone(), at)
}

fn attend(mut stream: StreamOwned<ServerConnection, TcpStream>) -> std::io::Result<()> {
    stream.sock.set_nodelay(true)?;
    let piece = vec![b'x'; 64 << 10];
    loop {
        match head(&mut stream) {
            head if head.is_empty() => return Ok(()),
            head if head.starts_with(b"GET /bulk") => {
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {BULK}\r\n\r\n").as_bytes())?;
                (0..BULK / piece.len()).try_for_each(|_| stream.write_all(&piece))?;
            }
            head => {
                let head = String::from_utf8_lossy(&head).into_owned();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                stream.read_exact(&mut vec![0; length.unwrap_or(0)])?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            }
        }
    }
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
    /// One that records where its folder says so.
    fn start(dir: &Path, server: SocketAddr, ca: &CertificateDer<'static>) -> At {
        let records = dir.ends_with("recorded");
        std::fs::create_dir(dir).unwrap();
        let cassette = records.then(|| {
            Cassette::create(&dir.join("cassette"), Manifest::default(), Key::new(&[1; 32])).unwrap()
        });
        let recorder = cassette.as_ref().map(Cassette::recorder);
        let (gateway, proxy, authority) = gateway(dir, (server, ca), recorder);
        let ours = believes(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap());
        At { gateway, proxy, ours, cassette, records }
    }

    fn open(&self, server: SocketAddr) -> Opened {
        open(tunnel(self.proxy, server), &self.ours)
    }
}

fn gateway(
    dir: &Path,
    (server, ca): (SocketAddr, &CertificateDer<'static>),
    recorder: Option<Recorder>,
) -> (gateway::Gateway, SocketAddr, String) {
    let record = if recorder.is_some() { "record = \"full\"\n" } else { "" };
    let rule = format!(
        "version = 1\n[[rule]]\nid = \"bench\"\nconnect = [\"{server}\"]\nhttp = [\"https://{server}/**\"]\nneed = \"none\"\n{record}"
    );
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
    let authority = Authority::new().unwrap();
    let pem = authority.pem().to_owned();
    let roots = Roots::These(vec![ca.to_vec()]);
    let tls = Tls { authority, roots };
    let models = Models::new(Vec::new(), Prices::new(None).unwrap(), &policy::Limits::default());
    (
        gateway::serve(seat, admission, credentials, Arc::new(Nothing), tls, (models, recorder)).unwrap(),
        proxy,
        pem,
    )
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
