//! Connections to the outside: carried on the caller's own socket to what takes them, or refused, whatever a program does
//! with its memory, its descriptors and its patience meanwhile.

use super::commands::{PYTHON, without_python};
use super::runner::Case;
use super::scene::{Ran, Scene};
use ledger::{Body, Reach};
use policy::{Endpoint, Host};
use sandbox::{Asker, Carriage, Carriers};
use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    ("a_connection_is_carried_on_the_callers_own_socket", a_connection_is_carried),
    ("t70_every_kind_of_socket_has_its_own_answer", t70_every_kind_of_socket_has_its_own_answer),
    ("an_address_that_changes_meanwhile_leads_nowhere_else", an_address_that_changes_meanwhile),
    ("a_descriptor_that_changes_meanwhile_leads_nowhere_else", a_descriptor_that_changes_meanwhile),
    ("a_socket_that_is_passed_on_stays_what_it_was", a_socket_that_is_passed_on),
    ("a_gateway_that_is_behind_holds_only_who_waits_for_it", a_gateway_that_is_behind),
];

/// Takes what is carried, and says on each connection what was told of it.
#[derive(Debug, Default)]
struct Gateway {
    told: Mutex<HashMap<SocketAddr, (Endpoint, Asker)>>,
    /// Everything that was ever told.
    all: Mutex<Vec<String>>,
    asking: Mutex<Vec<SocketAddr>>,
    untold: AtomicUsize,
}

impl Carriage for Gateway {
    fn meant(&self, address: SocketAddr) -> Endpoint {
        let named = address.ip() == Ipv4Addr::new(198, 18, 1, 0);
        let host = if named { Host::Name("named.example".into()) } else { Host::Ip(address.ip()) };
        Endpoint { host, port: address.port() }
    }

    fn expect(&self, from: SocketAddr, to: Endpoint, asker: Asker) {
        self.all.lock().unwrap().push(to.to_string());
        self.told.lock().unwrap().insert(from, (to, asker));
    }

    fn asks_names(&self, from: SocketAddr, _: Asker) {
        self.asking.lock().unwrap().push(from);
    }
}

impl Gateway {
    fn serve(self: &Arc<Self>, carriers: Carriers, once: Option<PathBuf>) {
        for listener in carriers.streams {
            let (gateway, once) = (Arc::clone(self), once.clone());
            std::thread::spawn(move || gateway.attend(&listener, once));
        }
    }

    /// From when a file is there, if one is named.
    fn attend(&self, listener: &TcpListener, once: Option<PathBuf>) {
        while once.as_ref().is_some_and(|file| !file.exists()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Ok(from) = stream.peer_addr() else { continue };
            let begun = Instant::now();
            let told = loop {
                match self.told.lock().unwrap().remove(&from) {
                    None if begun.elapsed() < Duration::from_millis(300) => {}
                    told => break told,
                }
                std::thread::yield_now();
            };
            match told {
                Some((to, asker)) => drop(stream.write_all(format!("{to} {}", asker.inside).as_bytes())),
                None => drop(self.untold.fetch_add(1, Ordering::SeqCst)),
            }
        }
    }

    fn all(&self) -> Vec<String> {
        let mut all = self.all.lock().unwrap().clone();
        all.sort();
        all.dedup();
        all
    }
}

const RULES: &str = r#"
[[rule]]
id = "good"
connect = ["192.0.2.1:443", "[2001:db8::1]:443", "named.example:443"]
need = "none"
[[rule]]
id = "bad"
connect = ["192.0.2.9:*"]
need = "never"
why = "It is bad."
[[rule]]
id = "look"
http = ["http://192.0.2.7/a"]
need = "none"
"#;

/// What every script begins with.
const HEAD: &str = r#"
import ctypes, errno, mmap, os, select, signal, socket, struct, sys, threading, time
GOOD, BAD = ("192.0.2.1", 443), ("192.0.2.9", 443)
libc = ctypes.CDLL(None, use_errno=True)
def name(number): return errno.errorcode.get(number, "0") if number else "0"
def said(s):
    s.setblocking(True); s.settimeout(20)
    text = b""
    while True:
        piece = s.recv(100)
        if not piece: return text.decode().split()[0] if text else ""
        text += piece
