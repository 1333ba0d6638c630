//! What the tests share: a gateway on loopback in front of a real line with a real ledger, a resolver that counts, servers.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use admission::{Admission, Outcome, Permit, Release};
use gateway::cassette::{Cassette, Ended, Key, Manifest, Store};
use gateway::{
    Answering, Asker, Authority, Bounds, Carriage, Carried, Credentials, Gateway, Inside, InsideAnswer,
    Login, Lookup, Models, Names, Outer, Placeholder, Prices, Roots, Seat, Secret, Tls, Vault, VaultError,
    Via, Voice,
};
use ledger::event::RunOpened;
use ledger::{Body, Event, Host, Reader, RunId};
use policy::{Anchors, Context, Endpoint, Layer, LayerKind, Limits, Policy, Selector};

/// How long anything may take before a test fails; never waited for where things go well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What stands for the secret inside.
pub(crate) const PLACEHOLDER: &str = "sk-provost-0123456789abcdef0123456789abcdef";
/// The secret.
pub(crate) const SECRET: &str = "sk-real-secret-of-the-person";

/// A gateway to be.
pub(crate) struct Setting {
    pub(crate) rules: String,
    /// What holds for connections that no rule names.
    pub(crate) default: &'static str,
    pub(crate) attended: bool,
    /// How long a question stands.
    pub(crate) timeout: Duration,
    pub(crate) bounds: Bounds,
    /// Where each leads, one lookup after the other.
    pub(crate) names: BTreeMap<String, Vec<Vec<IpAddr>>>,
    /// Ports of the host that have a listener.
    pub(crate) ports: Vec<u16>,
    /// Where the one credential is bound.
    pub(crate) bound: Vec<Endpoint>,
    /// The requests that it is good for.
    pub(crate) only: Vec<Selector>,
    /// Where models answer, and what they may use.
    pub(crate) models: Vec<Endpoint>,
    pub(crate) limits: Limits,
    /// Whom the outside's certificates may come from, as DER.
    pub(crate) roots: Vec<Vec<u8>>,
    /// Who keeps the credential; somebody with one secret, where nobody is said.
    pub(crate) vault: Option<Arc<dyn Vault>>,
    pub(crate) logins: Vec<Login>,
    /// What is recorded is written there, or in a folder of its own.
    pub(crate) store: Option<Box<dyn Store>>,
    /// By which the outside is reached.
    pub(crate) via: Option<Via>,
}

impl Setting {
    /// With these rules (`[[rule]]` ..), and nothing else allowed.
    pub(crate) fn new(rules: impl Into<String>) -> Setting {
        let names = BTreeMap::new();
        let (default, attended, bounds) = ("deny", false, Bounds::default());
        Setting {
            rules: rules.into(),
            default,
            attended,
            timeout: PATIENCE,
            bounds,
            names,
            ports: Vec::new(),
            bound: Vec::new(),
            models: Vec::new(),
            limits: Limits::default(),
            only: Vec::new(),
            roots: Vec::new(),
            vault: None,
            logins: Vec::new(),
            store: None,
            via: None,
        }
    }

    /// What is recorded is written there.
    pub(crate) fn store(mut self, store: impl Store + 'static) -> Setting {
        self.store = Some(Box::new(store));
        self
    }

    /// The outside is reached by a proxy there.
    pub(crate) fn via(mut self, proxy: SocketAddr) -> Setting {
        self.via = Some(Via::new(&format!("http://me:pass%20word@{proxy}"), "").unwrap());
        self
    }

    /// Whom the outside's certificates may come from.
    pub(crate) fn trusts(mut self, root: &[u8]) -> Setting {
        self.roots.push(root.to_vec());
        self
    }

    /// A name, and where it leads.
    pub(crate) fn name(mut self, name: &str, addresses: &[&str]) -> Setting {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.names.insert(name.to_owned(), vec![addresses]);
        self
    }

    /// A listener that stands for a port of the host.
    pub(crate) fn port(mut self, port: u16) -> Setting {
        self.ports.push(port);
        self
    }

    /// A credential bound to this port of the host.
    pub(crate) fn credential(mut self, port: u16) -> Setting {
        self.bound.push(Endpoint::parse(&format!("127.0.0.1:{port}")).unwrap());
        self
    }

