//! Programs: rules against commands hold for every descendant; nothing is inherited; everything is in the record.

use super::everybody;
use e2e::stage::{SECRET, Stage};

const NO_FORCE: &str = r#"version = 1

[[rule]]
id = "no-force"
exec = ["git push ** {--force,-f} **"]
need = "never"
why = "Push a new branch instead."
yes = ["git push -f origin main"]
no = ["git push origin main"]
"#;

fn denied(stage: &Stage, line: &str) {
    let policy = stage.policy(NO_FORCE);
    let ran = stage.inside_with(&["--policy", &policy], line);
    let wanted = ["provost: denied exec", "no-force", "Push a new branch instead."];
    assert!(
        wanted.iter().all(|words| ran.stderr.contains(words)),
        "`{line}` was not denied, or not said: {ran}"
    );
    let ledger = stage.ledger();
    let named = |event: &serde_json::Value| event["reasons"].to_string().contains("no-force");
    let is = ledger.of("exec").any(|event| event["verdict"] == "deny" && named(event))
        || ledger.of("denied").any(named);
    assert!(is, "`{line}` is not in the ledger: {:#?}", ledger.0);
}

#[test]
fn a_rule_against_a_command_holds_however_it_is_started() {
    everybody(|stage| {
        for line in [
            "git push -f origin main",
            "git push origin main --force",
            "sh -c 'sh -c \"git push -f\"'",
            "env -i /usr/bin/git push -f || env -i $(command -v git) push -f",
            "echo -f | xargs git push",
            "(setsid sh -c 'git push -f') & wait",
            "ln -s \"$(command -v git)\" ./harmless; ./harmless push -f",
            "printf '#!/bin/sh\\nexec git push -f\\n' > script; chmod +x script; ./script",
            "cd /; \"$(command -v git)\" push -f",
            "/lib64/ld-linux-x86-64.so.2 \"$(command -v git)\" push -f",
            "cp \"$(command -v git)\" harmless; ./harmless push -f",
            "printf '#!%s push\\n' \"$(command -v git)\" > script; chmod +x script; ./script -f",
            "python3 -c 'import os; os.execvp(\"git\", [\"git\", \"push\", \"-f\"])'",
        ] {
            denied(stage, line);
        }
        let policy = stage.policy(NO_FORCE);
        let ran = stage.inside_with(&["--policy", &policy], "git push origin main; git status --short");
        assert!(!ran.stderr.contains("provost: denied exec"), "too much is denied: {ran}");
    });
}

const FEW: &str = r#"version = 1
default = { exec = "deny" }

[[rule]]
id = "few"
exec = ["sh **", "dash **", "true **", "cp **"]
need = "none"
"#;

#[test]
fn a_rule_that_allows_a_name_means_the_program_its_author_meant() {
    everybody(|stage| {
        let policy = stage.policy(FEW);
        let line = "true && echo installed; cp /bin/ls true; ./true && echo repository; \
                    cp /bin/ls /tmp/true; /tmp/true && echo private; exit 0";
        let ran = stage.inside_with(&["--policy", &policy], line).ended(0);
        assert_eq!(ran.stdout.trim(), "installed", "{ran}");
        stage.write("true", "no program of the system's");
        for (program, word) in [("true", "allow"), ("./true", "deny")] {
            let said = stage.says(&["policy", "explain", "--policy", &policy, "exec", program]).ended(0);
            assert!(said.stdout.starts_with(word), "{program}: {said}");
        }
    });
}

#[test]
fn what_has_no_path_is_judged_as_what_it_is() {
    everybody(|stage| {
        denied(stage, "./probe memfd-exec \"$(command -v git)\" push -f");
    });
}

#[test]
fn every_program_is_in_the_record_with_its_words() {
    everybody(|stage| {
        stage.inside("sh -c 'env true one two'; ./probe memfd-exec /bin/echo from-memory").ended(0);
        let ledger = stage.ledger();
        let argv: Vec<String> = ledger.of("exec").map(|event| event["argv"].to_string()).collect();
        for words in
            [r#"["env","true","one","two"]"#, r#"["true","one","two"]"#, r#"["/bin/echo","from-memory"]"#]
        {
            assert!(argv.iter().any(|known| known == words), "{words} is not among {argv:#?}");
        }
        assert!(
            ledger
                .of("program")
                .any(|event| event["digest"].as_str().is_some_and(|digest| digest.len() == 64))
        );
    });
}

#[test]
fn no_descriptor_of_the_parent_is_inherited() {
    everybody(|stage| {
        let provost = stage.provost([""; 0]).get_program().to_owned();
        let line = format!(
            "exec 7<~/.ssh/id_rsa 8<.. 9>>~/outside.txt; {} run --unattended -- sh -c \
             'cat <&7; cat /proc/self/fd/7 /dev/fd/8/.ssh/id_rsa; echo x >&9; ls /proc/self/fd'",
            provost.display()
        );
        let ran = stage.outside(&line);
        assert!(!ran.stdout.contains(SECRET), "{ran}");
        assert_eq!(std::fs::read_to_string(stage.home.join("outside.txt")).unwrap(), "");
        // The three of every program, and the one `ls` has open.
        assert_eq!(ran.stdout.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "{ran}");
    });
}

#[test]
fn variables_that_steer_programs_are_part_of_what_is_judged() {
    everybody(|stage| {
        stage.inside("GIT_SSH_COMMAND='sh -c evil' LD_PRELOAD=/nowhere.so git --version").ended(0);
        let ledger = stage.ledger();
        let steered = ledger.of("exec").any(|event| {
            let env = event["env"].to_string();
            env.contains("GIT_SSH_COMMAND=") && env.contains("LD_PRELOAD=")
        });
        assert!(steered, "{:#?}", ledger.of("exec").collect::<Vec<_>>());
    });
}
