//! Commits: those that a run makes land as objects and a branch, and what a person accepts can be written as one.

use e2e::person::Person;
use e2e::stage::Stage;
use serde_json::Value;

fn everybody(scene: impl Fn(&mut Stage)) {
    for person in Person::everybody() {
        println!("as {person}");
        scene(&mut Stage::new(person));
    }
}

/// All of the person's git folder but objects and what git notes of its own looking.
fn git_folder(stage: &Stage) -> String {
    let list = "find .git -path .git/objects -prune -o -type f ! -name index -print | sort | xargs sha256sum";
    stage.outside(list).ended(0).stdout
}

/// What an agent does that works with commits, a branch and a merge, and cleans up behind itself.
const WORK: &str = "set -e
    echo one > src/one.txt; git add --all; git commit --quiet --message 'Write one'
    git checkout --quiet -b side HEAD~1; mkdir -p .github/workflows; echo 'on: push' > .github/workflows/ci.yml
    git add --all; git commit --quiet --message 'Build it'
    git checkout --quiet main; git merge --quiet --no-edit side; git branch --quiet -d side
    git checkout --quiet -b other HEAD~1; git commit --quiet --allow-empty --message 'Nothing'; git checkout --quiet main
    git config core.fsmonitor 'touch /tmp/ran; true'";

#[test]
fn commits_of_a_run_land_as_objects_and_a_branch() {
    everybody(|stage| {
        let before = git_folder(stage);
        stage.inside(WORK).ended(0);
        let review = stage.says(&["review", "--format", "json"]).ended(0).json().remove(0);
        let commits = review["commits"]["commits"].as_array().unwrap().clone();
        assert_eq!(commits.len(), 4, "{commits:#?}");
        let built = commits.iter().find(|commit| commit["subject"] == "Build it").unwrap();
        assert_eq!(built["author"], "Ada <ada@example.org>");
        assert_eq!(built["risk"]["grade"], "high");
        assert_eq!(built["files"][0]["path"], ".github/workflows/ci.yml");
        stage
            .says(&["review", "--print"])
            .ended(0)
            .printed("3 commits of the run on main")
            .printed("Build it");
        stage.says(&["show"]).ended(0).printed("made 4 commits").printed("4 commits, to land as branch");
        // Files alone take no commits with them.
        stage.says(&["apply", "--only", "src/one.txt"]).ended(0);
        assert_eq!(git_folder(stage), before);
        let applied = stage.says(&["apply", "--commits", "--format", "json"]).ended(0).json().remove(0);
        let name = applied["refs"][0]["name"].as_str().unwrap().to_owned();
        assert_eq!(applied["refs"].as_array().unwrap().len(), 2, "{applied:#}");
        assert!(name.starts_with("refs/heads/provost/"), "{name}");
        assert_eq!(stage.git(&["log", "--format=%s", &format!("main..{name}")]).lines().count(), 3);
        assert_eq!(stage.git(&["show", &format!("{name}:src/one.txt")]), "one\n");
        stage.git(&["fsck", "--strict"]);
        let added: Vec<String> =
            git_folder(stage).lines().filter(|line| !before.contains(line)).map(str::to_owned).collect();
        assert!(added.iter().all(|line| line.contains("refs/heads/provost/")), "{added:?}");
        assert!(!std::path::Path::new("/tmp/ran").exists());
        stage.says(&["show"]).ended(0).printed("landed as branch provost/");
        stage.says(&["ledger", "verify"]).ended(0);
        // The last step is taken back first: the branches, then the file.
        stage.says(&["undo"]).ended(0).printed("is gone again");
        assert_eq!(stage.git(&["for-each-ref", "refs/heads/provost"]), "");
        assert!(stage.workspace.join("src/one.txt").exists());
        stage.says(&["undo"]).ended(0);
        assert!(!stage.workspace.join("src/one.txt").exists());
        stage.says(&["undo"]).ended(125);
        stage.says(&["apply", "--all"]).ended(1).printed("3 commits as branch provost/");
        stage.says(&["discard"]).ended(0);
        stage.says(&["ledger", "verify", "--all"]).ended(0);
    });
}

