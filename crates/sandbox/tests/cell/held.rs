//! Calls that wait for an answer, as a program meets them: signals, time-outs, ends, and everybody else meanwhile.

use super::asked::{PYTHON, answer, human, next, wait_for};
use super::runner::{Case, command, itself};
use super::scene::{Going, Ran, Scene};
use admission::Answer;
use ledger::{Answered, Body};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    ("a_held_call_answered_after_seconds_goes_on", answered_after_seconds),
    ("a_held_call_that_nobody_answers_is_refused_in_time", nobody_answers),
    ("a_held_read_ends_with_its_caller_however_that_ends", held_read),
    ("a_held_write_ends_with_its_caller_however_that_ends", held_write),
    ("a_held_exec_ends_with_its_caller_however_that_ends", held_exec),
    ("a_held_call_holds_up_no_end_of_the_run", no_end_is_held_up),
    ("a_run_that_is_killed_with_a_held_call_leaves_nothing", a_killed_run_leaves_nothing),
    ("others_go_on_at_speed_while_calls_are_held", others_go_on),
];

/// What is killed.
pub(crate) const PARTS: &[Case] = &[("a_run_that_is_killed_with_a_held_call", a_run_that_is_killed)];

fn scene(root: &Path) -> Scene {
    let mut scene = Scene::new(root);
    let exec = "[[rule]]\nid = \"loud\"\nexec = [\"echo asked **\"]\nneed = \"human\"\nwhy = \"Ask her.\"\n";
    let write = human(&["write"], &["./deploy/**"]).replace("hers", "hers-too");
    scene.rules = format!("{}{write}{exec}", human(&["read"], &["./private/**"]));
    scene.attended = true;
    for folder in ["private", "deploy"] {
        fs::create_dir(scene.work().join(folder)).unwrap();
    }
    fs::write(scene.work().join("private/key"), "content\n").unwrap();
    scene
}

fn without_python() -> bool {
    let missing = !Path::new(PYTHON).exists();
    if missing {
        eprintln!("SKIPPED: no {PYTHON}");
    }
    missing
}

fn answered_after_seconds(root: &Path) {
    let script = "cat private/key & echo written > deploy/new & /bin/echo asked & wait; cat deploy/new
        cat private/key; echo $?; echo x > deploy/no; echo $?; /bin/echo asked no; echo $?";
    let going = scene(root).set(&["/bin/bash", "-c", script]).go().unwrap();
    let asks = going.admission.asks();
    let first: Vec<_> = (0..3).map(|_| next(&going, &asks)).collect();
    std::thread::sleep(Duration::from_secs(2));
    for ask in &first {
        answer(&going, ask, true);
    }
    for _ in 0..3 {
        let ask = next(&going, &asks);
        answer(&going, &ask, false);
    }
    let ran = going.end();
    let mut said: Vec<&str> = ran.fine().lines().collect();
    said[..2].sort_unstable();
    assert_eq!(said, ["asked", "content", "written", "1", "1", "126"], "{}", ran.err);
    for denied in ["read", "write", "exec"] {
        assert_eq!(ran.err.matches(&format!("provost: denied {denied} ")).count(), 1, "{}", ran.err);
    }
    assert_eq!(
        ran.err.matches("not today").count(),
        3,
        "a no is told in the words of who said it: {}",
        ran.err
    );
}

fn nobody_answers(root: &Path) {
    let mut scene = scene(root);
    scene.patience = Duration::from_millis(700);
    let ran = scene.bash("cat private/key; echo $?; echo x > deploy/new; echo $?; /bin/echo asked; echo $?; cat /etc/hostname > /dev/null");
    assert_eq!(ran.fine(), "1\n1\n126\n", "{}", ran.err);
    assert_eq!(ran.err.matches("nobody answered in time").count(), 3, "{}", ran.err);
    assert_eq!(ends(&ran), [("clock", "timeout"); 3].map(owned));
}

fn owned((by, how): (&str, &str)) -> (String, String) {
    (by.to_owned(), how.to_owned())
}

/// How the asks ended: by whom, and how.
fn ends(ran: &Ran) -> Vec<(String, String)> {
    let end = |event: &ledger::Event| match &event.body {
        Body::AskAnswered(said) => Some((said.by.clone(), said.how.clone())),
        _ => None,
    };
    ran.events.iter().filter_map(end).collect()
}

/// Children do one call that is held, and are met by everything that ends or interrupts one.
const ENDS: &str = r#"
import os, signal, subprocess, sys, threading, time
kind = sys.argv[1]
number = {"read": "257 ", "write": "257 ", "exec": "59 "}[kind]
words = {"read": ["/bin/cat", "private/key"], "write": ["/usr/bin/tee", "deploy/new"], "exec": ["/bin/echo", "asked"]}[kind]
def call():
    if kind == "exec": os.execv(words[0], words)
    flags = os.O_RDONLY if kind == "read" else os.O_WRONLY | os.O_CREAT
    return os.open(words[1], flags)
