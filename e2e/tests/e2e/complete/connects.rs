//! Where programs tried to connect, as another observer sees it: straight, by the run's proxy, and to each other.

use super::{same, tamed, told, told_whom_to_trust};
use crate::real_agents::{KEY, set_up_for};
use e2e::doubles::model::{Call, Script};
use e2e::network::{self, PROXY, SERVER, SERVER_SIX};
use e2e::person::Person;
use e2e::stage::Stage;
use e2e::strace::beneath;
use std::path::Path;

const POLICY: &str = r#"
version = 1
[[rule]]
id = "server"
connect = ["192.0.2.10:8000", "[2001:db8::10]:8000"]
need = "none"
"#;

/// How a line leaves: without a proxy, or by one (the run's own inside, a plain one outside).
#[derive(Clone, Copy, Debug)]
enum Way {
    Straight,
    Proxy,
}

impl Way {
    /// What a line begins with to leave so.
    fn said(self) -> String {
        let names = "http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY";
        match self {
            Self::Straight => format!("unset {names}; "),
            Self::Proxy => format!("for name in {names}; do export $name=http://{PROXY}; done; "),
        }
    }
}

/// Places, and how often each is tried exactly.
type Attempts<'a> = &'a [(&'a str, u64)];

/// The same line inside, and outside beneath strace, over the same network: both observers tell the same, and so many attempts.
fn same_acts_over(
    stage: &Stage,
    served: &Path,
    way: Way,
    line: &str,
    (attempts, counts): (Attempts<'_>, fn(&str) -> bool),
) {
    let policy = stage.policy(POLICY);
    let line = way.said() + line;
    let words = ["sh", "-c", &line];
    let inside = ["run", "--unattended", "--policy", &policy, "--"].into_iter().chain(words);
    let folder = tempfile::tempdir_in(&stage.elsewhere).unwrap();
    stage.person.owns(folder.path());
    let inside = network::around(stage, served, &stage.provost(inside));
    let outside = network::around(stage, served, &beneath(stage, &words, folder.path()));
    let (recorded, seen) = told(stage, inside, outside, folder.path());
    let [recorded, seen] = [recorded, seen].map(|acts| tamed(&acts, counts));
    same(&recorded, &seen, 10);
    for (target, exact) in attempts {
        let count = seen.get(&format!("connect {target}")).copied().unwrap_or_default();
        assert!(count == *exact, "{target}, {count} times: {seen:#?}");
    }
}

/// Each scene has a stage of its own: what a run leaves outside, another would find.
fn with_network(ways: &[(Way, &str)], scene: impl Fn(&Stage, &Path, Way, &str)) {
    if let Some(missing) = network::missing() {
        println!("SKIPPED: a network of its own needs {missing} here");
        return;
    }
    for person in Person::everybody() {
        for (way, target) in ways {
            println!("as {person}, {way:?}");
            let mut stage = Stage::new(person);
            told_whom_to_trust(&mut stage);
            scene(&stage, &network::served(&stage), *way, target);
        }
    }
}

const BOTH: [(Way, &str); 2] = [(Way::Straight, SERVER), (Way::Proxy, PROXY)];

/// Every way to connect, from several threads and processes, once taken and once in vain.
const PYTHON: &str = r#"
import os, socket, subprocess, sys, threading, urllib.request
V4, V6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
def attempt(family, at, kind=socket.SOCK_STREAM, wait=None):
    s = socket.socket(family, kind); s.settimeout(wait)
    try: s.connect(at)
    except OSError: pass
    s.close()
def listen(family, at):
    s = socket.socket(family); s.bind(at); s.listen(64)
    def taken():
        while True: s.accept()[0].close()
    threading.Thread(target=taken, daemon=True).start()
OUTSIDE = (V4, ("192.0.2.10", 8000)), (V6, ("2001:db8::10", 8000)), (V6, ("::ffff:192.0.2.10", 8000))
INSIDE = (V4, ("127.0.0.77", 7701)), (V6, ("::1", 7702)), (V4, ("127.0.0.77", 9)), (V6, ("::1", 9))
LOCAL = (UNIX, "in.sock"), (UNIX, os.getcwd() + "/in.sock"), (UNIX, "\0of-a-test"), (UNIX, "none.sock"), (UNIX, "\0none")
def work():
    for i in range(12):
        for family, at in OUTSIDE + INSIDE + LOCAL: attempt(family, at)
        for family, at in OUTSIDE + INSIDE: attempt(family, at, wait=10)
        attempt(V4, ("127.0.0.77", 7701), socket.SOCK_DGRAM)
if len(sys.argv) == 1:
    for family, at in INSIDE[:2] + LOCAL[1:3]: listen(family, at)
threads = [threading.Thread(target=work) for n in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
for n in range(5): urllib.request.urlopen("http://192.0.2.10:8000/").read()
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-B", __file__, "child"], check=True)
    os.unlink("in.sock")
# Threads that still wait need not be told of the end.
os._exit(0)
"#;

#[test]
fn every_attempt_of_python_is_recorded_as_another_observer_sees_it() {
    with_network(&BOTH[..1], |stage, served, way, _| {
        stage.write("connects.py", PYTHON);
        let [path, none] =
            ["in.sock", "none.sock"].map(|name| format!("unix:{}/{name}", stage.workspace.display()));
        // Two processes of three threads, twelve times.
        let each = 2 * 3 * 12;
        let attempts = [
            (SERVER, each * 4 + 10),
            (SERVER_SIX, each * 2),
            ("127.0.0.77:7701", each * 3),
            ("127.0.0.77:9", each * 2),
            ("[::1]:7702", each * 2),
            ("[::1]:9", each * 2),
            (&path, each * 2),
            (&none, each),
            ("unix:@of-a-test", each),
            ("unix:@none", each),
        ];
        same_acts_over(stage, served, way, "python3 -B connects.py", (&attempts, |_| true));
    });
}

/// A repository to be cloned, as a plain server of files has it.
fn serve_repository(stage: &Stage, served: &Path) {
    stage.outside("git clone --quiet --bare . ../../elsewhere/served/r.git && git -C ../../elsewhere/served/r.git update-server-info").ended(0);
    assert!(served.join("r.git/info/refs").exists());
}

#[test]
fn a_clone_over_http_is_recorded_as_another_observer_sees_it() {
    with_network(&BOTH, |stage, served, way, target| {
        serve_repository(stage, served);
        let line = format!(
            "git -c http.maxRequests=1 clone --quiet http://{SERVER}/r.git /tmp/cloned && rm -r /tmp/cloned"
        );
        // Whether an object has come is looked up as often as there is time.
        let counts = |act: &str| !act.ends_with("/.git/objects/pack");
        same_acts_over(stage, served, way, &line, (&[(target, 1)], counts));
    });
}

#[test]
fn curls_connections_are_recorded_as_another_observer_sees_them() {
    with_network(&BOTH, |stage, served, way, _| {
        let curl = "curl --silent --show-error --fail --output /dev/null";
        let line = format!(
            "for n in 1 2 3; do {curl} http://{SERVER}/ http://{SERVER}/; {curl} --globoff http://{SERVER_SIX}/; {curl} --proxytunnel http://{SERVER}/; done"
        );
        let attempts: Attempts<'_> = match way {
            Way::Straight => &[(SERVER, 6), (SERVER_SIX, 3)],
            Way::Proxy => &[(PROXY, 9)],
        };
        same_acts_over(stage, served, way, &line, (attempts, |_| true));
        // Of what came to the gateway, each request by its proxy is judged for itself.
        let judged = match way {
            Way::Straight => 9,
            Way::Proxy => 12,
        };
        assert_eq!(stage.ledger().of("connection").count(), judged);
    });
}

#[test]
fn an_installation_from_a_server_is_recorded_as_another_observer_sees_it() {
    with_network(&BOTH, |stage, served, way, target| {
        stage.in_home(".npmrc", "update-notifier=false\nmaxsockets=1\n");
        stage.in_home(".npm/_cacache/kept", "");
        stage.write("dep/package.json", "{\"name\": \"dep\", \"version\": \"1.0.0\"}\n");
        stage.outside("mv dep package && tar -czf ../../elsewhere/served/dep-1.0.0.tgz package").ended(0);
        assert!(served.join("dep-1.0.0.tgz").exists());
        stage.write("package.json", "{\"name\": \"it\", \"version\": \"1.0.0\"}\n");
        let line = format!("npm install --no-audit --no-fund --silent http://{SERVER}/dep-1.0.0.tgz");
        // What is asked for while it comes is written twice.
        let counts = |act: &str| !act.contains("/_cacache/");
        same_acts_over(stage, served, way, &line, (&[(target, 1)], counts));
    });
}

/// What a tool's program of this name, and the shell that starts it, did.
fn of_a_tool(act: &str) -> bool {
    act.starts_with("exec python3 -B tool.py")
        || act.starts_with("connect 127.0.0.77:")
        || act.starts_with("connect [::1]:77")
        || act.starts_with("connect unix:@of-a-tool")
        || (act.starts_with("connect ") && act.ends_with("/tool.sock"))
}

/// A server and its clients, as tests of a project start them.
const TOOL: &str = r#"
import os, socket, threading
kinds = (socket.AF_INET, ("127.0.0.77", PORT)), (socket.AF_INET6, ("::1", PORT)), (socket.AF_UNIX, "tool.sock"), (socket.AF_UNIX, "\0of-a-tool-PORT")
def serve(s):
    while True: s.accept()[0].sendall(b"here")
for family, at in kinds:
    s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(at); s.listen()
    threading.Thread(target=serve, args=(s,), daemon=True).start()
for n in range(7):
    for family, at in kinds:
        c = socket.socket(family); c.connect(at); assert c.recv(4) == b"here"; c.close()
os.unlink("tool.sock"); os._exit(0)
"#;

fn session() -> Script {
    let call = || Call::Shell("python3 -B tool.py && echo served".to_owned());
    Script::of([call(), call()], "All is done.").for_key(KEY)
}

/// Two calls of a tool in an agent's session: what its own program talks to is beside the point, since Provost stands between.
/// The port is one that no other test has outside.
fn same_in_a_session(person: Person, port: &str, (inside, outside): (&[&str], &[&str])) {
    let Some((stage, server)) = set_up_for(person, session()) else { return };
    stage.write("tool.py", &TOOL.replace("PORT", port));
    let folder = tempfile::tempdir_in(&stage.elsewhere).unwrap();
    person.owns(folder.path());
    let words = ["run", "--unattended", "--"].iter().chain(inside);
    let (recorded, seen) =
        told(&stage, stage.provost(words), beneath(&stage, outside, folder.path()), folder.path());
    assert!(server.told().iter().all(|said| said.contains("served")), "{:#?}", server.told());
    let [recorded, seen] = [recorded, seen].map(|acts| tamed(&acts, of_a_tool));
    same(&recorded, &seen, 5);
    assert_eq!(seen.values().sum::<u64>(), 2 * (1 + 4 * 7), "{seen:#?}");
}

#[test]
fn what_codexs_tools_connect_to_is_recorded_as_another_observer_sees_it() {
    same_in_a_session(
        Person::myself(),
        "7703",
        (&["codex", "exec", "go"], &["codex", "exec", "--dangerously-bypass-approvals-and-sandbox", "go"]),
    );
}

#[test]
fn what_claudes_tools_connect_to_is_recorded_as_another_observer_sees_it() {
    same_in_a_session(
        Person::everybody().pop().unwrap(),
        "7704",
        (&["claude", "-p", "go"], &["claude", "-p", "--dangerously-skip-permissions", "go"]),
    );
}
