//! What the gate costs, in repositories of any size: `cargo bench -p e2e --bench gate`.
//!
//! How long after an agent's last act its changes are ready for review (what the run does after the agent, and the review
//! itself), against git's own look at the same changes in the same tree; how long until an agent's first act; and landing,
//! against git. The built program is used as it is: build it first with `cargo build --release`. What misses a goal says
//! so; only what is broken fails.
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
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Rounds of a review, of a run that changes something, of a start, of a landing.
const REVIEWS: usize = 9;
const RUNS: usize = 5;
const STARTS: usize = 15;
const LANDINGS: usize = 5;
/// Milliseconds until 500 changes in a repository of 50,000 files are ready for review.
const READY_GOAL: f64 = 1000.0;
/// What forty times the files may cost a review of the same changes.
const GROWTH_GOAL: f64 = 2.0;

fn main() {
    let person = Person::myself();
    let program = built::provost(person);
    let usual = Field::new(person, &program, 50_000).with_clone();
    usual.first_act(&Field::new(person, &program, 0), "");
    for changes in [50, 5_000] {
        usual.ready(changes);
    }
    let (middle, _) = usual.ready(500);
    println!("{}", absolute("  500 changes in 50000 files", middle, READY_GOAL));
    usual.landing(500);
    drop(usual);
    let (_, small) = Field::new(person, &program, 5_000).ready(500);
    let (_, large) = Field::new(person, &program, 200_000).ready(500);
    let what = "500 changes, 5000 and 200000 files";
    println!("{}", line(what, ("small", &small), &large, Some(GROWTH_GOAL)));
    if let Some(other) = Person::everybody().into_iter().find(|other| *other != person) {
        let program = built::provost(other);
        Field::new(other, &program, 50_000).first_act(&Field::new(other, &program, 0), &format!(", {other}"));
    }
}

fn absolute(what: &str, ours: f64, goal: f64) -> String {
    let held = if ours <= goal { "held" } else { "MISSED" };
    format!("{what:<34} {:>24} ours {ours:>9.2} ms  goal {goal:.0} ms {held}", "")
}

/// A repository of so many files, and where a clone of it for git alone may be.
struct Field<'a> {
    stage: Stage,
    program: &'a Path,
    files: usize,
    clone: PathBuf,
}

/// The folder of a file: none holds more than a few thousand.
fn folder(number: usize) -> String {
    format!("tree/{}/{}", number % 50, number / 50 % 40)
}

/// A line of shell that changes the first so many files.
fn changing(count: usize) -> String {
    format!(
        "i=0; while [ $i -lt {count} ]; do echo more >> tree/$((i%50))/$((i/50%40))/f$i.txt; i=$((i+1)); done"
    )
}

impl<'a> Field<'a> {
    fn new(person: Person, program: &'a Path, files: usize) -> Self {
        let stage = Stage::new(person);
        let text: String = (0..20).map(|line| format!("line {line} of a text\n")).collect();
        for number in 0..files {
            let folder = stage.workspace.join(folder(number));
            if number < 2_000 {
                std::fs::create_dir_all(&folder).unwrap();
            }
            std::fs::write(folder.join(format!("f{number}.txt")), format!("{number}\n{text}")).unwrap();
        }
        person.owns(&stage.workspace);
        let field = Self { clone: stage.home.join("clone"), stage, program, files };
        field.prepare("git add --all && git commit --quiet --allow-empty --message=tree");
        field
    }

    /// As new, with a clone for git.
    fn with_clone(self) -> Self {
        self.prepare("git clone --quiet . ../clone");
        self
    }

    /// Takes as long as it takes. What was written goes to the disk now, and not in somebody's round.
    fn prepare(&self, line: &str) {
        let status = self.stage.command("/bin/sh").args(["-ec", line]).status().unwrap();
        assert!(status.success(), "{line}: {status}");
        rustix::fs::sync();
    }

    fn ours(&self, words: &[&str]) -> Command {
        let mut command = self.stage.command(self.program);
        command.args(words);
        command
    }