def held(pid):
    for _ in range(3000):
        for thread in os.listdir(f"/proc/{pid}/task"):
            try:
                if open(f"/proc/{pid}/task/{thread}/syscall").read().startswith(number) and calls(pid, thread): return
            except OSError: pass
        time.sleep(0.01)
    print("never held", flush=True); os._exit(9)
def calls(pid, thread):
    time.sleep(0.05)
    return open(f"/proc/{pid}/task/{thread}/syscall").read().startswith(number)
def child(before=lambda: None):
    pid = os.fork()
    if pid == 0:
        try:
            before(); call(); os._exit(0)
        except OSError as error: os._exit(100 + error.errno)
        finally: os._exit(99)
    held(pid)
    return pid
def status(pid, flags=0):
    done, status = os.waitpid(pid, flags)
    return (done and (os.WIFSIGNALED(status) and -os.WTERMSIG(status) or os.WIFSTOPPED(status) and "stopped" or os.WEXITSTATUS(status)))
for number_of in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    def default(): signal.signal(signal.SIGINT, signal.SIG_DFL)
    pid = child(default)
    began = time.time(); os.kill(pid, number_of)
    print(number_of.name, status(pid), time.time() - began < 5, flush=True)
pid = child(lambda: signal.setitimer(signal.ITIMER_REAL, 1))
print("timer", status(pid), flush=True)
out, into = os.pipe()
def handle(): signal.signal(signal.SIGUSR1, lambda *_: os.write(into, b"handled"))
if kind != "exec":
    pid = child(handle)
    os.kill(pid, signal.SIGUSR1); time.sleep(0.3); os.set_blocking(out, False)
    try: print("at once", os.read(out, 9))
    except BlockingIOError: print("a handler waits", flush=True)
    print("ANSWER", flush=True)
    print("then", status(pid), os.read(out, 9), flush=True)
pid = child()
os.kill(pid, signal.SIGSTOP); time.sleep(0.3)
print("stops at once", status(pid, os.WUNTRACED | os.WNOHANG) != 0, flush=True)
print("ANSWER", flush=True)
print("then", status(pid, os.WUNTRACED), flush=True)
os.kill(pid, signal.SIGCONT)
print("on", status(pid), flush=True)
pid = child()
# Behind a signal that waits the kernel lets no other end the call but this.
os.kill(pid, signal.SIGSTOP); os.kill(pid, signal.SIGKILL)
print("stopped and ended", status(pid) < 0, flush=True)
# What is started has its parent's handlers until it starts: the first signal waits, and what follows does not.
limit = ["timeout", "-k", "1", "1"] if kind == "exec" else ["timeout", "1"]
print("timeout", subprocess.run(limit + words, stdin=subprocess.DEVNULL).returncode in (124, 137, -9), flush=True)
if kind != "exec":
    try: subprocess.run(words, timeout=1, stdin=subprocess.DEVNULL); print("wrong")
    except subprocess.TimeoutExpired: print("expired", flush=True)
else:
    # The parent of a vfork waits with its child; whoever else may kill that.
    parent = os.fork()
    if parent == 0:
        try: os.posix_spawn(words[0], words, {})
        except OSError: pass
        os._exit(5)
    pids = []
    while not pids: pids = open(f"/proc/{parent}/task/{parent}/children").read().split()
    held(int(pids[0]))
    waits = status(parent, os.WNOHANG) == 0
    os.kill(int(pids[0]), 9)
    print("expired" if waits and status(parent) == 5 else "wrong", flush=True)
def thread_then(end):
    pid = os.fork()
    if pid == 0:
        def thread():
            try: call()
            except OSError: pass
        if kind == "exec": call()
        threading.Thread(target=thread, daemon=True).start()
        held(os.getpid()); end()
    if kind == "exec": held(pid); os.kill(pid, 9)
    return status(pid)
print("a thread exits", thread_then(lambda: os._exit(7)) in (7, -9), flush=True)
print("a thread execs", thread_then(lambda: os.execv("/bin/true", ["true"])) in (0, -9), flush=True)
"#;