def connect(s, to): return name(s.connect_ex(to))
def raw(family, port, address): return struct.pack("=H", family) + struct.pack("!H", port) + address
"#;

fn carried(root: &Path, script: &str, once: Option<&str>) -> (Ran, Arc<Gateway>) {
    let gateway = Arc::new(Gateway::default());
    let mut scene = Scene::new(root);
    scene.rules = RULES.to_owned();
    scene.carriage = Some(Arc::clone(&gateway) as Arc<dyn Carriage>);
    let once = once.map(|file| root.join("upper").join(file));
    let mut set = scene.set(&[PYTHON, "-u", "-c", &format!("{HEAD}{script}")]);
    gateway.serve(set.jail.take_carriers().unwrap(), once);
    (set.go().unwrap_or_else(|error| panic!("{error}")).end(), gateway)
}

fn reached(ran: &Ran) -> Vec<(String, Reach)> {
    let entries = ran.events.iter().filter_map(|event| match &event.body {
        Body::Connected(connected) => Some(connected.entries.clone()),
        _ => None,
    });
    let mut reached: Vec<_> = entries.flatten().map(|entry| (entry.target.to_string(), entry.how)).collect();
    reached.sort();
    reached.dedup();
    reached
}

fn a_connection_is_carried(root: &Path) {
    if without_python() {
        return;
    }
    let script = r#"
s = socket.socket(); print("blocking", connect(s, GOOD), said(s), connect(s, GOOD))
s = socket.socket(); s.setblocking(False)
ep = select.epoll(); ep.register(s, select.EPOLLOUT | select.EPOLLRDHUP)
ep.poll(0)
print("begun", connect(s, GOOD), [event & select.EPOLLOUT for _, event in ep.poll(20)], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print("asked again", connect(s, GOOD), connect(s, GOOD), said(s))
s = socket.socket(); s.setblocking(False); connect(s, GOOD); select.select([], [s], [], 20)
s.setblocking(True); print("finished", connect(s, GOOD), connect(s, GOOD))
s = socket.socket(); s.settimeout(20); s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 5, 0))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); s.bind(("127.0.0.1", 0))
print("bound", connect(s, GOOD), said(s), s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
s = socket.socket(); s.setsockopt(socket.IPPROTO_TCP, 30, 1); print("deferred", connect(s, GOOD), said(s))
s = socket.socket(); connect(s, GOOD)
print("dissolved", libc.connect(s.fileno(), raw(0, 0, bytes(12)), 16), connect(s, ("198.18.1.0", 443)), said(s))
s = socket.socket(socket.AF_INET6); print("six", connect(s, ("2001:db8::1", 443)), said(s))
s = socket.socket(socket.AF_INET6); print("within", connect(s, ("::ffff:192.0.2.1", 443)), said(s))
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
print("only six", connect(s, ("::ffff:192.0.2.1", 443)), connect(s, ("2001:db8::1", 443)), said(s))
s = socket.socket(); t = s.dup(); print("dup", connect(t, GOOD), said(s))
def thread():
    libc.unshare(0x400)
    s = socket.socket(); print("own descriptors", connect(s, GOOD), said(s))
t = threading.Thread(target=thread); t.start(); t.join()
print(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", "import socket; s = socket.create_connection(('192.0.2.1', 443)); print('child', s.recv(99).decode().split()[0])"]))
s = socket.socket(); print("looked into", connect(s, ("192.0.2.7", 80)), said(s))
"#;
    let (ran, gateway) = carried(root, script, None);
    let expected = "blocking 0 192.0.2.1:443 EISCONN\n\
        begun EINPROGRESS [4] 0\n\
        asked again 0 EISCONN 192.0.2.1:443\n\
        finished 0 EISCONN\n\
        bound 0 192.0.2.1:443 1\n\
        deferred 0 192.0.2.1:443\n\
        dissolved 0 0 named.example:443\n\
        six 0 [2001:db8::1]:443\n\
        within 0 192.0.2.1:443\n\
        only six ENETUNREACH 0 [2001:db8::1]:443\n\
        dup 0 192.0.2.1:443\n\
        own descriptors 0 192.0.2.1:443\n\
        child 192.0.2.1:443\n0\n\
        looked into 0 192.0.2.7:80\n";
    assert_eq!(ran.fine(), expected, "{}", ran.err);
    assert_eq!(ran.denials(), []);
    let carried = ["192.0.2.1:443", "192.0.2.7:80", "[2001:db8::1]:443", "named.example:443"];
    assert_eq!(gateway.all(), carried);
    assert_eq!(gateway.untold.load(Ordering::SeqCst), 0);
    assert_eq!(reached(&ran), carried.map(|place| (place.to_owned(), Reach::Carried)));
}

fn t70_every_kind_of_socket_has_its_own_answer(root: &Path) {
    if without_python() {
        return;
    }
    let script = r#"
s = socket.socket(); print("denied", connect(s, BAD), connect(s, BAD))
print("unlisted", connect(socket.socket(), ("192.0.2.2", 443)), connect(socket.socket(socket.AF_INET6), ("2001:db8::2", 443)))
print("another port", connect(socket.socket(), ("192.0.2.1", 444)))
print("no port", connect(socket.socket(), ("192.0.2.1", 0)) in ("ENETUNREACH", "EADDRNOTAVAIL"))
print("inside", connect(socket.socket(), ("127.0.0.1", 1)), connect(socket.socket(), ("0.0.0.0", 1)), connect(socket.socket(socket.AF_INET6), ("::1", 1)))
l = socket.create_server(("127.0.0.1", 0)); print("own", connect(socket.socket(), l.getsockname()), connect(l, GOOD))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("datagrams", connect(u, GOOD), connect(u, ("198.18.1.0", 443)), u.getsockname()[0], connect(u, ("192.0.2.1", 0)))
print("asks names", connect(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("127.0.0.1", 53)))
def call(fd, address, length=None):
    return "0" if libc.connect(fd, address, len(address) if length is None else length) == 0 else name(ctypes.get_errno())
four = raw(2, 443, socket.inet_aton(GOOD[0])) + bytes(8)
six = raw(10, 443, bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + bytes(4))
s, t, x = socket.socket(), socket.socket(socket.AF_INET6), socket.socket(socket.AF_UNIX)
print("families", call(s.fileno(), six), call(t.fileno(), four), call(x.fileno(), four))
print("lengths", call(s.fileno(), four, 8), call(s.fileno(), four, 0), call(s.fileno(), four + bytes(200), 200))
r, w = os.pipe(); print("descriptors", call(999, four), call(-1, four), call(r, four), name(libc.connect(s.fileno(), ctypes.c_void_p(8), 16) and ctypes.get_errno()))
print("unix", connect(x, "/tmp/none"), connect(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), "/tmp/none"))
for protocol in (262, 132):
    try: socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    except OSError as error: print(protocol, name(error.errno))
try: s.sendto(b"x", 0x20000000, GOOD)
except OSError as error: print("in a message", name(error.errno))
"#;
    let (ran, gateway) = carried(root, script, None);
    let expected = "denied EACCES EACCES\nunlisted EACCES EACCES\nanother port EACCES\nno port True\n\
        inside ECONNREFUSED ECONNREFUSED ECONNREFUSED\nown 0 EISCONN\n\
        datagrams ENETUNREACH 0 198.18.0.1 ENETUNREACH\nasks names 0\n\
        families EAFNOSUPPORT EAFNOSUPPORT EINVAL\nlengths EINVAL EINVAL EINVAL\n\
        descriptors EBADF EBADF ENOTSOCK EFAULT\nunix ENOENT ENOENT\n\
        262 EPROTONOSUPPORT\n132 EPROTONOSUPPORT\nin a message ENOTSUP\n";
    assert_eq!(ran.fine(), expected, "{}", ran.err);
    let line = "provost: denied connect 192.0.2.9:443 (rule bad: It is bad.)";
    assert_eq!(ran.err.lines().filter(|said| *said == line).count(), 1, "{}", ran.err);
    assert!(ran.denials().contains(&("connect".into(), "[2001:db8::2]:443".into())), "{:?}", ran.denials());
    assert_eq!(gateway.all(), Vec::<String>::new());
    assert_eq!(gateway.asking.lock().unwrap().len(), 1);
    let reached = reached(&ran);
    for (place, how) in [
        ("192.0.2.9:443", Reach::Refused),
        ("127.0.0.1:1", Reach::Inside),
        ("127.0.0.1:53", Reach::Inside),
        ("unix:/tmp/none", Reach::Inside),
    ] {
        assert!(reached.contains(&(place.to_owned(), how)), "{place} {reached:?}");
    }
}

