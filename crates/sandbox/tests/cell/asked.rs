//! Files that ask: shown, and opened with somebody's yes alone, by whatever way and however names are exchanged meanwhile.

use super::runner::Case;
use super::scene::{Going, Scene};
use admission::{Answer, AskView};
use ledger::{Answered, Body, OutcomeResult, Verdict};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    ("a_file_that_asks_waits_for_its_yes", a_file_that_asks_waits_for_its_yes),
    ("a_write_that_asks_waits_for_its_yes", a_write_that_asks_waits_for_its_yes),
    ("without_a_yes_nothing_is_read_however_it_is_reached", without_a_yes_nothing_is_read),
    ("without_a_yes_nothing_is_written_however_it_is_reached", without_a_yes_nothing_is_written),
    ("where_nobody_attends_what_asks_is_closed", where_nobody_attends),
    ("one_answer_is_for_all_who_wait_for_a_file", one_answer_is_for_all),
    ("too_many_waiting_calls_are_refused_and_the_others_wait_on", too_many_waiting_calls),
    ("names_exchanged_while_somebody_is_asked_win_nothing", names_exchanged_while_asked),
    ("what_was_moved_while_somebody_was_asked_is_not_opened", what_was_moved_while_asked),
    ("what_no_rule_shows_is_not_read_beside_a_shape", beside_a_shape),
    ("a_program_that_asks_to_be_read_does_not_start_without", a_program_that_asks),
];

pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// A rule that has a person asked.
pub(crate) fn human(kinds: &[&str], patterns: &[&str]) -> String {
    let patterns = patterns.iter().map(|pattern| format!("\"{pattern}\"")).collect::<Vec<_>>().join(", ");
    let kinds: String = kinds.iter().map(|kind| format!("{kind} = [{patterns}]\n")).collect();
    format!("[[rule]]\nid = \"hers\"\n{kinds}need = \"human\"\nwhy = \"Ask her.\"\n")
}

/// A scene in which files of the workspace ask, and somebody attends.
pub(crate) fn scene(root: &Path, kinds: &[&str]) -> Scene {
    let mut scene = Scene::new(root);
    scene.rules = human(kinds, &["./private/**"]);
    scene.attended = true;
    fs::create_dir(scene.work().join("private")).unwrap();
    for (name, content) in [("key", "SECRET"), ("other", "OTHER")] {
        fs::write(scene.work().join("private").join(name), content).unwrap();
    }
    fs::write(scene.work().join("plain"), "plain").unwrap();
    scene
}

pub(crate) fn next(going: &Going, asks: &std::sync::mpsc::Receiver<AskView>) -> AskView {
    asks.recv_timeout(Duration::from_secs(30))
        .unwrap_or_else(|_| panic!("nothing is asked after {}", going.heard()))
}

pub(crate) fn answer(going: &Going, ask: &AskView, allow: bool) {
    let why = (!allow).then(|| "not today".to_owned());
    let answer = Answer { allow, by: "tester".into(), how: "terminal".into(), why, ..Answer::default() };
    going.admission.answer(&ask.ask, answer).unwrap();
}

pub(crate) fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not come to be");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Answers everything that is asked until the run ends: yes where `yes` says so. Gives what was asked.
fn answer_all(going: Going, yes: impl Fn(&str) -> bool + Send + 'static) -> (super::scene::Ran, Vec<String>) {
    let (asks, admission) = (going.admission.asks(), going.admission.clone());
    let person = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for ask in asks {
            let allow = yes(&ask.text);
            let answer = Answer { allow, by: "tester".into(), how: "terminal".into(), ..Answer::default() };
            // One whose caller is gone takes no answer.
            let _ = admission.answer(&ask.ask, answer);
            asked.push(ask.text);
        }
        drop(admission);
        asked
    });
    let admission = going.admission.clone();
    let ran = going.end();
    admission.close(Body::RunEnded(ledger::RunEnded::default())).unwrap();
    (ran, person.join().unwrap())
}

