//! The gateway beside squid and mitmproxy, each as a process of its own, before one origin in TLS, within one run.
//!
//! `cargo bench -p gateway --bench peers [-- NAME]`. Tunnelled: the client's TLS goes through as it is. Opened: the proxy ends it, looks at
//! the requests, and speaks TLS with the origin itself. Rounds are interleaved and medians compared. What the proxy's process spent
//! is the figure to trust on a busy machine. `squid` must be one that opens TLS (Debian: `squid-openssl`); `mitmdump` may be named
//! by MITMDUMP. What is not installed is left out, loudly. Our ledger lies in memory where the machine has such a place, as the
//! others keep none; with DISK=1 it lies on the disk.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program to be looked at")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{BULK, Opened, believes, large, median, open, percentile, small, tunnel};
use gateway::Roots;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const ROUNDS: usize = 5;
/// How long a measure that counts goes on.
const WHILE: Duration = Duration::from_millis(1500);
const REQUESTS: usize = 600;
const IDLE: usize = 1000;
/// What a round measures, in the order of its columns.
const COLUMNS: [&str; 8] =
    ["MB/s", "cpu s/GB", "p50 us", "p99 us", "req/s x16", "cpu us/req", "new/s x4", "cpu us/new"];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, be, dir, rules, root] = words.as_slice()
        && be == "--be-gateway"
    {
        return be_gateway(Path::new(dir), rules, root);
    }
    // Each of a thousand connections has three ends here and two in the proxy.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = rustix::process::Rlimit { current: most, maximum: most };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let place = tempfile::tempdir_in(place()).unwrap();
    let (ca, server) = common::serve_tls();
    let root = place.path().join("origin.pem");
    std::fs::write(&root, pem(&ca)).unwrap();
    let desk = Desk { dir: place.path().to_owned(), root, server };
    for opened in [false, true] {
        let mut contenders = vec![Contender { name: "direct", proxy: None, trusts: believes(ca.clone()) }];
        let wanted = |name: &str| words.iter().skip(1).all(|word| word.starts_with("--") || name == word);
        for (name, start) in PEERS.into_iter().filter(|(name, _)| wanted(name)) {
            match start(&desk, opened) {
                Some((process, trusted)) => {
                    let trusts = believes(trusted.unwrap_or_else(|| ca.clone()));
                    contenders.push(Contender { name, proxy: Some(process), trusts });
                }
                None => println!("NOT MEASURED: {name} is not installed, or does not open TLS"),
            }
        }
        show(if opened { "opened" } else { "tunnelled" }, &contenders, server);
    }
}

fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() && std::env::var_os("DISK").is_none() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    }
}

/// Who starts a proxy, tunnelling or opening, and whom it vouches by where it opens.
type Start = fn(&Desk, bool) -> Option<(Process, Option<CertificateDer<'static>>)>;

const PEERS: [(&str, Start); 4] = [
    ("provost", |desk, opened| provost(desk, opened, 1)),
    ("provost, 1000 rules", |desk, opened| provost(desk, opened, 1000)),
    ("squid", squid),
    ("mitmproxy", mitmproxy),
];

struct Contender {
    name: &'static str,
    proxy: Option<Process>,
    trusts: Arc<ClientConfig>,
}

impl Contender {
    fn connect(&self, server: SocketAddr) -> Opened {
        let stream = match &self.proxy {
            Some(process) => tunnel(process.at, &self.named(server)),
            None => TcpStream::connect(server).unwrap(),
        };
        open(stream, &self.named(server), &self.trusts)
    }

    /// Squid makes a certificate for an address as if that were a name.
    fn named(&self, server: SocketAddr) -> String {
        match self.name {
            "squid" => format!("localhost:{}", server.port()),
            _ => server.to_string(),
        }
    }

    fn spent(&self) -> f64 {
        self.proxy.as_ref().map_or(0.0, |process| family(process.child.id()).iter().map(|id| cpu(*id)).sum())
    }

    fn resident(&self) -> f64 {
        let Some(process) = &self.proxy else { return 0.0 };
        family(process.child.id()).iter().map(|id| resident(*id)).sum()
    }

    /// One value for each of the columns.
    fn round(&self, server: SocketAddr) -> Vec<f64> {
        let (mut values, named) = (Vec::new(), &*self.named(server));
        let mut kept = self.connect(server);
        small(&mut kept, named);
        let (before, began) = (self.spent(), Instant::now());
        large(&mut kept, named);
        values.push((BULK >> 20) as f64 / began.elapsed().as_secs_f64());
        values.push((self.spent() - before) * 1024.0 / (BULK >> 20) as f64);
        let times: Vec<f64> = (0..REQUESTS).map(|_| timed(|| small(&mut kept, named))).collect();
        values.extend([percentile(times.clone(), 50), percentile(times, 99)]);
        values.extend(self.many(16, server, true));
        values.extend(self.many(4, server, false));
        values
    }

    /// How many requests a second so many make at once, each on one connection or each on a new one, and the cost of each.
    fn many(&self, at_once: usize, server: SocketAddr, keep: bool) -> [f64; 2] {
        let (before, began, named) = (self.spent(), Instant::now(), &*self.named(server));
        let one = || {
            let mut kept = self.connect(server);
            let mut made = 0_u32;
            while began.elapsed() < WHILE {
                if !keep && made > 0 {
                    kept = self.connect(server);
                }
                small(&mut kept, named);
                made += 1;
            }
            made
        };
        let made: u32 = thread::scope(|scope| {
            let all: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        let made = f64::from(made);
        [made / began.elapsed().as_secs_f64(), (self.spent() - before) * 1e6 / made]
    }
}

fn timed(what: impl FnOnce()) -> f64 {
    let began = Instant::now();
    what();
    began.elapsed().as_secs_f64() * 1e6
}

fn show(how: &str, contenders: &[Contender], server: SocketAddr) {
    let mut rounds: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); COLUMNS.len()]; contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, values) in contenders.iter().zip(&mut rounds) {
            for (all, value) in values.iter_mut().zip(contender.round(server)) {
                all.push(value);
            }
        }
    }
    print!("{how:<22}");
    COLUMNS.iter().for_each(|column| print!("{column:>12}"));
    println!("{:>14}", "KiB/connection");
    for (contender, values) in contenders.iter().zip(rounds) {
        print!("{:<22}", contender.name);
        values.into_iter().map(median).for_each(|value| print!("{:>12}", figure(value)));
        println!("{:>14}", figure(memory(contender, server)));
    }
}

