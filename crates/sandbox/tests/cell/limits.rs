//! Limits: what a run may use at most, and that it ends as a whole, by evidence, where it uses more.

use super::asked::wait_for;
use super::runner::Case;
use super::scene::{Ran, Scene};
use ledger::{Body, LimitReached};
use policy::Limit;
use sandbox::Exit;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    ("memory_of_one_process_ends_the_run", memory_of_one_process_ends_the_run),
    ("memory_of_many_processes_ends_the_run", memory_of_many_processes_ends_the_run),
    ("memory_in_private_places_ends_the_run", memory_in_private_places_ends_the_run),
    ("memory_in_nameless_files_ends_the_run", memory_in_nameless_files_ends_the_run),
    ("memory_that_forks_share_counts_once", memory_that_forks_share_counts_once),
    ("one_process_cannot_outrun_the_watcher", one_process_cannot_outrun_the_watcher),
    ("time_of_all_processors_counts", time_of_all_processors_counts),
    ("children_that_nobody_waits_for_count", children_that_nobody_waits_for_count),
    ("time_that_is_up_is_told_first", time_that_is_up_is_told_first),
    ("a_fork_bomb_finds_no_room", a_fork_bomb_finds_no_room),
    ("no_more_files_than_allowed_are_open", no_more_files_than_allowed_are_open),
    ("a_full_disk_ends_the_run", a_full_disk_ends_the_run),
    ("files_without_a_name_count", files_without_a_name_count),
    ("holes_and_second_names_do_not_count", holes_and_second_names_do_not_count),
    ("the_kernels_killer_takes_the_inside_first", the_kernels_killer_takes_the_inside_first),
];

/// Runs a script of Python under limits.
fn python(root: &Path, limits: &str, script: &str) -> Ran {
    let mut scene = Scene::new(root);
    scene.limits = limits.to_owned();
    scene.run(&["/usr/bin/python3", "-c", script])
}

fn events(ran: &Ran) -> Vec<&LimitReached> {
    ran.events.iter().filter_map(body).collect()
}

fn body(event: &ledger::Event) -> Option<&LimitReached> {
    match &event.body {
        Body::LimitReached(reached) => Some(reached),
        _ => None,
    }
}

/// That this limit ended the run, and that the ledger says so once.
#[track_caller]
fn ended_by(ran: &Ran, limit: Limit) {
    let told = events(ran);
    let Ok(Exit::Limit(reached)) = ran.exit else {
        panic!("{:?} {told:?}\n{}\n{}", ran.exit, ran.out, ran.err)
    };
    assert_eq!(reached.limit, limit);
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((event.limit.as_deref(), event.done.as_deref()), (Some(limit.word()), Some("ended")));
    assert_eq!((event.allowed, event.used), (Some(reached.most), Some(reached.used)));
    assert!(event.set_by.as_deref() == Some("test") && event.what.contains("`[limits]"), "{event:?}");
}

fn memory_of_one_process_ends_the_run(root: &Path) {
    let script = "import time
held = []
for _ in range(60):
    held.append(bytearray(8 << 20)); time.sleep(0.02)
time.sleep(30); print('went on')";
    let ran = python(root, "memory = '192MiB'", script);
    ended_by(&ran, Limit::Memory);
    assert!(!ran.out.contains("went on"));
}

fn memory_of_many_processes_ends_the_run(root: &Path) {
    let script = "import os, time
for _ in range(12):
    if os.fork() == 0:
        os.setsid(); held = bytearray(24 << 20); time.sleep(60)
time.sleep(60)";
    ended_by(&python(root, "memory = '192MiB'", script), Limit::Memory);
}

fn memory_in_private_places_ends_the_run(root: &Path) {
    let script = "import os, time
file = os.open('/dev/shm/x', os.O_CREAT | os.O_RDWR)
held = bytearray(100 << 20)
for _ in range(20):
    os.write(file, bytes(8 << 20)); time.sleep(0.02)
time.sleep(60)";
    ended_by(&python(root, "memory = '192MiB'", script), Limit::Memory);
}

fn memory_in_nameless_files_ends_the_run(root: &Path) {
    let script = "import os, time
file = os.memfd_create('x')
for _ in range(40):
    os.write(file, bytes(8 << 20)); time.sleep(0.02)
time.sleep(60)";
    ended_by(&python(root, "memory = '192MiB'", script), Limit::Memory);
}

fn memory_that_forks_share_counts_once(root: &Path) {
    let script = "import os, time
held = bytearray(150 << 20)
for _ in range(6):
    if os.fork() == 0:
        time.sleep(1.5); os._exit(0)
for _ in range(6): os.wait()
print('fine')";
    let ran = python(root, "memory = '400MiB'", script);
    assert_eq!(ran.fine(), "fine\n", "{:?}", events(&ran));
}

fn one_process_cannot_outrun_the_watcher(root: &Path) {
    let script = "import mmap
try:
    mmap.mmap(-1, 4 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); print('taken')
except OSError: print('refused')";
    assert_eq!(python(root, "memory = '512MiB'", script).fine(), "refused\n");
}