fn a_file_that_asks_waits_for_its_yes(root: &Path) {
    let script = "stat -c '%s %n' private/key; ls private; cat private/key & for n in 1 2 3; do cat plain; /bin/true; done; : > others; wait; echo; (cat private/key; echo $?) 2>&1";
    let going = scene(root, &["read"]).set(&["/bin/bash", "-c", script]);
    assert_eq!(going.asked.asks_read, [root.join("work/private")]);
    let going = going.go().unwrap();
    let asks = going.admission.asks();
    let ask = next(&going, &asks);
    assert_eq!(ask.text, format!("read {}", root.join("work/private/key").display()));
    assert_eq!((ask.need.as_str(), ask.reasons[0].rule.as_str()), ("human", "hers"));
    // Everybody else worked on while nobody had answered.
    wait_for("the others' end", || root.join("upper/others").exists());
    answer(&going, &ask, true);
    // A yes is for one open.
    let again = next(&going, &asks);
    answer(&going, &again, false);
    let ran = going.end();
    let line =
        format!("provost: denied read {} (rule hers: not today)\n", root.join("work/private/key").display());
    let end = "\ncat: private/key: Permission denied\n1\n";
    assert_eq!(
        ran.fine(),
        format!("6 private/key\nkey\nother\nplainplainplainSECRET\n{line}{}", &end[1..]),
        "{}",
        ran.err
    );
    let opened = ran.opened(ledger::Access::Read);
    assert_eq!(opened.iter().filter(|path| path.ends_with("private/key")).count(), 1, "{opened:?}");
    assert!(ran.denials().contains(&("read".into(), root.join("work/private/key").display().to_string())));
}

fn a_write_that_asks_waits_for_its_yes(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = human(&["write"], &["./deploy/**"]);
    scene.attended = true;
    fs::create_dir(scene.work().join("deploy")).unwrap();
    fs::write(scene.work().join("deploy/old"), "old\n").unwrap();
    let script = "cat deploy/old; echo new > deploy/old; umask 027; echo made > deploy/made; mkdir deploy/folder; mv deploy/made deploy/moved; rm deploy/old; echo no > deploy/no; cat deploy/moved; stat -c %a deploy/moved; ls deploy";
    let going = scene.set(&["/bin/bash", "-c", script]).go().unwrap();
    let (ran, asked) = answer_all(going, |text| !text.ends_with("deploy/no"));
    assert_eq!(ran.fine(), "old\nmade\n640\nfolder\nmoved\n", "{}", ran.err);
    let folder = root.join("work/deploy").display().to_string();
    let asked: Vec<String> = asked.iter().map(|text| text.replace(&folder, "")).collect();
    let expected = ["old", "made", "folder", "made", "moved", "old", "no"];
    assert_eq!(asked, expected.map(|name| format!("write /{name}")));
    assert!(ran.err.contains("provost: denied write") && ran.err.contains("deploy/no"), "{}", ran.err);
    assert_eq!(fs::read_to_string(root.join("work/deploy/old")).unwrap(), "old\n");
}

/// Every way to content that is known, for a shell. None of it may print the secret.
const WAYS: &str = r#"cat private/key; cat ./private/../private/key; cat /proc/self/cwd/private/key; cat /proc/self/root$PWD/private/key
    (cd private; cat key; cat /proc/self/cwd/key); cat /dev/fd/3/key 3<private; cat /proc/self/fd/3/key 3<private
    ln -s private/key link; cat link; ln -s private folder; cat folder/key; ln private/key hard; cat hard; mv private/key moved; cat moved
    mv private p2; cat p2/key; mkdir x; mv -T x private; mv --exchange private x; cat x/key; cp -r private /tmp/all; cat /tmp/all/key
    cp -l private/key l; cat l; tar cf - private | strings; . private/key; read -r line < private/key && echo $line; mapfile -t m < private/key && echo ${m[@]}
    exec 4<>private/key && cat <&4; : >> private/key && cat /dev/fd/4; dd if=private/key; head -c9 private/key; grep -r SEC private; find private -type f -exec cat {} +
    perl -e 'open(F, q(+<), q(private/key)) and print <F>'; perl -MFcntl -e 'sysopen(F, q(private/key), 3) and print <F>'; diff private/key plain
    git hash-object -w private/key; git diff --no-index plain private/key; base64 private/key; sort private/key; awk 1 private/key; sed '' private/key; sed -i 's/x/y/' private/key"#;

