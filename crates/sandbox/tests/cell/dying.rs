//! Dying: whatever ends, nothing of the run is left.

use super::runner::{Case, command, itself};
use super::scene::Scene;
use ledger::{Body, RunEnded};
use sandbox::JailError;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    ("daemons_end_with_the_agent", daemons_end_with_the_agent),
    ("killing_the_parent_ends_everything", killing_the_parent_ends_everything),
    ("a_run_ends_when_its_ledger_is_closed", a_run_ends_when_its_ledger_is_closed),
    ("dropping_a_run_ends_it", dropping_a_run_ends_it),
];

/// What is killed.
pub(crate) const PARTS: &[Case] = &[("a_run_that_is_killed", a_run_that_is_killed)];

/// A word by which the processes of one case are found among all of the machine's.
fn mark(root: &Path) -> String {
    root.file_name().unwrap().to_str().unwrap().to_owned()
}

fn daemons(mark: &str) -> String {
    let sleep = format!("exec -a {mark} sleep 1000");
    format!(
        "setsid bash -c '{sleep}' </dev/null >/dev/null 2>&1 &
         (setsid bash -c '(trap \"\" HUP TERM; {sleep}) & disown' </dev/null >/dev/null 2>&1 &)
         until [ $(grep -lsa {mark} /proc/[0-9]*/cmdline | grep -cv /proc/$$/) -ge 2 ]; do sleep 0.02; done"
    )
}

/// How many processes of the machine carry the mark, but for this case's own.
fn alive(mark: &str) -> usize {
    let carries = |entry: fs::DirEntry| {
        let text = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        text.starts_with(mark.as_bytes())
    };
    fs::read_dir("/proc").unwrap().flatten().map(carries).filter(|found| *found).count()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn daemons_end_with_the_agent(root: &Path) {
    let ran = Scene::new(root).bash(&format!("{}; echo both", daemons(&mark(root))));
    assert_eq!(ran.fine(), "both\n");
    assert_eq!(alive(&mark(root)), 0, "nothing is left when the run is over");
}

fn dropping_a_run_ends_it(root: &Path) {
    let mark = mark(root);
    let going =
        Scene::new(root).set(&["/bin/bash", "-c", &format!("{}; sleep 1000", daemons(&mark))]).go().unwrap();
    wait_for("the daemons' start", || alive(&mark) >= 2);
    drop(going.running);
    assert_eq!(alive(&mark), 0);
}

fn a_run_that_is_killed(root: &Path) {
    fs::create_dir(root.join("inner")).unwrap();
    Scene::new(&root.join("inner")).bash(&format!("{}; sleep 1000", daemons(&mark(root))));
}

fn killing_the_parent_ends_everything(root: &Path) {
    let mut parent = command(&itself(), "a_run_that_is_killed", root);
    let mut parent = parent.stdin(Stdio::null()).spawn().unwrap();
    wait_for("the daemons' start", || alive(&mark(root)) >= 2);
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the end of the cell", || alive(&mark(root)) == 0);
}

fn a_run_ends_when_its_ledger_is_closed(root: &Path) {
    let going =
        Scene::new(root).set(&["/bin/bash", "-c", "while :; do cat /etc/hostname; done"]).go().unwrap();
    going.admission.clone().close(Body::RunEnded(RunEnded::default())).unwrap();
    let ran = going.end();
    assert!(
        matches!(ran.exit, Err(JailError::Unwatched)),
        "nothing goes on without evidence: {:?}",
        ran.exit
    );
}
