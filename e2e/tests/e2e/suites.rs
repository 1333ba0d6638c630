//! The test suites of real projects say the same inside as outside, test by test, sanitizers included.

use crate::real_patch::source;
use crate::real_work::toolchain;
use e2e::built;
use e2e::person::Person;
use e2e::ran::Ran;
use e2e::stage::Stage;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// A stage with these crates side by side, each as it was published, and a toolchain outside the home.
///
/// They are crates that Provost itself is built from, so that cargo has their sources wherever this test was built.
fn set_up(person: Person, crates: &[&str]) -> (Stage, TempDir) {
    let mut stage = Stage::new(person);
    for name in crates {
        copy(&stage, &source(name), name);
    }
    let place = tempfile::tempdir_in(built::stages(person)).unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    toolchain(&place.path().join("rust"), person);
    stage.set("PATH", format!("{}/rust/bin:/usr/bin:/bin", place.path().display()));
    (stage, place)
}

fn copy(stage: &Stage, from: &Path, to: &str) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{to}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            copy(stage, &entry.path(), &name);
        } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
            stage.write(&name, &text);
        }
    }
}

/// What became of each test, as the suites say it.
fn results(ran: &Ran) -> BTreeSet<String> {
    let is_result = |line: &&str| {
        line.starts_with("test ")
            && !line.starts_with("test result")
            && (line.ends_with("ok") || line.ends_with("FAILED") || line.contains("ignored"))
    };
    ran.stdout.lines().filter(is_result).map(str::to_owned).collect()
}

/// Runs a suite outside, then inside: both end alike, and every test of at least so many comes to the same.
fn alike(stage: &Stage, line: &str, least: usize) {
    alike_with(stage, &[], line, least);
}

/// The same, with options for the run inside.
fn alike_with(stage: &Stage, options: &[&str], line: &str, least: usize) {
    let line = format!("{line} 2>&1");
    // What the suite makes is the person's own, as everything inside is.
    let own = stage.elsewhere.display();
    let outside = stage.outside(&format!("export TMPDIR={own} CARGO_TARGET_DIR={own}/target; {line}"));
    let inside = stage.inside_with(options, &line);
    assert_eq!(inside.status, outside.status, "inside {inside}\noutside {outside}");
    let (these, those) = (results(&inside), results(&outside));
    assert!(those.len() >= least, "fewer than {least} tests: {outside}");
    assert!(these == those, "{:#?}\n{inside}", these.symmetric_difference(&those).collect::<Vec<_>>());
}

/// Its tests make trees, links, loops of links and folders that nobody may enter.
const WALKDIR: &str = "[package]\nname = \"walkdir\"\nversion = \"0.0.0\"\nedition = \"2018\"\n[dependencies]\nsame-file = { path = \"../same-file\" }\n";
const SAME_FILE: &str = "[package]\nname = \"same-file\"\nversion = \"0.0.0\"\nedition = \"2018\"\n";

fn walkdir(person: Person) -> (Stage, TempDir) {
    let (stage, place) = set_up(person, &["walkdir", "same-file"]);
    // Without what only tests of their documentation and other systems need, which cargo does not have here.
    stage.write("walkdir/Cargo.toml", WALKDIR);
    stage.write("same-file/Cargo.toml", SAME_FILE);
    (stage, place)
}

#[test]
fn a_project_that_walks_trees_tests_alike_inside_and_outside() {
    for person in Person::everybody() {
        let (stage, _place) = walkdir(person);
        alike(&stage, "cd walkdir && cargo test --offline --lib", 40);
    }
}

#[test]
fn a_project_that_starts_compilers_tests_alike_inside_and_outside() {
    let (stage, _place) = set_up(Person::everybody().pop().unwrap(), &["autocfg"]);
    alike(&stage, "cd autocfg && cargo test --offline", 20);
}

