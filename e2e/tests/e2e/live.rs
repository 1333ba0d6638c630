//! Beside an open editor: a person edits the folder while a run goes on. Whatever the order, nobody's lines are lost, and
//! what can be brought together comes together.
//!
//! The agent is a shell that does one line at a time and says when it is done, so that every order is the one meant.

use e2e::person::Person;
use e2e::ran::wait_until;
use e2e::stage::Stage;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

/// A run whose agent is a shell, told line by line what to do.
struct Agent {
    child: Child,
    told: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Agent {
    fn start(stage: &Stage, options: &[&str]) -> Agent {
        Agent::run(stage, "--unattended", options)
    }

    /// One whose asks somebody could answer.
    fn attended(stage: &Stage) -> Agent {
        Agent::run(stage, "--attended", &[])
    }

    fn run(stage: &Stage, who: &str, options: &[&str]) -> Agent {
        let mut words = vec!["run", who];
        words.extend(options);
        words.extend(["--", "sh", "-c", "while read -r line; do eval \"$line\"; echo done; done"]);
        let mut child = stage
            .provost(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, says) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut agent = Agent { child, told, says };
        agent.does(":");
        agent
    }

    /// Has it do a line of shell; gives what that printed.
    #[track_caller]
    fn does(&mut self, line: &str) -> String {
        writeln!(self.told.as_mut().unwrap(), "{line}").unwrap();
        let mut printed = String::new();
        loop {
            let mut said = String::new();
            let read = self.says.read_line(&mut said).unwrap();
            assert!(read > 0, "the agent ended at `{line}` after: {printed}");
            if said == "done\n" {
                return printed;
            }
            printed.push_str(&said);
        }
    }

    /// Ends it; gives what was said on standard error.
    fn ends(mut self) -> String {
        drop(self.told.take());
        let said = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that has ended already is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn everybody(scene: impl Fn(&mut Stage)) {
    for person in Person::everybody() {
        println!("as {person}");
        scene(&mut Stage::new(person));
    }
}

/// A text of thirty lines that each say something.
fn text() -> String {
    (1..=30).map(|number| format!("this is line {number}\n")).collect()
}

fn with_text(stage: &Stage) {
    for name in ["clean.txt", "dirty.txt"] {
        stage.write(name, &text());
    }
    stage.git(&["add", "--all"]);
    stage.git(&["commit", "--quiet", "--message=texts"]);
    stage.write("dirty.txt", &text().replace("line 15\n", "line 15, not committed\n"));
    stage.write("untracked.txt", &text());
}

fn here(stage: &Stage, path: &str) -> String {
    fs::read_to_string(stage.workspace.join(path)).unwrap_or_default()
}

/// What the person does, as a line of shell outside.
const EDITS: [(&str, &str, bool); 9] = [
    // name, line of shell on $1, whether the run's edit of line 3 can be brought together with it
    ("other lines in place", "text=$(sed 's/line 27$/mine/' $1); echo \"$text\" > $1", true),
    ("other lines by rename", "sed -i 's/line 27$/mine/' $1", true),
    ("a line more at the end", "echo mine >> $1", true),
    ("the same line", "sed -i 's/line 3$/mine/' $1", false),
    ("the line beside", "sed -i 's/line 4$/mine/' $1", false),
    ("deleted", "rm $1", false),
    ("renamed", "mv $1 $1.mine", false),
    ("mode", "chmod 755 $1", true),
    ("touched", "touch $1", true),
];

/// When the person does it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    BeforeTheWrite,
    BetweenTwoWrites,
    AfterTheWrite,
    AfterTheRun,
}

/// One file, one edit, one moment; the agent changes line 3.
fn one(stage: &Stage, (file, when): (&str, When), (name, edit, comes_together): (&str, &str, bool)) {
    let what = format!("{file}, {name}, {when:?}");
    let mine = |moment: When| {
        if moment == when {
            stage.outside(&format!("set -- {file}; {edit}")).ended(0);
        }
    };
    let mut agent = Agent::start(stage, &[]);
    agent.does(&format!("cat {file} > /tmp/mind"));
    mine(When::BeforeTheWrite);
    // Written as a whole, from what the agent had in mind from the beginning: nothing of the person's is in it.
    let write = format!("sed 's/is line 3$/is of the run/' /tmp/mind > {file}");
    if when == When::BetweenTwoWrites {
        agent.does(&write);
        mine(When::BetweenTwoWrites);
    }
    agent.does(&write);
    mine(When::AfterTheWrite);
    agent.ends();
    mine(When::AfterTheRun);
    let stands = here(stage, file);
    let stood = fs::metadata(stage.workspace.join(file)).map(|data| data.permissions().mode() & 0o777).ok();
    let ran = stage.says(&["apply", "--all", "--format", "json"]);
    let told = ran.json().remove(0);
    if comes_together {
        let wanted = stands.replace("is line 3\n", "is of the run\n");
        assert_eq!(here(stage, file), wanted, "{what}: {told:#}");
        assert_eq!((ran.status, told["landed"].as_array().unwrap().len()), (0, 1), "{what}: {told:#}");
        let stands = fs::metadata(stage.workspace.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(Some(stands), stood, "{what}");
        return;
    }
    assert_eq!(ran.status, 1, "{what}: {ran}");
    assert_eq!(here(stage, file), stands, "{what}");
    assert_eq!(stage.workspace.join(file).exists(), !["deleted", "renamed"].contains(&name), "{what}");
    let kept = &told["kept"][0];
    assert_eq!(kept["path"], file, "{what}: {told:#}");
    // Both sides' lines are shown, and neither is lost.
    let conflict = &kept["conflicts"][0];
    let lines = |side: &str| conflict[side]["lines"].as_array().unwrap().clone();
    assert!(lines("left").iter().any(|line| line == "this is of the run"), "{what}: {told:#}");
    assert!(lines("base").iter().any(|line| line == "this is line 3"), "{what}: {told:#}");
    let mine = lines("stands").iter().any(|line| line.as_str().unwrap().ends_with("mine"));
    assert_eq!(mine, stage.workspace.join(file).exists(), "{what}: {told:#}");
    let review = stage.says(&["review"]).ended(0).stdout;
    assert!(review.contains("+this is of the run"), "{what}: {review}");
}

#[test]
fn in_whatever_order_both_edit_no_line_is_lost() {
    everybody(|stage| {
        with_text(stage);
        let files = ["clean.txt", "dirty.txt", "untracked.txt"];
        let before: Vec<String> = files.iter().map(|file| here(stage, file)).collect();
        for (at, edit) in EDITS.iter().enumerate() {
            for when in [When::BeforeTheWrite, When::BetweenTwoWrites, When::AfterTheWrite, When::AfterTheRun]
            {
                // Every edit of every kind of file, each at one moment; every moment of a clean one.
                for (number, file) in files.iter().enumerate() {
                    if number > 0 && (at + number) % 4 != when as usize {
                        continue;
                    }
                    one(stage, (file, when), *edit);
                    stage.outside("rm -f *.mine; chmod 644 *.txt").ended(0);
                    files.iter().zip(&before).for_each(|(file, was)| drop(stage.write(file, was)));
                    stage.git(&["status", "--short"]);
                }
            }
        }
    });
}

#[test]
fn what_the_agent_made_on_top_of_an_edit_lands_with_it() {
    everybody(|stage| {
        with_text(stage);
        let mut agent = Agent::start(stage, &[]);
        // In place, so that the agent sees it at once; then the agent edits the line beside it.
        let line = "text=$(sed 's/line 3$/line of mine/' clean.txt); echo \"$text\" > clean.txt; echo 'by me' > fresh.txt";
        stage.outside(line).ended(0);
        agent.does("sed -i 's/line 4$/line of the run/' clean.txt; echo 'by the run' >> fresh.txt");
        assert!(agent.does("cat fresh.txt").contains("by me"));
        agent.ends();
        stage.says(&["apply", "--all"]).ended(0);
        let both = text().replace("line 3\n", "line of mine\n").replace("line 4\n", "line of the run\n");
        assert_eq!(
            (here(stage, "clean.txt"), here(stage, "fresh.txt")),
            (both, "by me\nby the run\n".to_owned())
        );
        stage.says(&["undo"]).ended(0);
        assert_eq!(here(stage, "fresh.txt"), "by me\n");
        assert!(here(stage, "clean.txt").contains("line of mine\nthis is line 4\n"));
    });
}

#[test]
fn what_both_make_under_one_name_stays_as_the_person_has_it_unless_it_is_the_same() {
    everybody(|stage| {
        let mut agent = Agent::start(stage, &[]);
        agent.does("echo same > same.txt; echo of the run > other.txt");
        stage.write("same.txt", "same\n");
        stage.write("other.txt", "of mine\n");
        agent.ends();
        let ran = stage.says(&["apply", "--all", "--format", "json"]).ended(1);
        let told = ran.json().remove(0);
        assert_eq!(told["landed"], serde_json::json!(["same.txt"]));
        let conflict = &told["kept"][0]["conflicts"][0];
        assert_eq!(conflict["stands"]["lines"], serde_json::json!(["of mine"]), "{told:#}");
        assert_eq!(conflict["left"]["lines"], serde_json::json!(["of the run"]), "{told:#}");
        assert_eq!(conflict["base"]["count"], 0);
        assert_eq!(here(stage, "other.txt"), "of mine\n");
        let said = stage.says(&["apply", "--all"]).ended(1).stdout;
        assert!(said.contains("you have:\n          | of mine\n") && said.contains("| of the run"), "{said}");
    });
}

#[test]
fn what_git_does_to_the_folder_meanwhile_is_an_edit_like_any_other() {
    // What the person does; whether what was not committed stands in the end.
    let deeds = [
        ("git commit --quiet --all --message=meanwhile", true),
        ("git stash --quiet", false),
        ("git stash --quiet; git switch --quiet other; git stash pop --quiet", true),
        ("git stash --quiet; git switch --quiet other; git gc --quiet", false),
    ];
    everybody(|stage| {
        with_text(stage);
        stage.outside("git stash --quiet; git switch --quiet --create other; sed -i 's/line 21$/line of the other branch/' clean.txt; git commit --quiet --all --message=other; git switch --quiet main; git stash pop --quiet").ended(0);
        let dirty = here(stage, "dirty.txt");
        for (deed, is_dirty) in deeds {
            let mut agent = Agent::start(stage, &[]);
            agent.does("cat clean.txt > /tmp/clean; cat dirty.txt > /tmp/dirty");
            stage.outside(deed).ended(0);
            agent.does(
                "for name in clean dirty; do sed 's/line 3$/line of the run/' /tmp/$name > $name.txt; done",
            );
            agent.ends();
            let stood = here(stage, "clean.txt");
            assert_eq!(stood.contains("other branch"), deed.contains("switch"));
            stage.says(&["apply", "--all"]).ended(0);
            let run = |text: &str| text.replace("is line 3\n", "is line of the run\n");
            assert_eq!(here(stage, "clean.txt"), run(&stood), "{deed}");
            assert_eq!(
                here(stage, "dirty.txt"),
                run(&if is_dirty { dirty.clone() } else { text() }),
                "{deed}"
            );
            stage.outside("git stash drop --quiet; git reset --quiet --hard; git switch --quiet main; git reset --quiet --hard :/texts").ended(0);
            stage.write("dirty.txt", &dirty);
        }
    });
}

/// What the run's events say was changed outside: name, whether the run changed it too, whether it does not see it.
fn moved(stage: &Stage) -> Vec<(String, bool, bool)> {
    let events = stage.ledger();
    let files = events.of("workspace.moved").flat_map(|event| event["files"].as_array().unwrap().clone());
    let is = |value: &serde_json::Value| value == &serde_json::json!(true);
    files
        .map(|file| (file["path"].as_str().unwrap().to_owned(), is(&file["both"]), is(&file["stale"])))
        .collect()
}

/// Has the agent look until it prints this, with pauses in which it is quiet.
#[track_caller]
fn sees(agent: &mut Agent, line: &str, wanted: &str) {
    let mut seen = String::new();
    let in_time = wait_until(Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_millis(700));
        seen = agent.does(line);
        seen == wanted
    });
    assert!(in_time, "`{line}` shows {seen:?} and not {wanted:?}");
}

#[test]
fn what_is_changed_outside_is_seen_inside_at_a_quiet_point_and_told() {
    everybody(|stage| {
        with_text(stage);
        stage
            .outside(
                "mkdir -p in/deep; echo old > in/deep/file; echo old > gone.txt; mkdir kept; echo x > kept/x",
            )
            .ended(0);
        let mut agent = Agent::start(stage, &[]);
        // All names are known to the kernel before they change, those that are not there as well.
        agent.does("cat clean.txt in/deep/file gone.txt kept/x > /tmp/all; ls . in in/deep; cat new.txt fresh/in 2> /dev/null");
        agent.does("echo of the run >> dirty.txt");
        stage.outside("sed -i 's/line 9$/mine/' clean.txt; echo new > in/deep/.tmp; mv in/deep/.tmp in/deep/file; rm gone.txt; echo new > new.txt; mkdir fresh; echo new > fresh/in; sed -i 's/line 9$/mine/' dirty.txt; chmod 755 untracked.txt; mv kept moved").ended(0);
        sees(
            &mut agent,
            "sed -n 9p clean.txt; cat in/deep/file new.txt fresh/in moved/x",
            "this is mine\nnew\nnew\nnew\nx\n",
        );
        sees(&mut agent, "ls gone.txt kept 2> /dev/null; ls fresh; stat -c %a untracked.txt", "in\n755\n");
        // The run's own stays the run's.
        assert!(
            agent.does("tail -1 dirty.txt; sed -n 9p dirty.txt").starts_with("of the run\nthis is line 9\n")
        );
        agent.ends();
        let mut told = moved(stage);
        told.sort();
        told.dedup();
        let names = [
            ("clean.txt", false),
            ("dirty.txt", true),
            ("fresh", false),
            ("fresh/in", false),
            ("gone.txt", false),
            ("in/deep/file", false),
            ("kept", false),
            ("kept/x", false),
            ("moved", false),
            ("moved/x", false),
            ("new.txt", false),
            ("untracked.txt", false),
        ];
        assert_eq!(told, names.map(|(name, both)| (name.to_owned(), both, false)));
        let shown = stage.says(&["show"]).ended(0).stdout;
        assert!(
            shown.contains("changed outside while it ran")
                && shown.contains("the run changed too: dirty.txt"),
            "{shown}"
        );
        let status = stage.says(&["status"]).ended(0).stdout;
        assert!(status.contains("12 files were changed outside while it ran"), "{status}");
        let summary = stage.says(&["status", "--format", "json"]).ended(0).json().remove(0);
        assert_eq!(summary["moved"]["both"], serde_json::json!(["dirty.txt"]), "{summary:#}");
        // Nothing of it is the run's to land.
        stage.says(&["apply", "--all"]).ended(0);
        assert!(
            here(stage, "dirty.txt").contains("this is mine\n")
                && here(stage, "dirty.txt").ends_with("of the run\n")
        );
        assert!(!stage.workspace.join("gone.txt").exists() && stage.workspace.join("moved/x").exists());
        stage.says(&["ledger", "verify"]).ended(0);
    });
}

#[test]
fn what_the_run_does_not_see_is_said_to_be_stale() {
    everybody(|stage| {
        with_text(stage);
        let mut agent = Agent::start(stage, &[]);
        // A name stays what it was for as long as somebody inside holds it open.
        agent.does("exec 9< clean.txt");
        stage.outside("sed -i 's/line 9$/mine/' clean.txt").ended(0);
        assert!(wait_until(Duration::from_secs(20), || !moved(stage).is_empty()));
        assert_eq!(moved(stage), [("clean.txt".to_owned(), false, true)]);
        assert!(stage.says(&["status"]).ended(0).stdout.contains("stale, the run did not see: clean.txt"));
        agent.does("exec 9<&-");
        sees(&mut agent, "sed -n 9p clean.txt", "this is mine\n");
        assert!(wait_until(Duration::from_secs(20), || moved(stage).len() == 2));
        let said = agent.ends();
        assert!(
            said.contains("1 file was changed outside while it ran: clean.txt") && !said.contains("stale"),
            "{said}"
        );
        assert_eq!(moved(stage)[1], ("clean.txt".to_owned(), false, false));
    });
}

#[test]
fn a_copy_is_said_to_be_stale() {
    let Some(person) = Person::everybody().into_iter().find(|person| person.uid != 0) else { return };
    if Person::myself().uid != 0 {
        // Nobody else can give a file to another user.
        return;
    }
    let stage = Stage::new(person);
    std::os::unix::fs::lchown(stage.workspace.join("check.sh"), Some(0), Some(0)).unwrap();
    let mut agent = Agent::start(&stage, &[]);
    agent.does("echo of the run > README.md");
    stage.write("src/greeting.txt", "hello again\n");
    stage.write("README.md", "mine\n");
    assert!(wait_until(Duration::from_secs(20), || moved(&stage).len() == 2));
    assert_eq!(agent.does("cat src/greeting.txt"), "hello\n");
    let said = agent.ends();
    assert!(said.contains("stale, the run did not see: src/greeting.txt"), "{said}");
    assert!(said.contains("the run changed too: README.md"), "{said}");
}

#[test]
fn what_git_does_to_itself_and_what_it_ignores_is_not_told() {
    everybody(|stage| {
        stage.write(".gitignore", "out\n*.log\n");
        let mut agent = Agent::start(stage, &[]);
        stage.outside("git add --all; git commit --quiet --message=ignored; git gc --quiet; mkdir out; echo x > out/file; echo x > a.log").ended(0);
        // Long enough for it to be noticed.
        std::thread::sleep(Duration::from_secs(3));
        stage.write("seen.txt", "x\n");
        sees(&mut agent, "cat seen.txt", "x\n");
        agent.ends();
        assert_eq!(moved(stage), [("seen.txt".to_owned(), false, false)]);
    });
}

#[test]
fn what_the_run_deletes_or_renames_stays_where_the_person_edits_it() {
    // What the run does to clean.txt; whether its own name for it is another.
    let deeds = [
        ("rm clean.txt", ""),
        ("mv clean.txt other.txt", "other.txt"),
        ("mkdir in; mv clean.txt in", "in/clean.txt"),
    ];
    everybody(|stage| {
        with_text(stage);
        for (deed, name) in deeds {
            for before in [true, false] {
                let mut agent = Agent::start(stage, &[]);
                let mine = || drop(stage.outside("sed -i 's/line 9$/mine/' clean.txt").ended(0));
                if before {
                    mine();
                }
                agent.does(deed);
                if !before {
                    mine();
                }
                agent.ends();
                let ran = stage.says(&["apply", "--all", "--format", "json"]).ended(1);
                let told = ran.json().remove(0);
                assert!(here(stage, "clean.txt").contains("this is mine\n"), "{deed}: {told:#}");
                let kept = told["kept"].as_array().unwrap();
                let kept = kept
                    .iter()
                    .find(|kept| kept["path"] == "clean.txt")
                    .unwrap_or_else(|| panic!("{deed}: {told:#}"));
                let stands = kept["conflicts"][0]["stands"]["lines"].to_string();
                assert!(stands.contains("this is mine"), "{deed}: {told:#}");
                stage.outside("git checkout --quiet clean.txt; rm -rf other.txt in").ended(0);
                assert!(name.is_empty() || !stage.workspace.join(name).exists());
            }
        }
    });
}

/// A run on a terminal; when it is asked whether routine files may land, this is answered.
fn asked(stage: &Stage, line: &str, answer: Option<&str>) -> String {
    let program = stage.provost([""; 0]).get_program().to_owned();
    let line = format!("{} run -- sh -c '{line}'", program.display());
    let mut script = stage.command("script");
    script.env("TERM", "dumb").args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut seen, mut chunk, mut answer) = (String::new(), [0; 4096], answer);
    loop {
        let read = std::io::Read::read(&mut screen, &mut chunk).unwrap_or(0);
        if read == 0 {
            break;
        }
        seen.push_str(&String::from_utf8_lossy(&chunk[..read]));
        if seen.contains("anything else refuses: ")
            && let Some(answer) = answer.take()
        {
            write!(keys, "{answer}\r").unwrap();
        }
    }
    drop(keys);
    drop(child.wait());
    assert!(answer.is_none(), "nothing was asked: {seen}");
    seen
}

