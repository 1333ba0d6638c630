//! What real work costs inside against outside, at full evidence: `cargo bench -p e2e --bench work [NAME...]`.
//!
//! The same command, in the same repository, bare and in a run. The built program is used as it is: build it first with
//! `cargo build --release`. What misses a goal says so; only what is broken fails.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench speaks, and stops at the first error"
)]

use e2e::bench::{Contender, line, race, stage_for};
use e2e::built;
use e2e::person::Person;
use e2e::stage::Stage;
use std::fmt::Write as _;
use std::path::Path;

/// A piece of work: it leaves nothing behind that makes its next round shorter.
struct Work {
    name: &'static str,
    rounds: usize,
    /// How many times the bare wall time is aimed for.
    goal: Option<f64>,
    prepare: fn(&Stage),
    line: &'static str,
    /// Needs the measuring person's own PATH and home.
    own_tools: bool,
}

const WORKS: &[Work] = &[
    Work {
        name: "make, 100 files of C",
        rounds: 7,
        goal: Some(1.15),
        prepare: program_in_c,
        line: "make -s -j2 OUT=$(mktemp -d ./out.XXXXXX) && rm -rf out.*",
        own_tools: false,
    },
    Work {
        name: "cargo build, 12 crates",
        rounds: 5,
        goal: Some(1.15),
        prepare: crates,
        line: "rm -rf target && cargo build -q --offline && rm -rf target",
        own_tools: true,
    },
    Work {
        name: "git status, 6000 files",
        rounds: 11,
        goal: Some(1.15),
        prepare: tree,
        line: "for i in 1 2 3 4 5 6 7 8; do git status --porcelain >/dev/null || exit 1; done",
        own_tools: false,
    },
    Work {
        name: "grep -r over headers",
        rounds: 9,
        goal: Some(1.15),
        prepare: nothing,
        line: "grep -rq 'no such text anywhere' /usr/include /usr/lib/python3; exit 0",
        own_tools: false,
    },
    Work {
        name: "1000 execs, one by one",
        rounds: 9,
        goal: Some(1.5),
        prepare: nothing,
        line: "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done",
        own_tools: false,
    },
    Work {
        name: "8000 files made",
        rounds: 9,
        goal: Some(1.5),
        prepare: nothing,
        line: "mkdir new && i=0; while [ $i -lt 8000 ]; do echo x > new/$i; i=$((i+1)); done; rm -rf new",
        own_tools: false,
    },
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let named = |work: &&Work| wanted.is_empty() || wanted.iter().any(|word| work.name.starts_with(word));
    let works: Vec<&Work> = WORKS.iter().filter(named).collect();
    for person in Person::everybody() {
        let program = built::provost(person);
        for work in works.iter().filter(|work| !work.own_tools || person == Person::myself()) {
            measure(work, person, &program);
        }
    }
}

fn measure(work: &Work, person: Person, program: &Path) {
    let stage = stage_for(person, work.own_tools, work.prepare);
    let words = ["/bin/sh", "-c", work.line];
    let bare = || {
        let mut command = stage.command(words[0]);
        command.args(&words[1..]);
        command
    };
    let ours = || {
        let mut command = stage.command(program);
        command.args(["run", "--unattended", "--"]).args(words);
        command
    };
    let times = race(work.rounds, &mut [Contender::new("bare", bare), Contender::new("ours", ours)]);
    println!("{}", line(&format!("{}, {person}", work.name), ("bare", &times[0]), &times[1], work.goal));
}

fn nothing(_: &Stage) {}

/// A program in C, of many files that look at the system's headers.
fn program_in_c(stage: &Stage) {
    let headers: String = ["stdio", "stdlib", "string", "unistd", "math", "time", "signal", "pthread"]
        .iter()
        .fold(String::new(), |text, name| text + &format!("#include <{name}.h>\n"));
    let mut objects = String::new();
    for file in 0..100 {
        let mut text = headers.clone();
        for part in 0..12 {
            writeln!(
                text,
                "double f{file}_{part}(double x) {{ char b[64]; snprintf(b, sizeof b, \"%f\", x); return strtod(b, 0) + sqrt(x) * {part}; }}"
            )
            .unwrap();
        }
        stage.write(&format!("f{file}.c"), &text);
        write!(objects, " $(OUT)/f{file}.o").unwrap();
    }
    stage.write("Makefile", &format!("all:{objects}\n$(OUT)/%.o: %.c\n\tcc -O1 -c $< -o $@\n"));
}

/// A crate in Rust and what it depends on, all of it in the repository.
fn crates(stage: &Stage) {
    let package = |name: &str, needs: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{needs}"
        )
    };
    let (mut all, mut calls) = (String::new(), String::new());
    for number in 0..11 {
        let mut text = String::from("use std::collections::BTreeMap;\nuse std::fmt::Debug;\n");
        for part in 0..30 {
            writeln!(
                text,
                "#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]\npub struct T{part} {{ pub a: Vec<String>, pub b: Option<u64> }}\npub fn f{part}<K: Ord + Debug + Clone>(all: &[K]) -> BTreeMap<K, T{part}> {{ all.iter().map(|k| (k.clone(), T{part} {{ a: vec![format!(\"{{k:?}}\")], b: Some({part}) }})).collect() }}"
            )
            .unwrap();
        }
        stage.write(&format!("vendor/part{number}/src/lib.rs"), &text);
        stage.write(&format!("vendor/part{number}/Cargo.toml"), &package(&format!("part{number}"), ""));
        writeln!(all, "part{number} = {{ path = \"vendor/part{number}\" }}").unwrap();
        writeln!(calls, "println!(\"{{:?}}\", part{number}::f1(&[1_u8, 2]));").unwrap();
    }
    stage.write("Cargo.toml", &package("whole", &all));
    stage.write("src/main.rs", &format!("fn main() {{ {calls} }}\n"));
}

/// Many files in many folders.
fn tree(stage: &Stage) {
    for folder in 0..120 {
        for file in 0..50 {
            stage.write(&format!("tree/{}/{folder}/file{file}.txt", folder % 10), "one line\n");
        }
    }
}
