//! What the benches of this crate share: an origin, a gateway before it, clients of both.
//!
//! Owns no measurement.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use admission::{Admission, Permit, Release};
use gateway::cassette::Recorder;
use gateway::{
    Answering, Authority, Bounds, Credentials, Gateway, Inside, InsideAnswer, Models, Outer, Prices, Roots,
    Seat, Secret, System, Tls, Vault, VaultError,
};
use ledger::Host;
use ledger::event::RunOpened;
use policy::{Anchors, Context, Endpoint, Layer, LayerKind, Policy};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Bytes of an answer at `/bulk`.
pub(crate) const BULK: usize = 128 << 20;

/// Events of an answer to `POST /v1/responses`.
pub(crate) const EVENTS: usize = 25;

/// A connection in TLS.
pub(crate) type Opened = StreamOwned<ClientConnection, TcpStream>;

/// The middle one.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    percentile(values, 50)
}

/// What so many of a hundred do not exceed.
pub(crate) fn percentile(mut values: Vec<f64>, of_a_hundred: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * of_a_hundred / 100).min(values.len() - 1)]
}

/// Reads a head, and not a byte more.
pub(crate) fn head(stream: &mut impl Read) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return head;
        }
        head.extend(byte);
    }
    head
}

/// Asks a proxy for a tunnel.
pub(crate) fn tunnel(proxy: SocketAddr, server: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(format!("CONNECT {server} HTTP/1.1\r\nhost: {server}\r\n\r\n").as_bytes()).unwrap();
    let answer = head(&mut stream);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Makes a small request and takes its answer.
pub(crate) fn small(stream: &mut (impl Read + Write), server: &str) {
    stream.write_all(format!("GET /small HTTP/1.1\r\nhost: {server}\r\n\r\n").as_bytes()).unwrap();
    let head = head(stream);
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream.read_exact(&mut [0; 2]).unwrap();
}

/// Takes a large answer.
pub(crate) fn large(stream: &mut (impl Read + Write), server: &str) {
    stream.write_all(format!("GET /bulk HTTP/1.1\r\nhost: {server}\r\n\r\n").as_bytes()).unwrap();
    head(stream);
    swallow(stream, BULK);
}

/// Takes this many bytes.
pub(crate) fn swallow(stream: &mut impl Read, mut left: usize) {
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it ended early");
        left -= count;
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client that takes certificates of this one.
pub(crate) fn believes(root: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Speaks TLS on it.
pub(crate) fn open(stream: TcpStream, server: &str, config: &Arc<ClientConfig>) -> Opened {
    stream.set_nodelay(true).unwrap();
    let (host, _) = server.rsplit_once(':').unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream)
}

/// An origin in TLS, and who vouches for it.
pub(crate) fn serve_tls() -> (CertificateDer<'static>, SocketAddr) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Of one name with what it vouches for, it would look as if that vouched for itself.
    params.distinguished_name.push(rcgen::DnType::CommonName, "bench");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["127.0.0.1", "localhost"].map(str::to_owned)).unwrap();
    let own = own.signed_by(&key, &*ca).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![own.der().clone()], private).unwrap();
    let config = Arc::new(config);
    let at = attended(move |stream| {
        attend(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream))
    });
    (ca.der().clone(), at)
}

/// An origin without TLS.
pub(crate) fn serve() -> SocketAddr {
    attended(attend)
}

fn attended(attend: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let attend = Arc::new(attend);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let attend = Arc::clone(&attend);
            stream.set_nodelay(true).unwrap();
            // Many wait at once: none needs much.
            thread::Builder::new().stack_size(256 << 10).spawn(move || attend(stream)).unwrap();
        }
    });
    at
}

/// Answers a request with a little or with much, and a dot with one.
fn attend(mut stream: impl Read + Write) -> std::io::Result<()> {
    let mut byte = [0];
    loop {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        if byte == *b"." {
            stream.write_all(b".")?;
            continue;
        }
        match head(&mut stream) {
            head if head.starts_with(b"ET /bulk") => {
                let piece = vec![b'x'; 64 << 10];
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {BULK}\r\n\r\n").as_bytes())?;
                (0..BULK / piece.len()).try_for_each(|_| stream.write_all(&piece))?;
            }
            head => {
                let asks_model = head.starts_with(b"OST /v1/responses");
                let head = String::from_utf8_lossy(&head);
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                stream.read_exact(&mut vec![0; length.unwrap_or(0)])?;
                if asks_model {
                    speak(&mut stream)?;
                } else {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
                }
            }
        }
    }
}

/// Answers as a model does: the first event at once, each other 20 ms after the one before, all with the time they were sent at.
fn speak(stream: &mut impl Write) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    for at in 0..EVENTS {
        if at > 0 {
            thread::sleep(Duration::from_millis(20));
        }
        let event = format!(
            "data: {{\"type\":\"response.output_text.delta\",\"delta\":\"{:012}\"}}\n\n",
            now().as_nanos() / 1000
        );
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
    }
    stream.write_all(b"0\r\n\r\n")
}

/// The time since the first time that it was asked for: of one clock for both ends.
pub(crate) fn now() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}

/// A gateway with these rules, whose ledger and keys lie in `dir`; at `answers` models do.
pub(crate) fn gateway(
    dir: &Path,
    rules: &str,
    (roots, recorder): (Roots, Option<Recorder>),
    answers: Vec<Endpoint>,
) -> (Gateway, SocketAddr, String) {
    let layer = Layer::parse("bench", LayerKind::File, &format!("version = 1\n{rules}")).unwrap();
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
    let models = Models::new(answers, Prices::new(None).unwrap(), &policy::Limits::default());
    let bounds = Bounds { connections: 4096, ..Bounds::default() };
    let gateway = gateway::serve_with(
        seat,
        admission,
        credentials,
        Arc::new(Nothing),
        (Tls { authority, roots }, models, recorder),
        Outer { names: Arc::new(System), via: None, bounds },
    );
    (gateway.unwrap(), proxy, pem)
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