/// Flips the four bytes of an address in shared memory, from a thread and from another process, and connects by it.
fn an_address_that_changes_meanwhile(root: &Path) {
    if without_python() {
        return;
    }
    let script = r#"
shared = mmap.mmap(-1, 4096)
shared[:16] = raw(2, 443, socket.inet_aton(GOOD[0])) + bytes(8)
view = (ctypes.c_char * 16).from_buffer(shared)
addresses = [socket.inet_aton(at) for at in (GOOD[0], BAD[0], "127.0.0.1", "192.0.2.2")]
def flip():
    while True:
        for address in addresses: shared[4:8] = address
pid = os.fork()
if pid == 0:
    signal.alarm(50); flip()
threading.Thread(target=flip, daemon=True).start()
results, words = {}, {}
for n in range(500):
    s = socket.socket()
    libc.connect(s.fileno(), view, 16)
    result = name(ctypes.get_errno()) if libc.connect(s.fileno(), view, 16) else "0"
    results[result] = results.get(result, 0) + 1
    if result in ("0", "EISCONN"):
        word = said(s); words[word] = words.get(word, 0) + 1
    s.close()
os.kill(pid, 9)
print("only what may be", sorted(words), "of", len(results) > 1)
sys.stdout.flush(); os._exit(0)
"#;
    let (ran, gateway) = carried(root, script, None);
    assert_eq!(ran.fine(), "only what may be ['192.0.2.1:443'] of True\n", "{}", ran.err);
    assert_eq!(gateway.all(), ["192.0.2.1:443"]);
    assert_eq!(gateway.untold.load(Ordering::SeqCst), 0);
    let denied = ran.denials().iter().filter(|(_, place)| place == "192.0.2.9:443").count();
    assert!(denied > 5, "the address hardly changed: {denied}");
}

