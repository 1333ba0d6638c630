//! Races: what is named is exchanged between the judgement and the kernel's own look, by everything that can.
//!
//! Each race is run first beneath a supervisor that judges and lets go, where it must win, and then inside, where it
//! must not. A win is that the forbidden program says its mark, or that the forbidden file's content comes out.

use e2e::person::Person;
use e2e::stage::Stage;

/// What is exchanged in the memory of who starts a program, or on the way to it.
const STARTS: [&str; 11] = [
    "thread",
    "other-thread",
    "shared",
    "vfork",
    "written",
    "path",
    "descriptor",
    "link",
    "folder",
    "script",
    "interpreter",
];
const OPENS: [&str; 5] = ["open-link", "open-folder", "open-memory", "open-written", "open-stopped"];

const RULES: &str = r#"version = 1

[[rule]]
id = "no-mark"
exec = ["echo WON **", "printf **"]
need = "never"

[[rule]]
id = "no-secret"
read = ["./**/.env", "./**/b/file"]
need = "never"
"#;

fn stage(person: Person) -> Stage {
    let stage = Stage::new(person);
    let probe = stage.workspace.join("probe");
    std::fs::copy(env!("CARGO_BIN_EXE_e2e-probe"), &probe).unwrap();
    person.owns(&probe);
    for (path, content) in [("plain", "plain"), (".env", "WON"), ("a/file", "plain"), ("b/file", "WON")] {
        stage.write(path, content);
    }
    stage
}

fn wins(said: &str) -> usize {
    said.lines().filter(|line| *line == "WON").count()
}

fn naive_loses(race: &str) {
    let stage = stage(Person::myself());
    for _ in 0..20 {
        let ran = stage.outside(&format!("./probe naive race {race} 60"));
        assert!(ran.stdout.contains("naive: done"), "{ran}");
        if wins(&ran.stdout) > 0 {
            return;
        }
    }
    panic!("{race} is no race: nobody won it beneath a supervisor that judges and lets go");
}

/// So many tries in one run take no longer than any command may, on a machine that has other things to do.
const AT_ONCE: usize = 1_000;

fn nobody_wins(person: Person, race: &str, tries: usize) {
    let stage = stage(person);
    let policy = stage.policy(RULES);
    for begun in (0..tries).step_by(AT_ONCE) {
        let count = AT_ONCE.min(tries - begun);
        let line = format!("./probe race {race} {count}; true");
        let ran = stage.inside_with(&["--policy", &policy], &line).ended(0);
        assert_eq!(wins(&ran.stdout), 0, "{race} was won as {person}");
        assert!(ran.stdout.contains("race: done"), "{race} as {person}: {ran}");
    }
}

fn all(races: &[&str], tries: usize) {
    for race in races {
        naive_loses(race);
        for person in Person::everybody() {
            // Nothing of it depends on who it is.
            let tries = if person == Person::myself() { tries } else { tries / 5 };
            nobody_wins(person, race, tries);
            println!("{race} as {person}: {tries} tries, nobody won");
        }
    }
}

#[test]
fn no_race_starts_a_program_that_is_forbidden() {
    all(&STARTS, 500);
}

#[test]
fn no_race_opens_a_file_that_is_forbidden() {
    all(&OPENS, 500);
}

/// Gives the kernel a format of its own, for this user namespace alone: what begins with `PROV` is handed to `printf`.
const FORMAT: &str = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && echo ':prov:M::PROV::/usr/bin/printf:' > /proc/sys/fs/binfmt_misc/register || exit 77; exec \"$@\"";

fn with_format(stage: &Stage, command: &std::process::Command) -> e2e::ran::Ran {
    let mut around = stage.command("unshare");
    around.args(["--user", "--map-root-user", "--mount", "sh", "-c", FORMAT, "sh"]);
    around.arg(command.get_program()).args(command.get_args());
    e2e::ran::run(&mut around)
}

#[test]
fn a_format_of_the_kernels_starts_no_program_that_is_forbidden() {
    let stage = stage(Person::myself());
    let mut naive = stage.command(stage.workspace.join("probe"));
    naive.args(["naive", "race", "format", "60"]);
    let ran = with_format(&stage, &naive);
    if ran.status == 77 || ran.stderr.contains("unshare") {
        // What the machine itself has registered would touch everybody on it: nothing is registered there for a test.
        println!(
            "SKIPPED: this kernel gives a user namespace no formats of its own (binfmt_misc, 6.7): {ran}"
        );
        return;
    }
    assert!(wins(&ran.stdout) > 0, "the format starts nothing: {ran}");
    let policy = stage.policy(RULES);
    for tries in [1, 300] {
        let line = format!(
            "./probe race format {tries}; printf '%s\\n' PROV > 'WON\\n'; chmod 755 'WON\\n'; './WON\\n'; echo ended $?"
        );
        let inside = stage.provost(["run", "--unattended", "--policy", &policy, "--", "sh", "-c", &line]);
        let ran = with_format(&stage, &inside).ended(0).printed("race: done");
        assert!(wins(&ran.stdout) == 0 && !ran.stdout.contains("ended 0"), "{ran}");
        let ledger = stage.ledger();
        let ended = ledger.of("denied").filter(|denied| denied["what"] == "exec").count();
        assert!(ended > 0, "{:#?}", ledger.0);
    }
}

/// Programs are started from several threads at once, and every one of them comes to what it comes to outside.
fn storm(count: usize) {
    let stage = stage(Person::myself());
    let policy = stage.policy(RULES);
    let ran = stage.inside_with(&["--policy", &policy], &format!("./probe storm {count}")).ended(0);
    assert!(ran.stdout.contains("storm: done"), "{ran}");
    let ledger = stage.ledger();
    let named = |event: &serde_json::Value| event["argv"].to_string().contains("\"storm-");
    // One of four finds no program, one is a shell that names no number.
    assert_eq!(
        ledger.of("exec").filter(|event| named(event)).count(),
        count / 2,
        "an exec is not in the record"
    );
    let failed = |event: &&serde_json::Value| {
        event["result"] == "failed" && !event["detail"].to_string().contains("could not start")
    };
    assert_eq!(ledger.of("outcome").find(failed), None);
}

#[test]
fn two_thousand_programs_start_at_once_and_none_is_lost() {
    storm(2_000);
}

#[test]
#[ignore = "takes long: twenty thousand programs"]
fn twenty_thousand_programs_start_at_once_and_none_is_lost() {
    storm(20_000);
}

#[test]
#[ignore = "takes long: ten thousand tries of each race"]
fn no_race_is_won_in_ten_thousand_tries() {
    all(&STARTS, 10_000);
    all(&OPENS, 10_000);
}