const FURTHER: &str = r#"
import ctypes, mmap, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
key = os.path.abspath("private/key")
def say(fd):
    if fd is not None and fd >= 0:
        try: print("got", os.read(fd, 99))
        except OSError: pass
        try: print("got", mmap.mmap(fd, 0, prot=mmap.PROT_READ)[:])
        except (OSError, ValueError): pass
def tried(do):
    try: return do()
    except OSError: return None
O_PATH, O_TMPFILE = 0o10000000, 0o20200000
path = os.open(key, O_PATH)
assert os.fstat(path).st_size == 6
say(path)
for name in (f"/proc/self/fd/{path}", f"/dev/fd/{path}", f"/proc/{os.getpid()}/fd/{path}", f"/proc/thread-self/fd/{path}", f"/proc/self/task/{os.getpid()}/fd/{path}"):
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDONLY | os.O_CREAT, 3, os.O_RDONLY | os.O_NONBLOCK | os.O_NOATIME):
        say(tried(lambda: os.open(name, flags)))
say(tried(lambda: os.open("", os.O_RDONLY, dir_fd=path)))
folder = os.open("private", os.O_RDONLY | os.O_DIRECTORY)
assert sorted(os.listdir(folder)) == ["key", "other"], os.listdir(folder)
for flags in (os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDONLY | os.O_NOFOLLOW, os.O_RDONLY | os.O_CREAT):
    say(tried(lambda: os.open("key", flags, dir_fd=folder)))
how = (ctypes.c_uint64 * 3)(0, 0, 0)
say(libc.syscall(437, folder, b"key", how, 24))
for target in (b"taken", b"/tmp/taken"):
    libc.syscall(265, path, b"", -100, target, 0x1000)
    libc.syscall(265, -100, f"/proc/self/fd/{path}".encode(), -100, target, 0x400)
    say(tried(lambda: os.open(target, os.O_RDONLY)))
handle = ctypes.create_string_buffer(b"\x80\0\0\0" + b"\0" * 140)
mount = ctypes.c_int()
say(libc.syscall(304, libc.syscall(303, -100, key.encode(), handle, ctypes.byref(mount), 0), handle, 0))
child = os.fork()
if child == 0:
    os.chdir("private"); os.pause() if hasattr(os, "pause") else __import__("signal").pause()
for name in (f"/proc/{child}/cwd/key", f"/proc/{child}/root{key}", f"/proc/{child}/fd/{path}", f"/proc/{child}/task/{child}/fd/{path}"):
    say(tried(lambda: os.open(name, os.O_RDONLY)))
os.kill(child, 9); os.waitpid(child, 0)
tried(lambda: os.rename(key, "moved")); say(tried(lambda: os.open("moved", 0)))
tried(lambda: os.rename("private", "elsewhere")); say(tried(lambda: os.open("elsewhere/key", 0)))
for flags in (1, 2):
    libc.syscall(316, -100, b"private", -100, b"plain", flags); libc.syscall(316, -100, key.encode(), -100, b"plain", flags)
    say(tried(lambda: os.open("plain", 0)))
write = tried(lambda: os.open(key, os.O_WRONLY))
say(write)
if write is not None: say(tried(lambda: os.open(f"/proc/self/fd/{write}", 0)))
say(tried(lambda: os.open("private", os.O_RDWR | O_TMPFILE)))
inotify = libc.inotify_init()
libc.inotify_add_watch(inotify, key.encode(), 0xfff)
print("done")
"#;

