//! Promise: how much of the machine a run uses has an end, for root and for an ordinary person, and the end is told: in the status,
//! the summary, the list of runs and the ledger.

use e2e::person::Person;
use e2e::ran::Ran;
use e2e::stage::Stage;

fn everybody(scene: impl Fn(&Stage)) {
    for person in Person::everybody() {
        println!("as {person}");
        scene(&Stage::new(person));
    }
}

/// A run with one limit of a policy, which ends it.
#[track_caller]
fn ended_by(stage: &Stage, limit: &str, amount: &str, line: &str) -> Ran {
    let policy = stage.policy(&format!("version = 1\n[limits]\n{limit} = \"{amount}\"\n"));
    let ran = stage.inside_with(&["--policy", &policy], line).ended(124);
    let ran = ran.complained(" was ended: ").complained(&format!("`[limits] {limit}` in `{policy}` sets it"));
    let ledger = stage.ledger();
    let reached: Vec<_> = ledger.of("limit.reached").collect();
    let [event] = reached.as_slice() else { panic!("{reached:#?}") };
    assert_eq!((&event["limit"], &event["done"]), (&limit.into(), &"ended".into()), "{event:#}");
    assert_eq!(
        (&event["set_by"], &event["trust"]),
        (&policy.as_str().into(), &"observed".into()),
        "{event:#}"
    );
    assert!(event["used"].as_u64() > Some(0) && event["allowed"].as_u64() > Some(0), "{event:#}");
    let run = &stage.says(&["runs", "--format", "json"]).ended(0).json()[0];
    assert_eq!(run["ended_by"], limit, "{run:#}");
    stage.says(&["runs"]).ended(0).printed(&format!("limit {limit}"));
    stage.says(&["show"]).ended(0).printed("limit: ");
    stage.says(&["ledger", "verify"]).ended(0).printed("whole");
    ran
}

#[test]
fn memory_has_an_end() {
    everybody(|stage| {
        // Many processes, each small, which leave their session; and what they write to memory of the run's own.
        let line = "echo staged > staged.txt; head -c 60000000 /dev/zero > /tmp/held; \
            for n in $(seq 16); do setsid sh -c 'x=$(head -c 8000000 /dev/zero | tr \"\\0\" x); sleep 60' & done; wait";
        ended_by(stage, "memory", "128MiB", line).complained("memory: 1").complained(" of 128 MiB");
        // What was staged stays and can be reviewed.
        stage.says(&["status"]).ended(0).printed("memory: 1");
        stage.says(&["review"]).ended(0).printed("staged.txt");
    });
}

#[test]
fn processor_time_has_an_end() {
    everybody(|stage| {
        let line =
            "trap '' TERM; for n in 1 2; do setsid sh -c 'trap \"\" TERM; while :; do :; done' & done; wait";
        ended_by(stage, "cpu", "1s", line).complained("its processor time was used up");
    });
}

#[test]
fn the_disk_that_a_run_fills_has_an_end() {
    everybody(|stage| {
        // Half of it by many small files, half by one that has no name any more.
        let line = "mkdir many; for n in $(seq 2000); do echo > many/$n; done; exec 3> gone; rm gone; \
            head -c 30000000 /dev/zero >&3; sync; sleep 60";
        ended_by(stage, "disk", "32MiB", line).complained("it wrote more to the disk than it may");
    });
}

#[test]
fn time_has_an_end_that_is_told_first_and_cannot_be_ignored() {
    everybody(|stage| {
        ended_by(stage, "time", "2s", "trap '' TERM HUP INT; while :; do sleep 60; done");
        let ran = ended_by(
            stage,
            "time",
            "2s",
            "trap 'echo last words; exit 0' TERM; while :; do sleep 0.05; done",
        );
        ran.printed("last words").complained("its time was up");
        // Of a flag and a policy the less holds.
        let policy = stage.policy("version = 1\n[limits]\ntime = \"1h\"\n");
        let ran = stage.inside_with(&["--policy", &policy, "--timeout", "1s"], "sleep 60").ended(124);
        ran.complained("`--timeout` sets it");
        let policy = stage.policy("version = 1\n[limits]\ntime = \"1s\"\n");
        stage.inside_with(&["--policy", &policy, "--timeout", "1h"], "sleep 60").ended(124);
    });
}

