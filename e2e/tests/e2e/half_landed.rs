//! A landing that is cut short, by a kill at any moment or by a disk that is full, is finished or taken back by the next
//! command: no file is ever half there, nothing is lost, and the record is whole.

mod small_disk;

use e2e::person::Person;
use e2e::ran::{Ran, Running};
use e2e::stage::Stage;
use e2e::tree::Tree;
use std::time::{Duration, Instant};

/// Files that a landing touches. More of them make it last longer.
const FILES: usize = 80;

/// A change of every kind, done to what [`set`] made.
const EDITS: &str = "for f in edit/*; do echo changed >> $f; done; rm -r gone; \
    mkdir -p new/deep; for i in $(seq 40); do echo $i > new/deep/$i; done; chmod 600 mode; \
    rm becomes; mkdir becomes; echo x > becomes/in; rm -r was; echo x > was; mkdir bare";

fn set(stage: &Stage) {
    for number in 0..FILES {
        stage.write(&format!("edit/{number}"), &format!("{number}\n").repeat(50));
    }
    for name in ["gone/a", "gone/b/c", "mode", "becomes", "was/in"] {
        stage.write(name, &format!("{name}\n"));
    }
    stage.git(&["add", "--all"]);
    stage.git(&["commit", "--quiet", "--message=many"]);
}

/// A staged change: its run, how the workspace stands before it, and what it is to become.
struct Staged {
    run: String,
    before: Tree,
    wanted: Tree,
}

impl Staged {
    fn on(stage: &Stage) -> Self {
        set(stage);
        let before = Tree::shape_of(&stage.workspace);
        stage.inside(EDITS).ended(0);
        let run =
            stage.says(&["runs", "--format", "json"]).ended(0).json()[0]["run"].as_str().unwrap().to_owned();
        stage.says(&["apply", "--all"]).ended(0);
        let wanted = Tree::shape_of(&stage.workspace);
        assert!(before.apart(&wanted).len() > FILES);
        stage.says(&["undo"]).ended(0);
        Tree::shape_of(&stage.workspace).same_as(&before);
        Self { run, before, wanted }
    }

    /// Whether all of it is there, or nothing. Anything between is a failure.
    #[track_caller]
    fn landed(&self, stage: &Stage, told: &Ran) -> bool {
        let now = Tree::shape_of(&stage.workspace);
        let (away, missing) = (now.apart(&self.before), now.apart(&self.wanted));
        assert!(away.is_empty() || missing.is_empty(), "half landed: {away:?} and not {missing:?}: {told}");
        missing.is_empty()
    }
}

/// Whether a landing is on its way, as the workspace's own folder says.
fn lands(stage: &Stage) -> bool {
    let folders = std::fs::read_dir(stage.state().join("workspaces")).unwrap();
    let mut marks = folders.map(|folder| folder.unwrap().path().join("landing"));
    marks.any(|mark| std::fs::metadata(mark).is_ok_and(|mark| mark.len() > 0))
}

/// Starts it, waits until its landing has begun, and kills it after so long, unless it is over by then. How long it lasted.
fn killed(stage: &Stage, words: &[&str], after: Duration) -> Duration {
    let mut provost = Running::start(&mut stage.provost(words));
    while !lands(stage) && provost.runs() {
        std::thread::yield_now();
    }
    let began = Instant::now();
    while began.elapsed() < after && lands(stage) {
        std::thread::yield_now();
    }
    let lasted = began.elapsed();
    if after < Duration::MAX {
        provost.kill();
    } else {
        assert!(e2e::ran::wait_until(e2e::ran::PATIENCE, || !provost.runs()));
    }
    lasted
}

/// How long its landing lasts where nobody kills it.
fn lasts(stage: &Stage, words: &[&str]) -> Duration {
    killed(stage, words, Duration::MAX)
}

/// Whether a command said that it put a landing in order; never that it could not.
fn mended(ran: &Ran) -> bool {
    assert!(!ran.stderr.contains("could not be put in order"), "{ran}");
    ran.stderr.contains("cut short")
}

#[test]
fn a_landing_that_is_killed_is_put_in_order_by_the_next_command() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let staged = Staged::on(&stage);
        let run = staged.run.as_str();
        let lasts = lasts(&stage, &["apply", run, "--all"]);
        let points = if std::env::var_os("PROVOST_LONG").is_some() { 32 } else { 6 };
        let mut put_in_order = 0;
        let mut landed = true;
        let mut point = 0;
        // On a machine that is busy a kill may come too late or too early more often than not: then there are more of them.
        while point < points || (put_in_order < 2 && point < 10 * points) {
            point += 1;
            let words: &[&str] = if landed { &["undo", run] } else { &["apply", run, "--all"] };
            killed(&stage, words, lasts * ((point - 1) % points) / points);
            // Whatever is started next puts it in order before it does anything else.
            let next: &[&str] = match point % 4 {
                0 => &["status"],
                1 => &["review", run],
                2 => &["run", "--unattended", "--", "true"],
                _ => &["status", "--format", "json"],
            };
            let ran = stage.says(next).ended(0);
            put_in_order += usize::from(mended(&ran) || ran.stderr.contains("\"recovered\""));
            landed = staged.landed(&stage, &ran);
            stage.says(&["ledger", "verify", "--all"]).ended(0);
        }
        assert!(put_in_order > 1, "only {put_in_order} of {point} kills hit a landing");
        let recovered = stage.says(&["show", run]).ended(0).stdout;
        assert_eq!(recovered.matches("a landing that was cut short").count(), put_in_order, "{recovered}");
        if landed {
            stage.says(&["undo", run]).ended(0);
        }
        Tree::shape_of(&stage.workspace).same_as(&staged.before);
    }
}

#[test]
fn two_commands_at_once_put_a_landing_in_order_once() {
    let stage = Stage::new(Person::myself());
    let staged = Staged::on(&stage);
    let run = staged.run.as_str();
    let lasts = lasts(&stage, &["apply", run, "--all"]);
    stage.says(&["undo", run]).ended(0);
    let mut hit = 0;
    for point in 0..3 {
        killed(&stage, &["apply", run, "--all"], lasts * point / 4);
        let ran: Vec<Ran> = std::thread::scope(|scope| {
            let commands = [["status"], ["review"], ["status"]].map(|words| {
                let stage = &stage;
                scope.spawn(move || stage.says(&words))
            });
            commands.map(|command| command.join().unwrap()).into()
        });
        let said = ran.iter().filter(|ran| mended(ran)).count();
        assert!(said <= 1, "{ran:?}");
        hit += said;
        if staged.landed(&stage, &ran[0]) {
            stage.says(&["undo", run]).ended(0);
        }
        stage.says(&["ledger", "verify", "--all"]).ended(0);
    }
    assert!(hit > 0, "no kill hit a landing");
}
