//! Programs that others of the run trace: debuggers and `strace` work, and hold no door open.

use super::runner::Case;
use super::scene::{Ran, Scene};
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("a_traced_program_starts_and_is_judged", a_traced_program),
    ("a_debugger_starts_a_program_as_outside", a_debugger),
    ("every_way_to_be_traced_starts_and_is_judged", every_way_to_be_traced),
    ("a_tracer_that_is_killed_lets_nothing_go", a_tracer_that_is_killed),
    ("who_cannot_be_held_is_refused_and_told_why", who_cannot_be_held),
];

const PYTHON: &str = "/usr/bin/python3";

/// A scene with a rule on commands, unless what it needs is missing.
fn scene(root: &Path, needs: &[&str]) -> Option<Scene> {
    if let Some(missing) = needs.iter().find(|needed| !Path::new(needed).exists()) {
        eprintln!("SKIPPED: no {missing}");
        return None;
    }
    let mut scene = Scene::new(root);
    scene.rules =
        "[[rule]]\nid = \"speak\"\nexec = [\"echo bad **\"]\nneed = \"never\"\nwhy = \"Too loud.\"\n".into();
    Some(scene)
}

fn a_traced_program(root: &Path) {
    let Some(scene) = scene(root, &["/usr/bin/strace"]) else { return };
    let ran = scene.bash(
        "strace -f -o log sh -c '/bin/echo good; /bin/echo bad; sh -c \"/bin/echo deep; /bin/echo bad\"; exit 3'; echo $?
         grep -c 'execve.*= 0' log; strace -o log /bin/echo alone; strace -f -o /dev/null /bin/echo bad; exit 0",
    );
    assert_eq!(ran.fine(), "good\ndeep\n3\n4\nalone\n", "{}", ran.err);
    assert!(ran.err.contains("provost: denied exec echo bad"), "{}", ran.err);
}

fn a_debugger(root: &Path) {
    let Some(scene) = scene(root, &["/usr/bin/gdb"]) else { return };
    let ran = scene.bash("gdb --batch -nx -ex run -ex 'info program' --args /bin/echo good 2>&1 | grep -x 'good\\|.*exited normally.*'; exit 0");
    assert!(
        ran.fine().starts_with("good\n") && ran.out.contains("exited normally"),
        "{}\n{}",
        ran.out,
        ran.err
    );
}

/// What starts a program in a traced child: `how` it is traced, and what the child does before.
const TRACE: &str = r#"
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
TRACEME, CONT, SYSCALL, SEIZE, TRACEEXEC, EXITKILL = 0, 7, 24, 0x4206, 0x10, 0x100000
def start(how, words, prepare=lambda: None, go=CONT):
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        prepare()
        if how == "me": libc.ptrace(TRACEME, 0, None, None); os.kill(os.getpid(), signal.SIGSTOP)
        else: os.read(ready, 1)
        try: os.execv(words[0], words)
        except OSError as error: print(type(error).__name__, flush=True)
        os._exit(9)
    if how != "me":
        assert libc.ptrace(SEIZE, child, None, how) == 0
        os.write(tell, b"x")
    return child
def watch(child, go=CONT):
    stops = []
    while True:
        _, status = os.waitpid(child, 0x40000000)
        if not os.WIFSTOPPED(status): return stops, status
        stops.append(status >> 8)
        number = os.WSTOPSIG(status)
        passed = 0 if status >> 16 or number in (signal.SIGTRAP, signal.SIGSTOP) else number
        libc.ptrace(go, child, None, passed)
"#;

fn python(scene: Scene, program: &str) -> Ran {
    scene.run(&[PYTHON, "-u", "-c", &format!("{TRACE}\n{program}")])
}

fn every_way_to_be_traced(root: &Path) {
    let Some(scene) = scene(root, &[PYTHON]) else { return };
    let ran = python(
        scene,
        r#"
block = lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTRAP, signal.SIGURG})
ignore = lambda: [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGURG, signal.SIGWINCH)]
for how in "me", 0, TRACEEXEC, TRACEEXEC | EXITKILL:
    for go in CONT, SYSCALL:
        for prepare in (lambda: None), block, ignore:
            for words in ["/bin/echo", "good"], ["/bin/echo", "bad"], ["/etc/passwd"]:
                stops, status = watch(start(how, words, prepare), go)
                if status not in (0, 9 << 8) or (status == 0 and not stops): print(how, go, words, stops, status)
"#,
    );
    let said = ran.fine().lines().fold(std::collections::BTreeMap::new(), |mut said, line| {
        *said.entry(line.to_owned()).or_insert(0) += 1;
        said
    });
    let expected = [("PermissionError".to_owned(), 48), ("good".to_owned(), 24)].into();
    assert_eq!(said, expected, "{}", ran.err);
}

fn a_tracer_that_is_killed(root: &Path) {
    let Some(scene) = scene(root, &[PYTHON]) else { return };
    // The words are swapped while the tracer, who would stop nothing, is killed at any moment; others wake what stops.
    let ran = python(
        scene,
        r#"
import mmap, random, time
shared = mmap.mmap(-1, 4096)
word = (ctypes.c_char * 8).from_buffer(shared)
libc.usleep.argtypes = [ctypes.c_uint]
for attempt in range(150):
    word.value = b"ok."
    report, tell = os.pipe()
    tracer = os.fork()
    if tracer == 0:
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTRAP})
            argv = (ctypes.c_void_p * 3)(ctypes.addressof(ctypes.create_string_buffer(b"echo")), ctypes.addressof(word), None)
            while True: libc.execve(b"/bin/echo", argv, None)
        libc.ptrace(SEIZE, child, None, 0)
        os.write(tell, child.to_bytes(4, "little"))
        watch(child); os._exit(0)
    child = int.from_bytes(os.read(report, 4), "little")
    swapper = os.fork()
    if swapper == 0:
        while True:
            for text in b"bad", b"ok.":
                ctypes.memmove(word, text + b"\0", 4)
                try: os.kill(child, signal.SIGCONT)
                except OSError: pass
    time.sleep(random.random() * 0.004)
    for _ in range(3): os.kill(tracer, signal.SIGKILL)
    os.waitpid(tracer, 0)
    time.sleep(0.002)
    for other in swapper, child:
        try: os.kill(other, signal.SIGKILL)
        except OSError: pass
    os.waitpid(swapper, 0); os.close(report); os.close(tell)
print("end")
"#,
    );
    let said: std::collections::BTreeSet<&str> = ran.fine().lines().collect();
    assert!(said.contains("end") && !said.contains("bad"), "{said:?}");
}

fn who_cannot_be_held(root: &Path) {
    let Some(scene) = scene(root, &[PYTHON]) else { return };
    let ran = python(
        scene,
        r#"
import threading
every = lambda: signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
threads = lambda: threading.Thread(target=lambda: signal.pause(), daemon=True).start()
for prepare in every, threads:
    watch(start(TRACEEXEC, ["/bin/echo", "good"], prepare))
def nested():
    tracer = start("me", ["/bin/true"])
# A tracer that is traced itself.
outer = os.fork()
if outer == 0:
    watch(start(TRACEEXEC, ["/bin/echo", "good"], lambda: __import__("time").sleep(0.5))); os._exit(0)
libc.ptrace(SEIZE, outer, None, 0)
watch(outer)
"#,
    );
    assert_eq!(ran.fine(), "PermissionError\n".repeat(3), "{}", ran.err);
    let reasons = format!("{:?}", ran.events);
    for why in ["blocks signals", "several threads", "its tracer cannot be held"] {
        assert!(reasons.contains(why), "{why}: {reasons}");
    }
}
