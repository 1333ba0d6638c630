//! What a cell costs: `cargo bench -p sandbox [NAME...]`. Bare, in a cell at full evidence and, for the start, in
//! bubblewrap with comparable mounts: interleaved, one process a round, medians and ratios of one run.
//!
//! `BENCH_DIR` names the folder to work in, `BENCH_ROUNDS` how often.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench speaks, and stops at the first error"
)]

#[allow(dead_code, reason = "the cases use all of it")]
#[path = "../tests/cell/scene.rs"]
mod scene;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Names the folder of the ledgers.
const STATE: &str = "BENCH_STATE";

/// A piece of work: its name, how often it is repeated, the goal for wall time, its preparation and its words.
struct Work {
    name: &'static str,
    rounds: usize,
    goal: f64,
    prepare: fn(&Path),
    words: &'static [&'static str],
    /// Rules beside the usual ones.
    rules: &'static str,
}

const SHAPE: &str =
    "[[rule]]\nid = \"env\"\nread = [\"./**/.env\"]\nwrite = [\"./**/.env\"]\nneed = \"never\"\n";
const COMMAND: &str = "[[rule]]\nid = \"push\"\nexec = [\"git push **\"]\nneed = \"never\"\n";
const EXECS: &[&str] = &["/bin/bash", "-c", "for ((i = 0; i < 400; i++)); do /bin/true; done"];
const CREATES: &[&str] =
    &["/usr/bin/perl", "-e", "for (1..4000) { open my $f, '>', \"f$_\" or die; print $f 'x'; close $f }"];
const BUILD: &[&str] = &["/usr/bin/make", "-s", "-j2"];
const READS: &[&str] =
    &["/bin/bash", "-c", "grep -rq 'no such text anywhere' /usr/include /usr/lib/python3; exit 0"];

const WORKS: &[Work] = &[
    Work {
        name: "start",
        rounds: 41,
        goal: f64::INFINITY,
        prepare: nothing,
        words: &["/bin/true"],
        rules: "",
    },
    Work { name: "execs", rounds: 9, goal: 1.5, prepare: nothing, words: EXECS, rules: "" },
    Work {
        name: "execs-checked",
        rounds: 9,
        goal: f64::INFINITY,
        prepare: nothing,
        words: EXECS,
        rules: COMMAND,
    },
    Work { name: "creates", rounds: 9, goal: 1.5, prepare: nothing, words: CREATES, rules: "" },
    Work {
        name: "creates-judged",
        rounds: 9,
        goal: f64::INFINITY,
        prepare: nothing,
        words: CREATES,
        rules: SHAPE,
    },
    Work { name: "build", rounds: 7, goal: 1.15, prepare: sources, words: BUILD, rules: "" },
    Work {
        name: "build-judged",
        rounds: 7,
        goal: f64::INFINITY,
        prepare: sources,
        words: BUILD,
        rules: SHAPE,
    },
    Work { name: "reads", rounds: 9, goal: f64::INFINITY, prepare: nothing, words: READS, rules: "" },
];

fn nothing(_: &Path) {}

