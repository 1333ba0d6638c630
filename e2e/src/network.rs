//! A network of the test's own, with servers that are really outside: addresses of the machine in a network namespace.
//!
//! Owns: making it around a command, and what is served there. Does not own: what the command may reach.

use crate::person::Person;
use crate::stage::Stage;
use std::path::Path;
use std::process::Command;

/// Where the folder is served.
pub const SERVER: &str = "192.0.2.10:8000";
/// Where it is served over the other IP, in a network that has that.
pub const SERVER_SIX: &str = "[2001:db8::10]:8000";
/// A plain proxy, where a run has its own.
pub const PROXY: &str = "127.0.0.1:9317";

/// Makes the network, starts the servers on the folder it is given, becomes the person, and runs the rest of its words.
const AROUND: &str = r#"
set -e
ip link set lo up
ip address add 192.0.2.10/32 dev lo
ip address add 192.0.2.66/32 dev lo
ip address add 2001:db8::10/128 dev lo nodad 2>/dev/null || echo "no IPv6 here" >&2
folder=$1; uid=$2; shift 2
python3 -c "$SERVES" "$folder" &
serves=$!; unset SERVES
while ! test -e "$folder.ready"; do sleep 0.1; kill -0 $serves; done
rm "$folder.ready"
set +e
setpriv --pdeathsig TERM --reuid "$uid" --regid "$uid" --clear-groups "$@"
status=$?
kill $serves
exit $status
"#;

/// Serves a folder at both addresses, its neighbour's at another where all requests are noted, and as a proxy to all of them.
/// Connections are kept, as most servers do.
const SERVES: &str = r#"
import http.server, os, socket, sys, threading, time, urllib.request
parent = os.getppid()
folder = sys.argv[1]
class Served(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def __init__(self, *more): super().__init__(*more, directory=folder)
    def log_message(self, *words): pass
class Noted(Served):
    def log_message(self, form, *words):
        with open(folder + "/evil.log", "a") as log: log.write(form % words + "\n")
class Proxy(Served):
    def do_GET(self):
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), Passed()).open(self.path) as answer:
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    def do_CONNECT(self):
        host, port = self.path.rsplit(":", 1)
        there = socket.create_connection((host.strip("[]"), int(port)))
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        back = threading.Thread(target=self.pump, args=(there, self.connection))
        back.start()
        self.pump(self.connection, there)
        back.join()
    def pump(self, one, other):
        while some := one.recv(65536): other.sendall(some)
        other.shutdown(socket.SHUT_WR)
class Passed(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, answer): return answer
class Six(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
class Four(http.server.ThreadingHTTPServer): pass
def start(kind, at, what): threading.Thread(target=kind(at, what).serve_forever).start()
start(Four, ("192.0.2.10", 8000), Served)
start(Four, ("192.0.2.66", 80), Noted)
start(Four, ("127.0.0.1", 9317), Proxy)
try: start(Six, ("2001:db8::10", 8000), Served)
except OSError as error: print("no IPv6 is served:", error, file=sys.stderr)
open(folder + ".ready", "w").close()
while os.getppid() == parent: time.sleep(0.5)
os._exit(0)
"#;

/// What a network of its own needs and this machine lacks.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let has = |program: &&str| {
        ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
    };
    if Person::myself().uid != 0 {
        return Some("root");
    }
    ["unshare", "ip", "setpriv", "python3", "curl"].into_iter().find(|program| !has(program))
}

/// The folder of the stage that is served.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn served(stage: &Stage) -> std::path::PathBuf {
    let folder = stage.elsewhere.join("served");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    std::fs::write(folder.join("index.html"), "hello from outside\n").expect("a file can be written");
    stage.person.owns(&folder);
    folder
}

/// A command of the stage's person, in the workspace, with the network around it.
#[must_use]
pub fn around(stage: &Stage, folder: &Path, inner: &Command) -> Command {
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--net", "/bin/sh", "-c", AROUND, "sh"]).arg(folder).arg(stage.person.uid.to_string());
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(&stage.workspace).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin").env("SERVES", SERVES);
    command
}