    /// A credential bound to this place.
    pub(crate) fn credential_at(mut self, endpoint: &str) -> Setting {
        self.bound.push(Endpoint::parse(endpoint).unwrap());
        self
    }

    /// A place where a model answers.
    pub(crate) fn model(mut self, endpoint: &str) -> Setting {
        self.models.push(Endpoint::parse(endpoint).unwrap());
        self
    }

    /// With everything allowed that no rule names.
    pub(crate) fn open(mut self) -> Setting {
        self.default = "none";
        self
    }

    /// With a question about everything that no rule names.
    pub(crate) fn asks(mut self) -> Setting {
        self.default = "ask";
        self
    }

    pub(crate) fn attended(mut self) -> Setting {
        self.attended = true;
        self
    }

    pub(crate) fn bounds(mut self, change: impl FnOnce(&mut Bounds)) -> Setting {
        change(&mut self.bounds);
        self
    }

    pub(crate) fn start(self) -> Stage {
        Stage::start(self)
    }
}

/// A gateway at work, and all that is around it.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    cassette: Option<Cassette>,
    host: Host,
    run: RunId,
    pub(crate) admission: Admission,
    pub(crate) gateway: Gateway,
    pub(crate) proxy: SocketAddr,
    /// The certificate by which programs inside believe the gateway.
    pub(crate) authority: String,
    /// By the port of the host that each stands for.
    pub(crate) ports: BTreeMap<u16, SocketAddr>,
    pub(crate) lookups: Arc<AtomicUsize>,
    pub(crate) released: Arc<AtomicUsize>,
    /// Where carried connections come, and names are asked by datagram and by stream.
    pub(crate) streams: SocketAddr,
    pub(crate) names: SocketAddr,
    pub(crate) long_names: SocketAddr,
    pub(crate) carriage: Arc<Carriage>,
    /// What processes were told.
    pub(crate) said: Arc<Mutex<Vec<(Asker, String)>>>,
}

fn policy(default: &str, rules: &str, attended: bool) -> Policy {
    let text = format!(
        "version = 1\ndefault = {{ connect = \"{default}\", http = \"deny\", credential = \"deny\" }}\n{rules}"
    );
    let layer = Layer::parse("tests", LayerKind::File, &text).unwrap_or_else(|error| panic!("{error}"));
    let anchors = Anchors {
        workspace: "/w".into(),
        home: "/home/someone".into(),
        state: "/state".into(),
        config: "/config".into(),
    };
    let context = Context { attended, ..Context::default() };
    Policy::compile(vec![layer], &anchors, &context).unwrap()
}

fn credentials(known: Placeholder, vault: Arc<dyn Vault>, logins: Vec<Login>) -> Credentials {
    // One that begins as the other does.
    let longer = ("LONGER_KEY".to_owned(), Secret::new(format!("{SECRET}-at-another-place")));
    let guarded = [("MODEL_KEY".to_owned(), Secret::new(SECRET)), longer];
    Credentials::new(vec![known], vault, guarded).unwrap().with_logins(logins).unwrap()
}

fn cassette(store: Option<Box<dyn Store>>, dir: &Path) -> Cassette {
    let key = Key::new(&[7; 32]);
    let cassette = match store {
        Some(store) => Cassette::begin(store, Manifest::default(), key),
        None => Cassette::create(&dir.join("cassette"), Manifest::default(), key),
    };
    cassette.unwrap()
}

impl Stage {
    fn start(setting: Setting) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::open(&dir.path().join("state")).unwrap();
        let run = host.new_run().unwrap();
        let writer = host.begin(&run, RunOpened::default()).unwrap();
        let policy = Arc::new(policy(setting.default, &setting.rules, setting.attended));
        let admission = Admission::start_with(
            policy,
            writer,
            admission::Asking { timeout: setting.timeout, ..admission::Asking::usual(setting.attended) },
        );