#[test]
fn a_rule_about_branches_holds_commits_until_they_are_named() {
    everybody(|stage| {
        let rule = "version = 1\n[[rule]]\nid = \"look\"\nland = [\"./.git/refs/heads/provost/**\"]\nneed = \"human\"\n";
        let policy = stage.policy(rule);
        stage.inside_with(&["--policy", &policy], "git commit --quiet --allow-empty --message x").ended(0);
        stage.says(&["apply", "--all"]).ended(1).printed("wait for their own yes").printed("rule look");
        assert_eq!(stage.git(&["for-each-ref", "refs/heads/provost"]), "");
        stage.says(&["apply", "--commits"]).ended(0).printed("1 commit as branch provost/");
        let never = rule.replace("human", "never");
        let policy = stage.policy(&never);
        stage.inside_with(&["--policy", &policy], "git commit --quiet --allow-empty --message y").ended(0);
        stage.says(&["apply", "--commits"]).ended(1).printed("(rule look)");
    });
}

#[test]
fn what_is_hostile_in_the_git_folder_reaches_nobody() {
    everybody(|stage| {
        let before = git_folder(stage);
        // A tree that holds `.git`, as no git would make it, and everything that steers git beside it.
        let hostile = "set -e
            blob=$(printf '#!/bin/sh\\ntouch /tmp/ran\\n' | git hash-object -w --stdin)
            python3 - <<END
import subprocess
blob = bytes.fromhex('$blob')
tree = subprocess.run(['git','hash-object','-w','-t','tree','--literally','--stdin'], input=b'100755 .git\\0'+blob, capture_output=True, check=True).stdout.decode().strip()
commit = subprocess.run(['git','commit-tree',tree,'-p','HEAD','-m','odd'], capture_output=True, check=True).stdout.decode().strip()
subprocess.run(['git','update-ref','refs/heads/main',commit], check=True)
END
            git config core.hooksPath /tmp; git config filter.x.clean 'touch /tmp/ran'";
        stage.inside(hostile).ended(0);
        stage.says(&["review", "--print"]).ended(0).printed("commits of the run are kept back");
        stage.says(&["apply", "--commits"]).ended(1).printed("kept");
        assert_eq!(git_folder(stage), before);
        assert_eq!(stage.git(&["for-each-ref", "refs/heads/provost"]), "");
        stage.says(&["ledger", "verify"]).ended(0);
    });
}

#[test]
fn what_is_accepted_is_committed_beside_what_the_person_is_at() {
    everybody(|stage| {
        stage.write("src/lines.txt", &(1..=20).map(|line| format!("line {line}\n")).collect::<String>());
        stage.git(&["add", "--all"]);
        stage.git(&["commit", "--quiet", "--message=lines"]);
        stage
            .outside("sed -i 's/line 20/mine/' src/lines.txt; echo x >> README.md; git add README.md")
            .ended(0);
        stage
            .inside_with(&["--task", "Improve the lines"], "sed -i 's/line 1$/better/' src/lines.txt")
            .ended(0);
        stage.says(&["apply", "--all", "--commit"]).ended(0).printed("committed 1 file on main");
        let shown = stage.git(&["show", "--unified=0"]);
        assert!(shown.contains("+better") && !shown.contains("mine") && !shown.contains("README"), "{shown}");
        for trailer in
            ["Improve the lines", "Provost-Run: ", "Assisted-by: sh", "Reviewed-by: Ada <ada@example.org>"]
        {
            assert!(shown.contains(trailer), "{trailer}: {shown}");
        }
        assert_eq!(stage.git(&["status", "--porcelain"]), "M  README.md\n M src/lines.txt\n");
        assert_eq!(stage.git(&["diff", "--cached", "--name-only"]), "README.md\n");
        assert_eq!(stage.git(&["diff", "--numstat"]), "1\t1\tsrc/lines.txt\n");
        let ledger = stage.ledger();
        let moved = ledger.of("ref.moved").next().unwrap();
        assert_eq!((&moved["by"], &moved["name"]), (&"commit".into(), &"refs/heads/main".into()));
        assert_eq!(moved["to"].as_str().unwrap(), stage.git(&["rev-parse", "HEAD"]).trim());
        stage.says(&["ledger", "verify"]).ended(0);
    });
}

