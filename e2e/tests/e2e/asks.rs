//! Files that ask, from a person's side: a program waits, the person answers on the terminal, and exactly the content comes.

use e2e::person::Person;
use e2e::stage::Stage;

/// Runs a line inside, attended on a terminal, and types these answers, each once its question is there. Gives all that was on the
/// terminal.
fn answered(stage: &Stage, policy: &str, line: &str, answers: &[&str]) -> String {
    let policy = stage.policy(policy);
    let script = stage.write("agent.sh", line);
    let program = stage.provost([""; 0]).get_program().display().to_string();
    let run = format!("{program} run --attended --policy {policy} -- sh {}", script.display());
    // Keys that come before the question are thrown away, so each waits until it is there.
    let keys: String = answers
        .iter()
        .enumerate()
        .map(|(at, answer)| format!("wait_for {}; echo {answer}; ", at + 1))
        .collect();
    let wait = "wait_for() { for _ in $(seq 600); do [ \"$(grep -c 'anything else refuses' said)\" -ge $1 ] && return; sleep 0.1; done; }";
    let line = format!(
        "{wait}; cd .. && : > said && {{ {keys} sleep 1; }} | script --quiet --flush --return --command \"cd project && {run}\" said > /dev/null; cat said"
    );
    stage.outside(&line).ended(0).stdout
}

const RULES: &str = "version = 1
[[rule]]
id = \"notes\"
read = [\"./notes/**\", \"~/diary.txt\"]
need = \"human\"
why = \"Hers.\"
[[rule]]
id = \"keys\"
read = [\"./**/*.key\"]
need = \"human\"
";

#[test]
fn a_person_answers_and_the_program_gets_exactly_the_file() {
    for person in Person::everybody() {
        println!("as {person}");
        let stage = Stage::new(person);
        stage.write("notes/plan.txt", "the plan\n");
        stage.write("deep/er/server.key", "the key\n");
        stage.in_home("diary.txt", "dear diary\n");
        let line = "ls notes; stat -c '%s bytes' ~/diary.txt; cat notes/plan.txt; cat deep/er/server.key; cat ~/diary.txt; git hash-object notes/plan.txt || echo no hash";
        let said = answered(&stage, RULES, line, &["allow", "allow", "allow", "no"]);
        for words in ["plan.txt", "11 bytes", "the plan", "the key", "dear diary", "no hash"] {
            assert!(said.contains(words), "`{words}`: {said}");
        }
        assert!(said.contains("provost: denied read") && said.contains("a file of yours is read"), "{said}");
        let ledger = stage.ledger();
        assert_eq!(ledger.of("ask.opened").count(), 4);
        let answers: Vec<_> = ledger.of("ask.answered").map(|said| said["answer"].clone()).collect();
        assert_eq!(answers, ["allow", "allow", "allow", "deny"]);
        stage.says(&["ledger", "verify"]).ended(0).printed("whole");
    }
}

#[test]
fn where_nobody_attends_a_file_that_asks_is_closed_and_said() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.write("notes/plan.txt", "the plan\n");
        stage.in_home("diary.txt", "dear diary\n");
        let policy = stage.policy(RULES);
        let ran =
            stage.inside_with(&["--policy", &policy], "cat notes/plan.txt; cat ~/diary.txt; cat README.md");
        let ran = ran.ended(0).printed("# A project").complained("(rule notes: Hers.)");
        assert!(!ran.stdout.contains("plan") && !ran.stdout.contains("diary"), "{ran}");
        assert_eq!(stage.ledger().of("ask.opened").count(), 0);
    }
}