fn without_a_yes_nothing_is_read(root: &Path) {
    let mut scene = scene(root, &["read"]);
    fs::write(scene.work().join("further.py"), FURTHER).unwrap();
    scene.env = vec![("GIT_CEILING_DIRECTORIES".into(), "/".into())];
    let further = Path::new(PYTHON).exists();
    if !further {
        eprintln!("SKIPPED: half of this: no {PYTHON}");
    }
    let script =
        format!("{WAYS}\n{}; cat plain; echo", if further { "python3 further.py" } else { "echo done" });
    let going = scene.set(&["/bin/bash", "-c", &script]).go().unwrap();
    let (ran, asked) = answer_all(going, |_| false);
    assert!(asked.len() > 20, "{asked:#?}");
    let all = format!("{}{}", ran.fine(), ran.err);
    assert!(!all.contains("SECRET") && !all.contains("OTHER"), "{all}");
    assert!(ran.out.contains("done\n"), "{all}");
    for place in ["moved", "p2", "hard", "l", "taken", "elsewhere"] {
        assert!(!root.join("upper").join(place).exists(), "{place}");
    }
}

fn without_a_yes_nothing_is_written(root: &Path) {
    let mut scene = scene(root, &["write"]);
    fs::write(scene.work().join("own"), "own").unwrap();
    scene.patience = Duration::from_secs(20);
    let script = "echo x > private/key; echo x >> private/key; : > private/new; cp plain private/key; mv plain private/plain; mv -f own private/key; ln own private/own
        ln -s own private/link; mkdir private/folder; mkfifo private/pipe; rm -rf private; rmdir private; mv private gone; truncate -s 0 private/key; perl -e 'truncate(q(private/key), 0)'
        sed -i s/S/x/ private/key; exec 3<>private/key && echo x >&3; (cd private; echo x > key; echo x > ../private/key); ln -s private/new2 to; echo x > to; tee /proc/self/fd/9 9<private/key <plain >/dev/null
        perl -MFcntl -e 'sysopen(F, q(private), O_RDWR|020200000) and print qq(made\\n); sysopen(G, q(private/key), O_RDONLY|O_TRUNC); sysopen(G, q(private/key), 3) and print qq(both\\n)'
        ls private; cat private/key plain own; echo";
    let going = scene.set(&["/bin/bash", "-c", script]).go().unwrap();
    let (ran, asked) = answer_all(going, |_| false);
    assert!(asked.len() > 15, "{asked:#?}");
    assert_eq!(ran.fine(), "key\nother\nSECRETplainown\n", "{}", ran.err);
    assert!(
        !root.join("upper/private").exists()
            || fs::read_dir(root.join("upper/private")).unwrap().next().is_none()
    );
}

fn where_nobody_attends(root: &Path) {
    let mut scene = scene(root, &["read", "write"]);
    scene.attended = false;
    let set = scene.set(&[
        "/bin/bash",
        "-c",
        "cat private/key; ls private; echo x > private/new; cat plain; exit 0",
    ]);
    assert!(!set.asked.judged_opens && set.asked.asks_read.is_empty(), "{:?}", set.asked);
    let ran = set.go().unwrap().end();
    assert_eq!(ran.fine(), "plain");
    assert!(ran.err.contains("(rule hers: Ask her.)"), "{}", ran.err);
    assert!(ran.events.iter().all(|event| !matches!(event.body, Body::AskOpened(_))));
}

fn one_answer_is_for_all(root: &Path) {
    let script = "for n in $(seq 40); do cat private/key > out.$n & done; cat private/other > last & wait; cat out.* | wc -c; cat last";
    let going = scene(root, &["read"]).set(&["/bin/bash", "-c", script]).go().unwrap();
    let asks = going.admission.asks();
    let (first, second) = (next(&going, &asks), next(&going, &asks));
    let (key, other) = if first.text.ends_with("key") { (first, second) } else { (second, first) };
    // All of them wait for the one answer: who comes after it asks anew.
    let waiting = || going.admission.open_asks().iter().map(|ask| ask.waiting).sum::<usize>();
    wait_for("all readers", || waiting() == 41);
    answer(&going, &key, true);
    answer(&going, &other, true);
    let ran = going.end();
    assert_eq!(ran.fine(), "240\nOTHER", "{}", ran.err);
    let opened = ran.events.iter().filter(|event| matches!(event.body, Body::AskOpened(_))).count();
    assert_eq!(opened, 2);
    // Each has a decision of its own, and the one answer names them all.
    let decided = ran.events.iter().filter(|event| {
        matches!(&event.body, Body::Decision(decision) if decision.text == key.text && decision.verdict == Verdict::Ask)
    });
    let mut decided: Vec<u64> = decided.map(|event| event.seq).collect();
    let answered = ran.events.iter().find_map(|event| match &event.body {
        Body::AskAnswered(said) if said.ask == key.ask => {
            Some([vec![said.decision], said.also.clone()].concat())
        }
        _ => None,
    });
    let mut answered = answered.unwrap();
    decided.sort_unstable();
    answered.sort_unstable();
    assert_eq!((decided.len(), answered), (40, decided));
}

