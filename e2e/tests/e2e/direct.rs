//! Direct mode: what the agent writes is in the folder at once, what others obey stays out of its reach, and an undo leaves
//! everything as it was, whatever was killed on the way.

use e2e::person::Person;
use e2e::ran::{Ran, Running, wait_until};
use e2e::stage::Stage;
use e2e::tree::Tree;
use std::time::Duration;

const DIRECT: [&str; 2] = ["--mode", "direct"];

/// The line of shell, in direct mode.
fn directly(stage: &Stage, line: &str) -> Ran {
    stage.inside_with(&DIRECT, line)
}

#[test]
fn what_is_written_directly_is_there_and_an_undo_leaves_everything_as_it_was() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.outside(
            "mkdir -p empty deep/er; ln -s README.md link; chmod 755 check.sh; : > $(printf 'odd\\nname')",
        );
        let before = Tree::of(&stage.workspace);
        let ran = directly(
            &stage,
            "echo bye > src/greeting.txt; rm -r empty deep link; mkdir -p new/folder; echo x > new/file; chmod 700 check.sh
             mv README.md READ.me; ln -s nowhere dangling; rm odd*; touch -d @7 src; chmod 700 .; cat src/greeting.txt",
        );
        ran.ended(0).printed("bye").complained("direct mode").complained("not held: sources");
        let there =
            stage.outside("cat src/greeting.txt new/file; test -d new/folder && test ! -e link && echo so");
        there.ended(0).printed("bye\nx\nso");
        let run = stage.says(&["runs", "--format", "json"]).ended(0).json()[0].clone();
        assert_eq!((&run["mode"], &run["waiting"]), (&"direct".into(), &0.into()), "{run:#}");
        stage.says(&["review"]).ended(0).printed("wrote into the folder itself").printed("+bye");
        stage.says(&["apply", "--all"]).ended(0).printed("what it changed is there");
        stage.says(&["discard"]).ended(125).complained("provost undo");
        let ledger = stage.ledger();
        let kept = ledger.of("preimages.kept").next().unwrap().clone();
        let launch = ledger.of("launch").next().unwrap()["seq"].as_u64();
        assert!(kept["seq"].as_u64() < launch && kept["cause"].is_u64(), "{kept:#}");
        assert_eq!(ledger.of("run.opened").next().unwrap()["mode"], "direct");
        let direct = ledger.of("change.direct").next().unwrap()["files"].to_string();
        assert!(direct.contains("src/greeting.txt"), "{direct}");
        stage.says(&["undo"]).ended(0).printed("src/greeting.txt").printed("0 kept back");
        Tree::of(&stage.workspace).same_as(&before);
        // What was taken back waits, and can still be landed.
        stage.says(&["apply", "--only", "src/greeting.txt"]).ended(0).printed("landed");
        stage.outside("cat src/greeting.txt").printed("bye");
        stage.says(&["undo"]).ended(0);
        stage.says(&["discard"]).ended(0);
        stage.says(&["ledger", "verify", "--all"]).ended(0);
    }
}

#[test]
fn what_others_obey_is_out_of_reach_in_direct_mode() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.write(".github/ci.yml", "before\n");
        stage.write("pkg/CLAUDE.md", "before\n");
        stage.write("plain", "before\n");
        let before = Tree::of(&stage.workspace);
        let line = "
            echo x >> .git/config; echo x > .git/hooks/pre-commit; rm -rf .git; mv .git gone; ln .git/config g
            mkdir .provost; mkdir -p .vscode; mkdir .VSCODE; mkdir a; echo t > a/tasks.json; mv a .vscode; ln -s a .vscode; ln -s a .idea
            mkdir sub; mkdir sub/.git; ln -s ../a sub/.git; mv a sub/.git; cp -r a sub/.git; mknod .envrc p; mkfifo .env
            echo x > .envrc; cp plain .env.local; ln plain .envrc; mv plain CLAUDE.md; echo x > pkg/claude.md
            echo x > pkg/CLAUDE.md; rm pkg/CLAUDE.md; truncate -s0 pkg/CLAUDE.md; sed -i s/before/after/ .github/ci.yml; chmod 777 .github
            ln pkg/CLAUDE.md readable; perl -e 'open(F, q(>>), q(pkg/CLAUDE.md)); open(F, q(>), q(.mcp.json))'
            cd pkg; echo x > ../.mcp.json; cd ..; exec 7<.; echo x > /proc/self/fd/7/.mcp.json; echo x > /proc/self/cwd/.envrc
            git commit -qam mine; rm -rf a sub; true";
        directly(&stage, line).ended(0);
        let show = stage.says(&["show"]).ended(0);
        assert!(show.stdout.contains("direct mode"), "{show}");
        stage.says(&["undo"]).ended(0);
        Tree::of(&stage.workspace).same_as(&before);
        stage.ledger().denial("write", ".git/config");
        stage.ledger().denial("write", ".envrc");
    }
}

