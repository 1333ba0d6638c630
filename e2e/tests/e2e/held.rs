//! What programs do while a call of theirs waits for a person: their own timers, job control, `provost stop`, and a connection
//! that is held by the proxy. Each is met by an answer after seconds, by none in time, and by its asker's end.

use crate::desk::{Scene, id};
use e2e::ran::{Beside, wait_until};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

const POLICY: &str = r#"
version = 1
[[rule]]
id = "ask-id"
exec = ["id **"]
need = "human"
[[rule]]
id = "notes"
read = ["./notes/**"]
need = "human"
[[rule]]
id = "server"
connect = ["127.0.0.1:PORT", "docs.example.org:*"]
need = "human"
"#;

fn scene(port: u16) -> Scene {
    let scene = Scene::of(&POLICY.replace("PORT", &port.to_string()));
    scene.stage.write("notes/plan.txt", "the plan\n");
    scene
}

/// The one question, after it stood for a while.
#[track_caller]
fn asked(scene: &Scene, about: &str) -> String {
    let ask = scene.asks(1).remove(0);
    assert!(ask["text"].as_str().unwrap().starts_with(about), "{ask:#}");
    std::thread::sleep(Duration::from_secs(2));
    id(&ask)
}

/// How the questions of the run ended, in order.
fn ends(scene: &Scene) -> Vec<String> {
    scene.says(&["ledger", "verify"]).ended(0).printed("whole");
    let ledger = scene.stage.ledger();
    ledger.of("ask.answered").map(|end| end["how"].as_str().unwrap().to_owned()).collect()
}

fn has(program: &str) -> bool {
    let there =
        ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists());
    if !there {
        println!("SKIPPED: no {program} here");
    }
    there
}

/// Timers of its own fire while calls are held: a read, a child's start, a request.
const NODE: &str = r#"
const fs = require('fs'), { spawn } = require('child_process');
const pause = time => new Promise(over => setTimeout(over, time));
const child = (line, options) => new Promise(over => {
    const child = spawn('sh', ['-c', line], { stdio: ['ignore', 'inherit', 'ignore'], ...options });
    child.on('error', () => {});
    child.on('close', (code, signal) => over(`${code} ${signal}`));
});
(async () => {
    for (const what of ['first', 'second']) {
        const read = fs.promises.readFile('notes/plan.txt', 'utf8');
        await pause(300); console.log('timer beside the', what, 'read');
        console.log('read', await read.then(text => text.trim(), error => error.code));
    }
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 2500);
    console.log('aborted', await child('exec id -u', { signal: abort.signal }));
    console.log('timed out', await child('exec id -u', { timeout: 2500, killSignal: 'SIGKILL' }));
    let beats = 0; const beat = setInterval(() => beats++, 100);
    console.log('answered', await child('exec id -u > /dev/null'), beats > 10);
    clearInterval(beat);
    await fetch('http://docs.example.org/', { signal: AbortSignal.timeout(2500) })
        .then(answer => console.log('fetched', answer.status), error => console.log('fetch', error.name));
})();
"#;

#[test]
fn a_node_programs_own_timers_fire_while_its_calls_are_held() {
    if !has("node") {
        return;
    }
    let scene = scene(9);
    scene.stage.write("timers.js", NODE);
    let run = scene.start(&["--attended", "--ask-timeout", "10s"], "node timers.js");
    let ask = asked(&scene, "read ");
    run.prints("timer beside the first read");
    scene.says(&["allow", &ask]).ended(0);
    run.prints("read the plan");
    // Nobody answers.
    run.prints("timer beside the second read");
    run.prints("read EACCES");
    // Each is still asked about when its asker's own timer ends it.
    for end in ["aborted null SIGTERM", "timed out null SIGKILL"] {
        let ask = scene.asks(1).remove(0);
        run.prints(end);
        let gone = wait_until(Duration::from_secs(20), || {
            scene.rows("ask").iter().all(|row| row["id"] != ask["id"])
        });
        assert!(gone, "the question outlives its asker: {ask:#}");
    }
    let ask = asked(&scene, "exec id -u");
    scene.says(&["allow", &ask]).ended(0);
    run.prints("answered 0 null true");
    run.prints("fetch TimeoutError");
    run.end().ended(0);
    let ends = ends(&scene);
    assert_eq!(ends[..5], ["command", "timeout", "withdrawn", "withdrawn", "command"]);
    // Node may try one name by several connections.
    assert!(ends.len() > 5 && ends[5..].iter().all(|end| end == "withdrawn"), "{ends:?}");
}

