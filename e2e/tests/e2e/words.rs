//! What a newcomer reads: mistakes are named with what to type instead, and what is said is what happened.

use e2e::person::Person;
use e2e::stage::Stage;

fn stage() -> Stage {
    Stage::new(Person::myself())
}

#[test]
fn a_mistake_is_named_with_what_to_type() {
    let stage = stage();
    stage
        .says(&["apply"])
        .ended(125)
        .complained("nothing says what is to land")
        .complained("provost apply --all");
    stage.says(&["run", "--timeout", "5", "--", "true"]).ended(125).complained("--timeout 90s");
    stage
        .says(&["aplly"])
        .ended(125)
        .complained("provost: the command is not understood")
        .complained("apply");
    let ran = stage.says(&["apply", "--format", "json"]).ended(125);
    let told: serde_json::Value = serde_json::from_str(ran.stderr.trim()).unwrap();
    assert_eq!(told["error"]["because"][0], "nothing says what is to land");
}

#[test]
fn apply_says_which_run_it_lands_and_what_to_type_for_the_rest() {
    let stage = stage();
    stage.inside("echo x > new; printf 'all:\\n' > 'Make file.mk'; printf 'all:\\n' > Makefile").ended(0);
    let run = stage.says(&["runs", "--format", "json"]).ended(0).json().remove(0)["run"]
        .as_str()
        .unwrap()
        .to_owned();
    let ran = stage.says(&["apply", "--only", "nomatch"]).ended(1);
    assert!(ran.stdout.contains("`nomatch` matches no change of run"), "{ran}");
    let ran = stage.says(&["apply", "--only", "nomatch", "--only", "new"]).ended(1);
    assert!(ran.stdout.contains("landed  new") && ran.stdout.contains("`nomatch`"), "{ran}");
    let ran = stage.says(&["apply", "--all"]).ended(1);
    assert!(ran.stdout.starts_with(&format!("run {run}\n")), "{ran}");
    let command = format!("provost apply {run} --only ");
    let line =
        ran.stdout.lines().find_map(|line| line.split_once(&command)).unwrap_or_else(|| panic!("{ran}")).1;
    assert!(stage.says(&["review"]).ended(0).stdout.contains(&command));
    // What is printed can be typed.
    let provost = stage.provost([""; 0]).get_program().to_owned();
    stage.outside(&format!("{} apply --only {line}", provost.display())).ended(0);
    assert!(stage.workspace.join("Makefile").exists() && stage.workspace.join("Make file.mk").exists());
}

#[test]
fn what_was_discarded_is_named_where_it_cannot_be_undone() {
    let stage = stage();
    stage.inside("echo x > new; echo y > other").ended(0);
    stage.says(&["apply", "--only", "new"]).ended(0);
    let ran = stage.says(&["discard"]).ended(0);
    assert!(ran.stdout.contains("What had landed stays"), "{ran}");
    stage.says(&["undo"]).ended(125).complained("the run was discarded").complained("your version control");
}

/// A second project of the same person, with one file that is committed.
fn second_project(stage: &Stage) {
    let line = "git init --quiet ../second && cd ../second && echo 1 > there && git add there && git commit --quiet --message first";
    stage.outside(line).ended(0);
}

#[test]
fn a_command_without_a_run_means_the_last_one_of_the_folder_it_is_typed_in() {
    let stage = stage();
    let provost = stage.provost([""; 0]).get_program().display().to_string();
    second_project(&stage);
    let there = |line: &str| stage.outside(&format!("cd ../second && {provost} {line}"));
    stage.inside("echo x > here").ended(0);
    // Where no run was, the last one is meant, and that is said.
    let ran = there("review").ended(0);
    assert!(ran.stderr.contains("no run was in this folder"), "{ran}");
    assert!(ran.stderr.contains(&stage.workspace.display().to_string()), "{ran}");
    there("run --unattended -- sh -c 'echo 2 > there'").ended(0);
    let ran = stage.says(&["apply", "--all"]).ended(0);
    assert!(ran.stdout.contains("landed  here") && !ran.stderr.contains("no run was"), "{ran}");
    assert_eq!(stage.outside("cat ../second/there").stdout, "1\n");
    let ran = stage.outside(&format!("mkdir -p ../second/sub && cd ../second/sub && {provost} apply --all"));
    assert!(ran.ended(0).stdout.contains("landed  there"));
    stage.says(&["undo"]).ended(0).printed("undone  here");
    assert_eq!(stage.outside("cat ../second/there").stdout, "2\n");
    // From around it, as from within.
    let ran = stage.outside(&format!("cd .. && {provost} show"));
    assert!(ran.ended(0).stdout.contains("second"));
}