/// Whoever gave the mounted workspace another name, or took the mount away, was out of reach of every rule about its paths.
#[test]
fn what_is_mounted_keeps_its_name_in_direct_mode() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.outside("git init -q nested");
        let before = Tree::of(&stage.workspace);
        let line = r#"
            here=$PWD; above=$(dirname "$here")
            mv "$here" "$above/moved" && echo renamed; mv "$above" "$above-2" && echo renamed
            mkdir "$above/empty" && mv -T --exchange "$above/empty" "$here" && echo renamed
            perl -e 'print "renamed\n" if rename($ARGV[0], $ARGV[1])' "$above/empty" "$here"
            rmdir "$here" && echo removed; perl -e 'print "removed\n" if rmdir($ARGV[0])' "$here"
            mv .git gone; echo x > nested/.git/hooks/pre-commit; mv nested/.git nested/gone; mkdir a; mv a .vscode; ls -d .git"#;
        let ran = directly(&stage, line).ended(0).printed(".git");
        assert!(!ran.stdout.contains("renamed") && !ran.stdout.contains("removed"), "{ran}");
        stage.says(&["undo"]).ended(0);
        Tree::of(&stage.workspace).same_as(&before);
    }
}

#[test]
fn a_folder_that_keeps_its_owner_out_stops_neither_the_end_nor_the_undo() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let before = Tree::of(&stage.workspace);
        directly(&stage, "mkdir -p new/in; echo x > new/in/file; chmod 000 new/in new src").ended(0);
        stage.says(&["undo"]).ended(0).printed("0 kept back");
        Tree::of(&stage.workspace).same_as(&before);
    }
}

#[test]
fn a_tree_that_is_deeper_than_any_path_stops_neither_the_end_nor_the_undo() {
    const DEEP: &str =
        "use strict; for (1..300) { mkdir 'abcdefghijklmnopqrstu'; chdir 'abcdefghijklmnopqrstu' or last }";
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let before = Tree::of(&stage.workspace);
        let ran =
            directly(&stage, &format!("echo more >> src/main.rs; perl -e \"{}\"", DEEP.replace('$', "\\$")))
                .ended(0);
        // A name as long as a page drowns nothing that the summary says.
        assert!(ran.stderr.lines().all(|line| line.chars().count() < 300), "{ran}");
        stage.says(&["undo"]).ended(0).printed("0 kept back");
        Tree::of(&stage.workspace).same_as(&before);
    }
}

#[test]
fn a_link_that_leads_out_takes_nothing_and_is_taken_back() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let outside = stage.elsewhere.join("file");
        std::fs::write(&outside, "outside\n").unwrap();
        person.owns(&outside);
        let before = Tree::of(&stage.workspace);
        let out = stage.elsewhere.display();
        let line = format!(
            "ln -s {out} out; echo x > out/file; echo x > out/new; ln -s ../../elsewhere/file src/up; echo x > src/up; true"
        );
        directly(&stage, &line).ended(0).complained("taken back");
        assert!(std::fs::symlink_metadata(stage.workspace.join("out")).is_err());
        stage.says(&["review"]).ended(0).printed("What waits").printed("leads elsewhere");
        stage.says(&["undo"]).ended(0);
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "outside\n");
        assert!(!stage.elsewhere.join("new").exists());
        Tree::of(&stage.workspace).same_as(&before);
    }
}