#[test]
fn a_fork_bomb_is_held_and_the_machine_goes_on() {
    everybody(|stage| {
        // Every process starts others as fast as it can, and tries again where it may not.
        let bomb = "perl -e '$SIG{TERM} = q(IGNORE); while (1) { defined(fork) or select(undef, undef, undef, 0.05) }'";
        let ran = stage.inside_with(&["--limit", "processes=500", "--timeout", "5s"], bomb).ended(124);
        assert!(ran.took.as_secs() < 60, "{ran}");
        let ledger = stage.ledger();
        let refused = ledger.of("limit.reached").find(|event| event["limit"] == "processes");
        let refused =
            refused.unwrap_or_else(|| panic!("{:#?}", ledger.of("limit.reached").collect::<Vec<_>>()));
        assert!(refused["used"].as_u64() <= Some(500) && refused["done"] == "refused", "{refused:#}");
        stage.inside("echo fine").ended(0).printed("fine");
    });
}

#[test]
fn no_process_opens_more_files_than_it_may() {
    everybody(|stage| {
        stage.inside_with(&["--limit", "files=100"], "ulimit -n; ulimit -Hn").ended(0).printed("100\n100\n");
    });
}

#[test]
fn a_limit_that_nothing_holds_stops_the_run_before_it_starts() {
    let stage = Stage::new(Person::myself());
    let rule = "[[rule]]\nid = \"dear\"\nspend = [\"tokens > 5\"]\nneed = \"human\"\n";
    let policy = stage.policy(&format!("version = 1\n{rule}"));
    let ran = stage.inside_with(&["--policy", &policy], "echo started").ended(125);
    assert!(!ran.stdout.contains("started"));
    ran.complained("nothing asks about it on the way yet").complained("hint: leave");
    stage.says(&["policy", "check", &policy]).ended(1).complained("nothing asks about it on the way yet");
    for person in Person::everybody().into_iter().filter(|person| person.uid != 0) {
        let flags = ["--tier", "landlock", "--limit", "memory=4GiB"];
        let ran = Stage::new(person).inside_with(&flags, "echo started").ended(125);
        assert!(!ran.stdout.contains("started"));
        ran.complained("a limit on memory (4 GiB, set by `--limit`)").complained("hint");
    }
    stage.inside_with(&["--limit", "memory=4GB"], "true").ended(125).complained("--limit memory=4GiB");
    let policy = stage.policy("version = 1\n[limits]\nmemory = \"4GB\"\n");
    stage.says(&["policy", "check", &policy]).ended(1).complained(":3:10").complained("\"4GiB\"");
}

#[test]
fn a_repository_narrows_a_limit_and_never_widens_it() {
    let stage = Stage::new(Person::myself());
    stage.in_home(".config/provost/policy.toml", "version = 1\n[limits]\nfiles = 200\nprocesses = 600\n");
    stage.write(".provost/policy.toml", "version = 1\n[limits]\nfiles = 5000\nprocesses = 500\n");
    stage.inside("ulimit -n").ended(0).printed("200\n");
    let shown = stage.says(&["policy", "show"]).ended(0);
    let line = |amount: &str| {
        let is = |line: &&str| line.split_whitespace().any(|word| word == amount);
        shown.stdout.lines().find(is).unwrap_or_else(|| panic!("no {amount}: {shown}"))
    };
    assert!(
        line("5000").contains("another layer says less") && line("600").contains("another layer says less")
    );
    assert!(!line("500").contains("says less") && !line("200").contains("says less"));
}
