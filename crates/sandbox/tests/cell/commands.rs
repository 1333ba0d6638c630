//! Rules on commands: denied, asked about, and held against words that change after they were judged.

use super::runner::Case;
use super::scene::{Going, Scene};
use admission::{Answer, AskView};
use ledger::Body;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    ("a_denied_command_does_not_start_and_is_told_why", a_denied_command_does_not_start),
    ("a_denied_command_does_not_start_by_another_path", a_denied_command_by_another_path),
    ("words_swapped_after_the_judgement_do_not_start", words_swapped_after_the_judgement),
    ("every_way_to_start_a_program_passes_the_check", every_way_to_start_a_program),
    ("odd_execs_come_to_what_they_come_to_outside", odd_execs),
    ("an_ask_holds_its_own_caller_and_nobody_else", an_ask_holds_its_own_caller),
    ("a_no_is_the_callers_to_hear", a_no_is_the_callers_to_hear),
    ("a_command_that_changed_while_it_was_asked_does_not_start", a_command_that_changed_while_asked),
    ("a_question_ends_with_its_caller", a_question_ends_with_its_caller),
];

pub(crate) const PYTHON: &str = "/usr/bin/python3";

fn rule(need: &str, pattern: &str) -> String {
    format!("[[rule]]\nid = \"speak\"\nexec = [\"{pattern}\"]\nneed = \"{need}\"\nwhy = \"Too loud.\"\n")
}

fn a_denied_command_does_not_start(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = rule("never", "echo bad **");
    let ran = scene
        .bash("/bin/echo good; /bin/echo bad x; echo $?; env echo bad y; (exec -a echo true bad); exit 0");
    assert_eq!(ran.fine(), "good\n126\n");
    let said = ran.err.matches("provost: denied exec echo bad x (rule speak: Too loud.)").count();
    assert_eq!(said, 1, "{}", ran.err);
    let verdicts: Vec<_> = ran
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Exec(exec) if exec.argv.len() == 3 && exec.program.to_string() == "/usr/bin/echo" => {
                Some(exec.verdict)
            }
            _ => None,
        })
        .collect();
    // Whoever searches along PATH tries the next folder after a refusal.
    assert!(verdicts.len() >= 2 && verdicts.iter().all(|verdict| *verdict == ledger::Verdict::Deny));
}

fn a_denied_command_by_another_path(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = rule("never", "echo **");
    std::os::unix::fs::symlink("/bin/echo", scene.work().join("link")).unwrap();
    let ran = scene.bash(
        "./link 1; /proc/self/root/usr/bin/echo 2; cd /usr; ./bin/../bin/echo 3; exec 3</bin/echo; /proc/self/fd/3 4; /dev/fd/3 5
         (exec -a true /bin/echo 6); perl -e 'open F, q(<), q(/bin/echo); $e = qq(\\0); syscall(322, fileno(F), $e, pack(q(P), q()), 0, 0x1000)'
         find /etc/hostname -exec echo 7 ';'; exit 0",
    );
    assert_eq!(ran.fine(), "");
}

pub(crate) fn without_python() -> bool {
    let missing = !Path::new(PYTHON).exists();
    if missing {
        eprintln!("SKIPPED: no {PYTHON}");
    }
    missing
}

fn words_swapped_after_the_judgement(root: &Path) {
    if without_python() {
        return;
    }
    let mut scene = Scene::new(root);
    scene.rules = rule("never", "echo bad **");
    // In each child one thread exchanges the word while another execs.
    let program = r#"
import ctypes, os, threading, sys
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(150):
    child = os.fork()
    if child == 0:
        word = ctypes.create_string_buffer(b"ok.", 16)
        texts = [ctypes.create_string_buffer(t, 4) for t in (b"ok.", b"bad")]
        def swap():
            while True:
                for text in texts: ctypes.memmove(word, text, 4)
        threading.Thread(target=swap, daemon=True).start()
        argv = (ctypes.c_void_p * 3)(ctypes.addressof(ctypes.create_string_buffer(b"echo")), ctypes.addressof(word), None)
        for _ in range(50):
            libc.execve(b"/bin/echo", argv, None)
        os._exit(3)
    os.waitpid(child, 0)
"#;
    let ran = scene.run(&[PYTHON, "-c", program]);
    let said: std::collections::BTreeSet<&str> = ran.fine().lines().collect();
    assert!(said.iter().all(|line| *line != "bad"), "{said:?}");
    assert!(said.contains("ok."), "the honest ones start: {said:?}");
}