#[test]
fn what_direct_mode_cannot_hold_is_refused_before_anything_starts() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let before = Tree::of(&stage.workspace);
        let asks =
            stage.policy("version = 1\n[[rule]]\nid = \"look\"\nland = [\"./src/**\"]\nneed = \"human\"\n");
        let with =
            |policy: &str| stage.inside_with(&["--mode", "direct", "--policy", policy], "echo x > src/new");
        with(&asks).ended(125).complained("rule `look`").complained("without `--mode direct`");
        // Of what nothing can write, nothing has to be asked.
        let held =
            stage.policy("version = 1\n[[rule]]\nid = \"ci\"\nland = [\"./.github/**\"]\nneed = \"human\"\n");
        with(&held).ended(0);
        stage.says(&["undo"]).ended(0);
        let review = ["--mode", "direct", "--profile", "review"];
        stage.inside_with(&review, "true").ended(125).complained("nothing be written");
        stage.outside("ln README.md ../outside");
        directly(&stage, "true").ended(125).complained("another name");
        stage.outside("rm ../outside");
        Tree::of(&stage.workspace).same_as(&before);
        assert_eq!(stage.ledger().of("launch").count(), 1, "only the one that could be held began");
    }
}

#[test]
fn a_run_in_direct_mode_has_its_folder_for_itself() {
    let stage = Stage::new(Person::myself());
    let wait = |mode: &[&str]| {
        let mut words = vec!["run", "--unattended"];
        words.extend(mode);
        words.extend(["--", "sh", "-c", "touch began; while ! test -e over; do sleep 0.05; done"]);
        Running::start(&mut stage.provost(words))
    };
    let began = |name: &str| wait_until(Duration::from_secs(60), || stage.workspace.join(name).exists());
    let mut first = wait(&DIRECT);
    assert!(began("began"));
    directly(&stage, "true").ended(125).complained("at work");
    stage.inside("true").ended(125).complained("a run in direct mode is at work");
    stage.write("over", "");
    assert!(wait_until(Duration::from_secs(60), || !first.runs()));
    directly(&stage, "true").ended(0);
}

/// A run of many writes, killed after so long.
fn kill_after(stage: &Stage, words: &[&str], delay: Duration) {
    let mut provost = Running::start(&mut stage.provost(words));
    std::thread::sleep(delay);
    provost.kill();
}

#[test]
fn whatever_is_killed_an_undo_leaves_everything_as_it_was() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.outside(
            "mkdir many; for i in $(seq 60); do echo $i > many/$i; done; mkdir empty; ln -s many link",
        );
        let before = Tree::of(&stage.workspace);
        let line = "for i in $(seq 60); do echo changed > many/$i; mkdir -p made/$i; echo $i > made/$i/file; done; rm -r empty link; mv many moved";
        let run = ["run", "--unattended", "--mode", "direct", "--", "sh", "-c", line];
        let whole = stage.says(&run).ended(0).took;
        let undo = stage.says(&["undo"]).ended(0).took;
        Tree::of(&stage.workspace).same_as(&before);
        for point in 1..=5 {
            kill_after(&stage, &run, whole * point / 5);
            // Killed before it had begun, there is nothing to put back.
            let status = stage.says(&["status"]).ended(0);
            let last = stage.says(&["runs", "--format", "json"]).ended(0).json()[0].clone();
            for cut in 1..=2 {
                kill_after(&stage, &["undo"], undo * (2 * cut - 1) / 4);
            }
            let ran = stage.says(&["undo"]);
            let nothing = ran.stderr.contains("nothing");
            assert!(
                nothing || ran.stdout.contains("0 kept back") || ran.stdout.contains("as it was"),
                "{ran}\n{status}\n{last:#}"
            );
            Tree::of(&stage.workspace).same_as(&before);
        }
        stage.says(&["ledger", "verify", "--all"]).ended(0);
    }
}
