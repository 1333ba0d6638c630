//! What being watched costs, by depth of evidence and against other watchers: `cargo bench -p e2e --bench supervise [NAME...]`.
//!
//! The same command bare, in bubblewrap with every namespace new, under `strace -f --seccomp-bpf` with the calls that we see, under
//! a supervisor that lets the same calls go unseen (the least that holding them costs), and in a run at each depth: in turns, in one run. The built program is used as it is: build it first with `cargo build
//! --release`. What misses a goal says so; only what is broken fails.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench speaks, and stops at the first error"
)]

use e2e::bench::{Contender, Times, race, stage_for};
use e2e::built;
use e2e::person::Person;
use e2e::stage::Stage;
use std::path::Path;
use std::process::Command;

/// The calls that a run at full depth sees.
const CALLS: &str = "trace=execve,execveat,connect,exit_group,open,openat,openat2,creat,rename,renameat,renameat2,link,linkat,\
                     unlink,unlinkat,rmdir,truncate,mkdir,mkdirat,symlink,symlinkat,mknod,mknodat";

/// A piece of work: it leaves nothing behind that makes its next round shorter.
struct Work {
    name: &'static str,
    rounds: usize,
    /// How many times the bare wall and processor time are aimed for, at full depth.
    goals: (Option<f64>, Option<f64>),
    prepare: fn(&Stage),
    line: &'static str,
    own_tools: bool,
}

const WORKS: &[Work] = &[
    Work { name: "start", rounds: 21, goals: (None, None), prepare: nothing, line: "true", own_tools: false },
    Work {
        name: "1000 execs, one by one",
        rounds: 7,
        goals: (Some(1.5), Some(1.6)),
        prepare: nothing,
        line: "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done",
        own_tools: false,
    },
    Work {
        name: "grep -r over headers",
        rounds: 9,
        goals: (None, Some(1.6)),
        prepare: nothing,
        line: "grep -rq 'no such text anywhere' /usr/include /usr/lib/python3; exit 0",
        own_tools: false,
    },
    Work {
        name: "grep, two at a time",
        rounds: 9,
        goals: (None, Some(1.6)),
        prepare: nothing,
        line: "find /usr/include /usr/lib/python3 -type f -print0 | xargs -0 -P2 -n500 grep -l 'no such text anywhere'; exit 0",
        own_tools: false,
    },
    Work {
        name: "cargo build, 12 crates",
        rounds: 5,
        goals: (Some(1.15), None),
        prepare: crates,
        line: "rm -rf target && cargo build -q --offline && rm -rf target",
        own_tools: true,
    },
    Work {
        name: "installing 200 packages",
        rounds: 7,
        goals: (None, Some(1.6)),
        prepare: packages,
        line: "/usr/bin/perl install.pl && rm -rf node_modules",
        own_tools: false,
    },
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let named = |work: &&Work| wanted.is_empty() || wanted.iter().any(|word| work.name.starts_with(word));
    let person = Person::myself();
    let program = built::provost(person);
    for work in WORKS.iter().filter(named) {
        measure(work, person, &program);
    }
}

fn measure(work: &Work, person: Person, program: &Path) {
    let stage = stage_for(person, work.own_tools, work.prepare);
    let stage = &stage;
    let mut contenders = vec![Contender::new("bare", || with(stage.command("/bin/sh"), &[], work))];
    if Path::new("/usr/bin/bwrap").exists() {
        contenders.push(Contender::new("bwrap", || with(bubblewrap(stage), &["/bin/sh"], work)));
    } else {
        println!("SKIPPED: bubblewrap is not installed: NOTHING ELSE THAT CONFINES IS COMPARED");
    }
    if Path::new("/usr/bin/strace").exists() {
        contenders.push(Contender::new("strace", || {
            let words = ["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", CALLS, "/bin/sh"];
            with(stage.command("/usr/bin/strace"), &words, work)
        }));
    } else {
        println!("SKIPPED: strace is not installed: NOTHING ELSE THAT SEES CALLS IS COMPARED");
    }
    contenders.push(Contender::new("least", || {
        with(stage.command(env!("CARGO_BIN_EXE_e2e-probe")), &["least", "/bin/sh"], work)
    }));
    for depth in ["full", "writes", "exec"] {
        contenders.push(Contender::new(depth, move || {
            let words = ["run", "--unattended", "--evidence", depth, "--", "/bin/sh"];
            with(stage.command(program), &words, work)
        }));
    }
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    let times = race(work.rounds, &mut contenders);
    tell(work, &names, &times);
}