#[test]
fn routine_files_land_at_quiet_points_where_a_person_said_so_once() {
    everybody(|stage| {
        with_text(stage);
        // Nobody said anything, or no: nothing lands by itself, and it is asked once.
        let seen = asked(stage, "echo x > new.txt", Some("no"));
        assert!(seen.contains("routine files") && seen.contains("land.toml"), "{seen}");
        asked(stage, "echo x > new.txt", None);
        assert!(!stage.workspace.join("new.txt").exists());
        stage.outside("rm ~/.local/state/provost/workspaces/*/land.toml").ended(0);
        asked(stage, "echo x > new.txt", Some("land"));
        assert!(!stage.workspace.join("new.txt").exists());
        let rules = stage.says(&["policy", "show"]).ended(0).stdout;
        assert!(rules.contains("land.toml") && rules.contains("routine"), "{rules}");

        let mut agent = Agent::attended(stage);
        agent.does("echo 1 > new.txt; mkdir -p in/deep; echo 1 > in/deep/file; sed -i 's/line 3$/line of the run/' clean.txt");
        agent.does("echo all: > Makefile; rm untracked.txt; chmod 755 dirty.txt; ln -s clean.txt link; echo x > .envrc");
        agent.does("exec 8> open.txt; echo 1 >&8");
        assert!(wait_until(Duration::from_secs(30), || here(stage, "new.txt") == "1\n"
            && here(stage, "in/deep/file") == "1\n"));
        // At this quiet point or at the next: what is written in the very moment of one waits.
        let changed = text().replace("line 3\n", "line of the run\n");
        assert!(wait_until(Duration::from_secs(30), || here(stage, "clean.txt") == changed));
        // The run goes on, and sees what it saw.
        assert_eq!(agent.does("cat new.txt in/deep/file; git status --short new.txt in").lines().count(), 4);
        agent.does("echo 2 >> new.txt");
        assert!(wait_until(Duration::from_secs(30), || here(stage, "new.txt") == "1\n2\n"));
        // What is held open, obeyed, removed or another kind of thing waits.
        assert!(!stage.workspace.join("open.txt").exists());
        agent.does("exec 8>&-");
        assert!(wait_until(Duration::from_secs(30), || here(stage, "open.txt") == "1\n"));
        // So does what the person changes too, until it is brought together.
        stage.outside("sed -i 's/line 20$/mine/' clean.txt").ended(0);
        agent.does("sed -i 's/line 9$/line of the run/' clean.txt; echo late > late.txt");
        assert!(wait_until(Duration::from_secs(30), || here(stage, "late.txt") == "late\n"));
        agent.ends();
        for name in ["Makefile", "link", ".envrc"] {
            assert!(stage.workspace.join(name).symlink_metadata().is_err(), "{name} landed by itself");
        }
        assert!(stage.workspace.join("untracked.txt").exists());
        let ours = here(stage, "clean.txt");
        assert!(
            ours.contains("this is mine\n") && !ours.contains("this is line of the run\nthis is line 10")
        );
        assert!(moved(stage).iter().all(|(name, ..)| name == "clean.txt"), "{:?}", moved(stage));
        stage.says(&["apply", "--only", "clean.txt"]).ended(0);
        let both = here(stage, "clean.txt");
        assert!(
            both.contains("this is mine\n") && both.matches("this is line of the run\n").count() == 2,
            "{both}"
        );
        stage.says(&["ledger", "verify"]).ended(0);
        assert!(stage.ledger().of("landed").count() >= 6);
        // The last landings are taken back like any other: what was applied, then what landed by itself.
        stage.says(&["undo"]).ended(0);
        assert_eq!(here(stage, "clean.txt"), ours);
        stage.says(&["undo"]).ended(0);
        assert!(!stage.workspace.join("late.txt").exists());

        // Where nobody attends, all waits.
        let mut agent = Agent::start(stage, &[]);
        agent.does("echo 1 > alone.txt; sleep 4");
        agent.ends();
        assert!(!stage.workspace.join("alone.txt").exists());
    });
}