/// Puts other sockets, other files and nothing at all in the descriptor's place, and kills the caller.
fn a_descriptor_that_changes_meanwhile(root: &Path) {
    if without_python() {
        return;
    }
    let script = r#"
spare = [socket.socket(), socket.socket(socket.AF_INET6), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), open("/dev/null")]
going = True
def swap():
    while going:
        # Who exchanges as fast as that is now and then told to try again.
        for other in spare:
            try: os.dup2(other.fileno(), 50)
            except OSError: pass
        try: os.close(50)
        except OSError: pass
thread = threading.Thread(target=swap); thread.start()
address = raw(2, 443, socket.inet_aton(GOOD[0])) + bytes(8)
seen = set()
for n in range(500):
    result = libc.connect(50, address, 16)
    seen.add("0" if result == 0 else name(ctypes.get_errno()))
    if n % 20 == 0:
        spare[0].close(); spare[0] = socket.socket()
going = False; thread.join()
print(sorted(seen - {"0", "EBADF", "ENOTSOCK", "EISCONN", "EAFNOSUPPORT", "ENETUNREACH", "EINVAL"}), len(seen) > 1)
for n in range(30):
    pid = os.fork()
    if pid == 0:
        while True:
            s = socket.socket(); s.connect_ex(GOOD); s.close()
    time.sleep(0.002); os.kill(pid, 9); os.waitpid(pid, 0)
s = socket.socket(); print("still", connect(s, GOOD), said(s))
"#;
    let (ran, gateway) = carried(root, script, None);
    assert_eq!(ran.fine(), "[] True\nstill 0 192.0.2.1:443\n", "{}", ran.err);
    assert_eq!(gateway.all(), ["192.0.2.1:443"]);
}