fn with(mut command: Command, words: &[&str], work: &Work) -> Command {
    command.args(words).args(["-c", work.line]);
    command
}

fn tell(work: &Work, names: &[&str], times: &[Times]) {
    let bare = &times[0];
    println!("{}: bare {:.1} ms, cpu {:.1} ms", work.name, bare.median(), bare.cpu());
    let ratios = |times: &Times| {
        [times.median() / bare.median(), times.least() / bare.least(), times.cpu() / bare.cpu()]
    };
    for (name, times) in names.iter().zip(times).skip(1) {
        let [wall, least, cpu] = ratios(times);
        println!("    {name:<8} wall {wall:>6.2}  least {least:>6.2}  cpu {cpu:>6.2}");
    }
    let at = |wanted: &str| names.iter().position(|name| *name == wanted).map(|place| ratios(&times[place]));
    let Some([wall, _, cpu]) = at("full") else { return };
    let held = |what: &str, ratio: f64, goal: f64| {
        let held = if ratio <= goal { "held" } else { "MISSED" };
        println!("    {what} at full depth {ratio:.2}, goal {goal:.2} {held}");
    };
    work.goals.0.into_iter().for_each(|goal| held("wall", wall, goal));
    work.goals.1.into_iter().for_each(|goal| held("cpu", cpu, goal));
    if let Some([_, _, least]) = at("least") {
        println!("    cpu against the least at full depth {:.2}", cpu / least);
    }
    if let (Some([_, _, strace]), true) = (at("strace"), work.goals != (None, None)) {
        held("cpu against strace", cpu / strace, 1.0);
    }
}

/// Bubblewrap with everything read-only but the workspace. The shell is its PID 1: one of bubblewrap's own would wait for
/// whatever the work starts, and never for itself, and then nobody has counted their processor time.
fn bubblewrap(stage: &Stage) -> Command {
    let mut command = stage.command("/usr/bin/bwrap");
    command.args([
        "--unshare-all",
        "--as-pid-1",
        "--die-with-parent",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]);
    command.args(["--tmpfs", "/tmp", "--bind"]).args([&stage.workspace, &stage.workspace]);
    command.arg("--bind").args([&stage.home, &stage.home]).arg("--chdir").arg(&stage.workspace);
    command
}

fn nothing(_: &Stage) {}

/// A crate in Rust and what it depends on, all of it in the repository.
fn crates(stage: &Stage) {
    let package = |name: &str, needs: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{needs}"
        )
    };
    let text: String = (0..30)
        .map(|part| {
            format!(
                "#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]\npub struct T{part} {{ pub a: Vec<String>, pub b: Option<u64> }}\n"
            )
        })
        .collect();
    let mut all = String::new();
    for number in 0..11 {
        stage.write(&format!("vendor/part{number}/src/lib.rs"), &text);
        stage.write(&format!("vendor/part{number}/Cargo.toml"), &package(&format!("part{number}"), ""));
        all += &format!("part{number} = {{ path = \"vendor/part{number}\" }}\n");
    }
    stage.write("Cargo.toml", &package("whole", &all));
    stage.write("src/main.rs", "fn main() { println!(\"{:?}\", part0::T1::default()); }\n");
}

/// What a package manager does: many small files written under other names and renamed, links, and each read again.
fn packages(stage: &Stage) {
    let script = r#"
        mkdir "node_modules"; mkdir "node_modules/.bin";
        for my $p (1..200) {
            my $at = "node_modules/.p$p"; mkdir $at; mkdir "$at/lib";
            for my $f ("package.json", "lib/index.js", "lib/util.js", "README.md", "lib/a.js", "lib/b.js") {
                open(my $w, ">", "$at/$f.tmp") or die; print $w "x" x 800; close $w;
                rename("$at/$f.tmp", "$at/$f") or die;
            }
            rename($at, "node_modules/p$p") or die;
            symlink("../p$p/lib/index.js", "node_modules/.bin/p$p") or die;
            open(my $r, "<", "node_modules/p$p/package.json") or die; my $text = <$r>; close $r;
        }
        for my $p (1..200) { for my $f ("package.json", "lib/index.js") {
            open(my $r, "<", "node_modules/p$p/$f") or die; my $text = <$r>; close $r; } }
    "#;
    stage.write("install.pl", script);
}