/// A small program in C, of many files that all look at the system's headers.
fn sources(work: &Path) {
    let mut objects = String::new();
    for number in 0..24 {
        let headers = ["stdio", "stdlib", "string", "unistd", "math", "time", "signal", "pthread"];
        let mut text: String = headers.iter().map(|name| format!("#include <{name}.h>\n")).collect();
        for part in 0..40 {
            writeln!(text, "double f{number}_{part}(double x) {{ char b[64]; snprintf(b, sizeof b, \"%f\", x); return strtod(b, 0) + sqrt(x) * {part}; }}").unwrap();
        }
        std::fs::write(work.join(format!("f{number}.c")), text).unwrap();
        write!(objects, " f{number}.o").unwrap();
    }
    std::fs::write(work.join("Makefile"), format!("all:{objects}\n%.o: %.c\n\tcc -O1 -c $< -o $@\n"))
        .unwrap();
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [first, name, root] = &words[..]
        && first == "--in-a-cell"
    {
        return in_a_cell(WORKS.iter().find(|work| work.name == name).unwrap(), Path::new(root));
    }
    let mut fine = true;
    for work in WORKS.iter().filter(|work| words.is_empty() || words.iter().any(|word| word == work.name)) {
        fine &= measure(work);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One round in a cell, as a process of its own.
fn in_a_cell(work: &Work, root: &Path) -> ExitCode {
    let mut scene = scene::Scene::new(root);
    scene.rules = work.rules.to_owned();
    if let Some(state) = std::env::var_os(STATE) {
        scene.state = state.into();
    }
    (work.prepare)(&scene.work());
    let ran = scene.run(work.words);
    ran.fine();
    ExitCode::SUCCESS
}

fn measure(work: &Work) -> bool {
    let bwrap = (work.name == "start").then(bubblewrap).flatten();
    if work.name == "start" && bwrap.is_none() {
        println!("SKIPPED: no bwrap: THE START IS NOT COMPARED WITH BUBBLEWRAP (install bubblewrap)");
    }
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(work.rounds);
    let mut times: [Vec<(Duration, Duration)>; 3] = Default::default();
    for _ in 0..rounds {
        times[0].push(round(work, Kind::Bare));
        times[1].push(round(work, Kind::Cell));
        if let Some(bwrap) = &bwrap {
            times[2].push(round(work, Kind::Bubblewrap(bwrap)));
        }
    }
    let median = |times: &[(Duration, Duration)], which: fn(&(Duration, Duration)) -> Duration| {
        let mut all: Vec<Duration> = times.iter().map(which).collect();
        all.sort();
        all.get(all.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
    };
    let [bare, cell, other] = &times;
    let (wall, cpu) = (|time: &(Duration, Duration)| time.0, |time: &(Duration, Duration)| time.1);
    let ratio = median(cell, wall) / median(bare, wall);
    println!(
        "{:<15} bare {:>8.2} ms  cell {:>8.2} ms  wall {ratio:>5.2}  cpu {:>5.2}",
        work.name,
        median(bare, wall) * 1e3,
        median(cell, wall) * 1e3,
        median(cell, cpu) / median(bare, cpu),
    );
    let mut held = ratio <= work.goal;
    if bwrap.is_some() {
        let against = median(cell, wall) / median(other, wall);
        println!(
            "{:<15} bwrap {:>7.2} ms  cell / bwrap {against:.2} (goal 1.00)",
            "",
            median(other, wall) * 1e3
        );
        held &= against <= 1.0;
    } else if work.goal.is_finite() {
        println!("{:<15} goal {:.2}: {}", "", work.goal, if held { "held" } else { "MISSED" });
    }
    held
}

enum Kind<'a> {
    Bare,
    Cell,
    Bubblewrap(&'a Path),
}

/// Wall and processor time of one round.
fn round(work: &Work, kind: Kind<'_>) -> (Duration, Duration) {
    let place = std::env::var_os("BENCH_DIR").unwrap_or_else(|| "/var/tmp".into());
    let root = tempfile::tempdir_in(place).unwrap();
    let folder = root.path().join("work");
    let mut command = match kind {
        Kind::Bare => {
            std::fs::create_dir(&folder).unwrap();
            (work.prepare)(&folder);
            let (program, words) = work.words.split_first().unwrap();
            let mut command = Command::new(program);
            command.args(words).current_dir(&folder);
            command
        }
        Kind::Cell => {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg("--in-a-cell").arg(work.name).arg(root.path());
            command
        }
        Kind::Bubblewrap(bwrap) => {
            std::fs::create_dir(&folder).unwrap();
            let mut command = Command::new(bwrap);
            command.args(bubblewrap_words(root.path(), &folder)).args(work.words);
            command
        }
    };
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", root.path());
    let before = children_ticks();
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    let wall = begun.elapsed();
    assert!(status.success(), "{}: {status}", work.name);
    (wall, Duration::from_millis(10 * (children_ticks() - before)))
}

/// Processor time of all children that were waited for, in hundredths of a second.
fn children_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap()
}

fn bubblewrap() -> Option<PathBuf> {
    let path = Path::new("/usr/bin/bwrap");
    path.exists().then(|| path.to_path_buf())
}

fn bubblewrap_words(root: &Path, folder: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        ["--unshare-all", "--die-with-parent", "--hostname", "provost"].map(OsString::from).into();
    let mut add = |more: &[&std::ffi::OsStr]| words.extend(more.iter().map(|word| word.to_os_string()));
    for tree in ["/usr", "/etc"] {
        add(&["--ro-bind".as_ref(), tree.as_ref(), tree.as_ref()]);
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        let (text, at) = (format!("usr/{link}"), format!("/{link}"));
        add(&["--symlink".as_ref(), text.as_ref(), at.as_ref()]);
    }
    add(&["--proc".as_ref(), "/proc".as_ref(), "--dev".as_ref(), "/dev".as_ref()]);
    for place in ["/tmp", "/var/tmp", "/run"] {
        add(&["--tmpfs".as_ref(), place.as_ref()]);
    }
    add(&["--tmpfs".as_ref(), root.join("home").as_ref()]);
    add(&["--bind".as_ref(), folder.as_ref(), folder.as_ref(), "--chdir".as_ref(), folder.as_ref()]);
    words
}