        let proxy = listener();
        let listeners: Vec<(u16, TcpListener)> =
            setting.ports.iter().map(|port| (*port, listener())).collect();
        let ports = listeners.iter().map(|(port, at)| (*port, at.local_addr().unwrap())).collect();
        let proxy_at = proxy.local_addr().unwrap();
        let (lookups, released) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let names = Counting { known: setting.names, lookups: Arc::clone(&lookups) };
        let one: Arc<dyn Vault> = Arc::new(OneSecret { released: Arc::clone(&released) });
        let vault = setting.vault.unwrap_or(one);
        let known = Placeholder {
            text: PLACEHOLDER.to_owned(),
            credential: "MODEL_KEY".to_owned(),
            bound: setting.bound,
            only: setting.only,
        };
        let (streams, names_at, long_names_at) =
            (listener(), UdpSocket::bind("127.0.0.1:0").unwrap(), listener());
        let ways = [streams.local_addr(), names_at.local_addr(), long_names_at.local_addr()];
        let [streams_at, named, long_named] = ways.map(Result::unwrap);
        let (carriage, said) = (Carriage::new(), Arc::new(Mutex::default()));
        let carried = Carried {
            streams: vec![streams],
            names: names_at,
            long_names: long_names_at,
            carriage: Arc::clone(&carriage),
            voice: Arc::new(Heard(Arc::clone(&said))),
            host_name: "the-inside".to_owned(),
        };
        let authority = Authority::new().unwrap();
        let authority_pem = authority.pem().to_owned();
        let tls = Tls { authority, roots: Roots::These(setting.roots) };
        let models = Models::new(setting.models, Prices::new(None).unwrap(), &setting.limits);
        let cassette = cassette(setting.store, dir.path());
        let gateway = gateway::serve_with(
            Seat { proxy, loopback: listeners, carried: Some(carried), guests: None },
            admission.clone(),
            credentials(known, vault, setting.logins),
            Arc::new(Echo),
            (tls, models, Some(cassette.recorder())),
            Outer { names: Arc::new(names), via: setting.via, bounds: setting.bounds },
        );
        let gateway = gateway.unwrap();
        Stage {
            dir,
            cassette: Some(cassette),
            host,
            run,
            admission,
            gateway,
            proxy: proxy_at,
            authority: authority_pem,
            ports,
            lookups,
            released,
            streams: streams_at,
            names: named,
            long_names: long_named,
            carriage,
            said,
        }
    }

    /// Where the cassette lies.
    pub(crate) fn tape(&self) -> PathBuf {
        self.dir.path().join("cassette")
    }

    /// Ends the gateway and closes the cassette.
    pub(crate) fn stop(self) -> (Ended, tempfile::TempDir) {
        let Stage { dir, cassette, gateway, .. } = self;
        gateway.drain(Duration::from_secs(2));
        (cassette.unwrap().close(), dir)
    }

    /// A connection to the proxy.
    pub(crate) fn connect(&self) -> Client {
        Client::to(self.proxy)
    }

    /// One request through the proxy, as it is written.
    pub(crate) fn ask(&self, request: &str) -> Reply {
        let mut client = self.connect();
        client.send(request);
        client.reply()
    }

    /// A GET of a URL through the proxy.
    pub(crate) fn get(&self, url: &str) -> Reply {
        let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
        self.ask(&format!("GET {url} HTTP/1.1\r\nhost: {host}\r\n\r\n"))
    }

    /// How often a name was looked up.
    pub(crate) fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }

    /// All that was recorded so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.admission.barrier().unwrap();
        Reader::open(&self.host.ledger_dir(&self.run)).unwrap().map(Result::unwrap).collect()
    }

    /// The bodies of events of which there is something to say.
    pub(crate) fn recorded<T>(&self, of: impl Fn(Body) -> Option<T>) -> Vec<T> {
        self.events().into_iter().filter_map(|event| of(event.body)).collect()
    }
}

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Waits until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

struct Counting {
    known: BTreeMap<String, Vec<Vec<IpAddr>>>,
    lookups: Arc<AtomicUsize>,
}