fn every_way_to_start_a_program(root: &Path) {
    if without_python() {
        return;
    }
    let mut scene = Scene::new(root);
    scene.rules = rule("never", "echo bad **");
    let script = |name: &str, text: &str| {
        let path = root.join("work").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    script("plain", "#!/bin/sh\necho plain $1\n");
    script("argument", "#!/bin/sh -e\necho argument $1\n");
    script("env", "#!/usr/bin/env -S perl -w\nprint qq(env $ARGV[0]\\n);\n");
    script("chain", "#!./plain\n");
    script("headless", "echo headless $1\n");
    script("broken", "#!/no/such/interpreter\n");
    let program = r#"
import os, subprocess, threading
for words in [["./plain", "a b"], ["./argument", "1"], ["./env", "2"], ["./chain", "3"], ["sh", "-c", "./headless 4"],
              ["/lib64/ld-linux-x86-64.so.2", "/bin/echo", "5"], ["env", "GIT_DIR=/x", "LD_BIND_NOW=1", "/bin/echo", "6"]]:
    print(subprocess.run(words, capture_output=True, text=True).stdout.strip().split("/")[-1])
for broken in ["./broken", "./missing", "/etc/passwd", "/tmp"]:
    try: subprocess.run([broken])
    except OSError as error: print(type(error).__name__)
fd = os.memfd_create("x", 0); os.write(fd, open("/bin/echo", "rb").read())
if os.fork() == 0:
    os.execve(fd, ["echo", "memory"], {})
os.wait()
many = []
def run():
    for n in range(25): many.append(subprocess.run(["/bin/echo", str(n)], capture_output=True).returncode)
threads = [threading.Thread(target=run) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(many), set(many))
os.posix_spawn("/bin/echo", ["echo", "spawned"], {}); os.wait()
t = threading.Thread(target=lambda: os.execv("/bin/echo", ["echo", "not the first thread"])); t.start(); t.join()
"#;
    let ran = scene.run(&[PYTHON, "-u", "-c", program]);
    let expected = "plain a b\nargument 1\nenv 2\nchain\nheadless 4\n5\n6\n\
                    FileNotFoundError\nFileNotFoundError\nPermissionError\nPermissionError\nmemory\n\
                    200 {0}\nspawned\nnot the first thread\n";
    assert_eq!(ran.fine(), expected);
}

fn odd_execs(root: &Path) {
    if without_python() {
        return;
    }
    let mut scene = Scene::new(root);
    scene.rules = rule("never", "echo bad **");
    let program = r#"
import ctypes, errno, os, resource, subprocess, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.execve.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
def child(run):
    pid = os.fork()
    if pid == 0:
        try: os._exit(run() or 0)
        except OSError as error: os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
count = "import sys; sys.exit(0 if len(sys.argv) == %d else 99)"
def words(number): return child(lambda: os.execv("/usr/bin/python3", ["python3", "-c", count % (number + 1)] + ["w"] * number))
print("words", words(1000), words(70000))
print("too much", child(lambda: os.execv("/bin/true", ["true", "x" * 200000])) == errno.E2BIG)
resource.setrlimit(resource.RLIMIT_STACK, (64 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
large = {f"V{n}": "x" * 100000 for n in range(50)}
print("environment", child(lambda: os.execve("/bin/true", ["true"], large)))
print("far too much", child(lambda: os.execve("/bin/true", ["true"], {f"V{n}": "x" * 100000 for n in range(90)})) == errno.E2BIG)
empty = (ctypes.c_void_p * 1)(None)
print("no words", child(lambda: libc.execve(b"/bin/true", None, None)), child(lambda: libc.execve(b"/bin/true", empty, empty)))
print("no path", child(lambda: (libc.execve(None, None, None), ctypes.get_errno())[1]) == errno.EFAULT)
print("bad words", child(lambda: (libc.execve(b"/bin/true", 8, None), ctypes.get_errno())[1]) == errno.EFAULT)
open("odd", "w").write("exit 5\n"); os.chmod("odd", 0o755)
print("headless", child(lambda: os.execv("./odd", ["odd"])) == errno.ENOEXEC, subprocess.call("./odd", shell=True))
held = os.open("odd", os.O_WRONLY)
print("written", child(lambda: os.execv("./odd", ["odd"])) in (errno.ETXTBSY, errno.ENOEXEC)); os.close(held)
def crowded():
    for _ in range(3): threading.Thread(target=lambda: [os.stat("/") for _ in range(10**9)], daemon=True).start()
    for _ in range(3): threading.Thread(target=lambda: subprocess.call(["/bin/sleep", "9"]), daemon=True).start()
    os.execv("/bin/true", ["true"])
print("crowded", {child(crowded) for _ in range(3)})
"#;
    let ran = scene.run(&[PYTHON, "-u", "-c", program]);
    let expected = "words 0 0\ntoo much True\nenvironment 0\nfar too much True\nno words 0 0\nno path True\nbad words True\n\
                    headless True 5\nwritten True\ncrowded {0}\n";
    assert_eq!(ran.fine(), expected, "{}", ran.err);
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} did not appear", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn asked(going: &Going) -> AskView {
    going.admission.asks().recv_timeout(Duration::from_secs(30)).unwrap()
}

fn answer(going: &Going, ask: &AskView, allow: bool) {
    let answer = Answer {
        allow,
        by: "tester".into(),
        how: "terminal".into(),
        why: Some("because".into()),
        ..Answer::default()
    };
    going.admission.answer(&ask.ask, answer).unwrap();
}

fn attended(root: &Path) -> Scene {
    let mut scene = Scene::new(root);
    scene.rules = rule("human", "echo **");
    scene.attended = true;
    scene
}

fn an_ask_holds_its_own_caller(root: &Path) {
    let script = "/bin/echo asked & for n in 1 2 3; do cat /etc/hostname >/dev/null; /bin/true; done; : > others; wait; exit 0";
    let going = attended(root).set(&["/bin/bash", "-c", script]).go().unwrap();
    let ask = asked(&going);
    assert_eq!(ask.text, "exec echo asked");
    // Everybody else worked on while nobody had answered.
    wait_for(&root.join("upper/others"));
    answer(&going, &ask, true);
    assert_eq!(going.end().fine(), "asked\n");
}

fn a_no_is_the_callers_to_hear(root: &Path) {
    let going = attended(root).set(&["/bin/bash", "-c", "/bin/echo asked; echo $?"]).go().unwrap();
    let ask = asked(&going);
    answer(&going, &ask, false);
    let ran = going.end();
    assert_eq!(ran.fine(), "126\n");
    assert!(ran.err.contains("provost: denied exec echo asked"), "{}", ran.err);
}

fn a_command_that_changed_while_asked(root: &Path) {
    if without_python() {
        return;
    }
    let mut scene = attended(root);
    let mut input = scene.input.take().unwrap();
    let program = r#"
import ctypes, os, threading
libc = ctypes.CDLL(None, use_errno=True)
word = ctypes.create_string_buffer(b"good", 16)
def change():
    os.read(0, 1)
    ctypes.memmove(word, b"evil", 4)
    open("changed", "w").close()
threading.Thread(target=change, daemon=True).start()
argv = (ctypes.c_void_p * 3)(ctypes.addressof(ctypes.create_string_buffer(b"echo")), ctypes.addressof(word), None)
libc.execve(b"/bin/echo", argv, None)
print("refused", ctypes.get_errno())
"#;
    let going = scene.set(&[PYTHON, "-c", program]).go().unwrap();
    let ask = asked(&going);
    assert_eq!(ask.text, "exec echo good");
    input.write_all(b"x").unwrap();
    wait_for(&root.join("upper/changed"));
    answer(&going, &ask, true);
    let ran = going.end();
    assert_eq!(ran.fine(), format!("refused {}\n", libc::EACCES));
    assert!(ran.denials().contains(&("exec".into(), "echo good".into())), "{:?}", ran.denials());
}

fn a_question_ends_with_its_caller(root: &Path) {
    let script = "/bin/echo asked & read; kill -9 $!; : > killed; sleep 1000";
    let mut scene = attended(root);
    let mut input = scene.input.take().unwrap();
    let going = scene.set(&["/bin/bash", "-c", script]).go().unwrap();
    let ask = asked(&going);
    input.write_all(b"now\n").unwrap();
    wait_for(&root.join("upper/killed"));
    let begun = Instant::now();
    while going.admission.open_asks().iter().any(|open| open.ask == ask.ask) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the question stands though nobody waits");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(going.running);
}