fn too_many_waiting_calls(root: &Path) {
    if !Path::new(PYTHON).exists() {
        eprintln!("SKIPPED: no {PYTHON}");
        return;
    }
    let scene = scene(root, &["read"]);
    for n in 0..300 {
        fs::write(scene.work().join(format!("private/{n}")), n.to_string()).unwrap();
    }
    let program = "
import os, threading
came = {'yes': 0, 'no': 0}
lock = threading.Lock()
def read(n):
    try:
        with open(f'private/{n}') as f: said = 'yes' if f.read() == str(n) else 'wrong'
    except PermissionError: said = 'no'
    with lock: came[said] = came.get(said, 0) + 1
threads = [threading.Thread(target=read, args=(n,)) for n in range(300)]
[t.start() for t in threads]
while came['no'] < 44: pass
open('refused', 'w').close()
[t.join() for t in threads]
print(came)
";
    let going = scene.set(&[PYTHON, "-c", program]).go().unwrap();
    wait_for("the refusals", || root.join("upper/refused").exists());
    let open = going.admission.open_asks();
    assert_eq!(open.len(), 256);
    for ask in &open {
        let answer = Answer { allow: true, by: "tester".into(), how: "terminal".into(), ..Answer::default() };
        going.admission.cast(&ask.ask, answer).unwrap();
    }
    let ran = going.end();
    assert_eq!(ran.fine(), "{'yes': 256, 'no': 44}\n", "{}", ran.err);
    assert!(ran.err.contains("too many calls wait for an answer already"), "{}", ran.err);
}

/// One opens what somebody says yes to; meanwhile another puts what nobody would say yes to in its place, by every
/// way that is left: links, folders, and names that it may make.
const EXCHANGES: &str = r#"
import os, sys, threading
def fresh():
    for name in ("bait", "way", "way.old", "next"):
        try: os.unlink(name)
        except OSError: pass
    os.symlink("private/other", "bait")
    os.makedirs("real", exist_ok=True)
    try: os.symlink("../private/other", "real/other")
    except FileExistsError: pass
    os.symlink("real", "way")
def relink():
    os.symlink("private/key", "next"); os.rename("next", "bait")
def refolder():
    os.rename("way", "way.old"); os.symlink("private", "way")
def rename():
    for old, new in (("private/key", "private/other"), ("private/key", "gone"), ("private", "away")):
        try: os.rename(old, new)
        except OSError: pass
def link():
    for old, new in (("private/key", "private/other2"), ("private/key", "plain2")):
        try: os.link(old, new)
        except OSError: pass
tries, wins, reads = int(sys.argv[1]), 0, 0
for n in range(tries):
    fresh()
    got = []
    name = ("bait", "way/other", "private/other", "real/other")[n % 4]
    def read():
        try:
            with open(name) as f: got.append(f.read())
        except OSError as error:
            got.append(None)
            print(n, name, error, flush=True)
    thread = threading.Thread(target=read); thread.start()
    sys.stdin.readline()
    for swap in (relink, refolder) if n % 3 else (relink, refolder, rename, link): swap()
    print("swapped", flush=True)
    thread.join()
    wins += got[0] == "SECRET"
    reads += got[0] == "OTHER"
sys.stderr.write(f"tries {tries} wins {wins} reads {reads}\n")
"#;