/// Sockets of another process, connected there or not, come by a message: once, and again and again into the number of a
/// descriptor by which somebody connects meanwhile.
fn a_socket_that_is_passed_on(root: &Path) {
    if without_python() {
        return;
    }
    let script = r#"
ours, theirs = socket.socketpair()
def passed(): return socket.recv_fds(ours, 1, 3)[1]
pid = os.fork()
if pid == 0:
    ours.close(); signal.alarm(50)
    own = [socket.socket(), socket.socket(), socket.socket(socket.AF_INET6)]; connect(own[0], GOOD)
    socket.send_fds(theirs, [b"x"], [s.fileno() for s in own])
    for s in own: s.close()
    local = socket.socket(socket.AF_UNIX)
    kept = socket.socket(); connect(kept, GOOD)
    while True:
        for other in (socket.socket(), local, kept, socket.socket(socket.AF_INET6)):
            socket.send_fds(theirs, [b"x"], [other.fileno()])
theirs.close()
s, t, u = (socket.socket(fileno=number) for number in passed())
print("connected elsewhere", said(s), connect(s, BAD))
print("not yet", connect(t, BAD), connect(t, GOOD), said(t))
print("six", connect(u, ("2001:db8::2", 443)), connect(u, ("2001:db8::1", 443)), said(u))
number = os.open("/dev/null", os.O_RDONLY)
going, came = True, set()
def take():
    while going:
        os.close(number); came.update(passed()); time.sleep(0.0002)
thread = threading.Thread(target=take); thread.start()
seen, tries, until = {}, 0, time.time() + 20
while time.time() < until and (tries < 1000 or min(seen.get((GOOD[0], "0"), 0), seen.get((BAD[0], "EACCES"), 0)) < 10):
    to, tries = (GOOD, BAD)[tries % 2], tries + 1
    address = raw(2, 443, socket.inet_aton(to[0])) + bytes(8)
    came_to = (to[0], "0" if libc.connect(number, address, 16) == 0 else name(ctypes.get_errno()))
    seen[came_to] = seen.get(came_to, 0) + 1
going = False; thread.join(); os.kill(pid, 9)
print("exchanged", came == {number}, ("192.0.2.1", "0") in seen, ("192.0.2.9", "0") in seen, ("192.0.2.9", "EACCES") in seen)
"#;
    let (ran, gateway) = carried(root, script, None);
    let expected = "connected elsewhere 192.0.2.1:443 EACCES\nnot yet EACCES 0 192.0.2.1:443\n\
        six EACCES 0 [2001:db8::1]:443\nexchanged True True False True\n";
    assert_eq!(ran.fine(), expected, "{}", ran.err);
    assert_eq!(gateway.all(), ["192.0.2.1:443", "[2001:db8::1]:443"]);
}

fn a_gateway_that_is_behind(root: &Path) {
    if without_python() {
        return;
    }
    let script = r#"
for n in range(4300):
    s = socket.socket(); s.setblocking(False); s.connect_ex(GOOD); s.close()
held = socket.socket(); held.setblocking(False); print("held", connect(held, GOOD), connect(held, GOOD))
def patient():
    global word
    s = socket.socket(); word = (connect(s, GOOD), said(s))
thread = threading.Thread(target=patient); thread.start()
begun = time.time()
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))
print("impatient", connect(s, GOOD), 0.2 < time.time() - begun < 20)
begun = time.time()
for n in range(200): open("/etc/hostname").close()
print("others", connect(socket.socket(), BAD), time.time() - begun < 10)
open("go", "w").close()
thread.join(); print("patient", word)
"#;
    let (ran, gateway) = carried(root, script, Some("go"));
    let expected = "held EINPROGRESS EALREADY\nimpatient EINPROGRESS True\nothers EACCES True\npatient ('0', '192.0.2.1:443')\n";
    assert_eq!(ran.fine(), expected, "{}", ran.err);
    assert_eq!(gateway.all(), ["192.0.2.1:443"]);
}