fn figure(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// How much a thousand connections take that wait, each, in KiB.
fn memory(contender: &Contender, server: SocketAddr) -> f64 {
    let before = contender.resident();
    let mut all: Vec<Opened> = (0..IDLE).map(|_| contender.connect(server)).collect();
    all.iter_mut().for_each(|stream| small(stream, &contender.named(server)));
    (contender.resident() - before) / IDLE as f64
}

/// A proxy at work; it ends with this.
struct Process {
    child: Child,
    at: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let own = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(own, rustix::process::Signal::TERM);
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What they are started with.
struct Desk {
    dir: PathBuf,
    /// Who vouches for the origin.
    root: PathBuf,
    server: SocketAddr,
}

impl Desk {
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}

fn provost(desk: &Desk, opened: bool, rules: usize) -> Option<(Process, Option<CertificateDer<'static>>)> {
    let dir = desk.folder(&format!("provost-{opened}-{rules}"));
    let server = desk.server;
    let mut text = String::new();
    for index in 1..rules {
        text += &format!(
            "[[rule]]\nid = \"r{index}\"\nconnect = [\"h{index}.example.com\"]\nhttp = [\"https://h{index}.example.com/a/**\"]\nneed = \"none\"\n"
        );
    }
    text += &match opened {
        true => format!(
            "[[rule]]\nid = \"bench\"\nconnect = [\"{server}\"]\nhttp = [\"https://{server}/**\"]\nneed = \"none\"\n"
        ),
        false => format!("[[rule]]\nid = \"bench\"\nconnect = [\"{server}\"]\nneed = \"none\"\n"),
    };
    let file = dir.join("rules.toml");
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--be-gateway")
        .args([&dir, &file, &desk.root])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut at = String::new();
    said.read_line(&mut at).unwrap();
    let at = at.trim().parse().unwrap();
    let trusted = opened.then(|| CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap());
    Some((Process { child, at }, trusted))
}

/// This program as the gateway: it says where it listens, and ends when nobody holds its input.
fn be_gateway(dir: &Path, rules: &str, root: &str) {
    let roots = Roots::These(vec![CertificateDer::from_pem_file(root).unwrap().to_vec()]);
    let rules = std::fs::read_to_string(rules).unwrap();
    let (_gateway, at, pem) = common::gateway(dir, &rules, (roots, None), Vec::new());
    std::fs::write(dir.join("ca.pem"), pem).unwrap();
    println!("{at}");
    let _ = std::io::stdin().read(&mut [0]);
}

fn squid(desk: &Desk, opened: bool) -> Option<(Process, Option<CertificateDer<'static>>)> {
    let version = Command::new("squid").arg("-v").output().ok()?;
    if opened && !String::from_utf8_lossy(&version.stdout).contains("--with-openssl") {
        return None;
    }
    let (dir, at) = (desk.folder(&format!("squid-{opened}")), free());
    let (vouches, file) = authority(&dir, "ca.pem");
    let show = |path: &Path| path.display().to_string();
    let port = match opened {
        true => format!(
            "http_port {at} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB cert={}\n\
             sslcrtd_program {} -s {} -M 4MB\nsslcrtd_children 4 startup=1\nssl_bump bump all\n\
             tls_outgoing_options cafile={}\n",
            show(&file),
            certificates()?,
            show(&dir.join("certificates")),
            show(&desk.root)
        ),
        false => format!("http_port {at}\n"),
    };
    if opened {
        let made = Command::new(certificates()?)
            .args(["-c", "-s"])
            .arg(dir.join("certificates"))
            .args(["-M", "4MB"])
            .output();
        made.ok()?;
    }
    let text = format!(
        "{port}http_access allow all\ncache deny all\ncache_mem 0 MB\naccess_log none\ncache_log /dev/null\n\
         pid_filename none\nmax_filedescriptors 16384\nshutdown_lifetime 0 seconds\nvisible_hostname bench\n\
         client_persistent_connections on\nserver_persistent_connections on\n\
         pinger_enable off\nnetdb_filename none\ncoredump_dir {}\n",
        show(&dir)
    );
    let config = dir.join("squid.conf");
    std::fs::write(&config, text).unwrap();
    // As root it works as a user of its own, who must reach its folder.
    if rustix::process::geteuid().is_root() {
        let own = Command::new("chown").arg("-R").args([Path::new("proxy"), &dir]).status();
        let reach = Command::new("chmod").args([Path::new("0711"), &desk.dir]).status();
        assert!(own.unwrap().success() && reach.unwrap().success());
    }
    let mut squid = Command::new("squid");
    // What it shares in memory has its service's name.
    squid
        .args(["-N", "-n", &format!("bench{}", at.port()), "-f"])
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Some((listening(squid.spawn().ok()?, at)?, opened.then_some(vouches)))
}

/// Squid's helper that makes certificates, where distributions keep it.
fn certificates() -> Option<String> {
    let places = ["/usr/lib/squid/security_file_certgen", "/usr/lib64/squid/security_file_certgen"];
    places.iter().find(|place| Path::new(place).exists()).map(|place| (*place).to_owned())
}

fn mitmproxy(desk: &Desk, opened: bool) -> Option<(Process, Option<CertificateDer<'static>>)> {
    let program = std::env::var_os("MITMDUMP").unwrap_or_else(|| "mitmdump".into());
    let (dir, at) = (desk.folder(&format!("mitmproxy-{opened}")), free());
    let mut mitmdump = Command::new(program);
    mitmdump.args(["-q", "--listen-host", "127.0.0.1", "-p", &at.port().to_string()]);
    mitmdump.arg("--set").arg(format!("confdir={}", dir.display()));
    mitmdump.arg("--set").arg(format!("ssl_verify_upstream_trusted_ca={}", desk.root.display()));
    // Otherwise it keeps each body whole, and connects before it is asked anything.
    mitmdump.args(["--set", "stream_large_bodies=1m", "--set", "connection_strategy=lazy"]);
    mitmdump.args(if opened { &[][..] } else { &["--ignore-hosts", ".*"] });
    mitmdump.stdout(Stdio::null()).stderr(Stdio::null());
    let process = listening(mitmdump.spawn().ok()?, at)?;
    let trusted = opened.then(|| CertificateDer::from_pem_file(dir.join("mitmproxy-ca-cert.pem")).unwrap());
    Some((process, trusted))
}

/// An address that nobody has.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listening(child: Child, at: SocketAddr) -> Option<Process> {
    let process = Process { child, at };
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if TcpStream::connect(at).is_ok() {
            return Some(process);
        }
        thread::sleep(Duration::from_millis(50));
    }
    None
}

/// An authority, and the file with its certificate and key.
fn authority(dir: &Path, name: &str) -> (CertificateDer<'static>, PathBuf) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    let file = dir.join(name);
    std::fs::write(&file, own.pem() + &key.serialize_pem()).unwrap();
    (own.der().clone(), file)
}

fn pem(certificate: &CertificateDer) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A process and all that came of it.
fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut next = 0;
    while let Some(id) = all.get(next).copied() {
        for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    all
}

/// Seconds of processor time, of all its threads.
fn cpu(id: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after = text.rsplit(") ").next().unwrap_or_default();
    let ticks: f64 = after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

/// KiB of memory that it holds.
fn resident(id: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
}