/// A person at a shell on a terminal, played: `type`s, and waits for what is there to be seen.
const SHELL: &str = r#"
import os, pty, re, sys, threading, time
shell, terminal = pty.fork()
if shell == 0: os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**os.environ, "PS1": "ready> "})
seen, lock = b"", threading.Lock()
def watch():
    global seen
    while True:
        try: some = os.read(terminal, 65536)
        except OSError: return
        with lock: seen += some
threading.Thread(target=watch, daemon=True).start()
def type(keys): os.write(terminal, keys)
def until(so, what):
    for _ in range(4000):
        if so(): return
        time.sleep(0.01)
    print("never:", what, seen, flush=True); os._exit(9)
def sees(words):
    global seen
    until(lambda: words in seen, words)
    with lock: seen = seen.split(words, 1)[1]
def first_line(path):
    try: return open(path).read()
    except OSError: return ""
def held():
    job = []
    def is_held():
        for pid in first_line(f"/proc/{shell}/task/{shell}/children").split():
            if first_line(f"/proc/{pid}/comm") == "cat\n" and first_line(f"/proc/{pid}/syscall").startswith("257 "): job.append(pid)
            if len(job) > 20: return True
        return False
    until(is_held, "held")
    return job[-1]
def state(pid): return first_line(f"/proc/{pid}/stat").rsplit(")", 1)[-1].split()[0]
def stopped_while_held(what, outcome):
    type(b"cat notes/plan.txt\n")
    job = held(); type(b"\x1a"); time.sleep(0.5)
    print(what, "stops at once", state(job) == "T", flush=True)
    sees(b"Stopped"); sees(b"ready> ")
    print(what, "is stopped then", state(job) == "T", flush=True)
    type(b"fg\n"); sees(outcome); sees(b"ready> ")
    print(what, "went on", flush=True)
sees(b"ready> ")
stopped_while_held("answered", b"the plan")
stopped_while_held("unanswered", b"Permission denied")
type(b"cat notes/other.txt\n"); held(); began = time.time(); type(b"\x03"); sees(b"^C"); sees(b"ready> ")
print("interrupted", time.time() - began < 3, flush=True)
type(b"cat notes/third.txt &\n"); sees(b"ready> "); held(); type(b"kill %1; wait; echo ov\"\"er\n"); sees(b"over")
print("ended", flush=True)
type(b"exit\n"); print("exit", os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]), flush=True)
"#;

#[test]
fn a_job_that_is_stopped_while_its_call_is_held_stops_with_the_answer_and_goes_on() {
    if !has("python3") || !has("bash") {
        return;
    }
    let scene = scene(9);
    scene.stage.write("shell.py", SHELL);
    scene.stage.write("notes/other.txt", "other\n");
    scene.stage.write("notes/third.txt", "third\n");
    let run = scene.start(&["--attended", "--ask-timeout", "8s"], "python3 -B shell.py");
    let ask = asked(&scene, "read ");
    // The kernel lets no signal but a deadly one end a call that waits: it stops once it is answered.
    run.prints("answered stops at once False");
    scene.says(&["allow", &ask]).ended(0);
    run.prints("answered is stopped then True");
    run.prints("answered went on");
    run.prints("unanswered stops at once False");
    run.prints("unanswered is stopped then True");
    run.prints("unanswered went on");
    run.prints("interrupted True");
    run.prints("ended");
    run.end().ended(0).printed("exit ");
    assert_eq!(ends(&scene), ["command", "timeout", "withdrawn", "withdrawn"]);
}