#[test]
fn a_commit_on_a_new_branch_leaves_folder_head_and_index_as_they_are() {
    everybody(|stage| {
        stage.inside("echo more >> README.md; echo new > src/new.txt").ended(0);
        let before = (stage.git(&["status", "--porcelain"]), stage.git(&["rev-parse", "HEAD"]));
        stage
            .says(&["apply", "--only", "src/**", "--branch", "try", "--message", "Try it"])
            .ended(0)
            .printed("committed 1 file on try")
            .printed("still waits");
        assert_eq!((stage.git(&["status", "--porcelain"]), stage.git(&["rev-parse", "HEAD"])), before);
        assert_eq!(stage.git(&["diff", "--name-only", "main", "try"]), "src/new.txt\n");
        stage.says(&["apply", "--all", "--branch", "try"]).ended(125).complained("is there already");
        stage.says(&["apply", "--all"]).ended(0).printed("2 files landed");
        // Without a name there is no commit, and nothing lands.
        stage.inside("echo most >> README.md").ended(0);
        stage.in_home(".gitconfig", "");
        stage.says(&["apply", "--all", "--commit"]).ended(125).complained("git config --global user.name");
        assert!(!std::fs::read_to_string(stage.workspace.join("README.md")).unwrap().contains("most"));
        stage.says(&["ledger", "verify", "--all"]).ended(0);
    });
}

/// What `why` knows, as data.
fn why(stage: &Stage, what: &str) -> Value {
    stage.says(&["why", what, "--format", "json"]).ended(0).json().remove(0)
}

fn says(answer: &Value, words: &str) -> bool {
    let unknown = answer["unknown"].as_array().unwrap();
    unknown.iter().any(|one| one.as_str().unwrap().contains(words))
}

#[test]
fn why_leads_from_a_commit_and_a_line_back_to_who_said_yes() {
    everybody(|stage| {
        stage
            .inside_with(&["--task", "Say more"], "echo one > src/new.txt; echo two >> src/new.txt")
            .ended(0);
        stage.says(&["apply", "--all", "--commit"]).ended(0);
        for (what, line) in [("HEAD", None), ("src/new.txt:2", Some("two"))] {
            let answer = why(stage, what);
            assert_eq!(answer["line"]["text"].as_str(), line);
            assert_eq!(
                (&answer["commit"]["by"], &answer["commit"]["ledger_holds"]),
                (&"provost".into(), &true.into())
            );
            assert_eq!(answer["run"]["task"], "Say more");
            let file = &answer["files"][0];
            assert_eq!(file["path"], "src/new.txt");
            assert!(file["wrote"][0]["text"].as_str().unwrap().contains("echo one"), "{answer:#}");
            for (part, kind) in [
                ("decided", "decision"),
                ("answered", "ask.answered"),
                ("accepted", "change.accepted"),
                ("landed", "landed"),
            ] {
                assert_eq!(file[part]["type"], kind, "{answer:#}");
            }
            assert!(answer["unknown"].as_array().unwrap().is_empty(), "{answer:#}");
        }
        stage
            .says(&["why", "HEAD"])
            .ended(0)
            .printed("written by provost apply")
            .printed("all that may land accepted");
        // Landed, and not committed; then edited by hand; then as it was.
        stage.inside("sed -i s/hello/hello_there/ src/greeting.txt; echo three >> src/new.txt").ended(0);
        stage.says(&["apply", "--all"]).ended(0);
        let answer = why(stage, "src/greeting.txt:1");
        assert_eq!(answer["line"]["committed"], false);
        assert_eq!(answer["files"][0]["landed"]["text"], "src/greeting.txt (verbatim)");
        assert!(
            answer["unknown"].as_array().unwrap().is_empty()
                && answer["files"][0]["wrote"][0]["text"].as_str().unwrap().contains("sed"),
            "{answer:#}"
        );
        assert_eq!(why(stage, "src/new.txt:2")["commit"]["by"], "provost");
        stage.outside("sed -i '1i mine' src/new.txt; sed -i s/hello_there/mine/ src/greeting.txt").ended(0);
        assert!(says(&why(stage, "src/greeting.txt:1"), "no landing of a run"));
        assert!(says(&why(stage, "src/new.txt:1"), "no landing of a run"));
        assert_eq!(why(stage, "src/new.txt:4")["line"]["text"], "three");
        assert!(!why(stage, "src/new.txt:4")["files"][0]["landed"].is_null());
        let first = why(stage, "README.md:1");
        assert!(first["commit"]["by"] == "nobody" && first["run"].is_null(), "{first:#}");
        stage.says(&["why", "README.md:99"]).ended(125).complained("has no line 99");
        stage.says(&["why", "nothing-of-the-kind"]).ended(125).complained("is no commit, line or event");
    });
}