#[test]
fn what_was_rejected_before_is_kept_back_with_the_words_that_land_it() {
    let stage = stage();
    stage.inside("echo x > new").ended(0);
    stage.says(&["apply", "--reject", "new", "--why", "no"]).ended(0);
    let ran = stage.says(&["apply", "--only", "new", "--branch", "side"]).ended(1);
    assert!(ran.stdout.contains("no branch was made") && !ran.stdout.contains("still waits"), "{ran}");
    let line =
        ran.stdout.lines().find_map(|line| line.split_once("lands by its hunk: provost ")).expect("advice").1;
    let words: Vec<&str> = line.split(' ').collect();
    stage.says(&words).ended(0).printed("landed  new");
}

#[test]
fn a_name_that_is_no_text_is_written_as_everywhere_else() {
    let stage = stage();
    stage.inside(r"printf x > $(printf 'bad\377')").ended(0);
    let landed = stage.says(&["apply", "--all", "--format", "json"]).ended(0).json().remove(0);
    assert_eq!(landed["landed"][0], r"bad\xff");
    stage.says(&["undo"]).ended(0).printed(r"undone  bad\xff");
}

#[test]
fn what_no_rule_allows_is_denied_with_the_command_that_says_what_would() {
    let stage = stage();
    stage.in_home("my notes/one", "1\n");
    let provost = stage.provost([""; 0]).get_program().display().to_string();
    let typed = |stderr: &str| {
        let line = stderr.lines().find_map(|line| line.split_once("what would allow it: provost "));
        stage.outside(&format!("{provost} {}", line.unwrap_or_else(|| panic!("{stderr}")).1)).ended(0).stdout
    };
    let ran = stage.inside("cat ~/'my notes/one'");
    let text = typed(&ran.stderr);
    assert!(
        text.starts_with("deny  read") && text.contains(r#"can allow it: read = ["~/my notes/one"]"#),
        "{text}"
    );
    let ran = stage.inside_with(&["--profile", "review"], "echo x > new");
    let text = typed(&ran.stderr);
    assert!(text.starts_with("deny  write") && text.contains("in review"), "{text}");
    // A rule has words of its own.
    let policy = stage.policy(
        "version = 1\n[[rule]]\nid = \"no\"\nread = [\"./README.md\"]\nneed = \"never\"\nwhy = \"No.\"\n",
    );
    let ran = stage.inside_with(&["--policy", &policy], "cat README.md");
    assert!(ran.stderr.contains("rule no of") && !ran.stderr.contains("what would allow it"), "{ran}");
}

#[test]
fn who_accepted_has_a_name_even_where_the_machine_knows_none() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let name = stage.outside("id -un 2> /dev/null || echo uid $(id -u)").stdout;
        // Of a person without a name, `id` prints the number and fails.
        let name = name.lines().last().unwrap();
        stage.inside("echo x > new").ended(0);
        stage.says(&["apply", "--all"]).ended(0);
        for kind in ["change.accepted", "ask.answered"] {
            assert_eq!(stage.ledger().of(kind).next().unwrap()["by"], name, "{kind}");
        }
        stage.says(&["show"]).ended(0).printed(&format!("accepted by {name}"));
    }
}

#[test]
fn what_lacks_or_is_gone_is_named_with_what_to_do() {
    let stage = stage();
    let ran = stage.says(&["ledger"]).ended(125).complained("lacks the command within");
    assert!(ran.stderr.contains("verify") && ran.stderr.contains("export"), "{ran}");
    stage.inside("true").ended(0);
    stage.says(&["why", "nofile:1"]).ended(125).complained("no file and no run `nofile`");
    second_project(&stage);
    let provost = stage.provost([""; 0]).get_program().display().to_string();
    stage.outside(&format!("cd ../second && {provost} run --unattended -- sh -c 'echo 2 > there'")).ended(0);
    let ran = stage.outside(&format!("rm -r ../second && cd .. && {provost} apply --all"));
    assert!(ran.ended(125).stderr.contains("provost discard"));
}

