//! What a run costs before and after its work: `cargo bench -p e2e --bench start`.
//!
//! `true` in a run, bare, and in bubblewrap with every namespace new and the same mounts; and how long the list of a
//! thousand runs takes. As root and as an ordinary user where root measures. The built program is used as it is: build it
//! first with `cargo build --release`. What misses a goal says so; only what is broken fails.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench speaks, and stops at the first error"
)]

use e2e::bench::{Contender, Times, line, race};
use e2e::built;
use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How often `true` is started.
const ROUNDS: usize = 41;
/// How many times as long as in bubblewrap it may take.
const START_GOAL: f64 = 3.0;
/// How many runs are listed, and how often.
const RUNS: usize = 1000;
const LISTINGS: usize = 15;
/// Milliseconds that a list of so many may take.
const LIST_GOAL: f64 = 100.0;

fn main() {
    let bwrap = Path::new("/usr/bin/bwrap").exists();
    if !bwrap {
        println!("SKIPPED: bubblewrap is not installed: THE START IS COMPARED WITH NOTHING THAT CONFINES");
    }
    for person in Person::everybody() {
        let program = built::provost(person);
        start(person, &program, bwrap, false);
        if person == Person::myself() {
            start(person, &program, bwrap, true);
        }
    }
    list(Person::myself(), &built::provost(Person::myself()));
}

/// How long `true` takes: with the tools of the system, or `lived_in` with all that the measuring person has on PATH.
fn start(person: Person, program: &Path, bwrap: bool, lived_in: bool) {
    let mut stage = Stage::new(person);
    if lived_in {
        let state = stage.home.join(".local/state");
        stage.set("XDG_STATE_HOME", &state);
        for (name, value) in std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME") {
            stage.set(&name.to_string_lossy(), value);
        }
    }
    let ours = || {
        let mut command = stage.command(program);
        command.args(["run", "--unattended", "--", "true"]);
        command
    };
    run(&mut ours()).ended(0);
    let mounts = mounts(&stage, program);
    let mut contenders =
        vec![Contender::new("bare", || stage.command("/usr/bin/true")), Contender::new("ours", ours)];
    if bwrap {
        contenders.push(Contender::new("bwrap", || bubblewrap(&stage, &mounts)));
    }
    let times = race(ROUNDS, &mut contenders);
    drop(contenders);
    let what = format!("start, {person}{}", if lived_in { ", own PATH" } else { "" });
    let (bare, ours) = (&times[0], &times[1]);
    println!("{}", line(&what, ("bare", bare), ours, None));
    if let Some(bwrap) = times.get(2) {
        println!("{}", line(&what, ("bwrap", bwrap), ours, Some(START_GOAL)));
        println!("{:<34} of {} mounts", "", mounts.len());
    }
}

/// The mounts that the last run read back: whether each is read-only, and where.
fn mounts(stage: &Stage, program: &Path) -> Vec<(bool, PathBuf)> {
    let mut tail = stage.command(program);
    tail.args(["ledger", "tail", "--count", "1000", "--format", "json"]);
    let events = run(&mut tail).ended(0).json();
    let given = events.iter().find(|event| event["type"] == "enforcement.given").unwrap();
    let listed = given["enforcement"]["mounts"].as_array().unwrap();
    let parsed = listed.iter().filter_map(|mount| mount.as_str()?.split_once(' '));
    parsed.map(|(rights, at)| (rights == "ro", PathBuf::from(at))).collect()
}

/// The same `true` in bubblewrap: what our view mounts, but the workspace as it is, for bubblewrap stages nothing.
fn bubblewrap(stage: &Stage, mounts: &[(bool, PathBuf)]) -> Command {
    let mut command = stage.command("/usr/bin/bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--hostname", "provost"]);
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    for link in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(text) = std::fs::read_link(Path::new("/").join(link)) {
            command.arg("--symlink").arg(text).arg(Path::new("/").join(link));
        }
    }
    let kernels = |at: &Path| at == Path::new("/") || ["/proc", "/dev"].iter().any(|own| at.starts_with(own));
    for (read_only, at) in mounts.iter().filter(|(_, at)| !kernels(at)) {
        if *at == stage.workspace {
            command.arg("--bind").args([at, at]);
        } else if *read_only && at.exists() {
            command.arg("--ro-bind").args([at, at]);
        } else {
            command.arg("--tmpfs").arg(at);
        }
    }
    command.arg("--chdir").arg(&stage.workspace).arg("/usr/bin/true");
    command
}

/// How long the commands take that look at every run.
fn list(person: Person, program: &Path) {
    let stage = Stage::new(person);
    for _ in 0..RUNS {
        run(stage.command(program).args(["run", "--unattended", "--", "true"])).ended(0);
    }
    for words in [&["runs"][..], &["status"], &["run", "--unattended", "--", "true"]] {
        let mut contenders = [Contender::new("ours", || {
            let mut command = stage.command(program);
            command.args(words);
            command
        })];
        let times = race(LISTINGS, &mut contenders).remove(0);
        println!("{}", absolute(&format!("{} after {RUNS} runs", words[0]), &times));
    }
}

fn absolute(what: &str, times: &Times) -> String {
    let held = if times.median() <= LIST_GOAL { "held" } else { "MISSED" };
    format!(
        "{what:<34} {:>24} ours {:>9.2} ms  least {:>5.2} ms  cpu {:>5.2} ms  goal {LIST_GOAL:.0} ms {held}",
        "",
        times.median(),
        times.least(),
        times.cpu()
    )
}