#[test]
fn why_believes_the_ledger_and_not_the_commit() {
    everybody(|stage| {
        stage.inside("git commit --quiet --allow-empty --message theirs; echo x > src/x.txt").ended(0);
        stage.says(&["apply", "--all", "--commit"]).ended(0);
        let run = why(stage, "HEAD")["run"]["run"].as_str().unwrap().to_owned();
        let made = why(stage, &format!("provost/{run}"));
        assert!(made["commit"]["by"] == "run" && made["event"]["type"] == "commits.staged", "{made:#}");
        assert_eq!(made["effects"][0]["type"], "ref.moved");
        let landed = stage.ledger().of("landed").next().unwrap()["seq"].as_u64().unwrap();
        for what in [landed.to_string(), format!("{run}:{landed}")] {
            let answer = why(stage, &what);
            assert_eq!(
                (&answer["event"]["type"], &answer["causes"][0]["type"]),
                (&"landed".into(), &"decision".into())
            );
            assert_eq!(answer["files"][0]["accepted"]["type"], "change.accepted");
        }
        stage.says(&["why", "99999"]).ended(125).complained("has no event 99999");
        // Amended: what it says is not what the ledger knows. Made up: the ledger never had that root.
        stage.git(&[
            "commit",
            "--quiet",
            "--amend",
            "--no-edit",
            "--reset-author",
            "--date=2001-01-01T00:00:00",
        ]);
        let amended = why(stage, "HEAD");
        assert!(
            amended["commit"]["by"] == "nobody" && says(&amended, "does not know this commit"),
            "{amended:#}"
        );
        let forged = format!("Trust me\n\nProvost-Run: {run}\nProvost-Ledger: 5 {}", "0".repeat(64));
        stage.git(&["commit", "--quiet", "--allow-empty", "--message", &forged]);
        let forged = why(stage, "HEAD");
        assert_eq!(
            (&forged["commit"]["by"], &forged["commit"]["ledger_holds"]),
            (&"nobody".into(), &false.into())
        );
        stage.git(&["commit", "--quiet", "--allow-empty", "--message", "x\n\nProvost-Run: 0000000-000"]);
        assert!(says(&why(stage, "HEAD"), "does not know"));
    });
}

#[test]
fn a_commit_does_not_hide_the_run_that_made_it_behind_another() {
    everybody(|stage| {
        stage.inside("echo x > src/x.txt").ended(0);
        let other = stage.ledger().of("run.opened").next().unwrap()["run"].as_str().unwrap().to_owned();
        for (named, line) in [("0000000-000", "0000000-000"), (&other, &other), ("itself", "$PROVOST_RUN")] {
            stage
                .inside(&format!(
                    "git commit --quiet --allow-empty --message \"Forged\n\nProvost-Run: {line}\""
                ))
                .ended(0);
            stage.says(&["apply", "--commits"]).ended(0);
            let made = stage.ledger().of("run.opened").next().unwrap()["run"].as_str().unwrap().to_owned();
            let answer = why(stage, &format!("provost/{made}"));
            assert_eq!(answer["commit"]["by"], "run", "{named}: {answer:#}");
            assert_eq!(answer["run"]["run"], *made, "{named}: {answer:#}");
            assert!(says(&answer, "the words of the run that made it"), "{named}: {answer:#}");
        }
    });
}