#[test]
fn how_a_run_was_ended_is_said_in_words() {
    let stage = stage();
    let ran = stage.inside_with(&["--timeout", "1s"], "sleep 60").ended(124);
    assert!(ran.stderr.contains("was ended: its time was up"), "{ran}");
    assert!(ran.stderr.contains("of 1s: the run was told to end, and ended; `--timeout` sets it"), "{ran}");
    assert!(!ran.stderr.contains("signal 9"), "{ran}");
    let ran = stage.outside(&format!(
        "{} run --unattended -- sh -c 'echo up; sleep 60' & pid=$!; sleep 2; kill -INT $pid; wait $pid",
        stage.provost([""; 0]).get_program().display()
    ));
    assert!(ran.stderr.contains("was stopped by you after"), "{ran}");
    assert_eq!(stage.ledger().of("run.ended").next().unwrap()["stopped"], 2);
}

#[test]
fn a_place_that_could_not_be_reached_is_not_said_to_be_reached() {
    let stage = stage();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let policy = stage.policy(&format!(
        "version = 1\n[[rule]]\nid = \"mine\"\nconnect = [\"127.0.0.1:{0}\"]\nneed = \"none\"\n",
        closed.port()
    ));
    let line = format!("curl --silent --noproxy '' --proxy \"$http_proxy\" http://{closed}/ > /dev/null");
    let ran = stage.inside_with(&["--policy", &policy], &line);
    assert!(ran.stderr.contains("allowed, but it could not be reached"), "{ran}");
    let shown = stage.says(&["show"]).ended(0).stdout;
    assert!(shown.contains(&format!("allowed {closed}, but it could not be reached")), "{shown}");
    assert!(!shown.contains(&format!("reached {closed}")), "{shown}");
}

#[test]
fn a_denied_program_is_told_of_once_whatever_the_path() {
    let stage = stage();
    let policy = stage.policy(
        "version = 1\n[[rule]]\nid = \"no-id\"\nexec = [\"id **\"]\nneed = \"never\"\nwhy = \"No.\"\n",
    );
    let ran = stage
        .inside_with(&["--policy", &policy], "PATH=/usr/bin:/bin:/usr/bin:/bin; id -u; echo; id -u; true");
    assert_eq!(ran.stderr.matches("rule no-id: No.)").count(), 2, "{ran}");
}

#[test]
fn a_question_mark_at_a_question_explains_it_and_asks_again() {
    let stage = stage();
    let policy =
        stage.policy("version = 1\n[[rule]]\nid = \"ask-id\"\nexec = [\"id **\"]\nneed = \"human\"\n");
    let run = format!(
        "{} run --attended --policy {policy} -- sh -c 'id -u > /dev/null && echo it ran'",
        stage.provost([""; 0]).get_program().display()
    );
    // Keys that come before the question are thrown away, so each waits until it is there.
    let keys = "wait_for() { for _ in $(seq 300); do [ \"$(grep -c 'anything else refuses' said)\" -ge $1 ] && return; sleep 0.1; done; }; \
        wait_for 1; echo '?'; wait_for 2; echo y; wait_for 3; echo allow; sleep 1";
    let line = format!(
        "cd .. && touch said && {{ {keys}; }} | script --quiet --flush --return --command \"cd project && {run}\" said > /dev/null; cat said"
    );
    let ran = stage.outside(&line).ended(0);
    assert!(ran.stdout.contains("lets this one action happen") && ran.stdout.contains("it ran"), "{ran}");
    assert!(ran.stdout.contains("a yes is the word `allow` or `allow run` alone"), "{ran}");
}

