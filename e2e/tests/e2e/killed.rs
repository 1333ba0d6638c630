//! Provost killed at any point: nothing of the run goes on, the record recovers, the next start says what was interrupted.

use crate::escapes::processes;
use e2e::person::Person;
use e2e::ran::{Running, wait_until};
use e2e::stage::Stage;
use e2e::tree::Tree;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A process by its number and the moment it began, so that another with its number is another.
type Process = (u32, String);

/// The parent and the beginning of a process.
fn stat(pid: u32) -> Option<(u32, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // A zombie is over.
    (*fields.first()? != "Z").then_some((fields.get(1)?.parse().ok()?, (*fields.get(19)?).to_owned()))
}

/// Everything that a process started, and what that started.
fn descendants(of: u32) -> BTreeSet<Process> {
    let all: Vec<(u32, u32, String)> = processes()
        .into_iter()
        .filter_map(|pid| stat(pid).map(|(parent, began)| (pid, parent, began)))
        .collect();
    let mut found = BTreeSet::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for (pid, _, began) in all.iter().filter(|(_, known, _)| *known == parent) {
            if found.insert((*pid, began.clone())) {
                parents.push(*pid);
            }
        }
    }
    found
}

fn runs_on((pid, began): &Process) -> bool {
    stat(*pid).is_some_and(|(_, now)| now == *began)
}

/// A run that is started, killed after so long, and looked at. Whether it had come to be in the record.
fn killed_after(stage: &Stage, delay: Duration) -> bool {
    let before = Tree::of(&stage.workspace);
    let known = stage.says(&["runs", "--format", "json"]).ended(0).json().len();
    let line = "echo x > made.txt; (setsid sleep 61 &); for i in $(seq 100000); do true; done; sleep 61";
    let mut provost = Running::start(&mut stage.provost(["run", "--unattended", "--", "sh", "-c", line]));
    let end = Instant::now() + delay;
    while Instant::now() < end && provost.runs() {
        std::thread::yield_now();
    }
    let mut family = descendants(provost.pid());
    family.extend(descendants(provost.pid()));
    provost.kill();
    assert!(
        wait_until(Duration::from_secs(10), || !family.iter().any(runs_on)),
        "after {delay:?}: goes on: {:?}",
        family
            .iter()
            .filter(|one| runs_on(one))
            .map(|one| std::fs::read_to_string(format!("/proc/{}/cmdline", one.0)))
            .collect::<Vec<_>>()
    );
    Tree::of(&stage.workspace).same_as(&before);
    let status = stage.says(&["status"]).ended(0);
    let runs = stage.says(&["runs", "--format", "json"]).ended(0).json();
    let opened = runs.len() > known;
    if opened {
        let run = runs[0]["run"].as_str().unwrap();
        assert!(runs[0].to_string().contains("interrupted"), "after {delay:?}: {:#}", runs[0]);
        assert!(
            status.stdout.contains("interrupted") && status.stdout.contains(run),
            "after {delay:?}: {status}"
        );
        stage.says(&["ledger", "verify", run]).ended(0).printed("whole");
        assert_eq!(stage.ledger().of("run.interrupted").count(), 1);
    }
    opened
}

#[test]
fn t89_at_whatever_point_it_is_killed_nothing_goes_on() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        // How long a run takes here tells how far apart the points must lie, to have some in every phase.
        let whole = stage.inside("true").ended(0).took;
        let points = 14;
        let opened = (0..points).filter(|point| killed_after(&stage, whole * 2 * *point / points)).count();
        assert!(opened > points as usize / 3, "only {opened} of {points} were killed after they began");
        stage.says(&["ledger", "verify", "--all"]).ended(0);
        stage.inside("cat README.md").ended(0).printed("# A project");
    }
}