impl Names for Counting {
    fn lookup(&self, name: &str) -> Lookup {
        let before = self.lookups.fetch_add(1, Ordering::SeqCst);
        let found = self.known.get(name).and_then(|times| times.get(before).or(times.last())).cloned();
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

#[derive(Debug)]
struct Heard(Arc<Mutex<Vec<(Asker, String)>>>);

impl Voice for Heard {
    fn say(&self, to: Asker, line: &str) {
        self.0.lock().unwrap().push((to, line.to_owned()));
    }
}

struct OneSecret {
    released: Arc<AtomicUsize>,
}

impl Vault for OneSecret {
    fn secret(&self, permit: Permit<Release>) -> Result<Secret, VaultError> {
        let (release, receipt) = permit.begin();
        assert_eq!(release.name, "MODEL_KEY");
        self.released.fetch_add(1, Ordering::SeqCst);
        receipt.settle(Outcome::done());
        Ok(Secret::new(SECRET))
    }
}

/// Says what it was asked.
struct Echo;

impl Inside for Echo {
    fn answer(&self, path: &str, body: &[u8]) -> Answering {
        if path == "/never" {
            return Answering::Later(Box::pin(std::future::pending()));
        }
        let json = serde_json::json!({ "path": path, "bytes": body.len() });
        InsideAnswer { status: 200, json }.into()
    }
}

/// A program inside that speaks HTTP, in whatever way the test wants.
pub(crate) struct Client<S: io::Read = TcpStream>(pub(crate) BufReader<S>);

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the gateway says for itself.
    pub(crate) fn error(&self) -> serde_json::Value {
        serde_json::from_slice::<serde_json::Value>(&self.body).unwrap()["error"].clone()
    }
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }
}

impl<S: io::Read + io::Write> Client<S> {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// A head: its first line, and its headers.
    pub(crate) fn head(&mut self) -> (String, Vec<(String, String)>) {
        let first = self.line();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        (first, headers)
    }

    pub(crate) fn reply(&mut self) -> Reply {
        let (first, headers) = self.head();
        let status =
            first.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: `{first}`")).parse().unwrap();
        let body = self.body(&headers, !matches!(status, 101 | 204 | 304));
        Reply { status, headers, body }
    }

    /// The status of an answer to CONNECT, which has no body where it is a yes.
    pub(crate) fn connected(&mut self) -> Result<(), Reply> {
        let (first, headers) = self.head();
        let status: u16 = first.split(' ').nth(1).unwrap_or_default().parse().unwrap();
        if status == 200 {
            return Ok(());
        }
        let body = self.body(&headers, true);
        Err(Reply { status, headers, body })
    }

    /// The body that these headers announce; to the end where they announce none and `open`.
    pub(crate) fn body(&mut self, headers: &[(String, String)], open: bool) -> Vec<u8> {
        let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let mut body = Vec::new();
        if header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            while let Some(chunk) = self.chunk() {
                body.extend(chunk);
            }
        } else if let Some(length) = header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.0.read_exact(&mut body).unwrap();
        } else if open {
            self.0.read_to_end(&mut body).unwrap();
        }
        body
    }

    /// One chunk of a body; none at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line();
        let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("no chunk: `{size}`"));
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// Whether the other end has closed, and said nothing more.
    pub(crate) fn is_over(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => matches!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

/// A server of the host: what it was sent, and a way to answer.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// The heads of the requests, first lines and headers as they came.
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Answers each connection on a thread of its own.
    pub(crate) fn start(answer: impl Fn(&mut Client, &str) + Send + Sync + 'static) -> Server {
        let listener = listener();
        let port = listener.local_addr().unwrap().port();
        let (heads, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (seen, counted, answer) = (Arc::clone(&heads), Arc::clone(&connections), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut client = Client(BufReader::new(stream));
                    loop {
                        let (first, headers) = client.head();
                        if first.is_empty() {
                            return;
                        }
                        let headers = headers.iter().map(|(name, value)| format!("\n{name}: {value}"));
                        let head = format!("{first}{}", headers.collect::<String>());
                        seen.lock().unwrap().push(head.clone());
                        answer(&mut client, &head);
                    }
                });
            }
        });
        Server { port, heads, connections }
    }

    /// Answers every request with what it was asked.
    pub(crate) fn echo() -> Server {
        Server::start(|client, head| {
            let body = client.body(&headers_of(head), false);
            let text = format!("{head}\n\n{}", String::from_utf8_lossy(&body));
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            client.send(answer);
        })
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A rule that allows to connect to it.
    pub(crate) fn allowed(&self) -> String {
        allow(&format!("127.0.0.1:{}", self.port))
    }

    /// A URL of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// The headers of a head as a server saw it.
pub(crate) fn headers_of(head: &str) -> Vec<(String, String)> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A rule that allows to connect there.
pub(crate) fn allow(endpoint: &str) -> String {
    format!("[[rule]]\nid = \"allow-{}\"\nconnect = [\"{endpoint}\"]\nneed = \"none\"\n", plain(endpoint))
}

fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect()
}