#[test]
fn explain_says_what_holds_beside_and_what_waits_for_an_answer() {
    let stage = stage();
    let policy = stage.policy(
        "version = 1\n[[rule]]\nid = \"api\"\nhttp = [\"http://api.example.com/**\"]\nneed = \"none\"\n\
         [[rule]]\nid = \"closed\"\nconnect = [\"api.example.com:*\"]\nneed = \"never\"\n\
         [[rule]]\nid = \"look\"\nread = [\"~/notes\"]\nneed = \"human\"\n",
    );
    let ask = |words: &[&str]| {
        let words: Vec<&str> =
            ["policy", "explain", "--policy", &policy].into_iter().chain(words.iter().copied()).collect();
        stage.says(&words).ended(0).stdout
    };
    let text = ask(&["http", "GET", "http://api.example.com/a"]);
    assert!(text.starts_with("deny") && text.contains("is judged beside it: deny, by rule closed"), "{text}");
    let text = ask(&["read", "~/notes"]);
    assert!(text.starts_with("ask") && text.contains("whoever opens it waits for the answer"), "{text}");
    let text = ask(&["exec", "date", "--policy", "other.toml"]);
    assert!(text.contains("`--policy` was taken as a word of the action"), "{text}");
}

#[test]
fn what_rules_ask_of_a_request_is_checked_shown_and_explained() {
    let stage = stage();
    let policy = stage.policy(
        "version = 1\n[[rule]]\nid = \"post\"\nhttp = [\"https://api.example.com/a\"]\nmethods = [\"POST\"]\nneed = \"none\"\nup = \"20MiB\"\n\
         query = { page = [\"?\"] }\nheaders = { \"content-type\" = [\"application/json*\"] }\n\
         [[rule]]\nid = \"place\"\nconnect = [\"api.example.com\"]\nneed = \"none\"\n",
    );
    let explain = |line: &str, header: &str| {
        let words = ["policy", "explain", "--policy", &policy, "http", line, "--header", header];
        stage.says(&words).ended(0).stdout
    };
    let text = explain("POST https://api.example.com/a?page=1&other=2", "Content-Type: application/json");
    assert!(text.starts_with("allow") && text.contains("a?page=1 content-type: application/json"), "{text}");
    assert!(text.contains("up 20 MiB") && !text.contains("other=2"), "{text}");
    let text = explain("POST https://api.example.com/a?page=1&page=22", "content-type: application/json");
    assert!(text.starts_with("deny") && text.contains("its condition does not hold: query page"), "{text}");
    let text = explain("GET wss://api.example.com/a?page=1", "content-type: application/json");
    assert!(text.starts_with("deny"), "{text}");
    assert!(stage.says(&["policy", "check", &policy]).ended(0).stdout.starts_with("ok"));
    let wrong = stage.policy(
        "version = 1\n[[rule]]\nid = \"x\"\nconnect = [\"a.example\"]\nneed = \"none\"\nup = \"20\"\n",
    );
    let refused = stage.says(&["policy", "check", &wrong]).ended(1).stderr;
    assert!(refused.contains(":6:") && refused.contains("as in \"20MiB\""), "{refused}");
    let full = stage.policy(
        "version = 1\n[[rule]]\nid = \"x\"\nconnect = [\"a.example\"]\nneed = \"none\"\nrecord = \"full\"\n",
    );
    assert!(stage.says(&["policy", "check", &full]).ended(0).stdout.starts_with("ok"));
}

#[test]
fn what_a_person_should_know_is_said_before_the_agent_starts() {
    let stage = stage();
    stage.in_home("forged/.git", "gitdir: /nowhere\n");
    let ran = stage.inside_with(&["--workspace", "../forged"], "echo agent >&2").ended(0);
    let (note, agent) = (ran.stderr.find("finds no repository"), ran.stderr.find("agent\n"));
    assert!(note.is_some() && note < agent, "{ran}");
}

#[test]
fn programs_that_look_around_do_not_fill_the_story() {
    let stage = stage();
    stage.inside("for one in a b c d e f; do cat /srv/$one /root/$one ~/$one; done; true").ended(0);
    let shown = stage.says(&["show"]).ended(0).stdout;
    let lines = shown.lines().filter(|line| line.contains("denied read")).count();
    assert!(lines <= 1, "{shown}");
}
