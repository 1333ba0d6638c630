//! The command line: first errors that help, formats, statuses.

use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::Stage;

#[test]
fn an_agent_that_is_not_installed_is_named_with_how_to_get_it() {
    let stage = Stage::new(Person::myself());
    for (agent, package) in [("codex", "@openai/codex"), ("claude", "@anthropic-ai/claude-code")] {
        let ran = run(stage.provost(["run", "--", agent, "do it"]).env("PATH", "/nowhere")).ended(125);
        assert!(
            ran.stderr.contains(agent) && ran.stderr.contains(&format!("npm install -g {package}")),
            "{ran}"
        );
    }
    stage.says(&["run", "--", "no-such-program"]).ended(125).complained("no-such-program");
}

#[test]
fn a_workspace_that_holds_too_much_is_refused() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let home = stage.home.display().to_string();
        let state = stage.state().display().to_string();
        stage.inside("true").ended(0);
        for folder in ["/", &home, &state] {
            let ran = stage.says(&["run", "--unattended", "--workspace", folder, "--", "true"]).ended(125);
            assert!(ran.stderr.contains("workspace") && ran.stderr.contains("hint:"), "{ran}");
        }
    }
}

#[test]
fn a_folder_that_is_no_repository_is_fine() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let plain = stage.in_home("plain/file.txt", "x\n");
        let folder = plain.parent().unwrap();
        let ran = run(stage
            .provost(["run", "--unattended", "--", "sh", "-c", "cat file.txt; echo y > new.txt"])
            .current_dir(folder));
        ran.ended(0).printed("x");
        assert!(!folder.join("new.txt").exists());
        run(stage.provost(["review"]).current_dir(folder)).ended(0).printed("new.txt");
    }
}

#[test]
fn the_agents_own_status_is_the_runs() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        for status in [0, 1, 7, 124, 125, 255] {
            stage.inside(&format!("exit {status}")).ended(status);
        }
        stage.inside("kill -TERM $$").ended(128 + 15);
        stage.inside("kill -KILL $$").ended(128 + 9);
    }
}

#[test]
fn words_in_and_out_are_the_agents() {
    let stage = Stage::new(Person::myself());
    let mut command = stage.provost(["run", "--unattended", "--", "tr", "a-z", "A-Z"]);
    e2e::ran::run_with(&mut command, b"as it came").ended(0).printed("AS IT CAME");
}

#[test]
fn what_is_printed_for_programs_is_json() {
    let stage = Stage::new(Person::myself());
    stage.inside("echo x >> README.md; cat ~/.ssh/id_rsa; true").ended(0);
    stage.inside("true").ended(0);
    let runs = stage.says(&["runs", "--format", "json"]).ended(0).json();
    let ids: Vec<&str> = runs.iter().filter_map(|run| run["run"].as_str()).collect();
    assert_eq!(ids.len(), 2, "{runs:#?}");
    let changes = |run: &str| stage.says(&["review", run]).stdout.contains("README.md");
    assert!(changes(ids[1]) && !changes(ids[0]), "newest first: {runs:#?}");
    // A unique beginning of an id is enough.
    stage.says(&["show", ids[1]]).ended(0);
    for words in [
        &["status", "--format", "json"][..],
        &["show", ids[1], "--format", "json"],
        &["show", "--events", "--format", "json"],
        &["review", ids[1], "--format", "json"],
        &["ledger", "verify", "--format", "json"],
        &["doctor", "--format", "json"],
        &["policy", "explain", "--format", "json", "read", "./README.md"],
    ] {
        let ran = stage.says(words).ended(0);
        assert!(!ran.json().is_empty(), "{ran}");
    }
    let ran = stage.says(&["run", "--unattended", "--format", "json", "--", "true"]).ended(0);
    assert!(ran.stderr.lines().chain(ran.stdout.lines()).any(|line| line.starts_with('{')), "{ran}");
}

#[test]
fn a_run_ends_with_a_summary_that_says_what_to_do_next() {
    let stage = Stage::new(Person::myself());
    let ran = stage
        .inside("echo x >> README.md; cat ~/.ssh/id_rsa; curl --silent http://unlisted.example.org/; true")
        .ended(0);
    for words in ["README.md", ".ssh/id_rsa", "unlisted.example.org", "provost review", "provost apply"] {
        assert!(ran.stderr.contains(words), "`{words}` is not in the summary: {ran}");
    }
    let bare = stage.says(&[]).ended(0);
    assert!(bare.stdout.contains("provost review") || bare.stdout.contains("provost apply"), "{bare}");
}

#[test]
fn help_teaches_and_mistakes_are_named() {
    let stage = Stage::new(Person::myself());
    stage.says(&["--help"]).ended(0).printed("provost run -- codex exec");
    stage.says(&["run", "--help"]).ended(0).printed("125");
    stage.says(&["--version"]).ended(0).printed("provost ");
    let ran = stage.says(&["aplly"]);
    assert!(ran.status != 0 && ran.stderr.contains("apply"), "{ran}");
}

#[test]
fn doctor_says_what_this_machine_can_enforce() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let ran = stage.says(&["doctor"]).ended(0);
        for layer in ["Landlock", "seccomp", "user namespace"] {
            assert!(ran.stdout.to_lowercase().contains(&layer.to_lowercase()), "{layer}: {ran}");
        }
    }
}