fn names_exchanged_while_asked(root: &Path) {
    if !Path::new(PYTHON).exists() {
        eprintln!("SKIPPED: no {PYTHON}");
        return;
    }
    let mut scene = scene(root, &["read"]);
    let mut input = scene.input.take().unwrap();
    let going = scene.set(&[PYTHON, "-c", EXCHANGES, "500"]).go().unwrap();
    let asks = going.admission.asks();
    let key = root.join("work/private/key").display().to_string();
    let mut yes = 0;
    for _ in 0..500 {
        let ask = next(&going, &asks);
        assert!(!ask.text.contains(&key), "{}", ask.text);
        let swaps = going.said("swapped\n");
        input.write_all(b"now\n").unwrap();
        // Whatever the other asks about on the way is refused.
        wait_for("the swap", || {
            for other in asks.try_iter() {
                answer(&going, &other, false);
            }
            going.said("swapped\n") > swaps
        });
        answer(&going, &ask, true);
        yes += 1;
    }
    let ran = going.end();
    assert_eq!((yes, ran.err.lines().last()), (500, Some("tries 500 wins 0 reads 500")), "{}", ran.err);
    let failed = |event: &&ledger::Event| matches!(&event.body, Body::Outcome(outcome) if outcome.result == OutcomeResult::Failed);
    assert_eq!(ran.events.iter().filter(failed).count(), 0);
    let said_yes = |event: &&ledger::Event| matches!(&event.body, Body::AskAnswered(said) if said.answer == Answered::Allow);
    assert_eq!(ran.events.iter().filter(said_yes).count(), 500);
}

fn what_was_moved_while_asked(root: &Path) {
    // Renaming it asks as well, so that what moves is the folder around; and a file that is replaced by who may write.
    let mut scene = scene(root, &["read"]);
    scene.rules = human(&["read"], &["./top/*/key"]);
    fs::create_dir_all(scene.work().join("top/a")).unwrap();
    fs::write(scene.work().join("top/a/key"), "SECRET").unwrap();
    let script = "(cat top/a/key; echo first $?) & read; rm -f top/a/key; echo mine > top/a/key; echo swapped; read; wait";
    let mut input = scene.input.take().unwrap();
    let going = scene.set(&["/bin/bash", "-c", script]).go().unwrap();
    let asks = going.admission.asks();
    let ask = next(&going, &asks);
    input.write_all(b"now\n").unwrap();
    wait_for("the swap", || going.said("swapped") == 1);
    answer(&going, &ask, true);
    input.write_all(b"on\n").unwrap();
    let ran = going.end();
    assert_eq!(ran.fine(), "swapped\nfirst 1\n", "{}", ran.err);
    assert!(ran.err.contains("(it was moved or replaced while somebody was asked)"), "{}", ran.err);
    let failed = |event: &&ledger::Event| matches!(&event.body, Body::Outcome(outcome) if outcome.result == OutcomeResult::Failed);
    assert_eq!(ran.events.iter().filter(failed).count(), 1);
}

fn beside_a_shape(root: &Path) {
    let mut scene = Scene::new(root);
    let shown = root.join("shown");
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("a.csv"), "table\n").unwrap();
    fs::write(shown.join("key"), "SECRET").unwrap();
    scene.rules =
        format!("[[rule]]\nid = \"tables\"\nread = [\"{}/*.csv\"]\nneed = \"none\"\n", shown.display());
    let ran = scene.bash(&format!("cd {}; ls; cat a.csv; cat key; cat < key; exit 0", shown.display()));
    assert_eq!(ran.fine(), "a.csv\nkey\ntable\n");
    assert!(ran.err.contains("Permission denied"), "{}", ran.err);
}

fn a_program_that_asks(root: &Path) {
    let scene = scene(root, &["read"]);
    for name in ["private/echo", "private/script"] {
        let path = scene.work().join(name);
        match name.ends_with("echo") {
            true => drop(fs::copy("/bin/echo", &path).unwrap()),
            false => fs::write(&path, "#!/bin/sh\necho ran\n").unwrap(),
        }
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let script = "private/echo one; private/script; private/echo two; private/script; exit 0";
    let going = scene.set(&["/bin/bash", "-c", script]).go().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let (ran, asked) =
        answer_all(going, move |_| count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 4);
    assert_eq!(ran.fine(), "two\nran\n", "{asked:?}\n{}", ran.err);
    assert!(asked.iter().all(|text| text.starts_with("read ")), "{asked:?}");
}
