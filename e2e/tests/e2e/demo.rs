//! The demo keeps what it says: every act goes as told, without a network, a person or git, and nothing of it stays.

use e2e::person::Person;
use e2e::ran::{run, wait_until};
use e2e::stage::Stage;
use e2e::tree::Tree;
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const ACTS: [&str; 10] =
    ["edit", "test", "key", "call", "push", "child", "untouched", "review", "land", "meddle"];
const MINUTE: Duration = Duration::from_secs(60);

/// A stage with an own folder for scratch files.
fn stage(person: Person) -> (Stage, PathBuf) {
    let mut stage = Stage::new(person);
    let scratch = stage.in_home("scratch/.keep", "").parent().unwrap().to_owned();
    stage.set("TMPDIR", &scratch);
    (stage, scratch)
}

/// Whether any process was started with a path beneath a folder.
fn at_work_in(folder: &Path) -> bool {
    let folder = folder.display().to_string();
    let pids = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    pids.filter_map(|path| std::fs::read(path).ok())
        .any(|words| String::from_utf8_lossy(&words).contains(&folder))
}

/// Holds a demo that is over to leaving nothing behind.
fn leaves_nothing(stage: &Stage, scratch: &Path, before: &Tree) {
    Tree::of(&stage.home.join("project")).same_as(before);
    let left: Vec<_> = std::fs::read_dir(scratch).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".keep"], "the demo left something behind");
    assert!(!stage.state().exists(), "the demo used the person's own state");
    assert!(!at_work_in(scratch), "something of the demo is still at work");
}

#[test]
fn every_act_of_the_demo_goes_as_told() {
    for person in Person::everybody() {
        let (stage, scratch) = stage(person);
        let before = Tree::of(&stage.workspace);
        let ran = stage.says(&["demo", "--unattended", "--format", "json"]).ended(0);
        let told = ran.json();
        let names: Vec<&str> = told.iter().filter_map(|act| act["name"].as_str()).collect();
        assert_eq!(names, ACTS, "{person}: {ran}");
        for act in &told[..ACTS.len()] {
            assert_eq!(act["as_told"], true, "{person}: {act:#}");
            assert!(act["seen"].as_array().is_some_and(|seen| !seen.is_empty()), "{person}: {act:#}");
        }
        assert_eq!(told.last().unwrap()["demo"], "as told", "{person}");
        assert!(ran.took < MINUTE, "{person}: {:?}", ran.took);
        leaves_nothing(&stage, &scratch, &before);
    }
}

#[test]
fn the_demo_reads_well_where_there_is_no_terminal() {
    let (stage, _) = stage(Person::myself());
    let ran = stage.says(&["demo"]).ended(0);
    let ran = ran
        .printed("DENIED read ~/.ssh/id_rsa")
        .printed("rule your-keys")
        .printed("All 10 acts went as told");
    assert!(!ran.stdout.contains(['\u{1b}', '\r', '│']), "only plain lines: {ran}");
}

#[test]
fn without_git_the_demo_goes_on() {
    let (mut stage, _) = stage(Person::myself());
    let tools = stage.in_home("tools/.keep", "").parent().unwrap().to_owned();
    for tool in ["sh", "cat"] {
        symlink(Path::new("/bin").join(tool), tools.join(tool)).unwrap();
    }
    stage.set("PATH", &tools);
    let ran = run(&mut stage.provost(["demo", "--format", "json"])).ended(0);
    let told = ran.json();
    let skipped: Vec<&Value> = told.iter().filter(|act| act["skipped"].is_string()).collect();
    assert_eq!(skipped.len(), 1, "{ran}");
    assert_eq!(skipped[0]["name"], "push");
}

/// A `cat` that knows the key stands for a sandbox that lets it be read.
#[test]
fn what_does_not_go_as_told_is_said_loudly() {
    let (mut stage, scratch) = stage(Person::myself());
    let before = Tree::of(&stage.workspace);
    let cat = stage.in_home("tools/cat", "#!/bin/sh\necho a-decoy-key-that-nobody-may-read\n");
    std::fs::set_permissions(&cat, std::fs::Permissions::from_mode(0o755)).unwrap();
    stage.set("PATH", format!("{}:/usr/bin:/bin", cat.parent().unwrap().display()));
    let ran = stage.says(&["demo"]).ended(1);
    let ran =
        ran.printed("NOT AS TOLD").printed("NOT everything went as told: see act 3, 10").printed("10. ");
    assert!(!ran.stdout.contains("went as told."), "{ran}");
    leaves_nothing(&stage, &scratch, &before);
}

/// Inside a run no further namespaces can be made: such a machine is told so.
#[test]
fn a_machine_on_which_nothing_can_run_is_told_so() {
    let stage = Stage::new(Person::myself());
    let ran = stage.says(&["run", "--unattended", "--", "sh", "-c", "provost demo; echo status $?"]).ended(0);
    let ran = ran
        .printed("status 125")
        .complained("a run cannot start on this machine")
        .complained("provost doctor");
    assert!(!ran.stdout.contains("1. "), "no act was played: {ran}");
}

#[test]
fn a_demo_that_is_broken_off_cleans_up() {
    let (stage, scratch) = stage(Person::myself());
    let before = Tree::of(&stage.workspace);
    let mut demo: Command = stage.provost(["demo"]);
    let mut demo = demo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(wait_until(MINUTE, || at_work_in(&scratch)), "the demo's run was never seen");
    let pid = rustix::process::Pid::from_raw(demo.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = demo.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(128 + 15), None));
    leaves_nothing(&stage, &scratch, &before);
}