    fn theirs(&self, line: &str) -> Command {
        let mut command = self.stage.command("/bin/sh");
        command.args(["-ec", line]).current_dir(&self.clone);
        command
    }

    /// Milliseconds from an agent's last act until changes can be reviewed, and the reviews.
    fn ready(&self, changes: usize) -> (f64, Times) {
        // An agent works for longer than it takes to look at the folder, which happens meanwhile.
        let act = format!("sleep {}; {}; date +%s%N", 1 + self.files / 40_000, changing(changes));
        let settled = median((0..RUNS).map(|_| self.after(&act)).collect());
        let reviewed = run(&mut self.ours(&["review", "--format", "json"])).ended(0).json().remove(0);
        assert_eq!(reviewed["files"].as_array().unwrap().len(), changes);
        let what = format!("review, {changes} of {} files", self.files);
        let mut contenders = vec![Contender::new("ours", || self.ours(&["review", "--format", "json"]))];
        if self.clone.exists() {
            run(&mut self.theirs(&format!("git checkout --quiet .; {}", changing(changes)))).ended(0);
            contenders.push(Contender::new("git", || self.theirs("git status --porcelain; git diff")));
        }
        let mut times = race(REVIEWS, &mut contenders);
        if let Some(git) = times.get(1) {
            println!("{}", line(&what, ("git", git), &times[0], None));
        }
        let ready = settled + times[0].median();
        println!("{what:<34} {settled:.2} ms after the agent's last act, {ready:.2} ms with the review");
        (ready, times.remove(0))
    }

    /// Milliseconds from the moment that an agent printed last until its run was over.
    fn after(&self, act: &str) -> f64 {
        let ran = run(&mut self.ours(&["run", "--unattended", "--", "sh", "-c", act])).ended(0);
        let over = now();
        over - moment(&ran.stdout)
    }

    /// How long it takes to the first act of an agent, against a repository that is empty.
    fn first_act(&self, empty: &Field<'_>, whose: &str) {
        let act = |field: &Field<'_>| {
            let mut command = field.ours(&["run", "--unattended", "--", "sh", "-c", "date +%s%N; sleep 1"]);
            let began = now();
            let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
            moment(&String::from_utf8_lossy(&output.stdout)) - began
        };
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for number in 0..=STARTS {
            let (one, other) = (act(self), act(empty));
            if number > 0 {
                here.push(one);
                there.push(other);
            }
        }
        let (here, there) = (median(here), median(there));
        let what = format!("first act, {} files{whose}", self.files);
        println!("{what:<34} empty {there:>9.2} ms  ours {here:>9.2} ms  wall {:>5.2}", here / there);
    }

    /// Landing what the last run left, against git's own, durable as ours is.
    fn landing(&self, changes: usize) {
        let patch = self.stage.home.join("patch");
        run(&mut self.theirs(&format!("git diff > {}", patch.display()))).ended(0);
        let apply = format!("git apply {0} && sync -f .", patch.display());
        let again = std::cell::Cell::new(false);
        let ours = || {
            if again.replace(true) {
                run(&mut self.ours(&["undo"])).ended(0);
            }
            self.ours(&["apply", "--all"])
        };
        let theirs = || {
            run(&mut self.theirs("git checkout --quiet . && sync -f .")).ended(0);
            self.theirs(&apply)
        };
        let times = race(LANDINGS, &mut [Contender::new("git", theirs), Contender::new("ours", ours)]);
        println!("{}", line(&format!("landing of {changes} files"), ("git", &times[0]), &times[1], None));
        run(&mut self.ours(&["undo"])).ended(0);
    }
}

/// Milliseconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

/// What `date +%s%N` printed last, in milliseconds.
fn moment(printed: &str) -> f64 {
    let last = printed.lines().last().unwrap_or_default();
    last.parse::<f64>().unwrap_or_else(|_| panic!("no moment was printed: {printed}")) / 1e6
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