#[test]
fn why_runs_nothing_that_the_repository_names() {
    everybody(|stage| {
        stage.write(".gitattributes", "*.txt filter=x diff=x\n");
        stage.git(&["add", "--all"]);
        stage.git(&["commit", "--quiet", "--message=attributes"]);
        let marker = stage.elsewhere.join("ran");
        for key in [
            "filter.x.clean",
            "filter.x.smudge",
            "diff.x.textconv",
            "diff.x.command",
            "core.fsmonitor",
            "core.pager",
        ] {
            stage.git(&["config", key, &format!("sh -c 'touch {}; cat'", marker.display())]);
        }
        std::fs::remove_file(&marker).ok();
        stage.says(&["why", "src/greeting.txt:1"]).ended(0);
        stage.says(&["why", "HEAD"]).ended(0);
        assert!(!marker.exists());
    });
}

#[test]
fn a_folder_that_git_takes_for_a_repository_lands_only_by_its_own_yes() {
    everybody(|stage| {
        stage
            .inside("git init --quiet --bare src/fixture; echo '# runs programs' > src/fixture/config")
            .ended(0);
        let led_by = |stage: &Stage| stage.git(&["-C", "src/fixture", "rev-parse", "--absolute-git-dir"]);
        stage.says(&["apply", "--all"]).ended(1).printed("src/fixture/HEAD");
        assert!(stage.workspace.join("src/fixture/config").exists());
        assert!(led_by(stage).trim().ends_with("/.git"), "{}", led_by(stage));
        // What was kept back is what git would have been led by.
        stage.says(&["apply", "--only", "src/fixture/HEAD"]).ended(0);
        assert!(led_by(stage).trim().ends_with("/fixture"), "{}", led_by(stage));
    });
}

#[test]
fn a_commit_of_what_is_put_back_stays_and_that_is_said() {
    everybody(|stage| {
        let at = |stage: &Stage| stage.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let before = at(stage);
        stage.inside("echo x > new; echo more >> README.md").ended(0);
        stage.says(&["apply", "--all", "--commit"]).ended(0);
        let commit = at(stage);
        let short = &commit[..12];
        let ran = stage.says(&["undo"]).ended(0);
        assert!(ran.stdout.contains(&format!("The commit stays: {short} on main")), "{ran}");
        assert_eq!(at(stage), commit);
        // What is printed can be typed: off the branch ..
        let typed = |ran: &str, word: &str| {
            let line = ran.lines().find(|line| line.trim_start().starts_with(word)).expect(word).trim();
            line.split("    ").next().unwrap().to_owned()
        };
        stage.outside(&typed(&ran.stdout, "git reset")).ended(0);
        assert_eq!((at(stage), stage.git(&["status", "--short"])), (before, String::new()));
        // .. or by a commit on top, where others came after it.
        stage.says(&["apply", "--all", "--commit"]).ended(0);
        stage.git(&["commit", "--quiet", "--allow-empty", "--message", "later"]);
        let ran = stage.says(&["undo"]).ended(0).stdout;
        assert!(!ran.contains("git reset"), "{ran}");
        stage.outside(&typed(&ran, "git commit")).ended(0);
        assert_eq!(stage.git(&["status", "--short"]), "");
        assert_eq!(stage.git(&["ls-tree", "--name-only", "HEAD", "new"]), "");
        // One that is on no branch any more is not spoken of; a program is told which it is.
        stage.says(&["apply", "--all", "--commit"]).ended(0);
        let commit = at(stage);
        let told = stage.says(&["undo", "--format", "json"]).ended(0).json().remove(0);
        assert_eq!(
            (told["stays"][0]["id"].as_str(), &told["stays"][0]["name"]),
            (Some(&*commit), &"refs/heads/main".into())
        );
        stage.git(&["reset", "--quiet", "HEAD~1"]);
        stage.says(&["apply", "--all", "--commit"]).ended(0);
        stage.git(&["reset", "--quiet", "HEAD~1"]);
        let ran = stage.says(&["undo"]).ended(0).stdout;
        assert!(!ran.contains("stays"), "{ran}");
    });
}