fn time_of_all_processors_counts(root: &Path) {
    let mut scene = Scene::new(root);
    scene.limits = "cpu = '2s'".to_owned();
    let ran = scene.bash(
        "trap '' TERM; for n in 1 2 3; do setsid bash -c 'trap \"\" TERM; while :; do :; done' & done; wait",
    );
    ended_by(&ran, Limit::Cpu);
    let [event] = events(&ran)[..] else { unreachable!() };
    assert!(event.used.unwrap() < 6_000, "seen soon: {event:?}");
}

fn children_that_nobody_waits_for_count(root: &Path) {
    let script = "import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    os.write(1, b'.')
    if os.fork() == 0:
        end = time.process_time() + 0.005
        while time.process_time() < end: pass
        os._exit(0)
    time.sleep(0.01)";
    let mut scene = Scene::new(root);
    scene.limits = "cpu = '1s', time = '40s'".to_owned();
    let set = scene.set(&["/usr/bin/python3", "-c", script]);
    let by = set.jail.enforcement().limits[&Limit::Cpu].clone();
    if !by.contains("perf") {
        println!(
            "SKIPPED children_that_nobody_waits_for_count: the kernel keeps its counters to itself here"
        );
        return;
    }
    let ran = set.go().unwrap().end();
    ended_by(&ran, Limit::Cpu);
    // What their parent uses by itself comes to that much only after many more; and none of them lives for a tick.
    assert!((50..600).contains(&ran.out.len()), "{} children", ran.out.len());
}

fn time_that_is_up_is_told_first(root: &Path) {
    let mut scene = Scene::new(root);
    scene.limits = "time = '3s'".to_owned();
    let ran = scene.bash("trap 'echo last words; exit 0' TERM; while :; do sleep 0.05; done");
    assert_eq!(ran.out, "last words\n");
    let told = events(&ran);
    assert!(told.len() == 1 && told[0].what.contains("was told to end"), "{told:?}");
    assert!(matches!(ran.exit, Ok(Exit::Limit(reached)) if reached.limit == Limit::Time), "{:?}", ran.exit);
}

fn a_fork_bomb_finds_no_room(root: &Path) {
    let script = "import os, time
count = 0
try:
    while count < 2000:
        if os.fork() == 0: time.sleep(60)
        count += 1
except BlockingIOError: print('refused after', count, flush=True); time.sleep(1.5); os._exit(0)
print('unlimited')";
    let began = Instant::now();
    let mut scene = Scene::new(root);
    scene.limits = "processes = 400".to_owned();
    let set = scene.set(&["/usr/bin/python3", "-c", script]);
    let by = set.jail.enforcement().limits[&Limit::Processes].clone();
    let ran = set.go().unwrap().end();
    if by.contains("watcher") {
        return ended_by(&ran, Limit::Processes);
    }
    let count: u64 = ran.fine().trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((350..400).contains(&count), "{count}, held by {by}");
    let told = events(&ran);
    assert!(told.len() == 1 && told[0].done.as_deref() == Some("refused"), "{told:?}");
    assert!(began.elapsed() < Duration::from_secs(40));
}

fn no_more_files_than_allowed_are_open(root: &Path) {
    let script = "import errno, os
count = 0
try:
    while True: os.dup(0); count += 1
except OSError as error: print(error.errno == errno.EMFILE, count)";
    assert_eq!(python(root, "files = 64", script).fine(), "True 61\n");
}

fn a_full_disk_ends_the_run(root: &Path) {
    let script = "import time
for n in range(100):
    open(f'file{n}', 'wb').write(bytes(1 << 20)); time.sleep(0.01)
time.sleep(60)";
    ended_by(&python(root, "disk = '32MiB'", script), Limit::Disk);
    // What was staged stays.
    assert!(root.join("upper/file0").exists());
}

fn files_without_a_name_count(root: &Path) {
    let script = "import os, time
held = os.open('x', os.O_CREAT | os.O_RDWR); os.unlink('x')
for n in range(100): os.write(held, bytes(1 << 20)); time.sleep(0.01)
os.fsync(held)
time.sleep(60)";
    ended_by(&python(root, "disk = '48MiB', time = '50s'", script), Limit::Disk);
}

/// The file system loses more than the run may hold, to somebody else: so that it is looked closely who holds what.
fn holes_and_second_names_do_not_count(root: &Path) {
    let script = "import os
open('one', 'wb').write(bytes(8 << 20))
for n in range(50): os.link('one', f'name{n}')
file = os.open('hole', os.O_CREAT | os.O_RDWR); os.ftruncate(file, 60 << 20)
print('made', flush=True); input(); print('fine')";
    let mut scene = Scene::new(root);
    scene.limits = "disk = '64MiB'".to_owned();
    let mut input = scene.input.take().unwrap();
    let going = scene.set(&["/usr/bin/python3", "-c", script]).go().unwrap();
    wait_for("the files", || going.said("made") == 1);
    fs::write(root.join("beside"), vec![1; 128 << 20]).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    input.write_all(b"on\n").unwrap();
    let ran = going.end();
    assert_eq!(ran.fine(), "made\nfine\n", "{:?}", events(&ran));
}

fn the_kernels_killer_takes_the_inside_first(root: &Path) {
    let script = "cat /proc/self/oom_score_adj; echo 0 2>/dev/null >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj";
    assert_eq!(Scene::new(root).bash(script).fine(), "1000\n1000\n");
}