/// Answers yes for each `ANSWER` that the program writes.
fn answer_when_told(going: &Going) {
    let mut answered = 0;
    let begun = Instant::now();
    while going.said("a thread execs") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(50), "{}", going.heard());
        if going.said("ANSWER") > answered
            && let [ask, ..] = &going.admission.open_asks()[..]
        {
            answer(going, ask, true);
            answered += 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ends_of(root: &Path, kind: &str) {
    if without_python() {
        return;
    }
    let going = scene(root).set(&[PYTHON, "-c", ENDS, kind]).go().unwrap();
    answer_when_told(&going);
    let ran = going.end();
    let handled = "a handler waits\nANSWER\nthen 0 b'handled'\n";
    let expected = format!(
        "SIGKILL -9 True\nSIGTERM -15 True\nSIGINT -2 True\nSIGHUP -1 True\ntimer -14\n{}stops at once False\nANSWER\nthen stopped\non 0\nstopped and ended True\ntimeout True\nexpired\na thread exits True\na thread execs True\n",
        if kind == "exec" { "" } else { handled }
    );
    let said = ran.fine().replace("asked\n", "");
    assert_eq!(said, expected, "{}", ran.err);
    let yes = if kind == "exec" { 1 } else { 2 };
    let ends = ends(&ran);
    assert_eq!(ends.iter().filter(|(by, _)| by == "tester").count(), yes, "{ends:?}");
    let withdrawn = ends.iter().filter(|end| **end == owned(("run", "withdrawn"))).count();
    // Each that ended took its own question along, and none waited for that of one before.
    assert_eq!((withdrawn, ends.len()), (10, 10 + yes), "{ends:?}");
}

fn held_read(root: &Path) {
    ends_of(root, "read");
}

fn held_write(root: &Path) {
    ends_of(root, "write");
}

fn held_exec(root: &Path) {
    ends_of(root, "exec");
}

fn no_end_is_held_up(root: &Path) {
    let script = "(cat private/key; echo x > deploy/new) & /bin/echo asked & read; exit 3";
    let mut scene = scene(root);
    let mut input = scene.input.take().unwrap();
    let going = scene.set(&["/bin/bash", "-c", script]).go().unwrap();
    let asks = going.admission.asks();
    let _two = (next(&going, &asks), next(&going, &asks));
    input.write_all(b"now\n").unwrap();
    let begun = Instant::now();
    let ran = going.end();
    assert!(matches!(ran.exit, Ok(sandbox::Exit::Code(3))), "{:?}", ran.exit);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(ends(&ran).iter().all(|(by, _)| by == "run") && ends(&ran).len() == 2, "{:?}", ends(&ran));
}

/// How many processes of the machine carry the mark.
fn alive(mark: &str) -> usize {
    let carries = |entry: fs::DirEntry| {
        fs::read(entry.path().join("cmdline")).unwrap_or_default().starts_with(mark.as_bytes())
    };
    fs::read_dir("/proc").unwrap().flatten().map(carries).filter(|found| *found).count()
}

fn a_run_that_is_killed(root: &Path) {
    let mark = root.file_name().unwrap().to_str().unwrap().to_owned();
    fs::create_dir(root.join("inner")).unwrap();
    let script = format!("(exec -a {mark} cat private/key) & (exec -a {mark} tee deploy/new) & wait");
    scene(&root.join("inner")).bash(&script);
}

fn a_killed_run_leaves_nothing(root: &Path) {
    let mark = root.file_name().unwrap().to_str().unwrap().to_owned();
    let mut parent = command(&itself(), "a_run_that_is_killed_with_a_held_call", root)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the held calls", || alive(&mark) == 2);
    std::thread::sleep(Duration::from_millis(300));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the end of all", || alive(&mark) == 0);
}

fn others_go_on(root: &Path) {
    if without_python() {
        return;
    }
    let mut scene = scene(root);
    let mut input = scene.input.take().unwrap();
    let program = "
import subprocess, sys, time
def work():
    began = time.time()
    for _ in range(1000): open('/etc/hostname').close()
    for _ in range(30): subprocess.run(['/bin/true'])
    return time.time() - began
work(); alone = work()
held = [subprocess.Popen(['/bin/cat', 'private/key'], stdout=subprocess.PIPE) for _ in range(20)]
print('held', flush=True); sys.stdin.readline()
beside = min(work(), work())
print(f'alone {alone:.3f} beside {beside:.3f}', file=sys.stderr)
print('slower' if beside > 3 * alone + 0.5 else 'at speed', flush=True)
for process in held: assert process.communicate()[0] == b'content\\n'
";
    let going = scene.set(&[PYTHON, "-c", program]).go().unwrap();
    let asks = going.admission.asks();
    let ask = next(&going, &asks);
    wait_for("the held calls", || going.said("held") == 1);
    std::thread::sleep(Duration::from_millis(300));
    input.write_all(b"on\n").unwrap();
    wait_for("the others", || going.said("speed") + going.said("slower") == 1);
    answer(&going, &ask, true);
    // One that came late is asked about anew.
    let admission = going.admission.clone();
    let late = std::thread::spawn(move || {
        for ask in asks {
            let answer =
                Answer { allow: true, by: "tester".into(), how: "terminal".into(), ..Answer::default() };
            let _ = admission.answer(&ask.ask, answer);
        }
    });
    let admission = going.admission.clone();
    let ran = going.end();
    admission.close(Body::RunEnded(ledger::RunEnded::default())).unwrap();
    late.join().unwrap();
    assert_eq!(ran.fine(), "held\nat speed\n", "{}", ran.err);
    let yes = |event: &&ledger::Event| matches!(&event.body, Body::AskAnswered(said) if said.answer == Answered::Allow);
    assert!(ran.events.iter().any(|event| yes(&event)));
}