#[test]
fn stopping_a_run_withdraws_what_it_asks_and_its_ledger_is_whole() {
    let scene = scene(9);
    let line = "cat notes/plan.txt & id -u & curl --silent http://docs.example.org/ & wait; echo went on";
    let run = scene.start(&["--attended"], line);
    let asks = scene.asks(3);
    scene.says(&["stop"]).ended(0);
    let ran = run.end();
    assert!(ran.status != 0 && !ran.stdout.contains("went on") && !ran.stdout.contains("the plan"), "{ran}");
    assert!(ran.took < Duration::from_secs(60), "{ran}");
    scene.says(&["asks"]).ended(0).printed("Nothing is asked.");
    for ask in &asks {
        scene.says(&["allow", &id(ask)]).ended(125).complained("nothing that is asked is named");
    }
    assert_eq!(ends(&scene), ["withdrawn"; 3]);
    scene.says(&["status"]).ended(0);
}

/// A server of the machine, which counts whom it answers.
fn server() -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let served = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nserved";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, count)
}

/// A request by the proxy that is held: in the open, and for a tunnel.
fn held_by_the_proxy(how: &str) {
    let (port, served) = server();
    let scene = scene(port);
    let curl = |most: u32| {
        format!(
            "curl --noproxy '' {how} --silent --max-time {most} http://127.0.0.1:{port}/; echo \" with $?\""
        )
    };
    let begin = |options: &[&str], line: &str| scene.start(&[&["--attended"], options].concat(), line);
    let gone = |run: &Beside, said: &str| {
        let ask = scene.asks(1).remove(0);
        run.prints(said);
        scene.asks(0);
        ask
    };
    // Answered after seconds, well within the time.
    let run = begin(&[], &curl(60));
    let ask = asked(&scene, "connect 127.0.0.1:");
    assert_eq!(served.load(std::sync::atomic::Ordering::SeqCst), 0, "nothing leaves before the answer");
    scene.says(&["allow", &ask]).ended(0);
    run.end().ended(0).printed("served with 0");
    assert_eq!(ends(&scene), ["command"]);
    // Its own time is shorter than the answer takes: the question goes with it, and a late answer has no effect.
    let run = begin(&[], &format!("{}; sleep 20", curl(3)));
    let ask = gone(&run, "with 28");
    scene.says(&["allow", &id(&ask)]).ended(1).complained("whoever asked does not wait any more");
    scene.says(&["stop"]).ended(0);
    drop(run.end());
    assert_eq!(ends(&scene), ["withdrawn"]);
    // Nobody answers in time.
    let run = begin(&["--ask-timeout", "2s"], &curl(60));
    let ran = run.end().ended(0);
    assert!(!ran.stdout.contains("served") && ran.stdout.contains("with"), "{ran}");
    assert_eq!(ends(&scene), ["timeout"]);
    // Its asker is killed.
    let line = format!("({}) & sleep 4; pkill -KILL -x curl; wait; echo killed; sleep 20", curl(60));
    let run = begin(&[], &line);
    gone(&run, "killed");
    scene.says(&["stop"]).ended(0);
    drop(run.end());
    assert_eq!(ends(&scene), ["withdrawn"]);
    assert_eq!(served.load(std::sync::atomic::Ordering::SeqCst), 1, "only what was allowed arrives");
}

#[test]
fn a_request_that_the_proxy_holds_ends_with_its_answer_its_time_or_its_asker() {
    held_by_the_proxy("");
}

#[test]
fn a_tunnel_that_the_proxy_holds_ends_with_its_answer_its_time_or_its_asker() {
    held_by_the_proxy("--proxytunnel");
}