/// The leak sanitizer stops a process by tracing it; the address sanitizer lays out memory by itself.
#[test]
fn a_suite_with_sanitizers_tests_alike_inside_and_outside() {
    let (stage, _place) = walkdir(Person::everybody().pop().unwrap());
    for sanitizer in ["address", "leak"] {
        let with = format!("RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer={sanitizer}");
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        alike(&stage, &format!("cd walkdir && {with} cargo test --offline --lib --target {triple}"), 40);
    }
}

/// The same sanitizer finds the same leak: it did not look away.
#[test]
fn a_leak_is_found_inside_as_outside() {
    let stage = Stage::new(Person::everybody().pop().unwrap());
    stage.write("leak.c", "#include <stdlib.h>\nint main(void) { malloc(42); return 0; }\n");
    let line = "cc -O0 -fsanitize=address -o /tmp/leak leak.c && /tmp/leak 2>&1";
    for ran in [stage.outside(&line.replace("/tmp/leak", "../leak")), stage.inside(line)] {
        ran.ended(1).printed("LeakSanitizer: detected memory leaks").printed("42 byte(s) leaked");
    }
}

/// A rule about a command, so that every start is judged, held by a tracer and checked on the new image.
const JUDGES: &str = "version = 1\n[[rule]]\nid = \"no-whoami\"\nexec = [\"whoami **\"]\nneed = \"never\"\n";

/// That is what happened: the record says which words were judged, and the rule holds.
fn starts_were_judged(stage: &Stage, policy: &str, least: usize) {
    let ledger = stage.ledger();
    assert!(ledger.of("exec").filter(|exec| exec["verdict"] == "allow").count() >= least);
    let lost = ledger.of("outcome").find(|event| event["result"] == "failed");
    assert_eq!(lost, None, "a start was not seen through");
    stage.inside_with(&["--policy", policy], "whoami").complained("rule no-whoami");
}

#[test]
fn a_suite_with_sanitizers_tests_alike_where_every_start_is_judged() {
    let (stage, _place) = walkdir(Person::everybody().pop().unwrap());
    let policy = stage.policy(JUDGES);
    for sanitizer in ["address", "leak"] {
        let with = format!("RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer={sanitizer}");
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let line = format!("cd walkdir && {with} cargo test --offline --lib --target {triple}");
        alike_with(&stage, &["--policy", &policy], &line, 40);
        starts_were_judged(&stage, &policy, 5);
    }
}

/// A program with threads and children, each child with one fault: which sanitizer finds which is the same.
const SANITIZED: &str = include_str!("suites/sanitized.c");

#[test]
fn every_sanitizer_finds_the_same_where_every_start_is_judged() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.write("sanitized.c", SANITIZED);
        let policy = stage.policy(JUDGES);
        for (sanitizer, finds) in [
            ("address", "AddressSanitizer: heap-buffer-overflow"),
            ("undefined", "runtime error: signed integer overflow"),
            ("leak", "LeakSanitizer: 52 byte(s) leaked"),
            ("thread", "ThreadSanitizer: data race"),
            ("address,undefined", "AddressSanitizer: 52 byte(s) leaked"),
        ] {
            println!("as {person}: {sanitizer}");
            // What is found is part of the results, without what is another number each time.
            let said =
                "sed -n 's/^test .*/&/p; s/.*\\(SUMMARY: .*\\|runtime error: .*\\)/test found \\1 ok/p' said";
            let line = format!(
                "cc -g -O0 -pthread -fsanitize={sanitizer} -o \"${{TMPDIR:-/tmp}}/sanitized\" sanitized.c && cd \"${{TMPDIR:-/tmp}}\" && ./sanitized > said 2>&1 && {said}"
            );
            alike_with(&stage, &["--policy", &policy], &line, 7);
            starts_were_judged(&stage, &policy, 15);
            let inside = stage.inside_with(&["--policy", &policy], &line).ended(0);
            assert!(inside.stdout.contains(finds), "{finds}: {inside}");
        }
    }
}
